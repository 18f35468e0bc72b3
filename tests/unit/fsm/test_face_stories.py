"""Faces: compared from the pass on, counted before, called off with the visit, never the only way."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import events as e
from fsm.effects import CheckFace, EraseSecrets, StopFace
from fsm.model import RentalState, VisitState
from tests.unit.fsm.factors import CAMERA, MODULE, face, factor_bench, looking, looks, refusals, said
from tests.unit.fsm.machine import HOUR, Bench
from vendingd.prompts import prompt

FACE: dict[str, Any] = {"face": "sealed-face", "face_format": CAMERA, "pin": "sealed"}
EITHER = ("pass+face", "pass+pin")


def booked(demands: tuple[str, ...] = EITHER, **over: Any) -> Bench:
    m = factor_bench(("pass",))
    m.book(**(FACE | {"demands": demands} | over))
    return m


def shown(m: Bench, terminal: str = "front") -> dict[str, Any]:
    return prompt(m.world, terminal, None, "")


# ---------------------------------------------------------------- the plain way
def test_a_face_is_compared_from_the_moment_in_which_the_pass_is_accepted() -> None:
    m = booked()
    assert m.show().refused is None
    check = looking(m)
    assert check == CheckFace("front", m.visit().n, 1, "r1", "sealed-face") and m.unlocks() == []
    assert shown(m)["code"] == "look_here" and shown(m)["params"]["tries_left"] == 3
    face(m, ok=True)
    assert m.unlocks() == ["b1"]
    (record,) = said(m, "rental.identified")
    assert record == {"terminal": "front", "factors": ["face", "pass"], "liveness": "none"}
    assert m.rental().face_attempts == 0


def test_hints_reach_the_prompt_and_not_the_journal() -> None:
    m = booked()
    m.show()
    before = len(m.records)
    heard = m.tell(e.FaceHint("front", m.visit().n, 1, "r1", "closer"))
    assert shown(m)["params"]["looking"] == "closer"
    assert not heard.durable and len(m.records) == before
    face(m, ok=True)
    assert m.tell(e.FaceHint("front", 1, 1, "r1", "closer")).ignored


def test_who_prefers_the_pin_types_it_and_the_camera_looks_away() -> None:
    m = booked()
    m.show()
    assert shown(m)["params"]["or"] == ["pin"]
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"] and looking(m) is None
    assert said(m, "rental.identified")[0]["factors"] == ["pass", "pin"]
    assert face(m, ok=True).ignored, "too late"


def test_all_three_are_asked_for_and_the_face_at_once() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, demands=("pass+pin+face", "pass+badge"), badges=("B1",))
    m.show()
    assert looking(m) is not None and m.visit().wants == "badge", "the nearer way leads"
    face(m, ok=True)
    assert m.unlocks() == [] and m.visit().accepts == {"badge", "pin"}
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]
    assert said(m, "rental.identified")[0]["factors"] == ["face", "pass", "pin"]


# ---------------------------------------------------------------- tries
def test_three_faces_then_another_factor() -> None:
    m = booked()
    m.show()
    for tried in (1, 2):
        face(m, ok=False)
        assert shown(m)["code"] == "show_again" and shown(m)["params"]["because"] == "face_not_known"
        assert shown(m)["params"]["tries_left"] == 3 - tried
        assert m.show().refused is None, "the pass again, for another try"
    face(m, ok=False)
    assert m.visit().wants == "pin" and shown(m)["code"] == "enter_pin"
    assert m.show().refused == "in_progress" and looks(m) == 3
    m.wait(200)
    assert m.rental().state is RentalState.READY and not m.rental().locked_out
    m.show()
    assert looks(m) == 3 and m.visit().wants == "pin"
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"]
    assert refusals(m) == ["wrong_face"] * 3 and [d["attempt"] for d in said(m, "rental.face_tried")] == [1, 2, 3]


def test_what_each_comparison_came_to_is_recorded_with_its_reason() -> None:
    m = booked()
    m.show()
    face(m, ok=False, why="not_alive")
    m.show()
    face(m, ok=None, why="two_people")
    m.show()
    m.tell(e.Left("front"))
    m.show()
    face(m, ok=True)
    checked = said(m, "rental.face_checked")
    assert [(one["result"], one.get("why")) for one in checked] == [
        ("wrong", "not_alive"),
        ("not_compared", "two_people"),
        ("called_off", None),
        ("verified", None),
    ]
    assert all(one["terminal"] == "front" for one in checked)


@pytest.mark.parametrize(
    ("hints", "tries"), [([], 0), (["look_here"], 0), (["look_here", "turn_left", "look_here"], 1), (["closer"], 1)]
)
def test_whoever_leaves_before_a_movement_was_asked_for_has_had_no_try(hints: list[str], tries: int) -> None:
    m = booked()
    m.show()
    assert m.rental().face_attempts == 1, "counted before the camera looks"
    check = looking(m)
    assert check is not None
    for hint in hints:
        m.tell(e.FaceHint("front", check.visit, check.look, "r1", hint))
    m.tell(e.Left("front"))
    assert m.rental().face_attempts == tries and looking(m) is None


def test_a_movement_asked_for_in_one_comparison_is_not_held_against_the_next() -> None:
    m = booked()
    m.show()
    check = looking(m)
    assert check is not None
    m.tell(e.FaceHint("front", check.visit, check.look, "r1", "turn_left"))
    face(m, ok=False)
    m.show()
    m.tell(e.Left("front"))
    assert m.rental().face_attempts == 1


def test_a_try_is_durable_before_anything_is_compared() -> None:
    """Pulling the plug wins no further tries."""
    m = booked()
    for n in (1, 2, 3):
        made = m.show()
        assert made.urgent and m.rental().face_attempts == n
        m.crash()
        m.recover_rest()
        assert m.rental().state is RentalState.READY
    m.show()
    assert looks(m) == 3 and m.visit().wants == "pin"


def test_what_was_not_compared_is_no_try() -> None:
    m = booked()
    m.show()
    face(m, ok=None)
    assert m.rental().face_attempts == 0 and m.visit().wants == "pin"
    assert shown(m)["params"]["because"] == "try_again"
    assert m.show().refused is None and looks(m) == 2, "shown again, it is looked at again"


def test_a_camera_that_fails_and_no_other_way_at_this_terminal() -> None:
    m = factor_bench(("pass",), offers=frozenset({"pass", "face"}))
    m.book(**FACE, demands=EITHER)
    m.show()
    face(m, ok=None)
    assert m.visit().state is VisitState.FAREWELL and m.visit().reason == "other_terminal"
    assert m.rental().state is RentalState.READY and m.unlocks() == []
    m.show(terminal="side")
    assert m.visit("side").wants == "pin"


def test_who_is_identified_by_the_pin_gets_all_tries_of_the_face_again() -> None:
    m = booked()
    m.show()
    face(m, ok=False)
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.unlocks() == ["b1"] and m.rental().face_attempts == 0


def test_a_right_pin_wins_no_further_faces_where_both_are_demanded() -> None:
    """Somebody with the pass and the PIN, and a drawer full of photographs."""
    m = factor_bench(("pass",))
    m.book(**FACE, demands=("pass+pin+face", "pass+badge"), badges=("B1",))
    for n in range(1, 6):
        m.show()
        m.tell(e.PinEntered("front", "1234"))
        m.check_pin(ok=True)
        if looking(m) is not None:
            face(m, ok=False)
        assert m.rental().face_attempts == min(n, 3) and m.rental().attempts == 0
        m.tell(e.Left("front"))
        m.wait(20)
    assert looks(m) == 3 and m.unlocks() == [] and not m.rental().locked_out


def test_a_right_face_wins_no_further_pins() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, demands=("pass+pin+face", "pass+badge"), badges=("B1",))
    for _ in range(5):
        m.show()
        face(m, ok=True)
        m.tell(e.PinEntered("front", "0000"))
        m.check_pin(ok=False)
        m.tell(e.Left("front"))
        m.wait(20)
    assert m.rental().locked_out and m.unlocks() == []


def test_only_the_try_that_was_not_had_is_given_back() -> None:
    m = booked()
    for tried in (1, 2):
        m.show()
        face(m, ok=False)
        assert m.rental().face_attempts == tried
    m.show()
    face(m, ok=None)
    assert m.rental().face_attempts == 2


def test_tries_that_a_technician_gives_again_during_a_look_are_no_more_than_there_are() -> None:
    m = booked()
    m.show()
    m.tell(e.ResetAttempts("r1", "eve", "called"))
    assert shown(m)["params"]["tries_left"] == 3


def test_a_technician_gives_all_tries_again() -> None:
    m = booked()
    m.show()
    face(m, ok=False)
    m.tell(e.ResetAttempts("r1", "eve", "called"))
    assert m.rental().face_attempts == 0


# ---------------------------------------------------------------- called off
@pytest.mark.parametrize("how", ["left", "timed_out", "another_pass", "cancelled", "restart"])
def test_the_camera_stops_with_the_visit(how: str) -> None:
    m = factor_bench(("pass",), cars={"b1": "car1", "b2": "car2"})
    m.book(**FACE, demands=EITHER)
    m.book("r2", "car2")
    m.show()
    check = looking(m)
    assert check is not None
    if how == "left":
        m.tell(e.Left("front"))
    elif how == "timed_out":
        m.wait(121)
    elif how == "another_pass":
        m.show("r2")
    elif how == "cancelled":
        m.deliver(e.CancelReservation("c1", "r1", 2))
    else:
        m.crash()
        assert m.tell(e.FaceChecked("front", check.visit, check.look, "r1", True)).ignored
        return
    stops = [f for f in m.effects if isinstance(f, StopFace)]
    assert stops == [StopFace("front", check.visit, check.look)]
    unlocks = m.unlocks()
    assert face(m, ok=True).ignored and m.unlocks() == unlocks, "nobody waits for that word"


def test_a_face_swapped_between_two_passes_counts_for_neither() -> None:
    """Whoever shows another pass meanwhile is looked at anew."""
    m = factor_bench(("pass",), cars={"b1": "car1", "b2": "car2"})
    m.book(**FACE, demands=EITHER)
    m.book("r2", "car2", **(FACE | {"face": "another-face"}), demands=EITHER)
    m.show()
    first = looking(m)
    assert first is not None
    m.show("r2")
    second = next(f for f in reversed(m.effects) if isinstance(f, CheckFace))
    assert second.rental == "r2" and second.sealed == "another-face"
    assert m.tell(e.FaceChecked("front", first.visit, first.look, "r1", True)).ignored
    assert m.unlocks() == [] and m.rental("r1").state is RentalState.READY


def test_it_is_called_off_once_it_is_over_with_no_word() -> None:
    m = booked()
    m.show()
    face(m, ok=False)
    m.tell(e.Left("front"))
    assert not [f for f in m.effects if isinstance(f, StopFace)]


# ---------------------------------------------------------------- liveness
def test_a_module_that_proves_life_names_its_holder_and_says_so() -> None:
    m = factor_bench(("pass",), module=True)
    m.book(**(FACE | {"face_format": MODULE}), demands=("pass+live-face", "pass+pin"))
    m.show()
    face(m, ok=True, liveness="hardware")
    assert said(m, "rental.identified")[0] == {
        "terminal": "front",
        "factors": ["live-face", "pass"],
        "liveness": "hardware",
    }
    assert m.unlocks() == ["b1"]


def test_a_challenge_is_no_proof_of_life() -> None:
    m = booked(("pass+live-face", "pass+pin"))
    m.show()
    assert looks(m) == 0 and m.visit().wants == "pin", "a camera does not offer it"


def test_a_challenge_on_a_device_that_proves_life_is_still_none() -> None:
    """What a device says of this one face counts, not what it can do."""
    m = factor_bench(("pass",), module=True)
    m.book(**(FACE | {"face_format": MODULE}), demands=("pass+live-face", "pass+pin"))
    m.show()
    face(m, ok=True, liveness="challenge")
    assert m.unlocks() == [] and m.visit().have == {"pass", "face"}
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert said(m, "rental.identified")[0]["liveness"] == "challenge" and m.unlocks() == ["b1"]


# ---------------------------------------------------------------- at reservation time
@pytest.mark.parametrize(
    ("demands", "over", "outcome"),
    [
        (EITHER, {}, ("accepted", "")),
        (("pass+face",), {}, ("refused", "only_by_face")),
        (EITHER, {"pin": None}, ("refused", "only_by_face")),
        (("pass+live-face",), {}, ("refused", "factor_unavailable")),
        (EITHER, {"face_format": "of-tomorrow"}, ("accepted", "face_unused")),
        (EITHER, {"face_format": "of-tomorrow", "pin": None}, ("refused", "factor_unavailable")),
        (("face+pin", "pass+pin"), {}, ("accepted", "")),
    ],
)
def test_what_cannot_be_served_here_is_refused_when_it_is_booked(
    demands: tuple[str, ...], over: dict[str, Any], outcome: tuple[str, str]
) -> None:
    m = booked(demands, **over)
    assert m.outcome("i1") == outcome
    assert (m.world.rental("r1") is not None) == (outcome[0] == "accepted")


def test_a_template_of_an_unknown_format_is_not_kept() -> None:
    m = booked(face_format="of-tomorrow")
    assert m.rental().face is None and m.rental().face_format is None
    m.show()
    assert looks(m) == 0 and m.visit().wants == "pin"


def test_a_terminal_without_the_device_asks_for_another_factor() -> None:
    m = booked()
    m.show(terminal="side")
    assert m.visit("side").wants == "pin" and looks(m) == 0


# ---------------------------------------------------------------- forgetting
def test_a_template_goes_when_the_pin_goes() -> None:
    m = booked()
    m.deliver(e.CancelReservation("c1", "r1", 2))
    assert m.rental().face is None and m.rental().pin is None
    assert [f for f in m.effects if isinstance(f, EraseSecrets)] == [EraseSecrets("r1", "sealed-face")]


def test_after_the_return_it_stays_as_long_as_the_bay_may_be_opened_again() -> None:
    m = booked()
    m.show()
    face(m, ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED and m.rental().face is not None
    m.show()
    assert looks(m) == 2, "all factors of the pick-up"
    m.tell(e.Left("front"))
    m.wait(301)
    assert m.rental().face is None


def test_a_trip_that_never_ends_keeps_no_face() -> None:
    m = booked()
    m.show()
    face(m, ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.wait(72 * HOUR + 7 * 24 * HOUR + 1)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().face is None


def test_a_module_is_asked_to_forget_until_it_has() -> None:
    m = factor_bench(("pass",), module=True)
    m.book(**(FACE | {"face_format": MODULE}), demands=("pass+live-face", "pass+pin"))
    m.deliver(e.CancelReservation("c1", "r1", 2))
    assert m.world.machine.forgetting == (("r1", "sealed-face"),)
    m.effects.clear()
    m.crash()
    assert m.effects == [EraseSecrets("r1", "sealed-face")], "asked again after a restart"
    m.tell(e.FaceForgotten("r1"))
    m.effects.clear()
    m.crash()
    assert m.world.machine.forgetting == () and m.effects == []


MODULE_FACE: dict[str, Any] = FACE | {"face_format": MODULE, "face_user": "U1"}
BY_MODULE = ("pass+live-face", "pass+pin")


def forgotten(m: Bench) -> list[str | None]:
    return [f.face for f in m.effects if isinstance(f, EraseSecrets)]


def test_two_bookings_of_one_enrolled_customer_are_forgotten_with_the_last() -> None:
    m = factor_bench(("pass",), module=True, cars={"b1": "car1", "b2": "car2"})
    m.book(**MODULE_FACE, demands=BY_MODULE)
    m.book("r2", "car2", **(MODULE_FACE | {"face": "sealed-2"}), demands=BY_MODULE)
    m.deliver(e.CancelReservation("c1", "r1", 2))
    assert m.rental("r1").face is None and forgotten(m) == [None] and m.world.machine.forgetting == ()
    m.deliver(e.CancelReservation("c2", "r2", 2))
    assert forgotten(m) == [None, "sealed-2"] and m.world.machine.forgetting == (("r2", "sealed-2", "U1"),)
    assert m.world.rentals_of_face == {}


def test_a_newer_version_with_another_user_of_the_module_forgets_the_old_one_alone() -> None:
    m = factor_bench(("pass",), module=True)
    m.book(**MODULE_FACE, demands=BY_MODULE)
    m.book(version=2, **(MODULE_FACE | {"face": "sealed-2"}), demands=BY_MODULE)
    assert forgotten(m) == [] and m.rental().face == "sealed-2", "the same one, sealed anew"
    m.book(version=3, **(MODULE_FACE | {"face": "sealed-3", "face_user": "U2"}), demands=BY_MODULE)
    assert forgotten(m) == ["sealed-2"] and m.rental().face == "sealed-3"
    m.tell(e.FaceForgotten("r1", "sealed-2"))
    m.deliver(e.CancelReservation("c1", "r1", 4))
    m.tell(e.FaceForgotten("r1", "sealed-2"))
    assert m.world.machine.forgetting == (("r1", "sealed-3", "U2"),), "told of another one"


def test_a_template_of_whom_a_device_is_erasing_is_not_taken() -> None:
    m = factor_bench(("pass",), module=True)
    m.book(**MODULE_FACE, demands=BY_MODULE)
    m.deliver(e.CancelReservation("c1", "r1", 2))
    m.book("r2", **MODULE_FACE, demands=BY_MODULE)
    assert m.outcome("i2") == ("accepted", "face_unused") and m.world.of["done"]["i2"].why == "being_forgotten"
    assert m.rental("r2").face is None
    m.tell(e.FaceForgotten("r1", "sealed-face"))
    m.book("r2", version=2, **MODULE_FACE, demands=BY_MODULE)
    assert m.rental("r2").face is not None


def test_why_a_template_is_of_no_use_is_in_the_outcome_and_in_its_repetition() -> None:
    m = booked(face=None, face_format=None, face_unused="expired")
    first = said(m, "instruction.outcome")[-1]
    assert first == {"outcome": "accepted", "reason": "face_unused", "why": "expired"}
    m.instruction_n = 0
    m.book(version=1)
    assert said(m, "instruction.replayed") == [first]


def test_a_newer_reservation_without_a_face_forgets_the_old_one() -> None:
    m = booked()
    m.book(version=2, pin="sealed", demands=EITHER)
    assert m.rental().face is None
    assert [f for f in m.effects if isinstance(f, EraseSecrets)] == [EraseSecrets("r1", "sealed-face")]
