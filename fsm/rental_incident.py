"""Incidents: uncertainty is a state, and only a technician leaves it."""

from __future__ import annotations

from fsm.across import CameBack, FoundBack, GrantEnded, LeftEmpty, NotOpened, Resolve, Unsure
from fsm.model import Purpose, Rental, RentalState, disarm
from fsm.outcome import settle_instruction
from fsm.rental_booking import end, known_out, note, served, timed_by_due, unserved
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn


# ---------------------------------------------------------------- incident
def into_incident(rental: Rental, ident: str, turn: Turn) -> Rental:
    note(rental, "rental.incident", turn, incident=ident)
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "incident")
    turn.urgent = True
    rental = disarm(rental, "claim", "window_open", "window_close", "reopen")
    return replace(rental, incident=ident, grant=None, terminal=None, cancel=None, expire=False, assumed=None)


def unsure(rental: Rental, event: Unsure, turn: Turn) -> Rental:
    unserved(rental, "incident", turn)
    return into_incident(rental, event.incident, turn)


def bay_gone(turn: Turn, rental: Rental) -> None:
    """The site file has its bay no more, whose word it waits for: uncertainty is a state."""
    assert rental.grant is not None
    if rental.state is RentalState.ON_TRIP:  # a return that had not opened; the pass brings it back elsewhere
        turn.post("rental", rental.id, GrantEnded(rental.grant))
        return
    purpose = _PURPOSE.get(rental.state, Purpose.RELEASE)
    ident = rental.incident or turn.open_incident(
        f"unsure_{purpose}", bay=rental.bay, asset=rental.asset or rental.named, rental=rental.id
    )
    turn.post("rental", rental.id, Unsure(rental.grant, incident=ident))


_PURPOSE = {RentalState.RETURNING: Purpose.RETURN, RentalState.RETURNED: Purpose.REOPEN}


def incident_bay_done(rental: Rental, event: CameBack | LeftEmpty | NotOpened, turn: Turn) -> Rental:
    """An incident's asset may be received at any time: that changes custody, not the incident."""
    if isinstance(event, CameBack):
        note(rental, "rental.asset_back", turn, asset=event.asset, bay=rental.bay, incident=rental.incident)
        served(rental, "returned", turn, rental.bay or "")
    elif isinstance(event, LeftEmpty):
        unserved(rental, "left_empty", turn)
    else:
        unserved(rental, event.why, turn)
        if event.lapsed:
            return replace(rental, terminal=None)
    return replace(rental, grant=None, terminal=None)


def incident_unsure(rental: Rental, event: Unsure, turn: Turn) -> Rental:
    unserved(rental, "incident", turn)
    return replace(rental, grant=None, terminal=None)


def incident_found(rental: Rental, event: FoundBack, turn: Turn) -> Rental:
    note(rental, "rental.asset_back", turn, asset=event.asset, bay=event.bay, incident=rental.incident)
    return replace(rental, bay=event.bay)


@reason("bay_not_concluded")
def bay_concluded(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return rental.grant is None


def outcome_ready(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "ready"


def outcome_on_trip(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "on_trip" and rental.asset is not None


def outcome_returned(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "returned"


def outcome_cancelled(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "cancelled"


@reason("unknown_outcome")
def outcome_purchased(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "purchased"


def resolved(rental: Rental, event: Resolve, turn: Turn) -> Rental:
    note(rental, "rental.resolved", turn, outcome=event.outcome, who=event.who, reason=event.reason)
    rental = replace(rental, incident=None, openings=0, terminal=None)
    turn.urgent = True
    if event.outcome == "ready":
        rental = replace(rental, asset=None, bay=None)
        return turn.arm_utc(rental, "window_close", rental.window_to_utc)
    if event.outcome == "on_trip":
        rental = replace(rental, bay=None)
        return timed_by_due(known_out(rental), turn)
    asset = rental.asset
    return replace(end(rental, turn), asset=asset)
