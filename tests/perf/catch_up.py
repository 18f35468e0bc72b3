"""Catching up: a backlog of 100,000 records goes to the simulated cloud, daemon and cloud being their own processes.

The uplink does one thing after the other (read from SQLite, pack as JSON, post, note what was taken), so the shares
of its time add up. HTTP includes waiting for the cloud, whose own processor time is listed beside it: the simulated
cloud checks and keeps every event in Python. The floor is reading the records from the journal, nothing else.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from tests.perf.figures import Figure, cpu_s
from tests.perf.histories import lengthen
from tests.perf.stands import BenchStand
from vendingd.app import state_path
from vendingd.journal.store import Journal

LONGEST_S = 600.0


async def _reading_s(path: Path) -> float:
    journal = Journal(path, machine="bench-1", boot_id="bench", token=os.urandom)
    await journal.open()
    began, after = time.monotonic(), 0
    while chunk := await journal.records(after, 500):
        after = chunk[-1].seq
    took = time.monotonic() - began
    await journal.close()
    return took


def run(folder: Path, *, quick: bool) -> list[Figure]:
    records = 10_000 if quick else 100_000
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        BenchStand(Path(name) / "m", "cu48", cars=1, watched=True) as stand,
    ):
        stand.stop("daemon")
        path = state_path(stand.folder / "state")
        last = lengthen(path, "bench-1", records, acknowledged=False)
        floor = records / asyncio.run(_reading_s(path))
        cloud = stand.pid_of("cloud")
        first, cloud_before = _events(stand), cpu_s(cloud)
        stand.start_daemon()
        pid = stand.daemon_pid
        stand.until(lambda: _events(stand) > first, "the first batch is there", 60)
        began, ours_before, at_first = time.monotonic(), cpu_s(pid), _events(stand)
        before = stand.watch()["spent"]
        stand.until(lambda: _taken(stand, last), "the backlog is gone", LONGEST_S)
        span, sent = time.monotonic() - began, _events(stand) - at_first
        spent = stand.watch()["spent"]
        ours, theirs = cpu_s(pid) - ours_before, cpu_s(cloud) - cloud_before
        assert stand.cloud.get("/state")["gaps"] in (0, [], {}), "events are missing at the cloud"
    figures = [
        Figure(f"catch-up of {records:,} records", sent / span, "records/s", floor),
        Figure("catch-up, processor time of the daemon", 1e6 * ours / sent, "µs/record", 1e6 / floor),
        Figure("catch-up, processor time of the simulated cloud", 1e6 * theirs / records, "µs/record"),
    ]
    for part, what in (("http", "HTTP, the cloud's work in it"), ("json", "JSON"), ("sqlite", "SQLite")):
        share = 100 * (spent.get(part, 0.0) - before.get(part, 0.0)) / span
        figures.append(Figure(f"catch-up, share of {what}", share, "%"))
    return figures


def _events(stand: BenchStand) -> int:
    return int(stand.cloud.get("/state")["events"])


def _taken(stand: BenchStand, last: int) -> bool:
    time.sleep(0.05)  # asking costs the cloud time
    return _events(stand) >= last
