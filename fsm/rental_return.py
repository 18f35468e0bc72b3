"""Bringing it back, and opening the bay again shortly after."""

from __future__ import annotations

from fsm.across import (
    Authorise,
    CameBack,
    Cancel,
    EraseDue,
    FoundBack,
    GrantEnded,
    LeftEmpty,
    NotOpened,
    NotTaken,
    Reopen,
    ReopenLapsed,
    StartReturn,
    Taken,
    Update,
)
from fsm.model import Purpose, Rental, RentalState, armed, disarm
from fsm.rental_booking import erased, known_out, no_cancellation_now, note, served, unserved
from fsm.rental_release import taken
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn


# ---------------------------------------------------------------- return
def start_return(rental: Rental, event: StartReturn, turn: Turn) -> Rental:
    turn.post(
        "bay",
        event.bay,
        Authorise(Purpose.RETURN, "holder", rental=rental.id, asset=rental.asset, terminal=event.terminal),
    )
    note(rental, "rental.return_started", turn, bay=event.bay, terminal=event.terminal)
    return replace(rental, bay=event.bay, terminal=event.terminal)


def start_though_ready(rental: Rental, event: StartReturn, turn: Turn) -> Rental:
    return _start_assumed(rental, RentalState.READY, event, turn)


def start_though_booked(rental: Rental, event: StartReturn, turn: Turn) -> Rental:
    return _start_assumed(rental, RentalState.BOOKED, event, turn)


def _start_assumed(rental: Rental, before: RentalState, event: StartReturn, turn: Turn) -> Rental:
    """By the books it never left; they may be an older copy. Its window waits until the bay has said its word."""
    rental = disarm(rental, "window_open", "window_close")
    return start_return(replace(rental, assumed=before, asset=event.asset), event, turn)


def ready_again(rental: Rental, event: LeftEmpty | NotOpened | GrantEnded, turn: Turn) -> bool:
    return rental.assumed is RentalState.READY and _nothing_came(rental, event)


def booked_again(rental: Rental, event: LeftEmpty | NotOpened | GrantEnded, turn: Turn) -> bool:
    return rental.assumed is RentalState.BOOKED and _nothing_came(rental, event)


def _nothing_came(rental: Rental, event: LeftEmpty | NotOpened | GrantEnded) -> bool:
    return rental.grant == event.grant and not (isinstance(event, NotOpened) and event.lapsed)


def given_up(rental: Rental, event: LeftEmpty | NotOpened | GrantEnded, turn: Turn) -> Rental:
    """Nothing came, and so it is what it was. The pass is unspent."""
    if isinstance(event, NotOpened):
        rental = return_not_opened(rental, event, turn)
    elif isinstance(event, LeftEmpty):
        rental = left_empty(rental, event, turn)
    note(rental, f"rental.{rental.state}", turn)
    rental = replace(rental, assumed=None, asset=None, bay=None, grant=None)
    if rental.cancel is not None:  # it waited for this
        turn.post("rental", rental.id, GrantEnded(event.grant))
        rental = replace(rental, grant=event.grant)
    if rental.state is RentalState.BOOKED:
        rental = turn.arm_utc(rental, "window_open", rental.window_from_utc)
    return turn.arm_utc(rental, "window_close", rental.window_to_utc)


def assumed_out(rental: Rental, event: Update | Cancel, turn: Turn) -> bool:
    """It may turn out that it never left: then what the cloud says is in time."""
    version = event.put.version if isinstance(event, Update) else event.version
    return rental.assumed is not None and version > rental.version


def return_not_opened(rental: Rental, event: NotOpened, turn: Turn) -> Rental:
    note(rental, "rental.not_opened", turn, grant=event.grant, why=event.why)
    unserved(rental, event.why, turn)
    rental = replace(rental, terminal=None)
    return rental if event.lapsed else replace(rental, grant=None, bay=None)


def left_empty(rental: Rental, event: LeftEmpty, turn: Turn) -> Rental:
    note(rental, "rental.return_abandoned", turn, outage=event.outage or None)
    unserved(rental, "left_empty", turn)
    return replace(rental, grant=None, bay=None, terminal=None)


def came_back(rental: Rental, event: CameBack, turn: Turn) -> Rental:
    """Custody: the asset is the machine's again."""
    rental = replace(rental, asset=event.asset or rental.asset, outage=event.outage, unsensed=event.unsensed)
    return _back(rental, rental.bay, turn)


def found_back(rental: Rental, event: FoundBack, turn: Turn) -> Rental:
    return _back(replace(rental, outage=event.outage), event.bay, turn, keep_grant=rental.bay != event.bay)


def _back(rental: Rental, bay: str | None, turn: Turn, *, keep_grant: bool = False) -> Rental:
    note(
        rental,
        "rental.returned",
        turn,
        asset=rental.asset,
        bay=bay,
        outage=rental.outage or None,
        unsensed=rental.unsensed or None,
        overdue=rental.overdue or None,
    )
    served(rental, "returned", turn, bay or "")
    turn.urgent = True
    no_cancellation_now(rental, turn)
    rental = disarm(rental, "due")
    rental = replace(rental, cancel=None, assumed=None)
    rental = replace(rental, bay=bay, grant=rental.grant if keep_grant else None, terminal=None)
    return turn.arm_in(rental, "reopen", turn.layout.timing.reopen_s)


@reason("spent")
def may_reopen(rental: Rental, event: Reopen, turn: Turn) -> bool:
    return armed(rental, "reopen") is not None and rental.grant is None and rental.bay is not None


def reopen(rental: Rental, event: Reopen, turn: Turn) -> Rental:
    assert rental.bay is not None
    turn.post(
        "bay",
        rental.bay,
        Authorise(Purpose.REOPEN, "holder", rental=rental.id, asset=rental.asset, terminal=event.terminal),
    )
    note(rental, "rental.reopened", turn, bay=rental.bay)
    return replace(rental, terminal=event.terminal)


def reopen_done(rental: Rental, event: NotTaken | NotOpened | LeftEmpty, turn: Turn) -> Rental:
    if isinstance(event, NotOpened):
        unserved(rental, event.why, turn)
        if event.lapsed:
            return replace(rental, terminal=None)
    else:
        served(rental, "reopened", turn, rental.bay or "")
    rental = replace(rental, grant=None, terminal=None)
    return rental if armed(rental, "reopen") is not None else erased(rental, turn)


def taken_again(rental: Rental, event: Taken, turn: Turn) -> Rental:
    return known_out(taken(rental, event, turn))


def reopen_lapsed(rental: Rental, event: ReopenLapsed, turn: Turn) -> Rental:
    return rental if rental.grant is not None else erased(rental, turn)


def erase(rental: Rental, event: EraseDue, turn: Turn) -> Rental:
    return erased(rental, turn)
