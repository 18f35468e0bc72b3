"""The journal's files: making a new one, looking at one, growing the log ahead."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from vendingd.journal.api import StoreError, StoreErrorKind
from vendingd.journal.chain import Epoch
from vendingd.journal.disk import REAL, Disk
from vendingd.journal.errors import corrupt
from vendingd.journal.rows import row_digest
from vendingd.journal.schema import APPLICATION_ID, PAGE_SIZE, VERSION, connect, migrate

_SUFFIXES = ("", "-wal", "-shm")


def moving(path: Path) -> Path:
    """The folder into which a journal is being set aside, as long as that is not finished."""
    return path.with_name(path.name + ".aside")


def refuse_moving(path: Path, disk: Disk = REAL) -> None:
    """Refuse what is neither in its place nor aside: what is there may lack its log, or be no journal at all."""
    if disk.size(moving(path)) is not None:
        raise corrupt(
            path,
            "it was being set aside or replaced, and that was cut short: say the same `vendingctl` command again",
        )


def create(path: Path, machine: str, epoch: Epoch, disk: Disk = REAL) -> None:
    """Make a new journal under another name and move it into place.

    So a journal that is there is whole: an empty or half-made one is damage, never a creation cut short.
    """
    wal = path.with_name(path.name + "-wal")
    if disk.size(wal):
        raise corrupt(path, f"the journal is gone, but {wal.name} is there")
    new = path.with_name(path.name + ".new")
    for suffix in (*_SUFFIXES, "-journal"):
        disk.remove(new.with_name(new.name + suffix))
    disk.make(new)
    with closing(connect(new, disk=disk)) as db:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(db)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO machine VALUES (?)", (machine,))
        insert_epoch(db, epoch)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
    disk.sync(new)
    disk.rename(new, path)


def insert_epoch(db: sqlite3.Connection, epoch: Epoch) -> None:
    columns = (epoch.n, epoch.token, epoch.first_seq, epoch.genesis, epoch.reason)
    db.execute(
        "INSERT INTO epoch (n, token, first_seq, genesis, reason, digest) VALUES (?, ?, ?, ?, ?, ?)",
        (*columns, row_digest("epoch", *columns)),
    )


def inspect(db: sqlite3.Connection, path: Path, machine: str | None, disk: Disk = REAL) -> int:
    """Refuse what is not a journal of ours (`machine` None: of anybody); the version of its schema."""
    if not disk.size(path):
        raise corrupt(path, "the journal is empty")
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise corrupt(path, "this is a database, but not a journal of vendingd")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise StoreError(
            StoreErrorKind.NEWER,
            f"{path} has schema {version}, this vendingd knows up to {VERSION}: install the newer "
            "vendingd again, or put the backup made before its upgrade in place: `vendingctl journal put-back FILE "
            "--reason ...`. Nothing was changed",
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
            "the site file, or move the journal aside by `vendingctl journal set-aside`. Nothing was changed",
        )
    return version


def renew_log(path: Path, disk: Disk = REAL) -> None:
    """See to it that the write-ahead log on the disk is the one that is read, before anything is built upon it.

    A commit whose sync failed may be read, and yet be lost with the power: folded back into the file, its pages would
    then stand there among older ones that a log without it brings back.
    """
    wal = path.with_name(path.name + "-wal")
    if disk.size(wal):
        disk.rewrite(wal)


def grow_log(path: Path, size: int, disk: Disk = REAL) -> None:
    """Write zeros into an empty write-ahead log, so that later commits overwrite and no longer extend the
    file.

    Only while the log is empty and nobody else writes. SQLite takes a log without a valid header for an empty
    one.
    """
    wal = path.with_name(path.name + "-wal")
    if disk.size(wal) == 0:
        disk.fill(wal, size)
