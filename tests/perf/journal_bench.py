"""What the journal costs, beside its floor: the same bytes through a bare SQLite commit on the same disk.

    python tests/perf/journal_bench.py [DIRECTORY] [--history N]

Figures compare only within one run. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from vendingd.journal.api import Batch, NewRecord, StateChange
from vendingd.journal.schema import PAGE_SIZE
from vendingd.journal.store import Journal

Figure = dict[str, Any]
DATA = b'{"asset":"car-17","bay":"bay-3","grant":"00c0ffee00c0ffee","note":"%s"}' % (b"x" * 60)
RENTAL = b"%064d" % 0 * 6  # a rental's state row, as it was measured on the kernel's spike


def record(n: int) -> NewRecord:
    return NewRecord("rental.released", f"rental/{n}", DATA, 1.7e9 + n, float(n), True, False)


def figure(name: str, value: float, unit: str, floor: float | None = None) -> Figure:
    ratio = None if not floor else value / floor
    return {"name": f"journal {name}", "value": value, "unit": unit, "floor": floor, "ratio": ratio}


def written() -> int:
    """Bytes this process has had written to disks (large folios can overcount)."""
    line = next(x for x in Path("/proc/self/io").read_text().splitlines() if x.startswith("write_bytes"))
    return int(line.split()[1])


def device_written(path: Path) -> int | None:
    """Bytes that the block device under `path` has taken, from everybody; None where it is not a plain device."""
    number = os.stat(path).st_dev
    counters = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    return int(counters.read_text().split()[6]) * 512 if counters.exists() else None


def bare_commits(path: Path, size: int, times: int) -> list[float]:
    """Seconds of each of `times` commits of `size` rows into a plain table: what no journal can undercut."""
    took = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (seq INTEGER PRIMARY KEY, data BLOB)")
        row = (DATA + bytes(140),)  # as many bytes as a record with its hashes and names
        for _ in range(times):
            start = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO t (data) VALUES (?)", [row] * size)
            db.execute("COMMIT")
            took.append(time.perf_counter() - start)
    return took


async def commits(journal: Journal, size: int, times: int) -> list[float]:
    took = []
    batch = Batch([record(n) for n in range(size)])
    for _ in range(times):
        start = time.perf_counter()
        await journal.commit(batch)
        took.append(time.perf_counter() - start)
    return took


async def opened(path: Path) -> Journal:
    journal = Journal(path, machine="bench", boot_id="boot", token=os.urandom)
    await journal.open()
    return journal


async def throughput(directory: Path, size: int, times: int) -> list[Figure]:
    floor = bare_commits(directory / f"bare-{size}.db", size, times)
    journal = await opened(directory / f"journal-{size}.db")
    before = written()
    took = await commits(journal, size, times)
    bytes_each = (written() - before) / times
    await journal.close()
    each, bare = statistics.median(took), statistics.median(floor)
    p99 = [statistics.quantiles(x, n=100)[98] for x in (took, floor)]
    return [
        figure(f"records a second, batches of {size}", size * times / sum(took), "1/s", size * times / sum(floor)),
        figure(f"commit of {size}, median", each * 1e6, "us", bare * 1e6),
        figure(f"commit of {size}, p99", p99[0] * 1e6, "us", p99[1] * 1e6),
        figure(f"commit of {size}, over the bare one", (each - bare) * 1e6, "us"),
        figure(f"commit of {size}, written", bytes_each, "B"),
    ]


async def rental(directory: Path, commits_each: int, rentals: int = 60) -> list[Figure]:
    """Bytes for one rental: some commits of one or two records and two state rows, the cursor moving along."""
    journal = await opened(directory / f"rental-{commits_each}.db")
    batch = Batch([record(1), record(2)], [StateChange("rental", "r", RENTAL), StateChange("bay", "b", RENTAL[:200])])
    device_before, before = device_written(directory), written()
    for _ in range(rentals):
        for _ in range(commits_each - 1):
            done = await journal.commit(batch)
        await journal.commit(Batch(batch.records[:1], batch.state, ack=done.last_seq))
    ours = (written() - before) / rentals / 1024
    device_after = device_written(directory)
    await journal.close()
    figures = [figure(f"rental of {commits_each} commits, written", ours, "KiB")]
    if device_before is not None and device_after is not None:
        taken = (device_after - device_before) / rentals / 1024
        figures.append(figure(f"rental of {commits_each} commits, taken by the device", taken, "KiB"))
    return figures


async def history(directory: Path, records: int) -> list[Figure]:
    """Opening with and without history, and checking a long chain."""
    path = directory / "history.db"
    journal = await opened(path)
    await journal.commit(Batch([record(1)], [StateChange("rental", "r", RENTAL)]))

    async def open_again() -> float:
        took = []
        for _ in range(15):
            await journal.close()
            start = time.perf_counter()
            await journal.open()
            took.append(time.perf_counter() - start)
        return statistics.median(took)

    empty = await open_again()
    batch = Batch([record(n) for n in range(5000)])
    for _ in range(records // 5000):
        await journal.commit(batch)
    full = await open_again()
    start = time.perf_counter()
    verdict = await journal.verify()
    checking = time.perf_counter() - start
    start = time.perf_counter()
    after = 0
    while chunk := await journal.records(after, 500):
        after = chunk[-1].seq
    reading = time.perf_counter() - start
    await journal.close()
    return [
        figure(f"open with {records} records", full * 1e3, "ms", empty * 1e3),
        figure("verify", verdict.checked / checking, "1/s"),
        figure("read in chunks of 500", after / reading, "1/s"),
    ]


def run(directory: Path, records: int = 1_000_000, say: Callable[[Figure], None] = lambda f: None) -> list[Figure]:
    """All figures, measured in a new folder under `directory`."""

    async def measure() -> list[Figure]:
        figures: list[Figure] = []
        for size, times in ((1, 2000), (48, 500), (500, 100)):
            figures += await throughput(here, size, times)
        for commits_each in (8, 12, 18):
            figures += await rental(here, commits_each)
        return figures + await history(here, records)

    with tempfile.TemporaryDirectory(dir=directory) as name:
        here = Path(name)
        figures = asyncio.run(measure())
    for each in figures:
        say(each)
    return figures


def say(each: Figure) -> None:
    sys.stdout.write(json.dumps(each) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=Path("."))
    parser.add_argument("--history", type=int, default=1_000_000)
    arguments = parser.parse_args()
    run(arguments.directory, arguments.history, say)


if __name__ == "__main__":
    main()
