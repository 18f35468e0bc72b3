"""Checks of a journal after a crash, against the batches that were to be committed."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from types import ModuleType

import pytest

from vendingd.journal.api import Batch, NewRecord
from vendingd.journal.store import Journal


@pytest.fixture(scope="session")
def child() -> ModuleType:
    """The child's module, for its batches and its path."""
    spec = importlib.util.spec_from_file_location("journal_child", Path(__file__).with_name("journal_child.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _survived(path: Path, batches: Sequence[Batch]) -> int:
    """How many batches are there; fails where one is there in part, or anything but their sum is."""

    async def look() -> int:
        journal = Journal(path, machine="m", boot_id="after", token=os.urandom)
        loaded = await journal.open()
        ends = [0, *accumulate(len(batch.records) for batch in batches)]
        assert loaded.next_seq - 1 in ends, "a batch is there in part"
        n = ends.index(loaded.next_seq - 1)
        state: dict[str, dict[str, bytes]] = {}
        for batch in batches[:n]:
            for change in batch.state:
                assert change.data is not None
                state.setdefault(change.kind, {})[change.id] = change.data
        assert loaded.state == state
        assert loaded.acked == (batches[n - 1].ack if n else 0)
        verdict = await journal.verify()
        assert verdict.ok, verdict
        assert verdict.head_hash == loaded.head_hash or n == 0
        wanted = [(r.subject, r.data) for batch in batches[:n] for r in batch.records]
        assert [(r.subject, r.data) for r in await journal.records(0, 10**6)] == wanted
        aside = {r.seq: r.problem for batch in batches[:n] for r in batch.refused}
        assert {s.record.seq: s.problem for s in await journal.refused()} == aside
        # and it goes on
        more = await journal.commit(Batch([NewRecord("k", "after", b"{}", 1.0, 1.0, True, False)]))
        assert more.first_seq == loaded.next_seq
        assert (await journal.verify()).ok
        await journal.close()
        return n

    return asyncio.run(look())


@pytest.fixture
def survived() -> Callable[[Path, Sequence[Batch]], int]:
    return _survived
