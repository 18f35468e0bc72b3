"""docs/incidents.md, walked: from a real cause into each kind of incident, and out of it by every way offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fsm import events as e
from fsm.model import FAULTS, BayState, Incident, Purpose, RentalState
from fsm.technician import OUTCOMES
from tests.unit.fsm.machine import Bench, bench
from vendingd.api.incidents import GUIDES, binds, guide
from vendingd.prompts import prompt

PAGE = Path(__file__).resolve().parents[3] / "docs" / "incidents.md"
UNWATCHED: dict[str, Any] = {"presence": False, "tag": False}


# ---------------------------------------------------------------- causes: a machine with the incident open
def released(**site: Any) -> Bench:
    """r1's bay b1 is open for its pick-up."""
    m = bench(**site)
    m.book()
    m.show()
    m.sent("b1")
    m.open("b1")
    return m


def returning(m: Bench | None = None) -> Bench:
    """r1 is out, and a bay is open for its return: b1 is empty."""
    m = m or bench()
    m.book()
    m.pick_up()
    m.wait(60)
    m.show()
    assert m.unlocks()[-1] == "b1"
    m.sent("b1")
    m.open("b1")
    return m


def by_technician(cars: dict[str, str] | None = None) -> Bench:
    m = bench(cars=cars)
    m.tell(e.TechnicianUnlock("b1", "eve", "looking"))
    m.sent("b1")
    m.open("b1")
    return m


def forced(cars: dict[str, str] | None = None, **site: Any) -> Bench:
    m = bench(cars=cars, **site)
    m.open("b1")
    return m


def closed(m: Bench, **levels: Any) -> Bench:
    m.close("b1", **levels)
    return m


def four_times() -> Bench:
    m = bench()
    m.book()
    for _ in range(4):
        m.wait(30)
        assert m.show().refused is None
        m.sent("b1")
        m.open("b1")
        m.close("b1", settle=False)
        m.wait(3)
    return m


def found_at_the_start(asset: str | None, **levels: Any) -> Bench:
    m = bench(cars={"b1": asset} if asset else {})
    m.crash()
    m.recover("b1", **{**m.closed_with(None), **levels})
    return m


def door_silent() -> Bench:
    m = bench()
    m.book()
    m.show()
    m.sent("b1")
    m.sense("b1", bolt=False, door=None)
    m.wait(16)
    return m


def outage_unwatched() -> Bench:
    m = bench(**UNWATCHED)
    m.book()
    m.show()
    m.sent("b1")
    m.crash()
    m.recover("b1", door=False, bolt=True)
    return m


def after_taken() -> Bench:
    m = released()
    m.sense("b1", presence=False, tag=None)
    m.wait(125)
    assert m.rental().state is RentalState.ON_TRIP
    return closed(m, presence=None, tag=None)


def reader_silent() -> Bench:
    m = returning()
    m.sense("b1", presence=True)
    m.tell(e.TagChanged("b1", None, known=False))
    m.close("b1", presence=True)
    return m


def by_tag_silent() -> Bench:
    m = bench(cars={})
    assert m.hold_tag("TAG1").refused is None
    m.sent("b1")
    m.open("b1")
    return closed(m, presence=None, tag=None)


def by_word_alone() -> Bench:
    m = bench(**UNWATCHED)
    m.book()
    m.pick_up()
    m.wait(60)
    assert m.show("r9", asset="car1", exp=1.0, nbf=0.5).refused is None
    m.sent("b1")
    m.open("b1")
    return closed(m)


def reopened() -> Bench:
    m = returning()
    closed(m, presence=True, tag="TAG1")
    m.wait(20)
    assert m.show().refused is None
    m.sent("b1")
    m.open("b1")
    return closed(m, presence=None, tag=None)


CAUSES: dict[str, Callable[[], Bench]] = {
    "four-times": four_times,
    "strange-return": lambda: closed(returning(), presence=True, tag="ODD"),
    "strange-release": lambda: closed(released(), presence=True, tag="ODD"),
    "strange-technician": lambda: closed(by_technician(cars={}), presence=True, tag=None),
    "strange-forced": lambda: closed(forced(cars={}), presence=True, tag=None),
    "strange-outage": lambda: found_at_the_start(None, presence=True, tag="ODD"),
    "forced-gone": lambda: closed(forced(), presence=False, tag=None),
    "gone-while-down": lambda: found_at_the_start("car1"),
    "swapped": lambda: closed(forced(), presence=True, tag="ODD"),
    "release-presence-silent": lambda: closed(released(), presence=None, tag=None),
    "release-door-silent": door_silent,
    "release-outage-unwatched": outage_unwatched,
    "release-after-taken": after_taken,
    "return-presence-silent": lambda: closed(returning(), presence=None, tag=None),
    "return-reader-silent": reader_silent,
    "return-by-tag-silent": by_tag_silent,
    "return-unsensed": by_word_alone,
    "reopen-presence-silent": reopened,
    "technician-presence-silent": lambda: closed(by_technician(), presence=None, tag=None),
    "forced-presence-silent": lambda: closed(forced(), presence=None, tag=None),
    "forced-unwatched": lambda: closed(forced(**UNWATCHED)),
}


# ---------------------------------------------------------------- the page
@dataclass(frozen=True)
class Cause:
    name: str
    kind: str
    waits: bool
    screen: str
    quarantined: bool
    alarms: frozenset[str]


@dataclass(frozen=True)
class Way:
    kind: str
    outcome: str
    at_once: bool
    first: str
    rental: str
    bay: str
    asset: str


def sections() -> dict[str, str]:
    parts = PAGE.read_text().split("\n## `")[1:]
    return {part.partition("`")[0]: part for part in parts}


def rows(text: str, head: str) -> list[list[str]]:
    """The table whose first column has this name."""
    table = text.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]


def yes(word: str) -> bool:
    return {"yes": True, "no": False}[word]


SAID = [
    Cause(
        row[0], kind, yes(row[2]), row[3], {"usable": False, "quarantined": True}[row[4]], frozenset(row[5:6]) - {"-"}
    )
    for kind, text in sections().items()
    for row in rows(text, "cause")
]
WAYS = [Way(kind, row[0], yes(row[1]), *row[2:]) for kind, text in sections().items() for row in rows(text, "outcome")]
WALKS = [(c, w) for c in SAID for w in WAYS if c.kind == w.kind and c.waits is (w.outcome != "closed")]


def opened(m: Bench, cause: Cause) -> Incident:
    found: Incident = next(one for one in m.world.of["incident"].values() if one.kind == cause.kind)
    return found


# ---------------------------------------------------------------- in
@pytest.mark.parametrize("cause", SAID, ids=lambda cause: cause.name)
def test_how_it_comes_and_what_is_seen_of_it(cause: Cause) -> None:
    m = CAUSES[cause.name]()
    one = opened(m, cause)
    assert binds(m.world, one) is cause.waits
    rental = m.world.rental("r1")
    assert (rental is not None and rental.state is RentalState.INCIDENT) is cause.waits
    shown = prompt(m.world, "front", None, "")["code"]
    assert shown == (cause.screen if cause.screen != "-" else "idle")
    assert (m.bay().quarantined is not None) is cause.quarantined
    assert {str(alarm) for alarm in m.bay().alarms} == cause.alarms
    assert m.bay().state is BayState.SECURED and m.bay().grant is None
    kinds = m.kinds()
    assert ("rental.incident" in kinds) is cause.waits
    (record,) = [data for kind, subject, data in m.records if (kind, subject) == ("incident.opened", one.id)]
    assert record["kind"] == cause.kind and record["bay"] == "b1"
    if cause.waits:
        assert kinds.index("bay.secured", kinds.index("bay.unlock_authorised")) < kinds.index("rental.incident")
        assert record["rental"] == "r1" and record.get("asset", "car1") == "car1"


@pytest.mark.parametrize("cause", [c for c in SAID if c.waits], ids=lambda cause: cause.name)
def test_while_it_is_open_the_pass_opens_an_empty_bay_and_none_with_an_asset(cause: Cause) -> None:
    m = CAUSES[cause.name]()
    m.recover_rest()
    m.wait(30)
    before = len(m.unlocks())
    assert m.show().refused is None
    (bay,) = m.unlocks()[before:]
    assert bay != "b1" and m.bay(bay).asset is None
    for outcome in OUTCOMES:
        refused = m.tell(e.ResolveIncident(opened(m, cause).id, outcome, "eve", "x")).refused
        assert refused == ("outcome_needed" if outcome == "closed" else "bay_not_concluded")
    m.sent(bay)
    m.open(bay)
    m.close(bay, presence=True, tag="TAG1")
    assert m.bay(bay).asset == "car1", "what comes back meanwhile is received"
    assert m.rental().state is RentalState.INCIDENT and m.kinds()[-1] == "rental.asset_back"


# ---------------------------------------------------------------- out
def taken_now(m: Bench, cause: Cause) -> dict[str, str]:
    return dict(guide(m.world, opened(m, cause), m.now).outcomes)


def say(m: Bench, what: str) -> None:
    """A technician has repaired the sensors, looked, and says what is in b1."""
    spec, inside = m.layout.bays["b1"], what == "--asset"
    m.sense("b1", door=False, bolt=True)
    if spec.presence:
        m.sense("b1", presence=inside)
    if spec.tag:
        m.sense("b1", tag="TAG1" if inside else None)
    said = m.tell(e.SetContents("b1", "car1" if inside else None, "eve", "looked"))
    assert said.refused is None, said


@pytest.mark.parametrize("cause", SAID, ids=lambda cause: cause.name)
def test_exactly_the_ways_that_the_page_has_are_offered_at_once(cause: Cause) -> None:
    m = CAUSES[cause.name]()
    page = [way.outcome for c, way in WALKS if c is cause]
    assert set(taken_now(m, cause)) == {way.outcome for c, way in WALKS if c is cause and way.at_once}
    usual = [word for word in GUIDES[cause.kind].outcomes if word in page]
    assert page[: len(usual)] == usual, "the usual ones come first, on the page as on the screen"
    against = guide(m.world, opened(m, cause), m.now).not_now
    assert set(against or {}) == set(page) - set(taken_now(m, cause)) and all((against or {}).values())


@pytest.mark.parametrize(("cause", "way"), WALKS, ids=lambda one: getattr(one, "name", getattr(one, "outcome", "")))
def test_a_way_out(cause: Cause, way: Way) -> None:
    m = CAUSES[cause.name]()
    m.recover_rest()
    m.wait(30)
    one = opened(m, cause)
    before = m.world.rental("r1")
    if way.first != "-":
        say(m, way.first)
    resolved = m.tell(e.ResolveIncident(one.id, way.outcome, "eve", "looked, telephoned"))
    assert resolved.refused is None, resolved
    m.fire()
    assert one.id not in m.world.of["incident"]
    (record,) = [data for kind, subject, data in m.records if (kind, subject) == ("incident.resolved", one.id)]
    assert (record["outcome"], record["who"], record["reason"]) == (way.outcome, "eve", "looked, telephoned")
    if cause.waits:
        assert ("rental.resolved", "r1", {k: record[k] for k in ("outcome", "who", "reason")}) in m.records
        assert m.rental().state == way.rental and m.rental().incident is None and m.rental().grant is None
    else:
        assert way.rental == "as it was" and m.world.rental("r1") == before
    usable(m, inside=way.first == "--asset" or way.asset == "in the bay")
    where_it_is(m, cause, way)


def usable(m: Bench, *, inside: bool) -> None:
    bay = m.bay()
    assert bay.quarantined is None and not bay.alarms & FAULTS and bay.state is BayState.SECURED
    assert ("b1" in m.world.free) is not inside


def where_it_is(m: Bench, cause: Cause, way: Way) -> None:
    """In the bay, where the next pass finds it; or out, and then it can be brought back."""
    before, incidents = len(m.unlocks()), set(m.world.of["incident"])
    if way.asset == "in the bay":
        assert m.bay().asset == "car1"
        if way.rental != "ready":
            m.book("next", "car1")
        assert m.show("r1" if way.rental == "ready" else "next").refused is None
        assert m.unlocks()[before:] == ["b1"]
        return
    if way.asset == "as it was":
        return
    assert "car1" not in m.world.bay_of_asset
    back = m.show() if way.asset == "out, back by the pass" else m.hold_tag("TAG1")
    assert back.refused is None, back
    (bay,) = m.unlocks()[before:]
    m.sent(bay)
    m.open(bay)
    m.close(bay, presence=True, tag="TAG1")
    assert m.bay(bay).asset == "car1" and set(m.world.of["incident"]) == incidents
    if way.rental == "on_trip":
        assert m.rental().state is RentalState.RETURNED


def test_the_quarantine_outlives_an_outcome_that_was_said_before_the_contents() -> None:
    for cause, way in WALKS:
        if not (cause.quarantined and way.at_once):
            continue
        m = CAUSES[cause.name]()
        m.recover_rest()
        m.wait(30)
        assert m.tell(e.ResolveIncident(opened(m, cause).id, way.outcome, "eve", "in a hurry")).refused is None
        assert m.bay().quarantined is not None and "b1" not in m.world.free, (cause, way)
        if way.rental != "on_trip" or way.first == "--empty":
            say(m, way.first)
            assert m.bay().quarantined is None


def test_a_window_that_is_over_expires_what_was_made_ready() -> None:
    m = four_times()
    m.wait(2 * 3600)
    assert m.tell(e.ResolveIncident("I1", "ready", "eve", "called")).refused is None
    m.fire()
    assert m.rental().state is RentalState.EXPIRED and m.show().refused == "too_late"


# ---------------------------------------------------------------- page, code and causes are of one mind
def test_every_kind_has_its_section_and_every_cause_its_story() -> None:
    assert list(sections()) == list(GUIDES)
    assert {kind for kind in sections() if kind.startswith("unsure_")} == {f"unsure_{purpose}" for purpose in Purpose}
    assert sorted(cause.name for cause in SAID) == sorted(CAUSES)
    kinds = {way.kind for way in WAYS}
    assert kinds == set(GUIDES)
    for kind in kinds:
        outcomes = {way.outcome for way in WAYS if way.kind == kind}
        waits = {cause.waits for cause in SAID if cause.kind == kind}
        assert outcomes == {word for word in OUTCOMES if (word != "closed") in waits}, kind


def test_the_page_explains_every_outcome() -> None:
    general = PAGE.read_text().partition("\n## `")[0]
    assert [row[0] for row in rows(general, "outcome")] == list(OUTCOMES)


@pytest.mark.parametrize("outcome", ["ready", "on_trip", "returned", "cancelled", "purchased"])
def test_what_is_lost_for_good_leaves_the_directory_first(outcome: str) -> None:
    m = CAUSES["return-presence-silent"]()
    say(m, "--empty")
    m.deliver(e.RemoveAssets("gone", ("car1",)))
    assert m.outcome("gone") == ("accepted", "")
    assert m.tell(e.ResolveIncident("I1", outcome, "eve", "burnt out")).refused is None
    assert m.rental().state == outcome and m.world.of["incident"] == {}
