"""PINs: asked for, guessed, locked out, lifted; what can never be asked here is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.stand import TOWER, Stand, fast

LASTING = fast(farewell_s=20)  # a refusal stays on the screen until it was read
PIN, QUICK = "4071", {"pin_m": 7168, "pin_t": 5}  # the cheapest verifier that is accepted
Make = Callable[..., Stand]


def book(m: Stand, rental: str = "r1", asset: str = "car-1", **fields: Any) -> str:
    return m.book(rental, asset, **{"pin": PIN, **QUICK, **fields})


def say_pin(m: Stand, digits: str) -> None:
    """As a screen does."""
    status, answer = m.press("pin", digits=digits)
    assert status == 200, answer


def trip(m: Stand, bay: str) -> None:
    m.unlocked(bay)
    m.open(bay)
    m.plant.act("take", bay=bay)
    m.close(bay)
    m.heard("rental.on_trip")


@pytest.mark.long
def test_guesses_count_across_a_kill_until_a_technician_forgives(make: Make) -> None:
    m = make(timing=LASTING)
    text = book(m)
    m.show(text)
    for left in (5, 4, 3):
        m.asked_for_pin(left)
        m.type("0000#")
    m.asked_for_pin(2)
    m.kill_daemon()
    m.start_daemon()
    m.recovered()
    m.show(text)
    for left in (2, 1):
        m.asked_for_pin(left)
        m.type("9999#")
    m.shown("locked_out")
    m.heard("rental.locked_out", "r1")
    assert m.press("leave")[0] == 200
    m.show(text)
    m.shown("locked_out")
    m.type(f"{PIN}#")  # too late to know it
    m.refused("front", "wrong_state")
    m.refused("r1", "locked_out")
    assert m.pulses() == 0
    m.technician("/rentals/r1/reset-attempts")
    m.show(text)
    m.asked_for_pin(5)
    m.type(f"12*{PIN}#")  # a slip, cleared
    trip(m, "bay-1")
    assert m.pulses() == 1 and len(m.received("rental.pin_tried")) == 6


@pytest.mark.long
def test_lock_out_outlives_a_kill_until_the_cloud_forgives(make: Make) -> None:
    """All of it through the local API, as a machine with a screen has it."""
    m = make(timing=LASTING)
    text = book(m)
    assert m.press("code", text=text)[0] == 200
    for left in (5, 4, 3, 2, 1):
        m.asked_for_pin(left)
        say_pin(m, "0000")
    m.shown("locked_out")
    m.kill_daemon()
    m.start_daemon()
    m.recovered()
    status, answer = m.press("code", text=text)
    assert (status, answer["reason"]) == (409, "locked_out")
    assert m.prompt()["code"] == "locked_out" and m.pulses() == 0
    assert m.outcome(m.cloud.act("unlock_attempts", rental="r1")["instruction"]) == ("accepted", None)
    assert m.press("code", text=text)[0] == 200
    m.asked_for_pin(5)
    say_pin(m, PIN)
    trip(m, "bay-1")
    assert m.pulses() == 1


def test_pin_that_the_site_demands(make: Make) -> None:
    """The site's least holds whatever reservation and pass ask; what cannot be asked here is refused when booked."""
    m = make(timing=LASTING, site=TOWER.replace('car = ["pass"]', 'car = ["pass+pin"]'))
    m.book("r1", "car-1", pin=PIN, **QUICK, omit=["demands"])
    text = m.sign("r1", demands=None)
    blind = {"asset": "car-2", "window_from": -60, "window_to": 3600}
    for rental, more in {"no-pin": {}, "face": {"demands": ["pass+face"], "pin": PIN, **QUICK}}.items():
        put = m.cloud.act("put_reservation", rental=rental, **blind, **more)
        assert m.outcome(put["instruction"]) == ("refused", "factor_unavailable")
        m.show(m.sign(rental))
        m.shown("call_support")
        assert m.press("leave")[0] == 200
    m.show(text)
    m.asked_for_pin(5)
    assert m.pulses() == 0
    m.type(f"{PIN}#")
    trip(m, "bay-1")
    assert m.pulses() == 1
    m.refused("no-pin", "factor_unavailable")
    m.refused("face", "factor_unavailable")


@pytest.mark.long
def test_something_left_in_the_bay(make: Make) -> None:
    """Opened again with all that the pick-up asked; taken again, it is on its trip again."""
    m = make(timing=LASTING)
    text = book(m)
    m.show(text)
    m.asked_for_pin(5)
    m.type(f"{PIN}#")
    trip(m, "bay-1")
    m.show(text)  # a return asks for nothing more
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    for count in (1, 2):
        m.secured(bay)
        m.show(text)
        m.asked_for_pin(5)
        m.type("0000#")
        m.asked_for_pin(4)
        assert m.pulses() == 1 + count
        m.type(f"{PIN}#")
        assert m.authorised("reopen", count) == bay
        m.until(lambda count=count: m.pulses() == 2 + count, "the bay opens again")  # type: ignore[misc]
        m.open(bay)
        m.show(text, "side")
        m.shown("in_use", "side")
        if count == 2:
            m.plant.act("take", bay=bay)
        m.close(bay)
        m.shown("goodbye" if count == 1 else "enjoy")
    m.heard("rental.on_trip", "r1", count=2)
    assert m.pulses() == 4 == len(m.received("bay.unlock_authorised"))


@pytest.mark.long
def test_nothing_is_opened_again_after_the_window(make: Make) -> None:
    m = make(timing=fast(farewell_s=20, reopen_s=0))
    text = book(m)
    m.show(text)
    m.asked_for_pin(5)
    m.type(f"{PIN}#")
    trip(m, "bay-1")
    m.show(text)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    m.heard("rental.secrets_erased", "r1")
    m.show(text)
    m.shown("already_used")
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))
    m.refused("r1", "spent")
    assert m.pulses() == 3 and m.pulses("bay-2") == 1
