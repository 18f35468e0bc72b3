"""From what SQLite and the operating system say to a StoreError that tells a technician what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from vendingd.journal.api import StoreError, StoreErrorKind
from vendingd.journal.disk import REAL, Disk

_BY_CODE = {
    sqlite3.SQLITE_FULL: StoreErrorKind.FULL,
    sqlite3.SQLITE_READONLY: StoreErrorKind.READONLY,
    sqlite3.SQLITE_PERM: StoreErrorKind.READONLY,
    sqlite3.SQLITE_CORRUPT: StoreErrorKind.CORRUPT,
    sqlite3.SQLITE_NOTADB: StoreErrorKind.CORRUPT,
    # a row that we are about to write is there already: somebody else has written into the file
    sqlite3.SQLITE_CONSTRAINT: StoreErrorKind.CORRUPT,
    sqlite3.SQLITE_BUSY: StoreErrorKind.LOCKED,
    sqlite3.SQLITE_LOCKED: StoreErrorKind.LOCKED,
}

_OUTSIDE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}
# of I/O errors these are about the file itself: a sector that cannot be read, a file that ends too early
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

_BY_ERRNO = {
    errno.ENOSPC: StoreErrorKind.FULL,
    errno.EDQUOT: StoreErrorKind.FULL,
    errno.EROFS: StoreErrorKind.READONLY,
    errno.EACCES: StoreErrorKind.READONLY,
    errno.EPERM: StoreErrorKind.READONLY,
}

_ADVICE = {
    StoreErrorKind.FULL: "free space on its file system",
    StoreErrorKind.READONLY: "make its directory writable for vendingd, and look in dmesg for why it is not",
    StoreErrorKind.IO: "look in dmesg for errors of the disk, and have a spare one ready",
    StoreErrorKind.LOCKED: "a running vendingd has its journal to itself: ask it through vendingctl, or stop it "
    "first (`fuser -v` names who has the file)",
}

RECOVERY = (
    "Nothing was changed. `vendingctl audit verify` names what is wrong. To go on, stop vendingd and say "
    "`vendingctl journal put-back FILE --reason ...` with the latest backup: it moves this journal aside, as evidence, "
    "and gives the backup a new epoch. Where there is none, `vendingctl journal set-aside`. Then start vendingd"
)


TROUBLE = (sqlite3.Error, OSError, UnicodeDecodeError)
"""What a damaged or failing database raises; the last where text, or SQLite's own message, is garbled."""


def corrupt(path: Path, what: str) -> StoreError:
    """A refusal to touch what is damaged."""
    return StoreError(StoreErrorKind.CORRUPT, f"{path}: {what}. {RECOVERY}")


def closed(path: Path) -> StoreError:
    return StoreError(StoreErrorKind.CLOSED, f"{path} is not open")


def is_busy(exc: BaseException) -> bool:
    """Whether another process has the file: no word about what is in it."""
    return isinstance(exc, sqlite3.Error) and _code(exc) & 0xFF == sqlite3.SQLITE_BUSY


def is_outside(exc: BaseException) -> bool:
    """Whether the trouble is with what is around the file, and says nothing about what is in it."""
    if not isinstance(exc, sqlite3.Error):
        return False
    return _code(exc) & 0xFF in _OUTSIDE or (
        _code(exc) & 0xFF == sqlite3.SQLITE_IOERR and _code(exc) not in _UNREADABLE
    )


def _code(exc: sqlite3.Error) -> int:
    return int(getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR))


def store_error(exc: sqlite3.Error | OSError | UnicodeDecodeError, path: Path, disk: Disk = REAL) -> StoreError:
    """Which kind of trouble an exception of the database or of the operating system is."""
    if isinstance(exc, UnicodeDecodeError):
        kind = StoreErrorKind.CORRUPT
    elif isinstance(exc, OSError):
        kind = _BY_ERRNO.get(exc.errno or 0, StoreErrorKind.IO)
    else:
        # the low byte of an extended code is its class
        kind = _BY_CODE.get(_code(exc) & 0xFF, StoreErrorKind.IO)
    if kind is StoreErrorKind.IO:
        kind = _file_system_says(path, disk)
    if kind is StoreErrorKind.CORRUPT:
        return corrupt(path, f"the journal is damaged ({exc})")
    return StoreError(kind, f"{path}: {exc}; {_ADVICE[kind]}")


def _file_system_says(path: Path, disk: Disk) -> StoreErrorKind:
    """SQLite calls a full or read-only file system an I/O error at many a place: try it, and read the reason."""
    try:
        disk.try_writing(path.with_name(path.name + ".trial"))
    except OSError as exc:
        return _BY_ERRNO.get(exc.errno or 0, StoreErrorKind.IO)
    return StoreErrorKind.IO
