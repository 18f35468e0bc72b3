"""What a terminal shows: what helps a customer, and nothing that helps a forger."""

from __future__ import annotations

import pytest

from fsm import events as e
from fsm.reasons import REASONS
from tests.unit.fsm.machine import Bench, bench
from vendingd.prompts import TOLD, prompt


def shown(m: Bench, terminal: str = "front") -> str:
    return str(prompt(m.world, terminal, None, "")["code"])


@pytest.mark.parametrize(
    "reason", ["malformed", "unknown_key", "wrong_algorithm", "bad_signature", "missing_claim", "bad_claim", "revoked"]
)
def test_every_kind_of_bad_pass_looks_alike(reason: str) -> None:
    m = bench()
    m.tell(e.CredentialUnreadable("front", reason))
    assert shown(m) == "refused"
    assert reason in REASONS and reason not in TOLD


def test_a_pick_up_is_guided_step_by_step() -> None:
    m = bench()
    m.book()
    codes = [shown(m)]
    m.show()
    codes.append(shown(m))
    m.sent("b1")
    m.open("b1")
    codes.append(shown(m))
    m.close("b1", presence=False, tag=None, settle=False)
    codes.append(shown(m))
    m.wait(3)
    codes.append(shown(m))
    m.wait(20)
    codes.append(shown(m))
    assert codes == ["idle", "open_door", "take_and_close", "checking", "enjoy", "idle"]


def test_a_pin_is_asked_for_with_the_tries_that_are_left() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    assert prompt(m.world, "front", None, "")["params"] == {"factor": "pin", "tries_left": 5}
    m.tell(e.PinEntered("front", "0000"))
    assert shown(m) == "checking"
    m.check_pin(ok=False)
    said = prompt(m.world, "front", None, "")
    assert said["code"] == "enter_pin" and said["params"] == {"factor": "pin", "tries_left": 4, "because": "wrong_pin"}


def test_support_can_be_told_which_visit_it_was() -> None:
    m = bench()
    m.show("nobody's", asset="car9")
    assert prompt(m.world, "front", None, "+49 30 1")["support_ref"].startswith("+49 30 1 · front-")


def test_a_machine_without_a_journal_says_so() -> None:
    m = bench()
    assert prompt(m.world, "front", "journal full: …", "")["code"] == "unavailable"


@pytest.mark.parametrize("demands", [(), ("pass+pin",)])
def test_who_opens_the_bay_again_is_told_which_door(demands: tuple[str, ...]) -> None:
    m = bench()
    m.book(demands=demands, pin="sealed")
    m.show()
    if demands:
        m.tell(e.PinEntered("front", "1234"))
        m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.bring_back() == "b1"
    m.show()
    if demands:
        assert shown(m) == "enter_pin"
        m.tell(e.PinEntered("front", "1234"))
        m.check_pin(ok=True)
    assert prompt(m.world, "front", None, "")["code"] == "open_door"
    assert prompt(m.world, "front", None, "")["params"] == {"bay": "b1"}
    m.sent("b1")
    m.open("b1")
    assert shown(m) == "take_and_close"
