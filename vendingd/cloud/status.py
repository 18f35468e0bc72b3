"""Whether the cloud answers, and waiting between attempts. Two channels: `feed` and `events`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from drivers.ports import Clock, HttpResponse, Random

CHANNELS = ("feed", "events")
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 60.0
RETRY_AFTER_MOST_S = 3600.0
NUDGE_AFTER_S = 1.0  # an attempt is brought forward no earlier than this after the last failure


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """`online`: each channel's last exchange went well, as far as tried. `backlog` counts unsent records."""

    online: bool
    since_mono: float
    last_error: str
    backlog: int


class Board:
    """Joins what both channels see. `on_change` is called when `online` or the error changes."""

    def __init__(self, clock: Clock, on_change: Callable[[CloudStatus], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._well: dict[str, bool | None] = dict.fromkeys(CHANNELS)
        self._errors: dict[str, str] = {}
        self._silent: dict[str, bool] = dict.fromkeys(CHANNELS, False)
        self._failed_mono: dict[str, float] = {}
        self.nudges = {channel: asyncio.Event() for channel in CHANNELS}
        self._status = CloudStatus(False, clock.monotonic(), "not asked yet", 0)

    @property
    def status(self) -> CloudStatus:
        return self._status

    def well(self, channel: str) -> bool:
        return self._well[channel] is True

    def heard(self, channel: str, began_mono: float) -> None:
        """The cloud did what was asked, by a request that began then."""
        self._well[channel], self._silent[channel] = True, False
        self._errors.pop(channel, None)
        for other in CHANNELS:
            # the cloud is reachable: who waits because it was not need not wait any longer
            if other != channel and self._silent[other] and began_mono >= self._failed_mono[other]:
                self.nudges[other].set()
        self._publish()

    def lost(self, channel: str, why: str, *, silent: bool) -> None:
        """It went wrong. `silent`: nothing answered (else the cloud refused, and said when to come back)."""
        self._well[channel], self._silent[channel] = False, silent
        self._failed_mono[channel] = self._clock.monotonic()
        self._errors[channel] = f"{channel}: {why}"
        self._publish()

    def backlog(self, count: int) -> None:
        """Kept for readers; a change of it alone is not announced."""
        s = self._status
        if count != s.backlog:
            self._status = CloudStatus(s.online, s.since_mono, s.last_error, count)

    def _publish(self) -> None:
        old = self._status
        online = any(self._well.values()) and False not in self._well.values()
        error = "; ".join(self._errors[c] for c in CHANNELS if c in self._errors)
        if (online, error) == (old.online, old.last_error):
            return
        since = old.since_mono if online == old.online else self._clock.monotonic()
        self._status = CloudStatus(online, since, error, old.backlog)
        self._on_change(self._status)


class Backoff:
    """Waits of one channel: doubling, half of each at random, so that machines do not come back in step."""

    def __init__(self, clock: Clock, random: Random, nudge: asyncio.Event) -> None:
        self._clock = clock
        self._random = random
        self._nudge = nudge
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    async def wait(self, at_least_s: float = 0.0) -> None:
        """Wait after a failure; a nudge ends it early unless the cloud named a time."""
        most = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        delay = max(at_least_s, most * (0.5 + 0.5 * self._random.random()))
        began = self._clock.monotonic()
        self._nudge.clear()
        await self._clock.sleep_until(began + max(min(delay, NUDGE_AFTER_S), at_least_s))
        await sleep_or(self._clock, began + delay, self._nudge)


async def sleep_or(clock: Clock, deadline_mono: float, event: asyncio.Event) -> None:
    """Wait for the deadline or the event, whichever comes first."""
    if event.is_set() or deadline_mono <= clock.monotonic():
        return
    waits = (asyncio.ensure_future(clock.sleep_until(deadline_mono)), asyncio.ensure_future(event.wait()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def retry_after_s(answer: HttpResponse) -> float:
    """What `Retry-After` asks for, 0 without it; at most an hour.

    A date is read against the answer's own `Date`: the machine's clock may be wrong.
    """
    value = header(answer, "Retry-After").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), RETRY_AFTER_MOST_S)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(header(answer, "Date"))
        return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_MOST_S)
    except (TypeError, ValueError):
        return 0.0


def header(answer: HttpResponse, name: str) -> str:
    """A header's value, whatever the case of its name; "" without it."""
    return next((v for k, v in answer.headers.items() if k.lower() == name.lower()), "")
