"""The bay's decision table: one place, its door, and the one grant that lives on it.

Custody changes only in `conclude`, reached when the bay settles, when a held-open door shows an asset gone, or in
recovery. Availability, alarms and contents are orthogonal to the state.
"""

from __future__ import annotations

from fsm import effects
from fsm.across import (
    AfterRestart,
    Authorise,
    BoltMoved,
    CameBack,
    CloseGate,
    DoorClosed,
    DoorOpened,
    FoundBack,
    Granted,
    GrantEnded,
    HeldOpen,
    LapseOver,
    LeftEmpty,
    NotOpened,
    NotTaken,
    OpenedLate,
    OpenTimedOut,
    PresenceChanged,
    Sent,
    Served,
    Settled,
    TagSeen,
    Taken,
    Unserved,
    Unsure,
    WarnOpen,
)
from fsm.custody import Verdict, Word, judge
from fsm.model import (
    FAULTS,
    Alarm,
    Bay,
    BaySpec,
    BayState,
    Commanded,
    Grant,
    Occupancy,
    Purpose,
    armed,
    disarm,
)
from fsm.table import Table, ignore, on, reason
from fsm.values import replace
from fsm.world import Turn

SECURED, OPENING, OPEN, CLOSING, SETTLING = (
    BayState.SECURED,
    BayState.OPENING,
    BayState.OPEN,
    BayState.CLOSING,
    BayState.SETTLING,
)
EVERY = tuple(BayState)


# ---------------------------------------------------------------- helpers
def spec_of(bay: Bay, turn: Turn) -> BaySpec:
    return turn.layout.bays[bay.id]


def raise_alarm(bay: Bay, alarm: Alarm, turn: Turn, why: str = "") -> Bay:
    """The bay with the alarm latched; one record however often it is raised."""
    if alarm in bay.alarms:
        return bay
    turn.record("bay.alarm_raised", bay.id, alarm=str(alarm), why=why or None)
    turn.urgent = True
    return replace(bay, alarms=bay.alarms | {alarm})


def clear_alarm(bay: Bay, alarm: Alarm, turn: Turn, who: str = "machine") -> Bay:
    if alarm not in bay.alarms:
        return bay
    turn.record("bay.alarm_cleared", bay.id, alarm=str(alarm), who=who)
    return replace(bay, alarms=bay.alarms - {alarm})


def tagged(bay: Bay, turn: Turn) -> str | None:
    """The directory's asset of the tag now in the bay's field."""
    tag = turn.sensed(bay.id).tag
    asset = turn.asset_by_tag(tag) if tag is not None else None
    return asset.id if asset is not None else None


def _customer(event: Authorise) -> bool:
    return event.purpose != Purpose.TECHNICIAN


# ---------------------------------------------------------------- guards of an authorisation
@reason("settling")
def recovered(bay: Bay, event: Authorise, turn: Turn) -> bool:
    return turn.sensed(bay.id).recovered or not _customer(event)


@reason("estop")
def no_estop(bay: Bay, event: Authorise, turn: Turn) -> bool:
    return not turn.stopped


@reason("out_of_service")
def bay_in_service(bay: Bay, event: Authorise, turn: Turn) -> bool:
    return bay.in_service or not _customer(event)


@reason("bay_faulted")
def not_quarantined(bay: Bay, event: Authorise, turn: Turn) -> bool:
    return bay.quarantined is None or not _customer(event)


@reason("bay_faulted")
def not_faulted(bay: Bay, event: Authorise, turn: Turn) -> bool:
    return not bay.alarms & FAULTS or not _customer(event)


@reason("bay_in_use")
def no_other_grant(bay: Bay, event: Authorise, turn: Turn) -> bool:
    grant = bay.grant
    return grant is None or (grant.lapsed and (grant.rental == event.rental or not _customer(event)))


@reason("door_not_closed")
def door_closed(bay: Bay, event: Authorise, turn: Turn) -> bool:
    door = turn.sensed(bay.id).door
    return door is False or (door is None and not _customer(event))


@reason("asset_not_here")
def asset_inside(bay: Bay, event: Authorise, turn: Turn) -> bool:
    """What is to be released is believed, and sensed, to be inside."""
    if event.purpose not in (Purpose.RELEASE, Purpose.REOPEN):
        return True
    sensed, spec = turn.sensed(bay.id), spec_of(bay, turn)
    if bay.asset != event.asset or (spec.presence and sensed.presence is not True):
        return False
    return not (spec.tag and sensed.tag is not None and tagged(bay, turn) != event.asset)


@reason("bay_not_empty")
def empty_inside(bay: Bay, event: Authorise, turn: Turn) -> bool:
    """A return opens an empty bay, never one with something inside."""
    if event.purpose != Purpose.RETURN:
        return True
    sensed, spec = turn.sensed(bay.id), spec_of(bay, turn)
    return bay.asset is None and not (spec.presence and sensed.presence is not False)


# ---------------------------------------------------------------- opening
def authorise(bay: Bay, event: Authorise, turn: Turn) -> Bay:
    if bay.grant is not None and bay.grant.rental is not None and bay.grant.rental != event.rental:
        turn.post("rental", bay.grant.rental, GrantEnded(bay.grant.id))
    n = bay.grant_n + 1
    grant = Grant(
        id=f"{bay.id}.{n}",
        purpose=Purpose(event.purpose),
        who=event.who,
        rental=event.rental,
        terminal=event.terminal,
        asset=event.asset,
    )
    if event.rental is not None:
        turn.post("rental", event.rental, Granted(grant.id))
    turn.record(
        "bay.unlock_authorised",
        bay.id,
        grant=grant.id,
        purpose=event.purpose,
        who=event.who,
        rental=event.rental,
        asset=event.asset,
        reason=event.reason or None,
    )
    turn.emit(effects.Unlock(bay.id, grant.id))
    bay = disarm(replace(bay, grant=grant, grant_n=n), "lapse")
    return turn.arm_in(bay, "open", turn.layout.timing.open_timeout_s)


def same_grant(bay: Bay, event: Sent, turn: Turn) -> bool:
    return bay.grant is not None and bay.grant.id == event.grant


def nothing_left(bay: Bay, event: Sent, turn: Turn) -> bool:
    return same_grant(bay, event, turn) and event.sent == "not_sent"


def was_sent(bay: Bay, event: Sent, turn: Turn) -> Bay:
    assert bay.grant is not None
    commanded = Commanded.SENT if event.sent == "sent" else Commanded.UNKNOWN
    turn.record("bay.unlock_sent", bay.id, grant=event.grant, sent=event.sent, detail=event.detail or None)
    return replace(bay, grant=replace(bay.grant, commanded=commanded))


def was_not_sent(bay: Bay, event: Sent, turn: Turn) -> Bay:
    grant = bay.grant
    assert grant is not None
    turn.record("bay.unlock_sent", bay.id, grant=grant.id, sent=event.sent, detail=event.detail or None)
    bay = raise_alarm(bay, Alarm.UNLOCK_FAILED, turn, event.detail)
    turn.urgent = True
    if grant.lapsed:  # the word came late; nothing can open late any more
        return end_lapsed(bay, turn)
    _say_not_opened(grant, NotOpened(grant.id, why="not_sent"), turn)
    return disarm(replace(bay, grant=None), "open")


def _say_not_opened(grant: Grant, word: NotOpened, turn: Turn) -> None:
    if grant.rental is not None:
        turn.post("rental", grant.rental, word)
    elif grant.terminal is not None:
        turn.post("visit", grant.terminal, Unserved("", word.why))


def opened(bay: Bay, event: DoorOpened, turn: Turn) -> Bay:
    """Under a living grant."""
    grant = bay.grant
    assert grant is not None
    turn.record("bay.opened", bay.id, grant=grant.id, rental=grant.rental)
    if grant.lapsed and grant.rental is not None:
        turn.post("rental", grant.rental, OpenedLate(grant.id))
    if not spec_of(bay, turn).presence or grant.lapsed:
        turn.urgent = True  # here the opening itself is the evidence
    bay = clear_alarm(clear_alarm(bay, Alarm.UNLOCK_FAILED, turn), Alarm.JAMMED, turn)
    bay = replace(bay, grant=replace(grant, opened=True, lapsed=False))
    return _watch_open(disarm(bay, "open", "lapse", "settle", "identify"), turn)


def _watch_open(bay: Bay, turn: Turn) -> Bay:
    timing = turn.layout.timing
    if armed(bay, "held") is not None or Alarm.HELD_OPEN in bay.alarms:
        return bay  # a door that swings does not start its time anew
    return turn.arm_in(turn.arm_in(bay, "warn", timing.warn_open_s), "held", timing.held_open_s)


def has_grant(bay: Bay, event: DoorOpened, turn: Turn) -> bool:
    return bay.grant is not None


def forced(bay: Bay, event: DoorOpened | AfterRestart, turn: Turn) -> Bay:
    """Nobody authorised this."""
    n = bay.grant_n + 1
    grant = Grant(id=f"{bay.id}.{n}", purpose=Purpose.FORCED, who="nobody", asset=bay.asset, opened=True)
    bay = raise_alarm(bay, Alarm.FORCED_OPEN, turn)
    turn.record("bay.opened", bay.id, grant=grant.id, forced=True)
    turn.urgent = True
    return _watch_open(replace(bay, grant=grant, grant_n=n), turn)


# ---------------------------------------------------------------- nothing opened in time
def door_silent(bay: Bay, event: OpenTimedOut, turn: Turn) -> bool:
    return turn.sensed(bay.id).door is None


def lost_sight(bay: Bay, event: OpenTimedOut, turn: Turn) -> Bay:
    """An unlock was sent and the door cannot be seen: uncertainty is a state."""
    inside = Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN)
    return conclude(bay, inside, turn, outage=False)


def not_opened(bay: Bay, event: OpenTimedOut, turn: Turn) -> Bay:
    grant = bay.grant
    assert grant is not None
    spec, bolt = spec_of(bay, turn), turn.sensed(bay.id).bolt
    why = "not_opened"
    if spec.bolt and bolt is True and not grant.unbolted:
        why = "jammed"
        bay = raise_alarm(bay, Alarm.JAMMED, turn, "the bolt did not move")
    turn.record("bay.not_opened", bay.id, grant=grant.id, why=why)
    return contents_compared(_lapse(bay, why, turn), turn)


def _lapse(bay: Bay, why: str, turn: Turn) -> Bay:
    """Nothing opened. Unless the bolt is sensed locked it may still do so, and then it belongs to this grant."""
    grant = bay.grant
    assert grant is not None
    over = spec_of(bay, turn).bolt and turn.sensed(bay.id).bolt is True
    _say_not_opened(grant, NotOpened(grant.id, why=why, lapsed=not over), turn)
    turn.urgent = True
    if over:
        return replace(bay, grant=None)
    bay = replace(bay, grant=replace(grant, lapsed=True))
    return turn.arm_in(bay, "lapse", turn.layout.timing.lapse_s)


def opened_unseen(bay: Bay, event: OpenTimedOut, turn: Turn) -> bool:
    """The door was never sensed open, yet the contents changed as the grant meant it: the sensors decide."""
    if turn.sensed(bay.id).door is not False or not spec_of(bay, turn).presence:
        return False
    return _verdict(bay, turn).word in (Word.TAKEN, Word.CAME_BACK)


def conclude_unseen(bay: Bay, event: OpenTimedOut, turn: Turn) -> Bay:
    return conclude(bay, _verdict(bay, turn), turn, outage=False)


def bolt_moved(bay: Bay, event: BoltMoved, turn: Turn) -> Bay:
    grant = bay.grant
    if grant is None:
        return clear_alarm(bay, Alarm.JAMMED, turn) if event.locked and not armed(bay, "lapse") else bay
    if event.locked is False and not grant.unbolted:
        return replace(bay, grant=replace(grant, unbolted=True))
    if event.locked and grant.lapsed:
        return end_lapsed(bay, turn)
    return bay


def end_lapsed(bay: Bay, turn: Turn) -> Bay:
    """The lapsed grant is over; what waited for it may go on."""
    grant = bay.grant
    assert grant is not None
    if grant.rental is not None:
        turn.post("rental", grant.rental, GrantEnded(grant.id))
    turn.record("bay.grant_ended", bay.id, grant=grant.id)
    return disarm(replace(bay, grant=None), "lapse")


def lapse_over(bay: Bay, event: LapseOver, turn: Turn) -> Bay:
    if bay.grant is None or not bay.grant.lapsed:
        return bay
    if spec_of(bay, turn).bolt and turn.sensed(bay.id).bolt is False:
        return raise_alarm(bay, Alarm.JAMMED, turn, "the bolt does not lock")
    if turn.sensed(bay.id).door is None:  # it may be open: the grant lives until somebody can see
        return turn.arm_in(bay, "lapse", turn.layout.timing.lapse_s)
    return end_lapsed(bay, turn)


# ---------------------------------------------------------------- open too long
def warn_open(bay: Bay, event: WarnOpen, turn: Turn) -> Bay:
    turn.record("bay.open_warning", bay.id)
    return bay


def gone_while_open(bay: Bay, event: HeldOpen | PresenceChanged, turn: Turn) -> bool:
    """Past its deadline an open door settles `taken`, and nothing else."""
    grant = bay.grant
    late = isinstance(event, HeldOpen) or Alarm.HELD_OPEN in bay.alarms
    return (
        late
        and grant is not None
        and not grant.settled
        and grant.purpose in (Purpose.RELEASE, Purpose.REOPEN)
        and turn.sensed(bay.id).presence is False
    )


def held_taken(bay: Bay, event: HeldOpen | PresenceChanged, turn: Turn) -> Bay:
    grant = bay.grant
    assert grant is not None and grant.rental is not None
    bay = raise_alarm(bay, Alarm.HELD_OPEN, turn)
    turn.post("rental", grant.rental, Taken(grant.id))
    turn.urgent = True
    return replace(bay, asset=None, occupancy=Occupancy.EMPTY, grant=replace(grant, settled=True, asset=None))


def held_open(bay: Bay, event: HeldOpen, turn: Turn) -> Bay:
    return raise_alarm(bay, Alarm.HELD_OPEN, turn)


# ---------------------------------------------------------------- closing and settling
@reason("not_a_gate")
def is_gate(bay: Bay, event: CloseGate, turn: Turn) -> bool:
    return spec_of(bay, turn).gate


@reason("estop")
def gate_may_move(bay: Bay, event: CloseGate, turn: Turn) -> bool:
    return not turn.stopped


def ask_close(bay: Bay, event: CloseGate, turn: Turn) -> Bay:
    turn.record("bay.close_requested", bay.id)
    turn.emit(effects.CloseGate(bay.id))
    return bay


def closed(bay: Bay, event: DoorClosed, turn: Turn) -> Bay:
    turn.record("bay.closed", bay.id)
    return turn.arm_in(disarm(bay, "warn", "held"), "settle", turn.layout.timing.settle_s)


def patience(bay: Bay, event: Settled, turn: Turn) -> bool:
    """A sensor may still tell: wait once more before calling it an incident."""
    if event.final:
        return False
    verdict = _verdict(bay, turn)
    return verdict.wait_tag or verdict.word is Word.UNSURE


def wait_longer(bay: Bay, event: Settled, turn: Turn) -> Bay:
    return turn.arm_in(bay, "identify", turn.layout.timing.identify_s) if armed(bay, "identify") is None else bay


def settle(bay: Bay, event: Settled, turn: Turn) -> Bay:
    return conclude(disarm(bay, "identify", "settle"), _verdict(bay, turn), turn, outage=False)


def tag_tells(bay: Bay, event: TagSeen | PresenceChanged, turn: Turn) -> Bay:
    """While patience lasts, what a sensor says is judged at once."""
    if armed(bay, "identify") is not None:
        turn.post("bay", bay.id, Settled())
    return bay


def _verdict(bay: Bay, turn: Turn) -> Verdict:
    grant = bay.grant
    assert grant is not None
    if grant.settled:  # custody has changed already; what is inside now is nobody's doing
        grant = replace(grant, purpose=Purpose.TECHNICIAN)
    return judge(grant, bay, spec_of(bay, turn), turn.sensed(bay.id), tagged(bay, turn))


# ---------------------------------------------------------------- custody
def conclude(bay: Bay, verdict: Verdict, turn: Turn, *, outage: bool) -> Bay:
    """Custody changes here. The bay afterwards, without a grant; its rental is told."""
    grant = bay.grant
    assert grant is not None
    before = bay.asset
    bay = clear_alarm(bay, Alarm.HELD_OPEN, turn)
    bay = disarm(bay, "open", "warn", "held", "settle", "identify", "lapse")
    bay = replace(bay, state=SECURED, grant=None, asset=verdict.inside, occupancy=verdict.occupancy)
    if verdict.inside is not None and verdict.inside != before:
        _left_elsewhere(bay, verdict.inside, turn)
    if verdict.stranger:
        bay = replace(bay, quarantined="unidentified contents")
    turn.record(
        "bay.secured",
        bay.id,
        grant=grant.id,
        word=str(verdict.word),
        asset=bay.asset,
        occupancy=str(bay.occupancy),
        outage=outage or None,
    )
    turn.urgent = True
    if grant.rental is not None and not grant.settled:
        bay = _tell_rental(bay, grant, verdict, turn, outage)
    else:
        bay = _without_rental(bay, grant, verdict, before, turn)
    if verdict.stranger and verdict.word is not Word.UNSURE:
        turn.open_incident("unidentified_asset", bay=bay.id, rental=grant.rental)
    if verdict.found is not None:
        turn.record("asset.received", verdict.found, bay=bay.id, found=True)
    back = verdict.found or (verdict.inside if verdict.word is Word.CAME_BACK else None)
    if back is not None:
        for rental in turn.rentals_out_with(back):
            if rental.id != grant.rental or grant.settled or verdict.found is not None:
                turn.post("rental", rental.id, FoundBack(bay.id, back, outage=outage))
    return bay


def _tell_rental(bay: Bay, grant: Grant, verdict: Verdict, turn: Turn, outage: bool) -> Bay:
    rental = grant.rental
    assert rental is not None
    match verdict.word:
        case Word.TAKEN:
            turn.post("rental", rental, Taken(grant.id, outage=outage, unsensed=verdict.unsensed))
        case Word.NOT_TAKEN:
            turn.post("rental", rental, NotTaken(grant.id, outage=outage))
        case Word.CAME_BACK:
            turn.record("asset.received", verdict.inside or "", bay=bay.id, rental=rental)
            turn.post(
                "rental",
                rental,
                CameBack(grant.id, asset=verdict.inside, outage=outage, unsensed=verdict.unsensed),
            )
        case Word.LEFT_EMPTY:
            turn.post("rental", rental, LeftEmpty(grant.id, outage=outage))
        case _:
            kind = "unidentified_asset" if verdict.stranger else f"unsure_{grant.purpose}"
            ident = turn.open_incident(kind, bay=bay.id, asset=grant.asset, rental=rental)
            turn.post("rental", rental, Unsure(grant.id, incident=ident))
            bay = replace(bay, quarantined=bay.quarantined or "contents are uncertain")
    return bay


def _without_rental(bay: Bay, grant: Grant, verdict: Verdict, before: str | None, turn: Turn) -> Bay:
    match verdict.word:
        case Word.GONE if grant.purpose is Purpose.TECHNICIAN:
            turn.record("asset.removed", before or "", bay=bay.id, who=grant.who)
        case Word.GONE:
            turn.open_incident("asset_missing", bay=bay.id, asset=before)
        case Word.CAME_BACK:
            turn.record("asset.received", verdict.inside or "", bay=bay.id)
            if grant.terminal is not None:
                turn.post("visit", grant.terminal, Served("", "returned", bay.id))
        case Word.LEFT_EMPTY if grant.terminal is not None:
            turn.post("visit", grant.terminal, Unserved("", "left_empty"))
        case Word.UNSURE:
            turn.open_incident(f"unsure_{grant.purpose}", bay=bay.id, asset=before)
            if grant.terminal is not None:
                turn.post("visit", grant.terminal, Unserved("", "incident"))
            bay = replace(bay, quarantined="contents are uncertain")
        case _:
            pass
    return bay


def _left_elsewhere(bay: Bay, asset: str, turn: Turn) -> None:
    """An asset is in one place: forget the belief that it is in another bay."""
    other = turn.bay_holding(asset)
    if other is None or other.id == bay.id:
        return
    turn.record("bay.contents_corrected", other.id, asset=asset, now_in=bay.id)
    spec, presence = spec_of(other, turn), turn.sensed(other.id).presence
    if spec.presence and presence is None:
        other = replace(other, occupancy=Occupancy.UNKNOWN)
    elif presence:  # something is there, and it is not what we thought
        other = replace(other, quarantined=other.quarantined or "unidentified contents")
    else:
        other = replace(other, occupancy=Occupancy.EMPTY)
    turn.put(replace(other, asset=None))


# ---------------------------------------------------------------- secured: contents
def contents_sensed(bay: Bay, event: PresenceChanged | TagSeen | DoorClosed, turn: Turn) -> Bay:
    return contents_compared(bay, turn)


def contents_compared(bay: Bay, turn: Turn) -> Bay:
    """Behind a closed door contents do not change; where a sensor says so, sensors contradict each other."""
    sensed, spec = turn.sensed(bay.id), spec_of(bay, turn)
    if not sensed.recovered or not spec.presence:
        return bay
    if sensed.presence is None:
        return replace(bay, occupancy=Occupancy.UNKNOWN)
    unread = not spec.tag or sensed.tag is None
    agrees = sensed.presence == (bay.asset is not None) and (unread or tagged(bay, turn) == bay.asset)
    if agrees or (bay.quarantined is not None and sensed.presence):
        occupancy = Occupancy.OCCUPIED if sensed.presence else Occupancy.EMPTY
        return clear_alarm(replace(bay, occupancy=occupancy), Alarm.SENSOR_CONTRADICTION, turn)
    bay = raise_alarm(bay, Alarm.SENSOR_CONTRADICTION, turn, "contents changed behind a closed door")
    return replace(bay, occupancy=Occupancy.UNKNOWN)


# ---------------------------------------------------------------- recovery
def door_seen_open(bay: Bay, event: AfterRestart, turn: Turn) -> bool:
    return turn.sensed(bay.id).door is True


def revived(bay: Bay, event: AfterRestart, turn: Turn) -> bool:
    return door_seen_open(bay, event, turn) and bay.grant is not None


def keep_open(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    """The grant lives on, its time starts anew (the old deadlines were of another boot, or may have passed)."""
    grant = bay.grant
    assert grant is not None
    if grant.lapsed and grant.rental is not None:
        turn.post("rental", grant.rental, OpenedLate(grant.id))
    if not grant.opened:
        turn.record("bay.opened", bay.id, grant=grant.id, rental=grant.rental, outage=True)
    bay = disarm(bay, "open", "warn", "held", "settle", "identify", "lapse")
    bay = replace(bay, grant=replace(grant, opened=True, lapsed=False))
    turn.urgent = True
    return _watch_open(bay, turn)


def restart_under_grant(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    """Closed, or unknown, with a grant that was under way."""
    grant, spec, sensed = bay.grant, spec_of(bay, turn), turn.sensed(bay.id)
    assert grant is not None
    if sensed.door is None:
        return conclude(bay, Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN), turn, outage=True)
    verdict = _verdict(bay, turn)
    if not grant.opened and verdict.word in NOTHING_MOVED and verdict.found is None and not verdict.stranger:
        if not spec.presence and grant.purpose in (Purpose.RELEASE, Purpose.REOPEN):
            # it may have been opened and closed while we were down, and nothing can tell
            return conclude(bay, Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN), turn, outage=True)
        turn.record("bay.not_opened", bay.id, grant=grant.id, why="outage")
        bay = disarm(bay, "open", "warn", "held", "settle", "identify", "lapse")
        return _lapse(replace(bay, state=SECURED, occupancy=verdict.occupancy), "outage", turn)
    return conclude(bay, verdict, turn, outage=True)


NOTHING_MOVED = (Word.NOT_TAKEN, Word.LEFT_EMPTY, Word.UNCHANGED)


def opened_while_down(bay: Bay, event: AfterRestart, turn: Turn) -> bool:
    """Closed again, and a lapsed grant's late opening is seen by what it left behind."""
    grant, sensed = bay.grant, turn.sensed(bay.id)
    if grant is None or sensed.door is not False:
        return False
    verdict = _verdict(bay, turn)
    if verdict.unsensed or sensed.presence is None:
        return False
    if verdict.stranger:
        merely_unread = verdict.wait_tag and bay.asset is not None
        known = bay.quarantined is not None and bay.asset is None
        return not merely_unread and not known
    return verdict.found is not None or verdict.word not in (*NOTHING_MOVED, Word.UNSURE)


def late_while_down(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    grant = bay.grant
    assert grant is not None
    if grant.rental is not None:
        turn.post("rental", grant.rental, OpenedLate(grant.id))
    return conclude(bay, _verdict(bay, turn), turn, outage=True)


def restart_secured(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    """Closed or unknown, and nothing was under way; a lapsed grant lives on until its bolt or its time ends it."""
    if bay.grant is not None:
        bolted = spec_of(bay, turn).bolt and turn.sensed(bay.id).bolt is True
        lapse_s = turn.layout.timing.lapse_s
        bay = end_lapsed(bay, turn) if bolted else turn.arm_in(bay, "lapse", lapse_s)
    return _restart_contents(bay, turn)


def _restart_contents(bay: Bay, turn: Turn) -> Bay:
    spec, sensed = spec_of(bay, turn), turn.sensed(bay.id)
    if not spec.presence and (tagged(bay, turn) in (None, bay.asset) or sensed.door is None):
        return replace(bay, occupancy=Occupancy.OCCUPIED if bay.asset is not None else Occupancy.EMPTY)
    if sensed.door is None or (spec.presence and sensed.presence is None):
        return replace(bay, occupancy=Occupancy.UNKNOWN)
    nobody = Grant(id=f"{bay.id}.{bay.grant_n + 1}", purpose=Purpose.FORCED, who="nobody", asset=bay.asset, opened=True)
    verdict = judge(nobody, bay, spec, sensed, tagged(bay, turn))
    unread = spec.tag and (not sensed.tag_known or sensed.tag is None)
    if verdict.word is Word.UNCHANGED and verdict.found is None and not verdict.stranger:
        return replace(bay, occupancy=verdict.occupancy)
    if unread and sensed.presence and bay.asset is not None:
        return replace(bay, occupancy=Occupancy.OCCUPIED)  # there, merely not read yet
    if bay.quarantined is not None and bay.asset is None and sensed.presence and verdict.found is None:
        return replace(bay, occupancy=Occupancy.OCCUPIED)  # known, a technician was asked already
    new = bay.grant_n == 0 and bay.asset is None and bay.occupancy is Occupancy.UNKNOWN  # nothing was believed yet
    if new and (verdict.stranger or verdict.word is Word.UNSURE):
        return replace(bay, occupancy=Occupancy.OCCUPIED, quarantined="unidentified contents")
    if bay.grant is not None:
        bay = end_lapsed(bay, turn)
    if not new and not (verdict.word is Word.GONE and not sensed.presence):
        bay = raise_alarm(bay, Alarm.FORCED_OPEN, turn, "contents are not as believed")
    return conclude(replace(bay, grant=nobody, grant_n=bay.grant_n + 1), verdict, turn, outage=True)


ROWS = (
    on(
        Authorise,
        (SECURED,),
        OPENING,
        (
            recovered,
            no_estop,
            bay_in_service,
            not_quarantined,
            not_faulted,
            no_other_grant,
            door_closed,
            asset_inside,
            empty_inside,
        ),
        authorise,
    ),
    # the executor's word
    on(Sent, (OPENING,), SECURED, (nothing_left,), was_not_sent),
    on(Sent, (SECURED,), None, (nothing_left,), was_not_sent),
    on(Sent, (OPENING, OPEN, SETTLING, CLOSING, SECURED), None, (same_grant,), was_sent),
    ignore(Sent, EVERY),
    # the door
    on(DoorOpened, (OPENING, SETTLING), OPEN, (), opened),
    on(DoorOpened, (SECURED,), OPEN, (has_grant,), opened),
    on(DoorOpened, (SECURED,), OPEN, (), forced),
    ignore(DoorOpened, (OPEN, CLOSING)),
    on(DoorClosed, (OPEN, CLOSING), SETTLING, (), closed),
    on(DoorClosed, (SECURED,), None, (), contents_sensed),  # it answers again
    ignore(DoorClosed, (OPENING, SETTLING)),
    on(CloseGate, (OPEN, CLOSING), CLOSING, (is_gate, gate_may_move), ask_close),
    # the bolt
    on(BoltMoved, EVERY, None, (), bolt_moved),
    # time
    on(OpenTimedOut, (OPENING,), SECURED, (door_silent,), lost_sight),
    on(OpenTimedOut, (OPENING,), SECURED, (opened_unseen,), conclude_unseen),
    on(OpenTimedOut, (OPENING,), SECURED, (), not_opened),
    ignore(OpenTimedOut, (SECURED, OPEN, CLOSING, SETTLING)),
    on(LapseOver, EVERY, None, (), lapse_over),
    on(WarnOpen, (OPEN, CLOSING), None, (), warn_open),
    ignore(WarnOpen, (SECURED, OPENING, SETTLING)),
    on(HeldOpen, (OPEN, CLOSING), None, (gone_while_open,), held_taken),
    on(HeldOpen, (OPEN, CLOSING), None, (), held_open),
    ignore(HeldOpen, (SECURED, OPENING, SETTLING)),
    on(Settled, (SETTLING,), None, (patience,), wait_longer),
    on(Settled, (SETTLING,), SECURED, (), settle),
    ignore(Settled, (SECURED, OPENING, OPEN, CLOSING)),
    # contents
    on(PresenceChanged, (SECURED,), None, (), contents_sensed),
    on(PresenceChanged, (OPEN, CLOSING), None, (gone_while_open,), held_taken),
    on(PresenceChanged, (SETTLING,), None, (), tag_tells),
    ignore(PresenceChanged, (OPENING, OPEN, CLOSING)),
    on(TagSeen, (SECURED,), None, (), contents_sensed),
    on(TagSeen, (SETTLING,), None, (), tag_tells),
    ignore(TagSeen, (OPENING, OPEN, CLOSING)),
    # recovery: the table of the design
    on(AfterRestart, EVERY, OPEN, (revived,), keep_open),
    on(AfterRestart, (SECURED,), OPEN, (door_seen_open,), forced),
    on(AfterRestart, (SECURED,), SECURED, (opened_while_down,), late_while_down),
    on(AfterRestart, (SECURED,), None, (), restart_secured),
    on(AfterRestart, (OPENING, OPEN, CLOSING, SETTLING), SECURED, (), restart_under_grant),
)

TABLE: Table[Bay, BayState] = Table("bay", BayState, SECURED, ROWS)
