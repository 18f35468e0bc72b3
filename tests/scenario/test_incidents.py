"""Incidents as a technician meets them: typed commands, what they print, and how the machine serves on."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import Any

import pytest

from tests.scenario.stand import Stand

ME = pwd.getpwuid(os.getuid()).pw_name


def ctl(m: Stand, *words: str, code: int = 0) -> str:
    """`vendingctl` as its own process; what it printed, on one line."""
    command = [sys.executable, "-m", "vendingd.cli.main", "--socket", str(m.api.path), *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == code, ran
    return " ".join((ran.stdout + ran.stderr).split())


def resolve(incident: str, outcome: str) -> tuple[str, ...]:
    return ("incident", "resolve", incident, "--outcome", outcome, "--reason", "looked inside")


@pytest.mark.long
def test_a_return_that_no_reader_saw_outlives_a_crash_and_ends_by_a_technicians_word(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.shown("idle")
    m.show(text)
    bay = m.authorised("return")
    m.plant.fault("link_unplugged", device="tags")
    m.heard("device.down", "tags")
    m.bring_back("r1", "car-1", bay, settle=False)
    incident = m.incident("unsure_return", bay)
    m.shown("call_support")
    m.kill_daemon()
    m.start_daemon()
    m.recovered()

    assert f"{incident} {bay} car-1 r1" in ctl(m, "incident", "list")
    assert f"{incident} unsure_return" in ctl(m, "alarms") and f"{bay} quarantined" in ctl(m, "alarms")
    shown = ctl(m, "incident", "show", incident)
    assert "car-1, in no bay here" in shown and f"vendingctl bays set {bay} --asset car-1 --reason" in shown
    assert f"vendingctl incident resolve {incident} --outcome on_trip" in shown
    assert "Not yet: returned car-1 is in no bay here; set the contents of the bay that it is in first: " in shown
    assert shown.count(f"vendingctl bays set {bay} --asset car-1 --reason") == 4  # once to look, thrice against
    said = ctl(m, *resolve(incident, "returned"), code=3)
    assert "Possible now: on_trip (the holder has the asset; the pass brings it back)" in said
    assert "say what became of rental r1" in ctl(m, *resolve(incident, "closed"), code=3)

    m.plant.fault("link_unplugged", device="tags", on=False)
    ctl(m, "bays", "set", bay, "--asset", "car-1", "--reason", "seen inside")
    said = ctl(m, *resolve(incident, "returned"))
    assert said == f"Incident {incident} is resolved: returned. Rental r1 is returned."
    end: dict[str, Any] = {"outcome": "returned", "who": ME, "reason": "looked inside"}
    m.heard("incident.resolved", incident, **end, rental="r1", bay=bay)
    m.heard("rental.resolved", "r1", **end)
    assert ctl(m, "incident", "list") == "no open incidents"
    m.shown("idle")
    m.pick_up("r2", bay, m.book("r2", "car-1"))
    assert m.pulses() == 3 == len(m.received("bay.unlock_authorised"))


def test_a_stolen_car_is_missed_and_comes_back_by_its_tag(m: Stand) -> None:
    m.open("bay-1", force=True)
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    incident = m.incident("asset_missing", "bay-1")
    assert f"{incident} asset_missing" in ctl(m, "alarms") and "bay-1 forced_open" in ctl(m, "alarms")
    shown = ctl(m, "incident", "show", incident)
    assert (
        "bay-1: secured, contents empty; forced_open" in shown
        and "--outcome closed" in shown
        and "Not yet" not in shown
    )
    said = ctl(m, *resolve(incident, "returned"), code=3)
    assert "its outcome is 'closed'" in said and "Possible now: closed" in said
    assert ctl(m, *resolve(incident, "closed")) == f"Incident {incident} is resolved: closed."
    m.heard("incident.resolved", incident, outcome="closed", who=ME, asset="car-1")

    m.press("return")
    m.plant.act("hold_tag", terminal="front", tag="62E3080001")
    bay = m.authorised("return")
    m.unlocked(bay)
    m.bring_back("", "car-1", bay, settle=False)
    m.heard("asset.received", "car-1", bay=bay)
    m.shown("thank_you")
    m.pick_up("r1", bay, m.book("r1", "car-1"))
    assert m.pulses() == 2 and len(m.received("incident.opened")) == 1
