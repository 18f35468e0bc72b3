"""A technician erases what a rental's holder could be known by, before the rules would."""

from __future__ import annotations

from fsm.across import Forget
from fsm.model import Rental
from fsm.rental_booking import erased, note
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn


@reason("in_progress")
def no_bay_at_it(rental: Rental, event: Forget, turn: Turn) -> bool:
    """A late opening is awaited, and with it what an instruction that waits has brought."""
    return rental.grant is None


@reason("nothing_kept")
def something_kept(rental: Rental, event: Forget, turn: Turn) -> bool:
    return bool(rental.pin or rental.face or rental.badges or rental.holder)


@reason("still_needed")
def forced(rental: Rental, event: Forget, turn: Turn) -> bool:
    """Without it the asset may not be handed out, or not brought back by a badge."""
    return event.force


@reason("in_progress")
def nobody_is_at_it(rental: Rental, event: Forget, turn: Turn) -> bool:
    return False


def forget(rental: Rental, event: Forget, turn: Turn) -> Rental:
    note(rental, "rental.forgotten", turn, who=event.who, reason=event.reason, forced=event.force or None)
    turn.urgent = True
    return replace(erased(rental, turn), holder=None, badges=())
