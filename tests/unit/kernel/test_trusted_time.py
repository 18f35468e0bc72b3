"""When the calendar is believed."""

from __future__ import annotations

import pytest

from vendingd.kernel.time import ASK_AGAIN_S, BUILD_UTC, RTC_HORIZON_S, TrustedTime, kernel_synchronised

DAY = 86400.0


class Clock:
    def __init__(self, utc: float) -> None:
        self.utc, self.mono = utc, 100.0

    def monotonic(self) -> float:
        return self.mono

    def utc_now(self) -> float:
        return self.utc

    async def sleep_until(self, deadline_mono: float) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("trust", "utc", "floor", "synchronised", "trusted"),
    [
        ("assume", 0.0, BUILD_UTC, False, True),
        ("kernel", BUILD_UTC + DAY, 0.0, True, True),
        ("kernel", BUILD_UTC + DAY, 0.0, False, False),
        ("kernel", 0.0, 0.0, True, False),  # 1970, whatever the kernel says
        ("kernel", BUILD_UTC + DAY, BUILD_UTC + 9 * DAY, True, True),  # corrected after having been ahead
        ("rtc", BUILD_UTC + 9 * DAY, BUILD_UTC + DAY, False, True),
        ("rtc", BUILD_UTC + DAY, BUILD_UTC + 9 * DAY, False, False),  # behind what was journalled
        ("rtc", BUILD_UTC + DAY, BUILD_UTC + 9 * DAY, True, True),
        ("rtc", BUILD_UTC + RTC_HORIZON_S + DAY, BUILD_UTC, False, False),  # lost its mind
    ],
)
def test_trust(trust: str, utc: float, floor: float, synchronised: bool, trusted: bool) -> None:
    time = TrustedTime(Clock(utc), trust, "boot", lambda: floor, lambda: synchronised)
    now = time.now()
    assert now.trusted is trusted and now.floor_utc == max(floor, BUILD_UTC)


def test_the_kernel_is_asked_now_and_then_only() -> None:
    asked: list[bool] = []
    clock = Clock(BUILD_UTC + DAY)

    def ask() -> bool:
        asked.append(True)
        return True

    time = TrustedTime(clock, "kernel", "boot", lambda: 0.0, ask)
    for _ in range(10):
        time.now()
    clock.mono += ASK_AGAIN_S
    time.now()
    assert len(asked) == 2


def test_a_clock_that_is_set_is_noticed_at_once() -> None:
    """Before the kernel is asked as usual: in between, a year too late, every reservation would expire for good."""
    clock, synchronised = Clock(BUILD_UTC + DAY), [True]
    time = TrustedTime(clock, "kernel", "boot", lambda: 0.0, lambda: synchronised[0])
    assert time.now().trusted
    clock.mono += 1.0
    clock.utc += 365 * DAY
    synchronised[0] = False
    assert not time.now().trusted
    clock.mono += 1.0
    clock.utc -= 365 * DAY - 1.0
    assert time.now().trusted, "set back to where it was, it is as good as before"


@pytest.mark.parametrize(
    ("days", "off_s", "trusted"),
    [
        (30, 0.0, True),
        (30, 200.0, True),
        (30, 300.0, False),
        (30, -300.0, False),
        (59.9, 0.0, True),
        (60.1, 0.0, False),
    ],
)
def test_trust_holds_over_without_a_time_server(days: float, off_s: float, trusted: bool) -> None:
    clock, synchronised = Clock(BUILD_UTC + DAY), [True]
    time = TrustedTime(clock, "kernel", "boot", lambda: 0.0, lambda: synchronised[0])
    assert time.now().trusted
    synchronised[0] = False
    clock.mono += days * DAY
    clock.utc += days * DAY + off_s
    assert time.now().trusted is trusted


@pytest.mark.parametrize(
    ("vouched", "trusted"),
    [
        (None, False),
        ((40.0, BUILD_UTC + DAY - 60.0), True),
        ((40.0, BUILD_UTC + DAY - 3600.0), False),  # the clock was set meanwhile
        ((160.0, BUILD_UTC + DAY + 60.0), False),  # of a time to come: that was no record of this boot
    ],
)
def test_trust_holds_over_a_start_of_the_daemon(vouched: tuple[float, float] | None, trusted: bool) -> None:
    """By a record of the daemon before; the kernel has taken its word back meanwhile."""
    time = TrustedTime(Clock(BUILD_UTC + DAY), "kernel", "boot", lambda: 0.0, lambda: False, vouched=lambda: vouched)
    assert time.now().trusted is trusted


def test_the_floor_moves_on_with_elapsed_time_and_stays_one() -> None:
    clock, floor = Clock(0.0), [BUILD_UTC + DAY]
    time = TrustedTime(clock, "kernel", "boot", lambda: floor[0], lambda: False)
    assert time.now().floor_utc == BUILD_UTC + DAY
    clock.mono += 10 * DAY
    moved = time.now().floor_utc
    assert BUILD_UTC + 10.9 * DAY < moved < BUILD_UTC + 11 * DAY
    floor[0] = BUILD_UTC + 2 * DAY  # the clock was wrong: what is trusted now counts, from now on
    assert time.now().floor_utc == BUILD_UTC + 2 * DAY


def test_a_clock_set_back_does_not_wait_for_belief() -> None:
    """A plausible clock chip that was set back an hour is as wrong an hour later."""
    clock, floor = Clock(BUILD_UTC + DAY), [BUILD_UTC + DAY]
    time = TrustedTime(clock, "rtc", "boot", lambda: floor[0], lambda: False)
    assert time.now().trusted
    clock.utc -= 3600
    for _ in range(5):
        assert not time.now().trusted
        clock.mono += 3600
        clock.utc += 3600


def test_the_real_kernel_answers() -> None:
    assert kernel_synchronised() in (True, False)
