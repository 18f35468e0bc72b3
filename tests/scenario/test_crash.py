"""The power goes, or the daemon is killed, at the worst moments: nothing opens by itself, the sensors decide."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from itertools import cycle
from pathlib import Path

import pytest

from tests.scenario.stand import CARS, PATIENCE_S, Stand, fast

DAEMON = (str(Path(__file__).parents[1] / "crash" / "daemon.py"),)
BEFORE, WRITTEN, AFTER = "journal.before_write", "journal.after_write_before_fsync", "journal.after_commit"
Make = Callable[..., Stand]


def order_crash(m: Stand, label: str, n: int = 1) -> None:
    """The daemon dies when its journal is at this point for the n-th time from now."""
    new = m.folder / "crash.new"
    new.write_text(f"{label} {n}")
    new.rename(m.folder / "crash")


def crashed(m: Stand) -> None:
    m.until(lambda: not m.daemon_lives(), "the daemon was killed")
    m.kill_daemon()


def start(m: Stand) -> None:
    m.start_daemon()
    m.recovered()


def unlocked_for_return(m: Stand, text: str) -> str:
    """The pass of a rental on trip has opened a place; which."""
    before = m.pulses()
    m.show(text)
    m.until(lambda: m.pulses() == before + 1, "a place opens for the return")
    return str(m.motions("pulse_on")[-1]["bay"])


# ---------------------------------------------------------------- without power
def test_taken_and_brought_while_the_machine_had_no_power(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    waiting = m.book("r2", "car-2")
    m.plant.fault("power_off")
    m.kill_daemon()
    m.plant.act("open_door", bay="bay-2", force=True)
    m.plant.act("take", bay="bay-2")
    m.plant.act("close_door", bay="bay-2")
    m.plant.act("place", bay="bay-3", asset="car-1")
    m.plant.fault("power_off", on=False)
    start(m)
    m.incident("asset_missing", "bay-2")
    assert m.heard("rental.returned", "r1")["data"]["outage"] is True
    m.heard("asset.received", "car-1", bay="bay-3", found=True)
    m.show(waiting)
    m.shown("not_here")
    assert m.pulses() == 1 and len(m.received("incident.opened")) == 1
    assert "forced_open" in m.alarms("bay-2") + m.alarms("bay-3")
    m.pick_up("r3", "bay-3", m.book("r3", "car-1"))


# ---------------------------------------------------------------- a release
@pytest.mark.parametrize(
    "label", [*(pytest.param(label, marks=pytest.mark.long) for label in (BEFORE, WRITTEN)), AFTER]
)
def test_killed_between_authorisation_and_pulse(make: Make, label: str) -> None:
    """Durable or not, an authorisation is never carried out after a restart; the pass gets a new one."""
    m = make(entry=DAEMON)
    text = m.book("r1", "car-1")
    m.all_there()
    order_crash(m, label)
    m.show(text)
    crashed(m)
    start(m)
    durable = label == AFTER
    if durable:
        m.heard("bay.not_opened", "bay-1", why="outage")
        m.heard("rental.not_opened", "r1")
    assert m.pulses() == 0 and len(m.received("bay.unlock_authorised")) == durable
    assert m.api.get("/v1/rentals/r1")["state"] == "ready"
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 1 and len(m.received("bay.unlock_authorised")) == 1 + durable
    m.all_there()


def test_killed_between_pulse_and_door_which_opens_meanwhile(m: Stand) -> None:
    """One is through before the daemon is back, the other stands before an open door."""
    for rental, terminal, bay in (("r1", "front", "bay-1"), ("r2", "side", "bay-2")):
        m.show(m.book(rental, f"car-{bay[-1]}"), terminal)
        m.unlocked(bay)
    m.kill_daemon()
    for bay in ("bay-1", "bay-2"):
        m.plant.act("open_door", bay=bay)
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    start(m)
    assert m.heard("rental.on_trip", "r1")["data"]["outage"] is True
    m.heard("bay.opened", "bay-2", outage=True)
    assert m.received("rental.on_trip", "r2") == []  # its car is there, and so may its holder be
    m.plant.act("take", bay="bay-2")
    m.close("bay-2")
    m.heard("rental.on_trip", "r2")
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))
    assert m.received("incident.opened") == [] and m.alarms("bay-1") == m.alarms("bay-2") == []


@pytest.mark.long
def test_killed_between_pulse_and_door_which_opens_afterwards(make: Make) -> None:
    """The latch is free still: a late opening belongs to its rental."""
    m = make(scenario=CARS.replace('bolt = "latch"', 'bolt = "latch"\nfree_s = 60'))
    m.show(m.book("r1", "car-1"))
    m.unlocked("bay-1")
    m.kill_daemon()
    start(m)
    m.heard("rental.not_opened", "r1")
    m.open("bay-1")
    m.heard("rental.opened_late", "r1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1")
    assert m.pulses() == 1 == len(m.received("bay.unlock_authorised")) and m.alarms("bay-1") == []


def test_killed_with_the_door_open_and_nothing_taken(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    m.kill_daemon()
    m.close("bay-1")
    start(m)
    m.until(lambda: m.api.get("/v1/rentals/r1")["state"] == "ready", "the rental is ready again")
    assert m.received("rental.on_trip") == [] and m.received("incident.opened") == []
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))


# ---------------------------------------------------------------- a return
def test_killed_during_a_return(m: Stand) -> None:
    """With the door still open at the start, and with everything done before it."""
    passes = {}
    for rental, bay in (("r1", "bay-1"), ("r2", "bay-2")):
        passes[rental] = m.book(rental, f"car-{bay[-1]}")
        m.pick_up(rental, bay, passes[rental])
    m.show(passes["r1"])
    first = m.authorised("return")
    m.until(lambda: m.pulses() == 3, "a place opens for the first")
    m.open(first)
    m.show(passes["r2"], "side")
    second = m.authorised("return", 2)
    m.until(lambda: m.pulses() == 4, "a place opens for the second")
    m.kill_daemon()
    m.plant.act("open_door", bay=second)
    m.plant.act("put", bay=second, asset="car-2")
    m.close(second)
    start(m)
    assert m.heard("rental.returned", "r2", bay=second)["data"]["outage"] is True
    assert m.received("rental.returned", "r1") == []
    m.plant.act("put", bay=first, asset="car-1")
    m.close(first)
    m.heard("rental.returned", "r1", bay=first)
    assert m.pulses() == 4 == len(m.received("bay.unlock_authorised"))
    assert m.received("incident.opened") == []


def test_killed_before_anything_was_brought(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    bay = unlocked_for_return(m, text)
    m.open(bay)
    m.kill_daemon()
    m.close(bay)
    start(m)
    m.until(lambda: m.api.get("/v1/rentals/r1")["state"] == "on_trip", "the rental is on trip still")
    m.bring_back("r1", "car-1", unlocked_for_return(m, text))
    assert m.pulses() == 3 and len(m.received("rental.returned")) == 1


# ---------------------------------------------------------------- everywhere
LABELS = 60  # more than one rental has; a sweep ends with the first rental that outlives its order
SAMPLES = {  # of each kind of label one at least; all of them where VENDINGD_SWEEP is set
    "journal.*": (2, 5, 9, 14, 19, 24),
    "effect.*": (1, 2, 4, 5, 6, 8),
}


def person(m: Stand, rental: str, asset: str, text: str) -> Iterator[None]:
    """Somebody who fetches the asset and brings it back, doing what is possible, whatever becomes of the daemon."""
    terminals = cycle(("front", "side"))
    while True:
        yield
        state = m.api.ask("GET", f"/v1/rentals/{rental}")[1].get("state")
        bays = m.bays().values()
        opened = next((b for b in bays if b["door"] == "open"), None)
        free = next((b for b in bays if b["bolt"] == "released" and b["door"] == "closed"), None)
        out = not any(asset in b["items"] for b in bays)
        if opened is not None and state == "releasing" and asset in opened["items"]:
            m.plant.act("take", bay=opened["id"])
        elif opened is not None and state == "returning" and out:
            m.plant.act("put", bay=opened["id"], asset=asset)
        elif opened is not None:
            m.plant.act("close_door", bay=opened["id"])
        elif state == "returned":
            return
        elif free is not None and state in ("releasing", "returning"):
            m.plant.ask("POST", "/act", {"do": "open_door", "bay": free["id"]})  # a latch may fall in just before
        elif state in ("ready", "on_trip") and m.prompt(terminal := next(terminals))["code"] == "idle":
            m.show(text, terminal)


def survives(m: Stand, story: Iterator[None]) -> bool:
    """Go on with the story to its end; False where the daemon died in it."""
    end = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < end:
        try:
            next(story)
        except StopIteration:
            return True
        except (ConnectionError, FileNotFoundError, HTTPException):
            crashed(m)
            return False
        time.sleep(0.1)  # a person's pace, slower than a contact is debounced
    raise AssertionError(f"the story has no end\n{m.story()}")


@pytest.mark.long
@pytest.mark.parametrize("kind", SAMPLES)
def test_killed_at_any_point_of_a_rental(make: Make, kind: str) -> None:
    """One rental after the other, each with a kill at a later label: all end well, and what opened was authorised.

    The labels: around each write, sync and folding back of the journal; before an effect, while the lock is energised,
    when it no longer is, and after it with its outcome untold; on the way out and on the way back.
    """
    m = make(entry=DAEMON, timing=fast(farewell_s=0.2))
    for n in range(1, LABELS) if os.environ.get("VENDINGD_SWEEP") else SAMPLES[kind]:
        rental = f"r{n}"
        text = m.book(rental, "car-1")
        order_crash(m, kind, n)
        story = person(m, rental, "car-1", text)
        outlived = survives(m, story)
        if not outlived:
            before = m.pulses()
            start(m)
            assert m.pulses() == before, "something opened by itself"
            assert survives(m, person(m, rental, "car-1", text))
        (m.folder / "crash").unlink(missing_ok=True)
        m.all_there()
        assert m.pulses() <= len(m.received("bay.unlock_authorised")), m.story()
        told = [k for k in m.kinds(rental) if k in ("rental.on_trip", "rental.returned")]
        assert told == ["rental.on_trip", "rental.returned"], m.story()
        inside = [b["id"] for b in m.bays().values() if "car-1" in b["items"]]
        believed = [b["id"] for b in m.api.get("/v1/bays")["bays"] if b["asset"] == "car-1"]
        assert inside == believed and len(inside) == 1, m.story()
        if outlived:
            break
    assert m.received("incident.opened") == [] and m.received("bay.alarm_raised") == []
    assert (m.folder / "crashed").exists()
