"""A backup in the journal's place, by one command, whatever lies there; and backups that meet."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vendingd.cli import stored
from vendingd.cli.exits import Exit
from vendingd.cli.main import main
from vendingd.journal import writer as writing
from vendingd.journal.api import Batch, NewRecord, StateChange, StoreError
from vendingd.journal.offline import read_file, restored_file, verify_file
from vendingd.journal.store import Journal

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """As a killed daemon leaves it: five records in the file, five more in the log."""
    folder, live = tmp_path / "state", tmp_path / "live"
    folder.mkdir()
    live.mkdir()

    async def lived() -> None:
        journal = Journal(live / "journal.db", machine="m", boot_id="b", token=os.urandom)
        await journal.open()
        await journal.commit(Batch([record(n) for n in range(5)]))
        await journal.close()
        shutil.copy(live / "journal.db", tmp_path / "backup.db")
        await journal.open()
        await journal.commit(Batch([record(n) for n in range(5)]))
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(live / name, folder / name)
        await journal.close()

    asyncio.run(lived())
    return folder


def record(n: int) -> NewRecord:
    return NewRecord("k", str(n), b"{}", 1.0, 1.0, True, False)


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(["--socket", str(state / "none.sock"), *argv])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, " ".join(said.err.split())

    return run


def test_a_backup_is_put_back_beside_the_log_of_a_killed_daemon(state: Path, tmp_path: Path, run: Run) -> None:
    """Copied over by hand, the log would have been read into it."""
    before = {name: (state / name).read_bytes() for name in ("journal.db", "journal.db-wal")}
    where = ("--state-dir", str(state), "--as", " tess ", "--json")
    code, out, err = run("journal", "put-back", str(tmp_path / "backup.db"), "--reason", "worn out", *where)
    assert code == Exit.OK, err
    said = json.loads(out)
    aside = state / "journal.db.damaged-1"
    assert (said["records"], said["head_seq"], said["aside"]) == (5, 5, str(aside / "journal.db"))
    assert {name: (aside / name).read_bytes() for name in before} == before
    assert sorted(os.listdir(state)) == ["journal.db", "journal.db.damaged-1", "journal.db.lock"]
    assert stat.S_IMODE((state / "journal.db").stat().st_mode) == 0o600
    assert stat.S_IMODE(aside.stat().st_mode) == 0o700
    _, (last,) = read_file(state / "journal.db", None, 1)
    assert (last.seq, last.epoch, last.kind) == (6, said["epoch"], "machine.journal_restored")
    assert json.loads(last.data)["why"] == "tess: worn out"
    assert verify_file(state / "journal.db", "m").ok
    code, out, _ = run("journal", "--limit", "1", "--state-dir", str(aside), "--json")
    assert (code, json.loads(out)["seq"]) == (Exit.OK, 10), "what was set aside is looked at where it is"


def test_onto_a_new_card_too(state: Path, tmp_path: Path, run: Run) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    where = ("--state-dir", str(empty))
    code, out, err = run("journal", "put-back", str(tmp_path / "backup.db"), "--reason", "new card", *where)
    assert code == Exit.OK and "damaged" not in out, err
    assert verify_file(empty / "journal.db").head_seq == 6
    # and what is set aside can be put back, with its log
    code, _, err = run("journal", "put-back", str(state / "journal.db"), "--reason", "this one, then", *where)
    assert code == Exit.OK, err
    assert verify_file(empty / "journal.db").head_seq == 11
    assert verify_file(empty / "journal.db.damaged-1" / "journal.db").head_seq == 6


def test_what_is_not_sound_is_not_put_back(state: Path, tmp_path: Path, run: Run) -> None:
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    bad = tmp_path / "bad.db"

    def spoiled(statement: str, *values: object) -> Path:
        shutil.copy(tmp_path / "backup.db", bad)
        with closing(sqlite3.connect(bad)) as db:
            db.execute(statement, values)
            db.commit()
        return bad

    async def unreadable() -> Path:
        shutil.copy(tmp_path / "backup.db", bad)
        journal = Journal(bad, machine="m", boot_id="b", token=os.urandom)
        await journal.open()
        await journal.commit(Batch(state=[StateChange("rental", "r1", b'{"id":"\xb3"}')]))
        await journal.close()
        return bad

    for make, words in (
        (lambda: spoiled("UPDATE record SET data = x'7b' WHERE seq = 3"), "damaged at record 3"),
        (lambda: spoiled("UPDATE cursor SET acked = 4"), "cursor does not match its digest"),
        (lambda: spoiled("PRAGMA user_version = 99"), "install the newer vendingd"),
        (lambda: asyncio.run(unreadable()), "state row rental/r1"),
    ):
        code, _, err = run("journal", "put-back", str(make()), "--reason", "x", "--state-dir", str(state))
        assert code == Exit.PROBLEMS and words in err and "othing was changed" in err
    nowhere = str(tmp_path / "nowhere.db")
    code, _, err = run("journal", "put-back", nowhere, "--reason", "x", "--state-dir", str(state))
    assert code == Exit.USAGE and "there is no" in err
    code, _, err = run("journal", "put-back", str(bad), "--reason", "x", "--state-dir", str(state), "--as", " ")
    assert code == Exit.USAGE and "names nobody" in err
    assert {path.name: path.read_bytes() for path in state.iterdir() if path.name in before} == before
    assert sorted({path.name for path in state.iterdir()} - set(before)) == ["journal.db.lock"]


def test_another_machines_backup_is_no_backup_of_this_one(state: Path, tmp_path: Path, run: Run) -> None:
    async def another() -> None:
        journal = Journal(tmp_path / "other.db", machine="m2", boot_id="b", token=os.urandom)
        await journal.open()
        await journal.close()

    asyncio.run(another())
    argv = ("journal", "put-back", str(tmp_path / "other.db"), "--reason", "x", "--state-dir", str(state))
    code, _, err = run(*argv)
    assert code == Exit.PROBLEMS and "belongs to machine 'm2'" in err and "othing was changed" in err
    assert run("journal", "set-aside", "--state-dir", str(state))[0] == Exit.OK
    assert run(*argv)[0] == Exit.OK, "said so, it is"


def test_restored_of_what_cannot_be_read_is_told(state: Path, run: Run) -> None:
    data = bytearray((state / "journal.db").read_bytes())
    data[1024:3072] = b"\xff" * 2048
    (state / "journal.db").write_bytes(data)
    (state / "journal.db-wal").unlink()
    code, _, err = run("journal", "restored", "--reason", "x", "--state-dir", str(state))
    assert code == Exit.PROBLEMS and "the journal is damaged" in err and "vendingctl journal put-back" in err


def test_while_a_daemon_has_the_journal_nothing_is_put_back(state: Path, tmp_path: Path, run: Run) -> None:
    async def live() -> None:
        journal = Journal(state / "journal.db", machine="m", boot_id="b", token=os.urandom)
        await journal.open()
        where = ("--state-dir", str(state))
        code, _, err = run("journal", "put-back", str(tmp_path / "backup.db"), "--reason", "x", *where)
        assert code == Exit.REFUSED and "stop that one first" in err
        await journal.commit(Batch([record(1)]))
        await journal.close()

    asyncio.run(live())
    assert verify_file(state / "journal.db").head_seq == 11


def test_an_epoch_said_before_the_start_is_never_without_its_record(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short where the record is written: neither of them is there."""
    before = verify_file(state / "journal.db")

    def cut(*_: object) -> int:
        raise OSError("cut short")

    now = {"boot_id": "b", "utc": 1.0, "mono": 1.0}
    monkeypatch.setattr(writing.Writer, "_write_records", cut)
    with pytest.raises(StoreError, match="cut short"):
        restored_file(state / "journal.db", "why", token=os.urandom, **now)  # type: ignore[arg-type]
    monkeypatch.undo()
    with closing(sqlite3.connect(state / "journal.db")) as db:
        assert db.execute("SELECT count(*) FROM epoch").fetchone() == (1,)
    assert verify_file(state / "journal.db").head_hash == before.head_hash


def test_of_two_backups_to_one_name_the_first_to_end_has_it(
    state: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one ends while the first is about to give its copy the name."""
    target = tmp_path / "taken.db"
    argv = ("journal", "backup", str(target), "--state-dir", str(state))
    real, results = stored._put, []

    def put(part: Path, to: Path) -> None:
        monkeypatch.setattr(stored, "_put", real)
        other = threading.Thread(target=lambda: results.append(main(["--socket", str(state / "none.sock"), *argv])))
        other.start()
        other.join()
        real(part, to)

    monkeypatch.setattr(stored, "_put", put)
    code, _, err = run(*argv)
    assert results == [Exit.OK]
    assert code == Exit.USAGE and f"{target}isthere" in "".join(err.split())  # folded anywhere
    assert verify_file(target).head_seq == 10
    assert [path.name for path in tmp_path.iterdir() if "taken" in path.name] == ["taken.db"]
