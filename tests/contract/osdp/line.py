"""An RS-485 line with simulated readers behind a pty, and the driver at its other end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.ports import BadgeRead, DeviceStatus, DigitsEntered, LevelRead, Sense
from hw_sim.model.log import PhysicalLog
from hw_sim.wires.line import Line
from hw_sim.wires.osdp import Reader, ReaderBus, ReaderKeys, ReaderOptions
from tests.contract.serial.cables import HANG_S, Rig

KEY = bytes.fromhex("6b0c1f4de29a83b75508c4d1f7e6a239")
OTHER = bytes.fromhex("00112233445566778899aabbccddeeff")
CARD, BADGE = "wiegand26:0123ABC0", "wiegand26:0123ABC0"


def key_file(path: Path, key: bytes = KEY, mode: int = 0o600) -> Path:
    path.write_text(key.hex() + "\n")
    path.chmod(mode)
    return path


async def so(condition: Callable[[], bool]) -> None:
    """Wait until it is so: what the far end knows comes with no report."""
    async with asyncio.timeout(HANG_S):
        while not condition():
            await asyncio.sleep(0.005)


class Bench:
    """Readers at addresses 0, 1 … of one line, and the driver `osdp-reader` at the other end."""

    def __init__(self, folder: Path, *readers: ReaderOptions, baud: int = 9600) -> None:
        self.folder = folder
        self.log = PhysicalLog()
        self.line = Line("reader", folder / "rs485", baud, random.Random(7), self.log, half_duplex=True, grain=8)
        made = [Reader(n, options, random.Random(n)) for n, options in enumerate(readers or (ReaderOptions(key=KEY),))]
        self.readers = made
        self.bus = ReaderBus(self.line, made, self.log)
        self.pad = ReaderKeys(made[0], self.log, "reader")
        self.rig: Any = None
        self.line.plug()

    def start(self, **options: Any) -> Rig:
        """The driver, with a key file of KEY for each reader where the test has made none."""
        if "scbk" not in options:
            paths = [key_file(self.folder / f"reader{n}.key") for n in range(len(self.readers))]
            options["scbk"] = tuple(map(str, paths))
        addresses = tuple(range(len(self.readers)))
        self.rig = Rig("osdp-reader", [], port=str(self.line.path), addresses=addresses, **options)
        return self.rig

    async def up(self, **options: Any) -> Rig:
        """Started, the first reader's secure channel standing and its queue known to be empty."""
        rig = self.rig or self.start(**options)
        await rig.until(lambda: rig.up() is True)
        await self.polled()
        return rig

    async def polled(self) -> None:
        """Until the readers have told everything that they kept, and nothing after it."""
        await so(lambda: not any(reader.kept for reader in self.readers))
        counts = self.line.counters.frames
        target = counts["answers"] + 3 * len(self.readers)
        await so(lambda: counts["answers"] >= target)

    async def stop(self) -> None:
        if self.rig is not None:
            await self.rig.stop()
        self.line.unplug()

    def badges(self) -> list[str]:
        return [read.badge for read in self.rig.of(BadgeRead)]

    def digits(self) -> list[str]:
        return [entered.digits for entered in self.rig.of(DigitsEntered)]

    def tamper(self) -> bool | str | None:
        levels = [level for level in self.rig.of(LevelRead) if level.sense is Sense.TAMPER and level.channel == 1]
        return levels[-1].value if levels else "not told"

    def detail(self) -> str:
        told: list[DeviceStatus] = self.rig.of(DeviceStatus)
        return told[-1].detail if told else ""
