"""Corners where custody, a grant or a visit once went wrong; each story failed before it was mended."""

from __future__ import annotations

from dataclasses import replace

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


def test_contents_are_not_set_under_a_lapsed_grant() -> None:
    m = bench(bolt=False, presence=False, tag=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(16)
    grant = m.bay().grant
    assert grant is not None and grant.lapsed
    assert m.tell(e.SetContents("b1", None, "eve", "taken home")).refused is None
    assert m.bay().grant is None and m.rental().grant is None and m.rental().state is READY
    assert m.kinds().index("bay.grant_ended") < m.kinds().index("bay.contents_set")
    assert m.show().refused == "asset_not_here"


# ---------------------------------------------------------------- restarts
@pytest.mark.parametrize("same_boot", [False, True])
@pytest.mark.parametrize("bolt", [False, True])
@pytest.mark.parametrize("door", [False, None])
def test_a_lapsed_release_that_nothing_watched_is_not_guessed_after_an_outage(
    same_boot: bool, bolt: bool, door: bool | None
) -> None:
    m = bench(bolt=bolt, presence=False, tag=False)
    m.book()
    m.show()
    m.sent("b1")
    if bolt:
        m.sense("b1", bolt=False)
    m.wait(16)
    assert m.rental().state is READY and m.rental().grant is not None
    m.crash(same_boot=same_boot)
    m.recover("b1", door=door, bolt=True)
    assert m.rental().state is INCIDENT and m.rental().grant is None
    assert m.bay().quarantined and m.bay().grant is None
    assert [i.kind for i in m.world.of["incident"].values()] == ["unsure_release"]


def test_a_technician_waits_until_the_bay_was_looked_at() -> None:
    m = bench()
    m.crash()
    m.sense("b1", door=False, bolt=True, presence=False, tag=None)
    unlock = e.TechnicianUnlock("b1", "eve", "stocking")
    assert m.tell(unlock).refused == "settling"
    m.tell(e.Recover("b1"))
    assert [i.kind for i in m.world.of["incident"].values()] == ["asset_missing"]
    assert m.tell(unlock).refused is None


def test_the_plug_pulled_at_the_last_try_is_a_lock_out_on_record() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    for n in range(5):
        m.tell(e.PinEntered("front", "0000"))
        if n < 4:
            m.check_pin(ok=False)
    assert m.rental().attempts == 5 and not m.rental().locked_out
    m.crash()
    assert m.rental().locked_out and m.rental().state is READY
    assert ("rental.locked_out", "r1", {"attempts": 5}) in m.records
    m.crash()
    assert m.kinds().count("rental.locked_out") == 1
    assert m.tell(e.ResetAttempts("r1", "eve", "asked")).refused is None
    assert not m.rental().locked_out and m.rental().attempts == 0


# ---------------------------------------------------------------- no visit lives for ever
@pytest.mark.parametrize("again", [False, True], ids=["pick-up", "reopening"])
def test_a_visit_whose_last_step_was_refused_ends_with_the_reason(again: bool) -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    if again:
        m.check_pin(ok=True)
        m.sent("b1")
        m.open("b1")
        m.close("b1", presence=False, tag=None)
        m.bring_back()
        assert m.show().refused is None
        m.tell(e.PinEntered("front", "1234"))
    m.tell(e.EstopChanged(True))
    before = len(m.unlocks())
    m.check_pin(ok=True)
    assert (m.visit().state, m.visit().reason) == (VisitState.FAREWELL, "estop")
    assert len(m.unlocks()) == before and m.rental().state is (RETURNED if again else READY)
    m.wait(11)
    assert m.visit().state is VisitState.IDLE


def test_returned_elsewhere_while_its_bay_is_open_here_is_told_at_the_terminal() -> None:
    m = returning(bench())
    assert m.visit().state is VisitState.SERVING
    m.deliver(e.ReturnedElsewhere("x", "r1", 2, "m2"))
    assert m.rental().state is RETURNED
    assert (m.visit().state, m.visit().reason) == (VisitState.FAREWELL, "returned")
    m.close("b1", presence=False, tag=None)
    m.wait(20)
    assert m.visit().state is VisitState.IDLE


def test_nobody_is_served_for_ever_but_as_long_as_the_bay_is_at_work() -> None:
    m = bench()
    m.book()
    opened(m, "r1", "b1")
    m.wait(1000)
    assert m.visit().state is VisitState.SERVING, "the door is open, the customer stands before it"
    grant = m.bay().grant
    assert grant is not None
    m.world.apply({("bay", "b1"): replace(m.bay(), grant=replace(grant, terminal=None))})  # its word will miss
    m.wait(200)
    assert m.visit().state is VisitState.IDLE and m.visit().reason == ""
    assert m.rental().state is RentalState.RELEASING, "what the bay says at its end still counts"
