"""Deadlines fire once, in order, only while they hold; those of the calendar only while time is trusted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fsm.events import DeadlineReached, Event
from fsm.model import Now, Rental, RentalState, Visit, arm, disarm
from tests.unit.virtual import LoopClock, simulate
from vendingd.kernel.timers import LOOK_S, Timers

T0 = 1_700_000_000.0


@dataclass
class Rig:
    trusted: bool = True
    shift: float = 0.0
    fired: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = LoopClock()
        self.timers = Timers(self.clock, self.now, self._post)

    def now(self) -> Now:
        mono = self.clock.monotonic()
        return Now(mono, T0 + mono + self.shift, self.trusted, T0, "boot")

    def _post(self, event: Event) -> None:
        assert isinstance(event, DeadlineReached)
        self.fired.append((event.name, round(self.clock.monotonic(), 3)))

    def put(self, agg: Rental | Visit) -> None:
        kind = "rental" if isinstance(agg, Rental) else "visit"
        self.timers.changed({(kind, agg.id): agg})


def rental() -> Rental:
    return Rental(id="r1", state=RentalState.READY)


def test_in_order_each_once() -> None:
    async def story() -> list[tuple[str, float]]:
        rig = Rig()
        rig.put(arm(arm(rental(), "claim", 20.0, "mono", "boot"), "due", T0 + 10.0, "utc"))
        await asyncio.sleep(100)
        return rig.fired

    assert simulate(story()) == [("due", 10.0), ("claim", 20.0)]


def test_what_was_disarmed_or_armed_anew_does_not_fire() -> None:
    async def story() -> list[tuple[str, float]]:
        rig = Rig()
        first = arm(arm(rental(), "claim", 20.0, "mono", "boot"), "reopen", 30.0, "mono", "boot")
        rig.put(first)
        rig.put(arm(disarm(first, "reopen"), "claim", 50.0, "mono", "boot"))
        await asyncio.sleep(100)
        return rig.fired

    assert simulate(story()) == [("claim", 50.0)]


def test_deadlines_of_another_boot_are_left_to_recovery() -> None:
    async def story() -> list[tuple[str, float]]:
        rig = Rig()
        rig.put(arm(rental(), "claim", 20.0, "mono", "the boot before"))
        await asyncio.sleep(100)
        return rig.fired

    assert simulate(story()) == []


def test_the_calendar_waits_for_trust() -> None:
    async def story() -> list[tuple[str, float]]:
        rig = Rig(trusted=False)
        rig.put(arm(rental(), "window_close", T0 + 5.0, "utc"))
        await asyncio.sleep(500)
        assert rig.fired == []
        rig.trusted = True
        await asyncio.sleep(LOOK_S + 1)
        return rig.fired

    (fired,) = simulate(story())
    assert fired[0] == "window_close" and fired[1] >= 500


def test_a_clock_that_is_set_forward_is_noticed() -> None:
    async def story() -> list[tuple[str, float]]:
        rig = Rig()
        rig.put(arm(rental(), "due", T0 + 86400.0, "utc"))
        await asyncio.sleep(10)
        rig.shift = 86400.0
        await asyncio.sleep(LOOK_S + 1)
        return rig.fired

    (fired,) = simulate(story())
    assert fired[0] == "due" and fired[1] <= 10 + LOOK_S


def test_nothing_to_wait_for_means_no_timer() -> None:
    async def story() -> bool:
        rig = Rig()
        rig.put(arm(rental(), "claim", 20.0, "mono", "boot"))
        rig.put(rental())
        return rig.timers._handle is None

    assert simulate(story()) is True


def test_what_has_fired_is_forgotten() -> None:
    """A machine of years has had many rentals."""

    async def story() -> Rig:
        rig = Rig()
        for n in range(3):
            one = arm(Rental(id=f"r{n}", state=RentalState.READY), "claim", 20.0, "mono", "boot")
            rig.put(one)
            await asyncio.sleep(100)
            rig.put(disarm(one, "claim"))
        return rig

    rig = simulate(story())
    assert len(rig.fired) == 3 and rig.timers._known == {}
