"""Journals to test: the real one on a file, the same on a simulated disk, and one in memory, made the same way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.simulation.disk.medium import SimDisk
from tests.simulation.disk.store import journal_on
from tests.unit.virtual import LoopClock
from vendingd.journal.api import NewRecord, Probe, Store
from vendingd.journal.memory import MemoryDisk, MemoryStore
from vendingd.journal.store import Journal

Make = Callable[..., Store]


class Tokens:
    """Known tokens instead of random ones."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, n: int) -> bytes:
        self.n += 1
        return hashlib.sha256(str(self.n).encode()).digest()[:n]


def new_record(n: int = 0, **change: object) -> NewRecord:
    fields: dict[str, object] = {
        "kind": "rental.released",
        "subject": f"rental/{n}",
        "data": b'{"n":%d}' % n,
        "utc": 1_700_000_000.25 + n,
        "mono": 10.5 + n,
        "utc_trusted": True,
        "offline": False,
    }
    return NewRecord(**(fields | change))  # type: ignore[arg-type]


@pytest.fixture(name="record")
def _record() -> Callable[..., NewRecord]:
    return new_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Callable[..., Journal]]:
    """Makes journals on one file; closes them at the end."""
    made: list[Journal] = []
    tokens = Tokens()

    def make(
        boot_id: str = "boot-1", machine: str = "tower-01", probe: Probe = lambda label: None, at: Path = path
    ) -> Journal:
        made.append(Journal(at, machine=machine, boot_id=boot_id, token=tokens, probe=probe))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def memory() -> Callable[..., MemoryStore]:
    """Makes stores on one disk in memory."""
    disk = MemoryDisk()
    tokens = Tokens()

    def make(boot_id: str = "boot-1", machine: str = "tower-01", probe: Probe = lambda label: None) -> MemoryStore:
        return MemoryStore(disk, machine=machine, boot_id=boot_id, token=tokens, probe=probe)

    return make


@pytest.fixture
async def simulated() -> AsyncIterator[Callable[..., Journal]]:
    """Makes journals on one simulated disk; closes them at the end."""
    made: list[Journal] = []
    chance, tokens = random.Random(1), Tokens()
    disk = SimDisk(chance)

    def make(boot_id: str = "boot-1", machine: str = "tower-01", probe: Probe = lambda label: None) -> Journal:
        made.append(
            journal_on(
                disk, machine=machine, boot_id=boot_id, token=tokens, probe=probe, clock=LoopClock(),
                random=chance, latency_s=(0.0, 0.0),
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture(params=["sqlite", "simulated", "memory"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes stores of each sort; each one made is on the same disk as those before it."""
    fixture = {"sqlite": "journal", "simulated": "simulated", "memory": "memory"}[request.param]
    made: Make = request.getfixturevalue(fixture)
    return made
