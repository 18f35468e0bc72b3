"""Stories of bays: doors, bolts, gates, sensors that contradict, burglars, technicians."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import effects
from fsm import events as e
from fsm.model import Alarm, BayState, Occupancy, RentalState
from tests.unit.fsm.machine import Bench, bench

CARS = {"b1": "car1", "b2": "car2"}


# ---------------------------------------------------------------- open too long
def test_a_door_left_open_is_warned_about_then_alarmed_then_held() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.wait(59)
    assert "bay.open_warning" not in m.kinds()
    m.wait(2)
    assert "bay.open_warning" in m.kinds() and not m.bay().alarms
    m.wait(60)
    assert m.bay().alarms == {Alarm.HELD_OPEN} and m.rental().state is RentalState.RELEASING
    m.close("b1")
    assert m.rental().state is RentalState.READY and not m.bay().alarms, "the grant lived until the door closed"


def test_a_swinging_door_does_not_settle() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    for _ in range(5):
        m.close("b1", presence=False, tag=None, settle=False)
        m.wait(1.0)
        m.sense("b1", door=True)
    assert m.rental().state is RentalState.RELEASING
    m.close("b1")
    assert m.rental().state is RentalState.ON_TRIP


def test_contents_that_change_although_the_door_was_never_seen_open() -> None:
    """The sensors decide: the asset is gone under a living grant."""
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.sense("b1", presence=False, tag=None)
    m.wait(16)
    assert m.rental().state is RentalState.ON_TRIP and m.bay().asset is None


def test_a_door_that_falls_silent_under_a_grant_is_an_incident() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.sense("b1", door=None)
    m.wait(16)
    assert m.rental().state is RentalState.INCIDENT and m.bay().quarantined
    assert m.show().refused is None and m.unlocks()[-1] == "b2"


# ---------------------------------------------------------------- sensors against each other
def test_contents_that_change_behind_a_closed_door_are_a_contradiction() -> None:
    m = bench()
    m.book()
    m.sense("b1", presence=False)
    assert m.bay().alarms == {Alarm.SENSOR_CONTRADICTION} and m.bay().occupancy is Occupancy.UNKNOWN
    assert m.show().refused == "bay_faulted" and m.unlocks() == []
    m.sense("b1", presence=True)
    assert not m.bay().alarms and m.bay().occupancy is Occupancy.OCCUPIED
    assert m.show().refused is None


@pytest.mark.parametrize("tag", ["TAG2", "STRANGER"])
def test_another_tag_behind_a_closed_door_is_a_contradiction(tag: str) -> None:
    m = bench()
    m.book()
    m.sense("b1", tag=tag)
    assert m.bay().alarms == {Alarm.SENSOR_CONTRADICTION}
    assert m.show().refused is not None
    m.sense("b1", tag="TAG1")
    assert not m.bay().alarms


def test_a_presence_sensor_that_falls_silent_refuses_release_until_it_speaks() -> None:
    m = bench()
    m.book()
    m.sense("b1", presence=None)
    assert m.show().refused == "settling" and not m.bay().alarms
    m.sense("b1", presence=True)
    assert m.show().refused is None


def test_a_bay_whose_door_was_silent_at_the_start_serves_once_it_answers() -> None:
    m = bench()
    m.book()
    m.crash()
    m.recover("b1", bolt=True, presence=True, tag="TAG1")
    assert m.show().refused == "settling"
    m.sense("b1", door=False)
    assert m.show().refused is None


@pytest.mark.parametrize("site", [{"presence": False}, {"presence": False, "tag": False}], ids=str)
def test_without_presence_contents_are_as_believed_though_the_door_was_silent(site: dict[str, Any]) -> None:
    m = bench(**site)
    m.book()
    m.crash()
    m.tell(e.Recover("b1"))
    assert m.show().refused == "sensor_silent"
    m.sense("b1", door=False)
    assert m.show().refused is None


# ---------------------------------------------------------------- by force
@pytest.mark.parametrize("site", [{}, {"tag": False}, {"bolt": False}], ids=str)
def test_a_burglary_that_took_nothing(site: dict[str, Any]) -> None:
    m = bench(**site)
    m.book()
    m.open("b1")
    assert m.show().refused is not None
    m.close("b1")
    assert m.bay().alarms == {Alarm.FORCED_OPEN} and m.bay().asset == "car1" and not m.world.of["incident"]
    assert m.show().refused is None, "the asset is there, sensed"


def test_a_burglary_that_nobody_can_judge_is_an_incident() -> None:
    m = bench(presence=False, tag=False)
    m.open("b1")
    m.close("b1")
    assert [i.kind for i in m.world.of["incident"].values()] == ["unsure_forced"] and m.bay().quarantined


def test_a_car_put_into_a_forced_bay_is_found_back() -> None:
    m = bench()
    m.book()
    m.pick_up()
    m.open("b3")
    m.close("b3", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED and m.bay("b3").asset == "car1"


def test_the_housing_is_opened() -> None:
    m = bench()
    m.tell(e.TamperChanged(True))
    assert m.world.machine.tamper and "machine.alarm_raised" in m.kinds()
    assert m.tell(e.TamperChanged(True)).ignored
    assert m.tell(e.ClearAlarm(None, "tamper", "eve", "it was me")).refused is None
    assert m.tell(e.ClearAlarm(None, "tamper", "eve", "again")).refused == "no_such_alarm"


# ---------------------------------------------------------------- technicians
def unlock(m: Bench, bay: str = "b1") -> str | None:
    return m.tell(e.TechnicianUnlock(bay, "eve", "look")).refused


def test_a_technicians_opening_is_the_same_grant() -> None:
    m = bench()
    m.book()
    assert unlock(m) is None and m.unlocks() == ["b1"]
    assert unlock(m) == "bay_in_use", "one lives already"
    assert m.show().refused == "bay_in_use"
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert not m.bay().alarms and m.bay().asset == "car1"
    assert m.show().refused is None
    assert unlock(m) == "bay_in_use", "a customer's lives"


def test_a_technician_takes_out_and_stocks() -> None:
    m = bench()
    unlock(m)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.bay().asset is None and not m.world.of["incident"]
    assert ("asset.removed", "car1", {"bay": "b1", "who": "eve"}) in m.records
    unlock(m, "b2")
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True, tag="TAG1")
    assert m.bay("b2").asset == "car1", "its tag says so"


def test_a_technician_opens_what_customers_may_not() -> None:
    m = bench()
    m.tell(e.SetAvailability("b1", False, "eve", "paint"))
    m.sense("b1", tag="STRANGER")
    assert unlock(m) is None


@pytest.mark.parametrize("who", ["technician", "cloud"])
def test_an_estop_stops_technicians_too(who: str) -> None:
    m = bench()
    m.tell(e.EstopChanged(True))
    if who == "technician":
        assert unlock(m) == "estop"
    else:
        m.deliver(e.CloudUnlock("u", "b1", "help", 1.0))
        assert m.outcome("u") == ("refused", "estop")
    assert m.unlocks() == []


def test_a_technician_ends_a_late_opening_that_a_customers_rental_waits_for() -> None:
    m = bench(bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(16)
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert unlock(m) is None
    assert m.rental().state is RentalState.CANCELLED and m.outcome("x") == ("accepted", "")


def test_contents_are_set_with_the_sensors_not_against_them() -> None:
    m = bench(cars=CARS)

    def said(bay: str, asset: str | None) -> str | None:
        return m.tell(e.SetContents(bay, asset, "eve", "looked")).refused

    assert said("b1", None) == "sensor_contradicts"
    assert said("b3", "car3") == "sensor_contradicts"
    assert said("b1", "car2") == "already_here"
    assert said("b1", "car3") == "sensor_contradicts", "the reader reads another"
    assert said("b1", "car99") == "unknown_asset"
    assert said("b9", None) == "unknown_bay"
    m.book()
    m.show()
    assert said("b1", "car1") == "bay_in_use"
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.sense("b3", presence=True)
    assert said("b3", "car1") == "asset_on_trip"
    assert said("b3", "car3") is None and m.bay("b3").asset == "car3" and not m.bay("b3").alarms


def test_a_technician_finds_the_car_of_an_incident() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.sense("b1", door=None)
    m.wait(16)
    assert m.rental().state is RentalState.INCIDENT
    m.sense("b1", door=False)
    assert m.tell(e.SetContents("b1", "car1", "eve", "it is there")).refused is None
    assert m.bay().quarantined is None and m.bay().asset == "car1"
    incident = m.rental().incident or ""
    assert m.tell(e.ResolveIncident(incident, "closed", "eve", "x")).refused == "outcome_needed"
    assert m.tell(e.ResolveIncident(incident, "ready", "eve", "x")).refused is None
    assert m.show().refused is None


def test_an_incident_without_a_rental_is_closed_by_name() -> None:
    m = bench()
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    (incident,) = m.world.of["incident"]
    assert m.tell(e.ResolveIncident(incident, "returned", "eve", "x")).refused == "unknown_outcome"
    assert m.tell(e.ResolveIncident(incident, "closed", "eve", "found in the yard")).refused is None
    assert m.tell(e.ResolveIncident(incident, "closed", "eve", "again")).refused == "unknown_incident"


# ---------------------------------------------------------------- gates
def gate() -> Bench:
    m = bench(gate=True)
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    return m


def closing(m: Bench) -> int:
    return sum(isinstance(f, effects.CloseGate) for f in m.effects)


def test_a_gate_is_asked_to_close_and_believed_only_when_sensed() -> None:
    m = gate()
    m.sense("b1", presence=False, tag=None)
    assert m.tell(e.CloseAsked("front", "b1")).refused is None and closing(m) == 1
    m.tell(e.CloseOutcome("b1", "sent"))
    assert m.bay().state is BayState.CLOSING and m.rental().state is RentalState.RELEASING
    m.close("b1")
    assert m.rental().state is RentalState.ON_TRIP


def test_a_gate_that_was_not_asked_stays_open() -> None:
    m = gate()
    m.tell(e.CloseAsked("front", "b1"))
    m.tell(e.CloseOutcome("b1", "not_sent", "unplugged"))
    assert m.bay().state is BayState.OPEN


def test_a_gate_that_stopped_half_way_is_asked_again() -> None:
    m = gate()
    for _ in range(2):
        assert m.tell(e.CloseAsked("front", "b1")).refused is None
        m.tell(e.CloseOutcome("b1", "sent"))
    assert closing(m) == 2
    m.wait(121)
    assert Alarm.HELD_OPEN in m.bay().alarms, "its time did not start anew"


def test_no_gate_moves_under_an_estop_or_after_a_restart() -> None:
    m = gate()
    m.tell(e.EstopChanged(True))
    assert m.tell(e.CloseAsked("front", "b1")).refused == "estop"
    m.crash()
    m.recover("b1", door=True, bolt=False, presence=False, tag=None)
    m.wait(300)
    assert closing(m) == 0 and m.bay().state is BayState.OPEN


def test_a_door_is_no_gate() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    assert m.tell(e.CloseAsked("front", "b1")).refused == "not_a_gate"


# ---------------------------------------------------------------- a record that the cloud refused
def test_a_refused_record_is_an_alarm_until_a_technician_clears_it() -> None:
    m = bench()
    clear = e.ClearAlarm(None, "record_refused", "eve", "operator told")
    assert m.tell(clear).refused == "no_such_alarm"
    m.tell(e.RecordRefused(7, "unknown kind"))
    m.tell(e.RecordRefused(9, "unknown kind"))
    m.crash()
    assert m.world.machine.record_refused, "nobody has looked yet"
    assert m.tell(clear).refused is None and not m.world.machine.record_refused
    told = {"alarm": "record_refused", "who": "eve", "reason": "operator told"}
    assert m.records[-1] == ("machine.alarm_cleared", "m1", told)
    assert m.tell(clear).refused == "no_such_alarm"
