"""The site file's bays and terminals: repeated tables written out, every reference to a device followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from drivers.ports import Sense
from vendingd.site.devices import Devices
from vendingd.site.jsonic import as_json
from vendingd.site.lines import Path
from vendingd.site.model import BayTable, Repeated, TerminalTable
from vendingd.site.problems import Findings, near
from vendingd.site.resolved import BayWiring, Channel, TerminalWiring

T = TypeVar("T", bound=Repeated)

_ROLES = {
    "lock": "a lock",
    "gate": "a gate operator",
    "door": "a door sensor",
    "bolt": "a bolt sensor",
    "presence": "a presence sensor",
    "tag": "a tag reader",
    "code": "a reader of codes",
    "keypad": "a keypad",
    "badge": "a reader of badges",
    "face": "a device that compares faces",
    "button": "a button",
    "estop": "an e-stop",
    "tamper": "a housing contact",
}
_TEMPLATE = re.compile(r"\{n(?::(0[1-9]))?\}")


class Wires:
    """Follows references, and remembers who uses which channel for what."""

    def __init__(self, devices: Devices, found: Findings) -> None:
        self.used: set[str] = set()
        self.by_role: dict[tuple[str, Channel], tuple[str, str]] = {}  # to kind and id of the place
        self._devices = devices
        self._found = found
        self._owner: dict[tuple[Channel, bool], tuple[str, str]] = {}  # a reader's housing is apart from the reader

    def follow(self, text: str, role: str, owner: tuple[str, str], path: Path, n: int | None = None) -> Channel | None:
        """The channel of a reference, for one role of `owner` (its kind and id); None if something is wrong."""
        name, _, number = text.partition(":")
        channel = Channel(name, int(number or 1))
        if name not in self._devices:
            self._found.error(path, f'no device is called "{name}"', near(name, self._devices), n)
            return None
        self.used.add(name)
        device = self._devices[name]
        if device is None:
            return None
        if role not in device.roles:
            able = [other.name for other in self._devices.values() if other is not None and role in other.roles]
            reason = (
                f"devices.{name} ({device.driver.name}) cannot be {_ROLES[role]}, it offers {_listed(device.roles)}"
            )
            self._found.error(path, reason, f"devices that can: {_listed(able)}", n)
            return None
        if channel.number not in device.channels:
            reason = (
                f"devices.{name} has no such channel" if n is not None else f"devices.{name} has no channel {number}"
            )
            self._found.error(path, reason, _channels(device.channels), n)
            return None
        kind, other = self._owner.setdefault((channel, role == Sense.TAMPER), owner)
        if (kind, other) != owner:
            self._taken(channel, (kind, other), owner, path, n)
            return None
        self.by_role[role, channel] = owner
        return channel

    def feedback(self, lock: Channel | None, sense: str) -> Channel | None:
        """The lock's own channel, where its feedback senses that."""
        device = self._devices.get(lock.device) if lock is not None else None
        if lock is None or device is None or sense not in device.roles:
            return None
        return lock

    def can(self, device: str, role: str) -> bool:
        entry = self._devices.get(device)
        return entry is not None and role in entry.roles

    def option(self, device: str | None, key: str) -> object:
        """An option of a device; None where there is no such device or option."""
        entry = self._devices.get(device) if device is not None else None
        return getattr(entry.options, key, None) if entry is not None else None

    def _taken(
        self, channel: Channel, first: tuple[str, str], owner: tuple[str, str], path: Path, n: int | None
    ) -> None:
        if {first[0], owner[0]} == {"bay", "terminal"} and path[-1] == "tag":
            advice = "a tag reader is either inside a bay or at a terminal: use two"
        else:
            advice = "give each channel to one place"
        self._found.error(path, f"{channel} belongs to {' '.join(first).strip()} already", advice, n)


def _listed(words: object) -> str:
    return ", ".join(sorted(words)) or "nothing" if isinstance(words, frozenset | list) else str(words)


def _channels(channels: frozenset[int]) -> str:
    if channels == frozenset(range(1, len(channels) + 1)):
        return f"it has channels 1 to {len(channels)}" if len(channels) > 1 else "it has channel 1 only"
    return f"it has channels {', '.join(map(str, sorted(channels)))}"


# ---------------------------------------------------------------- tables, written out
def _tables(key: str, given: object, model: type[T], found: Findings) -> Iterator[tuple[Path, T, int | None]]:
    """Each readable table with its path, once for each n."""
    if given is None:
        if found.meant((key,)):
            return
        found.error((key,), "is missing", f"add a table [[{key}]] for each")
        return
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        found.error((key,), "should be an array of tables", f"write [[{key}]], with two brackets")
        return
    if not given:
        found.error((key,), "is empty", f"add a table [[{key}]] for each")
    for index, table in enumerate(given):
        path = (key, index)
        try:
            read = model.model_validate_json(as_json(table), strict=True)
        except ValidationError as error:
            found.invalid(error, path, model)
            continue
        for n in (None,) if read.n is None else range(read.n[0], read.n[1] + 1):
            yield path, read, n


def _fill(text: str, n: int | None) -> str:
    return text if n is None else _TEMPLATE.sub(lambda at: format(n, at[1] or ""), text)


def _new_id(text: str, path: Path, n: int | None, known: set[str], found: Findings) -> str | None:
    name = _fill(text, n)
    if name not in known:
        known.add(name)
        return name
    kind = str(path[0])[:-1]
    advice = f"give each {kind} its own" + (", with {n} in it" if n is not None and "{n" not in text else "")
    found.error((*path, "id"), f'a {kind} "{name}" is declared already', advice, n)
    return None


def read_bays(given: object, wires: Wires, found: Findings) -> dict[str, BayWiring]:
    """Every bay that is right."""
    bays: dict[str, BayWiring] = {}
    known: set[str] = set()
    for path, table, n in _tables("bays", given, BayTable, found):
        name = _new_id(table.id, path, n, known, found)
        if name is None:
            continue
        owner = ("bay", name)

        def wire(
            role: str, text: str | None, path: Path = path, n: int | None = n, owner: tuple[str, str] = owner
        ) -> Channel | None:
            return wires.follow(_fill(text, n), role, owner, (*path, role), n) if text is not None else None

        lock, bolt = wire("lock", table.lock), wire("bolt", table.bolt)
        presence, tag, door = wire("presence", table.presence), wire("tag", table.tag), wire("door", table.door)
        if lock is None:
            continue
        if table.gate:
            wires.follow(str(lock), "gate", owner, (*path, "lock"), n)
        elif wires.feedback(lock, "gate") is not None:
            found.warn((*path, "lock"), f"devices.{lock.device} opens gates", "add gate = true if this is one", n)
        if table.door is None:
            door = wires.feedback(lock, "door")
            if door is None:
                advice = (
                    'add door = "device:channel", or feedback = "door" at a lock board whose feedback senses the door'
                )
                found.error((*path, "door"), "nothing senses the door of this bay", advice, n)
        if table.bolt is None:
            bolt = wires.feedback(lock, "bolt")
        if door is None:
            continue
        for role, channel in (("door", door), ("bolt", bolt)):
            if channel is not None:
                wires.by_role[role, channel] = owner
        bays[name] = BayWiring(
            id=name,
            fits=frozenset(_fill(one, n) for one in table.fits),
            lock=lock,
            door=door,
            bolt=bolt,
            presence=presence,
            tag=tag,
            gate=table.gate,
        )
    return bays


def read_terminals(given: object, wires: Wires, found: Findings) -> dict[str, TerminalWiring]:
    """Every terminal that is right."""
    terminals: dict[str, TerminalWiring] = {}
    known: set[str] = set()
    for path, table, n in _tables("terminals", given, TerminalTable, found):
        name = _new_id(table.id, path, n, known, found)
        if name is None:
            continue
        owner = ("terminal", name)

        def wire(
            role: str,
            text: str | None,
            *key: str | int,
            path: Path = path,
            n: int | None = n,
            owner: tuple[str, str] = owner,
        ) -> Channel | None:
            return wires.follow(_fill(text, n), role, owner, (*path, *key), n) if text is not None else None

        codes = [wire("code", text, "codes", i) for i, text in enumerate(table.codes)]
        keypad, return_key = wire("keypad", table.keypad, "keypad"), wire("button", table.return_key, "return_key")
        tag, badge, face = wire("tag", table.tag, "tag"), wire("badge", table.badge, "badge"), None
        if table.face is not None:
            face = wire("face", table.face, "face")
        if not (table.codes or table.keypad or table.tag or table.badge or table.screen):
            advice = "add codes, keypad, badge or tag, or screen = true"
            found.error(path, "nobody could show anything at this terminal", advice, n)
        keys = keypad is not None and wires.option(keypad.device, "return_key")
        if table.tag is not None and not (table.screen or table.return_key or keys):
            advice = "add return_key, a keypad with one, or screen = true: a tag alone starts nothing"
            found.warn((*path, "tag"), "nobody can ask for a return at this terminal", advice, n)
        terminals[name] = TerminalWiring(
            id=name,
            codes=tuple(dict.fromkeys(code.device for code in codes if code is not None)),
            keypad=keypad,
            return_key=return_key,
            tag=tag,
            badge=badge,
            face=face.device if face is not None else None,
            live_face=face is not None and wires.can(face.device, "live-face"),
            screen=table.screen,
        )
    return terminals
