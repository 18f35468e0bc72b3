"""Named faults: what can break, each in one line. A fault is switched on and off; unknown names are refused."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hw_sim.fields import BadRequest, Fields
from hw_sim.machine import Machine
from hw_sim.model.bay import Bay
from hw_sim.model.sensors import truth
from hw_sim.model.world import Unknown
from hw_sim.site import Channel
from hw_sim.wires.badges import Powered, Silent
from hw_sim.wires.fm22x import FaceModule
from hw_sim.wires.osdp import Reader

WAYS = ("both", "in", "out")
Apply = Callable[[Machine, str, bool, Fields], "Awaitable[None] | None"]


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: bay, device or machine. `takes`: parameters with their defaults."""

    name: str
    at: str
    does: str
    takes: str
    apply: Apply


# ---------------------------------------------------------------- at a bay
def _bay(change: Callable[[Bay, bool, Fields], None]) -> Apply:
    def apply(machine: Machine, where: str, on: bool, given: Fields) -> None:
        change(machine.world.bay(where), on, given)

    return apply


def _bolt_stuck(bay: Bay, on: bool, given: Fields) -> None:
    bay.faults.bolt_stuck = on


def _bolt_sticky(bay: Bay, on: bool, given: Fields) -> None:
    seconds = given.number("seconds", 3.0)
    bay.faults.bolt_sticky_s = seconds if on else None


def _bolt_wont_lock(bay: Bay, on: bool, given: Fields) -> None:
    bay.faults.bolt_wont_lock = on


def _door_left_open(bay: Bay, on: bool, given: Fields) -> None:
    bay.faults.door_left_open = on
    bay.touched(time.monotonic())


def _door_jammed(bay: Bay, on: bool, given: Fields) -> None:
    bay.faults.door_jammed = on


def _door_bounce(bay: Bay, on: bool, given: Fields) -> None:
    ms, edges = given.number("ms", 20.0), given.whole("edges", 6, least=2)
    bay.faults.bounce_ms, bay.faults.bounce_edges = (ms if on else None), edges


def _presence_stuck(bay: Bay, on: bool, given: Fields) -> None:
    value = given.flag_or_none("value")
    bay.faults.presence_stuck = (value if value is not None else bool(bay.items)) if on else None


def _tag_unreadable(bay: Bay, on: bool, given: Fields) -> None:
    bay.faults.tag_unreadable = on


def _feedback_lost(machine: Machine, where: str, on: bool, given: Fields) -> None:
    if where in machine.boards:
        machine.boards[where].answers = not on
        return
    if where in machine.site.devices and machine.site.devices[where].driver == "gpio-input":
        channel = given.whole("channel", 1)
        machine.gpio.cut(Channel(where, channel), on)
        return
    bay = machine.world.bay(where)
    sense = given.one_of("sense", ("door", "bolt", "presence"), "door")
    mode = given.one_of("mode", ("cut", "frozen"), "cut")
    if on:
        bay.faults.lost[sense] = truth(bay, sense) if mode == "frozen" else None
    else:
        bay.faults.lost.pop(sense, None)


# ---------------------------------------------------------------- at a device
def _byte_dropped(machine: Machine, where: str, on: bool, given: Fields) -> None:
    n, way = given.whole("n", 10), given.one_of("direction", WAYS, "both")
    for line in machine.lines_of(where):
        line.faults.drop_one_in, line.faults.drop_direction = (n if on else None), way


def _byte_corrupted(machine: Machine, where: str, on: bool, given: Fields) -> None:
    n, way = given.whole("n", 10), given.one_of("direction", WAYS, "both")
    for line in machine.lines_of(where):
        line.faults.corrupt_one_in, line.faults.corrupt_direction = (n if on else None), way


def _reply_late(machine: Machine, where: str, on: bool, given: Fields) -> None:
    ms = given.number("ms", 500.0)
    for line in machine.lines_of(where):
        line.faults.late_s = ms / 1000 if on else 0.0


def _reply_repeated(machine: Machine, where: str, on: bool, given: Fields) -> None:
    times = given.whole("times", 1)
    for line in machine.lines_of(where):
        line.faults.repeats = times if on else 0


def _echo(machine: Machine, where: str, on: bool, given: Fields) -> None:
    for line in machine.lines_of(where):
        line.faults.echo = on


def _link_unplugged(machine: Machine, where: str, on: bool, given: Fields) -> None:
    machine.plug(where, not on)


def _silent(machine: Machine, where: str, on: bool, given: Fields) -> None:
    readers: dict[str, Silent] = {**machine.scanners, **machine.powered, **machine.osdp}
    readers |= {channel.device: pad for channel, pad in machine.keypads.items() if channel.device not in readers}
    tags = [reader for channel, reader in machine.tags.items() if channel.device == where]
    if where not in readers and not tags:
        names = sorted({*readers, *(c.device for c in machine.tags)})
        raise Unknown(f"no reader {where!r}; there are: {', '.join(names) or 'none'}")
    if where in readers:
        readers[where].silent = on
    for tag in tags:
        tag.silent = on


def _face_demo(machine: Machine, where: str, on: bool, given: Fields) -> None:
    module, stuck = _module(machine, where), given.flag("stuck", False)
    module.demo, module.demo_stuck = on, on and stuck


def _face_state(machine: Machine, where: str, on: bool, given: Fields) -> None:
    value = given.one_of("state", ("error", "invalid"), "error")
    _module(machine, where).state = {"error": 2, "invalid": 3}[value] if on else 0


def _device_restarts(machine: Machine, where: str, on: bool, given: Fields) -> None:
    fed: dict[str, Powered] = {**machine.powered, **machine.osdp}
    if where not in fed:
        raise Unknown(f"no such device {where!r}; there are: {', '.join(fed) or 'none'}")
    if on:
        fed[where].restarted()


def _reader(machine: Machine, where: str, given: Fields) -> Reader:
    if where not in machine.osdp:
        raise Unknown(f"no OSDP reader {where!r}; there are: {', '.join(machine.osdp) or 'none'}")
    readers, channel = machine.osdp[where].readers, given.whole("channel", 1)
    if channel > len(readers):
        raise BadRequest(f"{where} has channels 1 to {len(readers)}")
    return readers[channel - 1]


def _reader_opened(machine: Machine, where: str, on: bool, given: Fields) -> None:
    _reader(machine, where, given).open_housing(on)


def _reader_reset(machine: Machine, where: str, on: bool, given: Fields) -> None:
    _reader(machine, where, given).reset(on)


def _module(machine: Machine, where: str) -> FaceModule:
    if where not in machine.faces:
        raise Unknown(f"no face module {where!r}; there are: {', '.join(machine.faces) or 'none'}")
    return machine.faces[where]


def _camera(which: str) -> Apply:
    def apply(machine: Machine, where: str, on: bool, given: Fields) -> None:
        if where not in machine.cameras:
            raise Unknown(f"no camera {where!r}; there are: {', '.join(machine.cameras) or 'none'}")
        setattr(machine.cameras[where], which, on)

    return apply


# ---------------------------------------------------------------- at the machine
async def _power_off(machine: Machine, where: str, on: bool, given: Fields) -> None:
    await machine.power(not on)


async def _gpio_away(machine: Machine, where: str, on: bool, given: Fields) -> None:
    await machine.gpio_gone(on)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("bolt_stuck", "bay", "current flows, the bolt does not move", "", _bay(_bolt_stuck)),
        Fault("bolt_sticky", "bay", "the bolt is released only `seconds` after the current", "seconds=3",
              _bay(_bolt_sticky)),
        Fault("bolt_wont_lock", "bay", "the bolt does not snap in when the door closes", "", _bay(_bolt_wont_lock)),
        Fault("door_left_open", "bay", "neither people nor the spring close the door", "", _bay(_door_left_open)),
        Fault("door_jammed", "bay", "the door does not open though its bolt is free", "", _bay(_door_jammed)),
        Fault("door_bounce", "bay", "the door's contact toggles `edges` times in `ms` after each motion",
              "ms=20, edges=6", _bay(_door_bounce)),
        Fault("presence_stuck", "bay", "the presence sensor says `value` whatever lies there", "value=as it is now",
              _bay(_presence_stuck)),
        Fault("tag_unreadable", "bay", "the reader inside sees no tag", "", _bay(_tag_unreadable)),
        Fault("feedback_lost", "bay or device",
              "a bay's sensor is cut off or frozen; a lock board obeys but says nothing; a gpio-input's wire is cut",
              "sense=door, mode=cut|frozen, channel=1", _feedback_lost),
        Fault("byte_dropped", "device", "one byte in `n` is lost", "n=10, direction=both|in|out", _byte_dropped),
        Fault("byte_corrupted", "device", "one byte in `n` is wrong", "n=10, direction=both|in|out",
              _byte_corrupted),
        Fault("reply_late", "device", "everything the device says comes `ms` later", "ms=500", _reply_late),
        Fault("reply_repeated", "device", "everything the device says comes `times` times more", "times=1",
              _reply_repeated),
        Fault("echo", "device", "the adapter hears itself: what is sent comes back before the answer", "", _echo),
        Fault("link_unplugged", "device", "the adapter is pulled: its pty closes and its path vanishes", "",
              _link_unplugged),
        Fault("scanner_silent", "device", "a scanner, keypad, reader or face module says nothing", "", _silent),
        Fault("face_demo", "device", "a face module is in demo mode: every face is the right one; `stuck`: for ever",
              "stuck=false", _face_demo),
        Fault("face_state", "device", "a face module says that it is out of order", "state=error|invalid",
              _face_state),
        Fault("reader_opened", "device", "the housing of an OSDP reader is open", "channel=1", _reader_opened),
        Fault("reader_reset", "device", "an OSDP reader has forgotten its key and waits for one; off: remembers it",
              "channel=1", _reader_reset),
        Fault("device_restarts", "device", "a badge reader or face module loses its power for a moment", "",
              _device_restarts),
        Fault("camera_dark", "device", "the camera sees nobody", "", _camera("dark")),
        Fault("camera_frozen", "device", "the camera's stream stays open without a frame", "", _camera("frozen")),
        Fault("power_off", "machine", "every device is dead, the physical world goes on", "", _power_off),
        Fault("gpio_away", "machine", "the GPIO server hangs up", "", _gpio_away),
    )
}  # fmt: skip


@dataclass(slots=True)
class Faults:
    """The faults of one machine and which of them are on."""

    machine: Machine
    active: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    async def switch(self, body: object) -> dict[str, Any]:
        """`{name, bay | device, on = true, ...}`. Raises BadRequest and Unknown, which list what exists."""
        given = Fields(body, "fault")
        name, on = given.text("name"), given.flag("on", True)
        fault = FAULTS.get(name)
        if fault is None:
            raise BadRequest(f"no fault {name!r}; there are: {', '.join(FAULTS)}")
        given.only(fault.takes, "bay", "device")
        bay, device = given.text_or_none("bay"), given.text_or_none("device")
        named = [w for kind, w in (("bay", bay), ("device", device)) if w is not None and kind in fault.at]
        if fault.at == "machine":
            named = [""]
        if len(named) != 1 or (fault.at == "machine" and (bay or device)):
            raise BadRequest(f"fault {name} is at a {fault.at}: name exactly that")
        done = fault.apply(self.machine, named[0], on, given)
        if done is not None:
            await done
        key = (name, named[0])
        if on:
            assert isinstance(body, dict)
            self.active[key] = {**body, "on": True}
        else:
            self.active.pop(key, None)
        self.machine.log.add(time.monotonic(), "fault", name=name, at=named[0] or None, on=on)
        self.machine.poke()
        return {"ok": True, "active": list(self.active.values())}

    def to_json(self) -> dict[str, Any]:
        known = [{"name": f.name, "at": f.at, "does": f.does, "takes": f.takes} for f in FAULTS.values()]
        return {"known": known, "active": list(self.active.values())}
