"""A badge shown once more: another look at its holder, never a way to another of the holder's rentals."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import events as e
from fsm.model import RentalState, VisitState
from tests.unit.fsm.factors import CAMERA, badge, face, factor_bench, guard, looking, looks, refusals, said
from tests.unit.fsm.machine import Bench
from vendingd.prompts import prompt

CARS = {"b1": "car1", "b2": "car2"}
FACE: dict[str, Any] = {"face": "sealed-face", "face_format": CAMERA, "pin": "sealed"}


def shown(m: Bench) -> dict[str, Any]:
    return prompt(m.world, "front", None, "")


def two(demands: tuple[str, ...], **over: Any) -> Bench:
    """A holder of two rentals: r1 wants a face, r2 goes out to the badge alone."""
    m = factor_bench(("pass", "badge"), cars=CARS)
    m.book("r1", "car1", badges=("B1", "B2"), demands=demands, **(FACE | over))
    m.book("r2", "car2", badges=("B1", "B2"))
    return m


# ---------------------------------------------------------------- another look
def test_the_badge_again_is_another_try_of_the_face_and_opens_no_other_rental() -> None:
    m = two(("badge+face", "pass"))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    for tried in (1, 2):
        assert looking(m) is not None
        assert badge(m).refused == "in_progress", "it is still held there"
        face(m, ok=False)
        told = shown(m)
        assert told["code"] == "show_again" and told["params"]["show"] == ["badge"]
        assert told["params"]["tries_left"] == 3 - tried
        assert badge(m).refused is None
    assert looks(m) == 3 and m.visit().rental == "r1" and m.unlocks() == []
    face(m, ok=True)
    assert m.unlocks() == ["b1"]
    assert m.rental("r2").state is RentalState.READY
    assert said(m, "rental.identified")[0]["factors"] == ["badge", "face"]


def test_faces_of_a_badge_visit_run_out_too() -> None:
    m = two(("badge+face", "badge+pin"))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    for _ in range(3):
        badge(m)
        face(m, ok=False)
    assert looks(m) == 3 and m.visit().wants == "pin"
    assert badge(m).refused == "in_progress" and m.unlocks() == [] and m.visit().rental == "r1"


def test_the_badge_again_after_a_camera_that_failed() -> None:
    m = two(("badge+face", "badge+pin"))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    face(m, ok=None)
    assert m.visit().wants == "pin"
    assert badge(m).refused is None and looks(m) == 2 and m.rental().face_attempts == 1


def test_another_look_comes_before_what_else_a_badge_could_be() -> None:
    m = two(("badge+face", "pass"))
    guard(m, "car1", "BOSS")
    badge(m)
    m.tell(e.Chosen("front", "1"))
    face(m, ok=False)
    assert "authoriser" in m.visit().accepts
    assert badge(m).refused is None and looks(m) == 2


def test_no_other_look_for_a_badge_that_is_revoked_meanwhile() -> None:
    m = two(("badge+face", "badge+pin"))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    face(m, ok=False)
    m.deliver(e.RevokePasses("rv", ("r1",), m.utc + 60))
    assert badge(m).refused == "revoked" and looks(m) == 1


# ---------------------------------------------------------------- nobody is led on to another rental
@pytest.mark.parametrize("again", ["B1", "B2"])
def test_while_somebody_is_being_identified_their_badges_lead_nowhere_else(again: str) -> None:
    m = two(("badge+pin",))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    assert badge(m, again).refused == "in_progress"
    assert m.visit().rental == "r1" and m.visit().wants == "pin" and m.unlocks() == []


def test_neither_does_the_badge_beside_a_pass() -> None:
    m = two(("pass+pin",))
    m.show("r1")
    assert badge(m).refused == "in_progress" and m.visit().rental == "r1" and m.unlocks() == []


def test_nor_that_of_whoever_agreed() -> None:
    m = factor_bench(("pass", "badge"), cars=CARS)
    guard(m, "car1", "BOSS")
    m.book("r1", "car1", pin="sealed", demands=("pass+pin",))
    m.book("r2", "car2", badges=("BOSS",))
    m.show("r1")
    assert badge(m, "BOSS").refused is None
    assert badge(m, "BOSS").refused == "in_progress" and m.unlocks() == []
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]


def test_a_badge_that_is_held_on_while_its_bay_opens_opens_no_second_one() -> None:
    m = two(("badge",))
    badge(m)
    m.tell(e.Chosen("front", "1"))
    assert m.unlocks() == ["b1"] and m.visit().state is VisitState.SERVING
    assert badge(m).refused == "in_progress" and m.unlocks() == ["b1"]
    m.sent("b1")
    m.open("b1")
    assert badge(m).refused == "in_progress"
    m.close("b1", presence=False, tag=None)
    m.wait(20)
    badge(m)
    m.tell(e.Chosen("front", "2"))
    assert m.unlocks() == ["b1", "b2"], "once that is done"


def test_somebody_elses_badge_begins_a_visit_of_theirs() -> None:
    m = two(("badge+pin",))
    m.book("r2", "car2", version=2, badges=("B9",))
    badge(m)
    assert m.visit().wants == "pin"
    assert badge(m, "B9").refused is None
    assert m.unlocks() == ["b2"] and m.rental("r1").state is RentalState.READY


# ---------------------------------------------------------------- nobody agrees to what is their own
def test_a_holder_whose_badges_were_erased_meanwhile_does_not_agree_either() -> None:
    """The bay is opened again; while that is asked, a technician erases what knew the holder."""
    m = factor_bench(("pass", "badge"))
    m.book(badges=("B1",))
    badge(m)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.bring_back()
    guard(m, "car1", "B1", "BOSS")
    m.wait(15)
    badge(m)
    assert m.visit().wants == "authoriser"
    m.tell(e.ForgetRental("r1", "eve", "asked by its holder"))
    assert m.rental().badges == ()
    unlocks = m.unlocks()
    assert badge(m, "B1").refused == "wrong_badge" and m.unlocks() == unlocks
    badge(m, "BOSS")
    assert len(m.unlocks()) == len(unlocks) + 1


# ---------------------------------------------------------------- slowing
def test_a_good_credential_clears_the_slowing_of_the_terminal() -> None:
    m = factor_bench(("pass", "badge"))
    m.book(badges=("B1",), pin="sealed", demands=("badge+pin",))
    for n in range(3):
        badge(m, f"X{n}")
    assert badge(m).refused is None
    m.tell(e.Left("front"))
    m.wait(20)
    assert badge(m, "X9").refused == "unknown_badge"
    assert badge(m).refused is None, "one smudged read after a good one slows nobody"
    assert refusals(m) == ["unknown_badge"] * 4
