"""A clock that only a test moves, and gpiozero's mock factory as one that can be unplugged."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from drivers.ports import LevelRead, Report, Surroundings
from drivers.wires.gpio import PinSource


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    def utc_now(self) -> float:
        return 1_800_000_000.0 + self.now

    async def sleep_until(self, deadline_mono: float) -> None:
        if deadline_mono <= self.now:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((deadline_mono, future))
        await future

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move on, stopping at each deadline so that what wakes up there runs at its own time."""
        end = self.now + seconds
        await self.settle()
        while True:
            self._sleepers = [(at, f) for at, f in self._sleepers if not f.done()]
            due = min((at for at, _ in self._sleepers), default=end + 1)
            if due > end:
                break
            self.now = due
            for at, future in self._sleepers:
                if at <= due and not future.done():
                    future.set_result(None)
            await self.settle()
        self.now = end


class Inline:
    """Workers whose threads are the caller's own."""

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        raise AssertionError("GPIO needs no process")


class Halves:
    def random(self) -> float:
        return 0.5


class UnpluggablePin(MockPin):
    """A mock pin behind a connection; every access fails while that is gone."""

    def _touch(self) -> None:
        if self.factory.gone:
            raise ConnectionResetError("simulated wire is gone")
        self.factory.touched += 1

    def _get_state(self) -> Any:
        self._touch()
        return super()._get_state()

    def _set_state(self, value: Any) -> None:
        self._touch()
        if self.factory.fail_writing is not None and bool(value) == self.factory.fail_writing:
            raise OSError("write refused")
        super()._set_state(value)

    def _set_function(self, value: str) -> None:
        self._touch()
        self.factory.history.append((self._number, value))
        super()._set_function(value)

    def _change_state(self, value: bool) -> bool:
        changed = super()._change_state(value)
        if changed:
            self.factory.history.append((self._number, "high" if value else "low"))
        return bool(changed)


class UnpluggableFactory(MockFactory):
    def __init__(self) -> None:
        self.gone = False
        self.touched = 0
        self.fail_writing: bool | None = None
        self.history: list[tuple[int, str]] = []
        super().__init__(pin_class=UnpluggablePin)

    def wire(self, number: int) -> Any:
        return self.pin(number)


class Bench:
    """One set of lines, and what devices said."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.made: list[UnpluggableFactory] = []
        self.openable = True
        self.source = _Source(self)
        self.said: list[Report] = []
        self.surroundings = Surroundings(
            clock=self.clock,
            random=Halves(),
            workers=Inline(),
            serial=None,  # type: ignore[arg-type]
            pins=self.source,
            spawn=asyncio.ensure_future,
        )
        self._running: list[asyncio.Task[None]] = []

    @property
    def factory(self) -> UnpluggableFactory:
        return self.made[-1]

    async def start(self, device: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(device.run(self.said.append))
        self._running.append(task)
        await self.clock.settle()
        return task

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def from_thread(self, act: Callable[[], object]) -> None:
        """Do it in a foreign thread, as lgpio's callbacks do, and let the loop take note."""
        thread = threading.Thread(target=act)  # pytest fails on an exception that escapes it
        thread.start()
        thread.join()
        await self.clock.settle()

    def levels(self) -> list[tuple[int, bool | None]]:
        return [(r.channel, r.value) for r in self.said if isinstance(r, LevelRead)]


class _Source(PinSource):
    def __init__(self, bench: Bench) -> None:
        super().__init__("mock")
        self._bench = bench

    def _maker(self) -> Callable[[], Any]:
        def make() -> UnpluggableFactory:
            if not self._bench.openable:
                raise ConnectionRefusedError("nobody listens")
            factory = UnpluggableFactory()
            self._bench.made.append(factory)
            return factory

        return make


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.stop()
