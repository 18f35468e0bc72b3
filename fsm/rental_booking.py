"""A rental before and after its time at the machine: booked, changed, expired, cancelled, its secrets erased."""

from __future__ import annotations

from fsm import effects
from fsm.across import (
    Buy,
    CameBack,
    Cancel,
    CloseElsewhere,
    Extend,
    GrantEnded,
    LeftEmpty,
    NotOpened,
    NotTaken,
    OpenedLate,
    Served,
    Taken,
    Unclaim,
    Unserved,
    Unsure,
    Update,
    WindowClosed,
    WindowOpened,
)
from fsm.events import PutReservation
from fsm.model import FINAL, Rental, RentalState, Spent, disarm
from fsm.outcome import settle_instruction
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn

BOOKED, READY, CLAIMED, RELEASING = (
    RentalState.BOOKED,
    RentalState.READY,
    RentalState.CLAIMED,
    RentalState.RELEASING,
)


KEEP_SPENT_S = 30 * 86400.0  # beyond the pass's own end: clocks of machines without a network drift


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
        face=put.face,
        face_format=put.face_format,
        face_user=put.face_user,
        badges=put.badges,
        unservable=None,  # judged as it arrives
        pass_exp_utc=put.pass_exp if old is None else max(put.pass_exp or 0.0, old.pass_exp_utc or 0.0) or None,
    )
    rental = turn.arm_utc(rental, "window_open", put.window_from)
    return turn.arm_utc(rental, "window_close", put.window_to)


def window_stays_open(rental: Rental, event: Update, turn: Turn) -> bool:
    """What was open here stays so: without trusted time nothing would open it anew."""
    return newer(rental, event, turn) and event.put.window_from <= rental.window_from_utc


def same_goods(rental: Rental, event: Update, turn: Turn) -> bool:
    """What a late opening may still hand out is what the booking named, and nothing is to be cancelled by it."""
    if rental.cancel is not None:
        return False
    put = event.put
    return rental.grant is None or (put.asset, put.asset_class) == (rental.named, rental.asset_class)


def no_bay_waits(rental: Rental, event: Update, turn: Turn) -> bool:
    """Only a rental that stays ready hears a late opening."""
    return rental.grant is None


def update(rental: Rental, event: Update, turn: Turn) -> Rental:
    old, rental = rental, booked(event.put, turn, rental)
    replaced = old.face_user is not None and old.face_user != rental.face_user
    if old.face is not None and (rental.face is None or replaced):
        let_go_of_face(old, turn)
    note(rental, "rental.booked", turn, version=rental.version)
    return rental


def note(rental: Rental, kind: str, turn: Turn, **data: object) -> None:
    turn.record(kind, rental.id, **data)


@reason("superseded")
def newer(rental: Rental, event: Update | Extend | Buy | CloseElsewhere | Cancel, turn: Turn) -> bool:
    version = event.put.version if isinstance(event, Update) else event.version
    return version > max((one.version for one in rental.waiting), default=rental.version) and version > rental.version


def same_grant(
    rental: Rental,
    event: NotOpened | GrantEnded | OpenedLate | NotTaken | Taken | LeftEmpty | CameBack | Unsure,
    turn: Turn,
) -> bool:
    return rental.grant == event.grant


# ---------------------------------------------------------------- windows
def window_opened(rental: Rental, event: WindowOpened, turn: Turn) -> Rental:
    note(rental, "rental.ready", turn)
    return rental


def bay_may_still_open(rental: Rental, event: WindowClosed, turn: Turn) -> bool:
    return rental.grant is not None


def expiry_waits(rental: Rental, event: WindowClosed, turn: Turn) -> Rental:
    """Unless a newer reservation waits, whose window counts then."""
    return rental if any(one.put is not None for one in rental.waiting) else replace(rental, expire=True)


def expired(rental: Rental, event: WindowClosed | Unclaim, turn: Turn) -> Rental:
    note(rental, "rental.expired", turn)
    return end(rental, turn)


def end(rental: Rental, turn: Turn) -> Rental:
    """Final without a trip: secrets go at once."""
    rental = disarm(rental, "window_open", "window_close", "claim", "due", "reopen", "erase")
    turn.urgent = True
    return erased(replace(rental, asset=None, bay=None, grant=None, terminal=None, expire=False), turn)


def spent_by(rental: Rental) -> Spent:
    """What is kept of a final rental that leaves the world: its pass opens nothing, well beyond its own end."""
    until = max(rental.pass_exp_utc or 0.0, rental.window_to_utc) + KEEP_SPENT_S
    why = "spent" if rental.state is RentalState.RETURNED else str(rental.state)
    return Spent(id=rental.id, until_utc=until, why=why, asset=rental.asset)


def let_go_of_face(rental: Rental, turn: Turn) -> None:
    """Tell whoever keeps something of it; where a device does, that is remembered until it has forgotten.

    One customer's bookings may name one user of a device: the last of them takes it along.
    """
    face, user = rental.face, rental.face_user
    if user is not None and turn.face_wanted(user, rental.id):
        face = None
    turn.emit(effects.EraseSecrets(rental.id, face))
    if face is not None and any(spec.keeps_faces for spec in turn.layout.terminals.values()):
        entry = (rental.id, face) if user is None else (rental.id, face, user)
        turn.put(replace(turn.machine, forgetting=(*turn.machine.forgetting, entry)))


def erased(rental: Rental, turn: Turn) -> Rental:
    """Nothing is kept any more to know its holder by; badges stay while they may still bring the asset back."""
    rental = disarm(rental, "erase")
    if rental.state in FINAL:
        rental = replace(rental, badges=())
    if rental.pin is None and rental.face is None:
        return rental
    let_go_of_face(rental, turn)
    note(rental, "rental.secrets_erased", turn)
    return replace(rental, pin=None, face=None, face_format=None, face_user=None)


def unserved(rental: Rental, why: str, turn: Turn) -> None:
    if rental.terminal is not None:
        turn.post("visit", rental.terminal, Unserved(rental.id, why))


def served(rental: Rental, what: str, turn: Turn, bay: str = "") -> None:
    if rental.terminal is not None:
        turn.post("visit", rental.terminal, Served(rental.id, what, bay))


def timed_by_due(rental: Rental, turn: Turn) -> Rental:
    """Out until `due_utc`; secrets go a while after it, or after the window where nothing is due."""
    if rental.due_utc is not None:
        rental = turn.arm_utc(rental, "due", rental.due_utc)
    if rental.pin is None and rental.face is None:
        return rental
    last = rental.due_utc if rental.due_utc is not None else rental.window_to_utc
    return turn.arm_utc(rental, "erase", last + turn.layout.timing.erase_after_due_s)


# ---------------------------------------------------------------- made up by a return
def made_up(rental: Rental) -> bool:
    """On trip by its pass's word alone, and nothing came: there may be no such trip. A later pick-up is possible."""
    return rental.source == "return" and rental.state is RentalState.ON_TRIP and rental.grant is None


def known_out(rental: Rental) -> Rental:
    """It has left this machine, or a technician says that it is out: no longer its pass's word alone."""
    return replace(rental, source="pass") if rental.source == "return" else rental


# ---------------------------------------------------------------- cancellation
@reason("already_released")
def not_released(rental: Rental, event: Cancel | Update, turn: Turn) -> bool:
    return False


def bay_undecided(rental: Rental, event: Cancel | Buy, turn: Turn) -> bool:
    return rental.grant is not None


def cancel(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    unserved(rental, "cancelled", turn)
    note(rental, "rental.cancelled", turn)
    return end(rental, turn)


def cancel_waits(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    """Its one outcome waits for the bay's word."""
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "superseded")
    return replace(rental, cancel=event.instruction, version=event.version)


def no_cancellation_now(rental: Rental, turn: Turn) -> None:
    """It waited for the bay's word, and that was another."""
    if rental.cancel is not None:
        settle_instruction(turn, rental.cancel, "refused", "already_released")


def cancel_claimed(rental: Rental, event: Cancel, turn: Turn) -> Rental:
    """Nothing more is authorised, but the bay may still open late."""
    unserved(rental, "cancelled", turn)
    return disarm(replace(cancel_waits(rental, event, turn), terminal=None), "claim")
