"""The indexes say what a search through every row would say, and save that search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fsm import choose
from fsm import events as e
from fsm.indexes import may_take, stirs
from fsm.model import FINAL, PENDING, Bay, BaySpec, Layout, Occupancy, Rental, RentalState, Sensed
from fsm.step import Step, step
from fsm.world import Turn, World
from tests.unit.fsm.machine import Bench, bench

CARS = {"b1": "car1", "b2": "car2"}


def searched(world: World) -> dict[str, Any]:
    """Every index as a search through the rows finds it."""
    rentals, bays = list(world.of["rental"].values()), list(world.of["bay"].values())
    held: dict[str, set[str]] = {}
    pending: dict[str, set[str]] = {}
    for rental in rentals:
        for asset in {rental.named, rental.asset} - {None}:
            if rental.state not in FINAL:
                held.setdefault(asset, set()).add(rental.id)
            if rental.state in PENDING:
                pending.setdefault(asset, set()).add(rental.id)
    with_class: dict[str, set[str]] = {}
    for bay in bays:
        if bay.asset in world.of["asset"]:
            with_class.setdefault(world.of["asset"][bay.asset].asset_class, set()).add(bay.id)
    return {
        "rentals_of_asset": held,
        "holders": pending,
        "bay_of_asset": {bay.asset: bay.id for bay in bays if bay.asset is not None},
        "bays_with": with_class,
        "loose": {bay.id for bay in bays if bay.asset is not None and bay.asset not in pending},
        "stirring": {bay.id for bay in bays if stirs(bay, world.sensed(bay.id))},
        "unservable": {r.id for r in rentals if r.unservable is not None and r.state in PENDING},
        "free": {bay.id for bay in bays if may_take(bay)},
    }


def indexed(world: World) -> dict[str, Any]:
    found = {name: getattr(world, name) for name in searched(world)}
    found["bays_with"] = {key: members for key, members in world.bays_with.items() if members}
    return found


class Checked(Bench):
    """Compares after each event."""

    def tell(self, event: e.Event) -> Step:
        told = super().tell(event)
        assert indexed(self.world) == searched(self.world), event
        return told


def checked(**site: Any) -> Checked:
    return Checked(bench(**site).layout).start(CARS)  # type: ignore[return-value]


def a_pick_up_and_a_return(m: Bench) -> None:
    m.book("r1", None)
    m.pick_up()
    m.bring_back()


def a_named_one_that_is_cancelled_late(m: Bench) -> None:
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.deliver(e.CancelReservation("x", "r1", 2))
    m.close("b1")


def a_car_that_changes_its_class(m: Bench) -> None:
    m.book()
    m.deliver(e.PutAssets("a", (("car1", "van", ("TAG1",), None),)))
    m.book("r2", "car2")


def a_car_set_into_another_bay(m: Bench) -> None:
    m.tell(e.TechnicianUnlock("b1", "eve", "moving"))
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.tell(e.SetContents("b1", None, "eve", "moved"))
    m.book()


def a_power_cut(m: Bench) -> None:
    m.book()
    m.show()
    m.crash()
    m.recover("b1", **m.closed_with("car1"))


@pytest.mark.parametrize(
    "story",
    [
        a_pick_up_and_a_return,
        a_named_one_that_is_cancelled_late,
        a_car_that_changes_its_class,
        a_car_set_into_another_bay,
        a_power_cut,
    ],
)
def test_indexes_are_what_a_search_finds(story: Callable[[Bench], None]) -> None:
    story(checked())


# ---------------------------------------------------------------- why a class is not to be had
def held_vans(bays: int) -> World:
    """So many bays with a van in each, every one named by somebody's rental."""
    names = [f"b{n}" for n in range(bays)]
    made = Bench(
        Layout(
            "m1",
            "west",
            {b: BaySpec(id=b, fits=frozenset({"van"}), bolt=True, presence=True) for b in names},
            bench().layout.terminals,
        )
    )
    made.deliver(e.PutAssets("dir", tuple((f"van{n}", "van", (), None) for n in range(bays))))
    for n, name in enumerate(names):
        bay = Bay(id=name, asset=f"van{n}", occupancy=Occupancy.OCCUPIED)
        sensed = Sensed(door=False, bolt=True, presence=True, recovered=True)
        held = Rental(id=f"h{n}", state=RentalState.BOOKED, named=f"van{n}")
        made.world.apply({("bay", name): bay, ("sensed", name): sensed, ("rental", held.id): held})
    return made.world


def a_pass(m: Bench) -> e.PassPresented:
    return e.PassPresented("front", "new", "cloud", "m1", m.utc + 60, m.utc - 60, "k1", asset_class="van")


def test_nobody_looks_at_each_of_many_held_bays_for_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    world, m = held_vans(100), bench()
    asked: list[str] = []
    known = choose.unusable

    def unusable(bay: Bay, turn: Turn, rental: str) -> str | None:
        asked.append(bay.id)
        return known(bay, turn, rental)

    monkeypatch.setattr(choose, "unusable", unusable)
    assert step(world, a_pass(m), m.now).refused == "none_available"
    assert asked == []
    busy = world.bay("b7")
    assert busy is not None
    world.apply({("bay", "b7"): replace(busy, occupancy=Occupancy.UNKNOWN)})
    assert step(world, a_pass(m), m.now).refused == "settling"
    assert asked == ["b7"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "sensed", "recovered": False}, "settling"),
        ({"kind": "bay", "occupancy": Occupancy.UNKNOWN}, "settling"),
        ({"kind": "bay", "in_service": False}, "none_available"),
        ({"kind": "bay", "in_service": False, "occupancy": Occupancy.UNKNOWN}, "none_available"),
    ],
    ids=str,
)
def test_what_may_soon_be_had_is_told_also_within_one_turn(change: dict[str, Any], word: str) -> None:
    world, m = held_vans(3), bench()
    kind = change.pop("kind")
    turn = Turn(world, m.now)
    turn.put(replace(turn.get(kind, "b1"), **change), "b1")  # type: ignore[type-var, arg-type]
    wanted = Rental(id="new", state=RentalState.READY, asset_class="van")
    with pytest.raises(choose.Refused) as refused:
        choose.pick(turn, wanted)
    assert refused.value.reason == word


def test_what_a_rental_lets_go_in_a_turn_is_loose_in_it() -> None:
    world, m = held_vans(3), bench()
    turn = Turn(world, m.now)
    wanted = Rental(id="new", state=RentalState.READY, asset_class="van")
    held = turn.rental("h1")
    assert held is not None
    turn.put(replace(held, state=RentalState.CANCELLED))
    assert choose.pick(turn, wanted) == ("b1", "van1")
    turn.put(replace(held, state=RentalState.READY))
    with pytest.raises(choose.Refused):
        choose.pick(turn, wanted)
