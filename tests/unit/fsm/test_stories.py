"""The domain's stories: what a person, a door and the cloud do, and what becomes of rental and bay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.effects import Unlock
from fsm.model import Alarm, BayState, RentalState, VisitState
from tests.unit.fsm.machine import HOUR, bench, layout


def test_pick_up_and_return() -> None:
    m = bench()
    m.book()
    assert m.rental().state is RentalState.READY
    shown = m.show()
    assert shown.refused is None and shown.urgent
    assert [type(f) for f in shown.effects] == [Unlock]
    assert m.rental().state is RentalState.RELEASING and m.visit().state is VisitState.SERVING
    m.sent("b1")
    m.open("b1")
    assert m.bay().state is BayState.OPEN
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().asset == "car1"
    assert m.bay().asset is None and m.visit().state is VisitState.FAREWELL
    m.wait(48 * HOUR)
    assert m.show().refused is None, "the pass starts a return"
    assert m.rental().state is RentalState.RETURNING
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED and m.bay().asset == "car1"
    assert m.unlocks() == ["b1", "b1"]


def test_door_never_opened_leaves_the_pass_usable() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.sense("b1", bolt=False)
    m.sense("b1", bolt=True)
    m.wait(20)
    assert m.rental().state is RentalState.READY and m.bay().grant is None
    assert Alarm.JAMMED not in m.bay().alarms
    assert m.show().refused is None


def test_not_taken_four_times_is_an_incident() -> None:
    m = bench()
    m.book()
    for opening in range(4):
        assert m.show().refused is None, opening
        m.sent("b1")
        m.open("b1")
        m.close("b1")
        m.wait(30)
    assert m.rental().state is RentalState.INCIDENT
    m.show()
    assert m.unlocks()[4:] == ["b2"], "from an incident a pass opens an empty bay, never the asset's"
    m.sent("b2")
    m.open("b2")
    m.close("b2")
    incident = next(iter(m.world.of["incident"]))
    assert m.tell(e.ResolveIncident(incident, "ready", "eve", "talked to them")).refused is None
    assert m.rental().state is RentalState.READY


def test_door_held_open_settles_only_taken() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.wait(130)
    assert Alarm.HELD_OPEN in m.bay().alarms and m.rental().state is RentalState.RELEASING
    m.sense("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP and m.bay().state is BayState.OPEN
    m.close("b1")
    assert m.bay().state is BayState.SECURED and not m.bay().alarms


def test_forced_open_and_the_asset_gone() -> None:
    m = bench()
    m.open("b1")
    assert Alarm.FORCED_OPEN in m.bay().alarms
    m.close("b1", presence=False, tag=None)
    assert [i.kind for i in m.world.of["incident"].values()] == ["asset_missing"]
    assert m.bay().asset is None


def test_stuck_bolt_offers_another_bay_of_the_class() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"})
    m.book(asset=None)
    m.show()
    m.sent("b1")
    m.wait(16)
    assert Alarm.JAMMED in m.bay("b1").alarms
    assert m.visit().state is VisitState.CHOOSING and m.visit().bay == "b2", "which bay is offered is said"
    assert m.tell(e.Confirmed("front")).refused is None
    assert m.unlocks() == ["b1", "b2"]
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().asset == "car2"


def test_late_opening_still_belongs_to_its_rental() -> None:
    m = bench(bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(20)
    assert m.rental().state is RentalState.READY and m.bay().grant is not None
    m.open("b1")
    assert m.rental().state is RentalState.RELEASING and not m.bay().alarms
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP


def test_cancellation_waits_for_a_lapsed_grant() -> None:
    m = bench(bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(20)
    m.deliver(e.CancelReservation("ic", "r1", 2))
    assert m.rental().state is RentalState.READY and "ic" not in m.world.of["done"]
    assert m.show().refused == "cancelled"
    m.wait(60)
    assert m.rental().state is RentalState.CANCELLED and m.outcome("ic") == ("accepted", "")


def test_cancellation_during_release_is_refused_once_taken() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.deliver(e.CancelReservation("ic", "r1", 2))
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP
    assert m.outcome("ic") == ("refused", "already_released")


def test_pin_locks_out_after_five_tries() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    assert m.show().refused is None and m.visit().wants == "pin"
    for _ in range(5):
        m.tell(e.PinEntered("front", "0000"))
        m.check_pin(ok=False)
    assert m.rental().locked_out and m.rental().state is RentalState.READY
    assert m.show().refused == "locked_out"
    assert m.unlocks() == []
    m.tell(e.ResetAttempts("r1", "eve", "called"))
    assert m.show().refused is None
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]


def test_wrong_asset_in_the_return_bay() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"})
    m.book("r1", "car1")
    m.book("r2", "car2")
    m.pick_up("r1", "b1")
    m.pick_up("r2", "b2")
    assert m.show("r1").refused is None
    bay = m.rental("r1").bay or ""
    m.sent(bay)
    m.open(bay)
    m.close(bay, presence=True, tag="TAG2")
    assert m.rental("r2").state is RentalState.RETURNED and m.rental("r1").state is RentalState.ON_TRIP
    assert m.bay(bay).asset == "car2"


def test_unknown_asset_quarantines_the_bay() -> None:
    m = bench()
    m.book()
    m.pick_up()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    assert m.rental().state is RentalState.INCIDENT and m.bay().quarantined
    assert m.show().refused is None, "bringing it back is always possible"
    assert m.rental().state is RentalState.INCIDENT
    assert m.unlocks()[-1] != "b1"


def test_reopening_within_five_minutes() -> None:
    m = bench()
    m.book()
    m.pick_up()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental().state is RentalState.RETURNED
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    m.wait(301)
    assert m.show().refused == "spent"


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"nbf": 1.8e9}, "too_early"),
        ({"exp": 1.6e9}, "too_late"),
        ({"audience": "m2"}, "other_machine"),
        ({"audience": "site:west", "asset": "car9"}, "asset_not_here"),
        ({"key_retired": True}, "key_retired"),
    ],
)
def test_pass_never_heard_of(over: dict[str, Any], reason: str | None) -> None:
    m = bench()
    shown = m.show("new", **({"asset": "car1"} | over))
    assert shown.refused == reason


def test_revoked_pass() -> None:
    m = bench()
    m.book()
    m.deliver(e.RevokePasses("rv", ("r1",), m.utc + HOUR))
    assert m.show().refused == "revoked"


def test_two_terminals_one_pass() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    assert m.show(terminal="side").refused == "in_use"
    assert m.rental().terminal == "front"


def test_stale_remote_unlock() -> None:
    m = bench()
    m.deliver(e.CloudUnlock("u1", "b1", "help", 3600.0), e.CloudUnlock("u2", "b1", "help", None))
    assert m.outcome("u1")[0] == m.outcome("u2")[0] == "stale" and m.unlocks() == []
    m.deliver(e.CloudUnlock("u3", "b1", "help", 1.0))
    assert m.outcome("u3") == ("accepted", "") and m.unlocks() == ["b1"]


def test_a_silent_estop_stops_the_machine_and_latches_nothing() -> None:
    m = bench(make=lambda: replace(layout(), estop=True))
    m.book()
    assert m.show().refused == "estop", "nobody has read it yet"
    m.tell(e.EstopChanged(False))
    m.tell(e.EstopChanged(None))
    assert m.show().refused == "estop" and not m.world.machine.estop
    m.tell(e.EstopChanged(False))
    assert m.show().refused is None


def test_a_pass_is_refused_by_the_same_word_after_its_rental_has_left_the_memory() -> None:
    m = bench()
    m.book()
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert m.show().refused == "cancelled"
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is None and m.show().refused == "cancelled"


def test_a_lapsed_grant_lives_while_its_door_cannot_be_seen() -> None:
    m = bench(bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(20)
    m.sense("b1", door=None)
    m.wait(200)
    assert m.bay().grant is not None
    m.sense("b1", door=True)
    assert m.rental().state is RentalState.RELEASING and not m.bay().alarms
