"""A connection of apsw that speaks as one of `sqlite3` does, as far as the journal listens.

Errors are those of `sqlite3`, with SQLite's own code, so that what they become is decided by production's code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
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
        try:
            yield from self._cursor
        except apsw.Error as exc:
            raise self._owner.told(exc) from exc
        self._owner.let_out()

    def fetchone(self) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._cursor.fetchone()
        except apsw.Error as exc:
            raise self._owner.told(exc) from exc
        self._owner.let_out()
        return row

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)


class SimConnection:
    """A database on a simulated disk. `sql` may change each statement: so a test plants a defect."""

    def __init__(self, disk: SimDisk, path: str, mode: str, sql: Sql = lambda statement: statement) -> None:
        flags = {"ro": apsw.SQLITE_OPEN_READONLY, "rw": apsw.SQLITE_OPEN_READWRITE}[mode]
        self._disk = disk
        self._sql = sql
        self._db: Any = None
        try:
            self._db = apsw.Connection(database_name(disk, path), flags=flags, vfs=NAME)
        except apsw.Error as exc:
            raise self.told(exc) from exc
        disk.connections.add(self)
        self.let_out()

    def execute(self, statement: str, parameters: Sequence[Any] = (), /) -> Rows:
        return self._run(self._open().execute, statement, parameters)

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Rows:
        return self._run(self._open().executemany, statement, rows)

    def _run(self, how: Any, statement: str, parameters: Sequence[Any]) -> Rows:
        try:
            cursor = how(self._sql(statement), parameters)
        except apsw.Error as exc:
            raise self.told(exc) from exc
        self.let_out()
        return Rows(self, cursor, self._db.changes(), self._db.last_insert_rowid())

    @property
    def in_transaction(self) -> bool:
        return self._db is not None and bool(self._db.in_transaction)

    def close(self) -> None:
        """As `sqlite3` does, it tells of no trouble on the way."""
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close(True)
            except apsw.Error as exc:
                self.told(exc)
            self.let_out()

    def __del__(self) -> None:
        self.close()  # what a corpse still wants of its disk fails, and nobody is to hear of it

    def _open(self) -> Any:
        if self._db is None:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        return self._db

    def told(self, exc: apsw.Error) -> sqlite3.Error:
        """The error as `sqlite3` words it; raises instead what the disk's watch has raised."""
        self.let_out()
        return as_sqlite3(exc)

    def let_out(self) -> None:
        """Raise what the disk's watch has raised meanwhile, be it that SQLite went on without."""
        if self._disk.escaping is not None:
            escaping, self._disk.escaping = self._disk.escaping, None
            raise escaping
