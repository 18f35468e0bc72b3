"""Texts are data: nothing that can happen is without one, and none is for what cannot happen."""

from __future__ import annotations

import ast
from pathlib import Path

import fsm
from fsm.model import Alarm, Incident, Now, Purpose
from fsm.technician import OUTCOMES
from fsm.world import World
from tests.unit.api.light import layout
from vendingd.api.incidents import GUIDES, guide
from vendingd.api.problems import ADVICE, LIST
from vendingd.api.views import _MEANING
from vendingd.cli import parser as cli

SOURCES = [ast.parse(path.read_text()) for path in sorted(Path(fsm.__file__).parent.glob("*.py"))]


def calls(name: str) -> set[str]:
    """First arguments of calls to `name` in the domain, as far as they are plain texts."""
    found = set()
    for tree in SOURCES:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name and isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
    return found


def test_every_kind_of_incident_has_a_guide() -> None:
    kinds = calls("open_incident") | {f"unsure_{purpose}" for purpose in Purpose}
    assert kinds == set(GUIDES)


def test_guides_name_only_outcomes_that_the_machine_takes() -> None:
    for one in GUIDES.values():
        assert set(one.outcomes) <= set(OUTCOMES)
        assert one.look
        assert one.outcomes
    assert set(cli.OUTCOMES) == set(OUTCOMES)


def test_an_unknown_kind_still_has_a_guide() -> None:
    world, one = World(layout()), Incident(id="I1", kind="new", bay="bay-1")
    world.apply({("incident", "I1"): one})
    told = guide(world, one, Now(0.0, 0.0, True, 0.0, "boot"))
    assert "vendingctl unlock bay-1" in told.look[0]
    assert list(told.outcomes) == ["closed"]


def test_every_alarm_says_what_to_do() -> None:
    assert set(_MEANING) == set(Alarm)


def test_advice_is_for_reasons_that_there_are() -> None:
    reasons = calls("Refused") | calls("reason") | {"asset_not_here", "wrong_state"}
    assert set(ADVICE) <= reasons
    technicians = {
        "bay_in_use", "unknown_asset", "does_not_fit", "already_here", "asset_on_trip", "sensor_contradicts",
        "no_such_alarm", "unknown_outcome", "outcome_needed", "estop", "door_not_closed",
    }  # fmt: skip
    assert technicians <= set(ADVICE)
    assert {f"unknown_{name}" for name in LIST} >= {"unknown_bay", "unknown_rental", "unknown_incident"}
