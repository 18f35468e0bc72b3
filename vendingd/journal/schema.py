"""The journal's tables, step by step from version to version, and the settings of its connections.

A new file runs every step, an older one those that it lacks: both end the same. Each step is tested from a
file of the version before it, kept as SQL in tests/unit/journal/schemas/. Never edit a step that was
released: add one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from vendingd.journal.disk import REAL, Disk
from vendingd.journal.rows import add_digests

# a synced commit writes at least the pages that it dirtied: small ones wear the flash half as much
PAGE_SIZE = 1024
APPLICATION_ID = 0x766E646A  # "vndj"
BUSY_MS = 5000  # somebody who reads while the daemon starts may hold the file for a moment

_V1 = """
CREATE TABLE machine (id TEXT NOT NULL) STRICT;
CREATE TABLE epoch (
    n INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, first_seq INTEGER NOT NULL, genesis BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE boot (n INTEGER PRIMARY KEY, boot_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, boot INTEGER NOT NULL, utc REAL NOT NULL,
    mono REAL NOT NULL, flags INTEGER NOT NULL, floor_utc REAL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    data BLOB NOT NULL, prev_hash BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE state (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (kind, id)
) STRICT;
CREATE TABLE refused (seq INTEGER PRIMARY KEY, problem BLOB NOT NULL) STRICT;
CREATE TABLE cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1), acked INTEGER NOT NULL, trimmed INTEGER NOT NULL,
    trimmed_hash BLOB NOT NULL
) STRICT;
INSERT INTO cursor VALUES (1, 0, 0, x'');
"""

Step = Callable[[sqlite3.Connection], None]


def _v1(db: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _V1.split(";\n")):
        db.execute(statement)


def _v2(db: sqlite3.Connection) -> None:
    """A digest in every row that changes, see `rows`."""
    add_digests(db)


STEPS: Sequence[Step] = (_v1, _v2)
"""STEPS[n] takes a file of version n to n + 1; the first makes the tables."""

VERSION = len(STEPS)


def migrate(db: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring a file up to the newest version, in one transaction."""
    have = db.execute("PRAGMA user_version").fetchone()[0]
    if have >= len(steps):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[have:]:
            step(db)
        db.execute(f"PRAGMA user_version = {len(steps)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def connect(path: Path, *, mode: str = "rw", disk: Disk = REAL) -> sqlite3.Connection:
    """A connection that begins and ends transactions only where told to. `mode`: ro, rw; never creates."""
    db = disk.database(path, mode)
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA secure_delete = ON")  # what a row held (a wrapped key) does not stay in freed pages
        db.execute("PRAGMA cell_size_check = ON")
    except sqlite3.Error:
        db.close()
        raise
    return db
