"""One event, one turn: `step(world, event, now)` decides and changes nothing outside of what it returns.

Everything an event sets off is decided run-to-completion over a FIFO. A refusal anywhere refuses the whole step; at
a terminal it is then shown. A fact is never refused: there a refusal is a defect of ours and raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fsm import across, feed, rental, servable, visit, visit_end
from fsm import bay as bays
from fsm import events as e
from fsm.effects import Effect, EraseSecrets
from fsm.model import Alarm, Bay, BayState, Now, Purpose, Rental, RentalState, Sensed, Visit, VisitState, armed
from fsm.outcome import settle_instruction
from fsm.rental_booking import made_up
from fsm.rental_incident import bay_gone
from fsm.rental_waiting import rests, told_anew
from fsm.table import Defect, Refused, Table
from fsm.technician import face_by_hand, face_by_hand_done, resolve_incident, set_availability, set_contents
from fsm.values import replace
from fsm.visit_factors import called_off, looked_away
from fsm.world import Changes, Record, Turn, World

TABLES: dict[str, Table[Any, Any]] = {"rental": rental.TABLE, "bay": bays.TABLE, "visit": visit.TABLE}
SHOWN = e.PassPresented | e.BadgePresented | e.CredentialUnreadable | e.PinEntered | e.TagPresented
UNTOLD = frozenset({"in_progress", "wait"})  # a code held before a camera on and on is no news for a journal on flash
LIMIT = 400  # events of one cascade; past it something talks in a circle


@dataclass(frozen=True, slots=True)
class Step:
    """What one event makes of the world.

    `refused` is the reason a request was refused (the step may still carry what is to be shown and journalled);
    `ignored` says that nothing changed. `urgent`: durable before anything is said or done about it.
    """

    changes: Changes
    records: Sequence[Record] = ()
    effects: Sequence[Effect] = ()
    refused: str | None = None
    detail: str = ""
    urgent: bool = False
    durable: bool = False  # there is something to journal

    @property
    def ignored(self) -> bool:
        return self.refused is None and not self.changes and not self.records and not self.effects


def step(world: World, event: e.Event, now: Now) -> Step:
    """Decide one event from outside. Raises Defect where the domain contradicts itself."""
    turn = Turn(world, now)
    try:
        _enter(turn, event)
        _run(turn)
    except Refused as why:
        if isinstance(event, e.Fact):
            raise Defect(f"{type(event).__name__} was refused: {why.reason} {why.detail}") from why
        return _refused(Turn(world, now), event, why)
    if turn.proceed is not None:
        _proceed(turn, turn.proceed)
    _tell_anew(turn)
    for new in list(turn.changes.values()):
        if isinstance(new, Rental) and made_up(new):
            turn.drop("rental", new.id)
    if not isinstance(event, e.FaceChecked):
        _look_away(turn)
    return _result(turn)


def _look_away(turn: Turn) -> None:
    """However a visit ended, or went on without it: no camera goes on comparing for nobody."""
    for (kind, key), new in list(turn.changes.items()):
        old = turn.world.of["visit"].get(key) if kind == "visit" else None
        if isinstance(old, Visit) and isinstance(new, Visit) and looked_away(old, new):
            called_off(old, turn)


def _tell_anew(turn: Turn) -> None:
    """Instructions that waited for a bay's word, where it has come: each is carried out, or refused, for itself."""
    for known in [new for new in turn.changes.values() if isinstance(new, Rental) and new.waiting and rests(new)]:
        turn.put(replace(known, waiting=()))
        for one in known.waiting:
            mark = turn.mark()
            try:
                _decide(turn, "rental", known.id, told_anew(one))
                _run(turn)
            except Refused as why:
                turn.back_to(mark)
                settle_instruction(turn, one.id, "refused", why.reason)
            else:
                settle_instruction(turn, one.id, "accepted")
        turn.urgent = True


def _result(turn: Turn, refused: Refused | None = None) -> Step:
    return Step(
        turn.changes,
        turn.records,
        turn.effects,
        refused.reason if refused is not None else None,
        refused.detail if refused is not None else "",
        turn.urgent,
        turn.changed or bool(turn.records),
    )


def _refused(turn: Turn, event: e.Event, why: Refused) -> Step:
    """A person at a terminal is told; what was presented is journalled by its reason alone."""
    if isinstance(event, e.AtTerminal):
        _show_refusal(turn, event.terminal, why)
        if isinstance(event, e.Confirmed):
            _end_offer(turn, event.terminal, why)
        subject = event.rental if isinstance(event, e.PassPresented) else event.terminal
        if why.reason in UNTOLD:
            return _result(turn, why)
        if isinstance(event, SHOWN):
            turn.record("credential.refused", subject, terminal=event.terminal, reason=why.reason)
    return _result(turn, why)


def _show_refusal(turn: Turn, terminal: str, why: Refused) -> None:
    known = turn.get("visit", terminal)
    if isinstance(known, Visit):
        turn.put(visit_end.refuse(known, why.reason, turn, why.detail))


def _end_offer(turn: Turn, terminal: str, why: Refused) -> None:
    """What was offered cannot be had any more."""
    known = turn.get("visit", terminal)
    if isinstance(known, Visit) and known.state is VisitState.CHOOSING:
        turn.put(visit_end.farewell(known, why.reason, turn))


def _proceed(turn: Turn, terminal: str) -> None:
    """What a fact made possible may still be refused; then the fact stands, and the person is told."""
    mark = turn.mark()
    try:
        _decide(turn, "visit", terminal, across.Proceed(terminal))
        _run(turn)
    except Refused as why:
        turn.back_to(mark)
        here = turn.visit(terminal)
        if here.rental is not None:
            turn.post("rental", here.rental, across.Unclaim(why.reason))
        _run(turn)
        if turn.visit(terminal).state is VisitState.VERIFYING:  # there is nothing more to ask: it ends here
            turn.post("visit", terminal, across.Unserved(here.rental or "", why.reason))
            _run(turn)
        _show_refusal(turn, terminal, why)


def _run(turn: Turn) -> None:
    for _ in range(LIMIT):
        if not turn.queue:
            return
        _decide(turn, *turn.queue.popleft())
    raise Defect("a cascade without an end")


def _decide(turn: Turn, kind: str, key: str, event: e.Event) -> None:
    old = turn.get(kind, key)
    if old is None:
        if isinstance(event, e.Fact):
            return  # about something that has left the world
        raise Refused(f"unknown_{kind}", key)
    new = TABLES[kind].decide(old, event, turn)
    if isinstance(new, Visit) and new.state is VisitState.SERVING and armed(new, "visit") is None:
        new = visit_end.watch(new, None, turn)  # whatever led there
    if new is not old:
        turn.put(new)


# ---------------------------------------------------------------- from outside to the aggregates
def _enter(turn: Turn, event: e.Event) -> None:
    enter = _ENTRANCES.get(type(event))
    if enter is not None:
        enter(turn, event)
    elif isinstance(event, e.AtTerminal):
        _decide(turn, "visit", event.terminal, event)
    else:
        raise Defect(f"nobody hears {type(event).__name__}")


def _level(turn: Turn, event: e.LevelChanged) -> None:
    sensed = turn.sensed(event.bay)
    old = getattr(sensed, event.sense)
    if old is event.value:
        return
    turn.put(_with_level(sensed, event.sense, event.value), event.bay)
    if not sensed.recovered:
        return
    if event.sense == "door":
        if event.value is not None:
            turn.post("bay", event.bay, across.DoorOpened() if event.value else across.DoorClosed())
    elif event.sense == "bolt":
        turn.post("bay", event.bay, across.BoltMoved(event.value))
    else:
        turn.post("bay", event.bay, across.PresenceChanged(event.value))


def _with_level(sensed: Sensed, sense: str, value: bool | None) -> Sensed:
    if sense == "door":
        return replace(sensed, door=value)
    if sense == "bolt":
        return replace(sensed, bolt=value)
    return replace(sensed, presence=value)


def _tag(turn: Turn, event: e.TagChanged) -> None:
    sensed = turn.sensed(event.bay)
    if (sensed.tag, sensed.tag_known) == (event.tag, event.known):
        return
    turn.put(replace(sensed, tag=event.tag, tag_known=event.known), event.bay)
    if sensed.recovered and event.tag is not None:
        turn.post("bay", event.bay, across.TagSeen())


def _recover(turn: Turn, event: e.Recover) -> None:
    sensed = turn.sensed(event.bay)
    if sensed.recovered:
        return
    turn.put(replace(sensed, recovered=True), event.bay)
    turn.post("bay", event.bay, across.AfterRestart())


def _restarted(turn: Turn, event: e.Restarted) -> None:
    """What was under way at a terminal is over; deadlines of another boot are decided here, not awaited."""
    for key in turn.layout.terminals:
        old = turn.visit(key)
        turn.put(Visit(id=key, n=old.n + 1, timer_n=old.timer_n))
    for key in turn.layout.bays:  # levels stay: a world that was loaded has none, or such as were told since
        turn.put(replace(turn.sensed(key), recovered=False), key)
    for loaded in list(turn.world.of["rental"].values()):
        known = loaded
        if known.attempts >= turn.layout.timing.max_attempts and not known.locked_out:
            # the plug was pulled at the last try: it counts, and whoever lifts a lock-out must hear of this one
            known = replace(known, locked_out=True)
            turn.put(known)
            turn.record("rental.locked_out", known.id, attempts=known.attempts)
        if known.state is RentalState.CLAIMED:
            turn.post("rental", known.id, across.Unclaim("restart"))
        if known.grant is not None and known.bay in event.gone:
            bay_gone(turn, known)
        if any(d.name == "reopen" and d.boot != turn.now.boot for d in known.deadlines):
            turn.put(replace(known, deadlines=tuple(d for d in known.deadlines if d.name != "reopen")))
            turn.post("rental", known.id, across.ReopenLapsed())
        _run(turn)
    for rental_id, face, *_ in turn.machine.forgetting:
        turn.emit(EraseSecrets(rental_id, face))
    if event.epoch != turn.machine.epoch:
        copy = turn.machine.restored or turn.machine.epoch != ""
        turn.put(replace(turn.machine, epoch=event.epoch, restored=copy))
    turn.record("machine.started", turn.layout.machine, boot=turn.now.boot)
    turn.urgent = True  # a start that is soon ended by force was a start
    servable.look_over(turn)  # the site file may be another one


def _estop(turn: Turn, event: e.EstopChanged) -> None:
    """Power is cut without us; we observe it and latch it, until a technician clears it.

    A contact that does not answer stops the machine for as long, and is no latched alarm: the device is the fault.
    """
    turn.put(replace(turn.sensed(""), estop=event.pressed), "")
    if not event.pressed or turn.machine.estop:
        return
    turn.put(replace(turn.machine, estop=True))
    turn.record("machine.alarm_raised", turn.layout.machine, alarm=str(Alarm.ESTOP))
    turn.urgent = True


def _tamper(turn: Turn, event: e.TamperChanged) -> None:
    if event.open and not turn.machine.tamper:
        turn.put(replace(turn.machine, tamper=True))
        turn.record("machine.alarm_raised", turn.layout.machine, alarm=str(Alarm.TAMPER))
        turn.urgent = True


def _device(turn: Turn, event: e.DeviceChanged) -> None:
    turn.record("device.up" if event.up else "device.down", event.device, detail=event.detail or None)


def _restored(turn: Turn, event: e.JournalRestored) -> None:
    turn.put(replace(turn.machine, epoch=event.epoch, restored=True))
    turn.record("machine.journal_restored", turn.layout.machine, epoch=event.epoch, why=event.why)


def _clock_corrected(turn: Turn, event: e.ClockCorrected) -> None:
    """A record of its own: the floor of a start without trusted time is the newest one's."""
    turn.record("machine.clock_corrected", turn.layout.machine, back_s=round(event.back_s))
    turn.urgent = True


def _record_refused(turn: Turn, event: e.RecordRefused) -> None:
    turn.put(replace(turn.machine, record_refused=True))
    turn.record("machine.record_refused", turn.layout.machine, seq=event.seq, title=event.title)


def _outcome(turn: Turn, event: e.UnlockOutcome) -> None:
    _decide(turn, "bay", event.bay, across.Sent(event.grant, event.sent, event.detail))


def _close_outcome(turn: Turn, event: e.CloseOutcome) -> None:
    """A gate that was not asked stays open, as far as we know."""
    bay = turn.bay(event.bay)
    turn.record("bay.close_sent", event.bay, sent=event.sent, detail=event.detail or None)
    if event.sent == "not_sent" and bay.state is BayState.CLOSING:
        turn.put(replace(bay, state=BayState.OPEN))


def _at_visit(turn: Turn, event: e.PinChecked | e.FaceChecked | e.FaceHint) -> None:
    _decide(turn, "visit", event.terminal, event)


def _face_forgotten(turn: Turn, event: e.FaceForgotten) -> None:
    gone = (event.rental, event.face)
    left = tuple(one for one in turn.machine.forgetting if one[0] != gone[0] or gone[1] not in ("", one[1]))
    if len(left) < len(turn.machine.forgetting):
        turn.put(replace(turn.machine, forgetting=left))


_FIRED: dict[tuple[str, str], Callable[[], e.Fact]] = {
    ("rental", "window_open"): across.WindowOpened,
    ("rental", "window_close"): across.WindowClosed,
    ("rental", "claim"): lambda: across.Unclaim("timed_out"),
    ("rental", "due"): across.DueReached,
    ("rental", "reopen"): across.ReopenLapsed,
    ("rental", "erase"): across.EraseDue,
    ("bay", "open"): across.OpenTimedOut,
    ("bay", "warn"): across.WarnOpen,
    ("bay", "held"): across.HeldOpen,
    ("bay", "settle"): across.Settled,
    ("bay", "identify"): lambda: across.Settled(final=True),
    ("bay", "lapse"): across.LapseOver,
    ("visit", "visit"): across.VisitTimedOut,
    ("visit", "farewell"): across.FarewellOver,
}


def _deadline(turn: Turn, event: e.DeadlineReached) -> None:
    """An ordinary event with its id; a stale one is ignored."""
    agg = turn.get(event.kind, event.id)
    if not isinstance(agg, Rental | Bay | Visit):
        return
    due = next((d for d in agg.deadlines if d.name == event.name and d.n == event.n), None)
    if due is None or (due.clock == "utc" and not turn.now.trusted):
        return
    if due.clock == "mono" and due.boot != turn.now.boot:
        return  # after another boot recovery decides instead
    if isinstance(agg, Bay) and not turn.sensed(agg.id).recovered:
        return  # so it does until it has looked at this bay
    turn.put(replace(agg, deadlines=tuple(d for d in agg.deadlines if d is not due)))
    _decide(turn, event.kind, event.id, _FIRED[event.kind, event.name]())


def _unlock(turn: Turn, event: e.TechnicianUnlock) -> None:
    _decide(turn, "bay", event.bay, across.Authorise(Purpose.TECHNICIAN, event.who, reason=event.reason, asset=None))


def _clear_alarm(turn: Turn, event: e.ClearAlarm) -> None:
    if event.bay is None:
        machine = turn.machine
        if event.alarm == Alarm.ESTOP and machine.estop:
            if turn.sensed("").estop:
                raise Refused("still_pressed", "release the e-stop first")
            turn.put(replace(machine, estop=False))
        elif event.alarm == Alarm.TAMPER and machine.tamper:
            turn.put(replace(machine, tamper=False))
        elif event.alarm == Alarm.RECORD_REFUSED and machine.record_refused:
            turn.put(replace(machine, record_refused=False))
        else:
            raise Refused("no_such_alarm", f"the machine has no alarm {event.alarm!r}")
        data = {"alarm": event.alarm, "who": event.who, "reason": event.reason}
        turn.record("machine.alarm_cleared", turn.layout.machine, **data)
        turn.urgent = True
        return
    bay = turn.bay(event.bay)
    alarm = next((a for a in bay.alarms if a == event.alarm), None)
    if alarm is None:
        raise Refused("no_such_alarm", f"{event.bay} has no alarm {event.alarm!r}")
    turn.record("bay.alarm_cleared", bay.id, alarm=str(alarm), who=event.who, reason=event.reason)
    turn.put(replace(bay, alarms=bay.alarms - {alarm}))
    turn.urgent = True


def _reset_attempts(turn: Turn, event: e.ResetAttempts) -> None:
    _decide(turn, "rental", event.rental, across.Unlockout(event.who))
    turn.urgent = True


def _forget_rental(turn: Turn, event: e.ForgetRental) -> None:
    _decide(turn, "rental", event.rental, across.Forget(event.who, event.reason, event.force))


def _deliver(turn: Turn, event: e.Deliver) -> None:
    feed.deliver(turn, event, lambda: _run(turn))


def _acknowledged(turn: Turn, event: e.Acknowledged) -> None:
    for key in event.rentals:
        feed.retire(turn, key)


def _nothing(turn: Turn, event: e.Tick) -> None:
    """The mailbox turns."""


_ENTRANCES: dict[type[e.Event], Callable[[Turn, Any], None]] = {
    e.LevelChanged: _level,
    e.TagChanged: _tag,
    e.Recover: _recover,
    e.Restarted: _restarted,
    e.EstopChanged: _estop,
    e.TamperChanged: _tamper,
    e.DeviceChanged: _device,
    e.ClockCorrected: _clock_corrected,
    e.RecordRefused: _record_refused,
    e.JournalRestored: _restored,
    e.UnlockOutcome: _outcome,
    e.CloseOutcome: _close_outcome,
    e.PinChecked: _at_visit,
    e.FaceChecked: _at_visit,
    e.FaceHint: _at_visit,
    e.FaceForgotten: _face_forgotten,
    e.DeadlineReached: _deadline,
    e.TechnicianUnlock: _unlock,
    e.ClearAlarm: _clear_alarm,
    e.SetContents: set_contents,
    e.SetAvailability: set_availability,
    e.ResolveIncident: resolve_incident,
    e.ResetAttempts: _reset_attempts,
    e.ForgetRental: _forget_rental,
    e.FaceByHand: face_by_hand,
    e.FaceByHandDone: face_by_hand_done,
    e.Deliver: _deliver,
    e.Acknowledged: _acknowledged,
    e.Tick: _nothing,
}
