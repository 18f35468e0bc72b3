"""The journal's commands: through the daemon while it runs, from the file while it does not."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.api.light import Served, served
from vendingd.cli.exits import Exit
from vendingd.cli.main import main
from vendingd.journal.offline import read_file, verify_file
from vendingd.journal.store import Journal


def token(n: int) -> bytes:
    return os.urandom(n)


@dataclass
class Machine:
    """A light machine whose journal is a real file, and vendingctl beside it."""

    state: Path
    one: Served
    capsys: pytest.CaptureFixture[str]

    async def run(self, *argv: str) -> tuple[int, str, str]:
        def call() -> int:
            try:
                return main(["--socket", str(self.one.path), *argv])
            except SystemExit as end:
                return int(end.code or 0)

        code = await asyncio.to_thread(call)
        return (code, *self.capsys.readouterr())

    async def stop(self) -> None:
        await self.one.server.stop()
        await self.one.machine.mailbox.settle()
        await self.one.machine.seams.store.close()


@pytest_asyncio.fixture
async def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Machine]:
    state = tmp_path / "state"
    state.mkdir()
    store = Journal(state / "journal.db", machine="m1", boot_id="b", token=token)
    one = await served(tmp_path, store=store)
    made = Machine(state, one, capsys)
    yield made
    await made.stop()


@pytest.mark.parametrize("running", [True, False])
async def test_a_backup_is_whole_checked_and_private(machine: Machine, tmp_path: Path, running: bool) -> None:
    last = machine.one.machine.last_seq
    if not running:
        await machine.stop()
    target = tmp_path / "backup.db"
    code, out, err = await machine.run("journal", "backup", str(target), "--state-dir", str(machine.state), "--json")
    assert code == Exit.OK, err
    assert ("; this is " in err) is not running
    said = json.loads(out)
    assert (said["records"], said["head_seq"], said["bytes"]) == (last, last, target.stat().st_size)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert verify_file(target, "m1").ok
    assert sorted(p.name for p in tmp_path.iterdir() if "backup" in p.name) == ["backup.db"]
    code, _, err = await machine.run("journal", "backup", str(target), "--state-dir", str(machine.state))
    err = " ".join(err.split())
    assert code == Exit.USAGE and "is there already" in err and "nothing is overwritten" in err
    assert verify_file(target, "m1").ok


async def test_a_backup_that_cannot_be_made_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    code, _, err = await machine.run("journal", "backup", str(tmp_path / "no" / "backup.db"))
    assert code == Exit.USAGE and "no directory" in err
    await machine.stop()
    with closing(sqlite3.connect(machine.state / "journal.db")) as db:
        db.execute("UPDATE record SET subject = 'forged' WHERE seq = 2")
        db.commit()
    argv = ("journal", "backup", str(tmp_path / "backup.db"), "--state-dir", str(machine.state))
    code, _, err = await machine.run(*argv)
    assert code == Exit.PROBLEMS and "damaged at record 2" in err
    assert not [p.name for p in tmp_path.iterdir() if "backup" in p.name]


@pytest.mark.parametrize("running", [True, False])
async def test_records_and_the_chain_are_looked_at_in_either_way(machine: Machine, running: bool) -> None:
    where = ("--state-dir", str(machine.state))
    if not running:
        await machine.stop()
    code, out, err = await machine.run("journal", "--after", "1", "--limit", "2", "--json", *where)
    assert (code, [json.loads(line)["seq"] for line in out.splitlines()]) == (Exit.OK, [2, 3])
    assert ("; this is " in err) is not running
    code, out, _ = await machine.run("journal", "--kind", "instruction.", "--json", *where)
    kinds = {json.loads(line)["kind"] for line in out.splitlines()}
    assert (code, kinds) == (Exit.OK, {"instruction.outcome"})
    code, out, _ = await machine.run("audit", "verify", *where)
    assert code == Exit.OK and out.startswith("sound: ")


async def test_without_daemon_and_file_it_says_that_the_daemon_is_missing(machine: Machine, tmp_path: Path) -> None:
    await machine.stop()
    for argv in (["journal"], ["audit", "verify"], ["journal", "backup", str(tmp_path / "b.db")]):
        code, _, err = await machine.run(*argv, "--state-dir", str(tmp_path / "nowhere"))
        assert code == Exit.UNREACHABLE and "vendingd is not running" in " ".join(err.split())
    assert not (tmp_path / "b.db").exists()


async def test_a_damaged_journal_is_set_aside_with_its_log(machine: Machine) -> None:
    await machine.stop()
    path = machine.state / "journal.db"
    path.with_name("journal.db-wal").write_bytes(b"log")
    code, out, _ = await machine.run("journal", "set-aside", "--state-dir", str(machine.state))
    assert code == Exit.OK and "journal put-back FILE" in " ".join(out.split())
    assert not path.exists() and (machine.state / "journal.db.damaged-1" / "journal.db-wal").read_bytes() == b"log"
    code, _, err = await machine.run("journal", "set-aside", "--state-dir", str(machine.state))
    assert code == Exit.USAGE and "No such file" in err


async def test_the_file_of_a_running_daemon_is_left_alone(machine: Machine) -> None:
    """Within one process only the lock file keeps out; the file itself is closed to another one."""
    code, _, err = await machine.run("journal", "set-aside", "--state-dir", str(machine.state))
    assert code == Exit.REFUSED and "another vendingd has this journal" in " ".join(err.split())
    argv = ["audit", "verify", "--file", str(machine.state / "journal.db")]
    script = "import sys; from vendingd.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *argv, stderr=asyncio.subprocess.PIPE)
    _, told = await process.communicate()
    assert process.returncode == Exit.REFUSED and "Leave --file out" in " ".join(told.decode().split())


async def test_a_second_backup_at_once_is_told_to_wait(machine: Machine) -> None:
    head = b"POST /v1/journal/backup HTTP/1.1\r\nHost: x\r\n\r\n"
    store = machine.one.machine.seams.store
    taken = asyncio.Event()
    go_on = asyncio.Event()
    real: Callable[[], object] = store.snapshot

    async def slow() -> object:
        taken.set()
        await go_on.wait()
        return await real()  # type: ignore[misc]

    store.snapshot = slow
    first = asyncio.ensure_future(machine.one.raw(head))
    await taken.wait()
    for path in ("backup", "verify"):
        said = await machine.one.call("POST", f"/v1/journal/{path}")
        assert said.status == 429 and "copied already" in said.json["detail"]
    go_on.set()
    async with machine.one.connected() as (_, writer):  # one who goes away in the midst holds nobody up
        first.cancel()
        writer.write(head)
    async with asyncio.timeout(20):
        while (await machine.one.call("POST", "/v1/journal/verify")).status == 429:
            await asyncio.sleep(0)


async def test_a_copy_put_in_place_takes_a_new_epoch_before_the_start(machine: Machine, tmp_path: Path) -> None:
    await machine.stop()
    path = machine.state / "journal.db"
    before = verify_file(path)
    argv = ("--state-dir", str(machine.state), "--as", "tess", "--json")
    code, out, err = await machine.run("journal", "restored", "--reason", "card replaced", *argv)
    assert code == Exit.OK and "; this is " in err
    assert sorted(p.name for p in machine.state.iterdir()) == ["journal.db", "journal.db.lock"], "its log is folded in"
    epoch = json.loads(out)["epoch"]
    _, (record,) = read_file(path, None, 1)
    assert (record.seq, record.epoch, record.kind) == (before.head_seq + 1, epoch, "machine.journal_restored")
    assert json.loads(record.data) == {"epoch": epoch, "why": "tess: card replaced"}
    assert verify_file(path).ok


async def test_a_journal_that_the_daemon_refuses_is_looked_at_by_its_file(machine: Machine) -> None:
    """It runs and says why it is unavailable; what is wrong with the file is still to be found out."""
    path = machine.state / "journal.db"
    await machine.one.machine.seams.store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE record SET subject = 'forged' WHERE seq = 2")
        db.commit()
    code, out, err = await machine.run("audit", "verify", "--state-dir", str(machine.state))
    assert code == Exit.PROBLEMS and "damaged at record 2" in out and "; this is " in err
    code, out, _ = await machine.run(
        "journal", "--limit", "1", "--after", "2", "--json", "--state-dir", str(machine.state)
    )
    assert (code, json.loads(out)["seq"]) == (Exit.OK, 3)
