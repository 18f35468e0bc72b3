"""A badge names a holder: the one rental that it leads to, or a choice among several."""

from __future__ import annotations

from fsm.across import Picked
from fsm.events import BadgePresented, Chosen, PinEntered
from fsm.model import Rental, RentalState, Visit
from fsm.table import Refused, reason
from fsm.values import replace
from fsm.visit_end import fresh
from fsm.visit_ways import BUSY, OUT, a_reopening, judge_badge, may_be_out, return_stuck
from fsm.world import Turn


def at_it_already(visit: Visit, event: BadgePresented, turn: Turn) -> bool:
    """A badge of whoever is being identified here: shown once more it is never a wish for another rental."""
    rental = turn.rental(visit.rental or "")
    return event.badge in (visit.badge, visit.authoriser) or (rental is not None and event.badge in rental.badges)


def stay(visit: Visit, event: BadgePresented, turn: Turn) -> Visit:
    raise Refused("in_progress")


def _leads_to(visit: Visit, badge: str, turn: Turn) -> list[Rental]:
    """Rentals that this badge can do something for, now and here. Raises Refused where there is none.

    While one of them is being served here it leads to no other: a card that is still held there wants nothing more.
    """
    found, why = [], Refused("unknown_badge")
    rentals = turn.rentals_of_badge(badge)
    if any(visit.rental == one.id and _served_here(visit, one, turn) for one in rentals):
        raise Refused("in_progress")
    for rental in reversed(rentals):
        try:
            if _useful(visit, rental, badge, turn):
                found.append(rental)
        except Refused as refused:
            why = refused  # in the end that of the earliest
    if not found:
        raise why
    return found[::-1]


def _served_here(visit: Visit, rental: Rental, turn: Turn) -> bool:
    return rental.state in BUSY and rental.terminal == visit.id and not return_stuck(turn, rental)


def _useful(visit: Visit, rental: Rental, badge: str, turn: Turn) -> bool:
    event = Picked(visit.id, rental.id, badge)
    if rental.state in OUT or return_stuck(turn, rental) or may_be_out(visit, event, turn):
        return True
    if a_reopening(visit, event, turn):
        return True
    if rental.state in BUSY:
        raise Refused("in_progress" if rental.terminal == visit.id else "in_use")
    judge_badge(turn, rental)
    return True


def several(visit: Visit, event: BadgePresented, turn: Turn) -> bool:
    return len(_leads_to(visit, event.badge, turn)) > 1


def offer_choice(visit: Visit, event: BadgePresented, turn: Turn) -> Visit:
    choices = tuple(rental.id for rental in _leads_to(visit, event.badge, turn))
    asked = visit.return_until_mono  # to bring something back: it counts until one of them is chosen
    visit = replace(fresh(visit, turn), badge=event.badge, choices=choices, return_until_mono=asked)
    return turn.arm_in(visit, "visit", turn.layout.timing.choose_s)


def pick(visit: Visit, event: BadgePresented, turn: Turn) -> Visit:
    """The one that it leads to."""
    rental = _leads_to(visit, event.badge, turn)[0]
    turn.post("visit", visit.id, Picked(visit.id, rental.id, event.badge))
    return visit


@reason("not_asked")
def choosing(visit: Visit, event: Chosen | PinEntered, turn: Turn) -> bool:
    return bool(visit.choices)


def choose(visit: Visit, event: Chosen | PinEntered, turn: Turn) -> Visit:
    """By its reference in the prompt: "1" is the first. A keypad sends the same digits."""
    ref = event.ref if isinstance(event, Chosen) else event.digits
    known = {str(n): rental for n, rental in enumerate(visit.choices, start=1)}
    if ref not in known or visit.badge is None:
        raise Refused("unknown_choice")
    turn.post("visit", visit.id, Picked(visit.id, known[ref], visit.badge))
    return visit


def picked_out(visit: Visit, event: Picked, turn: Turn) -> bool:
    """It is out: its badge brings it back."""
    rental = turn.rental(event.rental)
    if rental is None:
        return False
    return rental.state in OUT or return_stuck(turn, rental) or may_be_out(visit, event, turn)


def act_of(rental: Rental) -> str:
    """What choosing it would do, for the prompt."""
    if rental.state is RentalState.RETURNED:
        return "reopen"
    return "pick_up" if rental.state in (RentalState.BOOKED, RentalState.READY) else "return"
