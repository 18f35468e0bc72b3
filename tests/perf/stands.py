"""The machines that are measured: site files, what lies where, and how the daemon is started on them."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any, Self

from tests.scenario.stand import Control, Stand

ROOT = Path(__file__).resolve().parents[2]

HEAD = """
schema = 1
machine = "bench-1"
site = "west"
[clock]
trust = "assume"
[identity]
keys = "keys.json"
[policy.least]
car = ["pass"]
[gpio]
factory = "hw-sim"
[api]
group = ""
{timing}
"""
CLOUD = """
[cloud]
url = "http://127.0.0.1:{cloud_port}"
"""
TERMINAL = """
[devices.scanner]
driver = "line-scanner"
port = "scanner"
baud = 115200
[[terminals]]
id = "front"
codes = ["scanner"]
"""
CAMERA_TERMINAL = """
[devices.camera]
driver = "mjpeg-camera"
url = "http://127.0.0.1:{camera_port}/stream"
[[terminals]]
id = "front"
codes = ["camera"]
"""
BOARD_8A = """
[devices.locks]
driver = "lock-8a"
port = "locks"
[[bays]]
n = [1, 8]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
"""
BOARD_CU48 = """
[devices.locks]
driver = "kerong-cu48"
port = "locks"
[[bays]]
n = [1, 48]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
"""
GPIO_8 = """
[devices.locks]
driver = "gpio-lock"
pins = [4, 5, 6, 7, 8, 9, 10, 11]
gap_ms = 50
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [12, 13, 14, 15, 16, 17, 18, 19]
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [20, 21, 22, 23, 24, 25, 26, 27]
[[bays]]
n = [1, 8]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
door = "doors:{{n}}"
presence = "presence:{{n}}"
"""
QUICK_TIMES = """
[timing]
open_timeout_s = 0.5
settle_s = 0.1
lapse_s = 0
farewell_s = 0.1
slow_max_s = 0
[sensing]
occupancy_ms = 100
"""
CARS = """
title = "{cars} cars"
[bay]
door = "hand"
bolt = "latch"
[[assets]]
n = [1, {cars}]
id = "car-{{n}}"
class = "car"
bay = "bay-{{n}}"
"""
SITES = {
    "8a": HEAD + CLOUD + TERMINAL + BOARD_8A,
    "cu48": HEAD + CLOUD + TERMINAL + BOARD_CU48,
    "cu48 alone": HEAD + TERMINAL + BOARD_CU48,
    "gpio": HEAD + CLOUD + TERMINAL + GPIO_8,
    "camera": HEAD + CLOUD + CAMERA_TERMINAL + GPIO_8,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BenchStand(Stand):
    """A stand of one of `SITES` with the first bays stocked; `watched` puts the stopwatch at the journal."""

    def __init__(
        self, folder: Path, site: str, *, cars: int = 8, timing: str = QUICK_TIMES, watched: bool = False
    ) -> None:
        text = SITES[site].replace("{camera_port}", str(free_port()))
        directory = [{"id": f"car-{n}", "class": "car", "tags": []} for n in range(1, cars + 1)]
        super().__init__(
            folder,
            site=text,
            scenario=CARS.format(cars=cars),
            timing=timing,
            directory=directory,
            entry=("-m", "tests.perf.watched", "watched.json") if watched else ("-m", "vendingd.main"),
            environment={"PYTHONPATH": str(ROOT)},
        )
        self.ready_s = 0.0  # of the last start: from the making of the process to READY=1
        self.passes: dict[str, str] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    # ------------------------------------------------ the daemon
    def start_daemon(self, *, wait: bool = True) -> None:
        """Timed: from before its process is made to READY=1."""
        began = time.monotonic()
        super().start_daemon(wait=wait)
        self.ready_s = time.monotonic() - began

    def pid_of(self, name: str) -> int:
        return self._processes[name].pid

    def watch(self) -> dict[str, Any]:
        """What the stopwatch of a watched daemon has seen so far."""
        path = self.folder / "watched.json"
        path.unlink(missing_ok=True)
        self._processes["daemon"].send_signal(signal.SIGUSR1)
        self.until(path.exists, "the stopwatch is read")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def noted(self) -> list[tuple[str, float, int]]:
        """Labelled points of commits: label, monotonic seconds, bytes written so far."""
        return [(what, at, written) for what, at, written in self.watch()["noted"]]

    # ------------------------------------------------ people
    def book_all(self, count: int, name: str = "r") -> list[str]:
        """Rentals of the first cars, each with its pass; returns the passes."""
        for n in range(1, count + 1):
            window = {"window_from": -60, "window_to": 36_000, "due": 72_000}
            self.cloud.act("put_reservation", rental=f"{name}{n}", asset=f"car-{n}", **window)
        self.until(
            lambda: self.api.ask("GET", f"/v1/rentals/{name}{count}")[1].get("state") == "ready", "the bookings are in"
        )
        return [self.sign(f"{name}{n}") for n in range(1, count + 1)]


class Log:
    """The plant's physical log from now on, each entry once."""

    def __init__(self, plant: Control) -> None:
        self._plant = plant
        self._seen = max((x["n"] for x in plant.get("/log", after=0)), default=0)

    def wait(self, what: str, within_s: float = 20.0) -> dict[str, Any] | None:
        """The next entry of this kind, or None; entries before it are passed over."""
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            for entry in self._plant.get("/log", after=self._seen, wait=min(left, 5.0)):
                self._seen = entry["n"]
                if entry["what"] == what:
                    return dict(entry)
        return None
