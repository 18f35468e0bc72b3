"""Raw ptys with hardware at their far ends, written from the protocols' descriptions; and a device under test."""

import asyncio
import os
import random
import tty
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from drivers import registry
from drivers.ports import (
    Device,
    DeviceStatus,
    LevelRead,
    Report,
    SerialSettings,
    Surroundings,
)
from drivers.wires.serial import SerialWire

T = TypeVar("T")
HANG_S = 20.0  # a test that waits this long has failed; nothing else depends on it


class Cable:
    """A port at a path of its own. `on_bytes` gets whatever the device writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.on_bytes: Callable[[bytes], None] = lambda data: None
        self._master = -1

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave  # kept open, so that the master never hangs up between two openings
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def unplug(self) -> None:
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = -1

    def send(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)

    def _readable(self) -> None:
        self.on_bytes(os.read(self._master, 4096))


class RealClock:
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def utc_now(self) -> float:
        return 1_700_000_000.0

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - self.monotonic()))


class Rig:
    """One device under test on cables, running."""

    def __init__(self, driver: str, cables: Iterable[Cable], **options: Any) -> None:
        self.cables = list(cables)
        self.reports: list[Report] = []
        self._news = asyncio.Event()
        around = Surroundings(
            clock=RealClock(),
            random=random.Random(1),
            workers=None,  # type: ignore[arg-type]
            serial=SerialWire,
            pins=lambda: None,
            spawn=asyncio.create_task,
        )
        found = registry.find(driver)
        self.device: Any = found.make("device", found.options.model_validate(options), around)
        assert isinstance(self.device, Device)
        self.clock = around.clock
        self.task = asyncio.create_task(self.device.run(self._sink))

    def _sink(self, report: Report) -> None:
        self.reports.append(report)
        self._news.set()

    def news(self) -> None:
        """Something that `until` looks at has changed on the far end."""
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds; looked at with every report and every command that arrives at the far end."""
        async with asyncio.timeout(HANG_S):
            while not holds():
                if self.task.done():
                    self.task.result()
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.result()
        for cable in self.cables:
            cable.unplug()

    def of(self, kind: type[T]) -> list[T]:
        return [report for report in self.reports if isinstance(report, kind)]

    def levels(self) -> dict[int, bool | None]:
        return {report.channel: report.value for report in self.of(LevelRead)}

    def up(self, channel: int | None = None) -> bool | None:
        """The newest status of the device or of one channel; None: not told yet."""
        told = [status.up for status in self.of(DeviceStatus) if status.channel == channel]
        return told[-1] if told else None


def settings_of(cable: Cable) -> SerialSettings:
    return SerialSettings(str(cable.path), 9600)
