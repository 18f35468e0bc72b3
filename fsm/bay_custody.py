"""What a bay's contents and alarms become. Custody changes here and nowhere else; the bay's rental is told."""

from __future__ import annotations

from fsm.across import (
    CameBack,
    DoorClosed,
    FoundBack,
    GrantEnded,
    LeftEmpty,
    NotTaken,
    PresenceChanged,
    Served,
    TagSeen,
    Taken,
    Unserved,
    Unsure,
)
from fsm.custody import Verdict, Word, judge
from fsm.model import Alarm, Bay, BaySpec, BayState, Grant, Occupancy, Purpose, RentalState, disarm
from fsm.values import replace
from fsm.world import Turn

SECURED, OPENING, OPEN, CLOSING, SETTLING = (
    BayState.SECURED,
    BayState.OPENING,
    BayState.OPEN,
    BayState.CLOSING,
    BayState.SETTLING,
)


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


def misbehaves(bay: Bay, turn: Turn) -> bool:
    """The opening for a return cannot be brought to its end: the door is held open, or nobody can see it."""
    if bay.state not in (OPENING, OPEN, CLOSING):
        return False
    return Alarm.HELD_OPEN in bay.alarms or turn.sensed(bay.id).door is None


def detached(bay: Bay, turn: Turn) -> Bay:
    """The rental's return goes on elsewhere; what is inside when this bay closes is judged as nobody's."""
    grant = bay.grant
    assert grant is not None
    turn.record("bay.grant_detached", bay.id, grant=grant.id, rental=grant.rental)
    turn.urgent = True
    return replace(bay, grant=replace(grant, purpose=Purpose.FORCED, rental=None, terminal=None, asset=None))


def end_lapsed(bay: Bay, turn: Turn) -> Bay:
    """The lapsed grant is over; what waited for it may go on."""
    grant = bay.grant
    assert grant is not None
    if grant.rental is not None:
        turn.post("rental", grant.rental, GrantEnded(grant.id))
    turn.record("bay.grant_ended", bay.id, grant=grant.id)
    return disarm(replace(bay, grant=None), "lapse")


def verdict_of(bay: Bay, turn: Turn) -> Verdict:
    grant = bay.grant
    assert grant is not None
    if grant.settled:  # custody has changed already; what is inside now is nobody's doing
        grant = replace(grant, purpose=Purpose.TECHNICIAN)
    verdict = judge(grant, bay, spec_of(bay, turn), turn.sensed(bay.id), tagged(bay, turn))
    if _doubtful(verdict, grant, turn):
        return replace(verdict, word=Word.UNSURE, inside=None, occupancy=Occupancy.UNKNOWN)
    return verdict


def _doubtful(verdict: Verdict, grant: Grant, turn: Turn) -> bool:
    """Nothing sensed it, only a pass said so: not enough where this machine's books say otherwise."""
    rental = turn.rental(grant.rental) if grant.rental is not None else None
    if rental is None or verdict.word is not Word.CAME_BACK or not verdict.unsensed:
        return False
    if rental.assumed is not None or verdict.inside is None:
        return True
    out = (RentalState.ON_TRIP, RentalState.RETURNING)
    others = (one for one in turn.rentals_out_with(verdict.inside) if one.id != rental.id)
    return rental.source == "return" and any(one.state in out and one.source != "return" for one in others)


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
            back_already(bay, grant, turn, outage=outage)
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
        case Word.UNSURE if verdict.unsensed:  # no rental is bound by what may be a mere word, this one neither
            turn.open_incident(f"unsure_{grant.purpose}", bay=bay.id, asset=grant.asset, rental=rental)
            if grant.terminal is not None:
                turn.post("visit", grant.terminal, Unserved(rental, "incident"))
            turn.post("rental", rental, LeftEmpty(grant.id, outage=outage))
            bay = replace(bay, quarantined=bay.quarantined or "contents are uncertain")
        case _:
            kind = "unidentified_asset" if verdict.stranger else f"unsure_{grant.purpose}"
            ident = turn.open_incident(kind, bay=bay.id, asset=grant.asset, rental=rental)
            turn.post("rental", rental, Unsure(grant.id, incident=ident))
            bay = replace(bay, quarantined=bay.quarantined or "contents are uncertain")
    return bay


def back_already(bay: Bay, grant: Grant, turn: Turn, *, outage: bool = False) -> None:
    """What was taken here may be in another bay before this door has closed: said after `Taken`, never instead."""
    inside = turn.bay_holding(grant.asset) if grant.asset is not None else None
    if inside is not None and inside.id != bay.id and grant.rental is not None:
        turn.post("rental", grant.rental, FoundBack(inside.id, grant.asset or "", outage=outage))


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
    """An asset is in one place: forget the belief that it is in another bay.

    What else a bay holds that is not secured is judged when it closes, not while somebody stands before it.
    """
    other = turn.bay_holding(asset)
    if other is None or other.id == bay.id:
        return
    turn.record("bay.contents_corrected", other.id, asset=asset, now_in=bay.id)
    spec, presence = spec_of(other, turn), turn.sensed(other.id).presence
    if spec.presence and presence is None:
        other = replace(other, occupancy=Occupancy.UNKNOWN)
    elif other.state is not SECURED and spec.presence:
        pass
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
