"""A whole daemon in this process: the real composition root, site file, desk, mailbox, store; only its ends are ours.

The lock takes every unlock at once and notes when; all doors read closed; nobody scans, passes are shown at the desk.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from drivers.ports import Device, Driver, LevelRead, Outcome, Sense, Sent, Sink, Surroundings
from fsm import events as e
from fsm.model import Bay, Visit, VisitState
from hw_sim.cloud import passes
from hw_sim.cloud.keys import Keyring
from vendingd.app import App, Seams
from vendingd.desk import Keys
from vendingd.identity.keys import KeyRing
from vendingd.journal.api import Store
from vendingd.kernel.time import SystemClock, SystemRandom
from vendingd.notify import Notifier
from vendingd.site.load import load_site
from vendingd.site.resolved import Site
from vendingd.workers import RealWorkers

BUS = 480  # bays on one bus of ten boards
AT_ONCE = 200
HEAD = """
schema = 1
machine = "bench-1"
site = "west"
[clock]
trust = "assume"
[policy.least]
"*" = ["pass"]
[devices.scanner]
driver = "line-scanner"
port = "/dev/null/scanner"
[[terminals]]
id = "front"
codes = ["scanner"]
"""
BUSES = """
[devices.locks-{bus}]
driver = "kerong-cu48"
port = "/dev/null/locks-{bus}"
addresses = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[bays]]
n = [1, {bays}]
id = "bay-{bus}-{{n}}"
fits = ["car", "van"]
lock = "locks-{bus}:{{n}}"
"""


class Taking:
    """A lock board that takes every unlock, or a scanner that reads nothing."""

    def __init__(self, name: str, channels: Sequence[int], unlocked: list[float]) -> None:
        self.name = name
        self._channels = channels
        self._unlocked = unlocked

    async def run(self, sink: Sink) -> None:
        for channel in self._channels:
            sink(LevelRead(self.name, Sense.DOOR, channel, False))
        await asyncio.Event().wait()

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        self._unlocked.append(time.perf_counter())
        return Outcome(Sent.SENT)


def site_of(folder: Path, bays: int, unlocked: list[float]) -> Site:
    """A site of so many bays; its devices are `Taking`."""
    parts = [min(BUS, bays - first) for first in range(0, bays, BUS)]
    path = folder / f"site-{bays}.toml"
    path.write_text(HEAD + "".join(BUSES.format(bus=n, bays=count) for n, count in enumerate(parts)))
    site = load_site(path)

    def make(name: str, options: Any, around: Surroundings) -> Device:
        channels = [b.lock.number for b in site.bays.values() if b.lock.device == name]
        return Taking(name, channels, unlocked)

    devices = {
        name: replace(entry, driver=Driver(name=entry.driver.name, options=entry.driver.options, make=make))
        for name, entry in site.devices.items()
    }
    quick = replace(site.timing, open_timeout_s=0.01, lapse_s=0.0, farewell_s=0.01, slow_max_s=0.0)
    return replace(site, devices=devices, timing=quick, sensing=site.sensing.model_copy(update={"contact_ms": 0}))


@dataclass
class Machine:
    """One daemon, its bays stocked with cars 1, 2, … and its rentals booked. Use within a running loop."""

    folder: Path
    bays: int
    store: Store
    unlocked: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyring = Keyring(Random(1))
        site = site_of(self.folder, self.bays, self.unlocked)
        self.workers = RealWorkers()
        ring = KeyRing.of(()).updated(_ring(self.keyring))
        self.app = App(
            site,
            Keys(ring),
            Seams(
                clock=SystemClock(),
                random=SystemRandom(),
                store=self.store,
                workers=self.workers,
                serial=_no_serial,
                pins=lambda: None,
                transport=None,
                token_bytes=os.urandom,
                boot="bench",
                synchronised=lambda: True,
                device_key=bytes(32),
            ),
            Notifier({}),
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self, rentals: int) -> None:
        """Named rentals of the stocked cars first, then so many in all for cars that are elsewhere."""
        ready = asyncio.Event()

        async def say() -> None:
            ready.set()

        self._running = asyncio.create_task(self.app.run(say))
        await ready.wait()
        await self._wait(lambda: all(one.recovered for key, one in self._rows("sensed") if key), "bays are known")
        cars = max(self.bays, rentals)
        await self._deliver(
            [e.PutAssets(f"a{n}", ((f"car-{n}", _class_of(n, self.bays), (), None),)) for n in range(cars)]
        )
        mailbox, keys = self.app.mailbox, list(self.app.layout.bays)
        for first in range(0, self.bays, 20):
            part = list(enumerate(keys))[first : first + 20]
            await asyncio.gather(
                *(mailbox.request(e.SetContents(key, f"car-{n}", "eve", "stocking")) for n, key in part)
            )
        now = time.time()
        await self._deliver([_booking(n, now, f"car-{booked(n) if self.bays > 1 else n}") for n in range(rentals)])

    async def stop(self) -> None:
        self.app.stop()
        if self._running is not None:
            await self._running
        await self.app.shutdown()
        await self.workers.aclose()

    async def _deliver(self, instructions: list[e.Instruction]) -> None:
        for first in range(0, len(instructions), AT_ONCE):
            part = instructions[first : first + AT_ONCE]
            await self.app.mailbox.deliver(e.Deliver(f"c{part[-1].id}", part))

    def _rows(self, kind: str) -> list[tuple[str, Any]]:
        return list(self.app.mailbox.world.of[kind].items())

    @staticmethod
    async def _wait(look: Any, what: str) -> None:
        async with asyncio.timeout(60):
            while not look():
                await asyncio.sleep(0.002)

    # ------------------------------------------------ one pass
    def sign(self, rental: int, **claims: Any) -> bytes:
        now = int(time.time())
        said = {"iss": "https://cloud.example", "sub": f"r{rental}", "aud": "bench-1", "exp": now + 3600}
        named = {"asset": f"car-{rental}"} if "class" not in claims else {}
        said |= {"nbf": now - 60, "iat": now, "cti": b"12345678"} | named | claims
        return passes.text(passes.sign(said, self.keyring.current)).encode()

    async def show(self, text: bytes) -> float:
        """Seconds from the pass at the desk to the lock; the machine is at rest again when this returns."""
        count = len(self.unlocked)
        began = time.perf_counter()
        step = await self.app.desk.show("front", text, time.monotonic())
        if step.refused is not None:
            raise RuntimeError(f"refused: {step.refused} {step.detail}")
        await self._wait(lambda: len(self.unlocked) > count, "the lock is asked")
        await self._wait(self._at_rest, "the bay is free again")
        return self.unlocked[-1] - began

    def _at_rest(self) -> bool:
        world = self.app.mailbox.world
        visit: Visit | None = world.visit("front")
        quiet = visit is not None and visit.state is VisitState.IDLE
        return quiet and not any(isinstance(b, Bay) and b.grant for b in self._busy())

    def _busy(self) -> list[Any]:
        return [] if self.bays > 1 else list(self.app.mailbox.world.of["bay"].values())


def _class_of(n: int, bays: int) -> str:
    """The first half of the bays hold cars, the rest vans; whatever has no bay is elsewhere."""
    return "elsewhere" if n >= bays else "van" if n and n >= bays // 2 else "car"


def booked(n: int) -> int:
    """The car that rental n names: every tenth is left to bookings of a class, but no van is."""
    return n if n % 10 or n >= 500 else n + 20_000


def _booking(n: int, now: float, asset: str | None) -> e.PutReservation:
    return e.PutReservation(
        id=f"i{n}",
        version=1,
        rental=f"r{n}",
        window_from=now - 60,
        window_to=now + 36_000,
        due=now + 72_000,
        asset=asset,
        asset_class=None if asset is not None else "car",
    )


def _ring(keyring: Keyring) -> KeyRing:
    return KeyRing.parse_text(json.dumps(keyring.jwks()))


def _no_serial(settings: Any) -> Any:
    raise RuntimeError("no serial port here")
