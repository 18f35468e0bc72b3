"""The rental's decision table: one reservation from booking to its end, over days.

Custody is not decided here: bays say what became of an asset, each word carrying its grant. A fact whose grant is
not the rental's own is ignored.
"""

from __future__ import annotations

from fsm import effects
from fsm.across import (
    Authorise,
    Buy,
    CameBack,
    Cancel,
    Claim,
    CloseElsewhere,
    DueReached,
    EraseDue,
    Extend,
    FoundBack,
    Granted,
    GrantEnded,
    LeftEmpty,
    NotOpened,
    NotTaken,
    OpenedLate,
    PinResult,
    Release,
    Reopen,
    ReopenLapsed,
    Resolve,
    Served,
    StartReturn,
    Taken,
    TryPin,
    Unclaim,
    Unlockout,
    Unserved,
    Unsure,
    Update,
    WindowClosed,
    WindowOpened,
)
from fsm.events import PutReservation
from fsm.model import Purpose, Rental, RentalState, armed, disarm
from fsm.outcome import settle_instruction
from fsm.table import Table, ignore, on, reason
from fsm.values import replace
from fsm.world import Turn

BOOKED, READY, CLAIMED, RELEASING = (
    RentalState.BOOKED,
    RentalState.READY,
    RentalState.CLAIMED,
    RentalState.RELEASING,
)
ON_TRIP, RETURNING, RETURNED = RentalState.ON_TRIP, RentalState.RETURNING, RentalState.RETURNED
PURCHASED, EXPIRED, CANCELLED = RentalState.PURCHASED, RentalState.EXPIRED, RentalState.CANCELLED
INCIDENT = RentalState.INCIDENT
EVERY = tuple(RentalState)


# ---------------------------------------------------------------- making and changing one
def booked(put: PutReservation, turn: Turn, old: Rental | None = None) -> Rental:
    """The rental as the reservation says it, with its calendar deadlines."""
    rental = replace(
        old or Rental(id=put.rental, state=BOOKED),
        version=put.version,
        holder=put.holder,
        named=put.asset,
        asset_class=put.asset_class,
        window_from_utc=put.window_from,
        window_to_utc=put.window_to,
        due_utc=put.due,
        demands=put.demands,
        pin=put.pin,
        pass_exp_utc=put.pass_exp if old is None else max(put.pass_exp or 0.0, old.pass_exp_utc or 0.0) or None,
    )
    rental = turn.arm_utc(rental, "window_open", put.window_from)
    return turn.arm_utc(rental, "window_close", put.window_to)


def window_stays_open(rental: Rental, event: Update, turn: Turn) -> bool:
    """What was open here stays so: without trusted time nothing would open it anew."""
    return newer(rental, event, turn) and event.put.window_from <= rental.window_from_utc


def update(rental: Rental, event: Update, turn: Turn) -> Rental:
    rental = booked(event.put, turn, rental)
    _note(rental, "rental.booked", turn, version=rental.version)
    return rental


def _note(rental: Rental, kind: str, turn: Turn, **data: object) -> None:
    turn.record(kind, rental.id, **data)


@reason("superseded")
def newer(rental: Rental, event: Update | Extend | Buy | CloseElsewhere | Cancel, turn: Turn) -> bool:
    version = event.put.version if isinstance(event, Update) else event.version
    return version > rental.version


def same_grant(
    rental: Rental,
    event: NotOpened | GrantEnded | OpenedLate | NotTaken | Taken | LeftEmpty | CameBack | Unsure,
    turn: Turn,
) -> bool:
    return rental.grant == event.grant


# ---------------------------------------------------------------- windows
def window_opened(rental: Rental, event: WindowOpened, turn: Turn) -> Rental:
    _note(rental, "rental.ready", turn)
    return rental


def bay_may_still_open(rental: Rental, event: WindowClosed, turn: Turn) -> bool:
    return rental.grant is not None


def expiry_waits(rental: Rental, event: WindowClosed, turn: Turn) -> Rental:
    return replace(rental, expire=True)


def expired(rental: Rental, event: WindowClosed | Unclaim, turn: Turn) -> Rental:
    _note(rental, "rental.expired", turn)
    return _end(rental, turn)


def _end(rental: Rental, turn: Turn) -> Rental:
    """Final without a trip: secrets go at once."""
    rental = disarm(rental, "window_open", "window_close", "claim", "due", "reopen", "erase")
    turn.urgent = True
    return _erased(replace(rental, asset=None, bay=None, grant=None, terminal=None, expire=False), turn)


def _erased(rental: Rental, turn: Turn) -> Rental:
    rental = disarm(rental, "erase")
    if rental.pin is None:
        return rental
    turn.emit(effects.EraseSecrets(rental.id))
    _note(rental, "rental.secrets_erased", turn)
    return replace(rental, pin=None)


# ---------------------------------------------------------------- claim
@reason("locked_out")
def not_locked_out(rental: Rental, event: Claim | TryPin | Reopen, turn: Turn) -> bool:
    """A try whose answer was never heard (the plug was pulled) is a try all the same."""
    return not rental.locked_out and rental.attempts < turn.layout.timing.max_attempts


@reason("late_opening_awaited")
def no_grant_elsewhere(rental: Rental, event: Claim, turn: Turn) -> bool:
    """While a lapsed grant lives the rental gets no other bay."""
    return rental.grant is None or rental.bay == event.bay


@reason("cancelled")
def no_cancel_waits(rental: Rental, event: Claim, turn: Turn) -> bool:
    return rental.cancel is None


def claim(rental: Rental, event: Claim, turn: Turn) -> Rental:
    _note(rental, "rental.claimed", turn, terminal=event.terminal, asset=event.asset, bay=event.bay)
    turn.urgent = True
    rental = replace(
        rental,
        asset=event.asset,
        bay=event.bay,
        terminal=event.terminal,
        pass_exp_utc=max(rental.pass_exp_utc or 0.0, event.pass_exp or 0.0) or None,
    )
    return turn.arm_in(disarm(rental, "window_open"), "claim", turn.layout.timing.claim_s)


def must_expire(rental: Rental, event: Unclaim | NotOpened | NotTaken | GrantEnded, turn: Turn) -> bool:
    if isinstance(event, Unclaim):
        return rental.expire and rental.grant is None  # a late opening would still be this rental's
    return rental.expire and not (isinstance(event, NotOpened) and event.lapsed) and rental.grant == event.grant


def must_cancel(rental: Rental, event: NotOpened | NotTaken | GrantEnded, turn: Turn) -> bool:
    waits = isinstance(event, NotOpened) and event.lapsed
    return rental.cancel is not None and not waits and rental.grant == event.grant


def unclaim(rental: Rental, event: Unclaim, turn: Turn) -> Rental:
    """Nothing was authorised; a lapsed grant keeps its bay."""
    _note(rental, "rental.unclaimed", turn, why=event.why)
    _unserved(rental, event.why, turn)
    rental = disarm(replace(rental, terminal=None), "claim")
    return rental if rental.grant is not None else replace(rental, asset=None, bay=None)


def unclaim_expired(rental: Rental, event: Unclaim, turn: Turn) -> Rental:
    return expired(unclaim(rental, event, turn), event, turn)


def _unserved(rental: Rental, why: str, turn: Turn) -> None:
    if rental.terminal is not None:
        turn.post("visit", rental.terminal, Unserved(rental.id, why))


def _served(rental: Rental, what: str, turn: Turn, bay: str = "") -> None:
    if rental.terminal is not None:
        turn.post("visit", rental.terminal, Served(rental.id, what, bay))


# ---------------------------------------------------------------- PIN
def try_pin(rental: Rental, event: TryPin, turn: Turn) -> Rental:
    """Counted and durable before the digits are compared: pulling the plug wins no extra tries."""
    rental = replace(rental, attempts=rental.attempts + 1)
    _note(rental, "rental.pin_tried", turn, attempt=rental.attempts)
    turn.urgent = True
    return rental


def pin_right(rental: Rental, event: PinResult, turn: Turn) -> bool:
    return event.ok is True


def pin_spent(rental: Rental, event: PinResult, turn: Turn) -> bool:
    return event.ok is False and rental.attempts >= turn.layout.timing.max_attempts


def pin_unchecked(rental: Rental, event: PinResult, turn: Turn) -> bool:
    return event.ok is None


def give_back(rental: Rental, event: PinResult, turn: Turn) -> Rental:
    """Nothing was compared: no try was had."""
    return replace(rental, attempts=max(0, rental.attempts - 1))


def forget_attempts(rental: Rental, event: PinResult, turn: Turn) -> Rental:
    return replace(rental, attempts=0)


def lock_out(rental: Rental, event: PinResult, turn: Turn) -> Rental:
    _note(rental, "rental.locked_out", turn, attempts=rental.attempts)
    turn.urgent = True
    if rental.state is RETURNED:  # nothing is claimed then, only the visit is to end
        turn.post("visit", event.terminal, Unserved(rental.id, "locked_out"))
    turn.post("rental", rental.id, Unclaim("locked_out"))
    return replace(rental, locked_out=True)


def unlock_out(rental: Rental, event: Unlockout, turn: Turn) -> Rental:
    _note(rental, "rental.attempts_reset", turn, who=event.who)
    return replace(rental, attempts=0, locked_out=False)


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
    _note(rental, "rental.not_opened", turn, grant=event.grant, why=event.why)
    _unserved(rental, event.why, turn)
    return _let_go(rental, keep=event.lapsed)


def _let_go(rental: Rental, *, keep: bool = False) -> Rental:
    rental = replace(rental, terminal=None)
    return rental if keep else replace(rental, grant=None, asset=None, bay=None)


def cancelled_after_all(rental: Rental, event: NotOpened | NotTaken | GrantEnded, turn: Turn) -> Rental:
    _unserved(rental, "cancelled", turn)
    assert rental.cancel is not None
    settle_instruction(turn, rental.cancel, "accepted")
    _note(rental, "rental.cancelled", turn)
    return _end(replace(rental, cancel=None), turn)


def expired_after_all(rental: Rental, event: NotOpened | NotTaken | GrantEnded, turn: Turn) -> Rental:
    _unserved(rental, "expired", turn)
    _note(rental, "rental.expired", turn)
    return _end(rental, turn)


def grant_ended(rental: Rental, event: GrantEnded, turn: Turn) -> Rental:
    held = rental.state in (CLAIMED, RELEASING)
    if rental.state in (ON_TRIP, INCIDENT):
        return replace(rental, grant=None, bay=None if rental.state is ON_TRIP else rental.bay)
    if rental.state is RETURNED:
        rental = replace(rental, grant=None)
        return rental if armed(rental, "reopen") is not None else _erased(rental, turn)
    return replace(rental, grant=None) if held else replace(rental, grant=None, asset=None, bay=None)


def opened_late(rental: Rental, event: OpenedLate, turn: Turn) -> Rental:
    _note(rental, "rental.opened_late", turn, grant=event.grant)
    turn.urgent = True
    return disarm(rental, "claim")


def openings_left(rental: Rental, event: NotTaken, turn: Turn) -> bool:
    return same_grant(rental, event, turn) and rental.openings + 1 < turn.layout.timing.max_openings


def not_taken(rental: Rental, event: NotTaken, turn: Turn) -> Rental:
    rental = replace(rental, openings=rental.openings + 1)
    _note(rental, "rental.not_taken", turn, openings=rental.openings, outage=event.outage or None)
    _unserved(rental, "not_taken", turn)
    turn.urgent = True
    return _let_go(rental)


def opened_too_often(rental: Rental, event: NotTaken, turn: Turn) -> Rental:
    asset, bay = rental.asset, rental.bay
    rental = replace(not_taken(rental, event, turn), asset=asset)
    ident = turn.open_incident("not_taken", bay=bay, asset=asset, rental=rental.id)
    return _into_incident(rental, ident, turn)


def taken(rental: Rental, event: Taken, turn: Turn) -> Rental:
    """Custody: the asset is the holder's. The pass is spent by this."""
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "already_released")
    _note(
        rental,
        "rental.on_trip",
        turn,
        asset=rental.asset,
        bay=rental.bay,
        due=rental.due_utc,
        outage=event.outage or None,
        unsensed=event.unsensed or None,
    )
    _served(rental, "taken", turn, rental.bay or "")
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
    return _timed_by_due(rental, turn)


def _timed_by_due(rental: Rental, turn: Turn) -> Rental:
    """Out until `due_utc`; secrets go a while after it, or after the window where nothing is due."""
    if rental.due_utc is not None:
        rental = turn.arm_utc(rental, "due", rental.due_utc)
    if rental.pin is None:
        return rental
    last = rental.due_utc if rental.due_utc is not None else rental.window_to_utc
    return turn.arm_utc(rental, "erase", last + turn.layout.timing.erase_after_due_s)


# ---------------------------------------------------------------- on trip
def due_reached(rental: Rental, event: DueReached, turn: Turn) -> Rental:
    _note(rental, "rental.overdue", turn, due=rental.due_utc)
    return replace(rental, overdue=True)


def extend(rental: Rental, event: Extend, turn: Turn) -> Rental:
    rental = replace(rental, due_utc=event.due, version=event.version, overdue=False)
    _note(rental, "rental.extended", turn, due=event.due)
    out = rental.state in (ON_TRIP, RETURNING) or armed(rental, "due") is not None
    return _timed_by_due(rental, turn) if out else rental


def purchased(rental: Rental, event: Buy, turn: Turn) -> Rental:
    _note(rental, "rental.purchased", turn, asset=rental.asset)
    asset = rental.asset
    rental = _end(replace(rental, version=event.version), turn)
    return replace(rental, asset=asset)


def returned_elsewhere(rental: Rental, event: CloseElsewhere, turn: Turn) -> Rental:
    _note(rental, "rental.returned", turn, elsewhere=event.machine, asset=rental.asset)
    asset = rental.asset
    return replace(_end(replace(rental, version=event.version), turn), asset=asset)


# ---------------------------------------------------------------- return
def start_return(rental: Rental, event: StartReturn, turn: Turn) -> Rental:
    turn.post(
        "bay",
        event.bay,
        Authorise(Purpose.RETURN, "holder", rental=rental.id, asset=rental.asset, terminal=event.terminal),
    )
    _note(rental, "rental.return_started", turn, bay=event.bay, terminal=event.terminal)
    return replace(rental, bay=event.bay, terminal=event.terminal)


def return_not_opened(rental: Rental, event: NotOpened, turn: Turn) -> Rental:
    _note(rental, "rental.not_opened", turn, grant=event.grant, why=event.why)
    _unserved(rental, event.why, turn)
    rental = replace(rental, terminal=None)
    return rental if event.lapsed else replace(rental, grant=None, bay=None)


def left_empty(rental: Rental, event: LeftEmpty, turn: Turn) -> Rental:
    _note(rental, "rental.return_abandoned", turn, outage=event.outage or None)
    _unserved(rental, "left_empty", turn)
    return replace(rental, grant=None, bay=None, terminal=None)


def came_back(rental: Rental, event: CameBack, turn: Turn) -> Rental:
    """Custody: the asset is the machine's again."""
    rental = replace(rental, asset=event.asset or rental.asset, outage=event.outage, unsensed=event.unsensed)
    return _back(rental, rental.bay, turn)


def found_back(rental: Rental, event: FoundBack, turn: Turn) -> Rental:
    return _back(replace(rental, outage=event.outage), event.bay, turn, keep_grant=rental.bay != event.bay)


def _back(rental: Rental, bay: str | None, turn: Turn, *, keep_grant: bool = False) -> Rental:
    _note(
        rental,
        "rental.returned",
        turn,
        asset=rental.asset,
        bay=bay,
        outage=rental.outage or None,
        unsensed=rental.unsensed or None,
        overdue=rental.overdue or None,
    )
    _served(rental, "returned", turn, bay or "")
    turn.urgent = True
    rental = disarm(rental, "due")
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
    _note(rental, "rental.reopened", turn, bay=rental.bay)
    return replace(rental, terminal=event.terminal)


def reopen_done(rental: Rental, event: NotTaken | NotOpened | LeftEmpty, turn: Turn) -> Rental:
    if isinstance(event, NotOpened):
        _unserved(rental, event.why, turn)
        if event.lapsed:
            return replace(rental, terminal=None)
    else:
        _served(rental, "reopened", turn, rental.bay or "")
    rental = replace(rental, grant=None, terminal=None)
    return rental if armed(rental, "reopen") is not None else _erased(rental, turn)


def taken_again(rental: Rental, event: Taken, turn: Turn) -> Rental:
    return taken(rental, event, turn)


def reopen_lapsed(rental: Rental, event: ReopenLapsed, turn: Turn) -> Rental:
    return rental if rental.grant is not None else _erased(rental, turn)


def erase(rental: Rental, event: EraseDue, turn: Turn) -> Rental:
    return _erased(rental, turn)


# ---------------------------------------------------------------- cancellation
@reason("already_released")
def not_released(rental: Rental, event: Cancel, turn: Turn) -> bool:
    return False


def bay_undecided(rental: Rental, event: Cancel, turn: Turn) -> bool:
    return rental.grant is not None


def cancel(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    _unserved(rental, "cancelled", turn)
    _note(rental, "rental.cancelled", turn)
    return _end(rental, turn)


def cancel_waits(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    """Its one outcome waits for the bay's word."""
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "superseded")
    return replace(rental, cancel=event.instruction, version=event.version)


def cancel_claimed(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    """Nothing more is authorised, but the bay may still open late."""
    _unserved(rental, "cancelled", turn)
    return disarm(replace(cancel_waits(rental, event, turn), terminal=None), "claim")


# ---------------------------------------------------------------- incident
def _into_incident(rental: Rental, ident: str, turn: Turn) -> Rental:
    _note(rental, "rental.incident", turn, incident=ident)
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "incident")
    turn.urgent = True
    rental = disarm(rental, "claim", "window_open", "window_close", "reopen")
    return replace(rental, incident=ident, grant=None, terminal=None, cancel=None, expire=False)


def unsure(rental: Rental, event: Unsure, turn: Turn) -> Rental:
    _unserved(rental, "incident", turn)
    return _into_incident(rental, event.incident, turn)


def incident_bay_done(rental: Rental, event: CameBack | LeftEmpty | NotOpened, turn: Turn) -> Rental:
    """An incident's asset may be received at any time: that changes custody, not the incident."""
    if isinstance(event, CameBack):
        _note(rental, "rental.asset_back", turn, asset=event.asset, bay=rental.bay, incident=rental.incident)
        _served(rental, "returned", turn, rental.bay or "")
    elif isinstance(event, LeftEmpty):
        _unserved(rental, "left_empty", turn)
    else:
        _unserved(rental, event.why, turn)
        if event.lapsed:
            return replace(rental, terminal=None)
    return replace(rental, grant=None, terminal=None)


def incident_unsure(rental: Rental, event: Unsure, turn: Turn) -> Rental:
    _unserved(rental, "incident", turn)
    return replace(rental, grant=None, terminal=None)


def incident_found(rental: Rental, event: FoundBack, turn: Turn) -> Rental:
    _note(rental, "rental.asset_back", turn, asset=event.asset, bay=event.bay, incident=rental.incident)
    return replace(rental, bay=event.bay)


@reason("bay_not_concluded")
def bay_concluded(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return rental.grant is None


def outcome_ready(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "ready"


def outcome_on_trip(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "on_trip" and rental.asset is not None


def outcome_returned(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "returned"


def outcome_cancelled(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "cancelled"


@reason("unknown_outcome")
def outcome_purchased(rental: Rental, event: Resolve, turn: Turn) -> bool:
    return event.outcome == "purchased"


def resolved(rental: Rental, event: Resolve, turn: Turn) -> Rental:
    _note(rental, "rental.resolved", turn, outcome=event.outcome, who=event.who, reason=event.reason)
    rental = replace(rental, incident=None, openings=0, terminal=None)
    turn.urgent = True
    if event.outcome == "ready":
        rental = replace(rental, asset=None, bay=None)
        return turn.arm_utc(rental, "window_close", rental.window_to_utc)
    if event.outcome == "on_trip":
        rental = replace(rental, bay=None)
        return _timed_by_due(rental, turn)
    asset = rental.asset
    return replace(_end(rental, turn), asset=asset)


ROWS = (
    # booking
    on(Update, (READY,), None, (window_stays_open,), update),
    on(Update, (BOOKED, READY), BOOKED, (newer,), update),
    on(WindowOpened, (BOOKED,), READY, (), window_opened),
    ignore(WindowOpened, EVERY),
    on(WindowClosed, (BOOKED, READY), None, (bay_may_still_open,), expiry_waits),
    on(WindowClosed, (BOOKED, READY), EXPIRED, (), expired),
    on(WindowClosed, (CLAIMED, RELEASING), None, (), expiry_waits),
    ignore(WindowClosed, EVERY),
    # at the machine
    on(
        Claim,
        (BOOKED, READY),
        CLAIMED,
        (not_locked_out, no_cancel_waits, no_grant_elsewhere),
        claim,
    ),
    on(Unclaim, (CLAIMED,), EXPIRED, (must_expire,), unclaim_expired),
    on(Unclaim, (CLAIMED,), READY, (), unclaim),
    ignore(Unclaim, EVERY),
    on(TryPin, (CLAIMED, RETURNED), None, (not_locked_out,), try_pin),
    on(PinResult, (CLAIMED, RETURNED), None, (pin_right,), forget_attempts),
    on(PinResult, (CLAIMED, RETURNED), None, (pin_spent,), lock_out),
    on(PinResult, (CLAIMED, RETURNED), None, (pin_unchecked,), give_back),
    ignore(PinResult, EVERY),
    on(Unlockout, EVERY, None, (), unlock_out),
    # release
    on(Release, (CLAIMED,), RELEASING, (), release),
    on(Granted, EVERY, None, (), granted),
    on(NotOpened, (RELEASING,), CANCELLED, (must_cancel,), cancelled_after_all),
    on(NotOpened, (RELEASING,), EXPIRED, (must_expire,), expired_after_all),
    on(NotOpened, (RELEASING,), READY, (same_grant,), opening_failed),
    on(NotOpened, (RETURNING,), ON_TRIP, (same_grant,), return_not_opened),
    on(NotOpened, (RETURNED,), None, (same_grant,), reopen_done),
    on(NotOpened, (INCIDENT,), None, (same_grant,), incident_bay_done),
    ignore(NotOpened, EVERY),
    on(GrantEnded, (BOOKED, READY, CLAIMED), CANCELLED, (must_cancel,), cancelled_after_all),
    on(GrantEnded, (BOOKED, READY), EXPIRED, (must_expire,), expired_after_all),
    on(GrantEnded, EVERY, None, (same_grant,), grant_ended),
    ignore(GrantEnded, EVERY),
    on(OpenedLate, (READY, CLAIMED), RELEASING, (same_grant,), opened_late),
    on(OpenedLate, (ON_TRIP,), RETURNING, (same_grant,), opened_late),
    ignore(OpenedLate, EVERY),
    on(NotTaken, (RELEASING,), CANCELLED, (must_cancel,), cancelled_after_all),
    on(NotTaken, (RELEASING,), EXPIRED, (must_expire,), expired_after_all),
    on(NotTaken, (RELEASING,), READY, (openings_left,), not_taken),
    on(NotTaken, (RELEASING,), INCIDENT, (same_grant,), opened_too_often),
    on(NotTaken, (RETURNED,), None, (same_grant,), reopen_done),
    ignore(NotTaken, EVERY),
    on(Taken, (RELEASING,), ON_TRIP, (same_grant,), taken),
    on(Taken, (RETURNED,), ON_TRIP, (same_grant,), taken_again),
    ignore(Taken, EVERY),
    # on trip
    on(DueReached, (ON_TRIP, RETURNING, INCIDENT), None, (), due_reached),
    ignore(DueReached, EVERY),
    on(Extend, (BOOKED, READY, CLAIMED, RELEASING, ON_TRIP, RETURNING, INCIDENT), None, (newer,), extend),
    on(Buy, (ON_TRIP,), PURCHASED, (newer,), purchased),
    on(CloseElsewhere, (ON_TRIP, RETURNING), RETURNED, (newer,), returned_elsewhere),
    # return
    on(StartReturn, (ON_TRIP,), RETURNING, (), start_return),
    on(StartReturn, (INCIDENT,), None, (), start_return),
    on(LeftEmpty, (RETURNING,), ON_TRIP, (same_grant,), left_empty),
    on(LeftEmpty, (RETURNED,), None, (same_grant,), reopen_done),
    on(LeftEmpty, (INCIDENT,), None, (same_grant,), incident_bay_done),
    ignore(LeftEmpty, EVERY),
    on(CameBack, (RETURNING,), RETURNED, (same_grant,), came_back),
    on(CameBack, (INCIDENT,), None, (same_grant,), incident_bay_done),
    ignore(CameBack, EVERY),
    on(FoundBack, (ON_TRIP, RETURNING), RETURNED, (), found_back),
    on(FoundBack, (INCIDENT,), None, (), incident_found),
    ignore(FoundBack, EVERY),
    on(Reopen, (RETURNED,), None, (not_locked_out, may_reopen), reopen),
    on(ReopenLapsed, (RETURNED,), None, (), reopen_lapsed),
    ignore(ReopenLapsed, EVERY),
    on(EraseDue, EVERY, None, (), erase),
    # cancellation
    on(Cancel, (BOOKED, READY), None, (newer, bay_undecided), cancel_waits),
    on(Cancel, (CLAIMED,), READY, (newer, bay_undecided), cancel_claimed),
    on(Cancel, (BOOKED, READY, CLAIMED), CANCELLED, (newer,), cancel),
    on(Cancel, (RELEASING,), None, (newer,), cancel_waits),
    on(Cancel, (ON_TRIP, RETURNING, RETURNED, PURCHASED, INCIDENT), None, (not_released,)),
    # incident
    on(Unsure, (RELEASING, RETURNING, RETURNED), INCIDENT, (same_grant,), unsure),
    on(Unsure, (INCIDENT,), None, (same_grant,), incident_unsure),
    ignore(Unsure, EVERY),
    on(Resolve, (INCIDENT,), READY, (bay_concluded, outcome_ready), resolved),
    on(Resolve, (INCIDENT,), ON_TRIP, (bay_concluded, outcome_on_trip), resolved),
    on(Resolve, (INCIDENT,), RETURNED, (bay_concluded, outcome_returned), resolved),
    on(Resolve, (INCIDENT,), CANCELLED, (bay_concluded, outcome_cancelled), resolved),
    on(Resolve, (INCIDENT,), PURCHASED, (bay_concluded, outcome_purchased), resolved),
)

TABLE: Table[Rental, RentalState] = Table("rental", RentalState, BOOKED, ROWS)
