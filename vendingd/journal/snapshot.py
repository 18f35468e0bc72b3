"""A copy of the journal of a running daemon, as one commit left it: for backups. In the daemon's process only."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from vendingd.journal.api import StoreError, StoreErrorKind
from vendingd.journal.disk import REAL, Disk
from vendingd.journal.errors import TROUBLE, store_error
from vendingd.journal.schema import connect
from vendingd.journal.thread import Calls, MakeCalls

MARGIN = 32 * 1024 * 1024  # bytes that a copy leaves free: a backup must not be what fills the disk


class Snapshot:
    """Bytes to be read in order. Made on a thread of its own: neither commits nor other reads wait for it."""

    def __init__(self, calls: Calls, fd: int) -> None:
        self._calls = calls
        self._fd = fd
        self.size = os.fstat(fd).st_size

    @classmethod
    async def take(cls, path: Path, calls: MakeCalls, disk: Disk = REAL) -> Snapshot:
        """Raises StoreError."""
        thread = calls("journal-snapshot", lambda: None)
        try:
            return cls(thread, await thread.call(lambda: copy_beside(path, disk)))
        except BaseException:
            await thread.stop(lambda: None)
            raise

    async def read(self, most: int) -> bytes:
        """The next bytes; none at the end."""
        return await self._calls.call(lambda: os.read(self._fd, most))

    async def close(self) -> None:
        await self._calls.stop(lambda: os.close(self._fd))


def copy_beside(path: Path, disk: Disk = REAL) -> int:
    """The descriptor of a copy beside the journal that has no name any more: nothing of it outlives the process.

    Refuses (full) where it would leave less than MARGIN free. Raises StoreError.
    """
    target = path.with_name(path.name + ".copy")
    try:
        disk.remove(target)  # one cut short
        with closing(connect(path, disk=disk)) as db:
            pages, page = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "page_size"))
            _room(path.parent, pages * page + MARGIN)
            fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                db.execute("VACUUM INTO ?", (str(target),))
            except BaseException:
                os.close(fd)
                raise
            finally:
                disk.remove(target)
            return fd
    except TROUBLE as exc:
        raise store_error(exc, path, disk) from exc


def _room(folder: Path, need: int) -> None:
    there = os.statvfs(folder)
    free = there.f_bavail * there.f_frsize
    if free < need:
        raise StoreError(
            StoreErrorKind.FULL,
            f"{folder} has {free >> 20} MiB free, and a copy while vendingd runs needs {need >> 20} there: make room, "
            "or stop vendingd and back up then",
        )
