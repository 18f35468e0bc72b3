"""From the authorisation to the trip, and the trip itself: due time, extension, purchase."""

from __future__ import annotations

from fsm.across import (
    Authorise,
    Buy,
    CloseElsewhere,
    DueReached,
    Extend,
    Granted,
    GrantEnded,
    NotOpened,
    NotTaken,
    OpenedLate,
    Release,
    Taken,
)
from fsm.model import Purpose, Rental, RentalState, armed, disarm
from fsm.outcome import settle_instruction
from fsm.rental_booking import end, erased, no_cancellation_now, note, same_grant, served, timed_by_due, unserved
from fsm.rental_incident import into_incident
from fsm.values import replace
from fsm.world import Turn

BOOKED, READY, CLAIMED, RELEASING = (
    RentalState.BOOKED,
    RentalState.READY,
    RentalState.CLAIMED,
    RentalState.RELEASING,
)
ON_TRIP, RETURNING, RETURNED = RentalState.ON_TRIP, RentalState.RETURNING, RentalState.RETURNED
INCIDENT = RentalState.INCIDENT


# ---------------------------------------------------------------- release
def release(rental: Rental, event: Release, turn: Turn) -> Rental:
    assert rental.bay is not None
    turn.post(
        "bay",
        rental.bay,
        Authorise(Purpose.RELEASE, "holder", rental=rental.id, asset=rental.asset, terminal=rental.terminal),
    )
    return disarm(rental, "claim")


def granted(rental: Rental, event: Granted, turn: Turn) -> Rental:
    return replace(rental, grant=event.grant)


def opening_failed(rental: Rental, event: NotOpened, turn: Turn) -> Rental:
    """Ready again, the pass unspent. A lapsed grant is kept: a late opening still belongs to this rental."""
    note(rental, "rental.not_opened", turn, grant=event.grant, why=event.why)
    unserved(rental, event.why, turn)
    return _let_go(rental, keep=event.lapsed)


def _let_go(rental: Rental, *, keep: bool = False) -> Rental:
    rental = replace(rental, terminal=None)
    return rental if keep else replace(rental, grant=None, asset=None, bay=None)


def cancelled_after_all(rental: Rental, event: NotOpened | NotTaken | GrantEnded, turn: Turn) -> Rental:
    unserved(rental, "cancelled", turn)
    assert rental.cancel is not None
    settle_instruction(turn, rental.cancel, "accepted")
    note(rental, "rental.cancelled", turn)
    return end(replace(rental, cancel=None), turn)


def expired_after_all(rental: Rental, event: NotOpened | NotTaken | GrantEnded, turn: Turn) -> Rental:
    unserved(rental, "expired", turn)
    note(rental, "rental.expired", turn)
    return end(rental, turn)


def grant_ended(rental: Rental, event: GrantEnded, turn: Turn) -> Rental:
    held = rental.state in (CLAIMED, RELEASING)
    if rental.state in (ON_TRIP, INCIDENT):
        return replace(rental, grant=None, bay=None if rental.state is ON_TRIP else rental.bay)
    if rental.state is RETURNED:
        rental = replace(rental, grant=None)
        return rental if armed(rental, "reopen") is not None else erased(rental, turn)
    return replace(rental, grant=None) if held else replace(rental, grant=None, asset=None, bay=None)


def opened_late(rental: Rental, event: OpenedLate, turn: Turn) -> Rental:
    note(rental, "rental.opened_late", turn, grant=event.grant)
    turn.urgent = True
    return disarm(rental, "claim")


def openings_left(rental: Rental, event: NotTaken, turn: Turn) -> bool:
    return same_grant(rental, event, turn) and rental.openings + 1 < turn.layout.timing.max_openings


def not_taken(rental: Rental, event: NotTaken, turn: Turn) -> Rental:
    rental = replace(rental, openings=rental.openings + 1)
    note(rental, "rental.not_taken", turn, openings=rental.openings, outage=event.outage or None)
    unserved(rental, "not_taken", turn)
    turn.urgent = True
    return _let_go(rental)


def opened_too_often(rental: Rental, event: NotTaken, turn: Turn) -> Rental:
    asset, bay = rental.asset, rental.bay
    unserved(rental, "incident", turn)  # not "you have not taken it": the next showing of the pass would not open it
    rental = replace(not_taken(replace(rental, terminal=None), event, turn), asset=asset)
    ident = turn.open_incident("not_taken", bay=bay, asset=asset, rental=rental.id)
    return into_incident(rental, ident, turn)


def taken(rental: Rental, event: Taken, turn: Turn) -> Rental:
    """Custody: the asset is the holder's. The pass is spent by this."""
    no_cancellation_now(rental, turn)
    note(
        rental,
        "rental.on_trip",
        turn,
        asset=rental.asset,
        bay=rental.bay,
        due=rental.due_utc,
        outage=event.outage or None,
        unsensed=event.unsensed or None,
    )
    served(rental, "taken", turn, rental.bay or "")
    turn.urgent = True
    rental = replace(
        rental,
        bay=None,
        grant=None,
        terminal=None,
        cancel=None,
        expire=False,
        openings=0,
        outage=event.outage,
        unsensed=event.unsensed,
    )
    rental = disarm(rental, "window_open", "window_close", "claim", "reopen")
    return timed_by_due(rental, turn)


# ---------------------------------------------------------------- on trip
def due_reached(rental: Rental, event: DueReached, turn: Turn) -> Rental:
    note(rental, "rental.overdue", turn, due=rental.due_utc)
    return replace(rental, overdue=True)


def extend(rental: Rental, event: Extend, turn: Turn) -> Rental:
    rental = replace(rental, due_utc=event.due, version=event.version, overdue=False)
    note(rental, "rental.extended", turn, due=event.due)
    out = rental.state in (ON_TRIP, RETURNING) or armed(rental, "due") is not None
    return timed_by_due(rental, turn) if out else rental


def purchased(rental: Rental, event: Buy, turn: Turn) -> Rental:
    note(rental, "rental.purchased", turn, asset=rental.asset)
    asset = rental.asset
    rental = end(replace(rental, version=event.version), turn)
    return replace(rental, asset=asset)


def returned_elsewhere(rental: Rental, event: CloseElsewhere, turn: Turn) -> Rental:
    no_cancellation_now(rental, turn)
    rental = replace(rental, cancel=None, assumed=None)
    note(rental, "rental.returned", turn, elsewhere=event.machine, asset=rental.asset)
    served(rental, "returned", turn)
    asset = rental.asset
    return replace(end(replace(rental, version=event.version), turn), asset=asset)
