"""A journal without its daemon: checking, listing, copying, moving aside, saying restored. For `vendingctl`.

The first three only read. While a daemon runs the file is its own: everything here then raises StoreError
(locked), and the daemon is to be asked.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vendingd.journal.api import Batch, NewRecord, StoredRecord, StoreError, StoreErrorKind, TokenSource, Verdict
from vendingd.journal.disk import Lock, sync_directory
from vendingd.journal.errors import corrupt, is_busy, store_error
from vendingd.journal.files import inspect
from vendingd.journal.reader import Damaged, Verification, last_records, records_behind
from vendingd.journal.schema import connect
from vendingd.journal.writer import Writer

PATIENCE_MS = 500  # a daemon that runs has the file for its whole life
SUFFIXES = ("", "-wal", "-shm")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    path.stat()  # FileNotFoundError says it better than SQLite does
    with closing(connect(path, mode="ro")) as db:
        db.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        yield db


def _owner(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT id FROM machine").fetchone()[0])


def verify_file(path: Path, machine: str | None = None) -> Verdict:
    """Check a journal's whole chain without a daemon, reading only.

    `machine` None: the chain is checked for the machine that the file names. Never raises for damage; raises
    StoreError for another machine's or a newer journal and for one that a daemon has, OSError where there is none.
    """
    try:
        with _opened(path) as db:
            inspect(db, path, machine)
            walk = Verification(_owner(db))
            while (verdict := walk.step(db)) is None:
                pass
            return verdict
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        if is_busy(exc):
            raise store_error(exc, path) from exc
        found = _as_far_as_it_goes(path)
        if found is not None and found.first_bad_seq is not None:
            return found
        return Verdict(False, 0, None, f"the file cannot be read as a journal: {exc}", 0, b"", 0, b"")
    except StoreError as exc:
        if exc.kind is not StoreErrorKind.CORRUPT:
            raise
        return Verdict(False, 0, None, exc.detail, 0, b"", 0, b"")


def _as_far_as_it_goes(path: Path) -> Verdict | None:
    """What can be said of a file that SQLite refuses as a whole, such as one that is shorter than its head says."""
    try:
        with _opened(path) as db:
            db.execute("PRAGMA writable_schema = ON")  # with it a short file is read; nothing is written
            walk = Verification(_owner(db))
            while (verdict := walk.step(db)) is None:
                pass
            return verdict
    except (sqlite3.Error, UnicodeDecodeError, TypeError):
        return None


def read_file(path: Path, after: int | None, limit: int) -> tuple[str, list[StoredRecord]]:
    """The machine, and up to `limit` records behind `after`, or the newest. Raises StoreError, OSError."""
    try:
        with _opened(path) as db:
            inspect(db, path, None)
            found = last_records(db, limit)[::-1] if after is None else records_behind(db, after, limit)
            return _owner(db), found
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        raise store_error(exc, path) from exc
    except Damaged as exc:
        raise corrupt(path, str(exc)) from exc


def copy_file(path: Path, target: Path) -> None:
    """A whole copy, its log folded in, into `target`, an empty file. Raises StoreError, OSError."""
    try:
        with _opened(path) as db:
            inspect(db, path, None)
            db.execute("VACUUM INTO ?", (str(target),))
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        raise store_error(exc, path) from exc


def restored_file(path: Path, why: str, *, boot_id: str, utc: float, mono: float, token: TokenSource) -> str:
    """Give a journal put in place from a backup a new epoch, before a daemon adds anything to it; returns it.

    The record of it is the first of that epoch. Raises StoreError, OSError.
    """
    with _opened(path) as db:
        inspect(db, path, None)
        machine = _owner(db)
    writer = Writer(path, machine, boot_id, token, lambda label: None)
    try:
        writer.open()
        epoch = writer.new_epoch(why)
        data = json.dumps({"epoch": epoch, "why": why}, separators=(",", ":"), sort_keys=True).encode()
        writer.commit(Batch([NewRecord("machine.journal_restored", machine, data, utc, mono, False, True)]))
        return epoch
    finally:
        writer.close()


def move_aside(path: Path) -> Path:
    """Move a journal with its log under a name that says damaged, as evidence; returns its new path.

    Raises StoreError (locked) while a daemon has it, FileNotFoundError where there is none.
    """
    lock = Lock(path)
    lock.acquire()
    try:
        n = 1
        while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
            n += 1
        # the file first: without its log it would pass for a whole journal that lacks the newest commits
        parts = [s for s in SUFFIXES if path.with_name(path.name + s).exists()]
        if not parts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        for suffix in parts:
            os.rename(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
        sync_directory(path.parent)
        return aside
    finally:
        lock.release()
