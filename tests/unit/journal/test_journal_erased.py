"""What rows no longer hold is in the file and its log no more: bytes of the disk, read again."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vendingd.journal.api import (
    AFTER_CHECKPOINT,
    BEFORE_CHECKPOINT,
    Batch,
    NewRecord,
    StateChange,
    StoreError,
    StoreErrorKind,
)
from vendingd.journal.disk import REAL, RealDisk
from vendingd.journal.schema import connect
from vendingd.journal.writer import Writer

Record = Callable[..., NewRecord]
HOLDER = b"h-mustermann-7f3a"


def writer_of(path: Path, labels: list[str]) -> Writer:
    made = Writer(path, "tower-01", "boot-1", os.urandom, labels.append)
    made.open()
    return made


def commit(writer: Writer, *changes: StateChange, wipe: bool = False) -> None:
    """As the journal's thread does it: then nobody waits."""
    writer.commit(Batch((), changes, wipe=wipe))
    writer.idle()


def holding(path: Path, text: bytes = HOLDER) -> list[str]:
    """The files of the journal that hold it."""
    return sorted(one.name for one in path.parent.iterdir() if text in one.read_bytes())


def row(key: str, text: bytes) -> StateChange:
    return StateChange("rental", key, b'{"holder":"%b"}' % text)


def test_a_wipe_takes_what_was_out_of_the_file_and_its_log(path: Path) -> None:
    labels: list[str] = []
    writer = writer_of(path, labels)
    commit(writer, row("r1", HOLDER + b"x" * 3000), row("r2", b"another"))
    commit(writer, row("r1", b""))
    assert holding(path) == ["journal.db-wal"], "this would find it"
    commit(writer, row("r2", HOLDER))
    commit(writer, StateChange("rental", "r2", None), wipe=True)
    assert holding(path) == []
    assert labels[-2:] == [BEFORE_CHECKPOINT, AFTER_CHECKPOINT]
    log = path.with_name("journal.db-wal").stat()
    assert log.st_size > 1_000_000 and log.st_blocks * 512 >= log.st_size, "written ahead, as at the start"
    commit(writer, row("r3", b"the next"))
    assert labels.count(BEFORE_CHECKPOINT) == 1, "once"
    writer.close()
    again = writer_of(path, [])
    assert set(again.open().state["rental"]) == {"r1", "r3"}
    again.close()


def test_whoever_reads_is_not_waited_for(path: Path) -> None:
    """The commit that comes next must not stand behind a backup; the wipe comes once it has been read."""
    writer = writer_of(path, [])
    commit(writer, row("r1", HOLDER))
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        assert HOLDER in reader.execute("SELECT data FROM state").fetchone()[0]
        said: list[str] = []
        assert writer._db is not None
        writer._db.set_trace_callback(said.append)
        commit(writer, row("r1", b""), wipe=True)
        emptying = said.index("PRAGMA wal_checkpoint(TRUNCATE)")
        assert said[emptying - 1] == "PRAGMA busy_timeout = 0" and said[emptying + 1] != said[emptying - 1]
        assert "journal.db-wal" in holding(path), "it is being read"
        assert HOLDER in reader.execute("SELECT data FROM state").fetchone()[0]
        commit(writer, row("r2", b"another"))
    commit(writer, row("r3", b"a third"))
    assert holding(path) == []
    writer.close()


def test_a_start_wipes(path: Path) -> None:
    """Also where the power went between a commit and its wipe."""
    writer = writer_of(path, [])
    commit(writer, row("r1", HOLDER))
    writer.commit(Batch((), [row("r1", b"")], wipe=True))
    left = path.with_name("left") / path.name
    left.parent.mkdir()
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert holding(left) == ["journal.db-wal"]
    writer.close()
    again = writer_of(left, [])
    assert holding(left) == []
    again.close()


class Full(RealDisk):
    """Somebody else has taken the room that the log had."""

    def fill(self, path: Path, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_trouble_of_a_wipe_is_told_by_the_next_commit(path: Path, record: Record) -> None:
    writer = writer_of(path, [])
    writer.commit(Batch([record(1)], [row("r1", b"")], wipe=True))
    writer._disk = Full()
    writer.idle()
    with pytest.raises(StoreError) as caught:
        writer.commit(Batch([record(2)]))
    assert caught.value.kind is StoreErrorKind.FULL
    writer._disk = REAL
    assert writer.open().next_seq == 2
    writer.close()


def test_rows_that_come_and_go_leave_next_to_nothing(path: Path, record: Record) -> None:
    """Long and short ones, in pages that fill, split and empty. 'Next to': SQLite moves rows without overwriting."""
    chance, writer, said, live = random.Random(7), writer_of(path, []), set(), set()
    for n in range(300):
        key = f"r{chance.randrange(60)}"
        if key in live and chance.random() < 0.3:
            live.remove(key)
            commit(writer, StateChange("rental", key, None))
            continue
        said.add(name := b"holder-%05d" % n)
        live.add(key)
        commit(writer, row(key, name + b"x" * chance.randrange(10, 2500)))
    commit(writer, *(row(key, b"") for key in sorted(live)), wipe=True)
    assert len(said) > 200
    assert sum(bool(holding(path, name)) for name in said) <= 2
    writer.close()
