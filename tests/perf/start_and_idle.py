"""Process start → ready with 48 bays, resident memory, and what the daemon costs while nobody is there.

The floor of a start is an interpreter that imports nothing, started alike. A start is timed from the making of the
process to `READY=1` on the manager's socket; bytecode is there already, as after an installation.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.perf.figures import Figure, children, cpu_s, resident_mib
from tests.perf.stands import BenchStand

REST_S = 4.0  # after the start or the last change, before idleness is measured


def bare_start_s() -> float:
    took = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        took.append(time.monotonic() - began)
    return statistics.median(took)


def start(folder: Path, times: int) -> list[Figure]:
    with BenchStand(folder / "start", "cu48") as stand:
        took, spent = [], []
        for _ in range(times):
            stand.stop("daemon")
            stand.start_daemon()
            took.append(stand.ready_s)
            spent.append(cpu_s(stand.daemon_pid))
        time.sleep(REST_S)
        pid = stand.daemon_pid
        figures = [
            Figure(f"start to ready, 48 bays, median of {times}", statistics.median(took), "s", bare_start_s(), 1.0),
            Figure("start to ready, 48 bays, processor time", statistics.median(spent), "s"),
            Figure("resident, main process, 48 bays, online", resident_mib(pid), "MiB", aim=64.0),
        ]
        # a pass has been read, a lock opened and reported: what a day of use loads is loaded
        text = stand.book_all(1)[0]
        stand.show(text)
        stand.until(lambda: _unlocked(stand), "the pass opens")
        time.sleep(REST_S)
        figures.append(Figure("resident, main process, after a rental's pass", resident_mib(pid), "MiB", aim=64.0))
        figures.append(Figure("children of the main process, resident", _children_mib(pid), "MiB"))
    return figures


def _unlocked(stand: BenchStand) -> bool:
    return any(x["what"] == "unlock_frame" for x in stand.plant.get("/log", after=0))


def _children_mib(pid: int) -> float:
    return sum(resident_mib(child) for child in children(pid))


def idle(folder: Path, site: str, name: str, seconds: float, aim: float | None) -> list[Figure]:
    with BenchStand(folder / site, site) as stand:
        time.sleep(REST_S + 2.0)
        pid = stand.daemon_pid
        below = children(pid)
        before, ours, began = cpu_s(pid), {c: cpu_s(c) for c in below}, time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - began
        figures = [Figure(f"idle, {name}", 100 * (cpu_s(pid) - before) / span, "% of a core", aim=aim)]
        if below:
            share = sum(100 * (cpu_s(c) - ours[c]) / span for c in below if c in children(pid))
            figures += [
                Figure(f"idle, {name}: worker", share, "% of a core"),
                Figure(f"resident, {name}: worker", _children_mib(pid), "MiB"),
            ]
        figures.append(Figure(f"resident, {name}: main process", resident_mib(pid), "MiB", aim=64.0))
        return figures


def run(folder: Path, *, quick: bool) -> list[Figure]:
    seconds = 10.0 if quick else 40.0
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        return [
            *start(here, 3 if quick else 9),
            *idle(here, "gpio", "8 GPIO bays, no camera", seconds, 0.5),
            *idle(here, "cu48", "bus of 48 at 2 Hz", seconds, 2.0),
            *idle(here, "camera", "8 GPIO bays and a camera", seconds, None),
        ]
