"""Scenario files: how a machine is built, what lies in it at the start, and what people and faults do when.

seed = 7                              # optional; the command line wins
[bay]                                 # shape of every bay: door, bolt, fail, free_s …
door = "spring"
[[bays]]                              # of single bays; n = [1, 8] repeats
id = "bay-3"
door = "hand"
[[assets]]
n = [1, 8]
id = "car-{n}"
class = "car"
tag = "62E30800{n:02X}"
bay = "bay-{n}"
[devices.locks]                       # what a site file does not know: answer_ms, pulse_ms …
answer_ms = 10
[[timeline]]                          # seconds after the start; an act (`do`) or a `fault`, see control
at_s = 2.0
do = "pickup"
bay = "bay-1"
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hw_sim.model.bay import BOLT_KINDS, DOOR_KINDS, BayShape
from hw_sim.site import SiteError, expand

KNOWN = {"seed", "title", "bay", "bays", "assets", "devices", "timeline"}
DEVICE_KEYS = {
    "answer_ms", "pulse_ms", "push", "suffix", "repeat_ms", "fps", "key_gap_ms", "keys",
    "enrolled", "serial",  # of a face module: {person = number}
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """A parsed scenario; names of bays and devices are checked when the machine is built."""

    seed: int | None = None
    title: str = ""
    shape: dict[str, Any] = field(default_factory=dict)
    bays: dict[str, dict[str, Any]] = field(default_factory=dict)
    assets: list[dict[str, Any]] = field(default_factory=list)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    timeline: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def shape_of(self, bay: str, *, gate: bool) -> BayShape:
        """The shape of a bay. Raises SiteError."""
        given: dict[str, Any] = {"door": "gate"} if gate else {}
        given |= self.shape | self.bays.get(bay, {})
        if unknown := set(given) - {f.name for f in fields(BayShape)}:
            raise SiteError(f"bay {bay}: no key {', '.join(sorted(unknown))}")
        shape = BayShape(**given)
        for key, kinds in (("door", DOOR_KINDS), ("bolt", BOLT_KINDS), ("fail", ("secure", "safe"))):
            if getattr(shape, key) not in kinds:
                raise SiteError(f"bay {bay}: {key} is one of {', '.join(kinds)}")
        return shape


def read_scenario(path: Path) -> Scenario:
    """Raises SiteError with the file's name."""
    try:
        return parse_scenario(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as no:
        raise SiteError(f"{path}: {no.strerror}") from no
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, SiteError) as no:
        raise SiteError(f"{path}: {no}") from no


def parse_scenario(doc: dict[str, Any]) -> Scenario:
    if unknown := set(doc) - KNOWN:
        raise SiteError(f"no key {', '.join(sorted(unknown))}; there are: {', '.join(sorted(KNOWN))}")
    for name, options in doc.get("devices", {}).items():
        if unknown := set(options) - DEVICE_KEYS:
            known = ", ".join(sorted(DEVICE_KEYS))
            raise SiteError(f"devices.{name}: no key {', '.join(sorted(unknown))}; there are: {known}")
    bays = {}
    for table in expand(doc.get("bays", [])):
        if "id" not in table:
            raise SiteError("a table of bays has no id")
        bays[table["id"]] = {k: v for k, v in table.items() if k != "id"}
    assets = expand(doc.get("assets", []))
    for asset in assets:
        if "id" not in asset or "class" not in asset or set(asset) - {"id", "class", "tag", "size", "bay"}:
            raise SiteError(f"asset {asset}: has id, class and maybe tag, size, bay")
    timeline = []
    for entry in expand(doc.get("timeline", [])):
        if not isinstance(entry.get("at_s"), (int, float)) or ("do" in entry) == ("fault" in entry):
            raise SiteError(f"timeline {entry}: has at_s and either do or fault")
        timeline.append((float(entry["at_s"]), {k: v for k, v in entry.items() if k != "at_s"}))
    timeline.sort(key=lambda e: e[0])
    return Scenario(doc.get("seed"), doc.get("title", ""), doc.get("bay", {}), bays, assets,
                    doc.get("devices", {}), timeline)  # fmt: skip
