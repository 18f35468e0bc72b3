"""What all GPIO devices share: claim the lines, notice that they were lost, claim them again.

Owns the life of a device's lines. Must not know what they mean.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from drivers.link import Backoff
from drivers.ports import DeviceStatus, DriverError, Sink, Surroundings, WireLost
from drivers.wires.gpio import Line, LineUnusable, PinSource

log = logging.getLogger(__name__)

CHECK_S = 5.0  # between two looks at the levels: an edge can be lost, a factory can die silently


class GpioDevice(ABC):
    """A device made of GPIO lines. Subclasses say what to do with a claimed line."""

    def __init__(self, name: str, numbers: Sequence[int], surroundings: Surroundings) -> None:
        self.name = name
        self._numbers = tuple(numbers)
        self._clock = surroundings.clock
        self._backoff = Backoff(surroundings.random)
        self._workers = surroundings.workers
        self._pins = surroundings.pins
        if isinstance(self._pins, PinSource):
            self._pins.on_lost(self._fail)
        self._sink: Sink = lambda report: None
        self._lines: dict[int, Line] = {}  # empty: not claimed
        self._factory: Any = None
        self._trouble: asyncio.Future[str] | None = None  # set by whoever meets a dead line
        self._tried = asyncio.Event()  # the first attempt to claim the lines is over
        self._status: tuple[bool, str] | None = None

    async def run(self, sink: Sink) -> None:
        """See ports.Device."""
        self._sink = sink
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._trouble = loop.create_future()
                opened = self._clock.monotonic()
                try:
                    await self._claim()
                except DriverError as exc:
                    self._went_down(str(exc), factory_too=not isinstance(exc, LineUnusable))
                else:
                    self._say(True, "")
                    self._tried.set()
                    self._went_down(await self._watch(self._trouble))
                self._tried.set()
                if self._clock.monotonic() - opened > CHECK_S:
                    self._backoff.reset()
                await self._clock.sleep_until(self._clock.monotonic() + self._backoff.next_s())
        finally:
            self._let_go()

    # ------------------------------------------------------------ for subclasses
    @abstractmethod
    def _prepare(self, line: Line) -> None:
        """Make a claimed line ready. Raises WireLost."""

    @abstractmethod
    def _check(self) -> None:
        """Look at the lines, every CHECK_S and once after claiming. Raises WireLost."""

    @abstractmethod
    def _report_lost(self) -> None:
        """Report what is no longer known."""

    def _fail(self, detail: str) -> None:
        """A line could not be reached: claim all of them again."""
        if self._trouble is not None and not self._trouble.done():
            self._trouble.set_result(detail)

    # ------------------------------------------------------------ inside
    async def _claim(self) -> None:
        self._factory = await self._workers.thread(self._pins)
        for number in self._numbers:
            line = Line(self._factory, number)
            self._lines[number] = line
            self._prepare(line)
        self._check()

    async def _watch(self, trouble: asyncio.Future[str]) -> str:
        """Check now and then until something fails; returns what."""
        while True:
            pause = asyncio.ensure_future(self._clock.sleep_until(self._clock.monotonic() + CHECK_S))
            either: set[asyncio.Future[Any]] = {pause, trouble}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
            if trouble.done():
                return trouble.result()
            try:
                self._check()
            except WireLost as exc:
                return str(exc)

    def _went_down(self, detail: str, *, factory_too: bool = True) -> None:
        factory = self._factory
        self._let_go()
        if factory_too and isinstance(self._pins, PinSource):
            self._pins.discard(factory, detail)
        self._report_lost()
        self._say(False, detail)

    def _let_go(self) -> None:
        lines, self._lines = self._lines, {}
        self._factory = None
        for line in lines.values():
            line.close()

    def _say(self, up: bool, detail: str) -> None:
        if self._status != (up, detail):
            self._status = (up, detail)
            log.log(logging.INFO if up else logging.WARNING, "%s: %s", self.name, detail or "lines claimed")
            self._sink(DeviceStatus(self.name, up, detail))
