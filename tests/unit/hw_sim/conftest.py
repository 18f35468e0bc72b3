"""The daemon's end of simulated wires, spoken byte by byte."""

import asyncio
import os
import random
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.line import Line
from tests.unit.hw_sim.sim_waiting import until


class Host:
    """Opens a simulated port as a program would and reads it on the loop."""

    def __init__(self, path: Path, speed: int | None = None) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        if speed is not None:
            mode = termios.tcgetattr(self.fd)
            mode[4] = mode[5] = speed
            termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        self.data = bytearray()
        self.hung_up = False
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def _read(self) -> None:
        try:
            got = os.read(self.fd, 4096)
        except OSError:
            got = b""
        self.data += got
        if not got:
            self.hung_up = True
            asyncio.get_running_loop().remove_reader(self.fd)
        self._more.set()

    def write(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)

    async def read(self, n: int) -> bytes:
        """Exactly n bytes; fails the test where they never come."""
        async with asyncio.timeout(10):
            while len(self.data) < n and not self.hung_up:
                self._more.clear()
                await self._more.wait()
        got = bytes(self.data[:n])
        del self.data[:n]
        return got

    async def until_hung_up(self) -> None:
        async with asyncio.timeout(10):
            while not self.hung_up:
                self._more.clear()
                await self._more.wait()

    def close(self) -> None:
        if self.fd >= 0:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1


@pytest.fixture
def log() -> PhysicalLog:
    return PhysicalLog()


@pytest.fixture
async def wire(tmp_path: Path, log: PhysicalLog) -> AsyncIterator[Callable[..., Line]]:
    """Makes plugged lines; unplugs them at the end."""
    lines: list[Line] = []

    def make(baud: int = 115200, seed: int = 1, half_duplex: bool = False) -> Line:
        name = f"line{len(lines)}"
        line = Line(name, tmp_path / "ports" / name, baud, random.Random(seed), log, half_duplex=half_duplex)
        line.plug()
        lines.append(line)
        return line

    yield make
    for line in lines:
        line.unplug()


@pytest.fixture
async def host() -> AsyncIterator[Callable[..., Awaitable[Host]]]:
    """Opens ports and waits until the line has noticed."""
    hosts: list[Host] = []

    async def open_at(line: Line, speed: int | None = None) -> Host:
        one = Host(line.path, speed)
        hosts.append(one)
        await until(lambda: line.peer_open)
        return one

    yield open_at
    for one in hosts:
        one.close()
