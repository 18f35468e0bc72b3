"""SQLite's way onto a simulated disk: one VFS for all of them, for the life of the process.

A database is opened as "/<number of the disk>/<path>". Locks and the index of the write-ahead log (shared memory)
are those of SQLite's own `unix-excl`, in this process's memory, on an empty file that stands for the database; so
that reader and writer are two connections as they are in production.
"""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
import weakref
from typing import Any

import apsw

from tests.simulation.disk.medium import File, SimDisk, disk_of

NAME = "simulated-disk"

_OPEN_DATABASE = apsw.SQLITE_OPEN_MAIN_DB
_CREATE = apsw.SQLITE_OPEN_CREATE
_READONLY = apsw.SQLITE_OPEN_READONLY
_DELETE_ON_CLOSE = apsw.SQLITE_OPEN_DELETEONCLOSE
_stand_ins = tempfile.TemporaryDirectory(prefix="vendingd-disk-")
_counted = itertools.count(1)
_stand_in_of: weakref.WeakKeyDictionary[File, str] = weakref.WeakKeyDictionary()


def database_name(disk: SimDisk, path: str) -> str:
    """What SQLite is to open."""
    return f"/{disk.number}{path}"


def _trouble(exc: OSError, otherwise: int) -> Exception:
    """As SQLite's own unix VFS words it: a full disk where something was written, else an I/O error."""
    if otherwise == apsw.SQLITE_IOERR_WRITE and exc.errno == errno.ENOSPC:
        otherwise = apsw.SQLITE_FULL
    return apsw.exception_for(otherwise)


class _Opened:
    """What SQLite does with one open file; how it locks is its subclass's."""

    def _begin(self, disk: SimDisk, name: str, file: File, readonly: bool) -> None:
        self._disk = disk
        self._name = name
        self._file = file
        self._readonly = readonly

    def xRead(self, amount: int, offset: int) -> bytes:
        try:
            self._disk.alive()
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_READ) from exc
        return bytes(self._file.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            if self._readonly:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._disk.write(self._name, self._file, offset, bytes(data))
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_WRITE) from exc
        except BaseException as exc:  # noqa: BLE001 - raised again behind SQLite
            raise self._escape(exc, apsw.SQLITE_IOERR_WRITE) from None

    def xTruncate(self, size: int) -> None:
        try:
            self._disk.truncate(self._name, self._file, size)
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_TRUNCATE) from exc
        except BaseException as exc:  # noqa: BLE001 - raised again behind SQLite
            raise self._escape(exc, apsw.SQLITE_IOERR_TRUNCATE) from None

    def xSync(self, flags: int) -> None:
        try:
            self._disk.sync(self._name, self._file)
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_FSYNC) from exc
        except BaseException as exc:  # noqa: BLE001 - raised again behind SQLite
            raise self._escape(exc, apsw.SQLITE_IOERR_FSYNC) from None

    def xFileSize(self) -> int:
        return len(self._file.data)

    def xSectorSize(self) -> int:
        return 4096  # what the unix VFS says

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # likewise: a torn sector harms only what was being written

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def excepthook(self, kind: Any, exc: Any, trace: Any) -> bool:
        return _swallowed(exc)

    def _escape(self, exc: BaseException, code: int) -> Exception:
        self._disk.escaping = exc
        return apsw.exception_for(code)


class _Database(_Opened, apsw.VFSFile):
    """A database; locks and shared memory by its stand-in."""

    def __init__(self, disk: SimDisk, name: str, file: File, readonly: bool) -> None:
        self._begin(disk, name, file, readonly)
        stand_in = _stand_in_of.get(file)
        if stand_in is None:
            stand_in = _stand_in_of[file] = os.path.join(_stand_ins.name, str(next(_counted)))
            os.close(os.open(stand_in, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            # open files go on without it; a later file of that inode's number is none of theirs
            weakref.finalize(file, _unlink, stand_in)
        super().__init__("unix-excl", stand_in, [_OPEN_DATABASE | apsw.SQLITE_OPEN_READWRITE, 0])


class _Beside(_Opened):
    """A log or a journal of a database: its lock is the database's."""

    def __init__(self, disk: SimDisk, name: str, file: File, *, readonly: bool, temporary: bool) -> None:
        self._begin(disk, name, file, readonly)
        self._temporary = temporary

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xClose(self) -> None:
        if self._temporary and not self._disk.dead:
            self._disk.remove(self._name)


class SimVfs(apsw.VFS):
    """Paths to files of the disk that they name."""

    def __init__(self) -> None:
        super().__init__(NAME, "unix-excl")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        asked = flags[0]
        try:
            disk, path = _place(name.filename() if isinstance(name, apsw.URIFilename) else name)
            file = disk.find(path)
            readonly = bool(asked & _READONLY) or (disk.fault == "readonly" and file is not None)
            if file is None:
                if not asked & _CREATE:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                file = disk.make(path)
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_CANTOPEN) from exc
        except BaseException as exc:  # noqa: BLE001 - raised again behind SQLite
            disk.escaping = exc
            raise apsw.exception_for(apsw.SQLITE_CANTOPEN) from None
        if readonly:
            asked = (asked & ~(apsw.SQLITE_OPEN_READWRITE | _CREATE)) | _READONLY
        flags[1] = asked
        if asked & _OPEN_DATABASE:
            return _Database(disk, path, file, readonly)
        return _Beside(disk, path, file, readonly=readonly, temporary=bool(asked & _DELETE_ON_CLOSE))

    def xFullPathname(self, name: str) -> str:
        return name

    def xAccess(self, name: str, flags: int) -> bool:
        try:
            disk, path = _place(name)
            file = disk.find(path)
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_ACCESS) from exc
        writable = flags != apsw.SQLITE_ACCESS_READWRITE or disk.fault != "readonly"
        # the unix VFS takes an empty file for none
        return file is not None and len(file.data) > 0 and writable

    def xDelete(self, name: str, sync: bool) -> None:
        disk = None
        try:
            disk, path = _place(name)
            if disk.find(path) is None:
                raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT)
            disk.remove(path)
            if sync:
                disk.sync_names()
        except OSError as exc:
            raise _trouble(exc, apsw.SQLITE_IOERR_DELETE) from exc
        except apsw.Error:
            raise
        except BaseException as exc:  # noqa: BLE001 - raised again behind SQLite
            assert disk is not None
            disk.escaping = exc
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE) from None

    def xSleep(self, microseconds: int) -> int:
        return microseconds  # nobody else can let go meanwhile

    def excepthook(self, kind: Any, exc: Any, trace: Any) -> bool:
        return _swallowed(exc)


def _place(name: str) -> tuple[SimDisk, str]:
    _, number, path = name.split("/", 2)
    return disk_of(int(number)), "/" + path


def _swallowed(exc: BaseException | None) -> bool:
    """SQLite goes on without what failed here; its own words are no defect."""
    return isinstance(exc, apsw.Error)


def _unlink(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


_vfs = SimVfs()  # held: connections do not
