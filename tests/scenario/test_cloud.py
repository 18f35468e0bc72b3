"""What the cloud says about rentals and bays, and how often it may say it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.stand import FAST, Stand, fast

LASTING = FAST.replace("farewell_s = 1", "farewell_s = 20")  # a refusal stays on the screen until it was read
Make = Callable[..., Stand]


def cancel(m: Stand, rental: str) -> str:
    return str(m.cloud.act("cancel", rental=rental)["instruction"])


def undecided(m: Stand, instruction: str) -> bool:
    """The machine took this instruction and later ones, and has not said what came of it."""
    later = m.cloud.act("directory", put=[{"id": "car-9", "class": "car"}])["instructions"][0]
    m.outcome(later)
    return instruction in m.cloud.get("/outcomes")["missing"]


def test_cancelled_before_the_release(make: Make) -> None:
    m = make(timing=LASTING)
    text = m.book("r1", "car-1")
    assert m.outcome(cancel(m, "r1")) == ("accepted", None)
    m.show(text)
    m.shown("cancelled")
    m.refused("r1", "cancelled")
    m.pick_up("r2", "bay-1", m.book("r2", "car-1"))  # the car is free for another
    assert m.pulses() == 1 and m.kinds("r1")[-2:] == ["rental.cancelled", "credential.refused"]


@pytest.mark.long
def test_cancelled_during_the_release(make: Make) -> None:
    """Its one outcome waits for the bay's word: with the car gone it came too late, with the car there it holds."""
    m = make(timing=LASTING)
    text = m.book("r1", "car-1")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    too_late = cancel(m, "r1")
    assert undecided(m, too_late)
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1")
    assert m.outcome(too_late) == ("refused", "already_released")

    other = m.book("r2", "car-2")
    m.show(other, "side")
    m.unlocked("bay-2")
    m.open("bay-2")
    in_time = cancel(m, "r2")
    assert undecided(m, in_time)
    m.close("bay-2")
    m.heard("rental.cancelled", "r2")
    assert m.outcome(in_time) == ("accepted", None)
    m.show(other, "side")
    m.shown("cancelled", "side")
    m.refused("r2", "cancelled")

    assert m.outcome(cancel(m, "r1")) == ("refused", "already_released")  # and after it, once more
    assert m.outcome(too_late) == ("refused", "already_released")
    m.show(text)
    m.bring_back("r1", "car-1", m.authorised("return"))
    assert m.pulses() == 3 and "rental.cancelled" not in m.kinds("r1")


def test_extension_and_purchase_on_trip(m: Stand) -> None:
    text = m.book("r1", "car-1", due=1)
    assert m.outcome(m.cloud.act("purchase", rental="r1")["instruction"]) == ("refused", "wrong_state")
    m.pick_up("r1", "bay-1", text)
    m.heard("rental.overdue", "r1")
    assert m.api.get("/v1/rentals/r1")["overdue"]
    extend = m.cloud.act("extend", rental="r1", due=7200)["instruction"]
    assert m.outcome(extend) == ("accepted", None)
    m.heard("rental.extended", "r1")
    assert not m.api.get("/v1/rentals/r1")["overdue"]
    old = m.cloud.act("extend", rental="r1", due=60, version=1)["instruction"]
    assert m.outcome(old) == ("refused", "superseded")

    assert m.outcome(m.cloud.act("purchase", rental="r1")["instruction"]) == ("accepted", None)
    m.heard("rental.purchased", "r1", asset="car-1")
    m.until(lambda: m.api.ask("GET", "/v1/rentals/r1")[0] == 404, "the bought rental leaves the machine's memory")
    assert m.outcome(m.cloud.act("extend", rental="r1", due=60)["instruction"])[0] == "refused"

    m.show(text)  # the owner brings it back: received as a stranger's, and reported
    m.bring_back("r1", "car-1", m.authorised("return"), settle=False)
    assert "rental" not in m.heard("asset.received", "car-1")["data"]
    m.shown("thank_you")
    assert m.kinds("r1")[-1] == "rental.purchased"
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))


def test_a_purchase_during_a_return_waits_for_what_becomes_of_it(m: Stand) -> None:
    """Also when the power goes meanwhile: its one outcome is told once the bay has closed."""
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.show(text)
    bay = m.authorised("return")
    m.unlocked(bay, 2)
    m.open(bay)
    m.until(lambda: m.api.get("/v1/rentals/r1")["state"] == "returning", "the return has begun")
    bought = m.cloud.act("purchase", rental="r1")["instruction"]
    assert undecided(m, bought)
    m.kill_daemon()
    m.start_daemon()
    m.close(bay)
    assert m.outcome(bought) == ("accepted", None)
    m.heard("rental.purchased", "r1", asset="car-1")
    assert m.received("rental.returned") == [] and m.pulses() == 2


def test_returned_elsewhere(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    told = m.cloud.act("returned_elsewhere", rental="r1", at="tower-2")["instruction"]
    assert m.outcome(told) == ("accepted", None)
    m.heard("rental.returned", "r1", elsewhere="tower-2", asset="car-1")
    m.show(text)
    m.shown("already_used")
    m.refused("r1", "spent")
    m.shown("idle")
    assert m.pulses() == 1
    m.press("return")  # brought over by somebody: a known asset is always taken, by its own tag
    m.plant.act("hold_tag", terminal="front", asset="car-1")
    m.bring_back("r1", "car-1", m.authorised("return"), settle=False)
    m.heard("asset.received", "car-1")
    assert len([k for k in m.kinds("r1") if k == "rental.returned"]) == 1 and m.pulses() == 2


def test_instructions_said_twice_have_one_effect(m: Stand) -> None:
    """Delivered double, delivered again after a lost answer, and the events' answer lost, too."""
    m.cloud.fault("duplicate_delivery")
    text = m.book("r1", "car-1")
    m.heard("instruction.replayed")
    m.cloud.fault("duplicate_delivery", on=False)
    m.cloud.fault("lose_answer", path="feed", n=1)
    m.cloud.fault("lose_answer", path="events", n=1)
    fresh = m.cloud.act("command", kind="unlock", bay="bay-2", reason="look at it")["instruction"]
    assert m.outcome(fresh) == ("accepted", None)
    m.unlocked("bay-2")
    m.open("bay-2")
    m.close("bay-2")
    m.pick_up("r1", "bay-1", text)
    assert [m.pulses(f"bay-{n}") for n in (1, 2, 3)] == [1, 1, 0]
    assert m.kinds("r1") == ["rental.booked", "rental.ready", "rental.claimed", "rental.on_trip"]
    m.all_there()


def test_a_slow_cloud_is_waited_for_and_nobody_else_waits(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.cloud.fault("slow", ms=3500, path="events", n=1)
    m.pick_up("r1", "bay-1", text)
    m.show(text)
    bay = m.authorised("return")
    m.bring_back("r1", "car-1", bay)
    assert m.pulses() == 2
    m.all_there()


def test_a_forgotten_cursor_is_followed_by_a_snapshot(m: Stand) -> None:
    """It is the whole truth about what waits: what it does not name is cancelled, unless it was released."""
    out, kept, gone = m.book("out", "car-1"), m.book("kept", "car-2"), m.book("gone", asset=None)
    m.pick_up("out", "bay-1", out)
    for rental in ("out", "gone"):
        m.cloud.act("cancel", rental=rental, machine="tower-2")  # this machine never hears of it
    m.cloud.fault("forget_cursor")
    m.heard("rental.cancelled", "gone")
    m.show(gone)
    m.shown("cancelled")
    m.pick_up("kept", "bay-2", kept)
    m.show(out, "side")
    m.bring_back("out", "car-1", m.authorised("return"))
    assert m.pulses() == 3
    assert "rental.cancelled" not in m.kinds("kept") + m.kinds("out")
    m.all_there()


def test_a_remote_unlock_that_is_too_old(make: Make) -> None:
    m = make(timing=fast(settle_s=0.3))
    hour_old = m.cloud.act("command", kind="unlock", bay="bay-1", age_s=3600)["instruction"]
    ageless = m.cloud.act("command", kind="unlock", bay="bay-1", no_age=True)["instruction"]
    assert m.outcome(hour_old)[0] == m.outcome(ageless)[0] == "stale"
    nowhere = m.cloud.act("command", kind="unlock", bay="bay-9")["instruction"]
    assert m.outcome(nowhere) == ("refused", "unknown_bay")
    assert m.pulses() == 0
    fresh = m.cloud.act("command", kind="unlock", bay="bay-2", age_s=2, reason="helping a customer")["instruction"]
    assert m.outcome(fresh) == ("accepted", None)
    m.unlocked("bay-2")
    told = m.heard("bay.unlock_authorised", "bay-2")["data"]
    assert (told["purpose"], told["who"], told["reason"]) == ("technician", "cloud", "helping a customer")
    m.open("bay-2")
    m.close("bay-2")
    m.secured("bay-2")
    assert m.pulses() == 1 and m.alarms("bay-2") == []
