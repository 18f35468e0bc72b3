"""Whether a rental could be served at all: by which factors, at which terminals, and always without a face, too.

Asked when a reservation arrives, and again when what it depends on has changed: the site file, the directory, the
device's key.
"""

from __future__ import annotations

from collections.abc import Hashable

from fsm import choose
from fsm.model import Rental, RentalState, TerminalSpec
from fsm.policy import AUTHORISER, BADGE, BIOMETRIC, PIN, combined, plain, possible
from fsm.values import replace
from fsm.world import Turn

HELD = (RentalState.BOOKED, RentalState.READY, RentalState.CLAIMED)


# ---------------------------------------------------------------- what can be shown
def offers_of(turn: Turn, spec: TerminalSpec, rental: Rental) -> frozenset[str]:
    """What can be verified for this rental at this terminal now: as ever, but for a face whose tries are spent."""
    tired = rental.face_attempts >= turn.layout.timing.max_face_attempts
    return _ever(turn, spec, rental) - (BIOMETRIC if tired else frozenset())


def _ever(turn: Turn, spec: TerminalSpec, rental: Rental, *, opened: bool = False) -> frozenset[str]:
    """Its devices, and what the reservation brought for them. `opened`: as if every seal could be opened here."""
    without: set[str] = set()
    if rental.pin is None or (not opened and sealed_elsewhere(turn, rental.pin)):
        without.add(PIN)
    if not rental.badges:
        without.add(BADGE)
    lost = rental.face is not None and not opened and sealed_elsewhere(turn, rental.face)
    if rental.face is None or lost or rental.face_format not in spec.face_formats:
        without |= BIOMETRIC
    if not choose.may_be_guarded(turn, rental):
        without.add(AUTHORISER)
    return spec.offers - without


def sealed_elsewhere(turn: Turn, sealed: str) -> bool:
    """By another device key than this machine's, which was lost or put back from elsewhere: it can never be opened.

    A sealed text says by its second part which key it needs.
    """
    mine = turn.layout.seal
    return bool(mine) and sealed.split(".", 2)[1:2] != [mine]


# ---------------------------------------------------------------- whether it is enough
def unservable(turn: Turn, rental: Rental, pass_demands: tuple[str, ...] = ()) -> str | None:
    """Why no terminal here can serve it, or none without a face; None where one can."""
    needed = choose.required(turn, rental, pass_demands)
    if rental.named is None and rental.asset is None and choose.all_guarded(turn, rental.asset_class):
        needed = combined(needed, choose.SECOND_PERSON)
    offers = [_ever(turn, spec, rental) for spec in turn.layout.terminals.values()]
    if any(possible(plain(needed), one) for one in offers):
        return None
    opened = (_ever(turn, spec, rental, opened=True) for spec in turn.layout.terminals.values())
    if any(possible(plain(needed), one) for one in opened):
        return "device_key"
    return "only_by_face" if any(possible(needed, one) for one in offers) else "factor_unavailable"


def takes_the_plain_way(turn: Turn, rental: Rental, pass_demands: tuple[str, ...]) -> bool:
    """A pass whose own demand leaves only ways with a face, where the booking has one without."""
    if not pass_demands or unservable(turn, rental, pass_demands) != "only_by_face":
        return False
    return unservable(turn, rental) is None


def elsewhere(turn: Turn, terminal: str, rental: Rental, pass_demands: tuple[str, ...]) -> list[str]:
    """Other terminals that could serve it now, from the beginning."""
    needed = choose.required(turn, rental, pass_demands)
    others = (spec for spec in turn.layout.terminals.values() if spec.id != terminal)
    return [spec.id for spec in others if possible(needed, offers_of(turn, spec, rental))]


# ---------------------------------------------------------------- what has changed meanwhile
def look_over(turn: Turn) -> None:
    """Every rental that is still to be served, after the site or the directory has changed: told once, either way."""
    known: dict[Hashable, str | None] = {}
    for old in list(turn.world.of["rental"].values()):
        rental = turn.rental(old.id)
        if rental is None or rental.state not in HELD:
            continue
        of_a_class = rental.named is None and rental.asset is None
        secrets = (rental.pin, rental.face)
        sealed = tuple(None if one is None else sealed_elsewhere(turn, one) for one in secrets)
        brought = (sealed, bool(rental.badges), rental.face_format)
        key = (choose.class_of(turn, rental), rental.demands, choose.guarded(turn, rental), of_a_class, brought)
        if key not in known:
            known[key] = unservable(turn, rental)
        if known[key] != rental.unservable:
            _tell(turn, rental, known[key])


def _tell(turn: Turn, rental: Rental, why: str | None) -> None:
    turn.put(replace(rental, unservable=why))
    turn.record("rental.unservable" if why is not None else "rental.servable", rental.id, why=why)
    turn.urgent = True
