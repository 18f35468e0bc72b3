"""Deadlines are data on aggregates; this turns those of the published world into events.

A deadline is an ordinary event with its number: what has been disarmed or armed anew meanwhile ignores it. Deadlines
of the calendar fire only while time is trusted, and are looked at again whenever the clock may have been set.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping

from drivers.ports import Clock
from fsm.events import DeadlineReached, Event
from fsm.model import Aggregate, Bay, Deadline, Now, Rental, Visit
from fsm.world import Key, World

LOOK_S = 30.0  # calendar deadlines are looked at no less often: clocks are set


class Timers:
    """Two heaps, elapsed and calendar, of (when, kind, id, name, n)."""

    def __init__(self, clock: Clock, now: Callable[[], Now], post: Callable[[Event], None]) -> None:
        self._clock = clock
        self._now = now
        self._post = post
        self._mono: list[tuple[float, str, str, str, int]] = []
        self._utc: list[tuple[float, str, str, str, int]] = []
        self._known: dict[Key, dict[str, Deadline]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._at = float("inf")

    def load(self, world: World) -> None:
        """Start from a whole world."""
        self._mono.clear()
        self._utc.clear()
        self._known.clear()
        for kind in ("rental", "bay", "visit"):
            self.changed({(kind, key): agg for key, agg in world.of[kind].items()})
        self._plan()

    def changed(self, changes: Mapping[Key, Aggregate | None]) -> None:
        """Take over the deadlines of what was published."""
        boot = None
        for key, agg in changes.items():
            if key[0] not in ("rental", "bay", "visit"):
                continue
            old = self._known.get(key, {})
            new = {d.name: d for d in agg.deadlines} if isinstance(agg, Rental | Bay | Visit) else {}
            if new == old:
                continue
            for name, deadline in new.items():
                if old.get(name) == deadline:
                    continue
                entry = (deadline.at, key[0], key[1], name, deadline.n)
                if deadline.clock == "utc":
                    heapq.heappush(self._utc, entry)
                else:
                    boot = boot or self._now().boot
                    if deadline.boot == boot:  # those of another boot are recovery's
                        heapq.heappush(self._mono, entry)
            if new:
                self._known[key] = new
            else:
                self._known.pop(key, None)
        self._plan()

    def _live(self, entry: tuple[float, str, str, str, int]) -> bool:
        known = self._known.get((entry[1], entry[2]), {}).get(entry[3])
        return known is not None and known.n == entry[4]

    def _plan(self) -> None:
        now = self._clock.monotonic()
        at = float("inf")
        for heap in (self._mono, self._utc):
            while heap and not self._live(heap[0]):
                heapq.heappop(heap)
        if self._mono:
            at = self._mono[0][0]
        if self._utc:
            state = self._now()
            ahead = self._utc[0][0] - state.utc if state.trusted else LOOK_S
            at = min(at, now + min(max(0.0, ahead), LOOK_S))
        if at == self._at and self._handle is not None:
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = at
        if at != float("inf"):
            self._handle = asyncio.get_running_loop().call_later(max(0.0, at - now), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._at = float("inf")
        now = self._now()
        self._due(self._mono, now.mono)
        if now.trusted:
            self._due(self._utc, now.utc)
        self._plan()

    def _due(self, heap: list[tuple[float, str, str, str, int]], now: float) -> None:
        while heap and heap[0][0] <= now + 1e-6:
            entry = heapq.heappop(heap)
            if self._live(entry):
                _, kind, key, name, n = entry
                known = self._known[kind, key]
                del known[name]
                if not known:  # nothing of what is long over stays
                    del self._known[kind, key]
                self._post(DeadlineReached(kind, key, name, n))

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
