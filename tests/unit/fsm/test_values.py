"""Changed copies: the same as the library's, only faster."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fsm.model import (
    Asset,
    Bay,
    BayState,
    Deadline,
    Done,
    Incident,
    Machine,
    PassKey,
    Rental,
    RentalState,
    Sensed,
    Spent,
    Visit,
    VisitState,
)
from fsm.values import replace

VALUES: list[tuple[Any, dict[str, Any]]] = [
    (Rental(id="r", state=RentalState.READY, pin="sealed"), {"state": RentalState.CLAIMED, "bay": "b1"}),
    (Bay(id="b", deadlines=(Deadline("open", 1, 2.0, "mono"),)), {"state": BayState.OPEN, "asset": "car"}),
    (Visit(id="t", have=frozenset({"pass"})), {"state": VisitState.SERVING}),
    (Incident(id="I1", kind="k"), {"bay": "b"}),
    (Asset(id="a", asset_class="car"), {"tags": ("T",)}),
    (Machine(), {"cursor": "c"}),
    (Spent(id="r", until_utc=1.0), {"why": "revoked"}),
    (Done(id="i", outcome="accepted"), {"reason": "x"}),
    (PassKey(id="k", jwk="{}"), {"jwk": "[]"}),
    (Sensed(door=True), {"bolt": False, "door": None}),
    (Deadline("open", 1, 2.0, "mono"), {"at": 3.0}),
]


@pytest.mark.parametrize(("old", "changes"), VALUES, ids=lambda v: type(v).__name__)
def test_a_changed_copy_is_what_the_library_makes(old: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.replace(old)
    new = replace(old, **changes)
    assert new == dataclasses.replace(old, **changes) and type(new) is type(old)
    assert old == before and new != old, "the old value stays as it was"
    assert replace(old) == old and replace(old) is not old
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(new, next(iter(changes)), "other")


def test_a_field_that_there_is_not() -> None:
    nowhere: Any = {"nowhere": 1}
    with pytest.raises(TypeError, match="nowhere"):
        replace(Bay(id="b"), **nowhere)
