"""A light machine for the API and the CLI: the real mailbox, store, desk and rules; sensors and time by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from drivers.ports import DeviceStatus, DriverError, FaceJudgement, FaceResult
from fsm import events as e
from fsm.effects import Effect
from fsm.model import Aggregate, Bay, BaySpec, Layout, Now, Rental, TerminalSpec
from fsm.policy import Policy
from fsm.world import Key, Record
from vendingd.api.connection import Limits
from vendingd.api.peers import Doorkeeper
from vendingd.api.server import ApiServer
from vendingd.desk import Desk, Keys, Terminals
from vendingd.identity.face import FaceFactor
from vendingd.identity.keys import KeyRing
from vendingd.identity.seal import Sealer
from vendingd.journal.api import Committed, Store, StoreError
from vendingd.journal.memory import MemoryStore
from vendingd.kernel.mailbox import Mailbox
from vendingd.kernel.time import SystemClock

T0 = 1_800_000_000.0


def layout(bays: int = 3) -> Layout:
    specs = [
        BaySpec(id=f"bay-{n}", fits=frozenset({"car"}), bolt=True, presence=True, tag=True) for n in range(1, bays + 1)
    ]
    return Layout(
        machine="m1",
        site="west",
        bays={s.id: s for s in specs},
        terminals={"front": TerminalSpec(id="front", face_formats=frozenset({"eye"}))},
        policy=Policy({"*": (frozenset({"pass"}),)}),
    )


class NoHands:
    """Keeps the effects: nothing moves unless a test says so."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def perform(self, effect: Effect, *, late: bool = False) -> None:
        self.effects.append(effect)

    def foresee(self, effect: Effect) -> None:
        """No wire has to be kept free."""

    def journalled(self, event: e.Event) -> None:
        """Nothing is retold."""

    def tell_again(self) -> None:
        """Nothing is retold."""


@dataclass
class LightSite:
    support: Any = field(default_factory=lambda: SimpleNamespace(reference="+86 10 1234"))
    trust: str = "assume"
    devices: Mapping[str, Any] = field(
        default_factory=lambda: {
            "locks": SimpleNamespace(driver=SimpleNamespace(name="gpio-lock")),
            "scanner": SimpleNamespace(driver=SimpleNamespace(name="line-scanner")),
        }
    )


class Eye:
    """A device that keeps whom it enrols, after the words and as the test lets it."""

    formats = frozenset({"eye"})
    liveness = "hardware"

    def __init__(self) -> None:
        self.words = ("look_here", "look_up", "score 0.93")
        self.trouble = ""
        self.may = asyncio.Event()
        self.users: list[str] = []
        self.given_up = 0

    def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
        user = json.loads(template).get("user")
        return FaceJudgement(user=user) if user else FaceJudgement("malformed", "a template without a user")

    async def verify_face(self, template: bytes, *, hint: Callable[[str], None], timeout_s: float) -> FaceResult:
        raise AssertionError("nobody is compared here")

    async def enrol_face(self, name: str, *, hint: Callable[[str], None], timeout_s: float) -> bytes:
        for word in self.words:
            hint(word)
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.trouble:
            raise DriverError(self.trouble)
        self.users.append(name)
        return json.dumps({"fmt": "eye", "user": name}).encode()

    async def forget_face(self, template: bytes) -> None:
        if self.trouble:
            raise DriverError(self.trouble)
        self.users.remove(json.loads(template)["user"])


class LightMachine:
    """Satisfies `vendingd.api.ports.Machine`."""

    def __init__(self, plan: Layout, store: Store) -> None:
        self.layout = plan
        self.site = LightSite()
        self.seams = SimpleNamespace(store=store)
        self.time = self
        self.sensing = SimpleNamespace(devices={})
        self.recovery = SimpleNamespace(waiting=frozenset())
        self.hands = NoHands()
        self.cloud: object = None
        self.online = False
        self.cloud_alarms: dict[str, str] = {}
        self.strangers: list[str] = []
        self.last_seq = 0
        self.failures: list[StoreError] = []
        self._watchers: list[Callable[[Sequence[Record]], None]] = []
        self.mailbox = Mailbox(
            layout=plan,
            store=store,
            clock=SystemClock(),
            now=self.now,
            performer=self.hands,
            on_published=self._published,
            on_committed=self._committed,
            on_failure=self._failed,
            on_turn=lambda: None,
            offline=lambda: True,
            fatal=self._fatal,
            linger_s=0.01,
        )
        self.eye = Eye()
        self.faces = FaceFactor(Sealer(b"k" * 32), {"front": self.eye}, timeout_s=5.0)
        self.desk = Desk(Terminals({}, {}, {}, {}, {}), Keys(KeyRing.of(())), self.mailbox, SystemClock(), self.now)

    def now(self) -> Now:
        return Now(time.monotonic(), T0, True, T0 - 1e6, "boot-1")

    async def journal_restored(self, why: str) -> str:
        epoch: str = await self.seams.store.new_epoch(why)
        self.mailbox.post(e.JournalRestored(epoch, why))
        return epoch

    def watch(self, watcher: Callable[[Sequence[Record]], None]) -> Callable[[], None]:
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @property
    def watched(self) -> int:
        return len(self._watchers)

    def changed(self) -> None:
        for watcher in tuple(self._watchers):
            watcher(())

    def _published(self, changes: Mapping[Key, Aggregate | None], records: Sequence[Record]) -> None:
        for watcher in tuple(self._watchers):
            watcher(records)

    def _committed(self, committed: Committed) -> None:
        self.last_seq = committed.last_seq

    def _failed(self, why: StoreError) -> None:
        self.failures.append(why)
        self.changed()

    def _fatal(self, why: BaseException) -> None:
        raise AssertionError("a defect") from why

    # ------------------------------------------------ a hand on it
    async def start(self, cars: Mapping[str, str]) -> None:
        """Sensors answer, bays recover, `cars` are stocked: bay -> asset."""
        loaded = await self.seams.store.open()
        self.mailbox.load(loaded)
        self.mailbox.serve()
        assets = tuple((f"car{n}", "car", (f"TAG{n}",), None) for n in range(1, 5))
        await self.mailbox.deliver(e.Deliver("c1", [e.PutAssets("dir", assets)]))
        self.mailbox.post(e.Restarted())
        for bay in self.layout.bays:
            asset = cars.get(bay)
            if asset is not None:
                new: dict[Key, Aggregate | None] = {("bay", bay): replace(self.bay(bay), asset=asset)}
                self.mailbox.head.apply(new)
                self.mailbox.world.apply(new)
            self.sense(bay, door=False, bolt=True, presence=asset is not None)
            tag = f"TAG{asset[-1]}" if asset is not None else None
            self.mailbox.level(f"{bay} tag", e.TagChanged(bay, tag))
            self.mailbox.drain()
            self.mailbox.post(e.Recover(bay))
            self.mailbox.drain()
        await self.mailbox.settle()

    def sense(self, bay: str, **levels: bool | None) -> None:
        for sense, value in levels.items():
            self.mailbox.level(f"{bay} {sense}", e.LevelChanged(bay, sense, value))

    def bay(self, key: str) -> Bay:
        found = self.mailbox.world.bay(key)
        assert found is not None
        return found

    def rental(self, key: str) -> Rental:
        found = self.mailbox.world.rental(key)
        assert found is not None
        return found

    async def book(self, rental: str = "r1", asset: str = "car1", pin: str | None = None) -> None:
        put = e.PutReservation(
            id=f"put-{rental}",
            version=1,
            rental=rental,
            window_from=T0 - 3600,
            window_to=T0 + 3600,
            due=T0 + 86400,
            holder="h-1",
            asset=asset,
            pin=pin,
        )
        step = await self.mailbox.deliver(e.Deliver("c2", [put]))
        assert [r.data.get("outcome") for r in step.records if r.kind == "instruction.outcome"] == ["accepted"]

    async def show(self, rental: str = "r1") -> Any:
        shown = e.PassPresented(
            terminal="front",
            rental=rental,
            issuer="cloud",
            audience="m1",
            exp=T0 + 3600,
            nbf=T0 - 3600,
            kid="k1",
        )
        return await self.mailbox.credential("front", shown, time.monotonic())

    async def incident(self) -> str:
        """A release under way that no sensor can judge: an incident holding rental r1 on bay-1."""
        await self.book()
        await self.show()
        bay = self.bay("bay-1")
        assert bay.grant is not None
        self.mailbox.post(e.UnlockOutcome("bay-1", bay.grant.id, "sent"))
        self.sense("bay-1", bolt=False)
        self.mailbox.drain()
        self.sense("bay-1", door=True)
        self.mailbox.drain()
        self.sense("bay-1", presence=None)
        self.mailbox.drain()
        self.sense("bay-1", door=False)
        await self.mailbox.settle()
        for name in ("settle", "identify"):
            due = next(d for d in self.bay("bay-1").deadlines if d.name == name)
            self.mailbox.post(e.DeadlineReached("bay", "bay-1", due.name, due.n))
            await self.mailbox.settle()
        (found,) = self.mailbox.world.of["incident"]
        return str(found)


def down(device: str, why: str = "unplugged") -> DeviceStatus:
    return DeviceStatus(device, False, why)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    machine: LightMachine
    path: Path
    server: ApiServer

    async def call(
        self, method: str, target: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, on a connection of its own."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(data)}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        return await self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def raw(self, data: bytes) -> Answer:
        async with self.connected() as (reader, writer):
            writer.write(data)
            return parsed(await reader.read())

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    return Answer(int(lines[0].split()[1]), headers, body)


async def served(
    folder: Path,
    *,
    store: Store | None = None,
    limits: Limits | None = None,
    doorkeeper: Doorkeeper | None = None,
    cars: Mapping[str, str] | None = None,
    bays: int = 3,
) -> Served:
    machine = LightMachine(layout(bays), store or MemoryStore(machine="m1"))
    await machine.start({"bay-1": "car1"} if cars is None else cars)
    path = folder / "api.sock"
    server = ApiServer(machine, path, limits=limits, doorkeeper=doorkeeper)
    await server.start()
    return Served(machine, path, server)
