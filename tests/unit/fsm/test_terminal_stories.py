"""One pass at more than one terminal, or again at its own: told what is the case, and nothing is disturbed."""

from __future__ import annotations

import pytest

from fsm import events as e
from fsm.model import VisitState
from tests.unit.fsm.machine import Bench, layout
from vendingd.prompts import TOLD


def returned(pin: str | None = None) -> Bench:
    """Car 1 was out with r1 and is back in b1, its holder still near."""
    demands = ("pass+pin",) if pin else ()
    m = Bench(layout()).start({"b1": "car1"})
    m.book(pin=pin, demands=demands)
    assert m.show().refused is None
    if pin:
        type_pin(m)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=True, tag="TAG1")
    assert m.rental().state == "returned"
    return m


def type_pin(m: Bench, *, right: bool = True) -> None:
    m.tell(e.PinEntered("front", "1234"))
    m.tell(e.PinChecked("front", m.visit().n, "r1", right))


def test_bay_that_is_open_again_is_in_use() -> None:
    m = returned()
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    before = m.unlocks()
    assert m.show(terminal="side").refused == "in_use"
    assert m.show().refused == "in_progress"
    assert m.unlocks() == before and m.visit().state is VisitState.SERVING
    m.close("b1", presence=True, tag="TAG1")
    assert m.show(terminal="side").refused is None


def test_bay_that_may_still_open_again_is_awaited() -> None:
    m = returned()
    assert m.show().refused is None
    m.sent("b1")
    m.sense("b1", bolt=False)
    m.wait(20.0)
    assert m.show(terminal="side").refused == "late_opening_awaited"


@pytest.mark.parametrize("stage", ["opening", "open", "settling"])
def test_whoever_would_reopen_a_bay_that_serves_another_is_told_to_wait(stage: str) -> None:
    """The car of the rental that has just ended is being handed to the next."""
    m = returned()
    m.book("r2", "car1")
    assert m.show("r2", terminal="side").refused is None
    m.sent("b1")
    if stage != "opening":
        m.open("b1")
    if stage == "settling":
        m.close("b1", settle=False)
    before = m.unlocks()
    assert m.show().refused == "bay_in_use" and m.unlocks() == before
    assert m.visit().reason == "bay_in_use" and TOLD["bay_in_use"] == "wait"


def test_reopening_that_waits_for_a_pin_is_in_use() -> None:
    m = returned(pin="sealed")
    assert m.show().refused is None and m.visit().wants == "pin"
    assert m.show(terminal="side").refused == "in_use"
    assert m.show().refused == "in_progress"
    before = m.unlocks()
    type_pin(m)
    assert m.unlocks() == [*before, "b1"]


def test_own_pass_shown_on_leaves_what_is_told() -> None:
    """A phone held before a camera while the PIN is typed."""
    m = Bench(layout()).start({"b1": "car1"})
    m.book(pin="sealed", demands=("pass+pin",))
    m.show()
    type_pin(m, right=False)
    assert m.visit().reason == "wrong_pin"
    assert m.show().refused == "in_progress"
    assert m.visit().reason == "wrong_pin" and m.visit().wants == "pin"
