"""The journal's file: its settings, its lock, its schema versions, what it costs to open."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.journal.lives import steps_to_load
from vendingd.journal import schema, snapshot, writer
from vendingd.journal.api import (
    AFTER_CHECKPOINT,
    BEFORE_CHECKPOINT,
    Batch,
    NewRecord,
    StateChange,
    StoreError,
    StoreErrorKind,
)
from vendingd.journal.disk import Lock
from vendingd.journal.offline import copy_file, read_file, verify_file
from vendingd.journal.replace import move_aside
from vendingd.journal.store import Journal
from vendingd.journal.writer import Writer

Make = Callable[..., Journal]
Record = Callable[..., NewRecord]
V1 = Path(__file__).parent / "schemas" / "v1.sql"


def writer_of(path: Path) -> Writer:
    return Writer(path, "tower-01", "boot-1", os.urandom, lambda label: None)


def make_file(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


def pragma(db: sqlite3.Connection | None, name: str) -> object:
    assert db is not None
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_settings_that_keep_a_commit_durable_and_the_flash_alive(path: Path) -> None:
    writer = writer_of(path)
    writer.open()
    assert pragma(writer._db, "synchronous") == 2  # FULL: the log is synced at each commit
    assert pragma(writer._db, "journal_mode") == "wal"
    assert pragma(writer._db, "page_size") == 1024
    log = path.with_name("journal.db-wal").stat()
    assert log.st_size == pragma(writer._db, "journal_size_limit")
    assert log.st_blocks * 512 >= log.st_size  # written ahead, not a hole
    writer.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_log_keeps_its_size_when_it_is_folded_back(path: Path, record: Record) -> None:
    labels: list[str] = []
    writer = Writer(path, "tower-01", "boot-1", os.urandom, labels.append)
    writer.open()
    log = path.with_name("journal.db-wal")
    size = log.stat().st_size
    for _ in range(200):
        writer.commit(Batch([record(data=b"x" * 5000)], [StateChange("a", "x", b"y" * 5000)]))
        writer.idle()
        assert log.stat().st_size == size
    assert labels.count(BEFORE_CHECKPOINT) == labels.count(AFTER_CHECKPOINT) > 1
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as folded:  # without the log
        assert folded.execute("SELECT count(*) FROM record").fetchone()[0] > 100
    writer.close()


async def test_a_second_daemon_is_refused(journal: Make, path: Path, record: Record) -> None:
    await journal().open()
    with pytest.raises(StoreError, match="another vendingd has this journal") as caught:
        await journal().open()
    assert caught.value.kind is StoreErrorKind.LOCKED
    script = (
        "import asyncio, os, sys, pathlib\n"
        "from vendingd.journal.store import Journal\n"
        "from vendingd.journal.api import StoreError\n"
        "async def main():\n"
        "    j = Journal(pathlib.Path(sys.argv[1]), machine='tower-01', boot_id='b', token=os.urandom)\n"
        "    try:\n"
        "        await j.open()\n"
        "    except StoreError as e:\n"
        "        print(e.kind)\n"
        "    await j.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    assert await asyncio.to_thread(subprocess.check_output, command, text=True) == "locked\n"


async def test_the_lock_goes_with_close_and_stays_over_an_error(journal: Make, path: Path) -> None:
    first, second = journal(), journal()
    await first.open()
    await first.close()
    await second.open()
    await second.open()  # again, as after an error
    with pytest.raises(StoreError):
        await first.open()


def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    """A worker may outlive a killed daemon."""
    script = (
        "import os, sys, time, pathlib\n"
        "from vendingd.journal.disk import Lock\n"
        "Lock(pathlib.Path(sys.argv[1])).acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.stdin.read()\n"  # lives until the test ends
        "else:\n"
        "    print(child, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        assert holder.wait() == -signal.SIGKILL
        os.kill(child, 0)  # it lives
        lock = Lock(path)
        lock.acquire()
        lock.release()


BY_HAND = """
import sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode={sys.argv[2]}", uri=True, timeout=0.1, isolation_level=None)
try:
    db.execute(sys.argv[3]).fetchall()
    print("done", flush=True)
    sys.stdin.read()
except sqlite3.OperationalError as e:
    print(e.sqlite_errorname, flush=True)
"""


def by_hand(path: Path, mode: str, statement: str) -> subprocess.Popen[str]:
    """Another process that does this and then stays until its input ends."""
    command = [sys.executable, "-c", BY_HAND, str(path), mode, statement]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_while_it_is_open_no_other_process_gets_into_the_file(journal: Make, path: Path, record: Record) -> None:
    store = journal()
    await store.open()
    await store.commit(Batch([record(n) for n in range(10)]))
    for mode, statement in (("ro", "SELECT count(*) FROM record"), ("rw", "BEGIN IMMEDIATE"), ("rw", "VACUUM")):
        with by_hand(path, mode, statement) as other:
            assert await asyncio.to_thread(said, other) == "SQLITE_BUSY"
    for look in ("verify_file(path)", "read_file(path, 0, 1)", "copy_file(path, path.with_name('copy.db'))"):
        command = [sys.executable, "-c", LOOK.format(look=look), str(path)]
        told = await asyncio.to_thread(subprocess.check_output, command, text=True)
        assert told.startswith("locked ") and "ask it through vendingctl" in told
    await store.commit(Batch([record(11)]))
    assert [r.seq for r in await store.records(9, 5)] == [10, 11]


LOOK = """
import pathlib, sys
from vendingd.journal.api import StoreError
from vendingd.journal.offline import copy_file, read_file, verify_file
path = pathlib.Path(sys.argv[1])
try:
    print({look})
except StoreError as e:
    print(e.kind, e.detail)
"""


async def test_a_file_that_somebody_else_holds_is_locked(
    journal: Make, path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_MS", 1)
    monkeypatch.setattr(writer, "BUSY_MS", 1)
    store = journal()
    await store.open()
    await store.commit(Batch([record(1)]))
    await store.close()
    with by_hand(path, "rw", "BEGIN IMMEDIATE") as other:
        assert await asyncio.to_thread(said, other) == "done"
        with pytest.raises(StoreError) as caught:
            await store.open()
    assert caught.value.kind is StoreErrorKind.LOCKED
    with pytest.raises(StoreError) as closed:
        await store.commit(Batch([record(1)]))
    assert closed.value.kind is StoreErrorKind.CLOSED
    assert (await store.open()).next_seq == 2


async def test_the_logs_index_is_in_no_file(journal: Make, path: Path, record: Record) -> None:
    """As one, the kernel writes it to the disk again and again."""
    store = journal()
    await store.open()
    await store.commit(Batch([record(1)]))
    assert [r.seq for r in await store.records(0, 5)] == [1]
    assert sorted(os.listdir(path.parent)) == ["journal.db", "journal.db-wal", "journal.db.lock"]


async def test_verifying_goes_on_while_records_are_added_and_age_out(journal: Make, record: Record) -> None:
    store = journal()
    await store.open()
    await store.commit(Batch([record(n) for n in range(3000)]))
    await store.commit(Batch(ack=3000))
    walk = store.verify()
    step = walk.__await__()
    waiting = next(step)
    assert waiting is not None
    await store.new_epoch("meanwhile")
    await store.commit(Batch([record(1)]))
    await store.trim(2000)
    try:
        while True:
            await _settled(waiting)
            waiting = step.send(None)
    except StopIteration as done:
        verdict = done.value
    assert verdict.ok, verdict
    assert (verdict.from_seq, verdict.head_seq) == (2000, 3001)


async def _settled(future: object) -> None:
    assert isinstance(future, asyncio.Future)
    await asyncio.wait([future])


def test_opening_does_not_grow_with_history(path: Path, record: Record) -> None:
    """Counted in steps of SQLite's machine, not in seconds."""

    def add(n: int) -> None:
        writer = writer_of(path)
        writer.open()
        writer.commit(Batch([record(i, utc_trusted=False) for i in range(n)], [StateChange("a", "x", b"1")]))
        writer.close()

    add(3)
    few = steps_to_load(path, "tower-01")
    add(20_000)
    assert few > 20
    assert steps_to_load(path, "tower-01") <= few


# ------------------------------------------------------------ schema versions
async def test_a_file_of_version_1_is_read(journal: Make, path: Path, record: Record) -> None:
    make_file(path, V1.read_text())
    store = journal()
    loaded = await store.open()
    assert (loaded.epoch, loaded.next_seq, loaded.acked) == ("00ff00ff00ff00ff", 2, 1)
    assert loaded.state == {"rental": {"r1": b"{}"}}
    assert loaded.floor_utc == 1700000000.25
    (old,) = await store.records(0, 9)
    assert (old.kind, old.boot_id, old.utc_trusted, old.offline) == ("rental.released", "boot-1", True, True)
    await store.commit(Batch([record(2)]))
    assert (await store.verify()).ok


def test_a_new_file_has_the_schema_of_the_newest_version(path: Path, tmp_path: Path) -> None:
    def tables(at: Path) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(at)) as db:
            rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            return [(name, " ".join(sql.split())) for name, sql in rows]

    writer = writer_of(path)
    writer.open()
    writer.close()
    newest = V1.with_name(f"v{schema.VERSION}.sql")
    assert newest.exists(), f"add schemas/{newest.name}: what a file of this version looks like"
    make_file(tmp_path / "newest.db", newest.read_text())
    assert tables(path) == tables(tmp_path / "newest.db")


def test_steps_run_from_the_version_of_the_file(tmp_path: Path) -> None:
    def to_next(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE refused ADD COLUMN since REAL")

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DROP TABLE record")
        db.execute("SELECT * FROM nowhere")

    path = tmp_path / "v1.db"
    make_file(path, V1.read_text())
    with closing(schema.connect(path)) as db:
        with pytest.raises(sqlite3.OperationalError):
            schema.migrate(db, (*schema.STEPS, to_next, broken))
        assert pragma(db, "user_version") == 1
        db.execute("SELECT * FROM record")
        schema.migrate(db, (*schema.STEPS, to_next))
        assert pragma(db, "user_version") == schema.VERSION + 1
        db.execute("SELECT since FROM refused")
        schema.migrate(db, (*schema.STEPS, to_next))  # nothing left to do


# ------------------------------------------------------------ aside, and without a daemon
async def test_a_journal_is_moved_aside_with_its_log(journal: Make, path: Path, record: Record) -> None:
    store = journal()
    await store.open()
    await store.commit(Batch([record(1)]))
    with pytest.raises(StoreError) as caught:
        move_aside(path)
    assert caught.value.kind is StoreErrorKind.LOCKED
    await store.close()
    path.with_name("journal.db-wal").write_bytes(b"log")
    assert move_aside(path) == path.with_name("journal.db.damaged-1")
    assert path.with_name("journal.db.damaged-1").joinpath("journal.db-wal").read_bytes() == b"log"
    with pytest.raises(FileNotFoundError):
        move_aside(path)
    assert (await store.open()).next_seq == 1  # a new one, with a new epoch
    await store.close()
    assert move_aside(path) == path.with_name("journal.db.damaged-2")


async def test_a_file_is_verified_without_a_daemon(journal: Make, path: Path, record: Record) -> None:
    store = journal()
    await store.open()
    committed = await store.commit(Batch([record(n) for n in range(1200)]))
    verdict = verify_file(path)
    assert verdict.ok, verdict
    assert (verdict.head_seq, verdict.head_hash, verdict.checked) == (1200, committed.head_hash, 1200)
    with pytest.raises(StoreError) as caught:
        verify_file(path, "another")
    assert caught.value.kind is StoreErrorKind.FOREIGN
    with pytest.raises(FileNotFoundError):
        verify_file(path.with_name("none.db"))


async def test_a_backup_made_while_running_is_put_back(journal: Make, path: Path, record: Record) -> None:
    """Commits go on while it is read; put in place, it is what one of them left, and takes a new epoch."""
    store = journal()
    epoch = (await store.open()).epoch
    await store.commit(Batch([record(n) for n in range(20)], [StateChange("a", "x", b"1")]))
    copy = await store.snapshot()
    first = await copy.read(1000)
    await store.commit(Batch([record(n) for n in range(20)], [StateChange("a", "x", b"2")]))
    assert sorted(os.listdir(path.parent)) == ["journal.db", "journal.db-wal", "journal.db.lock"]
    rest = b""
    while part := await copy.read(1000):
        rest += part
    await copy.close()
    assert len(first + rest) == copy.size
    await store.close()
    move_aside(path)
    path.write_bytes(first + rest)
    verdict = verify_file(path)
    assert (verdict.ok, verdict.head_seq) == (True, 20), verdict
    loaded = await store.open()
    assert (loaded.next_seq, loaded.epoch, loaded.state) == (21, epoch, {"a": {"x": b"1"}})
    assert await store.new_epoch("restored") != epoch
    await store.commit(Batch([record(1)]))
    assert (await store.verify()).ok


async def test_a_copy_never_fills_the_disk(
    journal: Make, path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = journal()
    await store.open()
    path.with_name("journal.db.copy").write_bytes(b"half of one, cut short")
    await (await store.snapshot()).close()
    monkeypatch.setattr(snapshot, "MARGIN", 1 << 60)
    with pytest.raises(StoreError, match="make room, or stop vendingd") as caught:
        await store.snapshot()
    assert caught.value.kind is StoreErrorKind.FULL
    assert not path.with_name("journal.db.copy").exists()
    await store.commit(Batch([record(1)]))


async def test_a_stopped_journal_is_read_and_copied_with_its_log(journal: Make, path: Path, record: Record) -> None:
    """As a crash leaves it: the newest commits are in the log only."""
    store = journal()
    await store.open()
    await store.commit(Batch([record(n) for n in range(5)]))
    left = path.with_name("left.db")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    machine, newest = read_file(left, None, 2)
    assert (machine, [r.seq for r in newest]) == ("tower-01", [4, 5])
    assert [r.seq for r in read_file(left, 1, 3)[1]] == [2, 3, 4]
    copy = path.with_name("copy.db")
    copy_file(left, copy)
    assert (verify_file(copy).ok, verify_file(copy).head_seq) == (True, 5)
    assert left.with_name("left.db-wal").stat().st_size > 0, "it only reads"
