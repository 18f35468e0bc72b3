"""One thread that runs calls in order, for an event loop that must not block. Knows nothing of databases."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Calls(Protocol):
    """What runs calls one after the other, in the order in which they were made."""

    async def call(self, fn: Callable[[], T]) -> T:
        """Run `fn`; cancelling the wait does not cancel the call."""
        ...

    async def stop(self, last: Callable[[], None]) -> None:
        """Run what was queued, then `last`; nothing is called after."""
        ...


class MakeCalls(Protocol):
    """A seam: makes what runs the calls; for its arguments see `CallThread`."""

    def __call__(self, name: str, when_idle: Callable[[], None] = lambda: None, /) -> Calls: ...


class CallThread:
    """Runs calls one after the other in its own thread.

    Cheaper than an executor (one hop back into the loop and no more), and a daemon thread: a disk that never
    answers must not keep the process from ending.
    """

    def __init__(self, name: str, when_idle: Callable[[], None] = lambda: None) -> None:
        """`when_idle` runs in the thread after a call's result was handed over, when no other call waits."""
        self._when_idle = when_idle
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def call(self, fn: Callable[[], T]) -> T:
        """Run `fn` in the thread; cancelling the wait does not cancel the call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def succeed(result: T) -> None:
            if not future.done():
                future.set_result(result)

        def fail(exc: BaseException) -> None:
            if not future.done():
                future.set_exception(exc)

        def job() -> None:
            tell: Callable[[], object]
            try:
                result = fn()
            except BaseException as exc:  # noqa: BLE001 - raised again where it was asked for
                error = exc

                def tell() -> None:
                    fail(error)
            else:

                def tell() -> None:
                    succeed(result)

            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(tell)

        self._jobs.put(job)
        return await future

    async def stop(self, last: Callable[[], None]) -> None:
        """Run what was queued, then `last`, then end the thread."""
        try:
            await self.call(last)
        finally:
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it holds what it returned
            if self._jobs.empty():
                self._when_idle()
