"""Scenario tests: the daemon as its own process, on real wires."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.stand import Stand, command


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """Build a stand with options of its own; all end with the test."""
    with ExitStack() as stack:
        yield lambda name="m", **options: stack.enter_context(Stand(tmp_path / name, **options))


@pytest.fixture
def m(make: Callable[..., Stand]) -> Any:
    """The usual tower: three bays, two cars, two terminals."""
    return make()


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small file system as the daemon's state directory; skips where that is not permitted."""
    where = tmp_path / "m" / "state"

    def mount(*words: str) -> Path:
        where.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("mounting needs root")
        try:
            command("mount", *words, str(where))
        except subprocess.CalledProcessError as why:
            pytest.skip(f"mounting is not permitted here: {why.stderr.decode().strip()}")
        return where

    yield mount
    while where.is_mount():
        command("umount", "-l", str(where))
