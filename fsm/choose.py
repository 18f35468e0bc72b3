"""Choosing a bay and an asset, for a pick-up or for a return. Raises Refused with the customer's reason."""

from __future__ import annotations

from fsm.bay_custody import tagged
from fsm.indexes import may_take
from fsm.model import FAULTS, Bay, BayState, Occupancy, Rental, RentalState
from fsm.policy import AUTHORISER, Alternatives, combined
from fsm.table import Refused
from fsm.values import replace
from fsm.world import Turn

SECOND_PERSON: Alternatives = (frozenset({AUTHORISER}),)


def alternatives(demands: tuple[str, ...]) -> Alternatives | None:
    """("pass+pin", …) as combinations; None where nothing is demanded beyond the site's least."""
    return tuple(frozenset(one.split("+")) for one in demands) or None


def required(turn: Turn, rental: Rental, pass_demands: tuple[str, ...]) -> Alternatives:
    """Everything that must hold for this rental: the site's least, the reservation's and the pass's demand."""
    needed = turn.layout.policy.required(class_of(turn, rental), alternatives(rental.demands))
    said = alternatives(pass_demands)
    needed = needed if said is None else combined(said, needed)
    return combined(needed, SECOND_PERSON) if guarded(turn, rental) else needed


def guarded(turn: Turn, rental: Rental) -> bool:
    """Whether its asset leaves only with a second person's consent."""
    asset = rental.asset or rental.named
    known = turn.asset(asset) if asset is not None else None
    return known is not None and bool(known.authorisers)


def may_be_guarded(turn: Turn, rental: Rental) -> bool:
    """The same, also where it is not yet known which asset of a class it will be."""
    return guarded(turn, rental) or (rental.asset is None and rental.named is None)


def all_guarded(turn: Turn, asset_class: str | None) -> bool:
    """Whether every asset of a class that the directory knows leaves only with a second person's consent."""
    if not turn.world.guarded:
        return False
    known = [turn.asset(key) for key in turn.world.of["asset"]]
    every = [asset for asset in known if asset is not None and asset.asset_class == asset_class]
    return bool(every) and all(asset.authorisers for asset in every)


def with_asset(turn: Turn, rental: Rental) -> Rental:
    """The rental with the asset that it would get now, where it matters which one of a class that is."""
    if rental.asset is not None or rental.named is not None or not turn.world.guarded:
        return rental
    try:
        return replace(rental, asset=pick(turn, rental)[1])
    except Refused:
        return rental  # there is none; the claim says so


def class_of(turn: Turn, rental: Rental) -> str | None:
    asset = rental.asset or rental.named
    known = turn.asset(asset) if asset is not None else None
    return known.asset_class if known is not None else rental.asset_class


def unusable(bay: Bay, turn: Turn, rental: str) -> str | None:
    """Why this bay cannot be opened for a pick-up now; None where it can."""
    sensed, spec = turn.sensed(bay.id), turn.layout.bays[bay.id]
    if bay.grant is not None and not (bay.grant.lapsed and bay.grant.rental == rental):
        return "bay_in_use"
    if bay.state is not BayState.SECURED:
        return "bay_in_use"
    if not bay.in_service:
        return "out_of_service"
    if bay.quarantined is not None or bay.alarms & FAULTS:
        return "bay_faulted"
    if not sensed.recovered or bay.occupancy is Occupancy.UNKNOWN:
        return "settling"
    if sensed.door is not False or (spec.presence and sensed.presence is None):
        return "sensor_silent"
    if spec.presence and not sensed.presence:
        return "asset_not_here"
    if spec.tag and sensed.tag is not None and tagged(bay, turn) != bay.asset:
        return "asset_not_here"
    return None


def pick(turn: Turn, rental: Rental) -> tuple[str, str]:
    """The bay and the asset to release. A named asset is held; one of a class is chosen from those no one holds."""
    if rental.grant is not None and rental.bay is not None:  # a late opening is awaited there, and only there
        bay = turn.bay(rental.bay)
        why = unusable(bay, turn, rental.id)
        if why is not None or bay.asset is None:
            raise Refused(why or "asset_not_here", bay.id)
        return bay.id, bay.asset
    if rental.named is not None:
        return _named(turn, rental, rental.named)
    if rental.asset_class is None:
        raise Refused("asset_not_here")
    for bay in turn.bays_with_loose(rental.asset_class, rental.id):
        if unusable(bay, turn, rental.id) is None:
            assert bay.asset is not None
            return bay.id, bay.asset
    whys = (unusable(bay, turn, rental.id) for bay in turn.bays_stirring(rental.asset_class))
    soon = next((why for why in whys if why in ("settling", "bay_in_use")), None)
    raise Refused(soon or "none_available", rental.asset_class)


def _named(turn: Turn, rental: Rental, asset: str) -> tuple[str, str]:
    inside = turn.bay_holding(asset)
    if inside is None:
        raise Refused("asset_not_here", asset)
    busy = (RentalState.CLAIMED, RentalState.RELEASING)
    if any(r.id != rental.id and r.state in busy for r in turn.rentals_of(asset)):
        raise Refused("asset_in_use", asset)
    why = unusable(inside, turn, rental.id)
    if why is not None:
        raise Refused(why, inside.id)
    return inside.id, asset


def another(turn: Turn, rental: Rental) -> bool:
    """Whether a booking of a class could be served from a bay that works."""
    if rental.named is not None or rental.grant is not None:
        return False
    try:
        pick(turn, rental)
    except Refused:
        return False
    return True


def place(turn: Turn, asset_class: str | None, rental: Rental | None = None) -> str:
    """An empty bay for a return: the one that a late opening is awaited at where it works, or the first that fits."""
    if turn.stopped:
        raise Refused("estop")
    if rental is not None and rental.grant is not None and rental.bay is not None:
        own = turn.bay(rental.bay)
        if may_take(replace(own, grant=None)) and _seen_empty(own, turn):
            return own.id
    for bay in turn.free_bays():
        fits = turn.layout.bays[bay.id].fits
        if (asset_class is None or asset_class in fits or "*" in fits) and _seen_empty(bay, turn):
            return bay.id
    raise Refused("no_empty_bay", asset_class or "")


def _seen_empty(bay: Bay, turn: Turn) -> bool:
    spec, sensed = turn.layout.bays[bay.id], turn.sensed(bay.id)
    return sensed.recovered and sensed.door is False and not (spec.presence and sensed.presence is not False)
