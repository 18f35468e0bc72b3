"""A bay after a restart: the design's table of recovery, row by row, on what the sensors say now."""

from __future__ import annotations

from fsm.across import AfterRestart, OpenedLate
from fsm.bay_closing import lapse
from fsm.bay_custody import conclude, end_lapsed, raise_alarm, spec_of, tagged, verdict_of
from fsm.bay_opening import watch_open
from fsm.custody import Verdict, Word, judge
from fsm.model import Alarm, Bay, BayState, Grant, Occupancy, Purpose, disarm
from fsm.values import replace
from fsm.world import Turn

SECURED, OPENING, OPEN, CLOSING, SETTLING = (
    BayState.SECURED,
    BayState.OPENING,
    BayState.OPEN,
    BayState.CLOSING,
    BayState.SETTLING,
)


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
    return watch_open(bay, turn)


def restart_under_grant(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    """Closed, or unknown, with a grant that was under way."""
    grant, spec, sensed = bay.grant, spec_of(bay, turn), turn.sensed(bay.id)
    assert grant is not None
    if sensed.door is None:
        return conclude(bay, Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN), turn, outage=True)
    verdict = verdict_of(bay, turn)
    if not grant.opened and verdict.word in NOTHING_MOVED and verdict.found is None and not verdict.stranger:
        if not spec.presence and grant.purpose in (Purpose.RELEASE, Purpose.REOPEN):
            # it may have been opened and closed while we were down, and nothing can tell
            return conclude(bay, Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN), turn, outage=True)
        turn.record("bay.not_opened", bay.id, grant=grant.id, why="outage")
        bay = disarm(bay, "open", "warn", "held", "settle", "identify", "lapse")
        return lapse(replace(bay, state=SECURED, occupancy=verdict.occupancy), "outage", turn)
    return conclude(bay, verdict, turn, outage=True)


NOTHING_MOVED = (Word.NOT_TAKEN, Word.LEFT_EMPTY, Word.UNCHANGED)


def opened_while_down(bay: Bay, event: AfterRestart, turn: Turn) -> bool:
    """Closed again, and a lapsed grant's late opening is seen by what it left behind."""
    grant, sensed = bay.grant, turn.sensed(bay.id)
    if grant is None or sensed.door is not False:
        return False
    verdict = verdict_of(bay, turn)
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
    return conclude(bay, verdict_of(bay, turn), turn, outage=True)


def restart_secured(bay: Bay, event: AfterRestart, turn: Turn) -> Bay:
    """Closed or unknown, and nothing was under way; a lapsed grant lives on until its bolt or its time ends it."""
    releasing = bay.grant is not None and bay.grant.purpose in (Purpose.RELEASE, Purpose.REOPEN)
    if releasing and verdict_of(bay, turn).unsensed:  # it may have opened late and closed again while we were down
        return conclude(bay, Verdict(Word.UNSURE, bay.asset, Occupancy.UNKNOWN), turn, outage=True)
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
