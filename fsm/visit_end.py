"""How a visit begins and ends: the person before, farewells, refusals and the slowing of a terminal."""

from __future__ import annotations

from fsm.across import FarewellOver, Served, Unclaim, Unserved, VisitTimedOut
from fsm.events import Left
from fsm.model import RentalState, Visit, VisitState, disarm
from fsm.values import replace
from fsm.world import Turn

FREE_FAILURES = 3  # a smudged code or two costs nobody time
COUNTED = frozenset(
    {
        "malformed",
        "not_a_pass",
        "unknown_key",
        "bad_signature",
        "wrong_algorithm",
        "missing_claim",
        "bad_claim",
        "wrong_issuer",
        "key_not_yet_valid",
        "revoked",
        "other_machine",
        "unknown_badge",
        "wrong_badge",
    }
)


def fresh(visit: Visit, turn: Turn) -> Visit:
    """A new visit at this terminal; the one before ends."""
    give_up(visit, "another_visit", turn)
    return disarm(
        Visit(
            id=visit.id,
            state=visit.state,
            n=visit.n + 1,
            failures=0,
            deadlines=visit.deadlines,
            timer_n=visit.timer_n,
        ),
        "visit",
        "farewell",
    )


def give_up(visit: Visit, why: str, turn: Turn) -> None:
    """What was claimed at this terminal, and only here, is claimed no more."""
    rental = turn.rental(visit.rental) if visit.rental else None
    if rental is not None and rental.state is RentalState.CLAIMED and rental.terminal == visit.id:
        turn.post("rental", rental.id, Unclaim(why))


def for_me(visit: Visit, event: Served | Unserved, turn: Turn) -> bool:
    return visit.rental == event.rental


def farewell(visit: Visit, why: str, turn: Turn) -> Visit:
    visit = replace(visit, state=VisitState.FAREWELL, reason=why, wants=None, accepts=frozenset(), choices=())
    visit = replace(visit, elsewhere=())
    visit = replace(visit, have=frozenset(), checking=False, facing=False, badge=None, authoriser=None)
    return turn.arm_in(disarm(visit, "visit"), "farewell", turn.layout.timing.farewell_s)


def served(visit: Visit, event: Served, turn: Turn) -> Visit:
    return replace(farewell(visit, event.what, turn), bay=event.bay or visit.bay)


def unserved(visit: Visit, event: Unserved, turn: Turn) -> Visit:
    return farewell(visit, event.why, turn)


def left(visit: Visit, event: Left, turn: Turn) -> Visit:
    give_up(visit, "left", turn)
    return farewell(visit, "left", turn)


def forget(visit: Visit, event: Left | FarewellOver, turn: Turn) -> Visit:
    idle = Visit(id=visit.id, n=visit.n, failures=visit.failures, timer_n=visit.timer_n)
    return replace(idle, slow_until_mono=visit.slow_until_mono, return_until_mono=visit.return_until_mono)


def timed_out(visit: Visit, event: VisitTimedOut, turn: Turn) -> Visit:
    give_up(visit, "timed_out", turn)
    return farewell(visit, "timed_out", turn)


def bay_at_work(visit: Visit, event: VisitTimedOut, turn: Turn) -> bool:
    """A bay is still open, or about to open, for whoever stands here."""
    grants = (turn.bay(key).grant for key in turn.layout.bays)
    return any(grant is not None and grant.terminal == visit.id and not grant.lapsed for grant in grants)


def watch(visit: Visit, event: VisitTimedOut | None, turn: Turn) -> Visit:
    """Being served ends by the bay's word; where that misses, by this."""
    timing = turn.layout.timing
    return turn.arm_in(visit, "visit", timing.held_open_s + timing.lapse_s)


def refuse(visit: Visit, why: str, turn: Turn, detail: str = "") -> Visit:
    """A person's request was refused. Whoever is being served goes on being served; a terminal is only slowed."""
    failures = visit.failures + 1 if why in COUNTED else visit.failures
    slow = visit.slow_until_mono
    if why in COUNTED and failures > FREE_FAILURES:
        slow = turn.now.mono + min(2.0 ** (failures - FREE_FAILURES - 1), turn.layout.timing.slow_max_s)
    visit = replace(visit, failures=failures, slow_until_mono=slow)
    if visit.state in (VisitState.IDLE, VisitState.FAREWELL):
        others = tuple(detail.split(",")) if why == "other_terminal" else ()
        return replace(farewell(visit, why, turn), rental=None, bay=None, elsewhere=others)
    if why == "in_progress":  # their own pass again, still held before the reader: what they were told stands
        return visit
    return replace(visit, reason=why)
