"""What a start finds changed: the site file, the journal's life, the device's key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fsm import events as e
from fsm.model import BayState, RentalState, VisitState
from fsm.world import VOLATILE, World
from tests.unit.fsm.machine import Bench, bench
from vendingd.identity.seal import Sealer

INCIDENT = RentalState.INCIDENT


# ---------------------------------------------------------------- a bay that the site file has no more
def without_b1(m: Bench) -> Bench:
    """The next start's site file has no b1; what the journal holds of it stays there."""
    gone = {key: spec for key, spec in m.layout.bays.items() if key != "b1"}
    old, m.layout = m.world, replace(m.layout, bays=gone)
    m.world = World(m.layout)
    for kind, rows in old.of.items():
        if kind not in VOLATILE:
            m.world.apply({(kind, key): row for key, row in rows.items() if (kind, key) != ("bay", "b1")})
    m.boot, m.mono = "boot-2", 50.0
    m.tell(e.Restarted(gone=frozenset({"b1"})))
    m.recover_rest()
    return m


def unlocked_for_the_return() -> Bench:
    """The holder of r1 is back, and b1 was unlocked for them."""
    m = bench()
    m.book()
    m.pick_up()
    m.wait(20)
    m.show()
    m.sent("b1")
    return m


@pytest.mark.parametrize("at", ["opening", "open", "lapsed", "returning", "reopening"])
def test_a_rental_whose_bay_is_gone_is_a_technicians(at: str) -> None:
    m = bench()
    m.book()
    kind = "unsure_release"
    if at in ("returning", "reopening"):
        m.pick_up()
        m.wait(20)
        kind = "unsure_return"
    if at == "reopening":
        m.bring_back()
        m.wait(20)
        kind = "unsure_reopen"
    assert m.show().refused is None
    m.sent("b1")
    if at == "lapsed":
        m.sense("b1", bolt=False)
        m.wait(16)
        assert m.rental().state is RentalState.READY and m.rental().grant is not None
    elif at != "opening":
        m.open("b1")
    without_b1(m)
    assert m.rental().state is INCIDENT and m.rental().grant is None
    (incident,) = m.world.of["incident"].values()
    assert (incident.kind, incident.bay, incident.rental) == (kind, "b1", "r1")
    assert m.tell(e.ResolveIncident(incident.id, "on_trip", "eve", "asked")).refused is None
    assert m.bring_back() == "b2" and m.rental().state is RentalState.RETURNED


def test_a_return_that_had_not_opened_there_goes_on_elsewhere() -> None:
    m = unlocked_for_the_return()
    m.sense("b1", bolt=False)
    m.wait(16)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().grant is not None
    without_b1(m)
    assert m.rental().state is RentalState.ON_TRIP and m.rental().grant is None
    assert m.bring_back() == "b2" and m.rental().state is RentalState.RETURNED


def test_an_incident_whose_bay_is_gone_can_be_ended() -> None:
    m = unlocked_for_the_return()
    m.open("b1")
    m.close("b1", presence=True, tag="STRANGER")
    (ident,) = m.world.of["incident"]
    m.wait(20)
    without_b1(m)
    assert list(m.world.of["incident"]) == [ident]
    assert m.tell(e.ResolveIncident(ident, "on_trip", "eve", "asked")).refused is None


def test_what_rests_hears_nothing_of_it() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"})
    m.book("r1", "car1")
    m.book("r2", "car2")
    m.pick_up("r2", "b2")
    without_b1(m)
    assert not m.world.of["incident"]
    assert (m.rental("r1").state, m.rental("r2").state) == (RentalState.READY, RentalState.ON_TRIP)


# ---------------------------------------------------------------- an older copy of the journal
def forced(m: Bench) -> str:
    """The door of b1 is forced, and what was inside is gone."""
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    assert m.bay("b1").state is BayState.SECURED
    return str(m.records[[kind for kind, *_ in m.records].index("incident.opened")][1])


def test_an_incident_of_another_life_of_the_journal_has_another_name() -> None:
    names = set()
    for epoch in ("a1b2c3d4", "99887766"):
        m = bench()
        m.tell(e.Restarted(epoch=epoch))
        m.recover_rest()
        names.add(forced(m))
    m = bench()
    m.tell(e.Restarted(epoch="a1b2c3d4"))
    m.recover_rest()
    m.tell(e.JournalRestored("55554444", "seen by the cloud"))
    names.add(forced(m))
    assert names == {"I1-a1b2", "I1-9988", "I1-5555"}


# ---------------------------------------------------------------- another device key
def sealed(m: Bench, key: bytes) -> Bench:
    m.world.layout = replace(m.layout, seal=Sealer(key).device)
    m.tell(e.Restarted())
    m.recover_rest()
    return m


def test_a_pin_that_can_never_be_opened_is_told_and_not_asked_for() -> None:
    mine, other = bytes(32), bytes(31) + b"x"
    m = bench(cars={"b1": "car1", "b2": "car2"})
    pin = Sealer(mine).seal("r1", "pin", b"verifier")
    m.book(demands=("pass+pin",), pin=pin)
    m.book("r2", "car2")
    sealed(m, mine)
    assert m.rental().unservable is None
    sealed(m, other)
    assert ("rental.unservable", "r1", {"why": "device_key"}) in m.records and m.rental("r2").unservable is None
    assert m.show().refused == "factor_unavailable", "who cannot be served is not asked for anything"
    assert m.visit().state is VisitState.FAREWELL and m.rental().state is RentalState.READY
    m.wait(20)
    sealed(m, mine)
    assert m.rental().unservable is None and m.kinds()[-1] == "rental.servable"
    assert m.show().refused is None and m.visit().wants == "pin"


def test_a_reservation_that_comes_anew_is_sealed_anew() -> None:
    other = bytes(31) + b"x"
    m = bench()
    m.book(demands=("pass+pin",), pin=Sealer(bytes(32)).seal("r1", "pin", b"verifier"))
    sealed(m, other)
    m.book(version=2, demands=("pass+pin",), pin=Sealer(other).seal("r1", "pin", b"verifier"))
    assert m.rental().unservable is None and m.show().refused is None and m.visit().wants == "pin"


def test_a_face_of_another_key_leaves_the_other_way() -> None:
    other = bytes(31) + b"x"
    m = bench()
    m.world.layout = m.layout = with_camera(m)
    seal: Any = Sealer(bytes(32)).seal
    m.book(
        demands=("pass+face", "pass+pin"), pin=seal("r1", "pin", b"x"), face=seal("r1", "face", b"y"), face_format="f"
    )
    assert m.rental().unservable is None
    m.layout = replace(m.layout, seal=Sealer(other).device)
    sealed(m, other)
    assert m.rental().unservable == "device_key"


def with_camera(m: Bench) -> Any:
    spec = replace(
        m.layout.terminals["front"], offers=frozenset({"pass", "pin", "face"}), face_formats=frozenset({"f"})
    )
    return replace(m.layout, terminals={**m.layout.terminals, "front": spec})
