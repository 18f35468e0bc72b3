"""Reading records, on a connection of its own: a reader never waits for the writer nor holds it up.

Everything here is synchronous and belongs to one thread. Reads are short transactions: a long one would keep
the write-ahead log from being folded back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vendingd.journal.api import Keep, SetAside, StoredRecord, Verdict
from vendingd.journal.chain import ChainCheck, flags_of, trusted_and_offline
from vendingd.journal.disk import REAL, Disk
from vendingd.journal.errors import TROUBLE, closed, corrupt, is_outside, store_error
from vendingd.journal.rows import Damaged, check_refused, cursor, epochs, sound, states
from vendingd.journal.schema import connect

CHUNK = 500  # records checked in one go: a few milliseconds, so that other reads come between

_COLUMNS = (
    "r.seq, coalesce(e.token, ''), coalesce(b.boot_id, ''), r.kind, r.subject, r.data, r.utc, r.mono, "
    "r.flags, r.floor_utc, r.prev_hash, r.hash"
)
# outer joins: a record whose epoch or boot is damaged must show, not vanish
_NAMES = "LEFT JOIN epoch e ON e.n = r.epoch LEFT JOIN boot b ON b.n = r.boot "
_RECORDS = f"SELECT {_COLUMNS} FROM record r {_NAMES}"
_SET_ASIDE = f"SELECT s.problem, {_COLUMNS} FROM refused s JOIN record r ON r.seq = s.seq {_NAMES}"
_TYPES: tuple[type | tuple[type, ...], ...] = (
    int, str, str, str, str, bytes, float, float, int, (float, type(None)), bytes, bytes,
)  # fmt: skip


def record_of(row: Sequence[Any]) -> StoredRecord:
    """A row of the record query; raises Damaged where a column holds what it never should."""
    if not sound(row, _TYPES):
        raise Damaged(f"record {row[0]} cannot be read")
    seq, epoch, boot, kind_, subject, data, utc, mono, flags, floor, prev, digest = row
    return StoredRecord(
        seq, epoch, boot, kind_, subject, data, utc, mono, *trusted_and_offline(flags), floor, prev, digest
    )


def last_records(db: sqlite3.Connection, limit: int) -> list[StoredRecord]:
    """The newest records, newest first."""
    return [record_of(row) for row in db.execute(_RECORDS + "ORDER BY r.seq DESC LIMIT ?", (limit,))]


def records_behind(db: sqlite3.Connection, after: int, limit: int) -> list[StoredRecord]:
    """Up to `limit` records behind seq `after`, in order."""
    query = _RECORDS + "WHERE r.seq > ? ORDER BY r.seq LIMIT ?"
    return [record_of(row) for row in db.execute(query, (after, max(limit, 0)))]


def nothing_more(kind: str, key: str, data: bytes) -> None:
    """For who only holds states to their digests."""


class Verification:
    """A walk over the whole chain, chunk by chunk, while the journal goes on; then over the rows beside it.

    `readable` raises ValueError for a state that its reader would not understand.
    """

    def __init__(self, machine: str, readable: Callable[[str, str, bytes], object] = nothing_more) -> None:
        self._check = ChainCheck(machine)
        self._readable = readable
        self._kept_through = 0

    def step(self, db: sqlite3.Connection) -> Verdict | None:
        """Check the next chunk; the verdict when there is nothing more to check. Never raises for damage."""
        db.execute("BEGIN")
        try:
            return None if self._chunk(db) else self._check.verdict()
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _chunk(self, db: sqlite3.Connection) -> bool:
        """True while there is more."""
        check = self._check
        try:
            acked, trimmed, trimmed_hash = cursor(db)
            known = epochs(db)
        except (*TROUBLE, Damaged) as exc:
            if is_outside(exc):
                raise
            return check.fail(None, f"what stands beside the records is damaged: {exc}")
        check.frame(known, trimmed, trimmed_hash)
        if self._kept_through < trimmed and not self._kept(db, trimmed):
            return False
        before = check.seq
        # damage below the rows (a broken page) stops a query: what it gave until then still counts
        try:
            for row in db.execute(_RECORDS + "WHERE r.seq > ? ORDER BY r.seq LIMIT ?", (before, CHUNK)):
                if not check.feed(record_of(row)):
                    return False
        except (*TROUBLE, Damaged) as exc:
            if is_outside(exc):
                raise
            return check.fail(check.seq + 1, f"it cannot be read: {exc}")
        if check.seq > before:
            return True
        if check.end(acked):
            self._rows(db)
        return False

    def _rows(self, db: sqlite3.Connection) -> None:
        try:
            check_refused(db)
            for kind, key, data in states(db):
                self._readable(kind, key, data)
        except (*TROUBLE, Damaged, ValueError) as exc:
            if is_outside(exc):
                raise
            self._check.fail(None, str(exc))

    def _kept(self, db: sqlite3.Connection, trimmed: int) -> bool:
        seq = self._kept_through
        query = _RECORDS + "WHERE r.seq > ? AND r.seq <= ? ORDER BY r.seq"
        try:
            for row in db.execute(query, (self._kept_through, trimmed)):
                seq = row[0]
                if not self._check.kept(record_of(row)):
                    return False
        except (*TROUBLE, Damaged) as exc:
            if is_outside(exc):
                raise
            return self._check.fail(seq or None, f"a record kept behind the anchor cannot be read: {exc}")
        self._kept_through = trimmed
        return True


class Reader:
    """The store's reading side."""

    def __init__(self, path: Path, disk: Disk = REAL) -> None:
        self._path = path
        self._disk = disk
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        self.close()
        try:
            self._db = connect(self._path, disk=self._disk)
            self._db.execute("PRAGMA query_only = ON")
        except TROUBLE as exc:
            self.close()
            raise store_error(exc, self._path, self._disk) from exc

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def records(self, after: int, limit: int) -> list[StoredRecord]:
        with self._trouble() as db:
            return records_behind(db, after, limit)

    def refused(self) -> list[SetAside]:
        with self._trouble() as db:
            rows = db.execute(_SET_ASIDE + "ORDER BY s.seq").fetchall()
            return [SetAside(record_of(row[1:]), row[0]) for row in rows]

    def trimmed(self) -> int:
        """Through where records have aged out."""
        with self._trouble() as db:
            return cursor(db)[1]

    def older_step(self, after: int, upto: int, keep: Keep) -> tuple[int, int, bool]:
        """Of the next chunk: its last record of a trusted older time (0: none), its end, whether to go on."""
        end, found = min(upto, after + CHUNK), 0
        query = "SELECT seq, utc FROM record WHERE seq > ? AND seq <= ? AND flags & ? ORDER BY seq"
        with self._trouble() as db:
            for seq, utc in db.execute(query, (after, end, flags_of(utc_trusted=True, offline=False))):
                if keep.since_utc <= utc <= keep.now_utc:
                    return found, end, False
                if utc < keep.since_utc:
                    found = seq
        return found, end, end < upto

    def verify_step(self, walk: Verification) -> Verdict | None:
        with self._trouble() as db:
            return walk.step(db)

    @contextmanager
    def _trouble(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is None:
                raise closed(self._path)
            yield self._db
        except TROUBLE as exc:
            raise store_error(exc, self._path, self._disk) from exc
        except Damaged as exc:
            raise corrupt(self._path, str(exc)) from exc
