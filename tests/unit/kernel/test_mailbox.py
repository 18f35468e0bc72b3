"""The mailbox: nothing moves before its commit, nothing is promised before its commit, nothing is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fsm import events as e
from fsm.effects import Effect, Unlock
from fsm.model import Now, RentalState
from fsm.step import Step
from tests.unit.fsm.machine import T0, layout
from vendingd.journal.api import Batch, Committed, StoreError, StoreErrorKind
from vendingd.journal.memory import Fault, MemoryDisk, MemoryStore
from vendingd.kernel.inbox import CLI_LIMIT, Busy
from vendingd.kernel.mailbox import LATE_S, LINGER_S, WIPE_EVERY_S, Mailbox, Unavailable


class HeldStore(MemoryStore):
    """Commits wait until they are let through: what happens meanwhile can be looked at."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        super().__init__(disk)
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[Batch] = []

    async def commit(self, batch: Batch) -> Committed:
        self.batches.append(batch)
        await self.gate.wait()
        return await super().commit(batch)


class LoopClock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead

    def utc_now(self) -> float:
        return T0

    async def sleep_until(self, deadline_mono: float) -> None:
        raise AssertionError("the mailbox never sleeps")


@dataclass
class Rig:
    store: HeldStore = field(default_factory=HeldStore)
    performed: list[Effect] = field(default_factory=list)
    foreseen: list[Effect] = field(default_factory=list)
    failures: list[StoreError] = field(default_factory=list)
    fatal: list[BaseException] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    too_late: list[Effect] = field(default_factory=list)
    turns: int = 0
    linger_s: float = LINGER_S
    told: list[e.Event] = field(default_factory=list)
    utc: float = T0

    def __post_init__(self) -> None:
        self.clock = LoopClock()
        self.mailbox = Mailbox(
            layout=layout(),
            store=self.store,
            clock=self.clock,
            now=lambda: Now(self.clock.monotonic(), self.utc, True, T0 - 1, "boot"),
            performer=self,
            on_published=self._published,
            on_committed=lambda committed: None,
            on_failure=self.failures.append,
            on_turn=self._turn,
            offline=lambda: True,
            fatal=self.fatal.append,
            linger_s=self.linger_s,
        )

    def _published(self, changes: Any, records: Sequence[Any]) -> None:
        self.published += [r.kind for r in records]

    def _turn(self) -> None:
        self.turns += 1

    # the performer
    def perform(self, effect: Effect, *, late: bool = False) -> None:
        (self.too_late if late else self.performed).append(effect)

    def foresee(self, effect: Effect) -> None:
        self.foreseen.append(effect)

    def journalled(self, event: e.Event) -> None:
        self.told = [t for t in self.told if t is not event]

    def tell_again(self) -> None:
        for event in self.told:
            self.mailbox.post(event)

    async def start(self) -> Rig:
        self.mailbox.load(await self.store.open())
        for bay in self.mailbox.world.layout.bays:
            self.sense(bay, door=False, bolt=True, presence=bay == "b1")
            self.mailbox.post(e.Recover(bay))
        self.mailbox.serve()
        await self.mailbox.deliver(
            e.Deliver("c1", [e.PutAssets("d", (("car1", "car", ("TAG1",), None),)), self.reservation()])
        )
        await self.mailbox.request(e.SetContents("b1", "car1", "eve", "stocking"))
        await self.settle()
        return self

    def sense(self, bay: str, **levels: bool) -> None:
        for sense, value in levels.items():
            self.mailbox.level(f"{bay} {sense}", e.LevelChanged(bay, sense, value))

    @staticmethod
    def reservation() -> e.PutReservation:
        return e.PutReservation(
            id="i1", version=1, rental="r1", window_from=T0 - 60, window_to=T0 + 3600, due=T0 + 7200, asset="car1"
        )

    def show(self, terminal: str = "front") -> asyncio.Future[Step]:
        shown = e.PassPresented(
            terminal=terminal, rental="r1", issuer="c", audience="m1", exp=T0 + 60, nbf=T0 - 60, kid="k"
        )
        return self.mailbox.credential(terminal, shown, self.clock.monotonic())

    async def settle(self) -> None:
        await turn()
        await self.mailbox.settle()


async def turn(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def test_nothing_moves_and_nobody_is_told_before_the_commit() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    rig.store.gate.clear()
    reply = rig.show()
    await turn()
    assert rig.performed == [] and not reply.done()
    assert rig.foreseen == [Unlock("b1", "b1.1")], "who keeps the wire free hears of it before the commit"
    world = rig.mailbox.world.rental("r1")
    assert world is not None and world.state is RentalState.READY, "screens still see what is durable"
    rig.store.gate.set()
    assert (await reply).refused is None
    assert rig.performed == [Unlock("b1", "b1.1")]
    authorised = [r.kind for r in rig.store.batches[-1].records]
    assert "bay.unlock_authorised" in authorised, "the authorisation was in the commit that the pulse waited for"


async def test_after_a_commit_that_took_too_long_nothing_moves() -> None:
    """Whoever showed the pass has gone by now; the bay would open for whoever stands there."""
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    rig.store.gate.clear()
    reply = rig.show()
    await turn()
    rig.clock.ahead += LATE_S + 1
    rig.store.gate.set()
    assert (await reply).refused is None
    assert rig.performed == [] and rig.too_late == [Unlock("b1", "b1.1")], "it is told, for its one outcome"


async def test_events_during_a_commit_share_the_next_one() -> None:
    rig = await Rig().start()
    rig.store.gate.clear()
    before = len(rig.store.batches)
    first = asyncio.ensure_future(rig.mailbox.request(e.SetAvailability("b1", False, "eve", "x")))
    await turn()
    rest = [
        asyncio.ensure_future(rig.mailbox.request(e.SetAvailability("b2", n % 2 == 0, "eve", "x"))) for n in range(20)
    ]
    await turn()
    rig.store.gate.set()
    await asyncio.gather(first, *rest)
    assert len(rig.store.batches) - before == 2
    assert len(rig.store.batches[-1].records) == 20


async def test_a_sensor_is_seen_at_once_and_rides_with_the_next_commit() -> None:
    rig = await Rig().start()
    before = len(rig.store.batches)
    rig.mailbox.level("b1 bolt", e.LevelChanged("b1", "bolt", False))
    rig.mailbox.post(e.DeviceChanged("scanner", False, "unplugged"))
    await turn()
    assert rig.mailbox.world.sensed("b1").bolt is False
    assert "device.down" in rig.published and len(rig.store.batches) == before
    await rig.mailbox.request(e.SetAvailability("b2", False, "eve", "x"))
    assert [r.kind for r in rig.store.batches[-1].records] == ["device.down", "bay.out_of_service"]


async def test_what_a_commit_soon_follows_waits_for_it_longer_than_other_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vendingd.kernel.mailbox.ROUTINE_LINGER_S", 3600.0)
    monkeypatch.setattr("vendingd.kernel.mailbox.ROUTINE", frozenset({"rental.ready"}))
    rig = await Rig(linger_s=0.02).start()
    before = len(rig.store.batches)
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await turn()
    assert rig.published[-1] == "rental.ready"
    await asyncio.sleep(0.1)
    assert len(rig.store.batches) == before, "alone it makes no commit yet"
    rig.mailbox.post(e.DeviceChanged("scanner", False, "unplugged"))
    async with asyncio.timeout(10):
        while len(rig.store.batches) == before:
            await asyncio.sleep(0.005)
    assert [r.kind for r in rig.store.batches[-1].records] == ["rental.ready", "device.down"]


async def test_a_failed_commit_undoes_everything_pending() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    rig.store.fault = Fault(StoreErrorKind.FULL)
    reply = rig.show()
    with pytest.raises(Unavailable):
        await reply
    assert rig.performed == [] and [f.kind for f in rig.failures] == [StoreErrorKind.FULL]
    with pytest.raises(Unavailable, match="full"):
        await rig.mailbox.request(e.SetAvailability("b1", False, "eve", "x"))
    rig.store.fault = None
    rig.mailbox.reopened(await rig.store.open())
    rental = rig.mailbox.head.rental("r1")
    assert rental is not None and rental.state is RentalState.READY
    assert rig.mailbox.head.bay("b1").grant is None  # type: ignore[union-attr]


async def test_outcomes_that_could_not_be_journalled_are_told_again() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    await rig.show()
    outcome = e.UnlockOutcome("b1", "b1.1", "not_sent", "unplugged")
    rig.told.append(outcome)
    rig.store.fault = Fault(StoreErrorKind.IO)
    rig.mailbox.post(outcome)
    await turn(20)
    assert rig.failures and rig.told == [outcome]
    rig.store.fault = None
    rig.mailbox.reopened(await rig.store.open())
    rig.mailbox.serve()
    await rig.settle()
    assert rig.told == []
    rental = rig.mailbox.world.rental("r1")
    assert rental is not None and rental.state is RentalState.READY


async def test_a_flood_of_requests_is_refused_and_sensors_are_not() -> None:
    rig = await Rig().start()
    asked = [
        asyncio.ensure_future(rig.mailbox.request(e.SetAvailability("b1", True, "eve", "x")))
        for _ in range(CLI_LIMIT + 8)
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(r, Busy) for r in results) == 8
    assert sum(isinstance(r, Step) for r in results) == CLI_LIMIT


async def test_the_newest_credential_of_a_terminal_counts_and_an_old_one_does_not() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    displaced, newest = rig.show(), rig.show()
    assert (await newest).refused is None
    with pytest.raises(Busy):
        await displaced
    late = rig.show("side")
    rig.clock.ahead = 60.0
    with pytest.raises(Busy, match="again"):
        await late
    assert len(rig.performed) == 1


async def test_a_tick_completes_a_turn_without_a_commit() -> None:
    rig = await Rig().start()
    before = len(rig.store.batches)
    rig.mailbox.post(e.Tick())
    await turn()
    assert rig.turns == 1 and len(rig.store.batches) == before


async def test_a_start_is_durable_before_anything_else_is() -> None:
    rig = Rig(linger_s=3600.0)
    rig.mailbox.load(await rig.store.open())
    rig.mailbox.serve()
    await turn()
    assert [r.kind for batch in rig.store.batches for r in batch.records] == ["machine.started"]


async def test_a_clock_that_was_ahead_leaves_no_floor_in_the_journal() -> None:
    rig = await Rig().start()
    rig.utc = T0 + 365 * 86400
    await rig.mailbox.request(e.SetAvailability("b2", False, "eve", "x"))
    rig.utc = T0 + 10
    for _ in range(2):
        rig.mailbox.post(e.Tick())
        await rig.settle()
    kinds = [r.kind for batch in rig.store.batches for r in batch.records]
    assert kinds.count("machine.clock_corrected") == 1, "and it is said once"
    loaded = await MemoryStore(rig.store.disk).open()
    assert loaded.floor_utc == T0 + 10


async def test_a_clock_that_is_a_little_late_is_none_that_was_ahead() -> None:
    rig = await Rig().start()
    rig.utc = T0 - 50
    rig.mailbox.post(e.Tick())
    await rig.settle()
    assert "machine.clock_corrected" not in [r.kind for batch in rig.store.batches for r in batch.records]


async def test_a_defect_is_fatal() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.LevelChanged("nowhere", "door", True))
    await turn()
    assert [type(why) for why in rig.fatal] == [AttributeError]


async def test_what_is_stored_is_what_was_published() -> None:
    rig = await Rig().start()
    rig.mailbox.post(e.DeadlineReached("rental", "r1", "window_open", 1))
    await rig.settle()
    await rig.show()
    await rig.settle()
    again = Rig(store=HeldStore(rig.store.disk))
    again.mailbox.load(await again.store.open())
    for kind in ("rental", "bay", "asset", "machine", "done"):
        assert again.mailbox.world.of[kind] == rig.mailbox.world.of[kind], kind


async def test_while_the_journal_is_away_the_watchdog_is_fed_and_nothing_piles_up() -> None:
    rig = await Rig().start()
    rig.mailbox.suspend("journal full")
    for _ in range(5):
        rig.mailbox.post(e.Tick())
        await turn()
    assert rig.turns == 5 and len(rig.mailbox.inbox) == 0


async def test_what_somebody_wants_erased_is_wiped_from_the_disk() -> None:
    rig = await Rig().start()
    assert not any(batch.wipe for batch in rig.store.batches)
    await rig.mailbox.request(e.ForgetRental("r2", "eve", "asked", True))
    await rig.mailbox.deliver(e.Deliver("c2", [replace(rig.reservation(), id="i2", version=2, holder="h-7")]))
    assert not rig.store.batches[-1].wipe
    await rig.mailbox.request(e.ForgetRental("r1", "eve", "asked", True))
    assert rig.store.batches[-1].wipe and "rental.forgotten" in {r.kind for r in rig.store.batches[-1].records}
    rig.mailbox.post(e.DeviceChanged("locks", False, "unplugged"))
    await rig.settle()
    assert not rig.store.batches[-1].wipe


async def test_what_rentals_leave_behind_is_wiped_once_a_day() -> None:
    rig = await Rig().start()
    wiped: list[bool] = []
    for n, later_s in enumerate((3600.0, WIPE_EVERY_S, 3600.0)):
        rig.clock.ahead += later_s
        put = replace(rig.reservation(), id=f"p{n}", rental=f"q{n}", asset=None, asset_class="car")
        await rig.mailbox.deliver(e.Deliver(f"d{n}", [put]))
        await rig.mailbox.deliver(e.Deliver(f"d{n}b", [e.CancelReservation(f"k{n}", f"q{n}", 2)]))
        before = len(rig.store.batches)
        rig.mailbox.post(e.Acknowledged((f"q{n}",)))
        await rig.settle()
        assert rig.mailbox.world.rental(f"q{n}") is None
        wiped.append(any(batch.wipe for batch in rig.store.batches[before:]))
    assert wiped == [False, True, False]
