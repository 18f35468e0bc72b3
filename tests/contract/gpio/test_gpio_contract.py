"""The GPIO devices against the simulator's lines, over its socket and in another process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers.gpio.gate import DRIVER as GATE
from drivers.gpio.input import DRIVER as INPUT
from drivers.gpio.lock import DRIVER as LOCK
from drivers.ports import DeviceStatus, Driver, LevelRead, Report, Sense, Sent, Surroundings
from drivers.wires.gpio import PinSource
from vendingd.workers import RealWorkers

SITE = """
schema = 1
machine = "m"
[gpio]
factory = "hw-sim"
[devices.locks]
driver = "gpio-lock"
pins = [5, 40]
gap_ms = 100
[devices.low]
driver = "gpio-lock"
pins = [6]
active_low = true
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [7, 8, 12]
[devices.bolts]
driver = "gpio-input"
sense = "bolt"
pins = [9]
[devices.gates]
driver = "gpio-gate"
open_pins = [20]
close_pins = [21]
[[bays]]
id = "a"
lock = "locks:1"
door = "doors:1"
bolt = "bolts:1"
[[bays]]
id = "b"
lock = "low:1"
door = "doors:2"
[[bays]]
id = "g"
lock = "gates:1"
door = "doors:3"
gate = true
"""
OPTIONS: dict[str, tuple[Driver, dict[str, Any]]] = {
    "locks": (LOCK, {"pins": (5, 40), "gap_ms": 100}),
    "low": (LOCK, {"pins": (6,), "active_low": True}),
    "doors": (INPUT, {"sense": "door", "pins": (7, 8, 12)}),
    "bolts": (INPUT, {"sense": "bolt", "pins": (9,)}),
    "gates": (GATE, {"open_pins": (20,), "close_pins": (21,)}),
}


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def utc_now(self) -> float:
        return time.time()

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - time.monotonic()))


class Halves:
    def random(self) -> float:
        return 0.5


class Machine:
    """The simulator's process and this side's devices."""

    def __init__(self, http: aiohttp.ClientSession, surroundings: Surroundings) -> None:
        self._http = http
        self._surroundings = surroundings
        self._tasks: list[asyncio.Task[None]] = []
        self.said: list[Report] = []

    async def start(self, name: str) -> Any:
        driver, options = OPTIONS[name]
        device = driver.make(name, driver.options(**options), self._surroundings)
        self._tasks.append(asyncio.ensure_future(device.run(self.said.append)))
        await self.until(lambda: any(isinstance(r, DeviceStatus) and r.device == name for r in self.said))
        return device

    async def post(self, path: str, **body: Any) -> Any:
        async with self._http.post(f"http://plant{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def log(self) -> list[dict[str, Any]]:
        async with self._http.get("http://plant/log?after=0") as answer:
            found = await answer.json()
        entries: list[dict[str, Any]] = found["entries"] if isinstance(found, dict) else found
        return entries

    async def until(self, seen: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not seen():
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.005)

    def level(self, device: str, channel: int) -> bool | None:
        """The newest level said."""
        return next(
            r.value
            for r in reversed(self.said)
            if isinstance(r, LevelRead) and (r.device, r.channel) == (device, channel)
        )

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    (tmp_path / "site.toml").write_text(SITE)
    plant = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hw_sim", "plant", "--site", str(tmp_path / "site.toml")),
        *("--run-dir", str(tmp_path), "--seed", "1", "--until-stdin-closes"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ},
    )
    assert plant.stdout is not None
    assert plant.stdin is not None
    monkeypatch.setenv("HW_SIM_GPIO", str(tmp_path / "gpio.sock"))
    workers = RealWorkers()
    pins = PinSource("hw-sim")
    try:
        async with asyncio.timeout(30):
            line = await plant.stdout.readline()
        assert line.startswith(b"ready"), line
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "plant.sock"))) as http:
            machine = Machine(
                http,
                Surroundings(
                    clock=RealClock(),
                    random=Halves(),
                    workers=workers,
                    serial=None,  # type: ignore[arg-type]
                    pins=pins,
                    spawn=asyncio.ensure_future,
                ),
            )
            yield machine
            await machine.stop()
    finally:
        pins.close()
        await workers.aclose()
        plant.stdin.close()
        try:
            async with asyncio.timeout(20):
                await plant.wait()
        except TimeoutError:
            plant.kill()
            await plant.wait()
            raise


def pulses(log: list[dict[str, Any]]) -> list[str]:
    return [entry["bay"] for entry in log if entry["what"].startswith("pulse") and entry.get("bay")]


@pytest.mark.parametrize(("device", "bay", "door"), [("locks", "a", 1), ("low", "b", 2)])
async def test_a_pulse_opens_that_bay_and_no_other(machine: Machine, device: str, bay: str, door: int) -> None:
    lock = await machine.start(device)
    await machine.start("doors")
    await machine.until(lambda: machine.level("doors", door) is False)
    assert pulses(await machine.log()) == [], "claiming the lines moved something"
    outcome = await lock.unlock(1, not_after_mono=time.monotonic() + 5)
    assert outcome.sent is Sent.SENT
    await machine.post("/act", do="open_door", bay=bay)
    await machine.until(lambda: machine.level("doors", door) is True)
    assert set(pulses(await machine.log())) == {bay}
    await machine.post("/act", do="close_door", bay=bay)
    await machine.until(lambda: machine.level("doors", door) is False)


async def test_the_bolt_is_seen_to_move_during_the_pulse(machine: Machine) -> None:
    lock = await machine.start("locks")
    await machine.start("bolts")
    await machine.until(lambda: machine.level("bolts", 1) is True)
    unlocking = asyncio.ensure_future(lock.unlock(1, not_after_mono=time.monotonic() + 5))
    await machine.until(lambda: machine.level("bolts", 1) is False)
    assert (await unlocking).sent is Sent.SENT


async def test_a_cut_wire_reads_unsafe(machine: Machine) -> None:
    await machine.start("doors")
    await machine.start("bolts")
    await machine.until(lambda: machine.level("doors", 1) is False and machine.level("bolts", 1) is True)
    for device in ("doors", "bolts"):
        await machine.post("/faults", name="feedback_lost", device=device, channel=1, on=True)
    await machine.until(lambda: machine.level("doors", 1) is True and machine.level("bolts", 1) is False)


async def test_a_gates_operator_is_asked_both_ways(machine: Machine) -> None:
    gate = await machine.start("gates")
    await machine.start("doors")
    await machine.until(lambda: machine.level("doors", 3) is False)
    assert (await gate.unlock(1, not_after_mono=time.monotonic() + 5)).sent is Sent.SENT
    await machine.until(lambda: machine.level("doors", 3) is True)
    assert (await gate.request_close(1, not_after_mono=time.monotonic() + 5)).sent is Sent.SENT
    await machine.until(lambda: machine.level("doors", 3) is False)


async def test_lines_away_and_back(machine: Machine) -> None:
    lock = await machine.start("locks")
    doors = await machine.start("doors")
    await machine.until(lambda: machine.level("doors", 1) is False)
    await machine.post("/faults", name="gpio_away", on=True)
    async with asyncio.timeout(30):
        while machine.level("doors", 1) is not None:
            await doors.sample()
            await asyncio.sleep(0.01)
    down = [r for r in machine.said if isinstance(r, DeviceStatus) and not r.up]
    assert {r.device for r in down} >= {"doors"}
    outcome = await lock.unlock(1, not_after_mono=time.monotonic() + 5)
    assert outcome.sent is not Sent.SENT
    machine.said.clear()
    await machine.post("/faults", name="gpio_away", on=False)
    await machine.until(
        lambda: {"locks", "doors"} <= {r.device for r in machine.said if isinstance(r, DeviceStatus) and r.up}
    )
    assert machine.level("doors", 1) is False
    assert pulses(await machine.log()) == [], "something moved that nobody asked for"
    assert (await lock.unlock(1, not_after_mono=time.monotonic() + 5)).sent is Sent.SENT


async def test_sensed_again_after_being_away_without_an_edge(machine: Machine) -> None:
    doors = await machine.start("doors")
    lock = await machine.start("locks")
    assert (await lock.unlock(1, not_after_mono=time.monotonic() + 5)).sent is Sent.SENT
    await machine.post("/act", do="open_door", bay="a")
    machine.said.clear()
    await doors.sample()
    read = [r for r in machine.said if isinstance(r, LevelRead)]
    assert [(r.channel, r.sense) for r in read][-3:] == [(1, Sense.DOOR), (2, Sense.DOOR), (3, Sense.DOOR)]
