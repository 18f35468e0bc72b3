"""A connection of apsw that speaks as one of `sqlite3` does, as far as the journal listens.

Errors are those of `sqlite3`, with SQLite's own code, so that what they become is decided by production's code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from tests.simulation.disk.medium import SimDisk
from tests.simulation.disk.vfs import NAME, database_name

Sql = Callable[[str], str]

# as CPython's own module sorts them; what is not named here is a DatabaseError
_INTERFACE = (apsw.SQLITE_MISUSE, apsw.SQLITE_RANGE)
_INTERNAL = (apsw.SQLITE_INTERNAL, apsw.SQLITE_NOTFOUND)
_INTEGRITY = (apsw.SQLITE_CONSTRAINT, apsw.SQLITE_MISMATCH)
_OPERATIONAL = (
    apsw.SQLITE_ERROR, apsw.SQLITE_PERM, apsw.SQLITE_ABORT, apsw.SQLITE_BUSY, apsw.SQLITE_LOCKED,
    apsw.SQLITE_READONLY, apsw.SQLITE_INTERRUPT, apsw.SQLITE_IOERR, apsw.SQLITE_FULL, apsw.SQLITE_CANTOPEN,
    apsw.SQLITE_PROTOCOL, apsw.SQLITE_EMPTY, apsw.SQLITE_SCHEMA,
)  # fmt: skip
_CLASSES: dict[int, type[sqlite3.Error]] = {
    **dict.fromkeys(_INTERFACE, sqlite3.InterfaceError),
    **dict.fromkeys(_INTERNAL, sqlite3.InternalError),
    **dict.fromkeys(_INTEGRITY, sqlite3.IntegrityError),
    **dict.fromkeys(_OPERATIONAL, sqlite3.OperationalError),
    apsw.SQLITE_TOOBIG: sqlite3.DataError,
}


def as_sqlite3(exc: apsw.Error) -> sqlite3.Error:
    """The same error in the words of `sqlite3`."""
    code = getattr(exc, "extendedresult", apsw.SQLITE_ERROR)
    error = _CLASSES.get(code & 0xFF, sqlite3.DatabaseError)(str(exc))
    error.sqlite_errorcode = code
    error.sqlite_errorname = str(apsw.mapping_extended_result_codes.get(code, apsw.mapping_result_codes.get(code, "")))
    return error


class Rows:
    """A cursor, as far as the journal uses one."""

    def __init__(self, owner: SimConnection, cursor: Any, rowcount: int, lastrowid: int) -> None:
        self._owner = owner
        self._cursor = cursor
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> tuple[Any, ...] | None:
        with self._owner.trouble():
            row: tuple[Any, ...] | None = self._cursor.fetchone()
            return row

    def fetchall(self) -> list[tuple[Any, ...]]:
        with self._owner.trouble():
            return list(self._cursor.fetchall())


class SimConnection:
    """A database on a simulated disk. `sql` may change each statement: so a test plants a defect."""

    def __init__(self, disk: SimDisk, path: str, mode: str, sql: Sql = lambda statement: statement) -> None:
        flags = {"ro": apsw.SQLITE_OPEN_READONLY, "rw": apsw.SQLITE_OPEN_READWRITE}[mode]
        self._disk = disk
        self._sql = sql
        self._db: Any = None
        with self.trouble():
            self._db = apsw.Connection(database_name(disk, path), flags=flags, vfs=NAME)

    def execute(self, statement: str, parameters: Sequence[Any] = (), /) -> Rows:
        with self.trouble():
            db = self._open()
            cursor = db.execute(self._sql(statement), parameters)
            return Rows(self, cursor, db.changes(), db.last_insert_rowid())

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Rows:
        with self.trouble():
            db = self._open()
            cursor = db.executemany(self._sql(statement), rows)
            return Rows(self, cursor, db.changes(), db.last_insert_rowid())

    @property
    def in_transaction(self) -> bool:
        return self._db is not None and bool(self._db.in_transaction)

    def close(self) -> None:
        """As `sqlite3` does, it tells of no trouble on the way."""
        db, self._db = self._db, None
        if db is not None:
            try:
                with self.trouble():
                    db.close(True)
            except sqlite3.Error:
                return

    def _open(self) -> Any:
        if self._db is None:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        return self._db

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Errors as `sqlite3` words them; and what the disk's watch raised, as itself."""
        try:
            yield
        except apsw.Error as exc:
            self._let_out()
            raise as_sqlite3(exc) from exc
        self._let_out()

    def _let_out(self) -> None:
        escaping, self._disk.escaping = self._disk.escaping, None
        if escaping is not None:
            raise escaping
