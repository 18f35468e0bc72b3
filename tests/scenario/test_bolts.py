"""Bolts that do not do as they are told: stuck, and late."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.stand import CARS, Stand, fast

Make = Callable[..., Stand]

LAZY = CARS.replace('bolt = "latch"', 'bolt = "latch"\nfree_s = 60.0')  # free until its door was opened


def test_a_stuck_bolt_offers_another_bay_of_its_class(make: Make) -> None:
    m = make(timing=fast(open_timeout_s=1))
    m.plant.fault("bolt_stuck", bay="bay-1")
    m.show(m.book("r1", None))
    m.unlocked("bay-1")
    m.shown("other_bay_offered")
    assert m.prompt()["params"] == {"bay": "bay-2"}
    m.heard("bay.alarm_raised", "bay-1", alarm="jammed")
    assert m.pulses("bay-2") == 0 and len(m.received("bay.unlock_authorised")) == 1
    assert m.press("confirm")[0] == 200
    m.unlocked("bay-2")
    m.open("bay-2")
    m.plant.act("take", bay="bay-2")
    m.close("bay-2")
    m.heard("rental.on_trip", "r1", asset="car-2", bay="bay-2")
    assert m.bay("bay-1")["items"] == ["car-1"] and m.pulses() == 2 == len(m.received("bay.unlock_authorised"))

    # a booking of that very car is told so, until the bay has been repaired
    text = m.book("r2", "car-1")
    m.show(text)
    m.shown("call_support")
    m.plant.fault("bolt_stuck", bay="bay-1", on=False)
    m.technician("/alarms/clear", bay="bay-1", alarm="jammed")
    m.pick_up("r2", "bay-1", text)
    assert m.pulses() == 3


@pytest.mark.long
def test_a_stuck_bolt_of_a_named_asset_is_said_plainly(make: Make) -> None:
    m = make(timing=fast(open_timeout_s=1))
    m.plant.fault("bolt_stuck", bay="bay-1")
    text = m.book("r1", "car-1")
    m.show(text)
    m.shown("bay_stuck")
    m.heard("rental.not_opened", "r1", why="jammed")
    assert m.alarms("bay-1") == ["jammed"]
    m.plant.fault("bolt_stuck", bay="bay-1", on=False)
    m.technician("/alarms/clear", bay="bay-1", alarm="jammed")
    m.shown("idle")
    m.pick_up("r1", "bay-1", text)
    assert m.pulses("bay-1") == 2 == m.pulses()


@pytest.mark.long
def test_a_door_that_opens_late_belongs_to_its_rental(make: Make) -> None:
    """No bolt sensor: the lapse time decides. A cancellation waits for what becomes of it."""
    m = make(bolt=False, timing=fast(open_timeout_s=1, lapse_s=60))
    m.plant.fault("bolt_sticky", bay="bay-1", seconds=2.5)
    m.show(m.book("r1", "car-1"))
    m.heard("rental.not_opened", "r1", why="not_opened")
    order = m.cloud.act("cancel", rental="r1")["instruction"]
    m.until(lambda: m.motions("bolt_released", "bay-1"), "the sticky bolt lets go")
    assert m.cloud.get("/outcomes")["outcomes"].get(order) is None
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.opened_late", "r1")
    m.heard("rental.on_trip", "r1", asset="car-1")
    assert m.outcome(order) == ("refused", "already_released")
    assert m.alarms("bay-1") == [] and m.received("incident.opened") == [] and m.pulses() == 1


@pytest.mark.long
def test_a_cancellation_waits_until_nothing_can_open_late(make: Make) -> None:
    m = make(bolt=False, timing=fast(open_timeout_s=1, lapse_s=3))
    text = m.book("r1", "car-1")
    m.show(text)
    m.heard("rental.not_opened", "r1", why="not_opened")
    order = m.cloud.act("cancel", rental="r1")["instruction"]
    m.heard("bay.grant_ended", "bay-1")
    m.heard("rental.cancelled", "r1")
    assert m.outcome(order) == ("accepted", None)
    assert m.kinds("r1").index("rental.not_opened") < m.kinds("r1").index("rental.cancelled")
    m.show(text)
    m.shown("cancelled")
    assert m.pulses() == 1


def test_with_a_bolt_sensor_a_free_bolt_may_still_open(make: Make) -> None:
    """Unlocked, nobody there in time, then somebody: no burglary, and no second pulse."""
    m = make(scenario=LAZY, timing=fast(open_timeout_s=1, lapse_s=1))
    m.show(m.book("r1", "car-1"))
    m.heard("rental.not_opened", "r1", why="not_opened")
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1", asset="car-1")
    assert "forced_open" not in m.alarms("bay-1") and m.pulses() == 1
    assert m.received("incident.opened") == []
