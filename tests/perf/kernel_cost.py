"""What size and history cost: 1,000 bays, 10,000 rentals, a million records.

A step is timed alone, against a world that it does not change. A pass goes through a whole daemon in this process, from
the desk to the lock, in turn at one bay and at 1,000. A start is a real one, in turn with and without history.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsm import events as e
from fsm.step import step
from tests.perf import fsm_bench
from tests.perf.figures import Figure
from tests.perf.histories import lengthen
from tests.perf.in_process import Machine
from tests.perf.stands import BenchStand
from vendingd.app import state_path
from vendingd.journal.api import Store
from vendingd.journal.memory import MemoryStore
from vendingd.journal.store import Journal

US, MS = 1e6, 1e3
MANY_BAYS, MANY_RENTALS = 1000, 10_000


# ---------------------------------------------------------------- steps and passes
async def _sizes(folder: Path, store: Callable[[str], Store], name: str, times: int, *, steps: bool) -> list[Figure]:
    small, large = Machine(folder, 1, store("small")), Machine(folder, MANY_BAYS, store("large"))
    await small.start(1)
    await large.start(MANY_RENTALS)
    gc.collect()
    gc.freeze()
    chance, one, many = random.Random(1), [], []
    for _ in range(times):  # in turn, so that the machine's noise meets both
        one.append(await small.show(small.sign(0)))
        rental = chance.randrange(1, MANY_BAYS // 10) * 10 + 1  # one whose car is in its bay
        many.append(await large.show(large.sign(rental)))
    figures = _compared(f"pass to unlock in process, {name}", statistics.median(one), statistics.median(many))
    if steps:
        figures += _steps(large)
    await small.stop()
    await large.stop()
    gc.unfreeze()
    return figures


def _compared(head: str, one: float, many: float) -> list[Figure]:
    return [
        Figure(f"{head}, one bay, median", one * MS, "ms"),
        Figure(f"{head}, {MANY_BAYS:,} bays, {MANY_RENTALS:,} rentals, median", many * MS, "ms", one * MS),
        Figure(f"{head}, {MANY_BAYS:,} bays over one", many / one, "times", 1.0, 1.3),
    ]


def _steps(machine: Machine) -> list[Figure]:
    """Steps decide and change nothing, so each can be asked again and again of the same world."""
    app = machine.app
    world, now = app.mailbox.head, app.time.now()
    utc = now.utc

    def shown(rental: str, **more: Any) -> e.PassPresented:
        window: dict[str, Any] = {"exp": utc + 3600, "nbf": utc - 60}
        return e.PassPresented(
            terminal="front", rental=rental, issuer="x", audience="bench-1", kid="k1", **(window | more)
        )

    events: dict[str, e.Event] = {
        "a pass that opens": shown("r501"),
        "a pass of a class": shown("x1", asset_class="car"),
        "a pass of a class of which all 500 are held": shown("x1", asset_class="van"),
    }
    figures = []
    for name, event in events.items():
        took = []
        for _ in range(300):
            began = time.perf_counter()
            step(world, event, now)
            took.append(time.perf_counter() - began)
        figures.append(
            Figure(f"kernel step, the daemon's world: {name}, median", statistics.median(took) * US, "µs", aim=200.0)
        )
    return figures


# ---------------------------------------------------------------- start
def history(folder: Path, records: int, times: int) -> list[Figure]:
    """Starts with and without a long history in turn; both journals hold the same state."""
    with BenchStand(folder / "history", "cu48") as stand:
        stand.stop("daemon")
        state, other = stand.folder / "state", stand.folder / "other"
        shutil.copytree(state, other)
        lengthen(state_path(other), "bench-1", records, acknowledged=True)
        _swap(state, other)  # the first start after so many writes is nobody's
        stand.start_daemon()
        stand.stop("daemon")
        took: dict[bool, list[float]] = {True: [], False: []}
        long = True
        for _ in range(2 * times):
            _swap(state, other)
            long = not long
            stand.start_daemon()
            took[long].append(stand.ready_s)
            stand.stop("daemon")
        size = max(state_path(x).stat().st_size for x in (state, other)) / 2**20
        stand.start_daemon()
    none, full = statistics.median(took[False]), statistics.median(took[True])
    return [
        Figure("start with no history, median", none, "s"),
        Figure(f"start with {records:,} records ({size:.0f} MiB), median", full, "s", none),
        Figure(f"start with {records:,} records over none", full / none, "times", 1.0, 1.2),
    ]


def _swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def run(folder: Path, *, quick: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)

        def on_disk(part: str) -> Store:
            return Journal(here / f"{part}.db", machine="bench-1", boot_id="bench", token=os.urandom)

        times = 100 if quick else 400
        figures = asyncio.run(_sizes(here, lambda part: MemoryStore(), "store in memory", times, steps=True))
        figures += asyncio.run(_sizes(here, on_disk, "SQLite", times, steps=False))
        figures += _domain(300 if quick else 1000)
        figures += history(here, 50_000 if quick else 1_000_000, 3 if quick else 9)
    return figures


def _domain(rounds: int) -> list[Figure]:
    """The domain's own bench: worlds made by hand, many kinds of events."""
    found = fsm_bench.measure(rounds)
    small = {name: median for name, bays, median, _ in found if bays == 1}
    return [
        Figure(f"kernel step, {bays:,} bays: {name}, median", median, "µs", small.get(name), fsm_bench.AIM_US)
        for name, bays, median, _ in found
        if bays == MANY_BAYS
    ]
