"""A journal without its daemon: checking, listing, copying, saying restored. For `vendingctl`; see also `replace`.

The first three only read. While a daemon runs the file is its own: everything here then raises StoreError
(locked), and the daemon is to be asked.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from vendingd.journal.api import NewRecord, StoredRecord, StoreError, StoreErrorKind, TokenSource, Verdict
from vendingd.journal.errors import corrupt, is_busy, is_outside, store_error
from vendingd.journal.files import inspect
from vendingd.journal.reader import Verification, last_records, nothing_more, records_behind
from vendingd.journal.rows import Damaged
from vendingd.journal.schema import connect
from vendingd.journal.writer import Writer

PATIENCE_MS = 500  # a daemon that runs has the file for its whole life
SUFFIXES = ("", "-wal", "-shm")
# where SQLite keeps its shared lock (its file format, "Lock-Byte Page"): a daemon's is exclusive
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


@contextmanager
def _opened(path: Path, *, short: bool = False) -> Iterator[sqlite3.Connection]:
    path.stat()  # FileNotFoundError says it better than SQLite does
    with ExitStack() as held:
        try:
            db = held.enter_context(closing(_reading(path, short)))
        except sqlite3.Error as exc:
            if not is_outside(exc) or is_busy(exc):
                raise
            # The index of the log is a file beside it, even for who only reads: on a full or read-only disk there is
            # none, and the journal is as sound as it was.
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="vendingd-journal-"))
            db = held.enter_context(closing(_reading(_copied(path, Path(folder)), short)))
        yield db


def _reading(path: Path, short: bool) -> sqlite3.Connection:
    db = connect(path, mode="ro")
    try:
        if short:  # so a file that is shorter than its head says is read; nothing is written
            db.execute("PRAGMA writable_schema = ON")
        db.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        db.execute("PRAGMA user_version").fetchone()  # the first that looks into the file and its log
    except BaseException:
        db.close()
        raise
    return db


def _copied(path: Path, folder: Path) -> Path:
    """The journal and its log in another folder, copied while no daemon can begin to write. Raises StoreError."""
    target = folder / path.name
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
            for suffix in SUFFIXES[:2]:
                source = path.with_name(path.name + suffix)
                if source.exists():
                    shutil.copyfile(source, folder / source.name)
    except BlockingIOError as exc:
        raise StoreError(StoreErrorKind.LOCKED, f"{path}: a vendingd has just taken it; say it again") from exc
    except OSError as exc:
        error = store_error(exc, path)
        if error.kind is StoreErrorKind.FULL:
            raise StoreError(
                error.kind,
                f"{path} can be read from a copy only, as nothing can be written beside it, and {folder.parent} has no "
                "room for one: name another folder in TMPDIR",
            ) from exc
        raise error from exc
    return target


def _owner(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT id FROM machine").fetchone()[0])


def verify_file(
    path: Path, machine: str | None = None, readable: Callable[[str, str, bytes], object] = nothing_more
) -> Verdict:
    """Check a journal's whole chain and the rows beside it without a daemon, reading only.

    `machine` None: the chain is checked for the machine that the file names. `readable` raises ValueError for a state
    that its reader would not understand. Never raises for damage; raises StoreError for another machine's or a newer
    journal, for one that a daemon has, and where its file system is in the way, OSError where there is none.
    """
    try:
        with _opened(path) as db:
            inspect(db, path, machine)
            walk = Verification(_owner(db), readable)
            while (verdict := walk.step(db)) is None:
                pass
            return verdict
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        if is_outside(exc):
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
        with _opened(path, short=True) as db:
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

    The record of it is the first of that epoch, and durable together with it. Raises StoreError, OSError.
    """
    machine, _ = read_file(path, None, 0)
    writer = Writer(path, machine, boot_id, token, lambda label: None)

    def said(epoch: str) -> NewRecord:
        data = json.dumps({"epoch": epoch, "why": why}, separators=(",", ":"), sort_keys=True).encode()
        return NewRecord("machine.journal_restored", machine, data, utc, mono, False, True)

    try:
        writer.open()
        return writer.new_epoch(why, said)
    finally:
        writer.close()
