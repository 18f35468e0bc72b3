"""The visit's decision table: one person at one terminal. Volatile; what must last is the rental's.

Guards choose the way; what a person cannot have is refused by name, wherever in the cascade it turns out.
"""

from __future__ import annotations

from typing import Any

from fsm import choose
from fsm.across import (
    Authorise,
    Claim,
    CloseGate,
    FarewellOver,
    Picked,
    Proceed,
    Release,
    Reopen,
    Served,
    StartReturn,
    Unserved,
    VisitTimedOut,
)
from fsm.bay_custody import detached, end_lapsed
from fsm.events import (
    BadgePresented,
    Chosen,
    CloseAsked,
    Confirmed,
    CredentialUnreadable,
    FaceChecked,
    FaceHint,
    Left,
    PassPresented,
    PinChecked,
    PinEntered,
    ReturnAsked,
    TagPresented,
)
from fsm.model import FINAL, Purpose, Rental, RentalState, Visit, VisitState, disarm
from fsm.policy import BADGE, PASS
from fsm.rental_booking import spent_by
from fsm.table import Refused, Row, Table, ignore, on, reason
from fsm.values import replace
from fsm.visit_badge import at_it_already, choosing, offer_choice, pick, picked_out, several, stay
from fsm.visit_badge import choose as choose_rental
from fsm.visit_end import bay_at_work, for_me, forget, fresh, left, served, timed_out, unserved, watch
from fsm.visit_factors import (
    adds_pass,
    all_shown,
    ask,
    ask_next,
    badge_as_factor,
    badge_wanted,
    check_pin,
    enough,
    face_checked,
    go_on,
    hinted,
    look,
    look_again,
    looks_again,
    not_checking,
    pass_as_factor,
    pin_checked,
    pin_wanted,
    still_good,
    this_check,
    this_look,
)
from fsm.visit_ways import (
    BUSY,
    Credential,
    a_reopening,
    a_return,
    asset_out,
    audience,
    bought_back,
    from_pass,
    judge,
    judge_badge,
    key_and_revocation,
    not_revoked,
    return_asked,
    return_stuck,
)
from fsm.world import Turn

IDLE, VERIFYING, CHOOSING, SERVING, FAREWELL = (
    VisitState.IDLE,
    VisitState.VERIFYING,
    VisitState.CHOOSING,
    VisitState.SERVING,
    VisitState.FAREWELL,
)
EVERY = tuple(VisitState)


# ---------------------------------------------------------------- a pass or a badge
@reason("wait")
def not_slowed(visit: Visit, event: PassPresented | BadgePresented | CredentialUnreadable, turn: Turn) -> bool:
    return turn.now.mono >= visit.slow_until_mono


def a_reopening_as_it_is(visit: Visit, event: Credential, turn: Turn) -> bool:
    return a_reopening(visit, event, turn) and enough(visit, event, turn)


def _begun(visit: Visit, event: Credential, turn: Turn) -> Visit:
    """A new visit, by whoever shows this."""
    visit = replace(fresh(visit, turn), rental=event.rental)
    if isinstance(event, PassPresented):
        return replace(visit, have=frozenset({PASS}), demands=event.demands)
    return replace(visit, have=frozenset({BADGE}), badge=event.badge)


def _claim(visit: Visit, event: Credential, turn: Turn) -> tuple[Visit, Rental]:
    """The holder is identified: the rental is theirs for the next two minutes, or the step is refused."""
    known = turn.rental(event.rental)
    if known is not None and known.state in BUSY:
        raise Refused("in_progress" if known.terminal == visit.id else "in_use")
    if turn.stopped:
        raise Refused("estop")
    if not turn.machine.in_service:
        raise Refused("out_of_service")
    if isinstance(event, PassPresented):
        rental = judge(turn, visit, event)
    elif known is not None:
        rental = judge_badge(turn, known)
    else:
        raise Refused("timed_out")
    bay, asset = choose.pick(turn, rental)
    visit = _begun(visit, event, turn)
    if turn.rental(rental.id) is None:
        turn.record("rental.booked", rental.id, source="pass", asset=rental.named, asset_class=rental.asset_class)
        turn.put(turn.arm_utc(rental, "window_close", rental.window_to_utc))
    exp, by = (event.exp, None) if isinstance(event, PassPresented) else (None, BADGE)
    turn.post("rental", rental.id, Claim(visit.id, bay, asset, exp, by))
    return replace(visit, bay=bay), replace(rental, asset=asset)


def claim_and_release(visit: Visit, event: Credential, turn: Turn) -> Visit:
    visit, rental = _claim(visit, event, turn)
    turn.post("rental", rental.id, Release())
    return visit


def claim_and_ask(visit: Visit, event: Credential, turn: Turn) -> Visit:
    visit, rental = _claim(visit, event, turn)
    if rental.locked_out:
        raise Refused("locked_out")
    visit = ask(look(visit, rental, turn), rental, turn)
    return turn.arm_in(visit, "visit", turn.layout.timing.claim_s)


# ---------------------------------------------------------------- return and reopening
def return_by_pass(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    """Only signature and rental count; an empty bay opens, never one with something inside."""
    rental = turn.rental(event.rental)
    if rental is None and bought_back(event, turn):
        spent = turn.spent(event.rental)
        assert spent is not None and spent.asset is not None
        return _bring_bought(visit, spent.asset, turn)
    if rental is not None and rental.state is RentalState.PURCHASED:
        return _bring_bought(visit, rental.asset or "", turn)
    if rental is None or rental.state in FINAL:
        asset, known = asset_out(event, turn), rental
        rental = replace(from_pass(event), state=RentalState.ON_TRIP, source="return", asset=asset)
        if known is not None:  # it was over here; if nothing comes, that is all that is known of it
            turn.put(spent_by(known))
            rental = replace(
                rental, asset_class=known.asset_class, pass_exp_utc=max(known.pass_exp_utc or 0.0, event.exp)
            )
        turn.put(rental)
        turn.record("rental.on_trip", rental.id, asset=asset, source="return")
    return _return(visit, rental, asset_out(event, turn), turn)


def _bring_bought(visit: Visit, asset: str, turn: Turn) -> Visit:
    if turn.bay_holding(asset) is not None:
        raise Refused("already_here", asset)
    return _receive(visit, asset, turn)


def _return(visit: Visit, rental: Rental, asset: str | None, turn: Turn) -> Visit:
    before = turn.bay(rental.bay) if rental.grant is not None and rental.bay is not None else None
    living = before is not None and before.grant is not None and not before.grant.lapsed
    if living and not return_stuck(turn, rental):
        raise Refused("in_progress")
    bay = choose.place(turn, choose.class_of(turn, replace(rental, asset=asset)), rental)
    if before is not None and before.id != bay:  # it does not work: bringing back is always possible elsewhere
        turn.put(detached(before, turn) if living else end_lapsed(before, turn))
        if living and rental.terminal not in (None, visit.id):  # who stands there is served no more
            turn.post("visit", rental.terminal or "", Unserved(rental.id, "in_use"))
    turn.post("rental", rental.id, StartReturn(bay, visit.id, asset))
    return replace(fresh(visit, turn), rental=rental.id, bay=bay, reason="returning")


def _receive(visit: Visit, asset: str, turn: Turn) -> Visit:
    """An asset of the directory whose rental this machine does not have."""
    known = turn.asset(asset)
    bay = choose.place(turn, known.asset_class if known is not None else None)
    turn.post("bay", bay, Authorise(Purpose.RETURN, "asset's tag", asset=asset, terminal=visit.id))
    return replace(fresh(visit, turn), rental="", bay=bay, reason="returning")


def return_by_badge(visit: Visit, event: Picked, turn: Turn) -> Visit:
    rental = turn.rental(event.rental)
    assert rental is not None
    return _return(visit, rental, asset_out(event, turn), turn)


def reopen(visit: Visit, event: Credential, turn: Turn) -> Visit:
    """All factors of the pick-up, only spent and the window not asked."""
    rental = _reopen_checks(visit, event, turn)
    turn.post("rental", rental.id, Reopen(visit.id))
    return replace(_begun(visit, event, turn), bay=rental.bay, reason="reopening")


def _reopen_checks(visit: Visit, event: Credential, turn: Turn) -> Rental:
    """Key, revocation, audience; and nobody is at it already, here or at another terminal."""
    if isinstance(event, PassPresented):
        key_and_revocation(turn, event)
        audience(turn, event)
    else:
        not_revoked(turn, event.rental)
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
    return rental


def _asks(visit: Visit, rental: str) -> bool:
    return visit.state is VERIFYING and visit.rental == rental


def reopen_and_ask(visit: Visit, event: Credential, turn: Turn) -> Visit:
    rental = _reopen_checks(visit, event, turn)
    if rental.locked_out:
        raise Refused("locked_out")
    visit = replace(_begun(visit, event, turn), bay=rental.bay)
    visit = ask(look(visit, rental, turn), rental, turn)
    return turn.arm_in(visit, "visit", turn.layout.timing.claim_s)


# ---------------------------------------------------------------- a return by the asset's own tag
def ask_return(visit: Visit, event: ReturnAsked, turn: Turn) -> Visit:
    return replace(visit, return_until_mono=turn.now.mono + turn.layout.timing.return_ask_s)


@reason("ask_first")
def asked(visit: Visit, event: TagPresented, turn: Turn) -> bool:
    return return_asked(visit, turn)


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
    return _return(visit, rental, asset.id, turn)


# ---------------------------------------------------------------- another bay than the one whose bolt is stuck
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


@reason("not_asked")
def offered(visit: Visit, event: Confirmed, turn: Turn) -> bool:
    return not visit.choices


def confirm(visit: Visit, event: Confirmed, turn: Turn) -> Visit:
    rental = turn.rental(visit.rental or "")
    if rental is None:
        raise Refused("timed_out")
    bay, asset = choose.pick(turn, rental)
    still_good(visit, replace(rental, asset=asset), turn)
    turn.post("rental", rental.id, Claim(visit.id, bay, asset))
    turn.post("rental", rental.id, Release())
    return disarm(replace(visit, bay=bay, reason=""), "visit")


def ask_gate(visit: Visit, event: CloseAsked, turn: Turn) -> Visit:
    turn.post("bay", event.bay, CloseGate())
    return visit


def unreadable(visit: Visit, event: CredentialUnreadable, turn: Turn) -> Visit:
    raise Refused(event.reason)


ROWS: tuple[Row[Visit, Any, VisitState], ...] = (
    # a pass: a second factor, or another look; out → return; just returned → reopening; else a pick-up
    on(PassPresented, (VERIFYING,), None, (not_slowed, adds_pass), pass_as_factor),
    on(PassPresented, (VERIFYING,), None, (not_slowed, looks_again), look_again),
    on(PassPresented, EVERY, SERVING, (not_slowed, a_return), return_by_pass),
    on(PassPresented, EVERY, SERVING, (not_slowed, a_reopening_as_it_is), reopen),
    on(PassPresented, EVERY, VERIFYING, (not_slowed, a_reopening), reopen_and_ask),
    on(PassPresented, EVERY, SERVING, (not_slowed, enough), claim_and_release),
    on(PassPresented, EVERY, VERIFYING, (not_slowed,), claim_and_ask),
    on(CredentialUnreadable, EVERY, None, (not_slowed,), unreadable),
    # a badge: another look, a second factor, or the rental that it leads to, which goes on as a pass does
    on(BadgePresented, (VERIFYING,), None, (not_slowed, looks_again), look_again),
    on(BadgePresented, (VERIFYING,), None, (not_slowed, badge_wanted), badge_as_factor),
    on(BadgePresented, (VERIFYING,), None, (not_slowed, at_it_already), stay),
    on(BadgePresented, EVERY, CHOOSING, (not_slowed, several), offer_choice),
    on(BadgePresented, EVERY, None, (not_slowed,), pick),
    on(Chosen, (CHOOSING,), None, (choosing,), choose_rental),
    on(Picked, EVERY, SERVING, (picked_out,), return_by_badge),
    on(Picked, EVERY, SERVING, (a_reopening_as_it_is,), reopen),
    on(Picked, EVERY, VERIFYING, (a_reopening,), reopen_and_ask),
    on(Picked, EVERY, SERVING, (enough,), claim_and_release),
    on(Picked, EVERY, VERIFYING, (), claim_and_ask),
    # a tag
    on(ReturnAsked, EVERY, None, (), ask_return),
    on(TagPresented, EVERY, SERVING, (asked,), return_by_tag),
    # a PIN, a face
    on(PinEntered, (CHOOSING,), None, (choosing,), choose_rental),
    on(PinEntered, (VERIFYING,), None, (pin_wanted, not_checking), check_pin),
    on(PinChecked, (VERIFYING,), None, (this_check,), pin_checked),
    ignore(PinChecked, EVERY),
    on(FaceHint, (VERIFYING,), None, (this_look,), hinted),
    ignore(FaceHint, EVERY),
    on(FaceChecked, (VERIFYING,), None, (this_look,), face_checked),
    ignore(FaceChecked, EVERY),
    on(Proceed, (VERIFYING,), SERVING, (all_shown,), go_on),
    on(Proceed, (VERIFYING,), None, (), ask_next),
    # another bay
    on(Confirmed, (CHOOSING,), SERVING, (offered,), confirm),
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
