"""The holder at the machine: the claim, and the PIN with its counted tries."""

from __future__ import annotations

from fsm.across import (
    Claim,
    FaceResult,
    GrantEnded,
    Identified,
    NotOpened,
    NotTaken,
    PinResult,
    Reopen,
    TryFace,
    TryPin,
    Unclaim,
    Unlockout,
    Unserved,
)
from fsm.model import Rental, RentalState, disarm
from fsm.rental_booking import expired, note, unserved
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn

ON_TRIP, RETURNING, RETURNED = RentalState.ON_TRIP, RentalState.RETURNING, RentalState.RETURNED


# ---------------------------------------------------------------- claim
@reason("locked_out")
def not_locked_out(rental: Rental, event: Claim | TryPin | TryFace | Reopen, turn: Turn) -> bool:
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
    note(rental, "rental.claimed", turn, terminal=event.terminal, asset=event.asset, bay=event.bay, by=event.by)
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
    note(rental, "rental.unclaimed", turn, why=event.why)
    unserved(rental, event.why, turn)
    rental = disarm(replace(rental, terminal=None), "claim")
    return rental if rental.grant is not None else replace(rental, asset=None, bay=None)


def unclaim_expired(rental: Rental, event: Unclaim, turn: Turn) -> Rental:
    return expired(unclaim(rental, event, turn), event, turn)


# ---------------------------------------------------------------- PIN
def try_pin(rental: Rental, event: TryPin, turn: Turn) -> Rental:
    """Counted and durable before the digits are compared: pulling the plug wins no extra tries."""
    rental = replace(rental, attempts=rental.attempts + 1)
    note(rental, "rental.pin_tried", turn, attempt=rental.attempts)
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
    """Of the PIN alone: where a face is demanded beside it, whoever has the PIN must not win further faces by it."""
    return replace(rental, attempts=0)


def lock_out(rental: Rental, event: PinResult, turn: Turn) -> Rental:
    note(rental, "rental.locked_out", turn, attempts=rental.attempts)
    turn.urgent = True
    if rental.state is RETURNED:  # nothing is claimed then, only the visit is to end
        turn.post("visit", event.terminal, Unserved(rental.id, "locked_out"))
    turn.post("rental", rental.id, Unclaim("locked_out"))
    return replace(rental, locked_out=True)


def unlock_out(rental: Rental, event: Unlockout, turn: Turn) -> Rental:
    note(rental, "rental.attempts_reset", turn, who=event.who)
    return replace(rental, attempts=0, face_attempts=0, locked_out=False)


# ---------------------------------------------------------------- face
def try_face(rental: Rental, event: TryFace, turn: Turn) -> Rental:
    """Counted and durable before anything is compared, as a PIN is."""
    rental = replace(rental, face_attempts=rental.face_attempts + 1)
    note(rental, "rental.face_tried", turn, attempt=rental.face_attempts)
    turn.urgent = True
    return rental


def face_right(rental: Rental, event: FaceResult, turn: Turn) -> bool:
    return event.ok is True


def face_unchecked(rental: Rental, event: FaceResult, turn: Turn) -> bool:
    return event.ok is None


def forget_face_attempts(rental: Rental, event: FaceResult, turn: Turn) -> Rental:
    return replace(rental, face_attempts=0)


def give_face_back(rental: Rental, event: FaceResult, turn: Turn) -> Rental:
    return replace(rental, face_attempts=max(0, rental.face_attempts - 1))


def identified(rental: Rental, event: Identified, turn: Turn) -> Rental:
    """By all that is demanded, and more than the credential that led here: every try is theirs again."""
    said = {"factors": list(event.factors), "liveness": event.liveness, "authoriser": event.authoriser}
    note(rental, "rental.identified", turn, terminal=event.terminal, **said)
    return replace(rental, attempts=0, face_attempts=0)
