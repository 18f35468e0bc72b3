"""Simulated time: a heap of all that is due, the plant's doings and the daemon's timers, and an event loop on it."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

SPIN_MOST = 200_000  # callbacks without time going on: the daemon spins


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
        heapq.heappush(self.heap, (t if t > self.t else self.t, next(self._n), call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.t + seconds, call)

    def run_until(self, t: float) -> None:
        """While no daemon runs: the plant alone."""
        while self.heap and self.heap[0][0] <= t:
            self.t, _, call = heapq.heappop(self.heap)
            call()
        self.t = max(self.t, t)


class _Handle:
    """A callback of the loop. What `asyncio.Handle` does beyond this (debugging, pictures of itself) costs a third."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_loop", "_when")

    def __init__(self, loop: SimLoop, callback: Any, args: Any, context: Any, when: float = 0.0) -> None:
        self._loop, self._callback, self._args = loop, callback, args
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._when = when

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None  # what it would have kept alive

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when

    def due(self) -> None:
        if not self._cancelled and not self._loop.dead:
            self._loop.ready.append(self)


class SimLoop(asyncio.BaseEventLoop):
    """One boot of the daemon. It is dropped, never closed in order, when the power goes."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        self.timeline = timeline
        self.ready: deque[_Handle] = deque()
        self.dead = False
        self.complaint = ""  # an error of the daemon that nobody caught
        self._left: int | None = None  # callbacks that still run until the power is cut
        self.set_exception_handler(self._complain)

    def cut_after(self, callbacks: int) -> None:
        """Cut the power before the n-th callback from now."""
        self._left = callbacks

    def time(self) -> float:
        return self.timeline.t

    # ------------------------------------------------ turning
    def _run_once(self) -> None:
        """Until somebody stops the loop."""
        line, ready, heap = self.timeline, self.ready, self.timeline.heap
        spun = 0
        while not self._stopping:  # type: ignore[attr-defined]
            if ready:
                if self._left is not None:
                    self._left -= 1
                    if self._left <= 0:
                        self._left = None
                        raise PowerCut
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                handle._context.run(handle._callback, *handle._args)
                spun += 1
                if spun > SPIN_MOST:
                    raise Stuck("the daemon spins")
            elif heap:
                at, _, call = heapq.heappop(heap)
                if at > line.t:
                    line.t = at
                    spun = 0
                call()
            else:
                raise Stuck("everybody waits and nothing will happen any more")

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = _Handle(self, callback, args, context)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # there are no threads

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = _Handle(self, callback, args, context, when)
        self.timeline.at(when, handle.due)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.timeline.t + delay, callback, *args, context=context)

    # ------------------------------------------------ its end
    def bury(self) -> None:
        """Whatever a corpse still does at its garbage collection is not heard any more."""
        self.dead = self._closed = True
        self.ready.clear()

    def _complain(self, loop: object, context: dict[str, Any]) -> None:
        if not self.dead and not isinstance(why := context.get("exception"), PowerCut):
            self.complaint = self.complaint or f"{context.get('message')}: {why!r}"

    def _check_closed(self) -> None:
        if not self.dead:
            super()._check_closed()  # type: ignore[misc]
