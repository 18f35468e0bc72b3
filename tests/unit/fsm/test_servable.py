"""What can be served, where, and by which ways: told when it is booked, when that changes, and at the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import RentalState, VisitState
from fsm.policy import Policy
from tests.unit.fsm.factors import CAMERA, badge, face, factor_bench, guard, looks, refusals, said
from tests.unit.fsm.machine import Bench
from vendingd.prompts import prompt

FACE: dict[str, Any] = {"face": "sealed-face", "face_format": CAMERA, "pin": "sealed"}
EITHER = ("pass+face", "pass+pin")


def shown(m: Bench, terminal: str = "front") -> dict[str, Any]:
    return prompt(m.world, terminal, None, "")


def restart_with(m: Bench, **rows: tuple[str, ...]) -> None:
    """The site file has another `[policy.least]`; "rest" stands for "*"."""
    least = {name.replace("rest", "*"): texts for name, texts in rows.items()}
    m.layout = replace(m.layout, policy=Policy.of_texts(least))
    m.crash()
    m.recover_rest()


# ---------------------------------------------------------------- after a change
def test_a_policy_that_is_raised_over_a_held_booking_is_told_and_stands_until_it_can_be_served() -> None:
    m = factor_bench(("pass",))
    m.book()
    m.book("r2", "car2", pin="sealed", badges=("B2",))
    restart_with(m, rest=("badge+pin",))
    assert [row for row in m.records if row[0] == "rental.unservable"] == [
        ("rental.unservable", "r1", {"why": "factor_unavailable"})
    ]
    assert m.rental().unservable == "factor_unavailable" and m.world.unservable == {"r1"}
    assert m.rental("r2").unservable is None
    m.crash()
    m.recover_rest()
    assert len(said(m, "rental.unservable")) == 1, "once is enough"
    assert m.show().refused == "factor_unavailable" and shown(m)["code"] == "call_support"
    restart_with(m, rest=("pass",))
    assert said(m, "rental.servable") == [{}] and m.world.unservable == set()
    assert m.show().refused is None


def test_a_newer_version_that_can_be_served_ends_it() -> None:
    m = factor_bench(("pass",))
    m.book()
    restart_with(m, rest=("badge+pin",))
    m.book(version=2)
    assert m.outcome("i2") == ("refused", "factor_unavailable") and m.world.unservable == {"r1"}
    m.book(version=2, pin="sealed", badges=("B1",))
    assert m.world.unservable == set()
    m.deliver(e.CancelReservation("c1", "r1", 3))
    assert m.rental().state is RentalState.CANCELLED


def test_what_is_cancelled_stands_no_longer() -> None:
    m = factor_bench(("pass",))
    m.book()
    restart_with(m, rest=("badge+pin",))
    m.deliver(e.CancelReservation("c1", "r1", 2))
    assert m.world.unservable == set()


def test_a_site_that_leaves_only_faces_says_so_of_what_it_holds() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, demands=EITHER)
    front = replace(m.layout.terminals["front"], offers=frozenset({"pass", "face"}))
    m.layout = replace(m.layout, terminals={"front": front})
    m.crash()
    m.recover_rest()
    assert said(m, "rental.unservable") == [{"why": "only_by_face"}]
    m.show()
    assert looks(m) == 1, "who stands there is served all the same"


def test_a_directory_that_moves_an_asset_to_a_class_that_demands_more() -> None:
    m = factor_bench(("pass",))
    restart_with(m, car=("pass",), lux=("badge+pin",))
    m.book()
    m.book("r2", "car2")
    m.deliver(e.PutAssets("x1", (("car1", "lux", ("TAG1",), None),)))
    assert m.outcome("x1") == ("accepted", "")
    assert [row[1] for row in m.records if row[0] == "rental.unservable"] == ["r1"]
    m.deliver(e.PutAssets("x2", (("car1", "car", ("TAG1",), None),)))
    assert [row[1] for row in m.records if row[0] == "rental.servable"] == ["r1"]


def test_a_directory_that_wants_a_second_person_where_no_badge_is_read() -> None:
    m = factor_bench(("pass",), offers=frozenset({"pass", "pin"}))
    m.book("r1", "car1")
    guard(m, "car1", "BOSS")
    assert said(m, "rental.unservable") == [{"why": "factor_unavailable"}]


def test_a_class_whose_last_asset_without_a_guard_is_taken_out_of_the_directory() -> None:
    m = factor_bench(("pass",), offers=frozenset({"pass", "pin"}))
    m.book("r1", None)
    for n in range(1, 9):
        guard(m, f"car{n}", "BOSS")
    assert said(m, "rental.unservable") == []
    m.deliver(e.RemoveAssets("x1", ("car9",)))
    assert said(m, "rental.unservable") == [{"why": "factor_unavailable"}]


def test_each_is_told_its_own_reason() -> None:
    """One has no PIN, the other's is sealed by a device key that is gone: alike in all else."""
    m = factor_bench(("pass",))
    m.book("r1", "car1")
    m.book("r2", "car2", pin="1.old.sealed")
    m.layout = replace(m.layout, seal="new")
    restart_with(m, rest=("pass+pin",))
    assert [(row[1], row[2]["why"]) for row in m.records if row[0] == "rental.unservable"] == [
        ("r1", "factor_unavailable"),
        ("r2", "device_key"),
    ]


def test_what_has_gone_out_already_is_not_looked_at() -> None:
    m = factor_bench(("pass",))
    m.book()
    m.pick_up()
    restart_with(m, rest=("badge+pin",))
    assert said(m, "rental.unservable") == []


def test_a_spent_face_is_no_reason() -> None:
    """Its tries come back; what the reservation and the site have does not change by them."""
    m = factor_bench(("pass",))
    m.book(**FACE, demands=("pass+pin+face", "pass+badge"), badges=("B1",))
    for _ in range(3):
        m.show()
        face(m, ok=False)
    restart_with(m, rest=("pass",))
    assert said(m, "rental.unservable") == []


# ---------------------------------------------------------------- another terminal can
def test_a_terminal_that_cannot_sends_its_customer_to_the_one_that_can() -> None:
    m = factor_bench(("pass",))
    m.book(badges=("B1",), demands=("pass+badge",))
    assert m.show(terminal="side").refused == "other_terminal"
    assert shown(m, "side")["code"] == "other_terminal" and shown(m, "side")["params"] == {"terminals": ["front"]}
    assert refusals(m) == ["other_terminal"] and m.rental().state is RentalState.READY
    assert m.show().refused is None and shown(m)["code"] == "show_badge"
    m.wait(20)
    assert shown(m, "side") == {"code": "idle", "params": {}, "support_ref": "side-1"}


def test_so_does_one_whose_camera_fails_in_the_midst_of_it() -> None:
    m = factor_bench(("pass",), offers=frozenset({"pass", "face"}))
    m.book(**FACE, demands=EITHER)
    m.show()
    face(m, ok=None)
    assert m.visit().state is VisitState.FAREWELL
    assert shown(m)["code"] == "other_terminal" and shown(m)["params"] == {"terminals": ["side"]}
    m.wait(20)
    assert m.visit().elsewhere == ()


def test_a_terminal_is_named_only_where_it_could_do_it_now() -> None:
    """The face's tries are spent, and the other one has nothing but a camera."""
    m = factor_bench(("pass",))
    front = replace(m.layout.terminals["front"], offers=frozenset({"pass", "face"}))
    m.layout = replace(m.layout, terminals={"front": front, "side": replace(front, id="side")})
    m.crash()
    m.recover_rest()
    m.world.apply({("rental", "r1"): replace(_booking(m), face_attempts=3)})
    assert m.show().refused == "factor_unavailable" and shown(m)["code"] == "call_support"


def _booking(m: Bench) -> Any:
    """One that could not be booked at this site: made before its last keypad went."""
    other = factor_bench(("pass",))
    other.book(**FACE, demands=EITHER)
    return other.rental()


# ---------------------------------------------------------------- a way without a face
def test_a_pass_that_takes_the_way_without_a_face_away_is_refused_at_once() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, demands=EITHER)
    assert m.show(demands=("pass+face",)).refused == "only_by_face"
    assert looks(m) == 0 and shown(m)["code"] == "call_support" and refusals(m) == ["only_by_face"]
    assert m.rental().state is RentalState.READY
    assert m.show(demands=("pass+face", "pass+pin")).refused is None, "one that leaves it is taken"


def test_a_pass_that_names_a_plain_way_which_this_booking_cannot_go_is_refused_too() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, demands=EITHER)
    assert m.show(demands=("pass+face", "pass+badge")).refused == "only_by_face"


def test_so_is_such_a_pass_beside_a_badge() -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, badges=("B1",))
    badge(m)
    assert m.show(demands=("pass+badge+face",)).refused == "only_by_face"
    assert looks(m) == 0 and m.visit().have == {"badge"} and m.visit().state is VisitState.VERIFYING
    assert m.show().refused is None and m.unlocks() == ["b1"]


@pytest.mark.parametrize("demands", [("pass+pin",), ("pass+pin+badge", "pass+pin+face")])
def test_a_pass_may_demand_more_as_long_as_that_is_left(demands: tuple[str, ...]) -> None:
    m = factor_bench(("pass",))
    m.book(**FACE, badges=("B1",))
    assert m.show(demands=demands).refused is None
