"""What is seen from outside: the plant's physical log, the daemon's journal, the terminal's screen, the cloud's post.

Four witnesses that know nothing of each other. All times are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hw_sim.demo.stage import Stage
from hw_sim.demo.wire import Refused

PAGE = 500


class Lane(StrEnum):
    ASKED = "asked"
    COMMANDED = "commanded"
    SENSED = "sensed"
    JOURNALLED = "journalled"
    CLOUD = "cloud"


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that a witness saw. `where`: a bay, a device, or a record's subject."""

    lane: Lane
    at: float
    what: str
    where: str = ""
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """Something that a step waits to see. `where` and `data` narrow it, where they are given."""

    lane: Lane
    what: str
    where: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, seen: Seen) -> bool:
        return (
            seen.lane is self.lane
            and seen.what == self.what
            and self.where in (None, seen.where)
            and self.data.items() <= seen.data.items()
        )

    def __str__(self) -> str:
        more = "".join(f", {key} {value}" for key, value in self.data.items())
        return f"{self.lane}: {self.what}{f' of {self.where}' if self.where else ''}{more}"


@dataclass(frozen=True, slots=True)
class Post:
    """A record's way to the cloud: when it came first, and how often again."""

    at: float
    n: int
    again: int
    offline: bool


PHYSICAL: dict[str, tuple[Lane, str]] = {
    "unlock_frame": (Lane.COMMANDED, "{frame}"),
    "opened_all": (Lane.COMMANDED, "{frame}"),
    "pulse_on": (Lane.COMMANDED, "coil of {bay}"),
    "pulse_without_power": (Lane.COMMANDED, "no power"),
    "bolt_released": (Lane.SENSED, "{bay} bolt free"),
    "bolt_locked": (Lane.SENSED, "{bay} bolt locked"),
    "bolt_stuck": (Lane.SENSED, "{bay} bolt stuck"),
    "door_opened": (Lane.SENSED, "{bay} open"),
    "door_closed": (Lane.SENSED, "{bay} closed"),
    "door_forced": (Lane.SENSED, "{bay} FORCED"),
    "asset_taken": (Lane.SENSED, "{asset} gone"),
    "asset_put": (Lane.SENSED, "{asset} put in"),
    "asset_vanished": (Lane.SENSED, "{asset} vanished"),
    "code_shown": (Lane.SENSED, "code in view"),
    "scan_sent": (Lane.SENSED, "code of {length} B"),
    "keys_typed": (Lane.SENSED, "{count} keys"),
    "button_pressed": (Lane.SENSED, "return key"),
    "tag_in_field": (Lane.SENSED, "tag {tag}"),
    "estop_pressed": (Lane.SENSED, "e-stop pressed"),
    "estop_released": (Lane.SENSED, "e-stop released"),
    "link_unplugged": (Lane.SENSED, "{device} pulled"),
    "link_plugged": (Lane.SENSED, "{device} plugged"),
    "power_off": (Lane.SENSED, "power gone"),
    "power_on": (Lane.SENSED, "power back"),
}


class Witness:
    """Collects what all of them saw, in `seen`, and the cloud's post by seq, in `post`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._wall = time.time() - time.monotonic()
        self._plant_n = self._cloud_n = 0
        self.last_seq = 0
        self.seen: list[Seen] = []
        self.post: dict[int, Post] = {}
        self.gaps: list[Any] = []
        self.arrivals: list[int] = []  # seq by seq as they came first
        self.screens: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def look(self, *, screens: bool = True) -> None:
        """Ask everybody what is new. Raises Died and Unreachable."""
        self._stage.check()
        self._look_at_plant()
        self._look_at_cloud()
        self._look_at_journal()
        if screens:
            self._look_at_screens()

    def _look_at_plant(self) -> None:
        for one in self._stage.plant.get("/log", after=self._plant_n):
            self._plant_n = one["n"]
            lane, text = PHYSICAL.get(one["what"], (None, ""))
            if lane is None or (one["what"] == "tag_in_field" and not one["tag"]):
                continue
            where = str(one.get("bay", one.get("device", "")))
            shown = text.format_map({**one, "frame": str(one.get("frame", "")).upper()})
            shown = "1 key" if shown == "1 keys" else shown
            self.seen.append(Seen(lane, one["t_mono"], one["what"], where, shown, one))

    def _look_at_journal(self) -> None:
        while True:
            page = self._stage.daemon.get("/v1/journal", after=self.last_seq, limit=PAGE)
            for one in page["records"]:
                self.last_seq = one["seq"]
                text = f"{one['seq']:>3} {one['kind']} {one['subject']}"
                if one["kind"] == "credential.refused":
                    text += f": {one['data'].get('reason', '')}"
                self.seen.append(
                    Seen(Lane.JOURNALLED, one["mono"], one["kind"], one["subject"], text, one["data"], one["seq"])
                )
            if not page["records"] or page["next"] is None:
                return

    def _look_at_cloud(self) -> None:
        page = self._stage.cloud.get("/events", after=self._cloud_n)
        self._cloud_n, self.gaps = page["through"], page["gaps"]
        for one in page["events"]:
            event, at = one["event"], one["at"] - self._wall
            seq, before = event["seq"], self.post.get(event["seq"])
            if before is not None:
                self.post[seq] = Post(before.at, before.n, before.again + 1, before.offline)
                continue
            self.post[seq] = Post(at, one["n"], 0, event["offline"])
            self.arrivals.append(seq)
            self.seen.append(Seen(Lane.CLOUD, at, one["kind"], event.get("subject", ""), "", event["data"], seq))

    def _look_at_screens(self) -> None:
        for one in self._stage.daemon.get("/v1/terminals")["terminals"]:
            code, params = str(one["prompt"]["code"]), one["prompt"]["params"]
            if self.screens.get(one["id"]) == (code, params):
                continue
            first = one["id"] not in self.screens
            self.screens[one["id"]] = code, params
            if first or code == "idle":
                continue
            more = [str(params[k]) for k in ("bay", "because") if k in params]
            more += [f"{params['tries_left']} left"] if "tries_left" in params else []
            text = f"[{code}{': ' if more else ''}{', '.join(more)}]"
            self.seen.append(Seen(Lane.ASKED, time.monotonic(), "screen", code, text, params))

    # ------------------------------------------------ questions about all that was seen
    def count(self, sees: Callable[[Seen], bool]) -> int:
        return sum(map(sees, self.seen))

    def waiting(self) -> int:
        """Records that the cloud has not received."""
        return self.last_seq - len(self.post)

    def daemon_online(self) -> bool:
        try:
            return bool(self._stage.daemon.get("/v1/status")["cloud"].get("online"))
        except Refused:
            return False
