"""The daemon in the simulation: boots it behind its seams, cuts its power, and reads its screen."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from tests.simulation.disk.medium import SimDisk
from tests.simulation.disk.store import journal_on
from tests.simulation.year.cloud import EPOCH_UTC, Cloud
from tests.simulation.year.loop import PowerCut, SimLoop, Timeline
from tests.simulation.year.plant import Plant
from tests.simulation.year.sites import Site, wire_up
from tests.simulation.year.wires import Chip, Ports
from vendingd.app import App, Fatal, Seams
from vendingd.desk import Keys
from vendingd.identity.keys import KeyRing
from vendingd.identity.pin import matches
from vendingd.journal.api import Batch, Committed, Loaded, StoreError, StoreErrorKind
from vendingd.journal.memory import Fault, MemoryDisk, MemoryStore
from vendingd.notify import Notifier
from vendingd.prompts import prompt

_MEDIUM: dict[StoreErrorKind, Any] = {
    StoreErrorKind.FULL: "full",
    StoreErrorKind.READONLY: "readonly",
    StoreErrorKind.IO: "io",
}
LATENCY_S = (0.0005, 0.02)


class Stop:
    """Ends one stretch of a loop's running, unless the loop is gone by then."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop: SimLoop | None = loop

    def __call__(self) -> None:
        if self.loop is not None:
            self.loop.stop()


class SimClock:
    """The machine's clocks. `error_s` is how wrong its calendar is."""

    def __init__(self, line: Timeline, error: Callable[[], float]) -> None:
        self._line = line
        self._began = line.t - 15.0  # a kernel has been up for a while when the daemon starts
        self._error = error

    def monotonic(self) -> float:
        return self._line.t - self._began

    def utc_now(self) -> float:
        return EPOCH_UTC + self._line.t + self._error()

    async def sleep_until(self, deadline_mono: float) -> None:
        await asyncio.sleep(max(0.0, deadline_mono - self.monotonic()))


@lru_cache(maxsize=4096)
def _derived(verifier: Any, digits: str) -> bool:
    return matches(verifier, digits)


class SimWorkers:
    """Runs at once what threads and children would; a key derivation is done once and remembered."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        await asyncio.sleep(0.001 * self._chance.random())
        return fn(*args)

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        await asyncio.sleep(0.1 + 0.1 * self._chance.random())
        return _derived(*args) if fn is matches else fn(*args)


class Witness:
    """Between the daemon and its store: knows what became durable, and in which order, by what was handed over."""

    def __init__(self, inner: Any, known: list[Any], durable: Callable[[Any], None]) -> None:
        self._inner = inner
        self._known = known
        self._durable = durable

    async def open(self) -> Loaded:
        loaded = await self._inner.open()
        kept = await self._inner.records(len(self._known), 100_000)
        for record in kept:
            self._learn(record)
        return loaded

    def _learn(self, record: Any) -> None:
        self._known.append(record)
        self._durable(record)

    async def commit(self, batch: Batch) -> Committed:
        committed = await self._inner.commit(batch)
        for record in batch.records:
            self._learn(record)
        return committed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Machine:
    """One machine through all its boots."""

    def __init__(
        self, line: Timeline, seed: str, site: Site, plant: Plant, cloud: Cloud, *, real_journal: bool = False
    ) -> None:
        """`real_journal`: the journal's own code on a simulated disk under a real SQLite, else the one in memory."""
        self.line, self.site, self.plant, self.cloud = line, site, plant, cloud
        self._seed = seed
        self.chance = random.Random(f"{seed} machine")
        self.disk = MemoryDisk()
        self.medium = SimDisk(random.Random(f"{seed} disk")) if real_journal else None
        self.known: list[Any] = []  # every durable record, as it was handed over
        self.durable: Callable[[Any], None] = lambda record: None
        self.clock_error_s = 0.0
        self.drift_s: Callable[[], float] = float  # by how much it has drifted; 0.0
        self.synchronised = True
        self.fault: Fault | None = None
        self.store: Any = None
        self.latency_s = LATENCY_S
        self.app: App | None = None
        self.loop: SimLoop | None = None
        self.boots = 0
        self.cut_label: tuple[str, int] | None = None  # cut the power at the n-th time of this label
        self.fatal: str = ""
        self.complaint = ""  # an error that the daemon let fall, as the loop was told
        self._main: asyncio.Task[str] | None = None
        self._graves: list[Any] = []
        self._ports: Ports | None = None
        self._chip: Chip | None = None
        self._keys = Keys(KeyRing.parse_text(_jwks(cloud)), None)
        wire_up(site, plant)

    # ------------------------------------------------ power
    def run(self, until: float) -> None:
        """Go on until then, or until the power goes; boots where there is no life."""
        if self.loop is None:
            self._boot()
        loop, main = self.loop, self._main
        assert loop is not None and main is not None
        stop = Stop(loop)
        self.line.at(until, stop)
        try:
            loop.run_forever()
        except PowerCut:
            self._die(main)
        finally:
            stop.loop = None
            self.complaint = self.complaint or loop.complaint
        if main.done():
            if self.loop is not None:
                self._die(main)
            error = None if main.cancelled() else main.exception()
            if error is not None and not isinstance(error, PowerCut):
                raise error
            self.fatal = main.result() if error is None and not main.cancelled() else ""

    def _boot(self) -> None:
        self.boots += 1
        self.plant.power(True)
        loop = self.loop = SimLoop(self.line)
        chance = random.Random(f"{self._seed} boot {self.boots}")
        self._main = loop.create_task(self._life(loop, chance))
        self._main.add_done_callback(lambda _: loop.stop())

    def _die(self, main: asyncio.Task[str]) -> None:
        """The corpse is kept, dead: what garbage collection would make it do is not to be felt."""
        loop = self.loop
        assert loop is not None
        if self.medium is not None:
            self.medium = self.medium.power_cut()  # first of all: whatever a corpse writes is lost
        if self._ports is not None:
            self._ports.die()
        if self._chip is not None:
            self._chip.dead = True
        self.plant.power(False)
        self.cloud._news = None
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # nobody will await a corpse's tasks
        loop.bury()
        self._graves.append((main, tasks, self.app, loop))
        self.app, self.loop = None, None

    def bury(self) -> None:
        """The end: let go of all corpses; they end by `finally` blocks that nobody hears."""
        if self.loop is not None and self._main is not None:
            self._die(self._main)
        for main, tasks, _, _ in self._graves:
            for task in (main, *tasks):
                with contextlib.suppress(RuntimeError):
                    task.get_coro().close()
        self._graves.clear()

    def cut(self) -> None:
        """From a callback of the plant: the power goes now."""
        if self.loop is not None:
            raise PowerCut

    def cut_after(self, callbacks: int) -> None:
        if self.loop is not None:
            self.loop.cut_after(callbacks)

    def _probe(self, label: str) -> None:
        if self.cut_label is not None and self.cut_label[0] == label:
            n = self.cut_label[1] - 1
            self.cut_label = (label, n) if n > 0 else None
            if n <= 0 and self.loop is not None:
                if self.medium is not None:
                    self.medium = self.medium.power_cut()
                self.loop.cut_after(1)  # the task dies here; the loop with it
                raise PowerCut

    # ------------------------------------------------ one life
    async def _life(self, loop: SimLoop, chance: random.Random) -> str:
        clock = SimClock(self.line, lambda: self.clock_error_s + self.drift_s())
        said: dict[str, Any] = {
            "machine": "tower-1", "boot_id": f"boot-{self.boots}", "token": chance.randbytes, "probe": self._probe,
            "clock": clock, "random": _Chance(chance, self), "latency_s": (0.0, 1.0),
        }  # fmt: skip
        store: Any = MemoryStore(self.disk, **said) if self.medium is None else journal_on(self.medium, **said)
        self.store = store
        self.set_fault(self.fault)
        self._ports = Ports(self.plant.ports, loop)
        self._chip = Chip(self.plant.lines)
        chip = self._chip
        app = App(
            self.site.site,
            self._keys,
            Seams(
                clock=clock,
                random=chance,
                store=Witness(store, self.known, self.durable),  # type: ignore[arg-type]
                workers=SimWorkers(chance),
                serial=self._ports,
                pins=lambda: chip,
                transport=self.cloud,
                token_bytes=chance.randbytes,
                boot=f"boot-{self.boots}",
                synchronised=lambda: self.synchronised,
                device_key=hashlib.sha256(b"device").digest(),
            ),
            Notifier({}),
        )
        self.app = app

        async def ready() -> None:
            pass

        try:
            await app.run(ready)
        except Fatal as why:
            return str(why)
        except StoreError as why:
            return str(why)
        return ""

    def set_fault(self, fault: Fault | None) -> None:
        self.fault = fault
        if self.medium is not None:
            self.medium.fault = None if fault is None else _MEDIUM[fault.kind]
        elif self.store is not None:
            self.store.fault = fault

    # ------------------------------------------------ for people
    def screen(self, terminal: str) -> dict[str, Any]:
        """What stands on the screen; black without power."""
        if self.app is None:
            return {"code": "black", "params": {}}
        return prompt(self.app.mailbox.world, terminal, self.app.mailbox.unavailable, "")

    def ask(self, event: Any, then: Callable[[str], None] = lambda word: None) -> None:
        """What a technician types; `then` gets the refusal's word, or nothing."""
        if self.app is None or self.loop is None:
            then("black")
            return
        app = self.app

        async def asking() -> None:
            try:
                step = await app.mailbox.request(event)
            except Exception as why:  # noqa: BLE001 - busy and unavailable are answers, too
                then(type(why).__name__)
                return
            then(step.refused or "")

        self.loop.create_task(asking())


class _Chance:
    """How long the disk takes: mostly little, sometimes long, drawn anew for each commit."""

    def __init__(self, chance: random.Random, machine: Machine) -> None:
        self._chance, self._machine = chance, machine

    def random(self) -> float:
        least, most = self._machine.latency_s
        return least + (most - least) * self._chance.random() ** 3


def _jwks(cloud: Cloud) -> str:
    return json.dumps(cloud.keyring.jwks())


def export(known: Sequence[Any]) -> str:
    """A digest of every record that became durable, with its times."""
    made = hashlib.sha256()
    for r in known:
        made.update(repr((r.kind, r.subject, r.data, r.utc, r.mono, r.utc_trusted, r.offline)).encode())
    return made.hexdigest()
