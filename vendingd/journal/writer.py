"""The one writer of the journal. Everything here is synchronous and belongs to one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vendingd.journal.api import (
    AFTER_CHECKPOINT,
    AFTER_COMMIT,
    BEFORE_CHECKPOINT,
    BEFORE_SYNC,
    BEFORE_WRITE,
    Batch,
    Committed,
    Loaded,
    NewRecord,
    Probe,
    StateChange,
    StoredRecord,
    StoreError,
    TokenSource,
)
from vendingd.journal.chain import (
    EPOCH_BYTES,
    Head,
    begin_epoch,
    check_cursor,
    first_epoch,
    flags_of,
    seal,
    vouched_by,
)
from vendingd.journal.disk import REAL, Disk
from vendingd.journal.errors import TROUBLE, closed, corrupt, store_error
from vendingd.journal.files import create, grow_log, insert_epoch, inspect, refuse_moving, renew_log
from vendingd.journal.head import States, find_head, load_states
from vendingd.journal.reader import last_records
from vendingd.journal.rows import row_digest
from vendingd.journal.schema import BUSY_MS, PAGE_SIZE, connect, migrate

_START_BUSY_MS = 100
_FRAME = PAGE_SIZE + 24  # a page in the write-ahead log
_TRIM_CHUNK = 500  # records that age out in one transaction, so that commits come between
# From here on the log is folded back into the file between commits; at the most, SQLite does it inside of
# one.
_CHECKPOINT_PAGES = 750
_CHECKPOINT_PAGES_MOST = 1000
_LOG_SIZE = 32 + _CHECKPOINT_PAGES_MOST * _FRAME


class Writer:
    """Owns the lock, the writing connection and the head of the chain."""

    def __init__(
        self, path: Path, machine: str, boot_id: str, token: TokenSource, probe: Probe, *, disk: Disk = REAL
    ) -> None:
        self._path = path
        self._disk = disk
        self._machine = machine
        self._boot_id = boot_id
        self._token = token
        self._probe = probe
        self._lock = disk.lock(path)
        self._db: sqlite3.Connection | None = None
        self._head: Head | None = None
        self._boot: int | None = None  # this boot's row, once it is durable
        self._log_pages = 0  # estimate of pages in the log since it was last folded back
        self._log_trouble: StoreError | None = None
        self._wipe = False  # the log holds what is to leave the disk

    def open(self) -> Loaded:
        self._drop()
        self._log_trouble = None
        try:
            self._lock.acquire()
            refuse_moving(self._path, self._disk)
            if self._disk.size(self._path) is None:
                epoch = first_epoch(self._machine, self._new_token(), "created")
                create(self._path, self._machine, epoch, self._disk)
            state = self._look()
            renew_log(self._path, self._disk)
            self._db = connect(self._path, disk=self._disk)
            self._settle(self._db)
            return self._load(self._db, state)
        except TROUBLE as exc:
            self._drop()
            raise store_error(exc, self._path, self._disk) from exc
        except StoreError:
            self._drop()
            raise

    def commit(self, batch: Batch) -> Committed:
        db, head = self._ready()
        check_cursor(batch, head)
        sealed, after = seal(batch.records, head, self._boot_id)
        if batch.ack is not None:
            after = replace(after, acked=max(head.acked, batch.ack))
        boot = self._boot
        if sealed or batch.state or batch.refused or after.acked != head.acked:
            self._probe(BEFORE_WRITE)
            try:
                db.execute("BEGIN IMMEDIATE")
                if sealed:
                    boot = self._write_records(db, sealed, head.epoch.n)
                self._write_state(db, batch.state)
                self._write_cursor(db, batch, head, after)
                self._probe(BEFORE_SYNC)
                db.execute("COMMIT")
            except BaseException as exc:
                self._drop()
                if isinstance(exc, TROUBLE):
                    raise store_error(exc, self._path, self._disk) from exc
                raise
            self._head, self._boot = after, boot
            self._wipe |= batch.wipe
            self._log_pages += 4 + (_size(sealed, batch.state) // PAGE_SIZE)
            self._probe(AFTER_COMMIT)
        return Committed(head.next_seq, after.last_seq, after.hash)

    def new_epoch(self, reason: str, first: Callable[[str], NewRecord] | None = None) -> str:
        """Begin one; `first` makes its first record from its token, durable together with it."""
        db, head = self._ready()
        epoch, after = begin_epoch(self._machine, self._new_token(), reason, head)
        sealed, after = seal([] if first is None else [first(epoch.token)], after, self._boot_id)
        boot = self._boot
        try:
            db.execute("BEGIN IMMEDIATE")
            insert_epoch(db, epoch)
            if sealed:
                boot = self._write_records(db, sealed, epoch.n)
            db.execute("COMMIT")
        except TROUBLE as exc:
            self._drop()
            raise store_error(exc, self._path, self._disk) from exc
        self._head, self._boot = after, boot
        return epoch.token

    def trim_chunk(self, anchor_seq: int) -> tuple[int, bool]:
        """Let one chunk age out; how many records went, and whether there is more to do."""
        db, head = self._ready()
        # the newest record stays: it carries the head of the chain and the floor of trusted time
        limit = min(anchor_seq, head.acked, head.last_seq - 1)
        upto = min(limit, head.trimmed + _TRIM_CHUNK)
        if upto <= head.trimmed:
            return 0, False
        try:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT hash FROM record WHERE seq = ?", (upto,)).fetchone()
            if row is None:
                raise corrupt(self._path, f"record {upto} is missing")
            gone = db.execute(
                "DELETE FROM record WHERE seq > ? AND seq <= ? AND seq NOT IN (SELECT seq FROM refused)",
                (head.trimmed, upto),
            ).rowcount
            _set_cursor(db, replace(head, trimmed=upto, trimmed_hash=row[0]))
            db.execute("COMMIT")
        except StoreError:
            self._drop()
            raise
        except TROUBLE as exc:
            self._drop()
            raise store_error(exc, self._path, self._disk) from exc
        self._head = replace(head, trimmed=upto, trimmed_hash=row[0])
        self._log_pages += _TRIM_CHUNK // 4
        return gone, upto < limit

    def idle(self) -> None:
        """Fold the log back while nobody waits for a commit. Trouble is told by the next commit."""
        if self._db is None or not (self._wipe or self._log_pages >= _CHECKPOINT_PAGES):
            return
        self._probe(BEFORE_CHECKPOINT)
        try:
            if self._wipe:
                self._empty_log(self._db, 0)  # whoever reads just now is not waited for: the next time, then
            else:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except TROUBLE as exc:
            self._log_trouble = store_error(exc, self._path, self._disk)
            self._drop()
        self._log_pages = 0
        self._probe(AFTER_CHECKPOINT)

    def close(self) -> None:
        self._drop()
        self._lock.release()

    # ------------------------------------------------------------ inside
    def _ready(self) -> tuple[sqlite3.Connection, Head]:
        if self._db is None or self._head is None:
            raise self._log_trouble or closed(self._path)
        return self._db, self._head

    def _drop(self) -> None:
        """Forget the connection; what it had not committed is rolled back."""
        db, self._db, self._head, self._boot = self._db, None, None, None
        if db is not None:
            db.close()

    def _look(self) -> States:
        """Refuse what is not sound before a byte of it is changed, be it only by folding back its log; the states."""
        with closing(connect(self._path, mode="ro", disk=self._disk)) as db:
            inspect(db, self._path, self._machine, self._disk)
            find_head(db, self._path, self._machine)
            return load_states(db, self._path)

    def _new_token(self) -> str:
        return self._token(EPOCH_BYTES).hex()

    def _settle(self, db: sqlite3.Connection) -> None:
        """Durability, an empty log of its full size, the newest schema."""
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES_MOST}")
        db.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")
        if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise corrupt(self._path, "the file cannot be used with a write-ahead log")
        # The file is ours alone from here on; what the first look left of the log's index is used by nobody.
        self._disk.remove(self._path.with_name(self._path.name + "-shm"))
        migrate(db)
        # After a failed fsync the kernel may hold pages as clean that never reached the disk. Folding the
        # log back writes whatever it holds anew, before anything is built upon it.
        # Somebody who reads by hand may be in the way: a start does not wait for that.
        self._empty_log(db, _START_BUSY_MS)
        self._log_pages = 0

    def _empty_log(self, db: sqlite3.Connection, wait_ms: int) -> None:
        """Fold all of the log back and fill it with zeros, unless somebody reads it for longer than that."""
        db.execute(f"PRAGMA busy_timeout = {wait_ms}")
        busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if not busy:
            grow_log(self._path, _LOG_SIZE, self._disk)
            self._wipe = False

    def _load(self, db: sqlite3.Connection, state: States) -> Loaded:
        self._head = head = find_head(db, self._path, self._machine)
        row = db.execute("SELECT n FROM boot WHERE boot_id = ?", (self._boot_id,)).fetchone()
        self._boot = None if row is None else row[0]
        known = tuple(row[0] for row in db.execute("SELECT token FROM epoch ORDER BY n"))
        vouched = next((vouched_by(one, self._boot_id) for one in last_records(db, 1)), None)
        return Loaded(head.epoch.token, head.next_seq, head.hash, head.acked, state, head.floor_utc, known, vouched)

    def _write_records(self, db: sqlite3.Connection, sealed: Sequence[StoredRecord], epoch: int) -> int:
        boot = self._boot
        if boot is None:
            boot = db.execute("INSERT INTO boot (boot_id) VALUES (?)", (self._boot_id,)).lastrowid
            assert boot is not None
        db.executemany(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    r.seq, epoch, boot, r.utc, r.mono, flags_of(r.utc_trusted, r.offline), r.floor_utc,
                    r.kind, r.subject, r.data, r.prev_hash, r.hash,
                )
                for r in sealed
            ],
        )  # fmt: skip
        return boot

    def _write_state(self, db: sqlite3.Connection, changes: Sequence[StateChange]) -> None:
        for change in changes:
            if change.data is None:
                db.execute("DELETE FROM state WHERE kind = ? AND id = ?", (change.kind, change.id))
            else:
                db.execute(
                    "INSERT INTO state (kind, id, data, digest) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data, digest = excluded.digest",
                    (change.kind, change.id, change.data, row_digest("state", change.kind, change.id, change.data)),
                )

    def _write_cursor(self, db: sqlite3.Connection, batch: Batch, head: Head, after: Head) -> None:
        for refused in batch.refused:
            # one that has aged out was acknowledged long ago: a late double of that answer changes nothing
            db.execute(
                "INSERT INTO refused (seq, problem, digest) SELECT ?1, ?2, ?3 "
                "WHERE EXISTS (SELECT 1 FROM record WHERE seq = ?1) "
                "ON CONFLICT (seq) DO UPDATE SET problem = excluded.problem, digest = excluded.digest",
                (refused.seq, refused.problem, row_digest("refused", refused.seq, refused.problem)),
            )
        if after.acked != head.acked:
            _set_cursor(db, after)


def _set_cursor(db: sqlite3.Connection, head: Head) -> None:
    columns = (head.acked, head.trimmed, head.trimmed_hash)
    db.execute(
        "UPDATE cursor SET acked = ?, trimmed = ?, trimmed_hash = ?, digest = ?",
        (*columns, row_digest("cursor", *columns)),
    )


def _size(records: Sequence[StoredRecord], state: Sequence[StateChange]) -> int:
    return sum(200 + len(r.data) for r in records) + sum(PAGE_SIZE + len(s.data or b"") for s in state)
