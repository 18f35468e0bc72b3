"""Bringing back: late, wrongly, with something else, to a full machine, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.stand import CARS, DIRECTORY, Stand, fast

Make = Callable[..., Stand]

MORE = (
    CARS
    + """
[[assets]]
id = "car-3"
class = "car"
tag = "62E3080003"
bay = "bay-3"
[[assets]]
id = "stranger"
class = "car"
tag = "00000BAD01"
"""
)


@pytest.mark.long
def test_a_pass_long_expired_still_brings_back_also_after_an_abandoned_try(make: Make) -> None:
    m = make(timing=fast(pass_leeway_s=0))
    m.pick_up("r1", "bay-1", m.book("r1", "car-1"))
    m.book("r2", "car-2")
    m.show(m.sign("r2", nbf=-7200, exp=-3600))
    m.shown("too_late")  # nothing is to be had by such a pass

    old = m.sign("r1", nbf=-7200, exp=-3600)
    m.show(old)
    bay = m.authorised("return")
    m.open(bay)
    m.close(bay)  # and left again, with the car
    m.heard("rental.return_abandoned", "r1")
    m.shown("left_empty")
    assert m.received("rental.returned") == []
    m.show(old)
    m.bring_back("r1", "car-1", m.authorised("return", 2))
    assert m.bay("bay-2")["items"] == ["car-2"] and m.pulses("bay-2") == 0 and m.pulses() == 3


def test_another_rentals_car_in_the_return_bay_is_found_back_for_its_own(m: Stand) -> None:
    one, two = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.pick_up("r1", "bay-1", one)
    m.pick_up("r2", "bay-2", two)
    m.show(one)
    bay = m.authorised("return")
    m.bring_back("r1", "car-2", bay, settle=False)
    m.heard("rental.returned", "r2", asset="car-2", bay=bay)
    m.heard("rental.return_abandoned", "r1")
    m.shown("left_empty")
    m.show(one)
    other = m.authorised("return", 2)
    m.bring_back("r1", "car-1", other)
    assert other != bay and m.received("incident.opened") == [] and m.pulses() == 4
    assert [x["subject"] for x in m.received("rental.returned")] == ["r2", "r1"]


def test_something_unknown_in_the_return_bay_is_an_incident_with_a_way_out(make: Make) -> None:
    m = make(scenario=MORE, directory=[*DIRECTORY, {"id": "car-3", "class": "car", "tags": ["62E3080003"]}])
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.show(text)
    assert m.authorised("return") == "bay-1"  # the only empty one
    m.bring_back("r1", "stranger", "bay-1", settle=False)
    incident = m.incident("unidentified_asset", "bay-1")
    m.shown("call_support")
    assert m.api.get("/v1/bays/bay-1")["quarantined"]
    m.show(text)  # what was to come back may still come; but there is no place
    m.shown("no_empty_bay")

    m.technician("/bays/bay-1/unlock")
    m.unlocked("bay-1", 3)
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.secured("bay-1")
    m.until(lambda: m.api.get("/v1/bays/bay-1")["sensed"]["presence"] == "empty", "it is empty")
    m.technician("/bays/bay-1/contents", empty=True)
    m.technician(f"/incidents/{incident}/resolve", outcome="on_trip")
    m.heard("rental.resolved", "r1", outcome="on_trip")
    m.show(m.sign("r1"))
    m.unlocked("bay-1", 4)
    m.bring_back("r1", "car-1", "bay-1")
    assert m.pulses() == 4 and len(m.received("incident.opened")) == 1


@pytest.mark.long
def test_no_empty_bay_is_said_and_a_freed_one_is_used(make: Make) -> None:
    cars = [*DIRECTORY, {"id": "car-3", "class": "car", "tags": ["62E3080003"]}]
    m = make(scenario=MORE, directory=[*cars, {"id": "stranger", "class": "car", "tags": ["00000BAD01"]}])
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.technician("/bays/bay-1/unlock", reason="stocking")
    m.unlocked("bay-1", 2)
    m.bring_back("r1", "stranger", "bay-1", settle=False)
    m.heard("asset.received", "stranger", bay="bay-1")
    m.show(text)
    m.shown("no_empty_bay")
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))  # frees a place
    m.shown("idle")
    m.show(text)
    assert m.authorised("return") == "bay-2"
    m.bring_back("r1", "car-1", "bay-2")
    assert m.pulses() == 4 and m.received("incident.opened") == []
