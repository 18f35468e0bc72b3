"""Passes for what is not here, offers that are judged again, bookings that change while a bay may open late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import RentalState, VisitState
from tests.unit.fsm.machine import HOUR, Bench, bench

CARS = {"b1": "car1", "b2": "car2"}


def out(**site: Any) -> Bench:
    m = bench(**site)
    m.book()
    m.pick_up()
    assert m.rental().state is RentalState.ON_TRIP
    return m


def directory_says(m: Bench, asset: str, rental: str) -> None:
    m.deliver(e.PutAssets(f"dir-{asset}-{rental}", ((asset, "car", (f"TAG{asset[-1]}",), rental),)))


# ---------------------------------------------------------------- a pass for a car that is not here
@pytest.mark.parametrize("over", [{}, {"audience": "site:west"}, {"demands": ("pass+pin",)}], ids=str)
def test_a_pass_for_a_car_that_is_out_with_somebody_else_opens_nothing(over: dict[str, Any]) -> None:
    m = out()
    before = m.unlocks()
    assert m.show("r2", asset="car1", **over).refused == "asset_not_here"
    assert m.world.rental("r2") is None and m.unlocks() == before and m.visit().reason == "asset_not_here"
    m.bring_back()
    m.wait(301)
    assert m.show("r2", asset="car1").refused is None, "it is here now"
    assert m.rental("r2").state is RentalState.RELEASING


def test_a_pass_for_a_car_that_was_never_stocked_opens_nothing() -> None:
    m = bench(cars={})
    assert m.show("r2", asset="car5").refused == "asset_not_here"
    assert m.world.rental("r2") is None and m.unlocks() == []


def test_a_pass_of_tomorrow_is_too_early_and_no_return() -> None:
    m = bench(cars={})
    soon = {"asset": "car5", "nbf": m.utc + 20 * HOUR, "exp": m.utc + 30 * HOUR}
    assert m.show("r2", **soon).refused == "too_early" and m.unlocks() == []
    m.trusted = False
    assert m.show("r2", **soon).refused is None, "no clock refuses a return"


@pytest.mark.parametrize("never_here", [False, True])
@pytest.mark.parametrize(
    ("over", "revoked"),
    [({"audience": "m2"}, False), ({"exp": 1.0, "nbf": 0.5}, False), ({"key_retired": True}, False), ({}, True)],
    ids=str,
)
def test_a_pass_that_is_good_for_no_pick_up_here_brings_back(
    over: dict[str, Any], revoked: bool, never_here: bool
) -> None:
    m = bench(cars={}) if never_here else out()
    if revoked:
        m.deliver(e.RevokePasses("rv", ("r2",), m.utc + HOUR))
    assert m.show("r2", asset="car1", **over).refused is None
    assert m.rental("r2").state is RentalState.RETURNING


@pytest.mark.parametrize("how", ["directory", "asked"])
def test_whoever_brings_back_is_believed_where_there_is_a_reason_to(how: str) -> None:
    m = bench(cars={})
    if how == "directory":
        directory_says(m, "car5", "r2")
    else:
        m.tell(e.ReturnAsked("front"))
    assert m.show("r2", asset="car5").refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG5")
    assert m.rental("r2").state is RentalState.RETURNED and m.bay().asset == "car5"


def test_asking_is_no_reason_for_ever() -> None:
    m = bench(cars={})
    m.tell(e.ReturnAsked("front"))
    m.wait(31)
    assert m.show("r2", asset="car5").refused == "asset_not_here"


@pytest.mark.parametrize("how", ["left empty", "not sent", "never opened", "bay broken"])
def test_a_return_by_which_nothing_came_leaves_its_pass_good(how: str) -> None:
    m = bench(cars={}, bolt=False)
    m.tell(e.ReturnAsked("front"))
    m.show("r2", asset="car5")
    if how == "left empty":
        m.sent("b1")
        m.open("b1")
        m.close("b1")
    elif how == "not sent":
        m.sent("b1", "not_sent")
    else:
        m.sent("b1")
        m.wait(16)
        assert m.rental("r2").grant is not None, "it may still open late"
        if how == "bay broken":
            m.tell(e.SetAvailability("b1", False, "eve", "paint"))
            assert m.show("r2", asset="car5").refused is None, "elsewhere, without losing the rental on the way"
            assert m.unlocks() == ["b1", "b2"] and m.rental("r2").asset == "car5"
            m.sent("b2")
            m.open("b2")
            m.close("b2")
        m.wait(61)
    assert m.world.rental("r2") is None and "r2" not in m.world.of["spent"]
    m.wait(31)
    assert m.tell(e.SetContents("b3", "car5", "eve", "stocked")).refused == "sensor_contradicts"
    m.sense("b3", presence=True, tag="TAG5")
    m.tell(e.SetContents("b3", "car5", "eve", "stocked"))
    assert m.show("r2", asset="car5").refused is None
    assert m.rental("r2").state is RentalState.RELEASING and m.unlocks()[-1] == "b3"


def test_a_return_that_is_opened_late_is_a_return() -> None:
    m = bench(cars={}, bolt=False)
    directory_says(m, "car5", "r2")
    m.show("r2")
    m.sent("b1")
    m.wait(16)
    m.open("b1")
    m.close("b1", presence=True, tag="TAG5")
    assert m.rental("r2").state is RentalState.RETURNED


def test_what_leaves_again_after_a_return_is_out_and_stays_so() -> None:
    m = bench(cars={})
    directory_says(m, "car5", "r2")
    m.bring_back("r2", "car5")
    m.pick_up("r2", "b1")
    assert m.rental("r2").state is RentalState.ON_TRIP
    m.show("r2")
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental("r2").state is RentalState.ON_TRIP, "it left by this machine"


def test_what_a_technician_says_to_be_out_stays_out() -> None:
    m = bench(cars={})
    directory_says(m, "car5", "r2")
    m.show("r2")
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    incident = m.rental("r2").incident
    assert incident is not None
    m.tell(e.ResolveIncident(incident, "on_trip", "eve", "seen outside"))
    assert m.rental("r2").state is RentalState.ON_TRIP


# ---------------------------------------------------------------- an offer, and a PIN, are judged again
def offered(**site: Any) -> Bench:
    """The bolt of the first bay is stuck; another bay is offered."""
    m = bench(cars=CARS, **site)
    m.book("r1", None, pin="sealed")
    m.show()
    m.sent("b1")
    m.wait(16)
    assert m.visit().state is VisitState.CHOOSING and m.rental().state is RentalState.READY
    return m


def changed(m: Bench, **over: Any) -> None:
    put = e.PutReservation("v2", 2, "r1", m.utc - HOUR, m.utc + HOUR, asset_class="car", pin="sealed")
    m.deliver(replace(put, **over))
    assert m.outcome("v2") == ("accepted", "")


@pytest.mark.parametrize(
    "reason", ["revoked", "out_of_service", "estop", "too_early", "too_late", "cancelled", "more_demanded"]
)
@pytest.mark.parametrize("fired", [False, True])
def test_an_offer_is_accepted_only_where_the_pass_would_be(reason: str, fired: bool) -> None:
    m = offered()
    if reason == "revoked":
        m.deliver(e.RevokePasses("rv", ("r1",), m.utc + HOUR))
    elif reason == "out_of_service":
        m.tell(e.SetAvailability(None, False, "eve", "paint"))
    elif reason == "estop":
        m.tell(e.EstopChanged(True))
    elif reason == "too_early":
        changed(m, window_from=m.utc + HOUR, window_to=m.utc + 2 * HOUR)
    elif reason == "too_late":
        changed(m, window_from=m.utc - 2 * HOUR, window_to=m.utc - HOUR)
    elif reason == "cancelled":
        m.deliver(e.CancelReservation("x", "r1", 2))
    else:
        changed(m, demands=("pass+pin",))
    if fired:
        m.fire()
    assert m.tell(e.Confirmed("front")).refused == reason
    assert m.unlocks() == ["b1"]
    assert m.visit().state is VisitState.FAREWELL and m.visit().reason == reason
    assert m.rental().state is not RentalState.CLAIMED
    m.wait(11)
    assert m.visit().state is VisitState.IDLE


def test_an_offer_survives_a_change_that_asks_nothing_more() -> None:
    m = offered()
    changed(m, window_to=m.utc + 5 * HOUR, demands=("pass",))
    m.fire()
    assert m.tell(e.Confirmed("front")).refused is None and m.unlocks() == ["b1", "b2"]


@pytest.mark.parametrize("reason", ["revoked", "out_of_service", "estop"])
@pytest.mark.parametrize("reopening", [False, True])
def test_a_right_pin_opens_nothing_that_the_pass_would_not(reason: str, reopening: bool) -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    if reopening:
        m.check_pin(ok=True)
        m.sent("b1")
        m.open("b1")
        m.close("b1", presence=False, tag=None)
        m.bring_back()
        m.show()
        m.tell(e.PinEntered("front", "1234"))
    before = m.unlocks()
    if reason == "revoked":
        m.deliver(e.RevokePasses("rv", ("r1",), m.utc + HOUR))
    elif reason == "out_of_service":
        m.tell(e.SetAvailability(None, False, "eve", "paint"))
    else:
        m.tell(e.EstopChanged(True))
    m.check_pin(ok=True)
    if reopening and reason == "out_of_service":
        assert m.unlocks() == [*before, "b1"], "the phone in the car is no pick-up"
        return
    assert m.unlocks() == before
    assert m.visit().state is VisitState.FAREWELL and m.visit().reason == reason
    assert m.rental().state is (RentalState.RETURNED if reopening else RentalState.READY)


def test_a_window_that_ends_while_the_pin_is_typed_is_frozen() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed", window_to=m.utc + 10)
    m.show()
    m.wait(100)
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]


# ---------------------------------------------------------------- a booking that changes while its bay may open late
def lapsed() -> Bench:
    m = bench(cars=CARS, bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(16)
    assert m.rental().state is RentalState.READY and m.rental().grant is not None
    return m


@pytest.mark.parametrize(
    "over",
    [{"asset": "car2"}, {"asset": None, "asset_class": "car"}, {"window_from": 1_700_000_000.0 + 10 * HOUR}],
    ids=str,
)
def test_what_may_still_be_handed_out_late_stays_the_bookings(over: dict[str, Any]) -> None:
    m = lapsed()
    put = e.PutReservation("v2", 2, "r1", m.utc - 2 * HOUR, m.utc + 20 * HOUR, asset="car1")
    m.deliver(replace(put, **over))
    assert "v2" not in m.world.of["done"] and m.rental().version == 1
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().asset == m.rental().named == "car1"
    assert m.outcome("v2") == ("refused", "already_released")


def test_the_rest_of_a_booking_may_change_meanwhile_and_all_of_it_after() -> None:
    m = lapsed()
    put = e.PutReservation("v2", 2, "r1", m.utc - 2 * HOUR, m.utc + 5 * HOUR, asset="car1")
    m.deliver(put)
    assert m.outcome("v2") == ("accepted", "")
    m.deliver(replace(put, id="v2b", asset="car2"))
    assert m.outcome("v2b") == ("refused", "superseded")
    m.wait(61)
    m.deliver(replace(put, id="v3", version=3, asset="car2"))
    assert m.outcome("v3") == ("accepted", "")
    assert m.show().refused is None and m.unlocks() == ["b1", "b2"]


# ---------------------------------------------------------------- a cancellation before its reservation
def test_a_cancelled_reservation_that_was_never_heard_of_has_no_good_pass() -> None:
    m = bench()
    m.deliver(e.CancelReservation("x", "r1", 2, m.utc + 1e9))
    assert m.outcome("x") == ("accepted", "")
    assert ("rental.cancelled", "r1", {"version": 2}) in m.records
    assert m.show(asset="car1").refused == "cancelled" and m.unlocks() == []
    assert m.world.of["spent"]["r1"].until_utc >= m.utc + 1e9


def test_put_and_cancel_may_come_in_any_order() -> None:
    m = bench()
    m.deliver(e.CancelReservation("x", "r1", 2))
    m.book(version=1)
    m.book(version=2)
    assert m.outcome("i1") == m.outcome("i2") == ("refused", "superseded") and m.world.rental("r1") is None
    m.book(version=3)
    assert m.outcome("i3") == ("accepted", "") and "r1" not in m.world.of["spent"]
    assert m.show().refused is None and m.unlocks() == ["b1"]


def test_an_older_cancellation_does_not_lower_what_lifts_it() -> None:
    m = bench()
    m.deliver(e.CancelReservation("x", "r1", 5), e.CancelReservation("y", "r1", 2))
    assert m.outcome("y") == ("accepted", "")
    m.book(version=4)
    assert m.outcome("i1") == ("refused", "superseded")


def test_a_reservation_that_is_refused_does_not_lift_the_cancellation() -> None:
    m = bench()
    m.deliver(e.CancelReservation("x", "r1", 1))
    m.book(version=2, demands=("pass+face",))
    assert m.outcome("i1") == ("refused", "factor_unavailable")
    assert m.show(asset="car1").refused == "cancelled"


@pytest.mark.parametrize("first", ["revoked", "cancelled"])
def test_no_reservation_lifts_a_revocation(first: str) -> None:
    m = bench()
    both = [e.RevokePasses("rv", ("r1",), m.utc + HOUR), e.CancelReservation("x", "r1", 1)]
    m.deliver(*(both if first == "revoked" else reversed(both)))
    assert m.outcome("x") == m.outcome("rv") == ("accepted", "")
    m.book(version=2)
    assert m.outcome("i1") == ("refused", "already_over")
    assert m.show(asset="car1").refused == "revoked"


def test_what_was_cancelled_elsewhere_may_still_be_brought_back() -> None:
    m = bench(cars={})
    m.deliver(e.CancelReservation("x", "r2", 2))
    directory_says(m, "car5", "r2")
    m.bring_back("r2", "car5")
    assert m.rental("r2").state is RentalState.RETURNED


def test_a_reservation_that_was_cancelled_here_is_not_lifted() -> None:
    m = bench()
    m.book()
    m.deliver(e.CancelReservation("x", "r1", 2))
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is None
    m.book(version=3)
    assert m.outcome("i2") == ("refused", "already_over")
    m.deliver(e.CancelReservation("y", "r1", 4))
    assert m.outcome("y") == ("refused", "unknown_rental")
