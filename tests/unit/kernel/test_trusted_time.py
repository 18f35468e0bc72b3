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


def test_the_real_kernel_answers() -> None:
    assert kernel_synchronised() in (True, False)
