"""Badges: naming a holder, chosen among, beside a pass, for a return; and second persons who must agree."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import events as e
from fsm.model import RentalState, VisitState
from fsm.step import Step
from tests.unit.fsm.factors import badge, factor_bench, guard, refusals, said
from tests.unit.fsm.machine import HOUR, T0, Bench
from vendingd.prompts import prompt

CARS = {"b1": "car1", "b2": "car2"}


def shown(m: Bench, terminal: str = "front") -> dict[str, Any]:
    return prompt(m.world, terminal, None, "")


def choose(m: Bench, ref: str) -> Step:
    return m.tell(e.Chosen("front", ref))


# ---------------------------------------------------------------- one rental
def test_a_badge_alone_where_that_is_enough() -> None:
    m = factor_bench()
    m.book(badges=("B1",))
    assert badge(m).refused is None
    assert m.unlocks() == ["b1"] and m.visit().state is VisitState.SERVING
    assert said(m, "rental.claimed")[0]["by"] == "badge"


def test_a_badge_and_a_pin() -> None:
    m = factor_bench()
    m.book(badges=("B1",), pin="sealed", demands=("badge+pin",))
    badge(m)
    assert m.unlocks() == [] and m.visit().wants == "pin"
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]
    assert said(m, "rental.identified")[0]["factors"] == ["badge", "pin"]


def test_a_badge_is_worth_no_pass() -> None:
    m = factor_bench(("pass",))
    m.book(badges=("B1",))
    badge(m)
    assert m.unlocks() == [] and shown(m)["code"] == "show_pass"
    assert m.show().refused is None
    assert m.unlocks() == ["b1"] and said(m, "rental.identified")[0]["factors"] == ["badge", "pass"]
    assert m.rental().pass_exp_utc == pytest.approx(m.utc + HOUR)


def test_a_badge_beside_the_pass() -> None:
    m = factor_bench(("pass",))
    m.book(badges=("B1",), demands=("pass+badge",))
    m.show()
    assert shown(m)["code"] == "show_badge"
    assert badge(m, "B9").refused == "wrong_badge" and m.unlocks() == []
    assert m.visit().state is VisitState.VERIFYING
    badge(m)
    assert m.unlocks() == ["b1"]


def test_the_second_pass_of_a_badge_visit_is_judged_like_any_other() -> None:
    m = factor_bench(("pass",))
    m.book(badges=("B1",))
    badge(m)
    assert m.show(audience="m2").refused == "other_machine"
    assert m.show(key_retired=True).refused == "key_retired"
    assert m.show(exp=T0 - 100, nbf=T0 - 200).refused == "too_late"
    assert m.unlocks() == []


def test_a_badge_brings_its_asset_back() -> None:
    m = factor_bench()
    m.book(badges=("B1",))
    badge(m)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP
    assert badge(m).refused is None
    assert m.rental().state is RentalState.RETURNING
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED
    assert badge(m).refused is None, "something was left inside"
    assert said(m, "rental.reopened")


def test_a_badge_brings_it_back_whatever_the_calendar_says() -> None:
    m = factor_bench()
    m.book(badges=("B1",), pin="sealed", demands=("badge+pin",))
    badge(m)
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.wait(90 * 24 * HOUR)
    m.deliver(e.RevokePasses("rv", ("r1",), m.utc + HOUR))
    assert m.rental().pin is None and m.rental().badges == ("B1",)
    assert badge(m).refused is None and m.rental().state is RentalState.RETURNING


# ---------------------------------------------------------------- refused
def untrusted(m: Bench) -> Bench:
    m.trusted, m.floor = False, T0
    return m


def test_an_unknown_badge_slows_the_terminal_and_locks_out_nobody() -> None:
    m = factor_bench()
    m.book(badges=("B1",))
    for n in range(4):
        assert badge(m, f"X{n}").refused == "unknown_badge"
    assert badge(m).refused == "wait" and shown(m)["code"] == "wait"
    assert m.show(terminal="side").refused is None or m.unlocks() == ["b1"]
    assert m.rental().attempts == 0 and not m.rental().locked_out
    assert refusals(m)[:4] == ["unknown_badge"] * 4


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda m: m.deliver(e.RevokePasses("rv", ("r1",), T0 + HOUR)), "revoked"),
        (lambda m: m.deliver(e.CancelReservation("c", "r1", 2)), "unknown_badge"),
        (lambda m: m.book(version=2, badges=("B1",), window_from=T0 + HOUR, window_to=T0 + 2 * HOUR), "too_early"),
        (lambda m: untrusted(m).book(version=2, badges=("B1",), window_to=T0 - 61), "too_late"),
        (lambda m: m.book(version=2, badges=("B1",), window_to=T0 - 61), "unknown_badge"),  # expired, and forgotten
        (lambda m: m.tell(e.SetAvailability(None, False, "eve", "cleaning")), "out_of_service"),
        (lambda m: m.tell(e.EstopChanged(True)), "estop"),
        (lambda m: m.book(version=2), "unknown_badge"),
    ],
)
def test_a_badge_is_judged_as_far_as_it_can_be(prepare: Any, reason: str) -> None:
    m = factor_bench()
    m.book(badges=("B1",))
    prepare(m)
    assert badge(m).refused == reason and m.unlocks() == []


def test_a_badge_in_use_elsewhere() -> None:
    m = factor_bench(("pass",))
    m.book(badges=("B1",), pin="sealed", demands=("pass+pin",))
    m.show(terminal="side")
    assert badge(m).refused == "in_use"


def test_revoked_comes_before_the_window() -> None:
    m = factor_bench()
    m.book(badges=("B1",), window_from=T0 + HOUR, window_to=T0 + 2 * HOUR)
    m.deliver(e.RevokePasses("rv", ("r1",), T0 + HOUR))
    assert badge(m).refused == "revoked"


# ---------------------------------------------------------------- several rentals
def two(**over: Any) -> Bench:
    m = factor_bench(cars=CARS)
    m.book("r1", "car1", badges=("B1",), **over)
    m.book("r2", "car2", badges=("B1",), window_from=T0 - 2 * HOUR)
    return m


def test_a_holder_of_two_rentals_chooses() -> None:
    m = two()
    assert badge(m).refused is None
    assert m.visit().state is VisitState.CHOOSING and m.unlocks() == []
    said_ = shown(m)
    assert said_["code"] == "choose_rental"
    assert said_["params"]["choices"] == [
        {"ref": "1", "act": "pick_up", "asset": "car2"},
        {"ref": "2", "act": "pick_up", "asset": "car1"},
    ]
    assert "B1" not in repr(said_) and "B1" not in repr(m.visit())
    assert choose(m, "3").refused == "unknown_choice" and shown(m)["params"]["because"] == "choose_again"
    assert choose(m, "2").refused is None
    assert m.unlocks() == ["b1"]


def test_a_keypad_chooses_by_digits() -> None:
    m = two()
    badge(m)
    assert m.tell(e.PinEntered("front", "7")).refused == "unknown_choice"
    assert m.tell(e.PinEntered("front", "1")).refused is None
    assert m.unlocks() == ["b2"]


def test_what_is_chosen_is_judged_anew() -> None:
    m = two()
    badge(m)
    m.deliver(e.RevokePasses("rv", ("r1",), T0 + HOUR))
    assert choose(m, "2").refused == "revoked" and m.unlocks() == []
    assert m.tell(e.Confirmed("front")).refused == "not_asked", "that is another question"


def test_a_choice_that_nobody_makes_ends() -> None:
    m = two()
    badge(m)
    m.wait(61)
    assert m.visit().state is VisitState.FAREWELL and m.visit().choices == ()
    m.wait(20)
    assert choose(m, "1").refused == "wrong_state" and m.unlocks() == []


def test_one_to_bring_back_and_one_to_fetch() -> None:
    m = two()
    badge(m)
    choose(m, "2")
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.wait(20)
    badge(m)
    assert [c["act"] for c in shown(m)["params"]["choices"]] == ["pick_up", "return"]
    assert choose(m, "2").refused is None
    assert m.rental("r1").state is RentalState.RETURNING


def test_only_one_that_is_of_use_now_needs_no_choice() -> None:
    m = factor_bench(cars=CARS)
    m.book("r1", "car1", badges=("B1",))
    m.book("r2", "car2", badges=("B1",), window_from=T0 + 5 * HOUR, window_to=T0 + 6 * HOUR)
    badge(m)
    assert m.unlocks() == ["b1"]


def test_what_was_chosen_may_demand_more() -> None:
    m = two(pin="sealed", demands=("badge+pin",))
    badge(m)
    choose(m, "2")
    assert m.visit().wants == "pin" and m.visit().state is VisitState.VERIFYING
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]


# ---------------------------------------------------------------- two people
def test_an_asset_that_a_second_person_must_agree_to() -> None:
    m = factor_bench(("pass",))
    guard(m, "car1", "BOSS", "DEPUTY")
    m.book()
    assert m.show().refused is None and m.unlocks() == []
    assert shown(m)["code"] == "show_second_badge"
    assert badge(m, "B9").refused == "wrong_badge"
    badge(m, "DEPUTY-OF-MANY-CHARACTERS"[:6])
    assert m.unlocks() == ["b1"]
    assert said(m, "rental.identified")[0] == {
        "terminal": "front",
        "factors": ["authoriser", "pass"],
        "authoriser": "DEPUTY",
    }


def test_nobody_agrees_to_what_is_their_own() -> None:
    m = factor_bench()
    guard(m, "car1", "B1", "BOSS")
    m.book(badges=("B1", "B2"))
    badge(m, "B1")
    assert m.visit().wants == "authoriser"
    assert badge(m, "B1").refused is None and m.unlocks() == [], "again the holder's"
    assert badge(m, "B2").refused is None and m.unlocks() == [], "the holder's other one"
    badge(m, "BOSS")
    assert m.unlocks() == ["b1"]


def test_nobody_agrees_with_a_badge_that_another_rental_of_theirs_lists() -> None:
    m = factor_bench(cars=CARS)
    guard(m, "car1", "BOSS", "DEPUTY")
    m.book("r1", "car1", holder="h-boss")
    m.book("r2", "car2", holder="h-boss", badges=("BOSS",))
    m.show()
    assert badge(m, "BOSS").refused == "wrong_badge" and m.unlocks() == []
    m.book("r3", "car2", holder="h-deputy", badges=("DEPUTY",))
    m.show()
    assert badge(m, "DEPUTY").refused is None and m.unlocks() == ["b1"], "a badge of somebody else's rental agrees"


def test_rentals_without_a_holder_are_not_one_persons() -> None:
    m = factor_bench(cars=CARS)
    guard(m, "car1", "BOSS")
    m.book("r1", "car1")
    m.book("r2", "car2", badges=("BOSS",))
    m.show()
    badge(m, "BOSS")
    assert m.unlocks() == ["b1"]


def test_a_second_person_agrees_within_the_same_visit_only() -> None:
    m = factor_bench(("pass",))
    guard(m, "car1", "BOSS")
    m.book()
    assert badge(m, "BOSS").refused == "unknown_badge", "before anybody came"
    m.wait(20)
    m.show()
    m.tell(e.Left("front"))
    m.wait(20)
    assert badge(m, "BOSS").refused == "unknown_badge", "after they went"
    m.wait(20)
    m.show(terminal="side")
    assert m.visit("side").reason == "other_terminal", "there is no reader"
    assert m.unlocks() == []


def test_where_no_badge_is_read_such_an_asset_cannot_be_booked() -> None:
    m = factor_bench(("pass",), offers=frozenset({"pass", "pin"}))
    guard(m, "car1", "BOSS")
    m.book()
    assert m.outcome("i2") == ("refused", "factor_unavailable")


def test_a_booking_of_a_class_asks_for_consent_where_its_asset_does() -> None:
    m = factor_bench(("pass",))
    guard(m, "car1", "BOSS")
    m.book("r1", None)
    m.show()
    assert m.unlocks() == [] and m.visit().wants == "authoriser"
    badge(m, "BOSS")
    assert m.unlocks() == ["b1"]


def test_a_class_of_which_one_asset_is_free_to_go_gets_that_without_consent() -> None:
    m = factor_bench(("pass",), cars=CARS)
    guard(m, "car2", "BOSS")
    m.book("r1", None)
    m.show()
    assert m.unlocks() == ["b1"]


def test_another_bay_with_a_guarded_asset_is_no_way_round() -> None:
    """The bolt of the first is stuck; what is offered instead wants a second person, and nobody agreed."""
    m = factor_bench(("pass",), cars=CARS)
    guard(m, "car2", "BOSS")
    m.book("r1", None)
    m.show()
    m.sent("b1")
    m.wait(16)
    assert m.visit().state is VisitState.CHOOSING
    assert m.tell(e.Confirmed("front")).refused == "more_demanded" and m.unlocks() == ["b1"]


def test_a_return_needs_nobodys_consent() -> None:
    m = factor_bench(("pass",))
    m.book()
    m.pick_up()
    guard(m, "car1", "BOSS")
    assert m.bring_back() and m.rental().state is RentalState.RETURNED
    m.show()
    assert m.visit().wants == "authoriser", "but opening it again does"


# ---------------------------------------------------------------- forgetting
def test_badges_stay_while_they_may_bring_something_back_and_no_longer() -> None:
    m = factor_bench()
    m.book(badges=("B1",))
    badge(m)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.wait(80 * 24 * HOUR)
    assert m.rental().badges == ("B1",)
    m.bring_back()
    m.wait(301)
    assert m.rental().badges == () and m.world.rentals_of_badge == {}


@pytest.mark.parametrize("force", [False, True])
def test_a_technician_erases_what_is_kept(force: bool) -> None:
    m = factor_bench()
    m.book(badges=("B1",), pin="sealed", demands=("badge+pin",), holder="h")
    done = m.tell(e.ForgetRental("r1", "eve", "asked by its holder", force))
    assert done.refused == (None if force else "still_needed")
    if force:
        assert (m.rental().pin, m.rental().badges, m.rental().holder) == (None, (), None)
        assert said(m, "rental.forgotten")[0] == {"who": "eve", "reason": "asked by its holder", "forced": True}
        assert m.tell(e.ForgetRental("r1", "eve", "again", True)).refused == "nothing_kept"


def test_nothing_is_erased_under_somebodys_hands() -> None:
    m = factor_bench()
    m.book(badges=("B1",), pin="sealed", demands=("badge+pin",))
    badge(m)
    assert m.tell(e.ForgetRental("r1", "eve", "asked", True)).refused == "in_progress"
    assert m.tell(e.ForgetRental("r9", "eve", "asked", True)).refused == "unknown_rental"


def test_what_is_over_but_may_be_opened_again_is_erased_without_force() -> None:
    m = factor_bench()
    m.book(badges=("B1",), pin="sealed", demands=("pass",))
    m.pick_up()
    m.bring_back()
    assert m.rental().pin is not None
    assert m.tell(e.ForgetRental("r1", "eve", "asked")).refused is None
    assert m.rental().pin is None and m.rental().badges == ()
