"""The network is away: everything at the machine works, and what happened is told afterwards, in order and once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenario.stand import TOWER, Stand, fast

DAEMON = (str(Path(__file__).parents[1] / "crash" / "daemon.py"),)
Make = Callable[..., Stand]


def cut_off(m: Stand) -> None:
    """The network goes, and the machine notices."""
    m.cloud.fault("down")
    m.until(lambda: not m.api.get("/v1/status")["cloud"]["online"], "the machine knows that it is offline")


def in_state(m: Stand, rental: str, state: str) -> None:
    m.until(lambda: m.api.ask("GET", f"/v1/rentals/{rental}")[1].get("state") == state, f"{rental} is {state}")


def take(m: Stand, rental: str, bay: str, text: str) -> None:
    """A pick-up of which nobody hears."""
    before = m.pulses(bay)
    m.show(text)
    m.unlocked(bay, before + 1)
    m.open(bay)
    m.plant.act("take", bay=bay)
    m.close(bay)
    in_state(m, rental, "on_trip")


def bring(m: Stand, rental: str, asset: str, text: str) -> str:
    """A return of which nobody hears; its bay."""
    before = len(m.motions("pulse_on"))
    m.show(text)
    m.until(lambda: m.pulses() == before + 1, f"a place opens for {asset}")
    bay = str(m.motions("pulse_on")[-1]["bay"])
    assert m.bay(bay)["items"] == []
    m.bring_back(rental, asset, bay, settle=False)
    in_state(m, rental, "returned")
    return bay


def test_the_cloud_is_down_for_the_whole_story(make: Make) -> None:
    """For a reservation known before, and one that only its pass tells of; the daemon is started anew meanwhile."""
    m = make(timing=fast(farewell_s=0.2))
    known, stranger = m.book("known", "car-1"), m.sign("stranger", asset="car-2")
    before = len(m.all_there())
    cut_off(m)
    take(m, "known", "bay-1", known)
    take(m, "stranger", "bay-2", stranger)
    assert m.stop("daemon") == 0
    m.start_daemon()
    m.recovered()
    bring(m, "known", "car-1", known)
    bring(m, "stranger", "car-2", stranger)
    assert m.pulses() == 4 and len(m.received()) == before

    m.cloud.fault("down", on=False)
    story = m.all_there()[before:]
    first = next(n for n, e in enumerate(story) if e["type"].endswith("rental.claimed"))
    assert all(e["offline"] for e in story[first:])
    trip = ["rental.claimed", "rental.on_trip", "rental.return_started", "rental.returned"]
    assert m.kinds("known") == ["rental.booked", "rental.ready", *trip]
    assert m.kinds("stranger") == ["rental.booked", *trip]
    assert len([e for e in story if e["type"].endswith("bay.unlock_authorised")]) == 4
    m.until(lambda: m.api.get("/v1/status")["cloud"]["online"], "the machine knows that it is online")
    m.book("r3", "car-1")
    assert not m.heard("rental.booked", "r3")["offline"]
    m.all_there()


@pytest.mark.long
def test_pick_up_and_return_with_network_and_clock_both_bad(make: Make) -> None:
    """A board without a battery starts in 1970 and nobody tells it the time: nothing is refused that need not be."""
    site = TOWER.replace('trust = "assume"', 'trust = "kernel"')
    timing = fast(farewell_s=20)
    m = make(site=site, timing=timing, entry=DAEMON, environment={"VENDINGD_TEST_CLOCK": "synchronised"})
    assert m.api.get("/v1/status")["clock"]["trusted"]
    out, ready = m.book("out", "car-1"), m.book("ready", "car-2")
    over, later = m.sign("over", asset="car-2", nbf=-7200, exp=-3600), m.sign("later", asset="car-2", nbf=3600)
    m.pick_up("out", "bay-1", out)
    told = len(m.all_there())
    assert m.stop("daemon") == 0
    m.cloud.fault("down")
    m.environment["VENDINGD_TEST_CLOCK"] = "lost"
    m.start_daemon()
    m.recovered()
    assert not m.api.get("/v1/status")["clock"]["trusted"]

    for text, word in ((over, "too_late"), (later, "time_unknown")):  # certain even so; not to be told
        m.show(text, "side")
        m.shown(word, "side")
    assert m.pulses() == 1
    bay = bring(m, "out", "car-1", out)
    take(m, "ready", "bay-2", ready)
    assert m.pulses() == 3 and m.bay(bay)["items"] == ["car-1"]

    m.cloud.fault("down", on=False)
    story = m.all_there()[told:]
    assert m.kinds("out")[-1] == "rental.returned" and m.kinds("ready")[-1] == "rental.on_trip"
    lost = [e for e in story if e["time"].startswith("1970-")]
    assert lost and not any(e["timetrusted"] for e in lost)
    assert [e for e in lost if e["type"].endswith("rental.returned")]
