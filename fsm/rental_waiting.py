"""Instructions that come while a bay is at work for their rental: the one outcome of each waits for the bay's word.

A newer one of the same kind takes its place; a later one of another kind waits behind it. Once the rental rests they
are told anew, in their order, as if they had just come. A cancellation has its own place (`Rental.cancel`): it
decides what the bay's word becomes.
"""

from __future__ import annotations

from fsm.across import Buy, Extend, Update
from fsm.model import FINAL, Rental, RentalState, Waiting
from fsm.outcome import settle_instruction
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn

RESTING = frozenset({RentalState.BOOKED, RentalState.READY, RentalState.ON_TRIP})


def something_waits(rental: Rental, event: Extend, turn: Turn) -> bool:
    """What comes later does not overtake it."""
    return bool(rental.waiting)


def wait_for_bay(rental: Rental, event: Update | Extend | Buy, turn: Turn) -> Rental:
    one = _kept(event)
    for old in rental.waiting:
        if old.kind == one.kind:
            settle_instruction(turn, old.id, "refused", "superseded")
    return replace(rental, waiting=(*(old for old in rental.waiting if old.kind != one.kind), one))


def _kept(event: Update | Extend | Buy) -> Waiting:
    if isinstance(event, Update):
        return Waiting(id=event.put.id, kind="update", version=event.put.version, put=event.put)
    if isinstance(event, Extend):
        return Waiting(id=event.instruction, kind="extend", version=event.version, due=event.due)
    return Waiting(id=event.instruction, kind="buy", version=event.version)


def told_anew(one: Waiting) -> Update | Extend | Buy:
    if one.put is not None:
        return Update(one.put)
    if one.due is not None:
        return Extend(one.id, one.due, one.version)
    return Buy(one.id, one.version)


def rests(rental: Rental) -> bool:
    """No bay's word is awaited that could still change what its instructions meet."""
    if rental.state in RESTING:
        return rental.grant is None
    return rental.state in FINAL or rental.state is RentalState.INCIDENT


# ---------------------------------------------------------------- too late
@reason("already_returned")
def not_returned(rental: Rental, event: Buy, turn: Turn) -> bool:
    return False


@reason("already_over")
def not_over(rental: Rental, event: Update, turn: Turn) -> bool:
    return False


@reason("incident")
def clear_what_became(rental: Rental, event: Update | Buy, turn: Turn) -> bool:
    return False
