"""After a start, and after the journal was reopened: sense everything, then let the table decide; nothing moves.

The table itself is the domain's (`fsm.bay`, on AfterRestart; `fsm.custody`). This decides only when a bay has been
sensed: when each of its installed sensors has answered and settled, or when their time is over and silence counts as
unknown. Until then the bay refuses release and return; the rest of the machine serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from fsm.events import Event, Recover

SENSE_WITHIN_S = 6.0  # occupancy settles in 1.5 s; a slow bus of many boards needs a little more


class Recovery:
    """One at a time; `bay_answered` is asked at each word of a sensor."""

    def __init__(
        self,
        bays: Iterable[str],
        *,
        answered: Callable[[str], bool],
        post: Callable[[Event], None],
        within_s: float = SENSE_WITHIN_S,
    ) -> None:
        self._bays = tuple(bays)
        self._answered = answered
        self._post = post
        self._within_s = within_s
        self._waiting: set[str] = set()
        self._handle: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> frozenset[str]:
        """Bays that have not been decided about yet."""
        return frozenset(self._waiting)

    def begin(self) -> None:
        """The world was loaded, the restart is stepped; levels follow."""
        self.stop()
        self._waiting = set(self._bays)
        self._handle = asyncio.get_running_loop().call_later(self._within_s, self._time_over)

    def bay_heard(self, bay: str) -> None:
        if bay in self._waiting and self._answered(bay):
            self._decide(bay)

    def look(self) -> None:
        """Ask for all: sensors may have answered before."""
        for bay in self._bays:
            self.bay_heard(bay)

    def _decide(self, bay: str) -> None:
        self._waiting.discard(bay)
        # Behind the level that it was decided by: levels are drained first.
        self._post(Recover(bay))
        if not self._waiting:
            self.stop()

    def _time_over(self) -> None:
        self._handle = None
        for bay in self._bays:
            if bay in self._waiting:
                self._decide(bay)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
