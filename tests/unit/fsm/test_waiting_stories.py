"""Instructions that come while a bay is at work for their rental: one outcome each, once the bay's word is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import Rental, RentalState
from tests.unit.fsm.machine import HOUR, Bench, bench
from vendingd.kernel.codec import decode, encode

CARS = {"b1": "car1", "b2": "car2"}
BUY = e.BuyRental("buy", "r1", 2)


def outcomes(m: Bench, ident: str) -> list[tuple[str, str]]:
    """Every outcome that was recorded of an instruction; there is to be one."""
    told = [data for kind, subject, data in m.records if kind == "instruction.outcome" and subject == ident]
    assert len(told) <= 1, told
    return [(data["outcome"], data.get("reason", "")) for data in told]


def returning(**site: Any) -> Bench:
    m = bench(**site)
    m.book()
    m.pick_up()
    m.show()
    m.sent("b1")
    m.open("b1")
    assert m.rental().state is RentalState.RETURNING
    return m


def releasing(**site: Any) -> Bench:
    m = bench(cars=CARS, **site)
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    assert m.rental().state is RentalState.RELEASING
    return m


def claimed() -> Bench:
    m = bench(cars=CARS)
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    assert m.rental().state is RentalState.CLAIMED
    return m


def put(m: Bench, ident: str = "put", version: int = 2, **over: Any) -> e.PutReservation:
    one = e.PutReservation(ident, version, "r1", m.utc - HOUR, m.utc + 9 * HOUR, due=m.utc + 90 * HOUR, asset="car1")
    return replace(one, **over)


# ---------------------------------------------------------------- a purchase
def test_a_purchase_during_a_return_that_came_to_nothing_is_carried_out() -> None:
    m = returning()
    m.deliver(BUY)
    assert outcomes(m, "buy") == [] and m.rental().state is RentalState.RETURNING
    m.close("b1")
    assert m.rental().state is RentalState.PURCHASED and outcomes(m, "buy") == [("accepted", "")]
    assert m.rental().waiting == () and m.rental().asset == "car1"
    m.deliver(BUY)
    assert m.kinds()[-1] == "instruction.replayed" and m.records[-1][2]["outcome"] == "accepted"


def test_a_purchase_during_a_return_that_brought_it_back_came_too_late() -> None:
    m = returning()
    m.deliver(BUY)
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED and outcomes(m, "buy") == [("refused", "already_returned")]
    m.deliver(replace(BUY, id="again", version=3))
    assert m.outcome("again") == ("refused", "already_returned"), "the same word to whoever comes later"


def test_a_purchase_during_a_return_of_which_nobody_knows_the_end_is_refused_as_an_incident() -> None:
    m = returning()
    m.deliver(BUY)
    m.close("b1", presence=None)
    assert m.rental().state is RentalState.INCIDENT and outcomes(m, "buy") == [("refused", "incident")]
    m.deliver(replace(BUY, id="again", version=3))
    assert m.outcome("again") == ("refused", "incident")


def test_a_purchase_waits_for_a_return_bay_that_may_still_open() -> None:
    m = bench(bolt=False)
    m.book()
    m.pick_up()
    m.show()
    m.sent("b1")
    m.wait(16)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().grant is not None
    m.deliver(BUY)
    m.open("b1")  # late
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RentalState.RETURNED and outcomes(m, "buy") == [("refused", "already_returned")]


def test_a_purchase_that_waits_holds_up_no_return() -> None:
    m = bench(bolt=False)
    m.book()
    m.pick_up()
    m.show()
    m.sent("b1")
    m.wait(16)
    m.deliver(BUY)
    m.bring_back()
    assert m.rental().state is RentalState.RETURNED


def test_a_purchase_while_the_asset_is_being_taken_is_carried_out_then() -> None:
    m = releasing()
    m.deliver(BUY)
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.PURCHASED and outcomes(m, "buy") == [("accepted", "")]
    assert m.kinds().index("rental.on_trip") < m.kinds().index("rental.purchased")


@pytest.mark.parametrize("same_boot", [False, True])
def test_what_waits_survives_a_restart(same_boot: bool) -> None:
    m = returning()
    m.deliver(BUY)
    stored = encode(m.rental())
    assert decode("rental", "r1", stored) == m.rental()
    m.crash(same_boot=same_boot)
    m.deliver(BUY)
    assert outcomes(m, "buy") == [] and len(m.rental().waiting) == 1, "told again, it waits once"
    m.recover("b1", **m.closed_with(None))
    assert m.rental().state is RentalState.PURCHASED and outcomes(m, "buy") == [("accepted", "")]


def test_a_row_of_before_anything_could_wait_is_read() -> None:
    old = encode(Rental(id="r1", state=RentalState.ON_TRIP)).replace(b'"waiting":[],', b"")
    assert b"waiting" not in old
    known = decode("rental", "r1", old)
    assert isinstance(known, Rental) and known.waiting == ()


def test_a_rental_made_up_by_its_pass_is_bought_all_the_same() -> None:
    """Nothing came back: it would have left the world with the instruction that waited for it."""
    m = bench(cars={})
    m.deliver(e.PutAssets("a", (("far", "car", ("FAR",), "r1"),)))
    m.show(audience="m2")
    m.sent("b1")
    m.open("b1")
    m.deliver(BUY)
    m.close("b1")
    assert outcomes(m, "buy") == [("accepted", "")] and m.rental().state is RentalState.PURCHASED


# ---------------------------------------------------------------- a reservation put anew
def test_an_update_while_the_holder_types_is_carried_out_when_they_leave() -> None:
    m = claimed()
    m.deliver(put(m, asset="car2"))
    assert outcomes(m, "put") == [] and m.rental().named == "car1"
    m.tell(e.Left("front"))
    assert outcomes(m, "put") == [("accepted", "")]
    assert m.rental().named == "car2" and m.rental().version == 2 and m.rental().waiting == ()


def test_an_update_while_the_bay_is_open_is_carried_out_when_nothing_was_taken() -> None:
    m = releasing()
    due = m.utc + 500 * HOUR
    m.deliver(put(m, due=due))
    m.close("b1")
    assert m.rental().state is RentalState.READY and outcomes(m, "put") == [("accepted", "")]
    assert m.rental().due_utc == due


def test_an_update_of_what_was_taken_meanwhile_is_refused() -> None:
    m = releasing()
    m.deliver(put(m, asset="car2"))
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is RentalState.ON_TRIP and outcomes(m, "put") == [("refused", "already_released")]
    assert m.rental().named == "car1" and m.rental().version == 1
    m.deliver(put(m, "later", 3))
    assert m.outcome("later") == ("refused", "already_released")


def test_an_update_waits_from_the_claim_through_the_release() -> None:
    m = claimed()
    m.deliver(put(m))
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    assert m.rental().state is RentalState.RELEASING
    m.sent("b1")
    m.wait(16)
    assert m.rental().state is RentalState.READY and outcomes(m, "put") == [("accepted", "")]


def test_an_update_waits_for_a_late_opening_and_is_carried_out_after() -> None:
    m = bench(cars=CARS, bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(16)
    m.deliver(put(m, asset="car2"))
    assert outcomes(m, "put") == []
    m.wait(61)
    assert m.rental().grant is None and outcomes(m, "put") == [("accepted", "")]
    assert m.rental().named == "car2"


def test_an_update_while_claimed_survives_a_restart() -> None:
    m = claimed()
    m.deliver(put(m))
    assert decode("rental", "r1", encode(m.rental())) == m.rental()
    m.crash()
    assert m.rental().version == 2 and outcomes(m, "put") == [("accepted", "")]


def test_a_window_that_is_being_extended_does_not_end_the_booking() -> None:
    m = bench(cars=CARS)
    m.book(demands=("pass+pin",), pin="sealed", window_to=m.utc + 60)
    m.show()
    m.deliver(put(m))
    m.wait(130)
    assert m.rental().state is RentalState.READY and not m.rental().expire
    assert m.rental().window_to_utc > m.utc and outcomes(m, "put") == [("accepted", "")]


def test_an_update_with_what_is_waiting_never_shows_its_secret() -> None:
    m = releasing()
    m.deliver(put(m, pin="sealed-blob"))
    assert len(m.rental().waiting) == 1 and "sealed-blob" not in repr(m.rental())


# ---------------------------------------------------------------- order
def test_a_newer_one_takes_the_place_of_one_that_waits() -> None:
    m = releasing()
    m.deliver(put(m, "p2", 2, asset="car2"), put(m, "p4", 4), put(m, "p3", 3, asset="car2"))
    assert outcomes(m, "p2") == [("refused", "superseded")] and outcomes(m, "p4") == []
    assert outcomes(m, "p3") == [("refused", "superseded")], "older than what waits"
    m.close("b1")
    assert m.rental().named == "car1" and m.rental().version == 4 and outcomes(m, "p4") == [("accepted", "")]


def test_an_extension_waits_behind_what_came_before_it() -> None:
    m = returning()
    due = m.utc + 900 * HOUR
    m.deliver(BUY, e.ExtendRental("ext", "r1", 3, due))
    assert outcomes(m, "ext") == [] and m.rental().due_utc != due
    m.close("b1")
    assert outcomes(m, "buy") == [("accepted", "")] and outcomes(m, "ext") == [("refused", "wrong_state")]


def test_an_extension_alone_waits_for_nobody() -> None:
    m = returning()
    m.deliver(e.ExtendRental("ext", "r1", 2, m.utc + 900 * HOUR))
    assert outcomes(m, "ext") == [("accepted", "")]


def test_a_cancellation_behind_an_update_wins_where_nothing_was_taken() -> None:
    m = releasing()
    m.deliver(put(m), e.CancelReservation("cancel", "r1", 3))
    assert outcomes(m, "put") == outcomes(m, "cancel") == []
    m.close("b1")
    assert m.rental().state is RentalState.CANCELLED
    assert outcomes(m, "cancel") == [("accepted", "")] and outcomes(m, "put") == [("refused", "already_over")]


def test_a_cancellation_older_than_the_update_that_waits_is_superseded() -> None:
    m = releasing()
    m.deliver(put(m, version=3), e.CancelReservation("cancel", "r1", 2))
    assert outcomes(m, "cancel") == [("refused", "superseded")]
    m.close("b1")
    assert m.rental().state is RentalState.READY and outcomes(m, "put") == [("accepted", "")]


def test_an_update_does_not_overtake_a_cancellation_that_waits() -> None:
    m = bench(cars=CARS, bolt=False)
    m.book()
    m.show()
    m.sent("b1")
    m.wait(16)
    m.deliver(e.CancelReservation("cancel", "r1", 2), put(m, version=3))
    m.wait(61)
    assert m.rental().state is RentalState.CANCELLED and outcomes(m, "cancel") == [("accepted", "")]
    assert outcomes(m, "put") == [("refused", "already_over")]


def test_a_claim_that_a_cancellation_ends_answers_what_waited() -> None:
    m = claimed()
    m.deliver(put(m), e.CancelReservation("cancel", "r1", 3))
    assert outcomes(m, "cancel") == [("accepted", "")] and outcomes(m, "put") == [("refused", "already_over")]
