"""The rows that change: one bit that changes by itself in any of them is refused, and named by the check."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.journal.conftest import new_record
from vendingd.journal import schema
from vendingd.journal.api import Batch, Loaded, Refused, StateChange, StoreError, StoreErrorKind
from vendingd.journal.offline import verify_file
from vendingd.journal.rows import COLUMNS, row_digest
from vendingd.journal.store import Journal
from vendingd.journal.writer import Writer
from vendingd.kernel.codec import decode

SCHEMAS = Path(__file__).parent / "schemas"
CAR = b'{"id":"r3","state":"ready","named":"car-3"}'


def writer_of(path: Path) -> Writer:
    return Writer(path, "tower-01", "boot-1", os.urandom, lambda label: None)


@pytest.fixture
def stopped(path: Path) -> Path:
    """A closed journal: thirteen records, nine taken by the cloud, one of them refused; some states."""
    writer = writer_of(path)
    writer.open()
    states = [StateChange("rental", f"r{n}", CAR.replace(b"3", b"%d" % n)) for n in range(40)]
    writer.commit(Batch([new_record(n) for n in range(13)], states))
    writer.commit(Batch(state=[StateChange("rental", "r3", CAR), StateChange("rental", "r4", None)]))
    writer.commit(Batch(ack=9, refused=[Refused(5, b'{"title":"no"}')]))
    writer.close()
    return path


def opened(path: Path) -> Loaded:
    writer = writer_of(path)
    try:
        return writer.open()
    finally:
        writer.close()


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


@pytest.mark.parametrize(
    ("statement", "words", "start"),
    [
        ("UPDATE state SET data = CAST(replace(CAST(data AS TEXT), 'car-3', 'car-2') AS BLOB) WHERE id = 'r3'",
         "state row rental/r3 does not match its digest", True),
        ("UPDATE state SET id = 'r9x' WHERE id = 'r9'", "state row rental/r9x does not match its digest", True),
        ("UPDATE state SET digest = x'' WHERE id = 'r9'", "state row rental/r9 does not match its digest", True),
        ("UPDATE cursor SET acked = 13", "cursor does not match its digest", True),
        ("UPDATE cursor SET acked = 1", "cursor does not match its digest", True),
        ("UPDATE cursor SET trimmed_hash = x'00'", "cursor does not match its digest", True),
        ("UPDATE epoch SET reason = 'restored'", "epoch 1 does not match its digest", True),
        ("UPDATE epoch SET token = 'x'", "epoch 1 does not match its digest", True),
        ("UPDATE refused SET problem = x'7b7d'", "the record set aside 5 does not match its digest", False),
        ("UPDATE refused SET seq = 4", "the record set aside 4 does not match its digest", False),
    ],
)  # fmt: skip
def test_a_row_that_changed_by_itself_is_not_believed(stopped: Path, statement: str, words: str, start: bool) -> None:
    change(stopped, statement)
    verdict = verify_file(stopped, "tower-01")
    assert not verdict.ok and words in verdict.problem and verdict.first_bad_seq is None
    if start:
        before = stopped.read_bytes()
        with pytest.raises(StoreError, match=words) as caught:
            opened(stopped)
        assert caught.value.kind is StoreErrorKind.CORRUPT and "vendingctl journal put-back" in caught.value.detail
        assert stopped.read_bytes() == before
    else:  # a machine need not stand still for it
        assert opened(stopped).acked == 9


def test_no_bit_of_the_file_changes_what_is_believed(stopped: Path, tmp_path: Path) -> None:
    """Any bit of the pages of states and cursor: refused, or of no consequence."""
    good = opened(stopped)
    data = stopped.read_bytes()
    with closing(sqlite3.connect(stopped)) as db:
        names = "'state', 'sqlite_autoindex_state_1', 'cursor', 'epoch'"
        roots = [row[0] for row in db.execute(f"SELECT rootpage FROM sqlite_schema WHERE name IN ({names})")]
    hits = [at for at in range(0, len(data) - 2) if data[at : at + 2] == b"r3"]
    places = [at for root in roots for at in range((root - 1) * 1024, root * 1024)]
    chance = random.Random(11)
    refused = harmless = 0
    for at in [*hits, *chance.sample(places, 250)]:
        harmed = tmp_path / "harmed.db"
        spoiled = bytearray(data)
        spoiled[at] ^= 1 << chance.randrange(8)
        harmed.write_bytes(spoiled)
        for suffix in ("-wal", "-shm"):
            harmed.with_name(harmed.name + suffix).unlink(missing_ok=True)
        try:
            found = opened(harmed)
        except StoreError as error:
            assert error.kind is StoreErrorKind.CORRUPT
            refused += 1
        else:
            assert found == good, at
            harmless += 1
    assert refused > 50 and harmless > 10


def test_a_row_that_was_lost_with_its_place_is_missed(stopped: Path) -> None:
    """A page that says that it holds fewer rows than it does: each row that is left is sound."""
    with closing(sqlite3.connect(stopped)) as db:
        leaves = _leaves(db, stopped.read_bytes())
    data = bytearray(stopped.read_bytes())
    count = (leaves[0] - 1) * 1024 + 3  # of cells, two bytes
    data[count + 1] -= 1
    stopped.write_bytes(data)
    assert "table of states is damaged" in verify_file(stopped, "tower-01").problem
    with pytest.raises(StoreError, match="table of states is damaged"):
        opened(stopped)


def _leaves(db: sqlite3.Connection, data: bytes) -> list[int]:
    """The pages that hold the table's rows, by the file format's interior pages."""
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'state'").fetchone()
    at = (root - 1) * 1024
    assert data[at] == 5, "several pages"
    cells = int.from_bytes(data[at + 3 : at + 5])
    pointers = [int.from_bytes(data[at + 12 + 2 * n : at + 14 + 2 * n]) for n in range(cells)]
    return [int.from_bytes(data[at + cell : at + cell + 4]) for cell in pointers]


def test_a_state_that_no_reader_understands_is_damage_where_it_is_asked_for(stopped: Path) -> None:
    def readable(kind: str, key: str, data: bytes) -> None:
        if key == "r7":
            raise ValueError(f"state row {kind}/{key}: no such thing")

    assert verify_file(stopped).ok
    verdict = verify_file(stopped, None, readable)
    assert (verdict.ok, verdict.problem, verdict.head_seq) == (False, "state row rental/r7: no such thing", 13)


async def test_a_daemon_that_cannot_read_a_state_says_so_when_it_is_asked(stopped: Path) -> None:
    """It has the file to itself then: nobody else could look."""
    store = Journal(stopped, machine="tower-01", boot_id="b", token=os.urandom, readable=decode)
    await store.open()
    assert (await store.verify()).ok
    await store.commit(Batch(state=[StateChange("lift", "one", b"{}")]))
    verdict = await store.verify()
    assert not verdict.ok and verdict.problem.startswith("state row lift/one: "), verdict
    await store.close()


def test_digests_of_two_tables_or_splits_differ() -> None:
    assert row_digest("state", "a", "bc", b"d") != row_digest("state", "ab", "c", b"d")
    assert row_digest("refused", 1, b"") != row_digest("refused", 2, b"")
    assert row_digest("cursor", 1, 2, b"x") == row_digest("cursor", 1, 2, b"x")
    assert len(row_digest("epoch", 1, "t", 1, b"g", "r")) == 8


def test_every_row_of_version_1_gets_its_digest(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript((SCHEMAS / "v1.sql").read_text())
        assert "digest" not in db.execute("SELECT sql FROM sqlite_schema WHERE name = 'state'").fetchone()[0]
    assert verify_file(path).ok, "it is read as it is"
    assert opened(path).state == {"rental": {"r1": b"{}"}}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
        for table, columns in COLUMNS.items():
            for *values, digest in db.execute(f"SELECT {columns}, digest FROM {table}"):
                assert digest == row_digest(table, *values)
    change(path, "UPDATE state SET data = x'7b207d'")
    assert "state row rental/r1" in verify_file(path).problem


def test_a_journal_of_version_1_with_a_bad_end_is_not_migrated(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript((SCHEMAS / "v1.sql").read_text())
    change(path, "UPDATE record SET data = x'7b'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="record 1 does not match its hash"):
        opened(path)
    assert path.read_bytes() == before
