"""What the store in memory has beyond the contract: faults, commits that take time, a disk that outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from vendingd.journal.api import Batch, NewRecord, StateChange, StoreError, StoreErrorKind
from vendingd.journal.memory import Fault, MemoryDisk, MemoryStore

Record = Callable[..., NewRecord]


class SteppedClock:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self.now

    def utc_now(self) -> float:
        return 0.0

    async def sleep_until(self, deadline_mono: float) -> None:
        event = asyncio.Event()
        self.waiting.append((deadline_mono, event))
        await event.wait()

    def jump(self) -> None:
        deadline, event = self.waiting.pop(0)
        self.now = deadline
        event.set()


class Half:
    def random(self) -> float:
        return 0.5


@pytest.mark.parametrize("durable", [False, True])
async def test_a_fault_closes_the_store_until_it_is_opened(record: Record, durable: bool) -> None:
    store = MemoryStore()
    await store.open()
    await store.commit(Batch([record(1)]))
    store.fault = Fault(StoreErrorKind.FULL, durable)
    with pytest.raises(StoreError) as caught:
        await store.commit(Batch([record(2)], [StateChange("a", "x", b"1")]))
    assert caught.value.kind is StoreErrorKind.FULL
    store.fault = None
    with pytest.raises(StoreError) as closed:
        await store.commit(Batch([record(2)]))
    assert closed.value.kind is StoreErrorKind.CLOSED
    loaded = await store.open()
    assert loaded.next_seq == (3 if durable else 2)
    assert loaded.state == ({"a": {"x": b"1"}} if durable else {})
    assert (await store.verify()).ok


async def test_a_commit_takes_its_time_and_later_ones_wait(record: Record) -> None:
    clock = SteppedClock()
    store = MemoryStore(clock=clock, random=Half(), latency_s=(0.0, 0.02))
    await store.open()
    first = asyncio.create_task(store.commit(Batch([record(1)])))
    second = asyncio.create_task(store.commit(Batch([record(2)])))
    for _ in range(5):
        await asyncio.sleep(0)
    assert [deadline for deadline, _ in clock.waiting] == [0.01]
    assert store.disk.records == {}
    clock.jump()
    assert (await first).last_seq == 1
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    clock.jump()
    assert (await second).last_seq == 2
    assert clock.now == 0.02


async def test_a_store_that_is_dropped_in_a_commit_leaves_what_was_durable(record: Record) -> None:
    disk, clock = MemoryDisk(), SteppedClock()
    store = MemoryStore(disk, clock=clock, random=Half(), latency_s=(0.01, 0.02))
    first_epoch = (await store.open()).epoch
    dropped = asyncio.create_task(store.commit(Batch([record(1)])))
    for _ in range(5):
        await asyncio.sleep(0)
    again = MemoryStore(disk, boot_id="next")
    loaded = await again.open()
    assert (loaded.next_seq, loaded.epoch) == (1, first_epoch)
    dropped.cancel()
    assert await again.new_epoch("restored") != first_epoch


def test_latency_needs_a_clock_and_chance() -> None:
    with pytest.raises(ValueError, match="needs a clock"):
        MemoryStore(latency_s=(0.0, 1.0))
