"""The whole machine as physics: bays, assets, buttons, power. Acts of people raise Impossible or Unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from hw_sim.model.bay import Bay, Impossible
from hw_sim.model.log import PhysicalLog
from hw_sim.model.people import Person
from hw_sim.model.sensors import next_bounce


class Unknown(Exception):
    """Something was named that does not exist; the message lists what does."""


@dataclass(slots=True)
class Asset:
    """A thing with or without a tag. Two `full` ones do not fit into one bay."""

    id: str
    cls: str
    tag: str | None = None
    size: Literal["full", "small"] = "full"
    bay: str | None = None  # None: outside, in somebody's hands

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "class": self.cls, "tag": self.tag, "size": self.size, "bay": self.bay}


@dataclass(slots=True)
class World:
    """Owns every physical thing. `powered` is the machine's supply, `estop` its mushroom button."""

    log: PhysicalLog = field(default_factory=PhysicalLog)
    bays: dict[str, Bay] = field(default_factory=dict)
    assets: dict[str, Asset] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    pressed: set[tuple[str, int]] = field(default_factory=set)  # (device, channel) of a button
    estop: bool = False
    tamper: bool = False
    powered: bool = True

    # ------------------------------------------------------------ look-up
    def bay(self, id: str) -> Bay:
        try:
            return self.bays[id]
        except KeyError:
            raise Unknown(f"no bay {id!r}; there are: {_list(self.bays)}") from None

    def asset(self, id: str) -> Asset:
        try:
            return self.assets[id]
        except KeyError:
            raise Unknown(f"no asset {id!r}; there are: {_list(self.assets)}") from None

    # ------------------------------------------------------------ drives
    def energise(self, bay: Bay, now: float, by: str) -> None:
        bay.advance(now)
        bay.energise(now, by, power=self.powered and not self.estop)

    # ------------------------------------------------------------ hands
    def take(self, bay: Bay, now: float, asset: str | None = None) -> str:
        """Take an item out of an open bay; without a name the first one."""
        bay.require_open()
        if not bay.items:
            raise Impossible(f"{bay.id} is empty")
        if asset is not None and asset not in bay.items:
            raise Impossible(f"{asset} is not in {bay.id}; inside: {_list(bay.items)}")
        taken = asset if asset is not None else bay.items[0]
        bay.items.remove(taken)
        self.assets[taken].bay = None
        bay.moved_at["presence"] = now
        self.log.add(now, "asset_taken", bay=bay.id, asset=taken)
        bay.touched(now)
        return taken

    def put(self, bay: Bay, now: float, asset: str) -> None:
        """Put an item that somebody holds into an open bay."""
        bay.require_open()
        self._put(bay, now, asset, "asset_put")
        bay.touched(now)

    def place(self, bay: Bay, now: float, asset: str) -> None:
        """Have an item in a bay without anybody opening a door: how a story begins."""
        self._put(bay, now, asset, "asset_placed")

    def _put(self, bay: Bay, now: float, id: str, what: str) -> None:
        asset = self.asset(id)
        if asset.bay is not None:
            raise Impossible(f"{id} is in {asset.bay}, nobody holds it")
        if asset.size == "full" and any(self.assets[i].size == "full" for i in bay.items):
            raise Impossible(f"{bay.id} is full; inside: {_list(bay.items)}")
        bay.items.append(id)
        asset.bay = bay.id
        bay.moved_at["presence"] = now
        self.log.add(now, what, bay=bay.id, asset=id)

    def vanish(self, bay: Bay, now: float, asset: str) -> None:
        """An item leaves without a door (a story's device: stolen through the back)."""
        if asset not in bay.items:
            raise Impossible(f"{asset} is not in {bay.id}; inside: {_list(bay.items)}")
        bay.items.remove(asset)
        self.assets[asset].bay = None
        self.log.add(now, "asset_vanished", bay=bay.id, asset=asset)

    def add_asset(self, asset: Asset) -> None:
        if asset.id in self.assets:
            raise Impossible(f"there is an asset {asset.id} already")
        self.assets[asset.id] = asset

    def tag_in(self, bay: Bay) -> str | None:
        """The tag that a reader inside this bay sees."""
        if bay.faults.tag_unreadable:
            return None
        return next((t for i in bay.items if (t := self.assets[i].tag) is not None), None)

    # ------------------------------------------------------------ the machine
    def press_estop(self, now: float) -> None:
        if not self.estop:
            self.estop = True
            self.log.add(now, "estop_pressed")
            for bay in self.bays.values():
                bay.de_energise(now)
                bay.halt(now)

    def release_estop(self, now: float) -> None:
        if self.estop:
            self.estop = False
            self.log.add(now, "estop_released")

    def power(self, on: bool, now: float) -> None:
        if on == self.powered:
            return
        self.powered = on
        self.log.add(now, "power_on" if on else "power_off")
        for bay in self.bays.values():
            if on:
                bay.regain_power(now)
            else:
                bay.lose_power(now)

    # ------------------------------------------------------------ time
    def next_change(self, now: float) -> float | None:
        """When something changes by itself; None: only when somebody acts."""
        due: list[float] = []
        for bay in self.bays.values():
            due.extend(t for t in (bay.next_change(), next_bounce(bay, now)) if t is not None)
        due.extend(p.due for p in self.people.values() if p.due is not None)
        return min(due, default=None)

    def advance(self, now: float) -> None:
        """Bring everything to `now`; people see what happened before they act."""
        for bay in self.bays.values():
            bay.advance(now)
        for person in self.people.values():
            person.step(self, now)

    def to_json(self) -> dict[str, Any]:
        return {
            "powered": self.powered, "estop": self.estop, "tamper": self.tamper,
            "pressed": sorted(f"{d}:{c}" for d, c in self.pressed),
            "bays": [b.to_json() for b in self.bays.values()],
            "assets": [a.to_json() for a in self.assets.values()],
            "people": [p.to_json() for p in self.people.values()],
        }  # fmt: skip


def _list(names: Iterable[str], most: int = 60) -> str:
    names = list(names)
    return (", ".join(names[:most]) + (" …" if len(names) > most else "")) or "none"
