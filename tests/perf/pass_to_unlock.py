"""Last byte of an accepted pass into the scanner's pty → last byte of the unlock frame out of the lock board's pty.

The floor of each sample: one bare durable SQLite commit of as many bytes on the same disk (median of this run), the
unlock frame at its baud, and what was left of a bus exchange that was in flight when that commit could have ended,
both from the simulator's log. A poll that began later than that is not the bus's fault and not in the floor.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.perf.figures import Figure, quantile
from tests.perf.journal_bench import bare_commits
from tests.perf.stands import BenchStand, Log
from vendingd.journal.api import AFTER_COMMIT, BEFORE_WRITE

MS = 1000.0
RECORDS = 2  # of the commit of a pass: claimed and authorised
FRAME_BYTES = {"8a": 5, "cu48": 6}
BAUD = {"8a": 9600, "cu48": 19200}


@dataclass(frozen=True, slots=True)
class Sample:
    scanned: float
    unlocked: float  # last byte of the frame
    frame_began: float  # handed over by the daemon
    free: float  # the bus, of an exchange that was in flight
    floor_s: float

    @property
    def took_s(self) -> float:
        return self.unlocked - self.scanned

    @property
    def over_s(self) -> float:
        return self.took_s - self.floor_s


def sample(scan: dict[str, Any], frame: dict[str, Any], commit_s: float, wire_s: float) -> Sample:
    scanned, unlocked, previous = scan["t_mono"], frame["t_mono"], frame["previous"]
    could = scanned + commit_s
    began, answered = previous.get("request_first"), previous.get("answer_last")
    in_flight = began is not None and answered is not None and began <= could < answered
    left = answered - could if in_flight else 0.0
    free = answered if answered is not None else scanned
    return Sample(scanned, unlocked, frame["t_read"], free, commit_s + left + wire_s)


def measure(folder: Path, board: str, times: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        commit_s = statistics.median(bare_commits(Path(name) / "bare.db", RECORDS, 500))
        with BenchStand(Path(name) / "m", board, watched=True) as stand:
            samples = _samples(stand, times, commit_s, FRAME_BYTES[board] * 10 / BAUD[board])
            noted = stand.noted()
    return _figures(board, samples, noted, commit_s)


def _samples(stand: BenchStand, times: int, commit_s: float, wire_s: float) -> list[Sample]:
    passes = stand.book_all(8)
    chance, log, found = random.Random(1), Log(stand.plant), []
    last_shown: dict[str, float] = {}
    for n in range(times):
        text = passes[n % len(passes)]
        # Polls and passes must not fall into step; the same code within 3 s is taken for one.
        time.sleep(chance.uniform(0.0, 0.12) + max(0.0, last_shown.get(text, 0.0) + 3.2 - time.monotonic()))
        stand.until(lambda: stand.prompt()["code"] == "idle", "the terminal is free")
        last_shown[text] = time.monotonic()
        stand.show(text)
        scan, frame = log.wait("scan_sent"), log.wait("unlock_frame", 5.0)
        if scan is None or frame is None:
            raise RuntimeError(f"pass {n} opened nothing: {stand.prompt()}\n{stand.story()}")
        found.append(sample(scan, frame, commit_s, wire_s))
    return found


def _figures(board: str, samples: list[Sample], noted: list[tuple[str, float, int]], commit_s: float) -> list[Figure]:
    took, over = [s.took_s * MS for s in samples], [s.over_s * MS for s in samples]
    floor = [s.floor_s * MS for s in samples]
    between = [sum(s.scanned < at <= s.frame_began for what, at, _ in noted if what == AFTER_COMMIT) for s in samples]
    ends = [at for what, at, _ in noted if what == AFTER_COMMIT]
    begins = [at for what, at, _ in noted if what == BEFORE_WRITE]
    read, commit, sent = [], [], []
    for s in samples:
        end = max((at for at in ends if at <= s.frame_began), default=None)
        begin = max((at for at in begins if end is not None and at <= end), default=None)
        if begin is not None and end is not None and begin >= s.scanned:
            read.append((begin - s.scanned) * MS)
            commit.append((end - begin) * MS)
            sent.append((s.frame_began - max(end, s.free)) * MS)
    head = f"pass to unlock, {board}"
    figures = [
        Figure(f"{head}, median of {len(samples)}", statistics.median(took), "ms", statistics.median(floor)),
        Figure(f"{head}, p99", quantile(took, 0.99), "ms", quantile(floor, 0.99)),
        Figure(f"{head}, over the floor, median", statistics.median(over), "ms", aim=5.0),
        Figure(f"{head}, over the floor, p99", quantile(over, 0.99), "ms", aim=20.0),
        Figure(f"{head}, commits before the pulse, most", max(between), "commits", 1, 1),
    ]
    if read:
        figures += [
            Figure(f"{head}, to the beginning of the commit, median", statistics.median(read), "ms"),
            Figure(f"{head}, commit, median", statistics.median(commit), "ms", commit_s * MS),
            Figure(f"{head}, from commit (and a free bus) to the frame out, median", statistics.median(sent), "ms"),
        ]
    return figures


def run(folder: Path, *, quick: bool) -> list[Figure]:
    times = 24 if quick else 120
    return [figure for board in ("8a", "cu48") for figure in measure(folder, board, times)]
