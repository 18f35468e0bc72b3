"""Instructions of the cloud: one delivery is one transaction, each instruction in it gets exactly one outcome.

It comes at once, but for what waits for a bay's word (`Rental.cancel`, `Rental.waiting`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fsm import across, servable
from fsm import events as e
from fsm.model import FINAL, Asset, Done, PassKey, Purpose, RentalState, Spent, armed
from fsm.outcome import settle_instruction
from fsm.rental_booking import KEEP_SPENT_S, booked, spent_by
from fsm.table import Refused
from fsm.values import replace
from fsm.world import Turn

FACE_UNUSED = "face_unused"


def deliver(turn: Turn, event: e.Deliver, run: Callable[[], None]) -> None:
    """Each instruction for itself; one that is refused leaves nothing but its outcome."""
    seen = set(event.present)
    for one in event.instructions:
        if isinstance(one, e.PutReservation):
            seen.add(one.rental)
        done = turn.get("done", one.id)
        if isinstance(done, Done):
            turn.record(
                "instruction.replayed", one.id, outcome=done.outcome, reason=done.reason or None, why=done.why or None
            )
            continue
        if _waiting(turn, one):
            continue  # told again while its outcome waits
        mark = turn.mark()
        try:
            told = _HANDLERS[type(one)](turn, one)
            run()
        except Refused as why:
            turn.back_to(mark)
            settle_instruction(turn, one.id, _word(why.reason), why.reason)
            continue
        if told is not True and not _waiting(turn, one):
            word, _, because = (told or "").partition(" ")
            settle_instruction(turn, one.id, "accepted", word, because)
    unread = any(isinstance(one, e.Unreadable) and one.outcome == "malformed" for one in event.instructions)
    if event.snapshot and not unread:  # what could not be read may name any of them
        _cancel_absent(turn, seen, run)
    turn.put(replace(turn.machine, cursor=event.cursor))
    turn.urgent = True


def _word(reason: str) -> str:
    return reason if reason in ("stale", "malformed", "unsupported") else "refused"


def _waiting(turn: Turn, one: e.Instruction) -> bool:
    """Whether its one outcome waits for the bay's word."""
    if not isinstance(one, e.CancelReservation | e.PutReservation | e.ExtendRental | e.BuyRental):
        return False
    rental = turn.rental(one.rental)
    return rental is not None and (rental.cancel == one.id or any(w.id == one.id for w in rental.waiting))


def _cancel_absent(turn: Turn, seen: set[str], run: Callable[[], None]) -> None:
    """A snapshot is the whole truth about what waits; it never takes back what is claimed or released."""
    for known in list(turn.world.of["rental"].values()):
        rental = turn.rental(known.id) or known
        waits = rental.state in (RentalState.BOOKED, RentalState.READY) and rental.grant is None
        if waits and rental.source == "cloud" and rental.id not in seen and rental.cancel is None:
            turn.post("rental", rental.id, across.Cancel("snapshot", rental.version + 1))
            run()


# ---------------------------------------------------------------- reservations
def _put(turn: Turn, one: e.PutReservation) -> bool | str:
    unused = _face_unused(turn, one)
    if unused:
        one = replace(one, face=None, face_format=None, face_user=None)
    spent = turn.spent(one.rental)
    if spent is not None:
        if spent.why != "cancelled" or spent.version is None:
            raise Refused("already_over", one.rental)
        if one.version <= spent.version:
            raise Refused("superseded", one.rental)
        turn.drop("spent", one.rental)
    probe = booked(one, turn)
    why = servable.unservable(turn, probe)
    if why is not None:  # it fails closed now, not in front of the customer
        raise Refused(why, one.rental)
    if turn.rental(one.rental) is not None:
        turn.post("rental", one.rental, across.Update(one))
    else:
        turn.put(probe)
        turn.record("rental.booked", one.rental, version=one.version, source="cloud")
    return f"{FACE_UNUSED} {unused}" if unused else False


def _face_unused(turn: Turn, one: e.PutReservation) -> str:
    """Why a template that came with it serves nobody here, and is not kept; empty where it does or none came."""
    if one.face is None:
        return one.face_unused
    if not any(one.face_format in spec.face_formats for spec in turn.layout.terminals.values()):
        return "other_format"
    if one.face_user is not None and any(one.face_user in entry[2:] for entry in turn.machine.forgetting):
        return "being_forgotten"  # the device has been told to erase whom it names
    return ""


def _cancel(turn: Turn, one: e.CancelReservation) -> bool:
    if turn.rental(one.rental) is None and _never_heard(turn, one):
        return False
    turn.post("rental", one.rental, across.Cancel(one.id, one.version))
    return False


def _never_heard(turn: Turn, one: e.CancelReservation) -> bool:
    """A reservation that this machine does not have may exist as a pass, or come late: both stay cancelled."""
    spent = turn.spent(one.rental)
    if spent is not None and spent.version is None and spent.why != "revoked":
        return False
    until = max(one.until, max(turn.now.utc, turn.now.floor_utc) + KEEP_SPENT_S)
    if spent is None:
        spent = Spent(id=one.rental, until_utc=until, why="cancelled")
    version = max(one.version, spent.version if spent.version is not None else one.version)
    turn.put(replace(spent, until_utc=max(until, spent.until_utc), version=version))
    turn.record("rental.cancelled", one.rental, version=one.version)
    return True


def _extend(turn: Turn, one: e.ExtendRental) -> bool:
    turn.post("rental", one.rental, across.Extend(one.id, one.due, one.version))
    return False


def _buy(turn: Turn, one: e.BuyRental) -> bool:
    turn.post("rental", one.rental, across.Buy(one.id, one.version))
    return False


def _elsewhere(turn: Turn, one: e.ReturnedElsewhere) -> bool:
    turn.post("rental", one.rental, across.CloseElsewhere(one.machine, one.version))
    return False


def _attempts(turn: Turn, one: e.CloudResetAttempts) -> bool:
    turn.post("rental", one.rental, across.Unlockout("cloud"))
    return False


# ---------------------------------------------------------------- commands
def _unlock(turn: Turn, one: e.CloudUnlock) -> bool:
    """An hour-old unlock must not fire when the network comes back."""
    if one.age_s is None or one.age_s > turn.layout.timing.command_age_s or one.age_s < 0:
        raise Refused("stale", one.bay)
    turn.bay(one.bay)
    turn.post("bay", one.bay, across.Authorise(Purpose.TECHNICIAN, "cloud", reason=one.reason))
    return False


def _availability(turn: Turn, one: e.CloudAvailability) -> bool:
    word = "in_service" if one.in_service else "out_of_service"
    if one.bay is None:
        turn.put(replace(turn.machine, in_service=one.in_service))
        turn.record(f"machine.{word}", turn.layout.machine, who="cloud", reason=one.reason)
        return False
    turn.put(replace(turn.bay(one.bay), in_service=one.in_service))
    turn.record(f"bay.{word}", one.bay, who="cloud", reason=one.reason)
    return False


# ---------------------------------------------------------------- directory, keys
def _assets(turn: Turn, one: e.PutAssets) -> bool:
    raised = False  # of some asset: what is demanded for it may be another by now
    for ident, asset_class, tags, rental in one.assets:
        authorisers = one.authorisers.get(ident, ())
        for tag in tags:
            other = turn.asset_by_tag(tag)
            if other is not None and other.id != ident:
                raise Refused("tag_in_use", f"tag of {ident} is already {other.id}'s")
        old = turn.asset(ident)
        turn.put(Asset(id=ident, asset_class=asset_class, tags=tags, rental=rental, authorisers=authorisers))
        raised |= old is None or (old.asset_class, old.authorisers) != (asset_class, authorisers)
    if raised:
        servable.look_over(turn)
    return False


def _forget_assets(turn: Turn, one: e.RemoveAssets) -> bool:
    """What is lost may go while its incident is open: that is how a technician may end one whose asset is nowhere."""
    for ident in one.assets:
        held = any(rental.state is not RentalState.INCIDENT for rental in turn.rentals_of(ident))
        if held or turn.bay_holding(ident) is not None:
            raise Refused("asset_in_use", ident)
        if turn.asset(ident) is not None:
            turn.drop("asset", ident)
    servable.look_over(turn)
    return False


def _keys(turn: Turn, one: e.PutKeys) -> bool:
    for kid, jwk in one.keys:
        turn.put(PassKey(id=kid, jwk=jwk))
    return False


def _revoke(turn: Turn, one: e.RevokePasses) -> bool:
    for rental in one.rentals:
        known = turn.spent(rental)
        until = max(one.until, known.until_utc if known is not None else 0.0)
        if known is None or known.version is not None:  # what a newer reservation could lift is revoked all the same
            turn.put(Spent(id=rental, until_utc=until, why="revoked", version=known.version if known else None))
        else:
            turn.put(replace(known, until_utc=until))
        turn.record("pass.revoked", rental)
    return False


def _anchor(turn: Turn, one: e.AnchorJournal) -> bool:
    turn.record(
        "machine.journal_anchored",
        turn.layout.machine,
        epoch=one.epoch,
        seq=one.seq,
        hash=one.hash,
        kid=one.kid,
        signature=one.signature,
    )
    return False


def _unreadable(turn: Turn, one: e.Unreadable) -> bool:
    settle_instruction(turn, one.id, one.outcome, one.reason)
    return True


_HANDLERS: dict[type[e.Instruction], Callable[[Turn, Any], bool | str]] = {
    e.PutReservation: _put,
    e.CancelReservation: _cancel,
    e.ExtendRental: _extend,
    e.BuyRental: _buy,
    e.ReturnedElsewhere: _elsewhere,
    e.CloudResetAttempts: _attempts,
    e.CloudUnlock: _unlock,
    e.CloudAvailability: _availability,
    e.PutAssets: _assets,
    e.RemoveAssets: _forget_assets,
    e.PutKeys: _keys,
    e.RevokePasses: _revoke,
    e.AnchorJournal: _anchor,
    e.Unreadable: _unreadable,
}


# ---------------------------------------------------------------- what is over leaves the world
def retire(turn: Turn, key: str) -> None:
    """A final rental whose history the cloud has; its pass stays spent until well after it has run out."""
    rental = turn.rental(key)
    if rental is None or rental.state not in FINAL or rental.grant is not None or armed(rental, "reopen"):
        return
    revoked = turn.spent(key)
    spent = spent_by(rental)
    until = max(spent.until_utc, revoked.until_utc if revoked is not None else 0.0)
    turn.put(replace(spent, until_utc=until))
    turn.drop("rental", key)
    if turn.now.trusted:
        for old in list(turn.world.of["spent"].values()):
            if old.until_utc < turn.now.utc and old.id != key:
                turn.drop("spent", old.id)
