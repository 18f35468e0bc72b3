"""The simulated disk by itself, and the real journal on it: power cuts anywhere, and a disk that fails and heals.

The contract of every store holds for it too: tests/unit/journal/test_journal_contract.py.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.disk.connection import SimConnection
from tests.simulation.disk.lives import Lives, Lost, PowerCut, boot
from tests.simulation.disk.medium import SECTOR, Fault, SimDisk, survivors
from tests.simulation.disk.store import journal_on
from tests.unit.virtual import LoopClock, simulate
from vendingd.journal import chain, writer
from vendingd.journal.api import Batch, NewRecord, StateChange, Store, StoredRecord, StoreError, StoreErrorKind

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the power went before

OLD, NEW = b"o" * SECTOR, b"n" * SECTOR


def new_disk(seed: int = 1) -> SimDisk:
    return SimDisk(random.Random(seed))


def a_journal(disk: SimDisk, **how: Any) -> Store:
    return journal_on(
        disk, machine="m", boot_id="b", token=disk.random.randbytes, probe=lambda label: None, clock=LoopClock(),
        random=disk.random, **how,
    )  # fmt: skip


def a_batch(n: int) -> Batch:
    record = NewRecord("kind", f"subject/{n}", b"{}", 1.7e9 + n, float(n), True, False)
    return Batch([record], [StateChange("rental", f"r{n}", b"x" * 500)])


# ---------------------------------------------------------------- the disk by itself
def test_of_what_was_not_synced_each_sector_is_left_old_or_new() -> None:
    chance = random.Random(1)
    pending: list[tuple[int, bytes] | int] = [(0, NEW * 2), (2 * SECTOR, NEW)]
    seen, torn = set(), 0
    for _ in range(400):
        left = survivors(OLD * 3, pending, chance)
        sectors = tuple(left[at : at + SECTOR] for at in range(0, 3 * SECTOR, SECTOR))
        whole = tuple(sector in (OLD, NEW) for sector in sectors)
        torn += not all(whole)
        assert sum(whole) >= 2, "one sector at most is torn"
        seen.add(tuple(sector == NEW for sector in sectors))
    assert len(seen) == 8
    assert torn


def test_what_was_freed_does_not_come_back_behind_what_was_written_after() -> None:
    chance = random.Random(1)
    seen = {survivors(OLD * 2, [0, (0, NEW * 2)], chance) for _ in range(300)}
    assert OLD * 2 in seen, "the truncation is lost, and with it what was written into its place"
    assert b"" in seen
    assert NEW * 2 in seen
    for left in seen - {OLD * 2}:
        assert b"o" not in left


def test_a_power_cut_keeps_what_was_synced_and_no_name_that_was_not() -> None:
    names = set()
    for seed in range(20):
        disk = new_disk(seed)
        file = disk.make("/a")
        disk.write("/a", file, 0, b"synced")
        disk.sync("/a", file)  # and its name
        disk.write("/a", file, 6, b" not")
        disk.rename("/a", "/b")
        after = disk.power_cut()
        (name,) = (name for name in ("/a", "/b") if after.find(name) is not None)
        names.add(name)
        left = after.find(name)
        assert left is not None
        assert left.data[:6] == b"synced"
    assert names == {"/a", "/b"}


def test_the_corpse_of_a_disk_refuses_everything() -> None:
    disk = new_disk()
    file = disk.make("/a")
    disk.power_cut()
    for act in (
        lambda: disk.write("/a", file, 0, b"x"),
        lambda: disk.sync("/a", file),
        lambda: disk.truncate("/a", file, 0),
        lambda: disk.remove("/a"),
        lambda: disk.find("/a"),
    ):
        with pytest.raises(OSError, match="lost its power"):
            act()
    with pytest.raises(RuntimeError, match="already"):
        disk.power_cut()


def test_a_killed_process_loses_nothing_that_it_wrote() -> None:
    disk = new_disk()
    file = disk.make("/a")
    disk.write("/a", file, 0, b"written")
    after = disk.kill()
    file.write(0, b"corpse!")
    left = after.find("/a")
    assert left is not None
    assert left.data == b"written"
    assert left.durable == b""


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES ('x')", "SELECT nonsense", "COMMIT", "PRAGMA query_only"],
)
def test_errors_are_those_of_the_real_module(statement: str, tmp_path: Path) -> None:
    disk = new_disk()
    disk.make("/db")
    (tmp_path / "db").touch()
    outcomes = []
    ours: Any = SimConnection(disk, "/db", "rw")
    for db in (ours, sqlite3.connect(tmp_path / "db", isolation_level=None)):
        db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT")
        assert db.execute("INSERT INTO t VALUES (?)", (1,)).rowcount == 1
        try:
            outcomes.append(db.execute(statement).fetchall())
        except sqlite3.Error as exc:
            outcomes.append((type(exc), exc.sqlite_errorcode, exc.sqlite_errorname))
        db.close()
    assert outcomes[0] == outcomes[1]


def test_a_database_that_is_not_there_is_an_error_of_the_real_module() -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        SimConnection(new_disk(), "/none", "rw")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN


# ---------------------------------------------------------------- the journal on it
@pytest.mark.parametrize("seed", range(20))
def test_nothing_promised_is_lost_and_nothing_is_half_there(seed: int) -> None:
    lives = Lives(seed)
    lives.run(11)
    assert lives.crashes == 11
    assert lives.commits > 50


@pytest.mark.parametrize("seed", range(10))
def test_nothing_promised_is_lost_on_a_disk_that_fails_and_heals(seed: int) -> None:
    lives = Lives(seed, faults=True)
    lives.run(11)
    assert lives.failures > 5
    assert lives.commits > 50


def test_the_power_goes_everywhere() -> None:
    kinds: set[str] = set()
    for seed in range(100, 112):
        lives = Lives(seed)
        lives.run(5)
        kinds |= lives.kinds
    assert {"journal.before_write", "journal.after_write_before_fsync", "journal.after_commit", "time"} <= kinds
    assert {"write journal.db-wal", "write journal.db.new"} <= kinds


def test_one_seed_gives_one_journal() -> None:
    def run(seed: int) -> tuple[list[StoredRecord], int]:
        lives = Lives(seed, faults=True)
        return lives.run(6), lives.failures

    first, second, other = run(7), run(7), run(8)
    assert first == second
    assert first != other


# ---------------------------------------------------------------- these checks can fail
def sync_never(statement: str) -> str:
    return statement.replace("synchronous = FULL", "synchronous = OFF")


def sync_now_and_then(statement: str) -> str:
    return statement.replace("synchronous = FULL", "synchronous = NORMAL")


def no_transactions(statement: str) -> str:
    return "SELECT 1" if statement in {"BEGIN IMMEDIATE", "COMMIT"} else statement


def drop_second(records: Any, head: chain.Head, boot: str) -> tuple[list[StoredRecord], chain.Head]:
    return chain.seal(records[:1], head, boot)


def forget_cursor(self: object, db: object, batch: object, head: object, after: object) -> None:
    pass


def is_caught(seeds: int, sql: Callable[[str], str] = lambda statement: statement) -> bool:
    for seed in range(seeds):
        try:
            Lives(seed, sql=sql).run(8)
        except Lost:
            return True
    return False


@pytest.mark.parametrize("sql", [sync_never, sync_now_and_then, no_transactions])
def test_a_defect_in_what_is_said_to_sqlite_is_caught(sql: Callable[[str], str]) -> None:
    assert is_caught(12, sql)


@pytest.mark.parametrize(
    ("where", "name", "defect"), [(writer, "seal", drop_second), (writer.Writer, "_write_cursor", forget_cursor)]
)
def test_a_defect_in_the_writer_is_caught(
    where: object, name: str, defect: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, defect)
    assert is_caught(12)


# ---------------------------------------------------------------- a disk that fails
@pytest.mark.parametrize("overwrites", [False, True])
@pytest.mark.parametrize("fault", ["full", "readonly", "io"])
def test_a_fault_is_told_and_heals(fault: Fault, overwrites: bool) -> None:
    async def main() -> None:
        disk = new_disk()
        disk.overwrites_when_full = overwrites
        store = a_journal(disk)
        await store.open()
        await store.commit(a_batch(1))
        disk.fault = fault
        if fault == "full" and overwrites:  # the log was grown ahead for this
            await store.commit(a_batch(2))
        else:
            with pytest.raises(StoreError) as caught:
                await store.commit(a_batch(2))
            assert caught.value.kind == StoreErrorKind(fault)
            with pytest.raises(StoreError) as caught:
                await store.open()
            assert caught.value.kind == StoreErrorKind(fault)
            with pytest.raises(StoreError) as caught:
                await store.commit(a_batch(2))
            assert caught.value.kind == StoreErrorKind.CLOSED
        disk.fault = None
        loaded = await store.open()
        assert loaded.next_seq in {2, 3}
        done = await store.commit(a_batch(9))
        assert done.last_seq == loaded.next_seq
        assert (await store.verify()).ok
        await store.close()

    simulate(main())


def test_a_fault_at_the_first_start_heals() -> None:
    async def main() -> None:
        for fault in ("full", "readonly", "io"):
            disk = new_disk()
            disk.fault = fault
            store = a_journal(disk)
            with pytest.raises(StoreError) as caught:
                await store.open()
            assert caught.value.kind == StoreErrorKind(fault)
            disk.fault = None
            assert (await store.open()).next_seq == 1
            await store.close()

    simulate(main())


RENTALS = [f"r{n:02}" for n in range(30)]
FULL_LOG = 250  # operations that write a log of its full size


def written(text: bytes, rentals: list[str]) -> Batch:
    """One record, and that text as these rentals' states; rows of half a page, so that they spread over pages."""
    return Batch(a_batch(0).records, [StateChange("rental", rental, text * 450) for rental in rentals])


def cut_while_mending(at: int) -> bool:
    """A commit whose sync fails, is forgotten by the kernel and yet read; the power goes at the n-th operation of the
    start that follows. Whether it went at all."""
    disk = new_disk(at)
    disk.writes_fail, disk.reaches, disk.forgets = 0.0, 0.0, 1.0
    left: list[SimDisk] = []
    n = 0

    def watch(what: str, name: str) -> None:
        nonlocal n
        n += 1
        if n == at:
            left.append(disk.power_cut())
            raise PowerCut

    async def until_cut() -> None:
        store = a_journal(disk)
        await store.open()
        await store.commit(written(b"a", RENTALS))
        await store.open()  # from here on the log holds only what follows
        await store.commit(written(b"b", RENTALS[:3]))
        disk.fault = "io"
        for call in (store.commit(written(b"c", RENTALS[10:])), store.open()):
            with pytest.raises(StoreError):
                await call
        disk.fault = None
        disk.watch = watch
        await store.open()
        await store.close()

    async def afterwards() -> None:
        store = a_journal(left[0])
        loaded = await store.open()
        lost = loaded.next_seq == 3
        assert lost or loaded.next_seq == 4
        verdict = await store.verify()
        assert verdict.ok, verdict
        texts = {rental: data[:1] for rental, data in loaded.state["rental"].items()}
        assert texts == {r: b"b" if r < "r03" else b"a" if r < "r10" or lost else b"c" for r in RENTALS}
        await store.close()

    try:
        boot(until_cut())
    except PowerCut:
        boot(afterwards())
    return bool(left)


def test_a_commit_that_only_the_kernel_holds_does_no_harm() -> None:
    points = [*range(1, 20), *range(20, 3 * FULL_LOG, 20)]
    cut = [cut_while_mending(at) for at in points]
    assert cut.count(True) > 40, "the log is written over itself, folded back and grown"
    assert not cut[-1], "every part of the start was cut"


def test_if_the_log_were_not_written_over_itself_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "renew_log", lambda path, disk: None)
    with pytest.raises((StoreError, AssertionError)):
        for at in range(1, 100):
            cut_while_mending(at)
