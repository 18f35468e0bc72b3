"""The visit's decision table: one person at one terminal. Volatile; what must last is the rental's.

Guards choose the way; what a person cannot have is refused by name, wherever in the cascade it turns out.
"""

from __future__ import annotations

from typing import Any

from fsm import choose, effects
from fsm.across import (
    Authorise,
    Claim,
    CloseGate,
    FarewellOver,
    PinResult,
    Proceed,
    Release,
    Reopen,
    Served,
    StartReturn,
    TryPin,
    Unclaim,
    Unserved,
    VisitTimedOut,
)
from fsm.bay_custody import detached, end_lapsed, misbehaves
from fsm.events import (
    CloseAsked,
    Confirmed,
    CredentialUnreadable,
    Left,
    PassPresented,
    PinChecked,
    PinEntered,
    ReturnAsked,
    TagPresented,
)
from fsm.model import Now, Purpose, Rental, RentalState, Visit, VisitState, armed, disarm
from fsm.policy import Standing, evaluate
from fsm.table import Refused, Row, Table, ignore, on, reason
from fsm.values import replace
from fsm.world import Turn

IDLE, VERIFYING, CHOOSING, SERVING, FAREWELL = (
    VisitState.IDLE,
    VisitState.VERIFYING,
    VisitState.CHOOSING,
    VisitState.SERVING,
    VisitState.FAREWELL,
)
EVERY = tuple(VisitState)
FREE_FAILURES = 3  # a smudged code or two costs nobody time
OUT = (RentalState.ON_TRIP, RentalState.INCIDENT)
GONE_WORDS = {"cancelled": "cancelled", "expired": "too_late"}  # the same word as while the rental was in the world
BUSY = (RentalState.CLAIMED, RentalState.RELEASING, RentalState.RETURNING)


# ---------------------------------------------------------------- a pass: which way does it lead?
@reason("wait")
def not_slowed(visit: Visit, event: PassPresented | CredentialUnreadable, turn: Turn) -> bool:
    return turn.now.mono >= visit.slow_until_mono


def a_return(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    """Its rental is out, or this machine has neither rental nor asset but the directory knows.

    A pass never heard of that is good for a pick-up here is one, unless the directory says that the asset is with
    its rental, or a person has asked to bring something back.
    """
    rental = turn.rental(event.rental)
    if rental is not None:
        return rental.state in (*OUT, RentalState.PURCHASED) or return_stuck(turn, rental)
    spent = turn.spent(event.rental)
    if spent is not None and spent.why != "revoked" and spent.version is None:  # those may still bring an asset back
        return _bought_back(event, turn)
    out = _directory_asset(event, turn)
    if out is None or turn.bay_holding(out) is not None:
        return False
    known = turn.asset(out)
    told = known is not None and known.rental == event.rental
    return told or _return_asked(visit, turn) or not _for_here(event, turn)


def _return_asked(visit: Visit, turn: Turn) -> bool:
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


def _bought_back(event: PassPresented, turn: Turn) -> bool:
    spent = turn.spent(event.rental)
    return spent is not None and spent.why == "purchased" and spent.asset is not None


def _directory_asset(event: PassPresented, turn: Turn) -> str | None:
    if event.asset is not None:
        return event.asset if turn.asset(event.asset) is not None else None
    known = turn.asset_of_rental(event.rental)
    return known.id if known is not None else None


def a_reopening(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    rental = turn.rental(event.rental)
    return rental is not None and rental.state is RentalState.RETURNED and armed(rental, "reopen") is not None


def a_reopening_by_pass(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    return a_reopening(visit, event, turn) and enough(visit, event, turn)


def enough(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    """The pass is all that is demanded."""
    rental = turn.rental(event.rental) or _from_pass(event)
    return _standing(turn, visit, rental, frozenset({"pass"}), event.demands) is Standing.SATISFIED


def _standing(
    turn: Turn, visit: Visit, rental: Rental, have: frozenset[str], demands: tuple[str, ...] = ()
) -> Standing:
    return evaluate(choose.required(turn, rental, demands), have, _offers(turn, visit, rental)).standing


def _offers(turn: Turn, visit: Visit, rental: Rental) -> frozenset[str]:
    """What can be verified for this rental at this terminal."""
    offers = turn.layout.terminals[visit.id].offers
    return offers if rental.pin is not None else offers - {"pin"}


def _next_factor(turn: Turn, visit: Visit, rental: Rental, have: frozenset[str], demands: tuple[str, ...]) -> str:
    verdict = evaluate(choose.required(turn, rental, demands), have, _offers(turn, visit, rental))
    if verdict.ask is None:
        raise Refused("factor_unavailable", "+".join(sorted(have)))
    return verdict.ask


# ---------------------------------------------------------------- a pass: judged for a pick-up
def _from_pass(event: PassPresented) -> Rental:
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


def _early_word(now: Now) -> str:
    """Without trusted time the window may well be open: nobody is sent home as too early by a clock that stood."""
    return "too_early" if now.trusted else "time_unknown"


def too_late(now: Now, exp: float, leeway_s: float) -> bool:
    return (now.utc if now.trusted else now.floor_utc) > exp + leeway_s


def judge(turn: Turn, visit: Visit, event: PassPresented) -> Rental:
    """The rental that this pass may claim. Raises Refused: key, revoked, audience, window, spent, in this order."""
    spent = turn.spent(event.rental)
    rental = turn.rental(event.rental)
    _key_and_revocation(turn, event)
    _audience(turn, event)
    leeway = turn.layout.timing.pass_leeway_s
    ready = rental is not None and rental.state is RentalState.READY
    if too_early(turn.now, event.nbf, leeway, ready):
        raise Refused(_early_word(turn.now))
    if too_late(turn.now, event.exp, leeway) or (rental is not None and rental.state is RentalState.EXPIRED):
        raise Refused("too_late")
    if spent is not None:
        raise Refused(GONE_WORDS.get(spent.why, "spent"))
    if rental is None:
        return _from_pass(event)
    if rental.state is RentalState.BOOKED and turn.now.trusted and turn.now.utc < rental.window_from_utc - leeway:
        raise Refused("too_early")
    if rental.state is RentalState.CANCELLED:
        raise Refused("cancelled")
    if rental.state is RentalState.RETURNED:
        raise Refused("spent")
    return rental


def _key_and_revocation(turn: Turn, event: PassPresented) -> None:
    if event.key_retired:
        raise Refused("key_retired", event.kid)
    spent = turn.spent(event.rental)
    if spent is not None and spent.why == "revoked":
        raise Refused("revoked")


def _audience(turn: Turn, event: PassPresented) -> None:
    """One machine, or a site for a named asset that is believed here and not sensed absent."""
    if event.audience == turn.layout.machine:
        return
    if event.audience != f"site:{turn.layout.site}" or event.asset is None:
        raise Refused("other_machine")
    inside = turn.bay_holding(event.asset)
    if inside is None or turn.sensed(inside.id).presence is False:
        raise Refused("asset_not_here", event.asset)


def _claim(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    """The holder is identified: the rental is theirs for the next two minutes, or the step is refused."""
    known = turn.rental(event.rental)
    if known is not None and known.state in BUSY:
        raise Refused("in_progress" if known.terminal == visit.id else "in_use")
    if turn.stopped:
        raise Refused("estop")
    if not turn.machine.in_service:
        raise Refused("out_of_service")
    rental = judge(turn, visit, event)
    bay, asset = choose.pick(turn, rental)
    visit = _fresh(visit, turn)
    if turn.rental(rental.id) is None:
        turn.record("rental.booked", rental.id, source="pass", asset=rental.named, asset_class=rental.asset_class)
        turn.put(turn.arm_utc(rental, "window_close", rental.window_to_utc))
    turn.post("rental", rental.id, Claim(visit.id, bay, asset, event.exp))
    return replace(visit, rental=rental.id, have=frozenset({"pass"}), demands=event.demands, bay=bay)


def _fresh(visit: Visit, turn: Turn) -> Visit:
    """A new visit at this terminal; the one before ends."""
    _give_up(visit, "another_visit", turn)
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


def _give_up(visit: Visit, why: str, turn: Turn) -> None:
    """What was claimed at this terminal, and only here, is claimed no more."""
    rental = turn.rental(visit.rental) if visit.rental else None
    if rental is not None and rental.state is RentalState.CLAIMED and rental.terminal == visit.id:
        turn.post("rental", rental.id, Unclaim(why))


def claim_and_release(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    visit = _claim(visit, event, turn)
    assert visit.rental is not None
    turn.post("rental", visit.rental, Release())
    return visit


def claim_and_ask(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    visit = _claim(visit, event, turn)
    assert visit.rental is not None
    rental = turn.rental(visit.rental)
    assert rental is not None
    if rental.locked_out:
        raise Refused("locked_out")
    visit = replace(visit, wants=_next_factor(turn, visit, rental, visit.have, event.demands))
    return turn.arm_in(visit, "visit", turn.layout.timing.claim_s)


# ---------------------------------------------------------------- a pass: return and reopening
def return_by_pass(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    """Only signature and rental count; an empty bay opens, never one with something inside."""
    rental = turn.rental(event.rental)
    if rental is None and _bought_back(event, turn):
        spent = turn.spent(event.rental)
        assert spent is not None and spent.asset is not None
        return _bring_bought(visit, spent.asset, turn)
    if rental is not None and rental.state is RentalState.PURCHASED:
        return _bring_bought(visit, rental.asset or "", turn)
    if rental is None:
        asset = _directory_asset(event, turn)
        rental = replace(_from_pass(event), state=RentalState.ON_TRIP, source="return", asset=asset)
        turn.put(rental)
        turn.record("rental.on_trip", rental.id, asset=asset, source="return")
    return _return(visit, rental, turn)


def return_stuck(turn: Turn, rental: Rental) -> bool:
    """Its return has begun at a bay that misbehaves; another empty one may take it."""
    if rental.state not in (RentalState.RETURNING, RentalState.INCIDENT) or rental.bay is None:
        return False
    bay = turn.bay(rental.bay)
    own = bay.grant is not None and bay.grant.id == rental.grant and bay.grant.purpose is Purpose.RETURN
    return own and misbehaves(bay, turn)


def _bring_bought(visit: Visit, asset: str, turn: Turn) -> Visit:
    if turn.bay_holding(asset) is not None:
        raise Refused("already_here", asset)
    return _receive(visit, asset, turn)


def _return(visit: Visit, rental: Rental, turn: Turn) -> Visit:
    before = turn.bay(rental.bay) if rental.grant is not None and rental.bay is not None else None
    living = before is not None and before.grant is not None and not before.grant.lapsed
    if living and not return_stuck(turn, rental):
        raise Refused("in_progress")
    bay = choose.place(turn, choose.class_of(turn, rental), rental)
    if before is not None and before.id != bay:  # it does not work: bringing back is always possible elsewhere
        turn.put(detached(before, turn) if living else end_lapsed(before, turn))
        if living and rental.terminal not in (None, visit.id):  # who stands there is served no more
            turn.post("visit", rental.terminal or "", Unserved(rental.id, "in_use"))
    turn.post("rental", rental.id, StartReturn(bay, visit.id))
    return replace(_fresh(visit, turn), rental=rental.id, bay=bay, reason="returning")


def _receive(visit: Visit, asset: str, turn: Turn) -> Visit:
    """An asset of the directory whose rental this machine does not have."""
    known = turn.asset(asset)
    bay = choose.place(turn, known.asset_class if known is not None else None)
    turn.post("bay", bay, Authorise(Purpose.RETURN, "asset's tag", asset=asset, terminal=visit.id))
    return replace(_fresh(visit, turn), rental="", bay=bay, reason="returning")


def reopen(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    """All factors of the pick-up, only spent and the window not asked."""
    _reopen_checks(visit, event, turn)
    rental = turn.rental(event.rental)
    assert rental is not None
    turn.post("rental", event.rental, Reopen(visit.id))
    visit = replace(_fresh(visit, turn), rental=rental.id, bay=rental.bay, reason="reopening")
    return replace(visit, have=frozenset({"pass"}), demands=event.demands)


def _reopen_checks(visit: Visit, event: PassPresented, turn: Turn) -> None:
    """Key, revocation, audience; and nobody is at it already, here or at another terminal."""
    _key_and_revocation(turn, event)
    _audience(turn, event)
    rental = turn.rental(event.rental)
    assert rental is not None
    asked = {key for key in turn.layout.terminals if _asks(turn.visit(key), rental.id)}
    if asked:
        raise Refused("in_progress" if visit.id in asked else "in_use")
    if rental.grant is not None and rental.bay is not None:
        grant = turn.bay(rental.bay).grant
        if grant is not None and grant.lapsed:
            raise Refused("late_opening_awaited", rental.bay)
        raise Refused("in_progress" if rental.terminal == visit.id else "in_use")


def _asks(visit: Visit, rental: str) -> bool:
    return visit.state is VERIFYING and visit.rental == rental


def reopen_and_ask(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    _reopen_checks(visit, event, turn)
    rental = turn.rental(event.rental)
    assert rental is not None
    if rental.locked_out:
        raise Refused("locked_out")
    have = frozenset({"pass"})
    wants = _next_factor(turn, visit, rental, have, event.demands)
    visit = replace(_fresh(visit, turn), rental=rental.id, bay=rental.bay, have=have, wants=wants)
    return turn.arm_in(replace(visit, demands=event.demands), "visit", turn.layout.timing.claim_s)


# ---------------------------------------------------------------- a return by the asset's own tag
def ask_return(visit: Visit, event: ReturnAsked, turn: Turn) -> Visit:
    return replace(visit, return_until_mono=turn.now.mono + turn.layout.timing.return_ask_s)


@reason("ask_first")
def asked(visit: Visit, event: TagPresented, turn: Turn) -> bool:
    return _return_asked(visit, turn)


def return_by_tag(visit: Visit, event: TagPresented, turn: Turn) -> Visit:
    asset = turn.asset_by_tag(event.tag)
    if asset is None:
        raise Refused("unknown_asset")
    inside = turn.bay_holding(asset.id)
    if inside is not None and turn.sensed(inside.id).tag in asset.tags:
        raise Refused("already_here", asset.id)  # sensed there, not merely believed: what is shown is a copy
    rental = turn.rental_out_with(asset.id)
    if rental is None:
        return _receive(visit, asset.id, turn)
    if rental.state is RentalState.RETURNING and not return_stuck(turn, rental):
        raise Refused("in_progress")
    return _return(visit, rental, turn)


# ---------------------------------------------------------------- PIN
@reason("not_asked")
def pin_wanted(visit: Visit, event: PinEntered, turn: Turn) -> bool:
    return visit.wants == "pin" and visit.rental is not None


@reason("wait")
def not_checking(visit: Visit, event: PinEntered, turn: Turn) -> bool:
    return not visit.checking


def check_pin(visit: Visit, event: PinEntered, turn: Turn) -> Visit:
    assert visit.rental is not None
    rental = turn.rental(visit.rental)
    if rental is None or rental.pin is None:
        raise Refused("factor_unavailable", "pin")
    turn.post("rental", rental.id, TryPin(visit.id))
    turn.emit(effects.CheckPin(visit.id, visit.n, rental.id, rental.pin, event.digits))
    return replace(visit, checking=True, reason="")


def this_check(visit: Visit, event: PinChecked, turn: Turn) -> bool:
    return visit.n == event.visit and visit.rental == event.rental and visit.checking


def pin_checked(visit: Visit, event: PinChecked, turn: Turn) -> Visit:
    turn.post("rental", event.rental, PinResult(event.ok, visit.id))
    visit = replace(visit, checking=False)
    if event.ok:
        turn.proceed = visit.id
        return replace(visit, have=visit.have | {"pin"}, wants=None)
    if event.ok is None:
        return replace(visit, reason="cannot_check")
    return replace(visit, reason="wrong_pin")


def all_shown(visit: Visit, event: Proceed, turn: Turn) -> bool:
    rental = turn.rental(visit.rental or "")
    return rental is not None and _standing(turn, visit, rental, visit.have, visit.demands) is Standing.SATISFIED


def go_on(visit: Visit, event: Proceed, turn: Turn) -> Visit:
    assert visit.rental is not None
    rental = turn.rental(visit.rental)
    assert rental is not None
    _still_good(visit, rental, turn)
    wanted = Reopen(visit.id) if rental.state is RentalState.RETURNED else Release()
    turn.post("rental", visit.rental, wanted)
    return disarm(replace(visit, wants=None), "visit")


def _still_good(visit: Visit, rental: Rental, turn: Turn) -> None:
    """What may have changed since the pass was judged. A claim freezes the expiry, and nothing else."""
    spent = turn.spent(rental.id)
    if spent is not None and spent.why == "revoked":
        raise Refused("revoked")
    if turn.stopped:
        raise Refused("estop")
    if rental.state is RentalState.RETURNED:  # a reopening: only spent, the window and the service are not asked
        return
    if not turn.machine.in_service:
        raise Refused("out_of_service")
    if rental.state is not RentalState.CLAIMED:
        _window_of_booking(rental, turn)
    if rental.state is RentalState.CANCELLED or rental.cancel is not None:
        raise Refused("cancelled")
    if _standing(turn, visit, rental, visit.have, visit.demands) is not Standing.SATISFIED:
        raise Refused("more_demanded")


def _window_of_booking(rental: Rental, turn: Turn) -> None:
    """A newer version may have moved it."""
    leeway = turn.layout.timing.pass_leeway_s
    booked = rental.state is RentalState.BOOKED
    if booked and too_early(turn.now, rental.window_from_utc, leeway, ready_here=False):
        raise Refused(_early_word(turn.now))
    if rental.state is RentalState.EXPIRED or too_late(turn.now, rental.window_to_utc, leeway):
        raise Refused("too_late")


def ask_next(visit: Visit, event: Proceed, turn: Turn) -> Visit:
    rental = turn.rental(visit.rental or "")
    if rental is None:
        raise Refused("timed_out")
    return replace(visit, wants=_next_factor(turn, visit, rental, visit.have, visit.demands))


# ---------------------------------------------------------------- how it ends
def for_me(visit: Visit, event: Served | Unserved, turn: Turn) -> bool:
    return visit.rental == event.rental


def other_bay(visit: Visit, event: Unserved, turn: Turn) -> bool:
    """A stuck bolt: a booking of a class may be served from another bay, once the customer confirms."""
    rental = turn.rental(event.rental)
    stuck = event.why in ("jammed", "not_sent")
    return for_me(visit, event, turn) and stuck and rental is not None and choose.another(turn, rental)


def offer(visit: Visit, event: Unserved, turn: Turn) -> Visit:
    rental = turn.rental(event.rental)
    assert rental is not None
    bay, _ = choose.pick(turn, rental)
    return turn.arm_in(replace(visit, reason="other_bay", bay=bay), "visit", turn.layout.timing.choose_s)


def confirm(visit: Visit, event: Confirmed, turn: Turn) -> Visit:
    rental = turn.rental(visit.rental or "")
    if rental is None:
        raise Refused("timed_out")
    _still_good(visit, rental, turn)
    bay, asset = choose.pick(turn, rental)
    turn.post("rental", rental.id, Claim(visit.id, bay, asset))
    turn.post("rental", rental.id, Release())
    return disarm(replace(visit, bay=bay, reason=""), "visit")


def farewell(visit: Visit, why: str, turn: Turn) -> Visit:
    visit = replace(visit, state=FAREWELL, reason=why, wants=None, checking=False, have=frozenset())
    return turn.arm_in(disarm(visit, "visit"), "farewell", turn.layout.timing.farewell_s)


def served(visit: Visit, event: Served, turn: Turn) -> Visit:
    return replace(farewell(visit, event.what, turn), bay=event.bay or visit.bay)


def unserved(visit: Visit, event: Unserved, turn: Turn) -> Visit:
    return farewell(visit, event.why, turn)


def left(visit: Visit, event: Left, turn: Turn) -> Visit:
    _give_up(visit, "left", turn)
    return farewell(visit, "left", turn)


def forget(visit: Visit, event: Left | FarewellOver, turn: Turn) -> Visit:
    fresh = Visit(id=visit.id, n=visit.n, failures=visit.failures, timer_n=visit.timer_n)
    return replace(fresh, slow_until_mono=visit.slow_until_mono, return_until_mono=visit.return_until_mono)


def timed_out(visit: Visit, event: VisitTimedOut, turn: Turn) -> Visit:
    _give_up(visit, "timed_out", turn)
    return farewell(visit, "timed_out", turn)


def bay_at_work(visit: Visit, event: VisitTimedOut, turn: Turn) -> bool:
    """A bay is still open, or about to open, for whoever stands here."""
    grants = (turn.bay(key).grant for key in turn.layout.bays)
    return any(grant is not None and grant.terminal == visit.id and not grant.lapsed for grant in grants)


def watch(visit: Visit, event: VisitTimedOut | None, turn: Turn) -> Visit:
    """Being served ends by the bay's word; where that misses, by this."""
    timing = turn.layout.timing
    return turn.arm_in(visit, "visit", timing.held_open_s + timing.lapse_s)


def ask_gate(visit: Visit, event: CloseAsked, turn: Turn) -> Visit:
    turn.post("bay", event.bay, CloseGate())
    return visit


def unreadable(visit: Visit, event: CredentialUnreadable, turn: Turn) -> Visit:
    raise Refused(event.reason)


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
        "wrong_pin",
    }
)


def refuse(visit: Visit, why: str, turn: Turn) -> Visit:
    """A person's request was refused. Whoever is being served goes on being served; a terminal is only slowed."""
    failures = visit.failures + 1 if why in COUNTED else visit.failures
    slow = visit.slow_until_mono
    if why in COUNTED and failures > FREE_FAILURES:
        slow = turn.now.mono + min(2.0 ** (failures - FREE_FAILURES - 1), turn.layout.timing.slow_max_s)
    visit = replace(visit, failures=failures, slow_until_mono=slow)
    if visit.state in (IDLE, FAREWELL):
        return replace(farewell(visit, why, turn), rental=None, bay=None)
    if why == "in_progress":  # their own pass again, still held before the reader: what they were told stands
        return visit
    return replace(visit, reason=why)


ROWS: tuple[Row[Visit, Any, VisitState], ...] = (
    # a pass: out → return; just returned → reopening; else a pick-up
    on(PassPresented, EVERY, SERVING, (not_slowed, a_return), return_by_pass),
    on(PassPresented, EVERY, SERVING, (not_slowed, a_reopening_by_pass), reopen),
    on(PassPresented, EVERY, VERIFYING, (not_slowed, a_reopening), reopen_and_ask),
    on(PassPresented, EVERY, SERVING, (not_slowed, enough), claim_and_release),
    on(PassPresented, EVERY, VERIFYING, (not_slowed,), claim_and_ask),
    on(CredentialUnreadable, EVERY, None, (not_slowed,), unreadable),
    # a tag
    on(ReturnAsked, EVERY, None, (), ask_return),
    on(TagPresented, EVERY, SERVING, (asked,), return_by_tag),
    # a PIN
    on(PinEntered, (VERIFYING,), None, (pin_wanted, not_checking), check_pin),
    on(PinChecked, (VERIFYING,), None, (this_check,), pin_checked),
    ignore(PinChecked, EVERY),
    on(Proceed, (VERIFYING,), SERVING, (all_shown,), go_on),
    on(Proceed, (VERIFYING,), None, (), ask_next),
    # another bay
    on(Confirmed, (CHOOSING,), SERVING, (), confirm),
    # gates
    on(CloseAsked, EVERY, None, (), ask_gate),
    # how it ends
    on(Served, (VERIFYING, CHOOSING, SERVING), FAREWELL, (for_me,), served),
    ignore(Served, EVERY),
    on(Unserved, (SERVING,), CHOOSING, (other_bay,), offer),
    on(Unserved, (VERIFYING, CHOOSING, SERVING), FAREWELL, (for_me,), unserved),
    ignore(Unserved, EVERY),
    on(Left, (VERIFYING, CHOOSING), FAREWELL, (), left),
    on(Left, (IDLE, FAREWELL), IDLE, (), forget),
    on(Left, (SERVING,), None, ()),
    on(VisitTimedOut, (SERVING,), None, (bay_at_work,), watch),
    on(VisitTimedOut, (VERIFYING, CHOOSING, SERVING), FAREWELL, (), timed_out),
    ignore(VisitTimedOut, EVERY),
    on(FarewellOver, (FAREWELL,), IDLE, (), forget),
    ignore(FarewellOver, EVERY),
)

TABLE: Table[Visit, VisitState] = Table("visit", VisitState, IDLE, ROWS)
