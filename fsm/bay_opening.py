"""A bay's opening: what authorises it, the executor's word on it, the door that is sensed open."""

from __future__ import annotations

from fsm import effects
from fsm.across import AfterRestart, Authorise, DoorOpened, Granted, GrantEnded, NotOpened, OpenedLate, Sent, Unserved
from fsm.bay_custody import clear_alarm, end_lapsed, raise_alarm, spec_of, tagged
from fsm.model import FAULTS, Alarm, Bay, Commanded, Grant, Purpose, armed, disarm
from fsm.table import reason
from fsm.values import replace
from fsm.world import Turn


def _customer(event: Authorise) -> bool:
    return event.purpose != Purpose.TECHNICIAN


# ---------------------------------------------------------------- guards of an authorisation
@reason("settling")
def recovered(bay: Bay, event: Authorise, turn: Turn) -> bool:
    """For technicians, too: their opening would hide what happened while the daemon was down."""
    return turn.sensed(bay.id).recovered


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


@reason("bay_in_use")
def not_at_work(bay: Bay, event: Authorise, turn: Turn) -> bool:
    """It is opening, open or settling: whoever asks hears the same word as of a grant that has not ended."""
    return False


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
    say_not_opened(grant, NotOpened(grant.id, why="not_sent"), turn)
    return disarm(replace(bay, grant=None), "open")


def say_not_opened(grant: Grant, word: NotOpened, turn: Turn) -> None:
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
    return watch_open(disarm(bay, "open", "lapse", "settle", "identify"), turn)


def watch_open(bay: Bay, turn: Turn) -> Bay:
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
    return watch_open(replace(bay, grant=grant, grant_n=n), turn)
