"""The table of recovery, row by row: what was under way by what the sensors say by what is installed → what it becomes.

Every case stops the daemon in the middle, keeps only what is journalled, lets the sensors answer and recovers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fsm import events as e
from fsm.effects import EraseSecrets
from fsm.model import Alarm, BayState, Occupancy, RentalState
from tests.unit.fsm.machine import HOUR, Bench, bench

READY, ON_TRIP, RETURNED, INCIDENT = (
    RentalState.READY,
    RentalState.ON_TRIP,
    RentalState.RETURNED,
    RentalState.INCIDENT,
)
RELEASING, RETURNING = RentalState.RELEASING, RentalState.RETURNING
SECURED, OPEN = BayState.SECURED, BayState.OPEN

FULL: dict[str, Any] = {}
NO_BOLT = {"bolt": False}
NO_TAG = {"tag": False}
NO_PRESENCE = {"presence": False, "tag": False}
TAG_ONLY = {"presence": False}
PLAIN = {"bolt": False, "presence": False, "tag": False}


# ---------------------------------------------------------------- what was under way
def claimed(m: Bench) -> None:
    m.book(demands=("pass+pin",), pin="sealed")
    assert m.show().refused is None
    assert m.rental().state is RentalState.CLAIMED


def authorised(m: Bench) -> None:
    """Killed between authorisation and pulse."""
    m.book()
    assert m.show().refused is None


def pulsed(m: Bench) -> None:
    authorised(m)
    m.sent("b1")


def opened(m: Bench) -> None:
    pulsed(m)
    m.open("b1")


def settling(m: Bench) -> None:
    opened(m)
    m.close("b1", settle=False)
    assert m.bay().state is BayState.SETTLING


def lapsed(m: Bench) -> None:
    pulsed(m)
    if m.layout.bays["b1"].bolt:
        m.sense("b1", bolt=False)
    m.wait(20)
    grant = m.bay().grant
    assert grant is not None and grant.lapsed and m.rental().state is READY


def out(m: Bench) -> None:
    m.book()
    m.pick_up()
    m.wait(HOUR)
    assert m.rental().state is ON_TRIP


def returning(m: Bench) -> None:
    out(m)
    assert m.show().refused is None
    m.sent("b1")


def returning_open(m: Bench) -> None:
    returning(m)
    m.open("b1")


def two_returning_open(m: Bench) -> None:
    """r2's car2 is out, too; the bay opened for r1."""
    m.book("r2", "car2")
    m.pick_up("r2", "b2")
    returning_open(m)


def return_lapsed(m: Bench) -> None:
    returning(m)
    if m.layout.bays["b1"].bolt:
        m.sense("b1", bolt=False)
    m.wait(20)
    grant = m.bay().grant
    assert grant is not None and grant.lapsed and m.rental().state is ON_TRIP


def technician(m: Bench) -> None:
    assert m.tell(e.TechnicianUnlock("b1", "eve", "stocking")).refused is None
    m.sent("b1")
    m.open("b1")


def reopened(m: Bench) -> None:
    out(m)
    m.bring_back()
    assert m.rental().state is RETURNED
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")


def secured(m: Bench) -> None:
    m.book()


def secured_empty(m: Bench) -> None:
    out(m)


# ---------------------------------------------------------------- the table
@dataclass(frozen=True)
class Case:
    found: Callable[[Bench], None]
    levels: dict[str, Any]
    rental: RentalState | None
    bay: BayState = SECURED
    site: dict[str, Any] | None = None
    inside: str | None = None
    alarms: frozenset[Alarm] = frozenset()
    incident: str | None = None
    quarantined: bool = False
    grant: bool = False
    more: Callable[[Bench], bool] = lambda m: True


def levels(door: bool | None, presence: bool | None = None, tag: str | None = None, bolt: bool | None = True) -> Any:
    return {"door": door, "presence": presence, "tag": tag, "bolt": bolt}


def cases() -> dict[str, Case]:
    found: dict[str, Case] = {}

    def case(name: str, *args: Any, **more: Any) -> None:
        assert name not in found
        found[name] = Case(*args, **more)

    open_, shut = levels(True, False, bolt=False), levels(False, True, "TAG1")
    empty, stranger, other = levels(False, False), levels(False, True, "WHO"), levels(False, True, "TAG2")
    held = frozenset({Alarm.FORCED_OPEN})

    # release under way
    for under_way in (authorised, pulsed, opened, settling):
        name = under_way.__name__
        case(f"release {name}, open", under_way, open_, RELEASING, OPEN, inside="car1", grant=True)
        case(f"release {name}, closed, occupied", under_way, shut, READY, inside="car1")
        case(f"release {name}, closed, empty", under_way, empty, ON_TRIP, more=lambda m: m.rental().outage)
        for what, silent in (("door", levels(None, True, "TAG1")), ("presence", levels(False, None))):
            case(
                f"release {name}, {what} unknown",
                under_way,
                silent,
                INCIDENT,
                inside="car1",
                incident="unsure_release",
                quarantined=True,
            )
    case("release, no tag reader, closed, occupied", opened, shut, READY, site=NO_TAG, inside="car1")
    case("release, no tag reader, closed, empty", opened, empty, ON_TRIP, site=NO_TAG)
    case("release, no bolt, closed, occupied", opened, shut, READY, site=NO_BOLT, inside="car1")
    case(
        "release, never opened, no bolt: a late opening is awaited",
        pulsed,
        shut,
        READY,
        site=NO_BOLT,
        inside="car1",
        grant=True,
    )
    case(
        "release, never opened, bolt still unlocked: a late opening is awaited",
        pulsed,
        levels(False, True, "TAG1", bolt=False),
        READY,
        inside="car1",
        grant=True,
    )
    case("release, another known asset inside", two_out_opened, other, ON_TRIP, inside="car2", more=r2(RETURNED))
    case(
        "release, something unidentified inside",
        opened,
        stranger,
        INCIDENT,
        incident="unidentified_asset",
        quarantined=True,
    )

    # return under way
    for under_way in (returning, returning_open):
        name = under_way.__name__
        case(f"return {name}, open", under_way, open_, RETURNING, OPEN, grant=True)
        case(
            f"return {name}, closed, identified",
            under_way,
            shut,
            RETURNED,
            inside="car1",
            more=lambda m: m.rental().outage and not m.rental().unsensed,
        )
        case(f"return {name}, closed, empty", under_way, empty, ON_TRIP)
        case(
            f"return {name}, closed, unidentified",
            under_way,
            stranger,
            INCIDENT,
            incident="unidentified_asset",
            quarantined=True,
        )
        for what, silent in (("door", levels(None, True, "TAG1")), ("presence", levels(False, None))):
            case(
                f"return {name}, {what} unknown",
                under_way,
                silent,
                INCIDENT,
                incident="unsure_return",
                quarantined=True,
            )
    case("return, closed, another known asset", two_returning_open, other, ON_TRIP, inside="car2", more=r2(RETURNED))
    case(
        "return, no identity sensor, closed, occupied",
        returning_open,
        shut,
        RETURNED,
        site=NO_TAG,
        inside="car1",
    )
    case("return, no identity sensor, closed, empty", returning_open, empty, ON_TRIP, site=NO_TAG)
    case(
        "return, never opened, no bolt: a late opening is awaited",
        returning,
        empty,
        ON_TRIP,
        site=NO_BOLT,
        grant=True,
    )

    # no presence sensor
    bare = {"door": False, "bolt": True}
    case("release, no presence, opened, closed", opened, bare, ON_TRIP, site=NO_PRESENCE, more=outage_unsensed)
    case(
        "release, no presence, not opened, closed",
        pulsed,
        bare,
        INCIDENT,
        site=NO_PRESENCE,
        inside="car1",
        incident="unsure_release",
        quarantined=True,
    )
    case("release, no presence, open", pulsed, {"door": True}, RELEASING, OPEN, site=PLAIN, inside="car1", grant=True)
    case(
        "return, no presence, opened, closed",
        returning_open,
        bare,
        RETURNED,
        site=NO_PRESENCE,
        inside="car1",
        more=outage_unsensed,
    )
    case("return, no presence, not opened, closed", returning, bare, ON_TRIP, site=NO_PRESENCE)
    case("return, no presence, open", returning, {"door": True}, RETURNING, OPEN, site=PLAIN, grant=True)
    case(
        "return, no presence, door unknown",
        returning_open,
        {"door": None},
        INCIDENT,
        site=PLAIN,
        incident="unsure_return",
        quarantined=True,
    )
    case(
        "return, tag reader for a presence sensor, identified",
        returning_open,
        {"door": False, "bolt": True, "tag": "TAG1"},
        RETURNED,
        site=TAG_ONLY,
        inside="car1",
    )

    # claimed, nothing authorised
    for what, any_ in (("open", open_), ("occupied", shut), ("unknown", levels(None, None))):
        more = {"bay": OPEN, "alarms": held, "grant": True} if what == "open" else {}
        case(f"claimed, {what}", claimed, any_, READY, inside="car1", **more)

    # a technician's or a lapsed grant
    case("technician, open", technician, open_, None, OPEN, inside="car1", grant=True)
    case("technician, closed, taken out", technician, empty, None)
    case("technician, closed, as it was", technician, shut, None, inside="car1")
    for site in (FULL, NO_BOLT, PLAIN):
        plain = sorted(site)
        case(f"lapsed release, open {plain}", lapsed, open_, RELEASING, OPEN, site=site, inside="car1", grant=True)
        case(f"lapsed return, open {plain}", return_lapsed, open_, RETURNING, OPEN, site=site, grant=True)
    case("lapsed release, bolted, occupied", lapsed, shut, READY, inside="car1")
    case("lapsed release, bolted, empty", lapsed, empty, ON_TRIP, more=lambda m: m.rental().outage)
    unbolted = levels(False, True, "TAG1", bolt=False)
    case("lapsed release, not bolted, occupied", lapsed, unbolted, READY, inside="car1", grant=True)
    case("lapsed release, no bolt sensor, occupied", lapsed, shut, READY, site=NO_BOLT, inside="car1", grant=True)
    case("lapsed release, unread tag", lapsed, levels(False, True, None), READY, inside="car1")
    case("lapsed release, door unknown", lapsed, levels(None, True, "TAG1", None), READY, inside="car1", grant=True)
    case("lapsed return, bolted, identified", return_lapsed, shut, RETURNED, inside="car1")
    case("lapsed return, bolted, empty", return_lapsed, empty, ON_TRIP)
    case(
        "lapsed return, bolted, unidentified",
        return_lapsed,
        stranger,
        INCIDENT,
        incident="unidentified_asset",
        quarantined=True,
    )
    case("reopened, closed, still inside", reopened, shut, RETURNED, inside="car1")
    case("reopened, closed, gone again", reopened, empty, ON_TRIP)
    case("reopened, open", reopened, open_, RETURNED, OPEN, inside="car1", grant=True)

    # the bay was secured
    case("secured, open", secured, open_, READY, OPEN, inside="car1", alarms=held, grant=True)
    case(
        "secured, open, no presence",
        secured,
        {"door": True},
        READY,
        OPEN,
        site=PLAIN,
        inside="car1",
        alarms=held,
        grant=True,
    )
    case("secured, closed, as believed", secured, shut, READY, inside="car1")
    case("secured, closed, asset gone", secured, empty, READY, incident="asset_missing")
    case("secured, closed, asset gone, no tag reader", secured, empty, READY, site=NO_TAG, incident="asset_missing")
    case("secured, closed, no presence", secured, bare, READY, site=NO_PRESENCE, inside="car1")
    case("secured, closed, merely not read", secured, levels(False, True, None), READY, inside="car1")
    case("secured, presence unknown", secured, levels(False, None), READY, inside="car1", more=occupancy("unknown"))
    case(
        "secured, closed, another known asset",
        secured,
        other,
        READY,
        inside="car2",
        alarms=held,
        incident="asset_missing",
    )
    case(
        "secured empty, closed, its own asset back",
        secured_empty,
        shut,
        RETURNED,
        inside="car1",
        alarms=held,
        more=lambda m: m.rental().outage,
    )
    case(
        "secured empty, closed, unidentified",
        secured_empty,
        stranger,
        ON_TRIP,
        alarms=held,
        incident="unidentified_asset",
        quarantined=True,
    )
    case(
        "secured empty, closed, something, no tag reader",
        secured_empty,
        shut,
        ON_TRIP,
        site=NO_TAG,
        alarms=held,
        incident="unidentified_asset",
        quarantined=True,
    )
    return found


def two_out_opened(m: Bench) -> None:
    """r2's car2 is out; r1's bay is open for its release."""
    m.book("r2", "car2")
    m.pick_up("r2", "b2")
    opened(m)


def r2(state: RentalState) -> Callable[[Bench], bool]:
    return lambda m: m.rental("r2").state is state


def occupancy(word: str) -> Callable[[Bench], bool]:
    return lambda m: m.bay().occupancy == Occupancy(word)


def outage_unsensed(m: Bench) -> bool:
    return m.rental().outage and m.rental().unsensed


CASES = cases()


@pytest.mark.parametrize("same_boot", [False, True], ids=["power cut", "killed"])
@pytest.mark.parametrize("name", CASES)
def test_found(name: str, same_boot: bool) -> None:
    case = CASES[name]
    m = bench(cars={"b1": "car1", "b2": "car2"}, **(case.site or {}))
    case.found(m)
    m.crash(same_boot=same_boot)
    m.fire()  # deadlines of before decide nothing
    before = len(m.effects)
    spec = m.layout.bays["b1"]
    said = {k: v for k, v in case.levels.items() if k == "door" or getattr(spec, k)}
    m.recover("b1", **said)

    assert [f for f in m.effects[before:] if not isinstance(f, EraseSecrets)] == [], "nothing moves after a restart"
    bay = m.bay()
    assert (bay.state, bay.asset) == (case.bay, case.inside)
    assert bay.alarms == case.alarms
    assert (bay.quarantined is not None) == case.quarantined
    assert (bay.grant is not None) == case.grant
    if case.rental is not None:
        rental = m.rental()
        assert rental.state is case.rental
        assert rental.grant is None or (bay.grant is not None and bay.grant.id == rental.grant)
    kinds = [i.kind for i in m.world.of["incident"].values()]
    assert kinds == ([case.incident] if case.incident else [])
    assert case.more(m)
    if bay.state is OPEN:
        assert {d.name for d in bay.deadlines} == {"warn", "held"}, "guided and alarmed as usual"
        assert all(d.boot == m.boot for d in bay.deadlines)


@pytest.mark.parametrize("site", [FULL, NO_BOLT, NO_TAG, NO_PRESENCE, PLAIN], ids=str)
def test_a_kept_open_release_goes_on_to_its_end(site: dict[str, Any]) -> None:
    m = bench(**site)
    opened(m)
    m.crash()
    m.recover("b1", door=True)
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is ON_TRIP and m.bay().state is SECURED and not m.bay().alarms


def test_a_held_door_is_alarmed_anew_after_a_restart() -> None:
    m = bench()
    opened(m)
    m.crash()
    m.recover("b1", door=True, bolt=False, presence=True, tag="TAG1")
    m.wait(61)
    assert "bay.open_warning" in m.kinds()
    m.wait(60)
    assert Alarm.HELD_OPEN in m.bay().alarms


def test_ready_again_needs_a_new_authorisation_at_the_same_bay() -> None:
    m = bench(cars={"b1": "car1", "b2": "car2"}, bolt=False)
    m.book(asset=None)
    m.show()
    m.sent("b1")
    m.crash()
    m.recover("b1", **m.closed_with("car1"))
    m.recover_rest()
    assert m.unlocks() == ["b1"] and m.rental().openings == 0, "nobody opened anything"
    assert m.show().refused is None
    assert m.unlocks() == ["b1", "b1"], "while its lapsed grant lives the rental gets no other bay"
    assert len({f.grant for f in m.effects if hasattr(f, "grant")}) == 2


def test_a_late_opening_after_the_restart_is_no_burglary() -> None:
    """Killed between pulse and door, the customer still stands there."""
    m = bench(bolt=False)
    pulsed(m)
    m.crash(same_boot=True, down_s=1.0)
    m.recover("b1", **m.closed_with("car1"))
    m.open("b1")
    assert m.rental().state is RELEASING and not m.bay().alarms
    m.close("b1", presence=False, tag=None)
    assert m.rental().state is ON_TRIP


def test_an_awaited_late_opening_ends_by_its_time() -> None:
    m = bench(bolt=False)
    pulsed(m)
    m.crash()
    m.recover("b1", **m.closed_with("car1"))
    m.wait(61)
    assert m.bay().grant is None and m.rental().grant is None
    m.open("b1")
    assert Alarm.FORCED_OPEN in m.bay().alarms


@pytest.mark.parametrize("same_boot", [False, True])
def test_deadlines_of_before_decide_nothing(same_boot: bool) -> None:
    """The open time-out fires while no sensor has answered yet: that is no silent door."""
    m = bench()
    pulsed(m)
    deadline = next(d for d in m.bay().deadlines if d.name == "open")
    m.crash(same_boot=same_boot)
    m.mono += 100
    m.tell(e.DeadlineReached("bay", "b1", "open", deadline.n))
    assert m.rental().state is RELEASING and m.bay().state is BayState.OPENING


def test_levels_told_before_the_restart_is_stepped_are_kept() -> None:
    """Sensors drain before other facts: a loaded world may hear them first."""
    m = bench()
    opened(m)
    m.crash()
    m.sense("b1", door=False, bolt=True, presence=False, tag=None)
    m.tell(e.Restarted())
    m.tell(e.Recover("b1"))
    assert m.rental().state is ON_TRIP


def test_a_bay_is_decided_about_once() -> None:
    m = bench()
    m.crash()
    m.recover("b1", **m.closed_with("car1"))
    before = len(m.records)
    assert m.tell(e.Recover("b1")).ignored and len(m.records) == before


def test_until_a_bay_has_been_looked_at_it_opens_for_nobody() -> None:
    m = bench()
    m.book()
    m.crash()
    m.sense("b1", **m.closed_with("car1"))
    assert m.show().refused == "settling"
    m.tell(e.Recover("b1"))
    assert m.show().refused is None


def test_reopening_ends_with_the_boot_and_secrets_with_it() -> None:
    m = bench()
    m.book(demands=("pass+pin",), pin="sealed")
    m.show()
    m.tell(e.PinEntered("front", "1234"))
    m.check_pin(ok=True)
    m.sent("b1")
    m.open("b1")
    m.close("b1", presence=False, tag=None)
    m.bring_back()
    assert m.rental().pin == "sealed"
    m.crash()
    assert m.rental().pin is None and m.rental().state is RETURNED
    assert isinstance(m.effects[-1], EraseSecrets)


def test_a_machine_started_for_the_first_time_quarantines_what_it_does_not_know() -> None:
    m = bench(cars={}, tag=False)
    m = Bench(m.layout)
    m.tell(e.Restarted())
    m.recover("b1", door=False, bolt=True, presence=True)
    assert m.bay().quarantined and not m.bay().alarms and not m.world.of["incident"]


def test_many_bookings_restart_in_one_step() -> None:
    """A restart is one event however many rentals wait for it."""
    m = bench()
    for n in range(600):
        m.book(f"c{n}", "car1")
        m.world.apply({("rental", f"c{n}"): _claimed(m, f"c{n}")})
    m.crash()
    assert {r.state for r in m.world.of["rental"].values()} == {READY}


def _claimed(m: Bench, key: str) -> Any:
    from dataclasses import replace

    return replace(m.rental(key), state=RentalState.CLAIMED)
