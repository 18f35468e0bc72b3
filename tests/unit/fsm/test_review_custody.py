"""Corners where custody, a grant or a visit once went wrong; each story failed before it was mended."""

from __future__ import annotations

import pytest

from fsm import events as e
from fsm.model import Alarm, RentalState, VisitState
from tests.unit.fsm.machine import Bench, bench

READY, ON_TRIP, RETURNED, INCIDENT = (
    RentalState.READY,
    RentalState.ON_TRIP,
    RentalState.RETURNED,
    RentalState.INCIDENT,
)


def opened(m: Bench, rental: str, bay: str, terminal: str = "front") -> None:
    assert m.show(rental, terminal).refused is None
    m.sent(bay)
    m.open(bay)


# ---------------------------------------------------------------- the asset is inside before the door has closed
def test_two_people_put_their_cars_into_each_others_open_bay() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"})
    m.book("r1", "car1")
    m.book("r2", "car2")
    opened(m, "r1", "b1")
    opened(m, "r2", "b2", "side")
    m.close("b1", presence=True, tag="TAG2")
    assert m.bay("b2").quarantined is None, "an open bay is judged when it closes"
    m.close("b2", presence=True, tag="TAG1")
    assert (m.bay("b1").asset, m.bay("b2").asset) == ("car2", "car1")
    assert (m.rental("r1").state, m.rental("r2").state) == (RETURNED, RETURNED)
    assert not m.world.of["incident"] and not m.bay("b2").quarantined


@pytest.mark.parametrize("held", [False, True], ids=["closes", "held open"])
def test_a_car_taken_and_returned_by_its_tag_before_its_first_door_closes(held: bool) -> None:
    m = bench()
    m.book()
    opened(m, "r1", "b1")
    m.sense("b1", presence=False, tag=None)
    assert m.hold_tag(terminal="side").refused is None
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True, tag="TAG1")
    assert m.bay("b2").asset == "car1" and m.rental().state is RentalState.RELEASING
    if held:
        m.wait(121)
    else:
        m.close("b1")
    assert m.rental().state is RETURNED and m.rental().bay == "b2"
    kinds = m.kinds()
    assert kinds.index("rental.on_trip") < kinds.index("rental.returned")


def test_something_else_in_the_bay_of_what_was_returned_meanwhile_is_no_car_left_behind() -> None:
    m = bench(tag=False)
    m.book()
    opened(m, "r1", "b1")
    m.sense("b1", presence=False)
    assert m.hold_tag(terminal="side").refused is None
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True)
    m.close("b1", presence=True)
    assert m.bay("b2").asset == "car1" and m.bay("b1").asset is None
    assert m.bay("b1").quarantined and m.rental().state is INCIDENT


# ---------------------------------------------------------------- a return past a bay that misbehaves
def returning(m: Bench) -> Bench:
    m.book()
    m.pick_up()
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    return m


@pytest.mark.parametrize("by", ["pass", "tag", "pass elsewhere"])
@pytest.mark.parametrize("how", ["held open", "silent"])
def test_a_return_goes_on_at_another_bay_when_its_own_misbehaves(how: str, by: str) -> None:
    m = returning(bench())

    def again() -> str | None:
        if by == "tag":
            return m.hold_tag(terminal="side").refused
        return m.show(terminal="front" if by == "pass" else "side").refused

    assert again() in ("in_progress", "in_use"), "while its bay works there is no other"
    if how == "held open":
        m.wait(121)
        assert Alarm.HELD_OPEN in m.bay("b1").alarms
    else:
        m.sense("b1", door=None)
    assert again() is None
    assert m.unlocks()[-1] == "b2" and m.rental().state is RentalState.RETURNING
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True, tag="TAG1")
    assert m.rental().state is RETURNED and m.bay("b2").asset == "car1"
    m.sense("b1", door=True)
    m.close("b1", presence=False, tag=None)
    assert m.bay("b1").grant is None and not m.bay("b1").quarantined and not m.world.of["incident"]
    m.wait(20)
    assert {m.visit(t).state for t in ("front", "side")} == {VisitState.IDLE}


@pytest.mark.parametrize(("tag", "state"), [("TAG1", RETURNED), ("STRANGER", RentalState.RETURNING)])
def test_what_is_in_the_bay_that_was_left_behind_is_judged_as_nobodys(tag: str, state: RentalState) -> None:
    m = returning(bench())
    m.wait(121)
    assert m.show().refused is None
    m.sent("b2")
    m.close("b1", presence=True, tag=tag)
    assert m.rental().state is state
    assert (m.bay("b1").quarantined is not None) == (tag == "STRANGER")


def test_the_bay_that_was_left_behind_cannot_be_trusted_without_a_presence_sensor() -> None:
    m = returning(bench(presence=False, tag=False))
    m.wait(121)
    assert m.show().refused is None
    m.close("b1")
    assert m.bay("b1").quarantined and m.rental().state is RentalState.RETURNING


def test_a_return_at_a_misbehaving_bay_stays_there_when_no_other_is_empty() -> None:
    m = returning(bench(bays=1))
    m.wait(121)
    grant = m.bay().grant
    assert m.show().refused == "no_empty_bay" and m.bay().grant == grant
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RETURNED


# ---------------------------------------------------------------- what a technician says
@pytest.mark.parametrize("outcome", ["on_trip", "purchased"])
def test_an_incident_does_not_end_outside_while_its_car_is_believed_inside(outcome: str) -> None:
    m = bench()
    m.book()
    opened(m, "r1", "b1")
    m.crash()
    m.recover("b1", door=False, bolt=True, tag="TAG1")
    incident = m.rental().incident
    assert incident is not None and m.bay().asset == "car1"
    assert m.tell(e.ResolveIncident(incident, outcome, "eve", "gone")).refused == "asset_inside"
    assert m.rental().state is INCIDENT and incident in m.world.of["incident"]
    m.sense("b1", presence=False, tag=None)
    assert m.tell(e.SetContents("b1", None, "eve", "looked")).refused is None
    assert m.tell(e.ResolveIncident(incident, outcome, "eve", "gone")).refused is None
    assert m.rental().state is RentalState(outcome)


INSIDE = [("ready", RentalState.READY), ("returned", RETURNED), ("cancelled", RentalState.CANCELLED)]


@pytest.mark.parametrize(("outcome", "state"), INSIDE)
def test_an_incident_does_not_end_inside_while_its_car_is_out(outcome: str, state: RentalState) -> None:
    m = returning(bench())
    m.close("b1", presence=True, tag="STRANGER")
    incident = m.rental().incident
    assert incident is not None
    refused = m.tell(e.ResolveIncident(incident, outcome, "eve", "tired"))
    assert refused.refused == "asset_out" and "car1 is in no bay" in refused.detail
    assert m.show().refused is None, "the pass still brings it back"
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=True, tag="TAG1")
    assert m.tell(e.ResolveIncident(incident, outcome, "eve", "it is here")).refused is None
    assert m.rental().state is state


@pytest.mark.parametrize(("outcome", "state"), INSIDE)
def test_what_is_lost_for_good_leaves_the_directory_and_then_its_incident_may_end(
    outcome: str, state: RentalState
) -> None:
    m = returning(bench())
    m.deliver(e.RemoveAssets("early", ("car1",)))
    assert m.outcome("early") == ("refused", "asset_in_use"), "it is on its way back"
    m.close("b1", presence=True, tag="STRANGER")
    m.deliver(e.RemoveAssets("lost", ("car1",)))
    assert m.outcome("lost") == ("accepted", "")
    assert m.tell(e.ResolveIncident(m.rental().incident or "", outcome, "eve", "sunk")).refused is None
    assert m.rental().state is state
