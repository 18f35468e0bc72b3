"""Simulated time: a heap of what the plant does by itself, and an event loop that jumps to what comes next."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

SPIN_MOST = 200_000  # turns of the loop without time going on: the daemon spins


class PowerCut(SystemExit):
    """Leaves the loop at once, through every `except Exception`."""


class Stuck(AssertionError):
    """The daemon waits for nothing, or spins."""


class Timeline:
    """One time for everything, seconds since the simulation began; what is due is called in order."""

    def __init__(self) -> None:
        self.t = 0.0
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self._n = itertools.count()

    def at(self, t: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (max(t, self.t), next(self._n), call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.t + seconds, call)

    def run_until(self, t: float) -> None:
        """While no daemon runs: the plant alone."""
        while self.heap and self.heap[0][0] <= t:
            at, _, call = heapq.heappop(self.heap)
            self.t = max(self.t, at)
            call()
        self.t = max(self.t, t)


class _Ready(deque[Any]):
    """The loop's queue of callbacks; the power may be cut before any of them."""

    left: int | None = None  # callbacks that still run; None: no cut is planned

    def popleft(self) -> Any:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = None
                raise PowerCut
        return super().popleft()


class SimLoop(asyncio.BaseEventLoop):
    """One boot of the daemon. It is dropped, never closed in order, when the power goes."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self.timeline = timeline
        self._selector = self
        self._clock_resolution = 1e-6  # finer, and a double cannot hold the time after some months
        self._ready = _Ready()
        self._spun, self._spun_at = 0, -1.0
        self._dead = False
        self.set_exception_handler(lambda loop, context: None)  # a corpse's complaints

    def cut_after(self, callbacks: int) -> None:
        """Cut the power before the n-th callback from now."""
        self._ready.left = callbacks

    def time(self) -> float:
        return self.timeline.t

    def select(self, timeout: float | None) -> tuple[()]:
        line = self.timeline
        limit = float("inf") if timeout is None else line.t + timeout
        while not self._ready and line.heap and line.heap[0][0] <= limit:
            at, _, call = heapq.heappop(line.heap)
            line.t = max(line.t, at)
            call()
        if not self._ready:
            if limit == float("inf"):
                raise Stuck("everybody waits and nothing will happen any more")
            line.t = max(line.t, limit)
        if line.t != self._spun_at:
            self._spun, self._spun_at = 0, line.t
        else:
            self._spun += 1
            if self._spun > SPIN_MOST:
                raise Stuck("the daemon spins")
        return ()

    def bury(self) -> None:
        """Whatever a corpse still does at its garbage collection is not heard any more."""
        self._dead = self._closed = True

    def _check_closed(self) -> None:
        if not self._dead:
            super()._check_closed()  # type: ignore[misc]

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
