"""What people do with doors: nothing, too slowly, by force; and who may keep them shut."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable

from tests.scenario.stand import HEAD, Stand, fast

Make = Callable[..., Stand]

GATES = (
    HEAD
    + """
[devices.gates]
driver = "gpio-gate"
open_pins = [4, 5]
close_pins = [14, 15]
pulse_ms = 100
gap_ms = 50
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [7, 8]
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [16, 17]
[devices.scanner]
driver = "line-scanner"
port = "scanner"
baud = 115200
[devices.estop]
driver = "gpio-input"
sense = "estop"
pins = [13]
[[bays]]
n = [1, 2]
id = "bay-{{n}}"
fits = ["car"]
lock = "gates:{{n}}"
door = "doors:{{n}}"
presence = "presence:{{n}}"
gate = true
[[terminals]]
id = "front"
codes = ["scanner"]
[estop]
input = "estop"
"""
)

ONE_CAR = """
[bay]
travel_s = 0.3
[[assets]]
id = "car-1"
class = "car"
bay = "bay-1"
"""


def not_taken(m: Stand, bay: str, openings: int) -> None:
    m.show(m.sign("r1"))
    m.unlocked(bay, openings)
    m.open(bay)
    m.close(bay)
    m.heard("rental.not_taken", openings=openings)


def test_a_fourth_opening_without_taking_is_an_incident_with_a_way_out(m: Stand) -> None:
    text = m.book("r1", "car-1")
    for opening in (1, 2, 3):
        not_taken(m, "bay-1", opening)
        assert m.received("incident.opened") == []
    not_taken(m, "bay-1", 4)
    incident = m.incident("not_taken", "bay-1")
    assert m.received("rental.incident", "r1") and m.bay("bay-1")["items"] == ["car-1"]
    assert m.denied(f"/incidents/{incident}/resolve", outcome="closed") == "outcome_needed"
    m.technician(f"/incidents/{incident}/resolve", outcome="ready")
    m.heard("incident.resolved", incident, outcome="ready")
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 5 == len(m.received("bay.unlock_authorised"))


def test_door_left_open_is_warned_of_alarmed_and_settled_as_taken_while_open(make: Make) -> None:
    m = make(timing=fast(warn_open_s=0.5, held_open_s=1.2))
    text = m.book("r1", "car-1")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    m.heard("bay.open_warning", "bay-1")
    m.heard("bay.alarm_raised", "bay-1", alarm="held_open")
    m.shown("close_door_now")
    secured = len(m.received("bay.secured"))
    assert m.received("rental.on_trip") == []  # it lies there: nothing settles but taking it
    m.plant.act("take", bay="bay-1")
    m.heard("rental.on_trip", "r1", asset="car-1")
    assert len(m.received("bay.secured")) == secured and m.received("bay.alarm_cleared") == []
    assert m.bay("bay-1")["door"] == "open"

    m.plant.act("put", bay="bay-1", asset="car-1")  # thought better of it, before the door was ever closed
    m.close("bay-1")
    m.heard("rental.returned", "r1", bay="bay-1")
    assert len(m.received("bay.secured")) == secured + 1
    m.heard("bay.alarm_cleared", "bay-1", alarm="held_open")
    assert m.alarms("bay-1") == ["held_open"] and m.pulses() == 1


def test_door_forced(m: Stand) -> None:
    """By a thief, and by a vandal."""
    m.open("bay-1", force=True)
    m.heard("bay.alarm_raised", "bay-1", alarm="forced_open")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    incident = m.incident("asset_missing", "bay-1")

    m.open("bay-2", force=True)
    m.heard("bay.alarm_raised", "bay-2", alarm="forced_open")
    m.close("bay-2")
    m.secured("bay-2")
    m.technician("/alarms/clear", bay="bay-2", alarm="forced_open")
    who = m.heard("bay.alarm_cleared", "bay-2", alarm="forced_open")["data"]["who"]
    assert pwd.getpwuid(os.getuid()).pw_name in who
    assert m.denied("/alarms/clear", bay="bay-2", alarm="forced_open") == "no_such_alarm"

    assert len(m.received("incident.opened")) == 1 and m.alarms("bay-2") == ["forced_open"]
    m.technician(f"/incidents/{incident}/resolve", outcome="closed")
    m.show(m.book("r1", "car-1"))
    m.shown("not_here")
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))
    assert m.pulses() == 1


def test_a_technician_opens_and_takes_an_asset_away(m: Stand) -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    m.technician("/bays/bay-1/unlock", reason="tyre is flat")
    m.unlocked("bay-1")
    m.open("bay-1")
    assert m.denied("/bays/bay-1/unlock") == "bay_in_use"
    text = m.book("r1", "car-1")
    m.show(text)
    m.shown("wait")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    assert name in m.heard("asset.removed", "car-1", bay="bay-1")["data"]["who"]
    told = m.heard("bay.unlock_authorised", "bay-1", purpose="technician")["data"]
    assert name in told["who"] and told["reason"] == "tyre is flat"
    m.show(text)
    m.shown("not_here")
    assert m.pulses() == 1 and m.alarms("bay-1") == [] and m.received("incident.opened") == []


def test_nothing_opens_while_the_estop_is_latched(m: Stand) -> None:
    out, text = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.pick_up("r1", "bay-1", out)
    m.plant.act("press_estop")
    m.heard("machine.alarm_raised", alarm="estop")
    m.show(text)
    m.shown("stopped")
    m.show(out, "side")  # bringing back has to wait, too
    m.shown("stopped", "side")
    assert m.denied("/bays/bay-1/unlock") == "estop"
    assert m.denied("/alarms/clear", alarm="estop") == "still_pressed"
    m.plant.act("release_estop")

    def cleared() -> bool:
        return m.api.ask("POST", "/v1/alarms/clear", {"alarm": "estop", "reason": "all is well"})[0] == 200

    m.shown("idle")
    m.show(text)  # released, and still latched
    m.shown("stopped")
    m.until(cleared, "the released e-stop can be cleared")
    assert m.pulses() == 1
    m.pick_up("r2", "bay-2", text)
    m.show(out)
    m.bring_back("r1", "car-1", m.authorised("return"))
    assert m.pulses() == 3 == len(m.received("bay.unlock_authorised"))


def test_out_of_service_refuses_pick_ups_and_takes_returns(m: Stand) -> None:
    out, text = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.pick_up("r1", "bay-1", out)
    m.technician("/bays/bay-2/availability", in_service=False)
    m.show(text)
    m.shown("out_of_service")
    m.technician("/bays/bay-2/availability", in_service=True)
    m.technician("/availability", in_service=False)
    m.shown("idle")
    m.show(text)
    m.shown("out_of_service")
    m.show(out)
    m.bring_back("r1", "car-1", m.authorised("return"))
    assert m.pulses("bay-2") == 0
    m.technician("/availability", in_service=True)
    m.pick_up("r2", "bay-2", text)


def test_contents_that_change_behind_a_closed_door_are_a_contradiction(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.plant.fault("presence_stuck", bay="bay-1", value=False)
    m.heard("bay.alarm_raised", "bay-1", alarm="sensor_contradiction")
    m.show(text)
    m.shown("call_support")
    assert m.received("incident.opened") == [] and m.received("asset.removed") == []
    m.plant.fault("presence_stuck", bay="bay-1", on=False)
    m.heard("bay.alarm_cleared", "bay-1", alarm="sensor_contradiction")
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 1


def test_a_powered_gate_is_asked_and_moves_by_itself(make: Make) -> None:
    m = make(site=GATES, scenario=ONE_CAR, directory=[{"id": "car-1", "class": "car", "tags": []}])
    m.show(m.book("r1", "car-1"))
    m.until(lambda: m.bay("bay-1")["door"] == "open", "the gate is open")
    m.shown("take_and_close")
    m.plant.act("take", bay="bay-1")
    m.plant.act("press_estop")
    m.heard("machine.alarm_raised", alarm="estop")
    status, answer = m.press("close", bay="bay-1")
    assert (status, answer["reason"]) == (409, "stopped")
    m.plant.act("release_estop")
    status, answer = m.press("close", bay="bay-1")
    assert (status, answer["reason"]) == (409, "stopped")  # until a technician has looked
    m.until(lambda: m.api.ask("POST", "/v1/alarms/clear", {"alarm": "estop", "reason": "clear"})[0] == 200, "cleared")
    assert m.motions("gate_asked_to_close") == [] and m.bay("bay-1")["door"] == "open"

    assert m.press("close", bay="bay-1")[0] == 200
    m.heard("bay.close_sent", "bay-1", sent="sent")
    m.heard("bay.closed", "bay-1")
    m.heard("rental.on_trip", "r1")
    assert m.bay("bay-1")["door"] == "closed"
    assert len(m.motions("gate_asked_to_open")) == len(m.motions("gate_asked_to_close")) == 1
    assert m.bay("bay-2")["door"] == "closed" and m.motions(bay="bay-2") == []
    assert m.press("close", bay="bay-2")[0] == 409
