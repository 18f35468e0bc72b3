"""A holder before a machine whose journal is an older copy than their rental: it never left, by the books."""

from __future__ import annotations

from typing import Any

import pytest

from fsm import events as e
from fsm.model import RentalState, Spent, VisitState
from tests.unit.fsm.machine import HOUR, Bench, bench

READY, BOOKED, RETURNED, RETURNING = (
    RentalState.READY,
    RentalState.BOOKED,
    RentalState.RETURNED,
    RentalState.RETURNING,
)
UNWATCHED: dict[str, Any] = {"presence": False, "tag": False}


def restored(said: bool = True, **site: Any) -> Bench:
    """The books say that r1 has not been here; its car1 is gone, as the start finds out."""
    m = bench(cars={"b1": "car1", "b2": "car2"}, **site)
    m.book()
    m.crash()
    if said:
        m.tell(e.JournalRestored("epoch-2", "eve: card replaced"))
    m.recover("b1", **m.closed_with(None))
    m.recover_rest()
    assert [one.kind for one in m.world.of["incident"].values()] == ["asset_missing"]
    assert m.rental().state is READY
    return m


def ask(m: Bench) -> Bench:
    m.tell(e.ReturnAsked("front"))
    return m


def closed(m: Bench, bay: str, asset: str | None) -> None:
    m.sent(bay)
    m.open(bay)
    m.close(bay, presence=asset is not None, tag=m.tag_of(asset))


def closing(m: Bench) -> None:
    (incident,) = m.world.of["incident"]
    assert m.tell(e.ResolveIncident(incident, "closed", "eve", "the journal was restored")).refused is None


# ---------------------------------------------------------------- by the pass
@pytest.mark.parametrize("known", ["missed", "asked for", "told by the directory"])
@pytest.mark.parametrize("tag", [True, False])
def test_the_holder_brings_it_back_by_the_pass(known: str, tag: bool) -> None:
    m = restored(tag=tag)
    if known != "missed":
        closing(m)
        assert m.show().refused == "asset_not_here", "nobody has said that it is out"
    if known == "asked for":
        ask(m)
    elif known == "told by the directory":
        m.deliver(e.PutAssets("a", (("car1", "car", ("TAG1",), "r1"),)))
    assert m.show(exp=1.0, nbf=0.5, key_retired=True).refused is None, "signature and rental count, nothing else"
    assert m.rental().state is RETURNING and m.unlocks() == ["b1"]
    closed(m, "b1", "car1")
    assert m.rental().state is RETURNED and m.bay("b1").asset == "car1" and m.rental().assumed is None
    m.wait(301)
    assert m.show().refused == "spent"


def test_who_brings_nothing_has_a_booking_as_before() -> None:
    m = restored()
    assert m.show().refused is None
    closed(m, "b1", None)
    assert m.rental().state is READY and m.rental().asset is None and m.visit().reason == "left_empty"
    assert m.kinds()[-2:] == ["rental.return_abandoned", "rental.ready"]
    assert m.tell(e.SetContents("b1", "car1", "eve", "found behind the shelf")).refused == "sensor_contradicts"
    m.wait(2 * HOUR)
    assert m.rental().state is RentalState.EXPIRED, "its window went on"


@pytest.mark.parametrize("word", ["not_sent", "jammed", "late"])
def test_what_did_not_open_leaves_the_booking_as_it_was(word: str) -> None:
    m = restored()
    assert m.show().refused is None
    if word == "not_sent":
        m.sent("b1", "not_sent")
    else:
        m.sent("b1")
        if word == "late":
            m.sense("b1", bolt=False)
        m.wait(16)
        if word == "late":
            assert m.rental().state is RentalState.ON_TRIP and m.rental().grant is not None
            m.sense("b1", bolt=True)
    assert m.rental().state is READY and m.rental().grant is None and m.rental().assumed is None


def test_a_late_opening_still_takes_it() -> None:
    m = restored(bolt=False)
    assert m.show().refused is None
    m.sent("b1")
    m.wait(16)
    m.sense("b1", door=True)
    assert m.rental().state is RETURNING
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state is RETURNED


def test_a_stuck_bay_sends_it_to_another() -> None:
    m = bench(cars={"b1": "car1"})
    m.book()
    m.crash()
    m.tell(e.JournalRestored("epoch-2", "eve: card replaced"))
    m.recover("b1", **m.closed_with(None))
    m.recover_rest()
    assert m.show().refused is None
    m.sent("b1")
    m.sense("b1", bolt=False)
    m.wait(90)
    assert m.show().refused is None and m.unlocks() == ["b1", "b2"]
    closed(m, "b2", "car1")
    assert m.rental().state is RETURNED and m.bay("b1").grant is None


def test_a_booking_whose_window_has_not_opened_is_one_again() -> None:
    m = bench(cars={})
    m.book(window_from=m.utc + HOUR, window_to=m.utc + 3 * HOUR)
    assert m.rental().state is BOOKED
    ask(m)
    assert m.show().refused is None
    closed(m, "b1", None)
    assert m.rental().state is BOOKED
    m.wait(HOUR + 1)
    assert m.rental().state is READY


def test_without_the_return_key_a_car_that_another_has_is_no_return() -> None:
    m = bench()
    m.book("r0")
    m.pick_up("r0")
    m.book("r1")
    assert m.show().refused == "asset_not_here"
    m.wait(20)
    ask(m)
    assert m.show().refused is None, "who asks for it may put it in"
    closed(m, "b1", "car1")
    assert m.rental("r0").state is m.rental("r1").state is RETURNED


def test_what_is_missed_by_a_journal_that_is_no_copy_was_not_taken_by_its_holder() -> None:
    m = restored(said=False)
    assert m.show().refused == "asset_not_here", "it is gone, and they have not had it"
    m.wait(20)
    ask(m)
    assert m.show().refused is None, "who asks for it may put it in all the same"


def test_a_new_epoch_found_at_the_start_is_a_restore() -> None:
    m = bench()
    m.tell(e.Restarted(epoch="a1b2"))
    m.recover_rest()
    assert not m.world.machine.restored, "the first is none"
    m.tell(e.Restarted(epoch="a1b2"))
    assert not m.world.machine.restored
    m.tell(e.Restarted(epoch="c3d4"))
    assert m.world.machine.restored


def test_with_its_car_inside_the_return_key_changes_nothing() -> None:
    m = bench()
    m.book()
    ask(m)
    assert m.show().refused is None and m.rental().state is RentalState.RELEASING


def test_what_cannot_be_named_is_received_all_the_same() -> None:
    m = restored()
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    assert m.rental().state is RentalState.INCIDENT and m.rental().assumed is None
    ident = m.rental().incident or ""
    m.sense("b1", tag="TAG1")
    assert m.tell(e.SetContents("b1", "car1", "eve", "looked")).refused is None
    assert m.tell(e.ResolveIncident(ident, "returned", "eve", "looked")).refused is None


# ---------------------------------------------------------------- over in the meantime
@pytest.mark.parametrize("acked", [False, True])
@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_a_booking_that_is_over_here_brings_its_car_back(how: str, acked: bool) -> None:
    m = restored()
    closing(m)
    if how == "expired":
        m.wait(2 * HOUR)
    else:
        m.deliver(e.CancelReservation("c", "r1", 2))
    if acked:
        m.tell(e.Acknowledged(("r1",)))
        assert m.world.rental("r1") is None
    word = {"expired": "too_late", "cancelled": "cancelled"}[how]
    assert m.show(asset="car1").refused == word
    ask(m)
    assert m.show(asset="car1").refused is None
    closed(m, "b1", None)
    assert m.world.rental("r1") is None and isinstance(m.world.of["spent"]["r1"], Spent)
    m.wait(20)
    assert m.show(asset="car1").refused == word, "nothing came by it: all is as before"
    m.wait(20)
    ask(m)
    assert m.show(asset="car1").refused is None
    closed(m, "b1", "car1")
    assert m.rental().state is RETURNED and m.bay("b1").asset == "car1"


def test_a_returned_rentals_pass_starts_no_return_again() -> None:
    m = bench()
    m.book()
    m.pick_up()
    m.bring_back()
    m.wait(301)
    m.tell(e.Acknowledged(("r1",)))
    m.book("r2", "car1")
    m.pick_up("r2")
    ask(m)
    assert m.show(asset="car1").refused == "spent"


# ---------------------------------------------------------------- of a class
@pytest.mark.parametrize("heard_of", [True, False])
def test_a_class_is_brought_back_after_the_return_key(heard_of: bool) -> None:
    m = bench(cars={"b2": "car2"})
    if heard_of:
        m.book(asset=None)
    over = {"asset_class": "car"}
    ask(m)
    assert m.show(**over).refused is None and m.rental().state is RETURNING and m.unlocks() == ["b1"]
    closed(m, "b1", None)
    assert (m.rental().state is READY) if heard_of else (m.world.rental("r1") is None)
    m.wait(20)
    ask(m)
    assert m.show(**over).refused is None
    closed(m, "b1", "car1")
    assert m.rental().state is RETURNED and m.rental().asset == m.bay("b1").asset == "car1"


def test_what_comes_back_of_a_class_is_a_technicians_where_no_tag_is_read() -> None:
    m = bench(cars={}, tag=False)
    m.book(asset=None)
    ask(m)
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True)
    assert m.rental().state is RentalState.INCIDENT and m.bay("b1").quarantined
    ident = m.rental().incident or ""
    assert m.tell(e.SetContents("b1", "car1", "eve", "looked")).refused is None
    assert m.tell(e.ResolveIncident(ident, "returned", "eve", "looked")).refused is None
    assert m.rental().state is RETURNED


def test_without_the_return_key_a_class_is_a_pick_up() -> None:
    m = bench()
    m.book(asset=None)
    assert m.show().refused is None and m.rental().state is RentalState.RELEASING


# ---------------------------------------------------------------- what the cloud says meanwhile
@pytest.mark.parametrize("comes", [True, False])
def test_a_cancellation_waits_for_the_bays_word(comes: bool) -> None:
    m = restored()
    assert m.show().refused is None
    m.deliver(e.CancelReservation("c", "r1", 2))
    closed(m, "b1", "car1" if comes else None)
    assert m.outcome("c") == (("refused", "already_released") if comes else ("accepted", ""))
    assert m.rental().state is (RETURNED if comes else RentalState.CANCELLED)


@pytest.mark.parametrize("comes", [True, False])
def test_a_change_waits_for_the_bays_word(comes: bool) -> None:
    m = restored()
    assert m.show().refused is None
    m.book(version=2, due=m.utc + 99 * HOUR)
    change = f"i{m.instruction_n}"
    assert change not in m.world.of["done"]
    closed(m, "b1", "car1" if comes else None)
    assert m.outcome(change) == (("refused", "already_over") if comes else ("accepted", ""))


@pytest.mark.parametrize("comes", [True, False])
def test_the_power_fails_meanwhile(comes: bool) -> None:
    m = restored()
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.crash()
    m.recover("b1", **m.closed_with("car1" if comes else None))
    m.wait(61)
    assert m.rental().state is (RETURNED if comes else READY)


# ---------------------------------------------------------------- by a badge
@pytest.mark.parametrize("several", [False, True])
def test_a_badge_brings_it_back(several: bool) -> None:
    m = restored()
    m.book(version=2, badges=("hash",))
    closing(m)
    if several:
        m.book("r2", "car2", badges=("hash",))
    ask(m)
    assert m.tell(e.BadgePresented("front", "hash")).refused is None
    if several:
        assert m.visit().state is VisitState.CHOOSING
        ref = str(m.visit().choices.index("r1") + 1)
        assert m.tell(e.Chosen("front", ref)).refused is None
    assert m.rental().state is RETURNING
    closed(m, "b1", "car1")
    assert m.rental().state is RETURNED


# ---------------------------------------------------------------- where nothing senses it
def test_a_word_that_nothing_sensed_ends_no_rental_that_is_out() -> None:
    """Somebody closes an empty bay under a pass never heard of, for what another has."""
    m = bench(**UNWATCHED)
    m.book()
    m.pick_up()
    assert m.rental().state is RentalState.ON_TRIP
    assert m.show("r81", asset="car1", exp=1.0, nbf=0.5).refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental().state is RentalState.ON_TRIP, "its holder has it, for all that is known"
    assert m.world.rental("r81") is None and m.visit().reason == "incident"
    assert m.bay("b1").quarantined and m.bay("b1").asset is None
    assert [(one.kind, one.asset) for one in m.world.of["incident"].values()] == [("unsure_return", "car1")]
    m.wait(20)
    assert m.bring_back() == "b2"
    assert m.rental().state is RETURNED and m.bay("b2").asset == "car1"


def test_where_nobody_else_is_known_to_have_it_the_pass_is_believed() -> None:
    m = bench(cars={}, **UNWATCHED)
    assert m.show("r81", asset="car1", exp=1.0, nbf=0.5).refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental("r81").state is RETURNED and m.bay("b1").asset == "car1"


def test_a_booking_that_never_left_is_not_ended_by_what_nothing_sensed() -> None:
    m = bench(cars={}, **UNWATCHED)
    m.book()
    ask(m)
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1")
    assert m.rental().state is READY and m.bay("b1").quarantined
    closed_by = m.tell(e.SetContents("b1", "car1", "eve", "it is inside"))
    assert closed_by.refused is None and m.bay("b1").asset == "car1"
    closing(m)
    m.wait(20)
    assert m.show().refused is None and m.unlocks()[-1] == "b1"
