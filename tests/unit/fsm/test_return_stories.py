"""Bringing it back is always possible: with bad clocks, by tag, past a stuck bay, after an incident."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import Alarm, BayState, RentalState, VisitState
from tests.unit.fsm.machine import HOUR, Bench, bench


def out(**site: Any) -> Bench:
    m = bench(**site)
    m.book()
    m.pick_up()
    assert m.rental().state is RentalState.ON_TRIP
    return m


@pytest.mark.parametrize(
    "over",
    [
        {"exp": 1.0, "nbf": 0.5},
        {"nbf": 9e9, "exp": 9.1e9},
        {"key_retired": True},
        {"audience": "m2"},
        {"demands": ("pass+face",)},
    ],
    ids=str,
)
@pytest.mark.parametrize("trusted", [True, False])
def test_nothing_but_signature_and_rental_counts(over: dict[str, Any], trusted: bool) -> None:
    m = out()
    m.wait(1000 * HOUR)
    m.trusted = trusted
    assert m.show(**over).refused is None
    assert m.rental().state is RentalState.RETURNING


def test_a_machine_out_of_service_still_takes_returns() -> None:
    m = out(cars={"b1": "car1", "b2": "car2"})
    m.book("r2", "car2")
    m.tell(e.SetAvailability(None, False, "eve", "paint"))
    assert m.show("r2").refused == "out_of_service"
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED
    m.tell(e.SetAvailability(None, True, "eve", "done"))
    assert m.show("r2").refused is None


def test_a_return_under_an_estop_is_refused_and_says_so() -> None:
    m = out()
    m.world.layout = replace(m.layout, estop=True)
    m.tell(e.EstopChanged(None))
    assert m.show().refused == "estop" and not m.world.machine.estop, "a silent e-stop stops, for as long"
    m.tell(e.EstopChanged(False))
    m.tell(e.EstopChanged(True))
    assert m.show().refused == "estop" and m.visit().reason == "estop"
    clear = e.ClearAlarm(None, "estop", "eve", "looked")
    assert m.tell(clear).refused == "still_pressed"
    m.tell(e.EstopChanged(False))
    assert m.show().refused == "estop", "latched until a technician clears it"
    assert m.tell(clear).refused is None
    assert m.show().refused is None


def test_no_empty_bay_is_said_and_later_there_is_one() -> None:
    m = bench(bays=1)
    m.deliver(e.PutAssets("a", (("far", "car", ("FAR",), "r9"),)))
    assert m.show("r9").refused == "no_empty_bay" and m.world.rental("r9") is None
    m.book()
    m.pick_up()
    m.bring_back("r9", "car1")
    assert m.bay().asset == "car1" and m.rental("r1").state is RentalState.RETURNED, "found back for its own rental"
    assert m.world.rental("r9") is None, "nothing came by it: its pass is as good as before"


def test_a_copied_pass_opens_an_empty_bay_and_changes_nothing() -> None:
    m = out(cars={"b1": "car1", "b2": "car2"})
    assert m.show().refused is None
    bay = m.unlocks()[-1]
    assert bay == "b1"
    m.sent(bay)
    m.open(bay)
    m.close(bay)
    assert m.rental().state is RentalState.ON_TRIP and m.visit().reason == "left_empty"
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED
    m.wait(301)
    assert m.show().refused == "spent"


# ---------------------------------------------------------------- by the asset's own tag
def test_a_tag_returns_only_after_somebody_asked() -> None:
    m = out()
    assert m.hold_tag(ask=False).refused == "ask_first"
    m.tell(e.ReturnAsked("front"))
    m.wait(31)
    assert m.hold_tag(ask=False).refused == "ask_first"
    assert m.hold_tag().refused is None
    assert m.rental().state is RentalState.RETURNING
    assert m.hold_tag(terminal="side").refused == "in_progress"


def test_a_tag_of_nobody_opens_nothing() -> None:
    m = out()
    assert m.hold_tag("STRANGER").refused == "unknown_asset" and len(m.unlocks()) == 1


def test_a_tag_of_an_asset_of_the_directory_without_a_rental_here() -> None:
    m = bench(cars={})
    assert m.hold_tag("TAG5").refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG5")
    assert m.bay().asset == "car5" and m.visit().reason == "returned"


def test_a_copied_tag_of_what_is_sensed_inside_opens_nothing() -> None:
    m = bench()
    assert m.hold_tag().refused == "already_here"


def test_a_tag_counts_more_than_a_belief() -> None:
    """What is held at the terminal is not in the bay, whatever was believed."""
    m = bench(presence=False, tag=False)
    assert m.hold_tag().refused is None
    m.sent("b2")
    m.open("b2")
    m.close("b2")
    assert m.bay("b2").asset == "car1" and m.bay("b1").asset is None
    assert ("bay.contents_corrected", "b1", {"asset": "car1", "now_in": "b2"}) in m.records


def test_what_else_fills_the_bay_is_quarantined_when_its_asset_turns_up_elsewhere() -> None:
    m = bench(tag=False)
    m.hold_tag()
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True)
    assert m.bay("b2").asset == "car1"
    assert m.bay("b1").asset is None and m.bay("b1").quarantined


@pytest.mark.parametrize("how", ["not_sent", "never opened", "left empty", "stranger"])
def test_whoever_returns_by_tag_is_told_how_it_ended(how: str) -> None:
    m = bench(cars={})
    m.hold_tag("TAG5")
    assert m.visit().state is VisitState.SERVING
    if how == "not_sent":
        m.sent("b1", "not_sent")
        assert m.visit().reason == "not_sent" and Alarm.UNLOCK_FAILED in m.bay().alarms
    elif how == "never opened":
        m.sent("b1")
        m.wait(16)
        assert m.visit().reason == "jammed"
    else:
        m.sent("b1")
        m.open("b1")
        m.close("b1", presence=how == "stranger", tag=None)
        m.wait(10)
        assert "left_empty" in m.kinds() or how == "stranger" or m.bay().asset is None
        assert [i.kind for i in m.world.of["incident"].values()] == (["unsure_return"] if how == "stranger" else [])
    m.wait(20)
    assert m.visit().state is VisitState.IDLE, "nobody is served for ever"


# ---------------------------------------------------------------- past what is broken
def test_a_stuck_return_bay_is_no_reason_to_keep_the_car() -> None:
    m = out()
    m.show()
    m.sent("b1")
    m.sense("b1", bolt=False)
    m.wait(16)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().grant is not None
    m.wait(61)
    assert Alarm.JAMMED in m.bay("b1").alarms, "the bolt does not lock"
    m.bring_back()
    assert m.unlocks()[-1] == "b2"
    assert m.rental().state is RentalState.RETURNED and m.bay("b2").asset == "car1"
    assert m.bay("b1").grant is None


def test_a_return_goes_on_at_the_bay_where_a_late_opening_is_awaited() -> None:
    m = out(bolt=False)
    m.show()
    m.sent("b1")
    m.wait(16)
    assert m.show().refused is None and m.unlocks()[1:] == ["b1", "b1"]


def test_an_incidents_asset_may_be_received_at_any_time() -> None:
    m = out()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    incident = m.rental().incident
    assert m.rental().state is RentalState.INCIDENT and incident is not None
    assert m.bring_back() == "b2"
    assert m.rental().state is RentalState.INCIDENT and m.bay("b2").asset == "car1"
    assert "rental.asset_back" in m.kinds()
    assert m.tell(e.ResolveIncident(incident, "returned", "eve", "seen")).refused is None
    assert m.rental().state is RentalState.RETURNED


def test_an_incident_waits_for_its_bay_before_it_is_resolved() -> None:
    m = out()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    incident = m.rental().incident
    assert incident is not None
    m.show()
    m.sent("b2")
    m.open("b2")
    for outcome in ("ready", "on_trip", "returned", "cancelled", "purchased"):
        assert m.tell(e.ResolveIncident(incident, outcome, "eve", "too early")).refused == "bay_not_concluded"
    m.close("b2")
    assert m.tell(e.ResolveIncident(incident, "on_trip", "eve", "now")).refused is None
    assert m.rental().grant is None


def test_two_rentals_out_with_one_asset_both_end() -> None:
    """A pass of a rental that this machine never heard of brings what is out with one that it knows."""
    m = out()
    assert m.show("r9", asset="car1", audience="m2").refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental("r9").state is m.rental("r1").state is RentalState.RETURNED


def test_the_asset_returned_under_a_door_that_was_held_open() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.sense("b1", presence=False, tag=None)
    m.wait(121)
    assert m.rental().state is RentalState.ON_TRIP and Alarm.HELD_OPEN in m.bay().alarms
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED and m.bay().asset == "car1"
    assert m.bay().state is BayState.SECURED and not m.bay().alarms


# ---------------------------------------------------------------- once more, within five minutes
def reopening(**over: Any) -> Bench:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed", **over)
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED
    return m


def test_reopening_asks_every_factor_again() -> None:
    m = reopening()
    before = len(m.unlocks())
    assert m.show().refused is None and m.visit().wants == "pin" and len(m.unlocks()) == before
    m.tell(e.PinEntered("front", "0000"))
    m.check_pin(ok=False)
    assert len(m.unlocks()) == before
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    grant = m.bay().grant
    assert m.unlocks()[before:] == ["b1"] and grant is not None and grant.purpose == "reopen"
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental().state is RentalState.RETURNED and m.visit().reason == "reopened"
    m.wait(301)
    assert m.rental().pin is None


@pytest.mark.parametrize(
    ("over", "reason"),
    [({"key_retired": True}, "key_retired"), ({"audience": "m2"}, "other_machine"), ({"exp": 1.0, "nbf": 0.5}, None)],
)
def test_reopening_asks_all_but_the_window_and_spent(over: dict[str, Any], reason: str | None) -> None:
    assert reopening().show(**over).refused == reason


def test_wrong_pins_at_a_reopening_lock_out_and_end_the_visit() -> None:
    m = reopening()
    m.show()
    for _ in range(5):
        m.tell(e.PinEntered("front", "0000"))
        m.check_pin(ok=False)
    assert m.rental().locked_out and m.visit().state is VisitState.FAREWELL and m.visit().reason == "locked_out"
    assert m.show().refused == "locked_out"


def test_secrets_go_when_a_reopening_that_never_opened_is_over() -> None:
    m = reopening()
    m.wait(270)
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.sense("b1", bolt=False)
    m.wait(40)
    grant = m.bay().grant
    assert grant is not None and grant.lapsed and m.rental().pin == "sealed"
    m.sense("b1", bolt=True)
    assert m.rental().grant is None and m.rental().pin is None
