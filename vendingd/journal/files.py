"""The journal's files: the lock that keeps a second daemon out, making a new file, growing the log ahead."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from vendingd.journal.api import StoreError, StoreErrorKind
from vendingd.journal.chain import Epoch
from vendingd.journal.errors import corrupt
from vendingd.journal.schema import APPLICATION_ID, PAGE_SIZE, VERSION, connect, migrate

_OS_PAGE = 4096
_SUFFIXES = ("", "-wal", "-shm")

# lock files held by this process: a POSIX lock does not exclude its own process
_held: set[tuple[int, int]] = set()


class Lock:
    """An exclusive lock beside the journal, for the life of a process.

    A file of its own: locks on the database itself belong to SQLite, and POSIX drops them all when any
    descriptor of that file is closed. `lockf` and not `flock`: a forked worker that outlives a killed daemon
    must not keep it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = -1
        self._key = (0, 0)

    def acquire(self) -> None:
        """Raise StoreError (locked) when a daemon has the journal already. Idempotent."""
        if self._fd >= 0:
            return
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            pass
        else:
            # asked before opening: closing a second descriptor would drop the lock of the first
            if (stat.st_dev, stat.st_ino) in _held:
                raise self._refusal()
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            raise self._refusal() from None
        except OSError:
            os.close(fd)
            raise
        stat = os.fstat(fd)
        self._fd, self._key = fd, (stat.st_dev, stat.st_ino)
        _held.add(self._key)

    def release(self) -> None:
        """Idempotent; the file stays, an empty one costs nothing and its removal would race."""
        if self._fd >= 0:
            _held.discard(self._key)
            os.close(self._fd)
            self._fd = -1

    def _refusal(self) -> StoreError:
        return StoreError(
            StoreErrorKind.LOCKED,
            f"another vendingd has this journal; `fuser -v {self._path}` names it: stop that one first",
        )


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create(path: Path, machine: str, epoch: Epoch) -> None:
    """Make a new journal under another name and move it into place.

    So a journal that is there is whole: an empty or half-made one is damage, never a creation cut short.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise corrupt(path, f"the journal is gone, but {wal.name} is there")
    new = path.with_name(path.name + ".new")
    for suffix in (*_SUFFIXES, "-journal"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(new)) as db:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(db)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO machine VALUES (?)", (machine,))
        insert_epoch(db, epoch)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    with new.open("rb") as file:
        os.fsync(file.fileno())
    os.rename(new, path)
    sync_directory(path.parent)


def insert_epoch(db: sqlite3.Connection, epoch: Epoch) -> None:
    db.execute(
        "INSERT INTO epoch (n, token, first_seq, genesis, reason) VALUES (?, ?, ?, ?, ?)",
        (epoch.n, epoch.token, epoch.first_seq, epoch.genesis, epoch.reason),
    )


def inspect(db: sqlite3.Connection, path: Path, machine: str | None) -> int:
    """Refuse what is not a journal of ours (`machine` None: of anybody); the version of its schema."""
    if path.stat().st_size == 0:
        raise corrupt(path, "the journal is empty")
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise corrupt(path, "this is a database, but not a journal of vendingd")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise StoreError(
            StoreErrorKind.NEWER,
            f"{path} has schema {version}, this vendingd knows up to {VERSION}: install the newer "
            "vendingd again, or put the backup made before its upgrade in place and say `vendingctl journal restored`. "
            "Nothing was changed",
        )
    if version < 1:
        raise corrupt(path, "the journal has no schema version")
    owner = db.execute("SELECT id FROM machine").fetchone()
    if owner is None:
        raise corrupt(path, "the journal names no machine")
    if machine is not None and owner[0] != machine:
        raise StoreError(
            StoreErrorKind.FOREIGN,
            f"{path} belongs to machine {owner[0]!r}, the site file names {machine!r}: correct `machine` in "
            "the site file, or move the journal aside. Nothing was changed",
        )
    return version


def grow_log(path: Path, size: int) -> None:
    """Write zeros into an empty write-ahead log, so that later commits overwrite and no longer extend the
    file.

    Only while the log is empty and nobody else writes. SQLite takes a log without a valid header for an empty
    one.
    """
    wal = path.with_name(path.name + "-wal")
    fd = os.open(wal, os.O_WRONLY)
    try:
        if os.fstat(fd).st_size == 0:
            # page by page: of one large write the kernel makes large folios, and counts (on some file systems
            # writes) the whole of one for each commit that touches it
            for at in range(0, size, _OS_PAGE):
                os.pwrite(fd, bytes(min(_OS_PAGE, size - at)), at)
            os.fsync(fd)
    finally:
        os.close(fd)


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
        parts = [s for s in _SUFFIXES if path.with_name(path.name + s).exists()]
        if not parts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        for suffix in parts:
            os.rename(path.with_name(path.name + suffix), aside.with_name(aside.name + suffix))
        sync_directory(path.parent)
        return aside
    finally:
        lock.release()
