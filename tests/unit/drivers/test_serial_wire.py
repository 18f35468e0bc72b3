"""The serial wire on raw ptys: one error for every loss, nothing blocked, nothing old."""

import asyncio
import os
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.link import WireLostUnwritten
from drivers.ports import SerialSettings, WireLost
from drivers.wires import serial as wires
from drivers.wires.serial import SerialWire


class Pty:
    """A port at a path of its own; the master is the far end of the cable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.path.unlink()
            self.master = -1

    def wire(self, **options: Any) -> SerialWire:
        return SerialWire(SerialSettings(str(self.path), 9600), **options)


@pytest.fixture
def pty(tmp_path: Path) -> Iterator[Pty]:
    made = Pty(tmp_path / "port")
    yield made
    made.unplug()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def test_bytes_cross_both_ways_untouched(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    everything = bytes(range(256))
    os.write(pty.master, everything)
    got = b""
    while len(got) < 256:
        got += await wire.read()
    assert got == everything
    await wire.write(everything)
    assert await in_thread(os.read, pty.master, 1000) == everything
    wire.close()


async def test_a_missing_port_says_what_to_check(tmp_path: Path) -> None:
    wire = SerialWire(SerialSettings(str(tmp_path / "nothing"), 9600))
    with pytest.raises(WireLost, match="nothing is not there: check the cable and the path"):
        await wire.open()
    wire.close()


async def test_what_is_no_port_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no port")
    with pytest.raises(WireLost, match="file"):
        await SerialWire(SerialSettings(str(tmp_path / "file"), 9600)).open()


async def test_a_port_belongs_to_one(pty: Pty) -> None:
    first, second = pty.wire(), pty.wire()
    await first.open()
    with pytest.raises(WireLost, match="in use by another program"):
        await second.open()
    first.close()
    await second.open()
    second.close()


async def test_unplugging_ends_a_read_that_waits_and_every_later_one(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    reading = asyncio.create_task(wire.read())
    await asyncio.sleep(0)
    pty.unplug()
    with pytest.raises(WireLost):
        await reading
    with pytest.raises(WireLost):
        await wire.read()
    with pytest.raises(WireLostUnwritten):
        await wire.write(b"late")
    wire.close()


async def test_a_write_to_what_went_away_unnoticed_left_nothing(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    pty.unplug()
    with pytest.raises(WireLostUnwritten):  # no await in between: the loop has not seen the hang-up
        await wire.write(b"\x8a\x01\x01\x11\x9b")
    wire.close()


async def test_what_arrived_before_a_loss_is_still_read(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    os.write(pty.master, b"last words")
    assert await wire.read() == b"last words"
    pty.unplug()
    with pytest.raises(WireLost):
        await wire.read()
    wire.close()


async def test_a_replugged_port_opens_again_empty(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    pty.unplug()
    with pytest.raises(WireLost):
        await wire.read()
    wire.close()
    with pytest.raises(WireLost):
        await wire.open()
    pty.plug()
    os.write(pty.master, b"scanned while nobody listened\r")
    await wire.open()
    os.write(pty.master, b"fresh\r")
    assert await wire.read() == b"fresh\r"
    wire.close()


async def test_a_port_that_was_closed_opens_again_empty(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    wire.close()
    os.write(pty.master, b"meanwhile\r")
    await wire.open()
    os.write(pty.master, b"fresh\r")
    assert await wire.read() == b"fresh\r"
    wire.close()
    wire.close()
    with pytest.raises(WireLost, match="closed"):
        await wire.read()


async def test_closing_ends_a_read(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    reading = asyncio.create_task(wire.read())
    await asyncio.sleep(0)
    wire.close()
    with pytest.raises(WireLost, match="closed"):
        await reading


async def test_a_cancelled_read_loses_nothing(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    reading = asyncio.create_task(wire.read())
    await asyncio.sleep(0)
    os.write(pty.master, b"kept")
    reading.cancel()
    await asyncio.wait([reading])
    assert await wire.read() == b"kept"
    wire.close()


async def test_a_full_port_waits_without_holding_up_the_loop(pty: Pty) -> None:
    wire = pty.wire(stall_s=30)
    await wire.open()
    data = os.urandom(100_000)
    writing = asyncio.create_task(wire.write(data))
    for _ in range(10):
        await asyncio.sleep(0)  # the loop still turns
    assert not writing.done()

    def drain() -> bytes:
        got = b""
        while len(got) < len(data):
            got += os.read(pty.master, 65536)
        return got

    assert await in_thread(drain) == data
    await writing
    wire.close()


async def test_a_port_that_takes_nothing_more_is_lost(pty: Pty) -> None:
    wire = pty.wire(stall_s=0.05)
    await wire.open()
    with pytest.raises(WireLost, match="takes no bytes") as partly:
        await wire.write(bytes(100_000))
    assert not isinstance(partly.value, WireLostUnwritten), "some bytes left"
    with pytest.raises(WireLostUnwritten, match="takes no bytes"):
        for _ in range(1_000_000):  # the kernel may still make room for a few
            await wire.write(b"1")
    wire.close()


async def test_bytes_that_nobody_reads_stay_bounded(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "INBOX_LIMIT", 1000)
    wire = pty.wire()
    await wire.open()
    data = os.urandom(50_000)

    def fill() -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(pty.master, view) :]

    filling = asyncio.create_task(in_thread(fill))
    got = b""
    while len(got) < len(data):
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(wire._inbox) < 1000 + wires.READ_SIZE
        got += await wire.read()
    await filling
    assert got == data
    wire.close()


class Threads:
    """Workers with threads only, held until let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.done = asyncio.Event()

    async def thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        def held() -> Any:
            self.let_go.wait()
            return function(*arguments)

        try:
            return await asyncio.to_thread(held)
        finally:
            self.done.set()

    async def process(self, function: Callable[..., Any], *arguments: Any, timeout_s: float) -> Any:
        raise NotImplementedError


async def test_opening_in_a_thread(pty: Pty) -> None:
    threads = Threads()
    wire = wires.opener(threads)(SerialSettings(str(pty.path), 9600))
    threads.let_go.set()
    await wire.open()
    os.write(pty.master, b"hello")
    assert await wire.read() == b"hello"
    wire.close()


async def test_an_opening_cancelled_in_its_thread_leaves_the_port_free(pty: Pty) -> None:
    threads = Threads()
    wire = pty.wire(workers=threads)
    opening = asyncio.create_task(wire.open())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    threads.let_go.set()
    await threads.done.wait()
    await asyncio.sleep(0)
    other = pty.wire()
    await other.open()
    other.close()


async def test_opening_twice_is_a_defect(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    with pytest.raises(RuntimeError, match="open already"):
        await wire.open()
    wire.close()


async def test_what_was_received_but_not_read_is_gone_after_reopening(pty: Pty) -> None:
    wire = pty.wire()
    await wire.open()
    os.write(pty.master, b"unread")
    while not wire._inbox:
        await asyncio.sleep(0)
    wire.close()
    await wire.open()
    os.write(pty.master, b"fresh")
    assert await wire.read() == b"fresh"
    wire.close()
