"""The machine's clocks, and whether the calendar can be trusted; in words and as a table: docs/trusted-time.md.

Trusted: the kernel says that it is synchronised, or said so earlier in this boot and nobody has set the clock since;
or a declared RTC is plausible (not behind the floor, not years ahead of it); or the site assumes it (containers,
tests). The floor is the later of the last trusted time journalled and the build's date, and moves on with the time
elapsed since it was heard. A synchronised kernel may go behind the floor: it then corrects a time that was wrong.
"""

from __future__ import annotations

import asyncio
import ctypes
import random
import time
from collections.abc import Callable
from pathlib import Path

from drivers.ports import Clock
from fsm.model import Now

BUILD_UTC = 1_790_000_000.0  # 2026-09-21: no vendingd ran before
RTC_HORIZON_S = 5 * 366 * 86400.0  # an RTC further ahead of the floor than this has lost its mind
STA_UNSYNC = 0x0040  # linux/timex.h
ASK_AGAIN_S = 5.0
STEP_S = 2.0  # calendar and elapsed time part by more than this only where somebody sets the clock (a leap second is 1)
HOLD_S = 60 * 86400.0  # the kernel takes its word back after nine hours without a time server; the clock goes on well
HOLD_DRIFT = 1e-4  # a poor oscillator's: nine minutes in sixty days
FLOOR_PACE = 1 - 2e-4  # of elapsed time: slower than any oscillator, so that a floor stays one


class SystemClock:
    """CLOCK_MONOTONIC and CLOCK_REALTIME; the loop's own time is CLOCK_MONOTONIC too."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc_now(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - time.monotonic()))


class SystemRandom:
    """Chance for backoff."""

    def random(self) -> float:
        return random.random()


def boot_id() -> str:
    """The kernel's name for this boot: what CLOCK_MONOTONIC counts from."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as its status; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


def kernel_synchronised() -> bool:
    """Whether adjtimex(2) says so (chrony, ntpd and systemd-timesyncd all tell the kernel)."""
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    state = libc.adjtimex(ctypes.byref(timex))
    return bool(state >= 0 and not timex.status & STA_UNSYNC)


class TrustedTime:
    """Makes each step's `Now`. `trust` is the site's word: kernel, rtc or assume.

    `vouched`: elapsed and calendar time of a trusted record of this boot, by a daemon before this one.
    """

    def __init__(
        self,
        clock: Clock,
        trust: str,
        boot: str,
        floor: Callable[[], float],
        synchronised: Callable[[], bool] = kernel_synchronised,
        *,
        vouched: Callable[[], tuple[float, float] | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._trust = trust
        self._boot = boot
        self._floor = floor
        self._synchronised = synchronised
        self._vouched = vouched
        self._asked_mono = float("-inf")
        self._said = False
        self._offset: float | None = None  # calendar less elapsed time, at the last look
        self._anchor: tuple[float, float] | None = None  # elapsed and calendar time when the kernel was last sure
        self._heard: tuple[float, float] | None = None  # the newest floor, and when it was heard

    def now(self) -> Now:
        mono, utc = self._clock.monotonic(), self._clock.utc_now()
        floor = self._floor_now(mono)
        return Now(mono, utc, self._believed(mono, utc, floor), floor, self._boot)

    def _floor_now(self, mono: float) -> float:
        newest = max(self._floor(), BUILD_UTC)
        if self._heard is None or self._heard[0] != newest:
            self._heard = (newest, mono)
        return newest + max(0.0, mono - self._heard[1]) * FLOOR_PACE

    def _believed(self, mono: float, utc: float, floor: float) -> bool:
        if self._trust == "assume":
            return True
        said = self._kernel_says(mono, utc)
        if utc < BUILD_UTC:
            return False
        if said:
            self._anchor = (mono, utc)
            return True
        if self._trust == "rtc" and floor - STEP_S <= utc < floor + RTC_HORIZON_S:
            return True
        return self._holds_over(mono, utc)

    def _kernel_says(self, mono: float, utc: float) -> bool:
        """Asked now and then, and at once when the clock has been set: that takes the kernel's word back."""
        offset = utc - mono
        stepped = self._offset is not None and abs(offset - self._offset) > STEP_S
        self._offset = offset
        if stepped or mono - self._asked_mono >= ASK_AGAIN_S:
            self._asked_mono, self._said = mono, self._synchronised()
        return self._said

    def _holds_over(self, mono: float, utc: float) -> bool:
        """Synchronised once in this boot, and counted on since without being set."""
        anchor = self._anchor or self._vouched()
        if anchor is None:
            return False
        elapsed = mono - anchor[0]
        return 0.0 <= elapsed <= HOLD_S and abs(utc - anchor[1] - elapsed) <= STEP_S + HOLD_DRIFT * elapsed
