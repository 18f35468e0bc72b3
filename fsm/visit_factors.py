"""What a person shows besides the credential that led here: PIN, face, second credentials; and when it is enough.

A try of a PIN or a face is counted, durably, before anything is compared. A face is compared from the moment in which
the credential is accepted, so that who stands there is who showed it; another try wants the credential shown again.
"""

from __future__ import annotations

from fsm import choose, effects, servable
from fsm.across import FaceResult, Identified, PinResult, Proceed, Release, Reopen, TryFace, TryPin
from fsm.events import BadgePresented, FaceChecked, FaceHint, PassPresented, PinChecked, PinEntered
from fsm.model import Rental, RentalState, Visit, VisitState, disarm
from fsm.policy import (
    AUTHORISER,
    BADGE,
    BIOMETRIC,
    FACE,
    LIVE_FACE,
    PASS,
    PIN,
    Alternatives,
    Standing,
    Verdict,
    evaluate,
)
from fsm.table import Refused, reason
from fsm.values import replace
from fsm.visit_ways import (
    Credential,
    audience,
    early_word,
    from_pass,
    judge,
    key_and_revocation,
    not_revoked,
    too_early,
    too_late,
)
from fsm.world import Turn

MOVEMENTS = frozenset({"turn_left", "turn_right", "closer"})  # that a challenge asks for
HARDWARE = "hardware"  # the liveness of a device that itself proves a living face


# ---------------------------------------------------------------- what is demanded, what can be shown
def _offers(turn: Turn, visit: Visit, rental: Rental) -> frozenset[str]:
    offers = servable.offers_of(turn, turn.layout.terminals[visit.id], rental)
    return offers - BIOMETRIC if visit.no_face else offers


def _verdict(turn: Turn, visit: Visit, rental: Rental) -> Verdict:
    offers = _offers(turn, visit, rental)
    if visit.facing:  # the try that is under way may be the last, but it counts
        offers |= turn.layout.terminals[visit.id].offers & BIOMETRIC
    return evaluate(choose.required(turn, rental, visit.demands), visit.have, offers)


def enough(visit: Visit, event: Credential, turn: Turn) -> bool:
    """The credential is all that is demanded."""
    rental = turn.rental(event.rental)
    if isinstance(event, PassPresented):
        have, demands, rental = frozenset({PASS}), event.demands, rental or from_pass(event)
    else:
        have, demands = frozenset({BADGE}), ()
    if rental is None:
        return False  # it is gone; the claim says so
    needed: Alternatives = choose.required(turn, choose.with_asset(turn, rental), demands)
    return evaluate(needed, have, have).standing is Standing.SATISFIED


def ask(visit: Visit, rental: Rental, turn: Turn) -> Visit:
    """The visit with the next factor to ask for."""
    _leaves_a_plain_way(turn, rental, visit.demands)
    verdict = _verdict(turn, visit, rental)
    if verdict.ask is None:
        if others := servable.elsewhere(turn, visit.id, rental, visit.demands):
            raise Refused("other_terminal", ",".join(others))
        raise Refused("factor_unavailable", "+".join(sorted(visit.have)))
    return replace(visit, wants=verdict.ask, accepts=verdict.accept)


def _leaves_a_plain_way(turn: Turn, rental: Rental, pass_demands: tuple[str, ...]) -> None:
    """A pass may demand more than its booking, but never leave a face as the only way."""
    if servable.takes_the_plain_way(turn, rental, pass_demands):
        raise Refused("only_by_face", rental.id)


# ---------------------------------------------------------------- a face
def look(visit: Visit, rental: Rental, turn: Turn) -> Visit:
    """Compare the face of who shows a credential now, where that would help."""
    if visit.facing or rental.face is None or not _verdict(turn, visit, rental).accept & BIOMETRIC:
        return visit
    turn.post("rental", rental.id, TryFace(visit.id))
    turn.emit(effects.CheckFace(visit.id, visit.n, visit.look + 1, rental.id, rental.face))
    return replace(visit, facing=True, look=visit.look + 1, hint="", challenged=False)


def this_look(visit: Visit, event: FaceChecked | FaceHint, turn: Turn) -> bool:
    return visit.facing and (visit.n, visit.look, visit.rental) == (event.visit, event.look, event.rental)


def hinted(visit: Visit, event: FaceHint, turn: Turn) -> Visit:
    return replace(visit, hint=event.hint, challenged=visit.challenged or event.hint in MOVEMENTS)


def face_checked(visit: Visit, event: FaceChecked, turn: Turn) -> Visit:
    turn.post("rental", event.rental, FaceResult(event.ok))
    turn.proceed = visit.id
    result = "not_compared" if event.ok is None else "verified" if event.ok else "wrong"
    turn.record("rental.face_checked", event.rental, terminal=visit.id, result=result, why=event.why or None)
    visit = replace(visit, facing=False, hint="")
    if event.ok:
        factor = LIVE_FACE if event.liveness == HARDWARE else FACE
        return replace(visit, have=visit.have | {factor}, liveness=event.liveness, reason="")
    if event.ok is None:
        return replace(visit, no_face=True, reason="cannot_check")
    _refused_factor(visit, "wrong_face", turn)
    return replace(visit, reason="wrong_face")


def _refused_factor(visit: Visit, why: str, turn: Turn) -> None:
    turn.record("credential.refused", visit.rental or visit.id, terminal=visit.id, reason=why)


def looks_again(visit: Visit, event: PassPresented | BadgePresented, turn: Turn) -> bool:
    """The same pass or badge again, after a face that was not known: another try."""
    if isinstance(event, PassPresented):
        same = visit.rental == event.rental and PASS in visit.have
    else:
        same = visit.badge == event.badge and BADGE in visit.have
    rental = turn.rental(visit.rental or "")
    if rental is None or not same or visit.facing or visit.look == 0:
        return False
    return bool(_verdict(turn, replace(visit, no_face=False), rental).accept & BIOMETRIC)


def look_again(visit: Visit, event: PassPresented | BadgePresented, turn: Turn) -> Visit:
    if isinstance(event, PassPresented):
        rental = _pass_still_good(visit, event, turn)
    else:
        not_revoked(turn, visit.rental or "")
        rental = known_rental(visit, turn)
    visit = look(replace(visit, no_face=False, reason=""), rental, turn)
    return ask(visit, rental, turn)


def known_rental(visit: Visit, turn: Turn) -> Rental:
    """The rental that this visit is about."""
    rental = turn.rental(visit.rental or "")
    if rental is None:
        raise Refused("timed_out")
    return rental


# ---------------------------------------------------------------- a PIN
@reason("not_asked")
def pin_wanted(visit: Visit, event: PinEntered, turn: Turn) -> bool:
    """It is asked for, or is another way than the one that is."""
    return visit.rental is not None and PIN in visit.accepts


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
        return replace(visit, have=visit.have | {PIN})
    if event.ok is None:
        return replace(visit, reason="cannot_check")
    _refused_factor(visit, "wrong_pin", turn)
    return replace(visit, reason="wrong_pin")


# ---------------------------------------------------------------- a second credential
def adds_pass(visit: Visit, event: PassPresented, turn: Turn) -> bool:
    """A badge led here, and now its rental's pass is shown."""
    return visit.rental == event.rental and PASS not in visit.have


def pass_as_factor(visit: Visit, event: PassPresented, turn: Turn) -> Visit:
    rental = _pass_still_good(visit, event, turn)
    _leaves_a_plain_way(turn, rental, event.demands)
    turn.proceed = visit.id
    until = max(rental.pass_exp_utc or 0.0, event.exp)  # for so long it must be known as spent
    turn.put(replace(rental, pass_exp_utc=until))
    visit = replace(visit, have=visit.have | {PASS}, demands=event.demands, reason="")
    return look(visit, rental, turn)


def _pass_still_good(visit: Visit, event: PassPresented, turn: Turn) -> Rental:
    rental = turn.rental(event.rental)
    if rental is None:
        raise Refused("timed_out")
    if rental.state is RentalState.RETURNED:  # a reopening: only spent and the window are not asked
        key_and_revocation(turn, event)
        audience(turn, event)
        return rental
    return judge(turn, visit, event)


def badge_wanted(visit: Visit, event: BadgePresented, turn: Turn) -> bool:
    """A second badge would help whoever is being identified here."""
    return visit.rental is not None and bool(visit.accepts & {BADGE, AUTHORISER})


def badge_as_factor(visit: Visit, event: BadgePresented, turn: Turn) -> Visit:
    """The holder's own, or that of another one who may agree to it. Never both: a holder agrees to nothing."""
    rental = known_rental(visit, turn)
    turn.proceed = visit.id
    if event.badge in rental.badges:
        return replace(visit, have=visit.have | {BADGE}, badge=event.badge, reason="")
    asset = turn.asset(rental.asset or rental.named or "")
    agrees = asset is not None and event.badge in asset.authorisers and event.badge != visit.badge
    if agrees and not _of_same_holder(rental, event.badge, turn):
        return replace(visit, have=visit.have | {AUTHORISER}, authoriser=event.badge, reason="")
    raise Refused("wrong_badge")


def _of_same_holder(rental: Rental, badge: str, turn: Turn) -> bool:
    """Another rental of the same holder lists it: it is the same person's, although this one does not say so."""
    return rental.holder is not None and any(one.holder == rental.holder for one in turn.rentals_of_badge(badge))


# ---------------------------------------------------------------- all that is needed
def all_shown(visit: Visit, event: Proceed, turn: Turn) -> bool:
    rental = turn.rental(visit.rental or "")
    return rental is not None and satisfied(turn, visit, rental)


def satisfied(turn: Turn, visit: Visit, rental: Rental) -> bool:
    return evaluate(choose.required(turn, rental, visit.demands), visit.have, ()).standing is Standing.SATISFIED


def go_on(visit: Visit, event: Proceed, turn: Turn) -> Visit:
    assert visit.rental is not None
    rental = turn.rental(visit.rental)
    assert rental is not None
    still_good(visit, rental, turn)
    factors = tuple(sorted(visit.have))
    second = visit.authoriser[:12] if visit.authoriser is not None else None
    turn.post("rental", visit.rental, Identified(visit.id, factors, visit.liveness, second))
    wanted = Reopen(visit.id) if rental.state is RentalState.RETURNED else Release()
    turn.post("rental", visit.rental, wanted)
    visit = replace(visit, wants=None, accepts=frozenset(), facing=False, hint="")
    return disarm(visit, "visit")


def still_good(visit: Visit, rental: Rental, turn: Turn) -> None:
    """What may have changed since the credential was judged. A claim freezes the expiry, and nothing else."""
    not_revoked(turn, rental.id)
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
    if not satisfied(turn, visit, rental):
        raise Refused("more_demanded")


def _window_of_booking(rental: Rental, turn: Turn) -> None:
    """A newer version may have moved it."""
    leeway = turn.layout.timing.pass_leeway_s
    booked = rental.state is RentalState.BOOKED
    if booked and too_early(turn.now, rental.window_from_utc, leeway, ready_here=False):
        raise Refused(early_word(turn.now))
    if rental.state is RentalState.EXPIRED or too_late(turn.now, rental.window_to_utc, leeway):
        raise Refused("too_late")


def ask_next(visit: Visit, event: Proceed, turn: Turn) -> Visit:
    return ask(visit, known_rental(visit, turn), turn)


def called_off(before: Visit, turn: Turn) -> None:
    """The person left, or needs it no more. The try is theirs again, unless they have seen what they had to do: whoever
    could step away then for nothing would wait for the movements of a film.
    """
    turn.emit(effects.StopFace(before.id, before.n, before.look))
    rental = turn.rental(before.rental or "")
    if rental is None:
        return
    turn.record("rental.face_checked", rental.id, terminal=before.id, result="called_off")
    if not before.challenged and rental.face_attempts > 0:
        turn.put(replace(rental, face_attempts=rental.face_attempts - 1))


def looked_away(before: Visit, after: Visit) -> bool:
    """A comparison that nobody waits for any more."""
    still = after.facing and after.state is VisitState.VERIFYING
    return before.facing and not (still and (before.n, before.look) == (after.n, after.look))
