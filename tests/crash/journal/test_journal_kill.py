"""SIGKILL at every labelled point of a commit, and anywhere: what was acknowledged is there, nothing is there half."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from vendingd.journal.api import (
    AFTER_CHECKPOINT,
    AFTER_COMMIT,
    BEFORE_CHECKPOINT,
    BEFORE_SYNC,
    BEFORE_WRITE,
    Batch,
)

Survived = Callable[[Path, Sequence[Batch]], int]


def run_until_killed(child: ModuleType, path: Path, *arguments: object, lines: int | None = None) -> int:
    """Run the child until it dies, or kill it after so many lines; how many batches were acknowledged to it."""
    command = [sys.executable, str(child.__file__), str(path), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        for line in process.stdout:
            assert line.endswith("\n") and int(line.split()[0]) == said
            said += 1
            if said == lines:
                process.kill()
        assert process.wait() == -signal.SIGKILL
    return said


@pytest.mark.parametrize("hit", [1, 2, 17])
@pytest.mark.parametrize("label", [BEFORE_WRITE, BEFORE_SYNC, AFTER_COMMIT])
def test_killed_within_a_commit(child: ModuleType, survived: Survived, tmp_path: Path, label: str, hit: int) -> None:
    extra = label == AFTER_COMMIT  # the batch is durable then, though nobody was told
    path = tmp_path / "journal.db"
    told = run_until_killed(child, path, hit, 40, 50, label, hit)
    assert told == hit - 1
    assert survived(path, child.batches(hit, 40, 50)) == told + extra


@pytest.mark.parametrize("label", [BEFORE_CHECKPOINT, AFTER_CHECKPOINT])
def test_killed_around_folding_the_log_back(child: ModuleType, survived: Survived, tmp_path: Path, label: str) -> None:
    path = tmp_path / "journal.db"
    told = run_until_killed(child, path, 5, 400, 3000, label, 1)
    assert 0 < told < 400
    # the next commit may have been handed over, never answered
    assert survived(path, child.batches(5, 400, 3000)) >= told


@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere(child: ModuleType, survived: Survived, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    lines = random.Random(seed).randrange(1, 150)
    told = run_until_killed(child, path, seed, 3000, 700, "-", 0, lines=lines)
    assert told >= lines
    assert survived(path, child.batches(seed, told + 2, 700)) >= told


def test_killed_again_and_again_the_journal_goes_on(child: ModuleType, survived: Survived, tmp_path: Path) -> None:
    """The lock of a dead daemon is no lock; its log is read back each time."""
    path = tmp_path / "journal.db"
    run_until_killed(child, path, 1, 3, 50, BEFORE_SYNC, 2)
    before = survived(path, child.batches(1, 3, 50))
    assert before == 1
    with pytest.raises(AssertionError, match="in part"):
        survived(path, child.batches(1, 1, 50))  # one record more by now: the check itself can fail
