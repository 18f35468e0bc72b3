"""Stories in which the cloud has a say: extensions, purchases, cancellations, replays, snapshots, directories, keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.effects import EraseSecrets
from fsm.model import RentalState, Spent
from fsm.outcome import KEPT
from tests.unit.fsm.machine import HOUR, Bench, bench


def out(**site: Any) -> Bench:
    m = bench(**site)
    m.book()
    m.pick_up()
    assert m.rental().state is RentalState.ON_TRIP
    return m


# ---------------------------------------------------------------- extension and purchase
def test_an_extension_moves_the_due_time_and_ends_being_overdue() -> None:
    m = out()
    m.wait(73 * HOUR)
    assert m.rental().overdue and m.kinds().count("rental.overdue") == 1
    due = m.utc + 10 * HOUR
    m.deliver(e.ExtendRental("x", "r1", 2, due))
    assert not m.rental().overdue and m.rental().due_utc == due and m.outcome("x") == ("accepted", "")
    m.wait(9 * HOUR)
    assert not m.rental().overdue
    m.wait(2 * HOUR)
    assert m.rental().overdue
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED, "overdue is a field, not a state"


def test_a_superseded_version_changes_nothing() -> None:
    m = out()
    due = m.rental().due_utc
    m.deliver(e.ExtendRental("x1", "r1", 5, m.utc + 100 * HOUR), e.ExtendRental("x2", "r1", 4, m.utc))
    assert m.outcome("x2") == ("refused", "superseded") and m.rental().version == 5
    assert m.rental().due_utc != due and m.rental().due_utc == m.utc + 100 * HOUR
    m.deliver(e.BuyRental("x3", "r1", 5))
    assert m.outcome("x3") == ("refused", "superseded") and m.rental().state is RentalState.ON_TRIP


def test_a_purchase_ends_the_rental_and_its_secrets() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.deliver(e.BuyRental("x", "r1", 2))
    assert m.rental().state is RentalState.PURCHASED and m.rental().pin is None
    assert isinstance(m.effects[-1], EraseSecrets) and not m.rental().deadlines


@pytest.mark.parametrize("retired", [False, True])
@pytest.mark.parametrize("by", ["pass", "tag"])
def test_a_bought_car_brought_back_is_received_and_reported(by: str, retired: bool) -> None:
    m = out()
    m.deliver(e.BuyRental("x", "r1", 2))
    if retired:
        m.tell(e.Acknowledged(["r1"]))
        assert m.world.rental("r1") is None
    shown = m.show() if by == "pass" else m.hold_tag()
    assert shown.refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.bay().asset == "car1" and m.visit().reason == "returned"
    assert ("asset.received", "car1", {"bay": "b1"}) in m.records
    assert "rental.returned" not in m.kinds(), "a stranger's"
    if by == "pass":
        assert m.show().refused == "already_here", "once is enough: its pass opens no second bay"


def test_a_purchase_of_what_is_not_out_is_refused() -> None:
    m = bench()
    m.book()
    m.deliver(e.BuyRental("x", "r1", 2))
    assert m.outcome("x") == ("refused", "wrong_state")


@pytest.mark.parametrize("returning", [False, True])
def test_returned_elsewhere_closes_the_rental_here(returning: bool) -> None:
    m = out()
    if returning:
        m.show()
        m.sent("b1")
        m.open("b1")
    m.deliver(e.ReturnedElsewhere("x", "r1", 2, "m2"))
    assert m.outcome("x") == ("accepted", "") and m.rental().state is RentalState.RETURNED
    if returning:
        m.close("b1")
        m.wait(11)
    assert m.rental().state is RentalState.RETURNED and m.show().refused == "spent"


# ---------------------------------------------------------------- cancellation
def test_cancelled_before_the_pick_up() -> None:
    m = bench()
    m.book()
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert m.outcome("x") == ("accepted", "")
    assert m.show().refused == "cancelled" and m.unlocks() == []


def test_cancelled_while_a_pin_is_typed() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert m.outcome("x") == ("accepted", "") and m.visit().reason == "cancelled"
    assert m.tell(e.PinEntered("front", "1234")).refused is not None and m.unlocks() == []


def test_cancelled_while_the_door_is_open_and_then_not_taken() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert "x" not in m.world.of["done"]
    m.close("b1")
    assert m.rental().state is RentalState.CANCELLED and m.outcome("x") == ("accepted", "")


def test_cancelled_after_the_release() -> None:
    m = out()
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert m.outcome("x") == ("refused", "already_released")


def test_a_claim_at_a_bay_that_may_still_open_is_ended_by_a_cancellation_that_waits() -> None:
    m = bench(bolt=False)
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.wait(16)
    assert m.show().refused is None and m.rental().state is RentalState.CLAIMED
    m.deliver(e.CancelReservation("x", "r1", 2))
    assert m.rental().state is RentalState.READY and "x" not in m.world.of["done"]
    assert m.visit().reason == "cancelled"
    m.open("b1")  # late
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP, "it is not gone with nobody"
    assert m.outcome("x") == ("refused", "already_released")


def test_a_waiting_cancellation_told_again_still_has_one_outcome() -> None:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    for _ in range(3):
        m.deliver(e.CancelReservation("x", "r1", 2))
    m.deliver(e.CancelReservation("y", "r1", 3))
    m.open("b1")
    m.close("b1")
    assert m.rental().state is RentalState.CANCELLED
    told = [subject for kind, subject, _ in m.records if kind == "instruction.outcome"]
    assert told.count("x") == told.count("y") == 1
    assert m.outcome("x") == ("refused", "superseded") and m.outcome("y") == ("accepted", "")


def test_an_expiry_waits_for_a_bay_that_may_still_open_also_behind_a_claim() -> None:
    m = bench(bolt=False, lapse_s=7200.0)
    m.book(demands=("pass+pin",), pin="sealed", window_to=1_700_000_000.0 + 100)
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.wait(16)
    m.show()
    m.wait(150)
    assert m.rental().state is RentalState.READY and m.rental().expire
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP


# ---------------------------------------------------------------- the feed itself
def test_a_replayed_instruction_gets_the_stored_outcome_and_happens_once() -> None:
    m = bench()
    unlock = e.CloudUnlock("u", "b1", "help", 1.0)
    m.deliver(unlock)
    m.deliver(unlock, replace(unlock, age_s=2.0))
    assert m.unlocks() == ["b1"]
    assert [data["outcome"] for kind, _, data in m.records if kind == "instruction.replayed"] == ["accepted"] * 2


def test_one_refused_instruction_leaves_the_others_of_its_delivery() -> None:
    m = bench()
    m.deliver(
        e.BuyRental("a", "nobody", 1),
        e.Unreadable("b", "rental.window: missing"),
        e.CloudAvailability("c", "b2", False, "paint"),
        e.CloudAvailability("d", "b9", False, "paint"),
    )
    assert [m.outcome(i) for i in "abcd"] == [
        ("refused", "unknown_rental"),
        ("malformed", "rental.window: missing"),
        ("accepted", ""),
        ("refused", "unknown_bay"),
    ]
    assert not m.bay("b2").in_service and m.world.machine.cursor == "c"


def test_a_factor_that_nobody_can_check_here_is_refused_at_once() -> None:
    m = bench()
    m.book(demands=("pass+face",))
    assert m.outcome("i1") == ("refused", "factor_unavailable") and m.world.rental("r1") is None
    m.book(demands=("pass+pin",))
    assert m.outcome("i2") == ("refused", "factor_unavailable"), "a PIN without a verifier"


def test_a_snapshot_cancels_what_only_waits() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"})
    for rental in ("gone", "kept", "there"):
        m.book(rental, None)
    m.book("out", "car1")
    m.pick_up("out", "b1")
    m.book("claimed", "car2", demands=("pass+pin",), pin="sealed")
    m.show("claimed")
    m.show("offline", audience="m1", asset_class="car")
    put = e.PutReservation("s1", 1, "kept", m.utc - HOUR, m.utc + HOUR, asset_class="car")
    m.tell(e.Deliver("c2", [put], True, frozenset({"there"})))
    states = {key: r.state for key, r in m.world.of["rental"].items()}
    assert states["gone"] is RentalState.CANCELLED
    assert states["kept"] is states["there"] is RentalState.READY
    assert states["out"] is RentalState.ON_TRIP and states["claimed"] is RentalState.CLAIMED


def test_a_snapshot_with_something_unreadable_cancels_nothing() -> None:
    m = bench()
    m.book()
    m.tell(e.Deliver("c2", [e.Unreadable("bad", "rental.id: missing")], True))
    assert m.rental().state is RentalState.READY


def test_a_snapshot_that_lacks_very_many_is_one_step() -> None:
    m = bench()
    many = [
        e.PutReservation(f"p{n}", 1, f"x{n}", m.utc + HOUR, m.utc + 2 * HOUR, asset_class="car") for n in range(600)
    ]
    m.deliver(*many)
    m.tell(e.Deliver("c2", [e.CancelReservation("c", "x0", 2)], True))
    assert {r.state for r in m.world.of["rental"].values()} == {RentalState.CANCELLED}
    assert m.outcome("c") == ("accepted", "")


def test_stored_outcomes_do_not_grow_without_end() -> None:
    m = bench()
    for batch in range(KEPT // 50 + 3):
        m.deliver(*(e.CloudAvailability(f"a{batch}.{n}", "b1", True, "x") for n in range(50)))
    assert len(m.world.of["done"]) <= KEPT + 50
    assert f"a{batch}.49" in m.world.of["done"], "the oldest go"


def test_the_outcome_settled_first_is_forgotten_first_whatever_the_journal_tells_first() -> None:
    m = bench()
    m.deliver(*(e.CloudAvailability(f"a{n}", "b1", True, "x") for n in range(KEPT - 1)))  # and the directory's
    order = [done.n for done in m.world.of["done"].values()]
    assert order == sorted(set(order)), "each has a number of its own"
    rows = dict(sorted(m.world.of["done"].items(), reverse=True))  # as a table may stand on disk
    m.world.of["done"].clear()
    m.world.apply({("done", key): row for key, row in rows.items()})
    m.deliver(*(e.CloudAvailability(f"b{n}", "b1", True, "x") for n in range(3)))
    assert set(rows) - set(m.world.of["done"]) == {"dir", "a0", "a1"}
    assert {"b0", "b1", "b2"} <= set(m.world.of["done"])
    m.deliver(e.CloudAvailability("b3", "b1", True, "x"))
    assert "a2" not in m.world.of["done"] and "b0" in m.world.of["done"]


def test_an_update_keeps_an_open_window_open() -> None:
    """Without trusted time nothing would open it anew."""
    m = bench()
    m.book()
    m.trusted = False
    m.deliver(e.PutReservation("n", 2, "r1", m.utc - 2 * HOUR, m.utc + 9 * HOUR, asset="car1"))
    assert m.rental().state is RentalState.READY and m.rental().version == 2
    m.deliver(e.PutReservation("n2", 3, "r1", m.utc + 2 * HOUR, m.utc + 9 * HOUR, asset="car1"))
    assert m.rental().state is RentalState.BOOKED


# ---------------------------------------------------------------- directory, revocation, what is over
def test_a_tag_belongs_to_one_asset() -> None:
    m = bench()
    m.deliver(e.PutAssets("a", (("new", "car", ("TAG1",), None),)))
    assert m.outcome("a") == ("refused", "tag_in_use")
    m.deliver(e.PutAssets("b", (("car1", "car", ("TAG1b",), None), ("new", "car", ("TAG1",), None))))
    assert m.outcome("b") == ("accepted", ""), "a tag may move within one instruction"
    m.deliver(e.PutAssets("c", (("n1", "car", ("N",), None), ("n2", "car", ("N",), None))))
    assert m.outcome("c") == ("refused", "tag_in_use")
    m.deliver(e.RemoveAssets("d", ("car1",)))
    assert m.outcome("d") == ("refused", "asset_in_use"), "it is in a bay"


def test_a_revoked_pass_still_brings_back() -> None:
    m = out()
    m.deliver(e.RevokePasses("rv", ("r1",), m.utc + HOUR))
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED and m.show().refused == "revoked"


def test_a_revoked_pass_of_another_machine_still_brings_back() -> None:
    m = bench(cars={})
    m.deliver(e.PutAssets("a", (("far", "car", ("FAR",), "r9"),)), e.RevokePasses("rv", ("r9",), m.utc + HOUR))
    assert m.show("r9", audience="m2").refused is None
    assert m.rental("r9").state is RentalState.RETURNING


def test_revocation_never_shortens_how_long_a_pass_stays_spent() -> None:
    """A spent pass that left the memory would be one never heard of."""
    m = out()
    m.deliver(e.RevokePasses("rv", ("r1",), m.utc + 1))
    m.bring_back()
    m.wait(301)
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is None
    m.wait(HOUR)
    m.book("r2", "car1")
    m.pick_up("r2")
    m.bring_back("r2")
    m.wait(301)
    m.tell(e.Acknowledged(["r2"]))
    spent = m.world.of["spent"]
    assert isinstance(spent["r1"], Spent) and m.show("r1", asset="car1").refused == "spent"
    until = spent["r1"].until_utc
    m.deliver(e.RevokePasses("rv2", ("r1",), m.utc + 1))
    assert spent["r1"].until_utc == until


def test_a_rental_leaves_once_the_cloud_has_it_but_not_while_it_may_be_reopened() -> None:
    m = out()
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is not None, "on trip"
    m.bring_back()
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is not None, "may be reopened"
    m.wait(301)
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.rental("r1") is None and m.show().refused == "spent"


def test_a_late_pass_of_a_forgotten_reservation_is_remembered_as_long_as_it_may_be_shown() -> None:
    m = bench()
    exp = m.utc + 400 * 86400
    m.book(pass_exp=exp)
    m.deliver(e.CancelReservation("x", "r1", 2))
    m.tell(e.Acknowledged(["r1"]))
    assert m.world.of["spent"]["r1"].until_utc > exp


def test_secrets_go_a_while_after_the_due_time() -> None:
    m = bench(erase_after_due_s=86400.0)
    for rental, due in (("r1", 1_700_000_000.0 + 72 * HOUR), ("r2", None)):
        m.book(rental, "car1", demands=("pass+pin",), pin="sealed", due=due)
        m.show(rental)
        m.tell(e.PinEntered("front", "1234"))
        m.check_pin(ok=True)
        m.sent("b1")
        m.open("b1")
        m.close("b1", presence=False, tag=None)
        assert m.rental(rental).pin == "sealed", "still needed for five minutes after the return"
        m.wait((96 if due else 26) * HOUR)
        assert m.rental(rental).pin is None
        m.bring_back(rental)
        assert m.show(rental).refused == "factor_unavailable", "a technician's now"
        m.wait(301)
