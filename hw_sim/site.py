"""Reads a site file for the simulator, on its own: which device stands at which wire of which bay.

It checks only what the simulator needs; whether the file is a good site file is the daemon's to say.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEMPLATE = re.compile(r"\{n(?::([^{}]*))?\}")


class SiteError(Exception):
    """The site file cannot be simulated; the message names the place and the reason."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a device, from 1."""

    device: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Channel:
        device, _, number = text.partition(":")
        if not device or (number and not number.isdigit()):
            raise SiteError(f"{text!r} is no device:channel")
        return cls(device, int(number or 1))


@dataclass(frozen=True, slots=True)
class BaySpec:
    id: str
    fits: tuple[str, ...]
    gate: bool
    wires: dict[str, Channel]  # lock, door, bolt, presence, tag


@dataclass(frozen=True, slots=True)
class TerminalSpec:
    id: str
    codes: tuple[str, ...]
    keypad: Channel | None
    return_key: Channel | None
    tag: Channel | None
    badge: Channel | None = None
    face: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device with its options as written."""

    name: str
    driver: str
    options: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str, default: Any) -> Any:
        return self.options.get(key, default)


@dataclass(frozen=True, slots=True)
class Site:
    machine: str
    devices: dict[str, DeviceSpec]
    bays: dict[str, BaySpec]
    terminals: dict[str, TerminalSpec]
    estop: Channel | None
    gpio_factory: str | None

    def bay_at(self, channel: Channel, *roles: str) -> str | None:
        """The bay that names this channel for one of these roles (of lock, door, bolt, presence, tag)."""
        return next((b.id for b in self.bays.values() if any(b.wires.get(r) == channel for r in roles)), None)


def expand(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Repeat each table with `n = [a, b]` for n = a..b, `{n}` and `{n:02}` replaced in its strings."""
    out: list[dict[str, Any]] = []
    for table in tables:
        span = table.get("n")
        if span is None:
            out.append(table)
            continue
        if not (isinstance(span, list) and len(span) == 2 and all(isinstance(i, int) for i in span)):
            raise SiteError(f"n = {span!r}: should be [first, last]")
        for n in range(span[0], span[1] + 1):
            out.append({k: _fill(v, n) for k, v in table.items() if k != "n"})
    return out


def _fill(value: Any, n: int) -> Any:
    if isinstance(value, str):
        return TEMPLATE.sub(lambda m: format(n, m.group(1) or ""), value)
    if isinstance(value, list):
        return [_fill(v, n) for v in value]
    if isinstance(value, dict):
        return {k: _fill(v, n) for k, v in value.items()}
    return value


def read_site(path: Path) -> Site:
    """Raises SiteError with the file's name."""
    try:
        return parse_site(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as no:
        raise SiteError(f"{path}: {no.strerror}") from no
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, SiteError) as no:
        raise SiteError(f"{path}: {no}") from no


def parse_site(doc: dict[str, Any]) -> Site:
    devices = {}
    for name, table in doc.get("devices", {}).items():
        if not isinstance(table, dict) or not isinstance(table.get("driver"), str):
            raise SiteError(f"devices.{name}: has no driver")
        devices[name] = DeviceSpec(name, table["driver"], {k: v for k, v in table.items() if k != "driver"})
    bays: dict[str, BaySpec] = {}
    for table in expand(doc.get("bays", [])):
        bay = _bay(table)
        if bay.id in bays:
            raise SiteError(f"bay {bay.id} is there twice")
        bays[bay.id] = bay
    terminals = {t["id"]: _terminal(t) for t in expand(doc.get("terminals", []))}
    estop = doc.get("estop", {}).get("input")
    site = Site(str(doc.get("machine", "machine")), devices, bays, terminals,
                Channel.parse(estop) if estop else None, doc.get("gpio", {}).get("factory"))  # fmt: skip
    _check_references(site)
    return site


def _bay(table: dict[str, Any]) -> BaySpec:
    if not isinstance(table.get("id"), str):
        raise SiteError("a bay has no id")
    wires = {r: Channel.parse(table[r]) for r in ("lock", "door", "bolt", "presence", "tag") if table.get(r)}
    return BaySpec(table["id"], tuple(table.get("fits", ())), bool(table.get("gate", False)), wires)


def _terminal(table: dict[str, Any]) -> TerminalSpec:
    wires = {role: Channel.parse(table[role]) for role in ("keypad", "return_key", "tag", "badge") if table.get(role)}
    return TerminalSpec(
        table["id"], tuple(table.get("codes", ())), wires.get("keypad"), wires.get("return_key"), wires.get("tag"),
        wires.get("badge"), table.get("face"),
    )  # fmt: skip


def _check_references(site: Site) -> None:
    wanted: list[tuple[str, str]] = []
    for b in site.bays.values():
        wanted.extend((f"bay {b.id}, {role}", channel.device) for role, channel in b.wires.items())
    for t in site.terminals.values():
        wanted.extend((f"terminal {t.id}", d) for d in (*t.codes, t.face) if d)
        wanted.extend((f"terminal {t.id}", c.device) for c in (t.keypad, t.return_key, t.tag, t.badge) if c)
    if site.estop:
        wanted.append(("estop", site.estop.device))
    for where, device in wanted:
        if device not in site.devices:
            raise SiteError(f"{where}: no device {device!r}; there are: {', '.join(site.devices) or 'none'}")
