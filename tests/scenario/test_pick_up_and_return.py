"""The plain story, and its plain variations at the door."""

from __future__ import annotations

from tests.scenario.stand import Stand


def test_pick_up_and_return(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    assert m.bay("bay-1")["items"] == [] and m.pulses() == 1
    m.show(text)
    bay = m.authorised("return")
    m.unlocked(bay, 2 if bay == "bay-1" else 1)
    m.bring_back("r1", "car-1", bay)
    assert m.bay(bay)["items"] == ["car-1"]
    assert [k for k in m.kinds("r1") if k != "credential.refused"] == [
        "rental.booked",
        "rental.ready",
        "rental.claimed",
        "rental.on_trip",
        "rental.return_started",
        "rental.returned",
    ]
    assert m.pulses() == 2 == len(m.received("bay.unlock_authorised"))


def test_door_never_opened_leaves_the_pass_usable(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.show(text)
    m.unlocked("bay-1")
    m.heard("rental.not_opened", "r1")
    m.shown("not_opened")
    m.shown("idle")
    m.pick_up("r1", "bay-1", text)
    assert m.pulses() == 2


def test_asset_not_taken_leaves_the_pass_usable(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    m.close("bay-1")
    m.heard("rental.not_taken", "r1", openings=1)
    m.shown("idle")
    m.pick_up("r1", "bay-1", text)
