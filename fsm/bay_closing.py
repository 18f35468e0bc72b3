"""A bay that did not open, stays open, closes and settles."""

from __future__ import annotations

from fsm import effects
from fsm.across import (
    BoltMoved,
    CloseGate,
    DoorClosed,
    HeldOpen,
    LapseOver,
    NotOpened,
    OpenTimedOut,
    PresenceChanged,
    Settled,
    TagSeen,
    Taken,
    WarnOpen,
)
from fsm.bay_custody import (
    back_already,
    clear_alarm,
    conclude,
    contents_compared,
    end_lapsed,
    raise_alarm,
    spec_of,
    verdict_of,
)
from fsm.bay_opening import say_not_opened
from fsm.custody import Verdict, Word
from fsm.model import Alarm, Bay, Occupancy, Purpose, armed, disarm
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn


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
    return contents_compared(lapse(bay, why, turn), turn)


def lapse(bay: Bay, why: str, turn: Turn) -> Bay:
    """Nothing opened. Unless the bolt is sensed locked it may still do so, and then it belongs to this grant."""
    grant = bay.grant
    assert grant is not None
    over = spec_of(bay, turn).bolt and turn.sensed(bay.id).bolt is True
    say_not_opened(grant, NotOpened(grant.id, why=why, lapsed=not over), turn)
    turn.urgent = True
    if over:
        return replace(bay, grant=None)
    bay = replace(bay, grant=replace(grant, lapsed=True))
    return turn.arm_in(bay, "lapse", turn.layout.timing.lapse_s)


def opened_unseen(bay: Bay, event: OpenTimedOut, turn: Turn) -> bool:
    """The door was never sensed open, yet the contents changed as the grant meant it: the sensors decide."""
    if turn.sensed(bay.id).door is not False or not spec_of(bay, turn).presence:
        return False
    return verdict_of(bay, turn).word in (Word.TAKEN, Word.CAME_BACK)


def conclude_unseen(bay: Bay, event: OpenTimedOut, turn: Turn) -> Bay:
    return conclude(bay, verdict_of(bay, turn), turn, outage=False)


def bolt_moved(bay: Bay, event: BoltMoved, turn: Turn) -> Bay:
    grant = bay.grant
    if grant is None:
        return clear_alarm(bay, Alarm.JAMMED, turn) if event.locked and not armed(bay, "lapse") else bay
    if event.locked is False and not grant.unbolted:
        return replace(bay, grant=replace(grant, unbolted=True))
    if event.locked and grant.lapsed:
        return end_lapsed(bay, turn)
    return bay


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
    back_already(bay, grant, turn)
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
    verdict = verdict_of(bay, turn)
    return verdict.wait_tag or verdict.word is Word.UNSURE


def wait_longer(bay: Bay, event: Settled, turn: Turn) -> Bay:
    return turn.arm_in(bay, "identify", turn.layout.timing.identify_s) if armed(bay, "identify") is None else bay


def settle(bay: Bay, event: Settled, turn: Turn) -> Bay:
    return conclude(disarm(bay, "identify", "settle"), verdict_of(bay, turn), turn, outage=False)


def tag_tells(bay: Bay, event: TagSeen | PresenceChanged, turn: Turn) -> Bay:
    """While patience lasts, what a sensor says is judged at once."""
    if armed(bay, "identify") is not None:
        turn.post("bay", bay.id, Settled())
    return bay
