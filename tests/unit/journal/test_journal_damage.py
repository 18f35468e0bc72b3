"""What a journal does with a file that is damaged, tampered with, or not its own: refuse, name, keep."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vendingd.journal.api import Batch, NewRecord, Refused, StateChange, StoreError, StoreErrorKind
from vendingd.journal.offline import verify_file
from vendingd.journal.store import Journal
from vendingd.journal.writer import Writer

Record = Callable[..., NewRecord]
N = 60


@pytest.fixture
def full(path: Path, record: Record) -> Path:
    """A closed journal of N records, all but the last ten acknowledged, one set aside."""
    writer = Writer(path, "tower-01", "boot-1", os.urandom, lambda label: None)
    writer.open()
    for n in range(0, N, 3):
        writer.commit(
            Batch(
                [record(n + i, data=b'{"pad":"%s"}' % (b"x" * 100)) for i in range(3)],
                [StateChange("a", str(n), b"1")],
            )
        )
    writer.commit(Batch(ack=N - 10, refused=[Refused(5, b"{}")]))
    writer.close()
    return path


def content(path: Path) -> dict[str, bytes]:
    """The journal and its log, as far as they hold something: looking leaves an empty log beside a file."""
    files = (path, path.with_name(path.name + "-wal"))
    return {p.name: p.read_bytes() for p in files if p.exists() and (p == path or p.stat().st_size)}


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def refusal(path: Path, machine: str = "tower-01") -> StoreError:
    """Open, expect a refusal, and that not a byte has changed."""
    before = content(path)
    store = Journal(path, machine=machine, boot_id="b", token=os.urandom)
    with pytest.raises(StoreError) as caught:
        await store.open()
    with pytest.raises(StoreError):
        await store.commit(Batch(state=[StateChange("a", "x", b"1")]))
    await store.close()
    assert content(path) == before
    return caught.value


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.mark.parametrize("data", [b"", b"x", b"not a database\n" * 300, b"SQLite format 3\x00" + bytes(2000)])
async def test_what_is_no_database_is_refused(path: Path, data: bytes) -> None:
    put(path, data)
    error = await refusal(path)
    assert error.kind is StoreErrorKind.CORRUPT
    assert "vendingctl audit verify" in error.detail
    assert "vendingctl journal put-back" in error.detail and "vendingctl journal set-aside" in error.detail
    assert not verify_file(path).ok


async def test_another_programs_database_is_refused(path: Path) -> None:
    execute(path, "CREATE TABLE t (x)")
    assert "not a journal of vendingd" in (await refusal(path)).detail


async def test_a_truncated_journal_is_refused(full: Path) -> None:
    size = size_of(full)
    named = []
    for keep in (size - 1024, size - 4096, size // 2, 4096, 1024, 700, 50):
        os.truncate(full, keep)
        assert (await refusal(full)).kind is StoreErrorKind.CORRUPT
        verdict = verify_file(full)
        assert not verdict.ok and verdict.problem
        if verdict.first_bad_seq is not None:
            assert verdict.first_bad_seq == verdict.head_seq + 1
            named.append(verdict.first_bad_seq)
    assert len(named) >= 2 and named == sorted(named, reverse=True), "what is there in front of the end is read"


async def test_a_bit_flipped_in_a_record_names_that_record(full: Path, tmp_path: Path) -> None:
    """Every one of them, wherever in it."""
    chance = random.Random(7)
    with closing(sqlite3.connect(full)) as db:
        rows = db.execute("SELECT seq, prev_hash, hash FROM record ORDER BY seq").fetchall()
    data = content(full)[full.name]
    for seq, before, digest in rows:
        bit, back = 1 << chance.randrange(8), chance.choice((-40, -10, 5, 60))  # in its hash, the one before, its data
        spoiled = bytearray(data)
        places = [found.start() for found in re.finditer(re.escape(before + digest), data)]
        for at in places:  # pages that were left hold it, too
            spoiled[at - back] ^= bit
        harmed = tmp_path / f"harmed-{seq}.db"
        put(harmed, bytes(spoiled))
        verdict = verify_file(harmed, "tower-01")
        assert places and (verdict.ok, verdict.first_bad_seq, verdict.head_seq) == (False, seq, seq - 1), verdict


async def test_a_newer_journal_is_refused_with_its_log_untouched(full: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    with closing(sqlite3.connect(full)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA user_version = 99")
        db.commit()
        for name in content(full):  # as a crash leaves them: the newest commit in the log only
            shutil.copy(full.with_name(name), copy.with_name(name))
    assert size_of(copy.with_name("journal.db-wal")) > 0
    error = await refusal(copy)
    assert error.kind is StoreErrorKind.NEWER
    assert "99" in error.detail
    assert "install the newer vendingd" in error.detail


async def test_another_machines_journal_is_refused(full: Path) -> None:
    error = await refusal(full, machine="tower-02")
    assert error.kind is StoreErrorKind.FOREIGN
    assert "tower-01" in error.detail
    assert "tower-02" in error.detail


async def test_a_log_without_its_journal_is_refused(full: Path) -> None:
    os.rename(full, full.with_name("elsewhere"))
    put(full.with_name("journal.db-wal"), b"x" * 2000)
    assert (await refusal(full)).kind is StoreErrorKind.CORRUPT
    assert size_of(full) == 0


async def test_a_creation_cut_short_is_begun_anew(path: Path) -> None:
    put(path.with_name("journal.db.new"), b"half")
    put(path.with_name("journal.db.new-journal"), b"half")
    store = Journal(path, machine="tower-01", boot_id="b", token=os.urandom)
    assert (await store.open()).next_seq == 1
    await store.close()
    assert set(os.listdir(path.parent)) == {"journal.db", "journal.db.lock"}


async def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    store = Journal(tmp_path / "no" / "journal.db", machine="tower-01", boot_id="b", token=os.urandom)
    with pytest.raises(StoreError, match="No such file or directory"):
        await store.open()
    await store.close()


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE record SET data = x'7b7d' WHERE seq = 17", 17),
        ("UPDATE record SET utc = utc + 1 WHERE seq = 1", 1),
        ("UPDATE record SET floor_utc = NULL WHERE seq = 17", 17),
        ("UPDATE record SET hash = zeroblob(32) WHERE seq = 17", 17),
        ("UPDATE record SET epoch = 7 WHERE seq = 17", 17),
        ("UPDATE record SET boot = 7 WHERE seq = 17", 17),
        ("DELETE FROM record WHERE seq = 17", 17),
        ("DELETE FROM record WHERE seq = 1", 1),
        ("UPDATE record SET seq = 1000 WHERE seq = 17", 17),
        ("UPDATE boot SET boot_id = 'x'", 1),
    ],
)
async def test_tampering_is_named(full: Path, statement: str, bad: int) -> None:
    execute(full, statement)
    verdict = verify_file(full)
    assert (verdict.ok, verdict.first_bad_seq) == (False, bad), verdict
    assert verdict.head_seq == bad - 1


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"UPDATE record SET data = x'7b7d' WHERE seq = {N}", f"record {N} does not match its hash"),
        (f"DELETE FROM record WHERE seq = {N - 1}", f"record {N - 1} is missing"),
        (f"DELETE FROM record WHERE seq > {N - 20}", f"records behind {N - 20} are missing"),
        ("DELETE FROM cursor", "lost its cursor"),
        ("DELETE FROM epoch", "lost its epoch"),
        ("DELETE FROM machine", "names no machine"),
    ],
)
async def test_what_the_start_looks_at_is_refused_there(full: Path, statement: str, words: str) -> None:
    execute(full, statement)
    error = await refusal(full)
    assert error.kind is StoreErrorKind.CORRUPT
    assert words in error.detail
    assert not verify_file(full).ok


async def test_flipped_bits_never_pass_for_a_record(full: Path, tmp_path: Path) -> None:
    """Anywhere in the file: refused or read; what verifies holds the records that were written."""
    chance = random.Random(3)
    store = Journal(full, machine="tower-01", boot_id="b", token=os.urandom)
    await store.open()
    good = await store.records(0, N)
    await store.close()
    data = content(full)[full.name]
    refused = named = unharmed = 0
    for _ in range(150):
        at, bit = chance.randrange(len(data)), 1 << chance.randrange(8)
        harmed = tmp_path / "harmed.db"
        put(harmed, data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
        verdict = verify_file_or_refusal(harmed)
        if verdict is None:
            refused += 1
            continue
        if not verdict:
            named += 1
            continue
        unharmed += 1
        with closing(sqlite3.connect(f"file:{harmed}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT seq, hash FROM record ORDER BY seq").fetchall()
        assert rows == [(r.seq, r.hash) for r in good], at
    assert named > 50  # most of the file is records
    assert refused + unharmed > 5


def verify_file_or_refusal(path: Path) -> bool | None:
    try:
        verdict = verify_file(path, "tower-01")
    except StoreError:
        return None
    finally:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if not verdict.ok:
        assert verdict.problem
    return verdict.ok


async def test_a_broken_page_is_told_as_damage_while_running(full: Path) -> None:
    with closing(sqlite3.connect(full)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'record'").fetchone()
        pages = (
            db.execute("SELECT pageno FROM dbstat WHERE name = 'record' AND pagetype = 'leaf'").fetchall()
            if _has_dbstat(db)
            else [(page + 8,)]
        )
    data = bytearray(content(full)[full.name])
    start = (pages[len(pages) // 2][0] - 1) * 1024
    data[start : start + 8] = b"\xff" * 8
    put(full, bytes(data))
    store = Journal(full, machine="tower-01", boot_id="b", token=os.urandom)
    await store.open()
    with pytest.raises(StoreError) as caught:
        await store.records(0, N)
    assert caught.value.kind is StoreErrorKind.CORRUPT
    verdict = await store.verify()
    assert not verdict.ok
    assert verdict.first_bad_seq is not None
    assert verdict.first_bad_seq == verdict.head_seq + 1 > 1
    await store.close()


def _has_dbstat(db: sqlite3.Connection) -> bool:
    return ("ENABLE_DBSTAT_VTAB",) in db.execute("PRAGMA compile_options").fetchall()
