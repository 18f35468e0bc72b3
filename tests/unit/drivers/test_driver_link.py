"""Reopening, backoff and what is told about it; and the wire in memory."""

import asyncio
import random
from itertools import pairwise

import pytest

from drivers.link import Backoff, Link, Statuses, WireLostUnwritten, noteworthy, together
from drivers.memory import MemoryWire
from drivers.ports import ByteWire, DeviceStatus, Report, SerialSettings, WireLost
from tests.unit.drivers.drivers_virtual import Bench, virtually


class Always:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_backoff_doubles_to_its_limit_and_starts_again() -> None:
    backoff = Backoff(Always(1.0), first_s=1, longest_s=5)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next_s() == 1


def test_chance_takes_at_most_half() -> None:
    assert Backoff(Always(0.0), first_s=1).next_s() == 0.5
    chance = random.Random(7)
    delays = [Backoff(chance, first_s=1).next_s() for _ in range(200)]
    assert min(delays) >= 0.5 and max(delays) <= 1 and len(set(delays)) > 100


async def idle(wire: ByteWire) -> None:
    while True:
        await wire.read()


@virtually
async def test_a_missing_port_is_tried_ever_more_slowly(bench: Bench) -> None:
    wire = MemoryWire("port")
    wire.plugged = False
    tries: list[float] = []
    link = Link("pad", wire, bench.around.clock, Always(1.0))
    running = asyncio.create_task(link.run(idle, lambda detail: tries.append(bench.now())))
    await bench.passes(30)
    running.cancel()
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    assert set(map(round, waits[6:])) == {5}


@virtually
async def test_a_link_that_held_is_reopened_quickly(bench: Bench) -> None:
    wire = MemoryWire("port")
    downs: list[str] = []
    link = Link("pad", wire, bench.around.clock, Always(1.0))
    running = asyncio.create_task(link.run(idle, downs.append))
    for _ in range(5):
        await bench.passes(20)
        assert link.up
        wire.peer.unplug()
        wire.peer.plug()
        await bench.passes(0.05)
        assert not link.up and not wire.is_open
        await bench.passes(0.1)
        assert link.up
    running.cancel()
    await asyncio.wait([running])
    assert not link.up and not wire.is_open
    assert downs == ["port port went away"] * 5


@virtually
async def test_a_flapping_link_is_not_reopened_at_full_speed(bench: Bench) -> None:
    wire = MemoryWire("port")
    opened = 0

    async def lost_at_once(_: ByteWire) -> None:
        nonlocal opened
        opened += 1
        raise WireLost("flap")

    link = Link("pad", wire, bench.around.clock, Always(1.0))
    running = asyncio.create_task(link.run(lost_at_once, lambda detail: None))
    await bench.passes(60)
    running.cancel()
    assert opened < 20


@virtually
async def test_a_defect_in_serving_is_no_loss(bench: Bench) -> None:
    async def broken(_: ByteWire) -> None:
        raise KeyError("a defect")

    wire = MemoryWire()
    with pytest.raises(KeyError):
        await Link("pad", wire, bench.around.clock, Always(1.0)).run(broken, lambda detail: None)
    assert not wire.is_open


@virtually
async def test_serving_must_not_just_end(bench: Bench) -> None:
    async def ends(_: ByteWire) -> None:
        return

    with pytest.raises(RuntimeError, match="without the loss"):
        await Link("pad", MemoryWire(), bench.around.clock, Always(1.0)).run(ends, lambda detail: None)


@virtually
async def test_together_raises_what_failed_and_cancels_the_rest(bench: Bench) -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await bench.passes(1000)
        finally:
            ended.append("waits")

    async def fails() -> None:
        await bench.passes(1)
        raise WireLost("gone")

    with pytest.raises(WireLost, match="gone"):
        await together(waits(), fails())
    assert ended == ["waits"] and bench.now() == 1


# ---------------------------------------------------------------- statuses
def test_statuses_of_one_unit_speak_of_the_device_and_only_on_change() -> None:
    told: list[Report] = []
    statuses = Statuses("pad", {"a": (1, 2)})
    for up, detail in ((True, ""), (True, ""), (False, "gone"), (False, "gone"), (False, "busy"), (True, "")):
        statuses.tell(told.append, up, detail)
    assert told == [
        DeviceStatus("pad", True, ""),
        DeviceStatus("pad", False, "gone"),
        DeviceStatus("pad", False, "busy"),
        DeviceStatus("pad", True, ""),
    ]


def test_statuses_of_several_units_speak_of_their_channels_too() -> None:
    told: list[Report] = []
    statuses = Statuses("pads", {"a": (1,), "b": (2, 3)})
    statuses.tell(told.append, False, "a is off", "a")
    assert told == [DeviceStatus("pads", False, "a is off", 1)], "nothing is known of the other"
    told.clear()
    statuses.tell(told.append, True, "", "b")
    assert told == [
        DeviceStatus("pads", True, "", 2),
        DeviceStatus("pads", True, "", 3),
        DeviceStatus("pads", True, "a is off"),
    ]
    told.clear()
    statuses.tell(told.append, False, "cable", "b")
    assert told[-1] == DeviceStatus("pads", False, "a is off; cable")


def test_noteworthy() -> None:
    assert [n for n in range(1, 40) if noteworthy(n)] == [1, 2, 4, 8, 16, 32]


# ---------------------------------------------------------------- memory
@virtually
async def test_memory_ports_are_joined_by_name_and_purged_at_opening(bench: Bench) -> None:
    wire = bench.ports(SerialSettings("a", 9600))
    peer = bench.ports.peer("a")
    peer.send(b"nobody listens")
    await wire.open()
    assert peer.opened.is_set()
    peer.send(b"in")
    assert await wire.read() == b"in"
    await wire.write(b"out")
    assert await peer.read() == b"out"
    peer.unplug()
    with pytest.raises(WireLost):
        await wire.read()
    with pytest.raises(WireLostUnwritten):
        await wire.write(b"x")
    wire.close()
    with pytest.raises(WireLost):
        await wire.open()
    peer.plug()
    await wire.open()


@virtually
async def test_memory_wire_that_fills_up(bench: Bench) -> None:
    wire = bench.ports(SerialSettings("a", 9600))
    peer = bench.ports.peer("a")
    await wire.open()
    peer.limit(2)
    writing = asyncio.create_task(wire.write(b"abcd"))
    await bench.passes(1)
    assert not writing.done() and await peer.read() == b"ab"
    peer.limit(None)
    await writing
    assert await peer.read() == b"cd"
    peer.limit(1, cut=True)
    with pytest.raises(WireLost) as partly:
        await wire.write(b"xy")
    assert not isinstance(partly.value, WireLostUnwritten)
