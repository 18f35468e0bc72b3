"""Stories at the terminal: passes and clocks, PINs, two people, two terminals, one pass; what is offered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import Alarm, BayState, RentalState, Visit, VisitState
from tests.unit.fsm.machine import HOUR, T0, Bench, bench

CARS = {"b1": "car1", "b2": "car2"}


# ---------------------------------------------------------------- clocks
@pytest.mark.parametrize(
    ("floor", "nbf", "exp", "booked", "reason"),
    [
        # floor <= exp + 60 and (nbf <= floor or the rental is ready here)
        (T0, T0 - 10, T0 + HOUR, None, None),
        (T0, T0 - 10, T0 - 60, None, None),
        (T0, T0 - 100, T0 - 61, None, "too_late"),
        (T0, T0, T0 + HOUR, None, None),
        (T0, T0 + 1, T0 + HOUR, None, "time_unknown"),
        (T0, T0 + 1, T0 + HOUR, "booked", "time_unknown"),
        (T0, T0 + 1, T0 + HOUR, "ready", None),
        (T0, T0 - 100, T0 - 61, "ready", "too_late"),
        (T0, T0 - 10, T0 + HOUR, "booked", None),
    ],
)
def test_untrusted_time(floor: float, nbf: float, exp: float, booked: str | None, reason: str | None) -> None:
    m = bench()
    m.floor = floor
    if booked == "ready":
        m.book()
        assert m.rental().state is RentalState.READY
    m.trusted = False
    m.utc = 0.0  # whatever it says
    if booked == "booked":
        m.book(window_from=T0 + 50 * HOUR, window_to=T0 + 60 * HOUR)
        assert m.rental().state is RentalState.BOOKED
    shown = m.show(nbf=nbf, exp=exp, asset="car1")
    assert shown.refused == reason


def test_calendar_deadlines_wait_for_trusted_time() -> None:
    m = bench()
    m.book(window_from=T0 + HOUR, window_to=T0 + 2 * HOUR)
    m.trusted = False
    m.wait(3 * HOUR)
    deadline = next(d for d in m.rental().deadlines if d.name == "window_close")
    assert m.tell(e.DeadlineReached("rental", "r1", "window_close", deadline.n)).ignored
    assert m.rental().state is RentalState.BOOKED
    m.trusted = True
    m.fire()
    assert m.rental().state is RentalState.EXPIRED and m.show().refused == "too_late"


@pytest.mark.parametrize(("early", "reason"), [(59, None), (61, "too_early")])
def test_a_minute_too_early_is_early_enough(early: float, reason: str | None) -> None:
    m = bench()
    m.book(window_from=T0 + early)
    assert m.show(nbf=T0 + early).refused == reason
    assert m.rental().state is (RentalState.RELEASING if reason is None else RentalState.BOOKED)


def test_the_order_in_which_a_pass_is_judged() -> None:
    """Key, revoked, audience, window, spent."""
    m = bench()
    m.book()
    m.deliver(e.RevokePasses("rv", ("r1",), T0 + HOUR))
    worst: dict[str, Any] = {"key_retired": True, "audience": "m2", "exp": T0 - 1e5, "nbf": T0 - 2e5}
    assert m.show(**worst).refused == "key_retired"
    assert m.show(**worst | {"key_retired": False}).refused == "revoked"
    m.book("r2")
    assert m.show("r2", audience="m2", exp=T0 - 1e5, nbf=T0 - 2e5).refused == "other_machine"
    assert m.show("r2", exp=T0 - 1e5, nbf=T0 - 2e5).refused == "too_late"


# ---------------------------------------------------------------- who may have it
def test_a_pass_for_a_site_is_honoured_only_where_its_asset_is() -> None:
    m = bench(cars=CARS)
    site: dict[str, Any] = {"audience": "site:west"}
    assert m.show("n1", **site, asset_class="car").refused == "other_machine", "only for a named asset"
    assert m.show("n2", audience="site:east", asset="car1").refused == "other_machine"
    m.book("n3", "car9")
    assert m.show("n3", **site, asset="car9").refused == "asset_not_here"
    m.sense("b2", presence=False)
    m.book("n4", "car2")
    assert m.show("n4", **site, asset="car2").refused == "asset_not_here", "sensed absent"
    assert m.show("n5", **site, asset="car1").refused is None


def test_a_booking_of_a_class_gets_what_nobody_holds() -> None:
    m = bench(cars=CARS)
    m.book("named", "car1", window_from=T0 + 5 * HOUR, window_to=T0 + 6 * HOUR)
    m.book("r1", None)
    assert m.show().refused is None and m.unlocks() == ["b2"]
    m.book("r2", None)
    assert m.show("r2").refused == "bay_in_use", "car2 is not gone yet"
    m.sent("b2")
    m.open("b2")
    m.close("b2", presence=False, tag=None)
    assert m.show("r2").refused == "none_available", "car1 is promised, car2 is out"


def test_a_class_that_is_only_busy_now_is_worth_a_wait() -> None:
    m = bench()
    m.tell(e.TechnicianUnlock("b1", "eve", "wash"))
    m.book("r1", None)
    assert m.show().refused == "bay_in_use"


def test_two_rentals_of_one_holder_at_one_terminal() -> None:
    m = bench(cars=CARS)
    m.book("r1", "car1", holder="h")
    m.book("r2", "car2", holder="h")
    assert m.show("r1").refused is None
    m.sent("b1")
    m.open("b1")
    assert m.show("r2").refused is None, "each its own pass, each its own bay"
    m.sent("b2")
    m.open("b2")
    m.close("b1", presence=False, tag=None)
    assert m.rental("r1").state is RentalState.ON_TRIP
    assert m.visit().rental == "r2" and m.visit().state is VisitState.SERVING, "the word for r1 missed, r2 goes on"
    m.close("b2", presence=False, tag=None)
    assert m.rental("r2").state is RentalState.ON_TRIP and m.visit().reason == "taken"


def test_a_second_person_displaces_who_was_still_asked_for_a_pin() -> None:
    m = bench(cars=CARS)
    m.book("r1", "car1", demands=("pass+pin",), pin="s1")
    m.book("r2", "car2", demands=("pass+pin",), pin="s2")
    m.show("r1")
    m.tell(e.PinEntered("front", "1111"))
    assert m.show("r2").refused is None
    assert m.rental("r1").state is RentalState.READY and m.visit().rental == "r2"
    m.check_pin(ok=True)  # r1's answer comes late: it is nobody's any more
    assert m.unlocks() == [] and m.visit().wants == "pin"
    m.tell(e.PinEntered("front", "2222"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b2"]


@pytest.mark.parametrize("demands", [(), ("pass+pin",)])
def test_whoever_is_displaced_may_go_on_at_the_other_terminal(demands: tuple[str, ...]) -> None:
    m = bench(cars=CARS)
    m.book("r1", "car1", demands=("pass+pin",), pin="s1")
    m.book("r2", "car2", demands=demands, pin="s2")
    m.show("r1")
    assert m.show("r2").refused is None
    assert m.rental("r1").state is RentalState.READY
    assert m.show("r1", terminal="side").refused is None
    m.tell(e.Left("front"))
    m.wait(30)
    m.show("r3", asset="car9")
    assert m.rental("r1").state is RentalState.CLAIMED, "what was once theirs at the front is not given up there"


def test_one_pass_at_two_terminals() -> None:
    m = bench()
    m.book()
    m.show()
    assert m.show(terminal="side").refused == "in_use" and m.visit("side").reason == "in_use"
    assert m.show().refused == "in_progress" and m.visit().state is VisitState.SERVING
    assert m.unlocks() == ["b1"]


def test_a_pass_shown_again_while_its_return_is_under_way() -> None:
    m = bench()
    m.book()
    m.pick_up()
    m.show()
    m.wait(100 * HOUR)
    assert m.show(exp=T0, nbf=T0 - 1).refused in ("in_progress", None)


def test_a_claim_ends_after_two_minutes_and_the_same_pass_works() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.wait(119)
    assert m.rental().state is RentalState.CLAIMED
    m.wait(2)
    assert m.rental().state is RentalState.READY and m.visit().reason == "timed_out"
    assert m.tell(e.PinEntered("front", "1234")).refused == "wrong_state"
    assert m.show().refused is None


def test_expiry_is_frozen_while_claimed() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed", window_to=T0 + 60)
    m.show()
    m.wait(100)
    assert m.rental().state is RentalState.CLAIMED
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP
    other = bench()
    other.book(demands=("pass+pin",), pin="sealed", window_to=T0 + 60)
    other.show()
    other.tell(e.Left("front"))
    assert other.rental().state is RentalState.READY and other.visit().reason == "left"
    other.wait(61)
    assert other.rental().state is RentalState.EXPIRED


# ---------------------------------------------------------------- PINs
def wrong(m: Bench, times: int) -> None:
    for _ in range(times):
        assert m.tell(e.PinEntered("front", "0000")).refused is None
        m.check_pin(ok=False)


def test_attempts_survive_restarts_and_other_terminals() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    wrong(m, 3)
    m.crash()
    m.recover_rest()
    assert m.rental().attempts == 3 and m.visit().state is VisitState.IDLE
    m.show()
    wrong(m, 2)
    assert m.rental().locked_out and m.visit().reason == "locked_out"
    m.crash()
    m.recover_rest()
    assert m.show(terminal="side").refused == "locked_out"
    m.deliver(e.CloudResetAttempts("a", "r1"))
    assert m.show(terminal="side").refused is None


def test_pulling_the_plug_wins_no_tries() -> None:
    """Each try counts before it is compared; also one whose answer was never heard."""
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    for _ in range(5):
        assert m.show().refused is None
        assert m.tell(e.PinEntered("front", "0000")).urgent
        m.crash()
        m.recover_rest()
    assert m.show().refused == "locked_out"
    m.tell(e.ResetAttempts("r1", "eve", "called"))
    assert m.show().refused is None


def test_a_pin_that_could_not_be_checked_is_no_try() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    for _ in range(7):
        assert m.tell(e.PinEntered("front", "1234")).refused is None
        assert m.visit().checking and m.tell(e.PinEntered("front", "1234")).refused == "wait"
        m.check_pin(ok=None)
        assert m.visit().reason == "cannot_check" and m.rental().attempts == 0
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]


def test_a_right_pin_forgives_the_wrong_ones() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    wrong(m, 4)
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.rental().attempts == 0 and m.unlocks() == ["b1"]


def test_a_right_pin_for_a_bay_that_is_no_longer_usable_is_told() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.tell(e.SetAvailability("b1", False, "eve", "paint"))
    m.check_pin(ok=True)
    assert m.visit().state is VisitState.FAREWELL and m.visit().reason == "out_of_service"
    assert m.rental().state is RentalState.READY and m.rental().attempts == 0 and m.unlocks() == []


def test_secrets_are_in_no_repr() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed-verifier")
    m.show()
    shown = m.tell(e.PinEntered("front", "8642"))
    text = f"{e.PinEntered('front', '8642')} {shown} {m.rental()} {m.effects}"
    assert "8642" not in text and "sealed-verifier" not in text


# ---------------------------------------------------------------- pranksters
def test_a_terminal_is_slowed_and_never_closed() -> None:
    m = bench()
    m.book()
    rubbish = e.CredentialUnreadable("front", "bad_signature")
    for _ in range(3):
        assert m.tell(rubbish).refused == "bad_signature"
    assert m.tell(rubbish).refused == "bad_signature"
    assert m.tell(rubbish).refused == "wait"
    for _ in range(20):
        m.wait(31)
        assert m.tell(rubbish).refused == "bad_signature"
    assert m.show(terminal="side").refused is None, "another terminal is not slowed"
    m.deliver(e.CancelReservation("x", "r1", 2))
    m.wait(31)
    assert m.tell(rubbish).refused == "bad_signature"
    assert m.visit().slow_until_mono - m.mono == 30.0


# ---------------------------------------------------------------- another bay
def stuck(m: Bench) -> None:
    m.show()
    m.sent("b1")
    m.wait(16)
    assert Alarm.JAMMED in m.bay("b1").alarms


def test_a_named_booking_is_offered_no_other_bay() -> None:
    m = bench(cars=CARS)
    m.book("r1", "car1")
    stuck(m)
    assert m.visit().state is VisitState.FAREWELL and m.visit().reason == "jammed"
    assert m.show().refused == "bay_faulted"


def test_an_offer_that_nobody_accepts_ends() -> None:
    m = bench(cars=CARS)
    m.book("r1", None)
    stuck(m)
    assert m.visit().state is VisitState.CHOOSING
    m.wait(61)
    assert m.visit().state is VisitState.FAREWELL and m.unlocks() == ["b1"]
    assert m.rental().state is RentalState.READY
    assert m.tell(e.Confirmed("front")).refused == "wrong_state"


@pytest.mark.parametrize("meanwhile", ["cancelled", "estop", "gone"])
def test_an_offer_is_judged_again_when_it_is_accepted(meanwhile: str) -> None:
    m = bench(cars=CARS)
    m.book("r1", None)
    stuck(m)
    if meanwhile == "cancelled":
        m.deliver(e.CancelReservation("x", "r1", 2))
    elif meanwhile == "estop":
        m.tell(e.EstopChanged(True))
    else:
        m.sense("b2", presence=False)
    assert m.tell(e.Confirmed("front")).refused is not None
    assert m.unlocks() == ["b1"]


def test_an_unlock_that_was_not_sent_leaves_everything_as_it_was() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1", "not_sent")
    assert m.rental().state is RentalState.READY and m.bay().state is BayState.SECURED and m.bay().grant is None
    assert Alarm.UNLOCK_FAILED in m.bay().alarms and m.visit().reason == "not_sent"
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    assert Alarm.UNLOCK_FAILED not in m.bay().alarms, "it works again"


def test_a_late_word_that_nothing_was_sent_ends_the_waiting() -> None:
    m = bench(bolt=False)
    m.book()
    m.show()
    m.wait(16)
    assert m.bay().grant is not None
    m.sent("b1", "not_sent")
    assert m.bay().grant is None and m.rental().grant is None and m.rental().state is RentalState.READY


def test_an_unlock_of_which_nothing_is_known_waits_for_the_door() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1", "unknown")
    assert m.bay().state is BayState.OPENING
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP


def test_a_word_about_another_grant_is_ignored() -> None:
    m = bench()
    m.book()
    m.show()
    assert m.tell(e.UnlockOutcome("b1", "b1.77", "not_sent")).ignored
    assert m.rental().state is RentalState.RELEASING


def test_visits_are_never_journalled() -> None:
    m = bench()
    shown = m.tell(e.ReturnAsked("front"))
    assert shown.changes and not shown.durable
    assert isinstance(m.visit(), Visit) and replace(m.visit(), n=0).n == 0
