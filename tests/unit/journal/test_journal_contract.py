"""What every Store does, the real one and the one in memory."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable

import pytest

from vendingd.journal.api import (
    AFTER_COMMIT,
    BEFORE_SYNC,
    BEFORE_WRITE,
    Batch,
    Committed,
    NewRecord,
    Refused,
    StateChange,
    Store,
    StoreError,
    StoreErrorKind,
)
from vendingd.journal.memory import MemoryStore
from vendingd.journal.store import Journal

Make = Callable[..., Store]
Record = Callable[..., NewRecord]


async def reopened(store: Store, make: Make, **how: str) -> Store:
    await store.close()
    again = make(**how)
    await again.open()
    return again


async def test_a_new_store_is_empty(make: Make) -> None:
    loaded = await make().open()
    assert (loaded.next_seq, loaded.acked, loaded.state, loaded.floor_utc) == (1, 0, {}, None)
    assert len(loaded.epoch) == 16
    assert len(loaded.head_hash) == 32


async def test_what_was_committed_is_loaded_again(make: Make, record: Record) -> None:
    store = make()
    epoch = (await store.open()).epoch
    first = await store.commit(
        Batch([record(1), record(2)], [StateChange("rental", "r", b"1"), StateChange("bay", "b", b"2")])
    )
    second = await store.commit(Batch([record(3)], [StateChange("rental", "r", b"3")]))
    assert (first.first_seq, first.last_seq) == (1, 2)
    assert (second.first_seq, second.last_seq) == (3, 3)
    await store.close()
    loaded = await make().open()
    assert loaded.epoch == epoch
    assert loaded.next_seq == 4
    assert loaded.head_hash == second.head_hash != first.head_hash
    assert loaded.state == {"rental": {"r": b"3"}, "bay": {"b": b"2"}}
    assert loaded.floor_utc == record(3).utc


async def test_a_record_comes_back_as_it_was_given(make: Make) -> None:
    store = make(boot_id="boot-7")
    epoch = (await store.open()).epoch
    given = NewRecord("kind", "s\u00fcbject \u0000 \U0001f511", b"\x00\xff", 0.1, -0.0, False, True)
    await store.commit(Batch([given]))
    (got,) = await store.records(0, 10)
    assert (got.kind, got.subject, got.data, got.utc, got.mono) == (
        given.kind, given.subject, given.data, 0.1, 0.0
    )  # fmt: skip
    assert (got.utc_trusted, got.offline, got.boot_id, got.epoch, got.seq) == (
        False,
        True,
        "boot-7",
        epoch,
        1,
    )
    assert got.name("tower-01") == f"tower-01/{epoch}/1"
    assert (await store.verify()).ok


async def test_states_apply_in_order_and_none_deletes(make: Make) -> None:
    store = make()
    await store.open()
    await store.commit(Batch(state=[StateChange("a", "x", b"1"), StateChange("a", "y", b"1")]))
    await store.commit(
        Batch(
            state=[
                StateChange("a", "x", b"2"),
                StateChange("a", "x", None),
                StateChange("a", "never", None),
                StateChange("a", "y", None),
                StateChange("a", "y", b"3"),
            ]
        )
    )
    assert (await store.open()).state == {"a": {"y": b"3"}}


async def test_a_commit_without_records_has_no_seq(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    one = await store.commit(Batch([record(1)]))
    assert await store.commit(Batch()) == Committed(2, 1, one.head_hash)
    assert await store.commit(Batch(state=[StateChange("a", "x", b"")])) == Committed(2, 1, one.head_hash)
    assert (await store.open()).state == {"a": {"x": b""}}


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
async def test_a_time_that_is_no_time_is_refused_and_nothing_is_written(
    make: Make, record: Record, time: float
) -> None:
    store = make()
    before = await store.open()
    for bad in (record(utc=time), record(mono=time)):
        with pytest.raises(ValueError, match="not finite"):
            await store.commit(Batch([record(1), bad], [StateChange("a", "x", b"1")]))
    assert (await store.commit(Batch([record(1)]))).first_seq == 1
    assert (await store.open()).state == before.state


async def test_the_cursor_moves_with_the_commit_and_never_back(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(n) for n in range(5)]))
    await store.commit(Batch(ack=3))
    await store.commit(Batch([record(5)], ack=2))
    assert (await store.open()).acked == 3
    await store.commit(Batch(ack=6))
    assert (await store.open()).acked == 6


async def test_an_answer_about_records_to_come_is_refused(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(1)]))
    for bad in (
        Batch([record(2)], ack=2),
        Batch([record(2)], ack=-1),
        Batch([record(2)], refused=[Refused(2, b"{}")]),
        Batch([record(2)], refused=[Refused(0, b"{}")]),
    ):
        with pytest.raises(ValueError, match="outside the journal"):
            await store.commit(bad)
    assert (await store.commit(Batch(ack=1))).last_seq == 1
    assert (await store.open()).next_seq == 2


async def test_refused_records_are_set_aside_with_the_cursor(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(n) for n in range(4)]))
    await store.commit(Batch(ack=4, refused=[Refused(3, b"why"), Refused(2, b"because")]))
    await store.commit(Batch(refused=[Refused(3, b"still")]))
    store = await reopened(store, make)
    assert (await store.open()).acked == 4
    assert [(s.record.seq, s.record.subject, s.problem) for s in await store.refused()] == [
        (2, "rental/1", b"because"),
        (3, "rental/2", b"still"),
    ]


async def test_records_are_read_in_order_from_behind_a_seq(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(n) for n in range(10)]))
    assert [r.seq for r in await store.records(0, 3)] == [1, 2, 3]
    assert [r.seq for r in await store.records(7, 100)] == [8, 9, 10]
    assert await store.records(10, 100) == []
    assert await store.records(0, 0) == []


async def test_calls_take_effect_in_the_order_of_the_calls(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    commits = [store.commit(Batch([record(n)] * (n % 3), [StateChange("a", "x", b"%d" % n)])) for n in range(40)]
    done = await asyncio.gather(*commits)
    assert all(a.last_seq + 1 == b.first_seq for a, b in itertools.pairwise(done))
    assert (await store.open()).state == {"a": {"x": b"39"}}
    assert [int(r.subject.split("/")[1]) for r in await store.records(0, 100)] == [
        n for n in range(40) for _ in range(n % 3)
    ]


async def test_the_floor_is_the_last_trusted_time(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(utc=500.0, utc_trusted=False)]))
    assert (await store.open()).floor_utc is None
    await store.commit(Batch([record(utc=100.0), record(utc=90.0), record(utc=800.0, utc_trusted=False)]))
    await store.commit(Batch([record(utc=900.0, utc_trusted=False)]))
    assert (await store.open()).floor_utc == 90.0


async def test_the_newest_record_vouches_for_the_time_in_its_own_boot(make: Make, record: Record) -> None:
    store = make()
    assert (await store.open()).vouched is None
    await store.commit(Batch([record(mono=40.0, utc=100.0), record(mono=50.0, utc=110.0)]))
    store = await reopened(store, make)
    assert (await store.open()).vouched == (50.0, 110.0)
    store = await reopened(store, make, boot_id="boot-2")
    assert (await store.open()).vouched is None, "elapsed time is of one boot"
    await store.commit(Batch([record(mono=60.0, utc=120.0), record(mono=70.0, utc=130.0, utc_trusted=False)]))
    assert (await store.open()).vouched is None, "the clock was set since, or the kernel never sure"


async def test_a_new_epoch_goes_on_from_the_old_one(make: Make, record: Record) -> None:
    store = make()
    first = (await store.open()).epoch
    await store.commit(Batch([record(1), record(2)]))
    unused = await store.new_epoch("restored")
    second = await store.new_epoch("restored again")
    loaded = await store.open()
    assert (loaded.epoch, loaded.next_seq) == (second, 3)
    assert len({first, unused, second}) == 3
    committed = await store.commit(Batch([record(3)]))
    third = await store.new_epoch("and again")
    store = await reopened(store, make)
    assert [(r.seq, r.epoch) for r in await store.records(0, 9)] == [(1, first), (2, first), (3, second)]
    verdict = await store.verify()
    assert verdict.ok, verdict
    loaded = await store.open()
    assert loaded.epoch == third
    assert loaded.head_hash not in {committed.head_hash, first}


async def test_only_acknowledged_records_age_out(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    await store.commit(Batch([record(n) for n in range(20)]))
    assert await store.trim(10) == 0
    await store.commit(Batch(ack=12, refused=[Refused(4, b"no"), Refused(10, b"no")]))
    hashes = {r.seq: r.hash for r in await store.records(0, 99)}
    assert await store.trim(10) == 8
    assert await store.trim(10) == 0
    assert [r.seq for r in await store.records(0, 99)] == [4, *range(10, 21)]
    assert [s.record.seq for s in await store.refused()] == [4, 10]
    verdict = await store.verify()
    assert verdict.ok, verdict
    assert (verdict.from_seq, verdict.from_hash, verdict.head_seq) == (10, hashes[10], 20)
    assert verdict.checked == 12
    assert await store.trim(99) == 2
    assert [r.seq for r in await store.records(0, 99)] == [4, 10, *range(13, 21)]


async def test_everything_may_age_out_but_the_newest(make: Make, record: Record) -> None:
    store = make()
    await store.open()
    for _ in range(3):
        await store.commit(Batch([record(n) for n in range(400)]))
    await store.commit(Batch(ack=1200))
    epoch = await store.new_epoch("restored")
    before = await store.open()
    assert await store.trim(5000) == 1199
    store = await reopened(store, make)
    after = await store.open()
    assert after == before
    assert after.epoch == epoch
    assert (await store.commit(Batch([record(1)]))).first_seq == 1201
    verdict = await store.verify()
    assert verdict.ok, verdict
    assert (verdict.from_seq, verdict.head_seq, verdict.checked) == (1199, 1201, 2)
    await store.commit(Batch(refused=[Refused(7, b"late")]))  # went long ago
    assert await store.refused() == []


async def test_a_store_that_is_not_open_says_so(make: Make, record: Record) -> None:
    store = make()

    async def every_call_is_refused() -> None:
        for call in (
            store.commit(Batch([record(1)])),
            store.records(0, 1),
            store.refused(),
            store.new_epoch("x"),
            store.verify(),
            store.trim(1),
        ):
            with pytest.raises(StoreError) as caught:
                await call
            assert caught.value.kind is StoreErrorKind.CLOSED

    await every_call_is_refused()
    await store.open()
    await store.commit(Batch([record(1)]))
    await store.close()
    await store.close()
    await every_call_is_refused()
    assert (await store.open()).next_seq == 2


async def test_probes_are_called_around_the_commit(make: Make, record: Record) -> None:
    seen: list[str] = []
    store = make(probe=seen.append)
    await store.open()
    seen.clear()
    await store.commit(Batch([record(1)]))
    assert seen == [BEFORE_WRITE, BEFORE_SYNC, AFTER_COMMIT]
    await store.commit(Batch())
    assert len(seen) == 3


async def test_both_sorts_build_the_same_chain(
    journal: Callable[..., Journal], memory: Callable[..., MemoryStore], record: Record
) -> None:
    heads = []
    for store in (journal(), memory()):
        await store.open()
        await store.commit(Batch([record(1), record(2, offline=True)]))
        await store.new_epoch("restored")
        heads.append((await store.commit(Batch([record(3, utc_trusted=False)])), await store.records(0, 9)))
    assert heads[0] == heads[1]
