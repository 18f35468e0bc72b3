"""What the journal asks of the operating system, and who answers: files by their path, and databases in them.

A seam: whoever runs the journal in simulated time hands it a disk of their own.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Protocol

from vendingd.journal.api import StoreError, StoreErrorKind

_OS_PAGE = 4096

# lock files held by this process: a POSIX lock does not exclude its own process
_held: set[tuple[int, int]] = set()


def give(file: Path | int, folder: Path) -> None:
    """What root has made by hand is its folder's owner's: the daemon's user must be able to take it later."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


class Lock:
    """An exclusive lock beside the journal, for the life of a process.

    A file of its own: locks on the database itself belong to SQLite, and POSIX drops them all when any
    descriptor of that file is closed. It is there before the database is, and while one is moved aside.
    `lockf` and not `flock`: a forked worker that outlives a killed daemon must not keep it.
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
        give(fd, self._path.parent)
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


class Held(Protocol):
    """What keeps a second daemon out, see `Lock`."""

    def acquire(self) -> None: ...

    def release(self) -> None: ...


class Disk(Protocol):
    """Each method raises OSError where the disk fails, `database` sqlite3.Error."""

    def lock(self, path: Path) -> Held:
        """What keeps others from the journal at `path`; not yet acquired."""
        ...

    def database(self, path: Path, mode: str) -> sqlite3.Connection:
        """A connection without transactions of its own; never creates.

        `mode` rw is for the process that owns the journal: its connections share the file, other processes are kept
        out. `mode` ro is for everybody else while no daemon runs, and for a first look.
        """
        ...

    def size(self, path: Path) -> int | None:
        """Bytes; None where there is no such file."""
        ...

    def make(self, path: Path) -> None:
        """A new empty file, readable by its owner alone; there must be none."""
        ...

    def fill(self, path: Path, size: int) -> None:
        """Write `size` zeros into an empty file that is there, and sync it."""
        ...

    def sync(self, path: Path) -> None:
        """Make durable what was written into a file."""
        ...

    def rewrite(self, path: Path) -> None:
        """Write what a file holds over itself, and sync it.

        After a failed sync the kernel may hold as clean what never reached the disk: it is read, and no later sync
        writes it.
        """
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Durable when it returns; both stand in one folder."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file, be it there or not."""
        ...

    def try_writing(self, path: Path) -> None:
        """Write, sync and remove a small file: does this disk write at all?"""
        ...


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class RealDisk:
    """The disk of the operating system."""

    def lock(self, path: Path) -> Lock:
        return Lock(path)

    def database(self, path: Path, mode: str) -> sqlite3.Connection:
        # With the file to itself a process keeps the log's index in its memory. As a mapped file (`-shm`) the kernel
        # writes its pages to the disk again and again: nearly as many bytes as the records.
        owned = "&vfs=unix-excl" if mode == "rw" else ""
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}{owned}", uri=True, isolation_level=None)

    def size(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def make(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    def fill(self, path: Path, size: int) -> None:
        fd = os.open(path, os.O_WRONLY)
        try:
            # page by page: of one large write the kernel makes large folios, and counts (on some file systems
            # writes) the whole of one for each commit that touches it
            for at in range(0, size, _OS_PAGE):
                os.pwrite(fd, bytes(min(_OS_PAGE, size - at)), at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync(self, path: Path) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def rewrite(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR)
        try:
            at = 0
            while held := os.pread(fd, _OS_PAGE, at):
                at += os.pwrite(fd, held, at)
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)
        sync_directory(new.parent)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def try_writing(self, path: Path) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(4096))
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(path)


REAL = RealDisk()
