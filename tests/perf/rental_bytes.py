"""Bytes written to the disk for one whole rental: pick-up and return, with what the cloud acknowledges of it.

Two looks. A run of rentals back to back, long enough for the write-ahead log to be folded back several times, gives
what a rental costs all in all. One rental at a person's pace, with rests in which the late commits happen too (the
acknowledgement's, at most a minute after), gives how many commits there are when nothing rides together by haste.
The figure that is held against the aim is the slow rental's, with its share of the folding back.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.perf.figures import Figure, device_bytes, written_bytes
from tests.perf.stands import BenchStand
from vendingd.journal.api import AFTER_CHECKPOINT, AFTER_COMMIT, BEFORE_CHECKPOINT

KIB = 1024
ACK_REST_S = 64.0  # an acknowledgement is durable within a minute
STEP_S = 3.0  # between what a person does

TIMES = """
[timing]
settle_s = 0.1
identify_s = 0.5
farewell_s = 0.1
slow_max_s = 0
reopen_s = 0
[sensing]
occupancy_ms = 100
"""


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two looks."""

    commits: int
    commit_bytes: int
    folds: int
    fold_bytes: int
    bytes: int
    device: int | None


class Meter:
    def __init__(self, stand: BenchStand) -> None:
        self._stand = stand
        self._pid = stand.daemon_pid
        self._began = time.monotonic()
        self._bytes = written_bytes(self._pid)
        self._device = device_bytes(stand.folder)

    def read(self) -> Span:
        now, device = written_bytes(self._pid), device_bytes(self._stand.folder)
        commits = folds = fold_bytes = before = 0
        for what, at, written in self._stand.noted():
            if at < self._began:
                continue
            commits += what == AFTER_COMMIT
            if what == BEFORE_CHECKPOINT:
                before = written
            elif what == AFTER_CHECKPOINT:
                folds += 1
                fold_bytes += written - before
        taken = None if device is None or self._device is None else device - self._device
        whole = now - self._bytes
        return Span(commits, whole - fold_bytes, folds, fold_bytes, whole, taken)


def rental(stand: BenchStand, n: int, rest: Callable[[float], None]) -> None:
    """Car 1 from bay 1, out and back."""
    name, before = f"w{n}", stand.pulses("bay-1")
    stand.cloud.act("put_reservation", rental=name, asset="car-1", window_from=-60, window_to=3600, due=7200)
    stand.until(lambda: _state(stand, name) == "ready", f"{name} is ready")
    rest(1)
    text = stand.sign(name)
    stand.show(text)
    stand.unlocked("bay-1", before + 1)
    rest(1)
    stand.open("bay-1")
    rest(1)
    stand.plant.act("take", bay="bay-1")
    rest(1)
    stand.close("bay-1")
    stand.until(lambda: _state(stand, name) == "on_trip", f"{name} is on trip")
    rest(ACK_REST_S / STEP_S)
    stand.until(lambda: stand.prompt()["code"] == "idle", "the terminal is free")
    time.sleep(3.1)  # the same code within 3 s is taken for one
    stand.show(text)
    stand.unlocked("bay-1", before + 2)
    rest(1)
    stand.open("bay-1")
    rest(1)
    stand.plant.act("put", bay="bay-1", asset="car-1")
    rest(1)
    stand.close("bay-1")
    stand.until(lambda: _state(stand, name) in ("returned", None), f"{name} is returned")
    rest(ACK_REST_S / STEP_S)


def _state(stand: BenchStand, rental_id: str) -> str | None:
    status, body = stand.api.ask("GET", f"/v1/rentals/{rental_id}")
    return str(body["state"]) if status == 200 else None


def run(folder: Path, *, quick: bool) -> list[Figure]:
    rentals, slow = (3, False) if quick else (30, True)
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        BenchStand(Path(name) / "m", "gpio", cars=1, timing=TIMES, watched=True) as stand,
    ):
        rental(stand, 0, lambda steps: None)  # whatever a first one does
        meter = Meter(stand)
        for n in range(1, rentals + 1):
            rental(stand, n, lambda steps: None)
        haste = meter.read()
        figures = _haste(haste, rentals)
        if slow:
            time.sleep(ACK_REST_S)
            meter = Meter(stand)
            rental(stand, rentals + 1, lambda steps: time.sleep(steps * STEP_S))
            figures += _slow(meter.read(), haste)
    return figures


def _haste(span: Span, rentals: int) -> list[Figure]:
    head = f"written for a rental, {rentals} back to back"
    figures = [
        Figure(f"{head}, all in all", span.bytes / rentals / KIB, "KiB", aim=100.0),
        Figure(f"{head}, of it folding back", span.fold_bytes / rentals / KIB, "KiB"),
        Figure(f"{head}, commits", span.commits / rentals, "commits"),
    ]
    if span.device is not None:
        figures.append(Figure(f"{head}, taken by the device", span.device / rentals / KIB, "KiB"))
    return figures


def _slow(span: Span, haste: Span) -> list[Figure]:
    share = haste.fold_bytes / haste.commit_bytes if haste.commit_bytes else 0.0
    head = "written for a rental at a person's pace"
    figures = [
        Figure(f"{head}, with its share of folding back", span.commit_bytes * (1 + share) / KIB, "KiB", aim=100.0),
        Figure(f"{head}, commits", span.commits, "commits"),
    ]
    if span.device is not None:
        figures.append(Figure(f"{head}, taken by the device (from everybody)", span.device / KIB, "KiB"))
    return figures
