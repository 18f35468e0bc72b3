"""Power cuts while the log is written: any part of the newest commit's sectors may be on the disk, in any order."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from vendingd.journal.api import AFTER_COMMIT, Batch
from vendingd.journal.writer import Writer

Survived = Callable[[Path, Sequence[Batch]], int]
Image = dict[str, bytes]
SECTOR = 512


@pytest.fixture
def images(child: ModuleType, tmp_path: Path) -> list[Image]:
    """The files as they were once each of some commits was durable."""
    source = tmp_path / "source" / "journal.db"
    source.parent.mkdir()
    taken: list[Image] = []

    def probe(label: str) -> None:
        if label == AFTER_COMMIT:
            taken.append({s: source.with_name("journal.db" + s).read_bytes() for s in ("", "-wal")})

    writer = Writer(source, "m", "b", os.urandom, probe)
    writer.open()
    for batch in child.batches(9, 12, 200):
        writer.commit(batch)
    writer.close()
    assert len({image[""] for image in taken}) == 1  # nothing was folded back meanwhile
    return taken


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_commit_is_there_whole_or_not_at_all(
    child: ModuleType, survived: Survived, images: list[Image], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    n = chance.randrange(1, len(images))
    old, new = images[n - 1]["-wal"], images[n]["-wal"]
    changed = [at for at in range(0, len(new), SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
    if seed % 2:  # some sectors reached the disk, in any order
        written = set(chance.sample(changed, chance.randrange(len(changed) + 1)))
        cut = len(new)
    else:  # everything up to some byte did
        written = set(changed)
        cut = chance.randrange(changed[0], changed[-1] + SECTOR)
    torn = bytearray(old)
    for at in written:
        torn[at : at + SECTOR] = new[at : at + SECTOR]
    torn[cut:] = old[cut:]
    path = tmp_path / "journal.db"
    path.write_bytes(images[n][""])
    path.with_name("journal.db-wal").write_bytes(torn)
    there = survived(path, child.batches(9, 12, 200))
    assert there == (n + 1 if bytes(torn) == new else n)
