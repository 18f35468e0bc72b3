"""A machine that lives long or often: real rules, timers, outbox and journal in simulated time; sensors by hand.

Each `Life` is one life of the process on a journal. It must run on a virtual loop; the journal's calls run at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fsm import events as e
from fsm.effects import CheckPin, Effect, Unlock
from fsm.model import Aggregate, Bay, BaySpec, Layout, Now, Rental, RentalState, TerminalSpec
from fsm.policy import Policy
from fsm.world import Key, Record
from tests.unit.virtual import LoopClock
from vendingd.anchors import Anchors
from vendingd.bridge import Bridge
from vendingd.identity.face import FaceFactor
from vendingd.identity.keys import KeyRing
from vendingd.identity.pin import PinFactor
from vendingd.identity.seal import Sealer
from vendingd.journal.api import Committed, Store, StoreError
from vendingd.journal.head import load_states
from vendingd.journal.store import Journal
from vendingd.journal.writer import Writer
from vendingd.kernel.mailbox import Mailbox
from vendingd.kernel.timers import Timers

T = TypeVar("T")
T0 = 1_800_000_000.0
HOUR = 3600.0
MACHINE = "m1"


class AtOnce:
    """Runs the journal's calls where they are made: simulated time waits for no thread."""

    def __init__(self, name: str, when_idle: Callable[[], None] = lambda: None, /) -> None:
        self._when_idle = when_idle

    async def call(self, fn: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        try:
            return fn()
        finally:
            self._when_idle()

    async def stop(self, last: Callable[[], None]) -> None:
        last()


def journal(path: Path, boot: str) -> Journal:
    return Journal(path, machine=MACHINE, boot_id=boot, token=os.urandom, calls=AtOnce)


def layout(bays: int = 3) -> Layout:
    specs = [
        BaySpec(id=f"bay-{n}", fits=frozenset({"car"}), bolt=True, presence=True, tag=True) for n in range(1, bays + 1)
    ]
    return Layout(
        machine=MACHINE,
        site="west",
        bays={spec.id: spec for spec in specs},
        terminals={"front": TerminalSpec(id="front")},
        policy=Policy({"*": (frozenset({"pass"}),)}),
    )


class Life:
    """`inside`: what is physically in the bays, shared by all lives of a machine; `pin_is`: what a PIN's check says."""

    def __init__(self, store: Store, inside: dict[str, str], *, boot: str = "boot-1", began_utc: float = T0) -> None:
        self.store = store
        self.inside = inside
        self.open_doors: set[str] = set()
        self.boot = boot
        self.began_utc = began_utc
        self.effects: list[Effect] = []
        self.pin_is = False
        self.layout = layout()
        clock = LoopClock()
        self.mailbox = Mailbox(
            layout=self.layout,
            store=store,
            clock=clock,
            now=self.now,
            performer=self,
            on_published=self._published,
            on_committed=self._committed,
            on_failure=self._failed,
            on_turn=lambda: None,
            offline=lambda: True,
            fatal=self._fatal,
        )
        self.timers = Timers(clock, self.now, self.mailbox.post)
        anchors = Anchors(
            machine=MACHINE,
            store=store,
            keys=lambda: KeyRing.of(()),
            now=self.now,
            keep_days=400,
            spawn=lambda coro, name: asyncio.ensure_future(coro),
            on_failure=self._failed,
        )
        pins = PinFactor(Sealer(b"k" * 32), workers=None)  # type: ignore[arg-type]
        faces = FaceFactor(Sealer(b"k" * 32), {}, timeout_s=1.0)
        self.bridge = Bridge(mailbox=self.mailbox, store=store, clock=clock, pins=pins, faces=faces, anchors=anchors)
        self.last_seq = 0

    def now(self) -> Now:
        mono = asyncio.get_running_loop().time()
        return Now(mono, self.began_utc + mono, True, self.began_utc - 1e6, self.boot)

    # ------------------------------------------------ for the mailbox
    def _published(self, changes: Mapping[Key, Aggregate | None], records: Sequence[Record]) -> None:
        self.timers.changed(changes)
        self.bridge.published(changes)

    def _committed(self, committed: Committed) -> None:
        self.last_seq = max(self.last_seq, committed.last_seq)
        self.bridge.committed(committed)

    def _failed(self, why: StoreError) -> None:
        raise AssertionError("the journal failed") from why

    def _fatal(self, why: BaseException) -> None:
        raise AssertionError("a defect") from why

    def perform(self, effect: Effect, *, late: bool = False) -> None:
        self.effects.append(effect)
        if isinstance(effect, Unlock):
            self.mailbox.post(e.UnlockOutcome(effect.bay, effect.grant, "sent"))
        elif isinstance(effect, CheckPin):
            self.mailbox.post(e.PinChecked(effect.terminal, effect.visit, effect.rental, self.pin_is))

    def foresee(self, effect: Effect) -> None:
        """No wire has to be kept free."""

    def journalled(self, event: e.Event) -> None:
        """Nothing is retold."""

    def tell_again(self) -> None:
        """Nothing is retold."""

    # ------------------------------------------------ life
    async def start(self) -> Life:
        """As the composition root does it: load, sense everything, recover."""
        loaded = await self.store.open()
        self.last_seq = loaded.next_seq - 1
        assert self.mailbox.load(loaded) == []
        self.bridge.load(self.mailbox.world, self.last_seq, loaded.epochs)
        self.timers.load(self.mailbox.world)
        self.mailbox.serve()
        for bay in self.layout.bays:
            self.look(bay)
        await self.rest(1.0)
        for bay in self.layout.bays:
            self.mailbox.post(e.Recover(bay))
        await self.rest(10.0)
        return self

    async def stop(self, *, in_order: bool = True) -> None:
        """Without order: as if killed, what lingers is lost."""
        self.timers.stop()
        if in_order:
            await self.mailbox.settle()
        elif self.mailbox._linger is not None:
            self.mailbox._linger.cancel()
        await self.store.close()

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def look(self, bay: str) -> None:
        """All that the sensors of this bay say."""
        door, asset = bay in self.open_doors, self.inside.get(bay)
        for name, value in (("door", door), ("bolt", not door), ("presence", asset is not None)):
            self.mailbox.level(f"{bay} {name}", e.LevelChanged(bay, name, value))
        tag = f"TAG-{asset}" if asset is not None else None
        self.mailbox.level(f"{bay} tag", e.TagChanged(bay, tag))

    # ------------------------------------------------ people and the cloud
    async def stock(self, cars: Mapping[str, str]) -> None:
        """bay -> asset, the rest is empty."""
        assets = tuple((asset, "car", (f"TAG-{asset}",), None) for asset in cars.values())
        await self.tell(e.PutAssets("directory", assets))
        self.inside |= cars
        for bay in self.layout.bays:
            self.look(bay)
        await self.rest(10.0)
        for bay in self.layout.bays:
            step = await self.mailbox.request(e.SetContents(bay, cars.get(bay), "tess", "stocking"))
            assert step.refused is None, (bay, step.refused, step.detail)
        await self.rest(5.0)

    async def tell(self, one: e.Instruction) -> None:
        step = await self.mailbox.deliver(e.Deliver(f"after {one.id}", [one]))
        said = [r.data for r in step.records if r.kind == "instruction.outcome"]
        assert [x["outcome"] for x in said] == ["accepted"], said

    async def book(self, rental: str, asset: str, **more: Any) -> None:
        now = self.now().utc
        window = {"window_from": now - 60, "window_to": now + HOUR, "due": now + 2 * HOUR}
        await self.tell(e.PutReservation(id=f"put {rental}", version=1, rental=rental, asset=asset, **window | more))
        await self.rest(1.0)

    async def show(self, rental: str) -> Any:
        now = self.now().utc
        one = e.PassPresented("front", rental, "cloud", MACHINE, now + HOUR, now - HOUR, "k1")
        return await self.mailbox.credential("front", one, asyncio.get_running_loop().time())

    async def door(self, bay: str, *, is_open: bool, asset: str | None) -> None:
        """A hand moves it, and this is inside then."""
        self.inside.pop(bay, None)
        if asset is not None:
            self.inside[bay] = asset
        (self.open_doors.add if is_open else self.open_doors.discard)(bay)
        self.look(bay)
        await self.rest(3.0)

    async def visit(self, rental: str, bay: str | None, asset: str, *, bring: bool) -> str:
        """Show the pass, and take the asset out of the bay that opens, or put it there; which bay it was."""
        before = len(self.effects)
        step = await self.show(rental)
        assert step.refused is None, (rental, step.refused, step.detail)
        (unlock,) = [one for one in self.effects[before:] if isinstance(one, Unlock)]
        assert bay in (None, unlock.bay)
        await self.door(unlock.bay, is_open=True, asset=None if bring else asset)
        await self.door(unlock.bay, is_open=False, asset=asset if bring else None)
        await self.rest(20.0)
        wanted = RentalState.RETURNED if bring else RentalState.ON_TRIP
        assert self.rental(rental).state is wanted, self.rental(rental)
        return str(unlock.bay)

    async def acknowledge(self) -> None:
        """The cloud has taken everything that there is."""
        await self.mailbox.settle()
        await self.bridge.acked(self.last_seq, [])
        await self.mailbox.settle()

    def rental(self, key: str) -> Rental:
        found = self.mailbox.world.rental(key)
        assert found is not None, key
        return found

    def bay(self, key: str) -> Bay:
        found = self.mailbox.world.bay(key)
        assert found is not None, key
        return found


def steps_to_load(path: Path, machine: str) -> int:
    """What a start costs, counted in steps of SQLite's machine, not in seconds."""
    writer = Writer(path, machine, "b", os.urandom, lambda label: None)
    writer.open()
    assert writer._db is not None
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    writer._db.set_progress_handler(tick, 1)
    writer._load(writer._db, load_states(writer._db, path))
    writer._db.set_progress_handler(None, 1)
    writer.close()
    return count
