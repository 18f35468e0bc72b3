"""Devices over memory wires in simulated time: nothing waits, nothing depends on how fast the machine is."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from drivers.memory import MemoryPorts
from drivers.ports import DeviceStatus, LevelRead, Report, Surroundings

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer when nothing is ready; a wait that nothing can end is an error."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def hangs(self, seconds: float) -> None:
        """The process was not run for so long: what is due meanwhile is found late, all at once."""
        self._now += seconds

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise AssertionError("everybody waits and no timer is left")
        self._now += timeout
        return ()

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class LoopClock:
    """The loop's time is the machine's."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def utc_now(self) -> float:
        return 1_700_000_000.0 + self.monotonic()

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - self.monotonic()))


class Bench:
    """What a device gets, and what it reports."""

    def __init__(self) -> None:
        self.ports = MemoryPorts()
        self.reports: list[Report] = []
        self.around = Surroundings(
            clock=LoopClock(),
            random=random.Random(1),
            workers=None,  # type: ignore[arg-type]
            serial=self.ports,
            pins=lambda: None,
            spawn=asyncio.create_task,
        )

    def now(self) -> float:
        return self.around.clock.monotonic()

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def levels(self) -> dict[int, bool | None]:
        """The newest level of each channel."""
        return {report.channel: report.value for report in self.reports if isinstance(report, LevelRead)}

    def status(self, channel: int | None = None) -> DeviceStatus | None:
        """The newest status of the device, or of one channel."""
        found = [r for r in self.reports if isinstance(r, DeviceStatus) and r.channel == channel]
        return found[-1] if found else None

    def of(self, kind: type[T]) -> list[T]:
        return [report for report in self.reports if isinstance(report, kind)]


def virtually(test: Callable[[Bench], Awaitable[None]]) -> Callable[[], None]:
    """Makes a coroutine of a bench into a test in simulated time."""

    def run() -> None:
        loop = VirtualLoop()
        bench = Bench()
        try:
            loop.run_until_complete(_checked(test(bench)))
        finally:
            leftovers = asyncio.all_tasks(loop)
            for task in leftovers:
                task.cancel()
            if leftovers:
                loop.run_until_complete(asyncio.wait(leftovers))
            loop.close()
        for task in leftovers:
            if not task.cancelled() and task.exception() is not None:
                raise AssertionError("a device's task died") from task.exception()

    run.__name__ = getattr(test, "__name__", "test")
    run.__doc__ = test.__doc__
    return run


async def _checked(test: Awaitable[None]) -> None:
    await test


def start(bench: Bench, run: Callable[[Callable[[Report], None]], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
    return asyncio.create_task(run(bench.reports.append))
