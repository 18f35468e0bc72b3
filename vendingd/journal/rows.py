"""The rows that change beside the records: what they hold, the digest that each carries, and reading them checked.

A record is bound by the chain; a state, the cursor, an epoch or a record set aside is not. Each of those rows carries
the first eight bytes of a SHA-256 over its columns, so that a bit that changed by itself is refused and not believed.
It is no seal: who can write the file can compute it anew.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from vendingd.journal.chain import Epoch, framed

DIGEST_BYTES = 8
_SINCE = 2  # the schema version that brought the digests
_LABEL = b"vendingd row 1"
_length = struct.Struct(">I").pack
_number = struct.Struct(">q").pack

# what a digest covers, in this order; the key comes first
COLUMNS = {
    "state": "kind, id, data",
    "cursor": "acked, trimmed, trimmed_hash",
    "refused": "seq, problem",
    "epoch": "n, token, first_seq, genesis, reason",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "state": (str, str, bytes),
    "cursor": (int, int, bytes),
    "refused": (int, bytes),
    "epoch": (int, str, int, bytes, str),
}
_FRAMED = {table: framed(_LABEL, table.encode()) for table in COLUMNS}


class Damaged(Exception):
    """A row that holds what it never should."""


def sound(row: Sequence[object], types: Sequence[type | tuple[type, ...]]) -> bool:
    """Whether every column holds what it should."""
    return all(isinstance(value, kind) for value, kind in zip(row, types, strict=True))


def row_digest(table: str, *columns: str | int | bytes) -> bytes:
    """The digest of one row of that table: texts as UTF-8, integers in eight bytes, big endian."""
    parts = [_FRAMED[table]]
    for value in columns:  # part of each commit: `framed`, written out
        field = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else _number(value)
        parts += (_length(len(field)), field)
    return sha256(b"".join(parts)).digest()[:DIGEST_BYTES]


def add_digests(db: sqlite3.Connection) -> None:
    """Bring the digests into a file of version 1: what it holds is taken for right, there is nothing to hold it to."""
    for table, columns in COLUMNS.items():
        db.execute(f"ALTER TABLE {table} ADD COLUMN digest BLOB NOT NULL DEFAULT x''")
        rows = db.execute(f"SELECT rowid, {columns} FROM {table}").fetchall()
        db.executemany(
            f"UPDATE {table} SET digest = ? WHERE rowid = ?", [(row_digest(table, *row[1:]), row[0]) for row in rows]
        )


def epochs(db: sqlite3.Connection) -> list[Epoch]:
    """All epochs, the current one last; raises Damaged where there is none."""
    known = [Epoch(*row) for row in _checked(db, "epoch", "ORDER BY n")]
    if not known:
        raise Damaged("the journal has lost its epoch")
    return known


def cursor(db: sqlite3.Connection) -> tuple[int, int, bytes]:
    """What is acknowledged, through where records have aged out, and the hash there."""
    rows = list(_checked(db, "cursor"))
    if not rows:
        raise Damaged("the journal has lost its cursor")
    acked, trimmed, trimmed_hash = rows[0]
    return acked, trimmed, trimmed_hash


def states(db: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Kind, id and data of every state row, in order; raises Damaged also where rows were lost with their places."""
    # digests vouch for the rows that are found; that the table and its index agree, for those that are not
    for (said,) in db.execute("PRAGMA integrity_check(state)"):
        if said != "ok":
            raise Damaged(f"the table of states is damaged: {said}")
    yield from _checked(db, "state", "ORDER BY kind, id")


def check_refused(db: sqlite3.Connection) -> None:
    """Raises Damaged where a record set aside is not what was set aside."""
    for _ in _checked(db, "refused"):
        pass


def _checked(db: sqlite3.Connection, table: str, order: str = "") -> Iterator[Any]:
    types = _TYPES[table]
    digested = db.execute("PRAGMA user_version").fetchone()[0] >= _SINCE
    digest = ", digest" if digested else ""
    for row in db.execute(f"SELECT {COLUMNS[table]}{digest} FROM {table} {order}"):
        columns = row[: len(types)]
        if not sound(columns, types):
            raise Damaged(f"{_named(table, columns)} cannot be read")
        if digested and row[-1] != row_digest(table, *columns):
            raise Damaged(f"{_named(table, columns)} does not match its digest")
        yield columns


def _named(table: str, columns: Sequence[object]) -> str:
    if table == "cursor":
        return "the outbox's cursor"
    if table == "state":
        return f"state row {columns[0]}/{columns[1]}"
    return f"{'epoch' if table == 'epoch' else 'the record set aside'} {columns[0]}"
