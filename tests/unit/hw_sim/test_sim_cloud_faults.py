"""The cloud's faults: what switches one on and off."""

from __future__ import annotations

from typing import Any

import pytest

from hw_sim.cloud.faults import Faults

ON: list[dict[str, Any]] = [
    {"name": "status", "code": 503, "path": "events", "retry_after": 2},
    {"name": "refuse_batch", "code": 413, "max": 3},
    {"name": "down"},
]


@pytest.mark.parametrize("body", ON, ids=lambda body: body["name"])
def test_a_fault_ends_by_its_name_alone(body: dict[str, Any]) -> None:
    faults = Faults()
    assert body["name"] in faults.set(body)
    assert faults.set({"name": body["name"], "on": False}) == {}
    assert not faults.is_on(body["name"])


def test_what_never_was_on_ends_quietly_and_what_is_none_is_refused() -> None:
    faults = Faults()
    assert faults.set({"name": "status", "on": False}) == {}
    with pytest.raises(ValueError, match="name"):
        faults.set({"name": "status_", "on": False})
    with pytest.raises(ValueError, match="code"):
        faults.set({"name": "status"})
