"""What people do at the machine, by name, as the control socket and scenario files ask for it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw_sim.camera import LOOKS, Camera
from hw_sim.fields import BadRequest, Fields
from hw_sim.machine import Machine
from hw_sim.model.bay import Impossible
from hw_sim.model.people import Person
from hw_sim.model.world import Asset, Unknown
from hw_sim.site import Channel, TerminalSpec
from hw_sim.wires.fm22x import LOOKS as FM22X_LOOKS
from hw_sim.wires.fm22x import looks_of
from hw_sim.wires.readers import rdm6300

Act = Callable[["Acts", Fields, float], "Awaitable[dict[str, Any]] | dict[str, Any]"]


# ---------------------------------------------------------------- doors and things
def _open_door(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.bay(given).open_door(now, force=given.flag("force", False))
    return {}


def _close_door(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.bay(given).close_door(now)
    return {}


def _take(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    return {"asset": acts.machine.world.take(acts.bay(given), now, given.text_or_none("asset"))}


def _put(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.machine.world.put(acts.bay(given), now, given.text("asset"))
    return {}


def _swap(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    bay, world, asset = acts.bay(given), acts.machine.world, given.text("asset")
    if world.asset(asset).bay is not None:
        raise Impossible(f"{asset} is in {world.asset(asset).bay}, nobody holds it")
    taken = world.take(bay, now)
    world.put(bay, now, asset)
    return {"asset": taken}


def _place(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.machine.world.place(acts.bay(given), now, given.text("asset"))
    return {}


def _vanish(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.machine.world.vanish(acts.bay(given), now, given.text("asset"))
    return {}


def _new_asset(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    size = given.one_of("size", ("full", "small"), "full")
    asset = Asset(given.text("asset"), given.text("class"), given.text_or_none("tag"),
                  "small" if size == "small" else "full")  # fmt: skip
    acts.machine.world.add_asset(asset)
    return {}


# ---------------------------------------------------------------- at a terminal
async def _show_code(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal = acts.terminal(given)
    via, seconds = given.text_or_none("via"), given.number("seconds", 3.0)
    look, ended, paced = given.one_of("look", LOOKS, "clean"), given.flag("ended", True), given.flag("paced", True)
    hexed = given.text_or_none("hex")
    text = given.text("text") if hexed is None else ""
    device = via if via is not None else next(iter(terminal.codes), None)
    if device is None or device not in terminal.codes:
        raise BadRequest(f"terminal {terminal.id} reads codes by: {', '.join(terminal.codes) or 'nothing'}")
    if not acts.machine.world.powered:
        raise Impossible("the machine has no power")
    try:
        data = bytes.fromhex(hexed) if hexed is not None else text.encode()
        if (scanner := acts.machine.scanners.get(device)) is not None:
            scanner.show(data, seconds, ended=ended, paced=paced)
        elif (camera := acts.machine.cameras.get(device)) is not None:
            await camera.show(text if hexed is None else data.decode("latin-1"), seconds, look)
        else:
            raise BadRequest(f"{device} of terminal {terminal.id} is not simulated")
    except ValueError as no:
        raise BadRequest(f"this code cannot be shown: {no}") from no
    return {"via": device}


def _hide_code(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    for device in acts.terminal(given).codes:
        if device in acts.machine.scanners:
            acts.machine.scanners[device].hide()
        elif device in acts.machine.cameras:
            acts.machine.cameras[device].hide()
    return {}


def _type(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal, keys = acts.terminal(given), given.text("keys")
    gap_s = given.number("gap_ms", 80.0) / 1000
    keypad = acts.machine.keypads.get(terminal.keypad) if terminal.keypad is not None else None
    if keypad is None:
        raise BadRequest(f"terminal {terminal.id} has no keypad")
    if not keys.isascii():
        raise BadRequest("keys are ASCII characters")
    keypad.type(keys, gap_s)
    return {}


def _press_return(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal, seconds = acts.terminal(given), given.number("seconds", 0.2)
    via = given.one_of("via", ("button", "keypad"), "button" if terminal.return_key else "keypad")
    if via == "keypad":
        keypad = acts.machine.keypads.get(terminal.keypad) if terminal.keypad is not None else None
        if keypad is None or terminal.keypad is None:
            raise BadRequest(f"terminal {terminal.id} has neither a return button nor a keypad")
        keypad.type(acts.machine.site.devices[terminal.keypad.device].get("return_key", "A"), 0.0)
        return {"via": via}
    key = terminal.return_key
    if key is None:
        raise BadRequest(f"terminal {terminal.id} has no return button")
    pressed = acts.machine.world.pressed
    pressed.add((key.device, key.number))
    acts.machine.log.add(now, "button_pressed", terminal=terminal.id)

    def release() -> None:
        pressed.discard((key.device, key.number))
        acts.machine.log.add(time.monotonic(), "button_released", terminal=terminal.id)
        acts.machine.poke()

    acts.later(seconds, release)
    return {"via": via}


def _hold_tag(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal, seconds = acts.terminal(given), given.number("seconds", 2.0)
    tag, asset = given.text_or_none("tag"), given.text_or_none("asset")
    if (tag is None) == (asset is None):
        raise BadRequest("hold_tag takes either a tag or an asset")
    if asset is not None:
        tag = acts.machine.world.asset(asset).tag
        if tag is None:
            raise Impossible(f"{asset} has no tag")
    channel = terminal.tag
    if channel is None or channel not in acts.machine.tags:
        raise BadRequest(f"terminal {terminal.id} has no tag reader")
    assert tag is not None
    try:
        rdm6300(tag)
    except ValueError as no:
        raise BadRequest(str(no)) from no
    acts.hold(channel, tag, seconds)
    return {"tag": tag}


def _hold_badge(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal, badge, seconds = acts.terminal(given), given.text("badge"), given.number("seconds", 1.0)
    reader = acts.machine.badges.get(terminal.badge) if terminal.badge is not None else None
    if reader is None:
        raise BadRequest(f"terminal {terminal.id} has no badge reader")
    try:
        reader.present(badge)
    except ValueError as no:
        raise BadRequest(str(no)) from no
    acts.replace(reader, seconds, lambda: reader.present(None))
    return {}


def _show_face(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    terminal, seconds = acts.terminal(given), given.number("seconds", 5.0)
    look = given.one_of("look", tuple(FM22X_LOOKS), "live")
    one, several = given.text_or_none("person"), given.texts("people", [])
    if (one is None) == (not several):
        raise BadRequest("show_face takes either a person or people, the nearest first")
    module = acts.machine.faces.get(terminal.face or "")
    if module is None:
        raise BadRequest(f"terminal {terminal.id} has no face module")
    module.see(looks_of(several or [str(one)], look))
    acts.replace(module, seconds, lambda: module.see(()))
    return {}


async def _show_picture(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    camera = acts.camera(given)
    live, seconds = given.flag("live", True), given.number("seconds", 10.0)
    encoded, paths = given.text_or_none("jpeg"), given.texts("paths", [])
    if (encoded is None) == (not paths):
        raise BadRequest("show_picture takes either a jpeg in base64 or paths of JPEG files")
    try:
        if encoded is not None:
            pictures = [base64.b64decode(encoded, validate=True)]
        else:
            pictures = await asyncio.to_thread(lambda: [Path(path).read_bytes() for path in paths])
        await camera.show_pictures(pictures, seconds, live)
    except (ValueError, OSError) as no:
        raise BadRequest(f"this picture cannot be shown: {no}") from no
    return {}


def _hide_picture(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.camera(given).hide()
    return {}


# ---------------------------------------------------------------- at the machine
def _estop(press: bool) -> Act:
    def act(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
        world = acts.machine.world
        (world.press_estop if press else world.release_estop)(now)
        return {}

    return act


def _tamper(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    acts.machine.world.tamper = given.flag("open", True)
    acts.machine.log.add(now, "tamper", open=acts.machine.world.tamper)
    return {}


# ---------------------------------------------------------------- people
def _person(errand: str) -> Act:
    async def act(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
        world = acts.machine.world
        one = given.text_or_none("bay")
        names = [one] if one is not None else given.texts("bays", list(world.bays))
        for name in names:
            world.bay(name)
        asset = given.text_or_none("asset")
        if asset is not None:
            world.asset(asset)
        steps: list[tuple[str, str | None]] = [("open", None)]
        if errand == "pickup" and given.flag("take", True):
            steps.append(("take", asset))
        if errand == "return" and given.flag("put", True):
            if asset is None:
                raise BadRequest("return: asset is missing (a string), or put = false")
            steps.append(("put", asset))
        leave = given.text_or_none("leave")
        if leave is not None:
            world.asset(leave)
            steps.append(("put", leave))
        if given.flag("close", True):
            steps.append(("close", None))
        pace_s, patience_s = given.number("pace_s", 0.2), given.number("patience_s", 60.0)
        wait_s = given.number("wait", 0.0)
        person = Person(f"{errand}-{next(acts.numbers)}", errand, tuple(names), steps, pace_s, now + patience_s)
        world.people[person.id] = person
        acts.machine.log.add(now, "person_came", person=person.id, errand=errand)
        acts.machine.poke()
        if wait_s:
            await acts.machine.wait_for(lambda: person.finished, wait_s)
        return {"person": person.to_json()}

    return act


def _leave(acts: Acts, given: Fields, now: float) -> dict[str, Any]:
    person = acts.machine.world.people.get(given.text("person"))
    if person is None:
        raise Unknown(f"no such person; there are: {', '.join(acts.machine.world.people) or 'none'}")
    if not person.finished:
        person.stage, person.due, person.reason = "gave_up", None, "sent away"
        acts.machine.log.add(now, "person_gave_up", person=person.id, reason=person.reason)
    return {"person": person.to_json()}


ACTS: dict[str, tuple[str, Act]] = {
    "open_door": ("bay, force=false", _open_door),
    "pull_door": ("bay, force=true|false (false)", _open_door),
    "close_door": ("bay", _close_door),
    "take": ("bay, asset? -> asset", _take),
    "put": ("bay, asset", _put),
    "swap": ("bay, asset (put instead of what lies there) -> asset", _swap),
    "place": ("bay, asset (without a door: to begin a story)", _place),
    "vanish": ("bay, asset (without a door)", _vanish),
    "new_asset": ("asset, class, tag?, size=full|small", _new_asset),
    "show_code": ("terminal, text | hex, via?, seconds=3, look=clean, ended=true, paced=true -> via", _show_code),
    "hide_code": ("terminal", _hide_code),
    "type": ("terminal, keys, gap_ms=80", _type),
    "press_return": ("terminal, via=button|keypad, seconds=0.2 -> via", _press_return),
    "hold_tag": ("terminal, tag | asset, seconds=2 -> tag", _hold_tag),
    "hold_badge": ("terminal, badge, seconds=1 (nfc:04112233; nfc:random, a phone; wiegand26:0123ABC0)", _hold_badge),
    "show_face": ("terminal, person | people, look=live, seconds=5", _show_face),
    "show_picture": ("device, jpeg | paths, seconds=10, live=true (else the same bytes again and again)",
                     _show_picture),
    "hide_picture": ("device", _hide_picture),
    "press_estop": ("", _estop(True)),
    "release_estop": ("", _estop(False)),
    "tamper": ("open=true", _tamper),
    "pickup": ("bay? | bays?, asset?, take=true, leave?, close=true, pace_s=0.2, patience_s=60, wait=0 -> person",
               _person("pickup")),
    "return": ("bay? | bays?, asset, put=true, leave?, close=true, pace_s=0.2, patience_s=60, wait=0 -> person",
               _person("return")),
    "go_away": ("person -> person", _leave),
}  # fmt: skip


@dataclass(slots=True)
class Acts:
    """Does acts at one machine."""

    machine: Machine
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)
    _holds: dict[Channel, asyncio.TimerHandle] = field(default_factory=dict)
    _shown: dict[int, asyncio.TimerHandle] = field(default_factory=dict)

    async def do(self, body: object) -> dict[str, Any]:
        """`{do, ...}`. Raises BadRequest, Unknown and Impossible."""
        given = Fields(body, "act")
        name = given.text("do")
        if name not in ACTS:
            raise BadRequest(f"no act {name!r}; there are: {', '.join(ACTS)}")
        given.only(ACTS[name][0])
        now = time.monotonic()
        self.machine.world.advance(now)
        try:
            done = ACTS[name][1](self, given, now)
            answer = done if isinstance(done, dict) else await done
        finally:
            self.machine.poke()
        return {"ok": True, "n": self.machine.log.last_n, **answer}

    # ------------------------------------------------------------ for the acts
    def bay(self, given: Fields) -> Any:
        return self.machine.world.bay(given.text("bay"))

    def terminal(self, given: Fields) -> TerminalSpec:
        terminals = self.machine.site.terminals
        name = given.text("terminal", next(iter(terminals), ""))
        if name not in terminals:
            raise Unknown(f"no terminal {name!r}; there are: {', '.join(terminals) or 'none'}")
        return terminals[name]

    def camera(self, given: Fields) -> Camera:
        name, cameras = given.text("device"), self.machine.cameras
        if name not in cameras:
            raise Unknown(f"no camera {name!r}; there are: {', '.join(cameras) or 'none'}")
        return cameras[name]

    def later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        timer: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
        return timer

    def hold(self, channel: Channel, tag: str, seconds: float) -> None:
        """Hold a tag before a reader; another one before the time is up takes its place."""
        if (old := self._holds.pop(channel, None)) is not None:
            old.cancel()
        self.machine.held[channel] = tag

        def let_go() -> None:
            self.machine.held.pop(channel, None)
            self._holds.pop(channel, None)
            self.machine.poke()

        self._holds[channel] = self.later(seconds, let_go)

    def replace(self, at: object, seconds: float, undo: Callable[[], None]) -> None:
        """Undo what is done at this device in a while; something else done at it before that takes its place."""
        if (old := self._shown.pop(id(at), None)) is not None:
            old.cancel()
            self._timers.discard(old)
        self._shown[id(at)] = self.later(seconds, undo)

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
