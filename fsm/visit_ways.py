"""Which way a pass or a badge leads, and whether it is good for a pick-up. Raises Refused, innermost reason first."""

from __future__ import annotations

from fsm.across import Picked
from fsm.bay_custody import misbehaves
from fsm.events import PassPresented
from fsm.model import Now, Purpose, Rental, RentalState, Visit, armed
from fsm.table import Refused
from fsm.world import Turn

OUT = (RentalState.ON_TRIP, RentalState.INCIDENT)
GONE_WORDS = {"cancelled": "cancelled", "expired": "too_late"}  # the same word as while the rental was in the world
NOT_OUT = (RentalState.BOOKED, RentalState.READY, RentalState.EXPIRED, RentalState.CANCELLED)
BUSY = (RentalState.CLAIMED, RentalState.RELEASING, RentalState.RETURNING)
Credential = PassPresented | Picked


def a_return(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    """Its rental is out, or this machine has neither rental nor asset but the directory knows.

    A pass never heard of that is good for a pick-up here is one, unless the directory says that the asset is with
    its rental, or a person has asked to bring something back.
    """
    rental = turn.rental(event.rental)
    if rental is not None:
        return (
            rental.state in (*OUT, RentalState.PURCHASED)
            or return_stuck(turn, rental)
            or may_be_out(visit, event, turn)
        )
    spent = turn.spent(event.rental)
    if spent is not None and spent.why != "revoked" and spent.version is None:  # those may still bring an asset back
        return bought_back(event, turn) or (spent.why in GONE_WORDS and may_be_out(visit, event, turn))
    out = directory_asset(event, turn)
    if out is None and event.asset is None and event.asset_class is not None:
        return return_asked(visit, turn)
    if out is None or turn.bay_holding(out) is not None:
        return False
    known = turn.asset(out)
    told = known is not None and known.rental == event.rental
    return told or return_asked(visit, turn) or not _for_here(event, turn)


def may_be_out(visit: Visit, event: Credential, turn: Turn) -> bool:
    """By this machine's books it never left, and yet its holder may bring it: a journal may be an older copy.

    Its asset is in no bay here; and somebody has asked to bring something back, the directory says that they have
    it, or the journal is such a copy, misses it, and knows of nobody else who has it. Of a class, nobody can tell
    which it is: that is asked for.
    """
    rental = turn.rental(event.rental)
    if rental is not None and (rental.state not in NOT_OUT or rental.grant is not None):
        return False
    asset = asset_out(event, turn)
    if asset is None:
        return return_asked(visit, turn) and _of_class(event, turn) is not None
    known = turn.asset(asset)
    if known is None or turn.bay_holding(asset) is not None:
        return False
    if return_asked(visit, turn) or known.rental == event.rental:
        return True
    return turn.machine.restored and _missed(asset, turn) and not turn.rentals_out_with(asset)


def _missed(asset: str, turn: Turn) -> bool:
    """It was believed in a bay here and is gone, and nobody has said what became of it."""
    return any((one.kind, one.asset) == ("asset_missing", asset) for one in turn.world.of["incident"].values())


def asset_out(event: Credential, turn: Turn) -> str | None:
    """Which asset its holder would bring: as booked, as the pass says, or as the directory does."""
    rental = turn.rental(event.rental)
    if rental is not None and (rental.asset or rental.named) is not None:
        return rental.asset or rental.named
    if isinstance(event, PassPresented) and event.asset is not None:
        return event.asset
    known = turn.asset_of_rental(event.rental)
    return known.id if known is not None else None


def _of_class(event: Credential, turn: Turn) -> str | None:
    rental = turn.rental(event.rental)
    if rental is not None:
        return rental.asset_class
    return event.asset_class if isinstance(event, PassPresented) else None


def return_asked(visit: Visit, turn: Turn) -> bool:
    return turn.now.mono <= visit.return_until_mono


def _for_here(event: PassPresented, turn: Turn) -> bool:
    """Whether a pass never heard of could be for a pick-up at this machine, now or (by a trusted clock) later."""
    spent, leeway = turn.spent(event.rental), turn.layout.timing.pass_leeway_s
    if event.key_retired or (spent is not None and spent.why == "revoked"):
        return False
    if event.audience not in (turn.layout.machine, f"site:{turn.layout.site}"):
        return False
    if too_late(turn.now, event.exp, leeway):
        return False
    return turn.now.trusted or not too_early(turn.now, event.nbf, leeway, ready_here=False)


def bought_back(event: PassPresented, turn: Turn) -> bool:
    spent = turn.spent(event.rental)
    return spent is not None and spent.why == "purchased" and spent.asset is not None


def directory_asset(event: PassPresented, turn: Turn) -> str | None:
    if event.asset is not None:
        return event.asset if turn.asset(event.asset) is not None else None
    known = turn.asset_of_rental(event.rental)
    return known.id if known is not None else None


def a_reopening(visit: Visit, event: Credential, turn: Turn) -> bool:
    rental = turn.rental(event.rental)
    return rental is not None and rental.state is RentalState.RETURNED and armed(rental, "reopen") is not None


def return_stuck(turn: Turn, rental: Rental) -> bool:
    """Its return has begun at a bay that misbehaves; another empty one may take it."""
    if rental.state not in (RentalState.RETURNING, RentalState.INCIDENT) or rental.bay is None:
        return False
    bay = turn.bay(rental.bay)
    own = bay.grant is not None and bay.grant.id == rental.grant and bay.grant.purpose is Purpose.RETURN
    return own and misbehaves(bay, turn)


# ---------------------------------------------------------------- judged for a pick-up
def from_pass(event: PassPresented) -> Rental:
    """A rental never heard of, as its pass says it."""
    return Rental(
        id=event.rental,
        state=RentalState.READY,
        source="pass",
        holder=event.holder,
        named=event.asset,
        asset_class=event.asset_class if event.asset is None else None,
        window_from_utc=event.nbf,
        window_to_utc=event.exp,
        due_utc=event.due,
        demands=event.demands,
    )


def too_early(now: Now, nbf: float, leeway_s: float, ready_here: bool) -> bool:
    """Untrusted time: the floor must have reached the start, unless the rental is ready here."""
    if now.trusted:
        return now.utc < nbf - leeway_s
    return not ready_here and nbf > now.floor_utc


def early_word(now: Now) -> str:
    """Without trusted time the window may well be open: nobody is sent home as too early by a clock that stood."""
    return "too_early" if now.trusted else "time_unknown"


def too_late(now: Now, exp: float, leeway_s: float) -> bool:
    return (now.utc if now.trusted else now.floor_utc) > exp + leeway_s


def judge(turn: Turn, visit: Visit, event: PassPresented) -> Rental:
    """The rental that this pass may claim. Raises Refused: key, revoked, audience, window, spent, in this order."""
    spent = turn.spent(event.rental)
    rental = turn.rental(event.rental)
    key_and_revocation(turn, event)
    audience(turn, event)
    leeway = turn.layout.timing.pass_leeway_s
    ready = rental is not None and rental.state is RentalState.READY
    if too_early(turn.now, event.nbf, leeway, ready):
        raise Refused(early_word(turn.now))
    if too_late(turn.now, event.exp, leeway) or (rental is not None and rental.state is RentalState.EXPIRED):
        raise Refused("too_late")
    if spent is not None:
        raise Refused(GONE_WORDS.get(spent.why, "spent"))
    if rental is None:
        return from_pass(event)
    if rental.state is RentalState.BOOKED and turn.now.trusted and turn.now.utc < rental.window_from_utc - leeway:
        raise Refused("too_early")
    if rental.state is RentalState.CANCELLED:
        raise Refused("cancelled")
    if rental.state is RentalState.RETURNED:
        raise Refused("spent")
    return rental


def key_and_revocation(turn: Turn, event: PassPresented) -> None:
    if event.key_retired:
        raise Refused("key_retired", event.kid)
    not_revoked(turn, event.rental)


def not_revoked(turn: Turn, rental: str) -> None:
    spent = turn.spent(rental)
    if spent is not None and spent.why == "revoked":
        raise Refused("revoked")


def audience(turn: Turn, event: PassPresented) -> None:
    """One machine, or a site for a named asset that is believed here and not sensed absent."""
    if event.audience == turn.layout.machine:
        return
    if event.audience != f"site:{turn.layout.site}" or event.asset is None:
        raise Refused("other_machine")
    inside = turn.bay_holding(event.asset)
    if inside is None or turn.sensed(inside.id).presence is False:
        raise Refused("asset_not_here", event.asset)


def judge_badge(turn: Turn, rental: Rental) -> Rental:
    """The rental that its holder's badge may claim, judged as far as a badge can be: revoked, window, spent."""
    not_revoked(turn, rental.id)
    leeway = turn.layout.timing.pass_leeway_s
    if too_early(turn.now, rental.window_from_utc, leeway, rental.state is RentalState.READY):
        raise Refused(early_word(turn.now))
    if rental.state is RentalState.EXPIRED or too_late(turn.now, rental.window_to_utc, leeway):
        raise Refused("too_late")
    if rental.state is RentalState.CANCELLED:
        raise Refused("cancelled")
    if rental.state in (RentalState.RETURNED, RentalState.PURCHASED):
        raise Refused("spent")
    return rental
