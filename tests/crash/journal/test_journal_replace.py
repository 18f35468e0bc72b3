"""SIGKILL at every step of setting a journal aside, and of putting a copy in its place."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vendingd.journal.api import Batch, NewRecord, StoreError
from vendingd.journal.offline import read_file, verify_file
from vendingd.journal.store import Journal

MOVER = Path(__file__).with_name("journal_mover.py")
IN_FILE, IN_LOG, IN_COPY = 3, 40, 20
LOG = "journal.db-wal"


def record(n: int) -> NewRecord:
    return NewRecord("k", str(n), b'{"pad":"%s"}' % (b"x" * 200), 1.0, 1.0, True, False)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A folder as a killed daemon leaves it, the newest commits in the log only, and an older copy of it elsewhere."""
    folder, source = tmp_path / "left", tmp_path / "made"
    folder.mkdir()
    source.mkdir()

    async def live() -> None:
        journal = Journal(source / "journal.db", machine="m", boot_id="a", token=os.urandom)
        await journal.open()
        await journal.commit(Batch([record(n) for n in range(IN_FILE)]))
        await journal.close()
        await journal.open()
        for n in range(IN_LOG):
            await journal.commit(Batch([record(n)]))
            if n == IN_COPY:
                copy = await journal.snapshot()
                (tmp_path / "copy.db").write_bytes(await copy.read(copy.size))
                await copy.close()
        for name in ("journal.db", LOG):
            shutil.copy(source / name, folder / name)
        await journal.close()

    asyncio.run(live())
    assert verify_file(tmp_path / "copy.db").head_seq == IN_FILE + IN_COPY + 1
    return folder


def run(action: str, folder: Path, steps: int) -> int:
    words = [sys.executable, str(MOVER), action, str(folder / "journal.db"), str(folder.parent / "copy.db"), str(steps)]
    return subprocess.run(words, check=False).returncode


def evidence(folder: Path, original: dict[str, bytes]) -> int:
    """How many folders hold what was there to begin with; whatever is called damaged is whole."""
    same = 0
    for aside in folder.glob("journal.db.damaged-*"):
        held = {name: (aside / name).read_bytes() for name in original if (aside / name).exists()}
        if held == original:
            same += 1
        else:
            assert read_file(aside / "journal.db", None, 1)[1][0].kind == "machine.journal_restored"
    return same


def head_at_start(folder: Path, scratch: Path) -> tuple[int, str] | None:
    """How many records a daemon that starts now goes on from, and the last one's kind; None where it refuses."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch)

    async def start() -> tuple[int, str] | None:
        journal = Journal(scratch / "journal.db", machine="m", boot_id="b", token=os.urandom)
        try:
            loaded = await journal.open()
            last = await journal.records(loaded.next_seq - 2, 1)
            return loaded.next_seq - 1, last[0].kind if last else ""
        except StoreError as error:
            assert "say the same `vendingctl` command again" in error.detail, error.detail
            return None
        finally:
            await journal.close()

    return asyncio.run(start())


@pytest.mark.parametrize("action", ["set-aside", pytest.param("put-back", marks=pytest.mark.long)])
def test_killed_at_every_step(left: Path, tmp_path: Path, action: str) -> None:
    original = {name: (left / name).read_bytes() for name in ("journal.db", LOG)}
    whole, back = (IN_FILE + IN_LOG, "k"), (IN_FILE + IN_COPY + 2, "machine.journal_restored")
    killed, refused, folder = 0, 0, tmp_path / "state"
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(left, folder)
        code = run(action, folder, killed)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        done = evidence(folder, original)
        found = head_at_start(folder, tmp_path / "scratch")
        # the old one with its log, none at all, or the copy under its new epoch: never a file that lacks its log, and
        # never a new journal in place of one that is being replaced
        assert found in ({None, whole} if not done else {(0, ""), None} if action == "set-aside" else {back, None})
        refused += found is None
        if not done or action == "put-back":
            assert run(action, folder, 10**6) == 0, "said again"
        assert evidence(folder, original) == 1
        assert not (folder / "journal.db.aside").exists() and not (folder / "journal.db.put").exists()
        if action == "put-back":
            verdict = verify_file(folder / "journal.db")
            assert (verdict.ok, verdict.head_seq) == (True, back[0])
        else:
            assert not (folder / "journal.db").exists() and not (folder / LOG).exists()
    assert killed >= 4 and refused >= 2
    assert evidence(folder, original) == 1
    if action == "put-back":
        assert head_at_start(folder, tmp_path / "scratch") == back
