"""The world and one turn over it.

`World` holds the aggregates and the indexes that keep look-ups short; only `apply` changes it, and only its owner
calls that. A `Turn` is the scratch pad of one step: an overlay of what is new, the records, the effects, the FIFO.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, cast

from fsm.effects import Effect
from fsm.events import Event
from fsm.indexes import Indexes, faces_of, may_take, stirs
from fsm.model import (
    FINAL,
    PENDING,
    Aggregate,
    Asset,
    Bay,
    Done,
    Incident,
    Layout,
    Machine,
    Now,
    PassKey,
    Rental,
    RentalState,
    Sensed,
    Spent,
    T,
    Visit,
    arm,
)
from fsm.table import Refused
from fsm.values import replace

VOLATILE = frozenset({"visit", "sensed"})  # never journalled

KIND_OF: Mapping[type[Aggregate], str] = {
    Rental: "rental",
    Bay: "bay",
    Visit: "visit",
    Incident: "incident",
    Asset: "asset",
    Machine: "machine",
    Spent: "spent",
    Done: "done",
    PassKey: "key",
    Sensed: "sensed",
}
TYPE_OF: Mapping[str, type[Aggregate]] = {kind: cls for cls, kind in KIND_OF.items()}

UNCHANGED: Any = object()  # by a turn; None is a row that it dropped

Key = tuple[str, str]
Changes = Mapping[Key, Aggregate | None]


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal: what happened, in the words of the cloud's contract."""

    kind: str
    subject: str
    data: Mapping[str, Any]


class World(Indexes):
    """Everything the machine knows now. Reads are O(1) or over an index; never a scan of all rentals."""

    def __init__(self, layout: Layout) -> None:
        super().__init__({kind: {} for kind in TYPE_OF})
        self.layout = layout
        self.order = {bay: n for n, bay in enumerate(layout.bays)}
        self.apply({("machine", "machine"): Machine(), ("sensed", ""): Sensed()})
        for bay in layout.bays:
            self.apply({("bay", bay): Bay(id=bay), ("sensed", bay): Sensed()})
        for terminal in layout.terminals:
            self.apply({("visit", terminal): Visit(id=terminal)})

    def apply(self, changes: Changes) -> None:
        """Take over what a step made new, in order."""
        for (kind, key), new in changes.items():
            rows = self.of[kind]
            old = rows.get(key)
            if new is None:
                rows.pop(key, None)
            else:
                rows[key] = new
            self.changed(kind, key, old, new)

    # typed look-ups, for readers outside a step
    def rental(self, key: str) -> Rental | None:
        return cast("Rental | None", self.of["rental"].get(key))

    def bay(self, key: str) -> Bay | None:
        return cast("Bay | None", self.of["bay"].get(key))

    def sensed(self, key: str) -> Sensed:
        return cast(Sensed, self.of["sensed"][key])

    def visit(self, key: str) -> Visit | None:
        return cast("Visit | None", self.of["visit"].get(key))

    @property
    def machine(self) -> Machine:
        return cast(Machine, self.of["machine"]["machine"])


@dataclass(slots=True)
class Turn:
    """The scratch pad of one step. Nothing outside sees it before the step is over."""

    world: World
    now: Now
    changes: dict[Key, Aggregate | None] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    queue: deque[tuple[str, str, Event]] = field(default_factory=deque)
    urgent: bool = False  # must be durable before anything is said or done about it
    changed: bool = False
    proceed: str | None = None  # a terminal whose visit may go on, tried after the fact that allows it
    tags: dict[str, str] = field(default_factory=dict)  # tag -> asset, of assets in `changes`
    settled: int = 0  # outcomes of instructions so far; one taken back leaves a gap in their numbers

    # ------------------------------------------------ reading through the overlay
    def _row(self, kind: str, key: str) -> Any:
        known = self.changes.get((kind, key), UNCHANGED)
        return self.world.of[kind].get(key) if known is UNCHANGED else known

    def get(self, kind: str, key: str) -> Aggregate | None:
        row: Aggregate | None = self._row(kind, key)
        return row

    def rental(self, key: str) -> Rental | None:
        row: Rental | None = self._row("rental", key)
        return row

    def bay(self, key: str) -> Bay:
        row: Bay | None = self._row("bay", key)
        if row is None:
            raise Refused("unknown_bay", key)
        return row

    def sensed(self, key: str) -> Sensed:
        row: Sensed = self._row("sensed", key)
        return row

    def visit(self, key: str) -> Visit:
        row: Visit | None = self._row("visit", key)
        if row is None:
            raise Refused("unknown_terminal", key)
        return row

    def asset(self, key: str) -> Asset | None:
        row: Asset | None = self._row("asset", key)
        return row

    def spent(self, key: str) -> Spent | None:
        row: Spent | None = self._row("spent", key)
        return row

    @property
    def machine(self) -> Machine:
        row: Machine = self._row("machine", "machine")
        return row

    @property
    def layout(self) -> Layout:
        return self.world.layout

    @property
    def stopped(self) -> bool:
        """The e-stop is pressed, was pressed and not cleared since, or cannot be read."""
        return self.machine.estop or (self.layout.estop and self.sensed("").estop is not False)

    def asset_by_tag(self, tag: str) -> Asset | None:
        for known in (self.tags.get(tag), self.world.asset_of_tag.get(tag)):
            asset = self.asset(known) if known is not None else None
            if asset is not None and tag in asset.tags:
                return asset
        return None

    def asset_of_rental(self, rental: str) -> Asset | None:
        """The asset that the operator's directory says to be with a rental."""
        known = self.world.asset_of_rental.get(rental)
        asset = self.asset(known) if known is not None else None
        return asset if asset is not None and asset.rental == rental else None

    def bay_holding(self, asset: str) -> Bay | None:
        """The bay in which the asset is believed."""
        for (kind, _), new in self.changes.items():
            if kind == "bay" and isinstance(new, Bay) and new.asset == asset:
                return new
        known = self.world.bay_of_asset.get(asset)
        bay = self.bay(known) if known is not None else None
        return bay if bay is not None and bay.asset == asset else None

    def rentals_of(self, asset: str) -> Iterator[Rental]:
        """Rentals that are not final and name or hold the asset, in the order of their ids."""
        ids = set(self.world.rentals_of_asset.get(asset, ()))
        ids.update(
            new.id for new in self.changes.values() if isinstance(new, Rental) and asset in (new.named, new.asset)
        )
        for key in sorted(ids):
            rental = self.rental(key)
            if rental is not None and rental.state not in FINAL and asset in (rental.named, rental.asset):
                yield rental

    def rentals_of_badge(self, badge: str) -> list[Rental]:
        """Rentals that list this badge, the earliest window first."""
        ids = set(self.world.rentals_of_badge.get(badge, ()))
        ids.update(new.id for new in self.changes.values() if isinstance(new, Rental) and badge in new.badges)
        known = (self.rental(key) for key in ids)
        found = [rental for rental in known if rental is not None and badge in rental.badges]
        return sorted(found, key=lambda rental: (rental.window_from_utc, rental.id))

    def face_wanted(self, user: str, but: str) -> bool:
        """Whether another rental names this one whom a device keeps."""
        ids = set(self.world.rentals_of_face.get(user, ()))
        ids.update(new.id for new in self.changes.values() if isinstance(new, Rental))
        known = (self.rental(key) for key in ids - {but})
        return any(rental is not None and user in faces_of(rental) for rental in known)

    def rentals_out_with(self, asset: str) -> list[Rental]:
        """Rentals whose asset is outside: on trip, coming back, or in an incident."""
        out = (RentalState.ON_TRIP, RentalState.RETURNING, RentalState.INCIDENT)
        return [r for r in self.rentals_of(asset) if r.asset == asset and r.state in out]

    def rental_out_with(self, asset: str) -> Rental | None:
        return next(iter(self.rentals_out_with(asset)), None)

    def bays_stirring(self, asset_class: str) -> Iterator[Bay]:
        """Bays with such an asset inside that are at work or not yet sensed, in the site's order."""
        inside: Set[str] = self.world.bays_with.get(asset_class, frozenset())
        changed = {key for (kind, key) in self.changes if key and kind in ("bay", "sensed")}
        for key in self._in_order(inside, self.world.stirring, changed):
            bay = self.bay(key)
            if self._has(bay, asset_class) and stirs(bay, self.sensed(key)):
                yield bay

    def bays_with_loose(self, asset_class: str, but: str) -> Iterator[Bay]:
        """Bays with such an asset inside that no other rental holds, in the site's order; lazily: one is enough."""
        inside: Set[str] = self.world.bays_with.get(asset_class, frozenset())
        touched = {but, *(key for (kind, key) in self.changes if kind == "rental")}
        looked_at = {key for (kind, key) in self.changes if kind == "bay"}
        for known in filter(None, map(self.world.rental, touched)):  # what they held may be loose by now
            places = (self.world.bay_of_asset.get(asset or "") for asset in (known.named, known.asset))
            looked_at.update(place for place in places if place is not None)
        for key in self._in_order(inside, self.world.loose, looked_at):
            bay = self.bay(key)
            if self._has(bay, asset_class) and not self.held(bay.asset or "", but):
                yield bay

    def _has(self, bay: Bay, asset_class: str) -> bool:
        known = self.asset(bay.asset) if bay.asset is not None else None
        return known is not None and known.asset_class == asset_class

    def _in_order(self, one: Set[str], other: Set[str], changed: Set[str]) -> Iterator[str]:
        """Bays of both sets, and changed ones, in the site's order: sorted where few, else by walking through all."""
        if (min(len(one), len(other)) + len(changed)) * 4 <= len(self.layout.bays):
            yield from sorted((one & other) | changed, key=self.world.order.__getitem__)
        else:
            yield from (key for key in self.layout.bays if (key in one and key in other) or key in changed)

    def held(self, asset: str, but: str) -> bool:
        """Whether another rental names the asset, or has chosen it."""
        if any(
            isinstance(r, Rental) and r.id != but and r.state in PENDING and asset in (r.named, r.asset)
            for r in self.changes.values()
        ):
            return True
        for key in self.world.rentals_of_asset.get(asset, ()):
            if key != but and ("rental", key) not in self.changes and self.world.of["rental"][key].state in PENDING:
                return True
        return False

    def free_bays(self) -> Iterator[Bay]:
        """Bays that may take an asset, in the site's order; lazily, most callers want the first that fits."""
        free, changed = self.world.free, {key for (kind, key) in self.changes if kind == "bay"}
        for key in self._in_order(free, free, changed):
            if may_take(bay := self.bay(key)):
                yield bay

    # ------------------------------------------------ writing
    def put(self, new: Aggregate, key: str | None = None) -> None:
        kind = KIND_OF[type(new)]
        ident = key if key is not None else cast(Any, new).id
        self.changes[kind, ident] = new
        if isinstance(new, Asset):
            self.tags.update(dict.fromkeys(new.tags, new.id))
        if kind not in VOLATILE:
            self.changed = True

    def drop(self, kind: str, key: str) -> None:
        self.changes[kind, key] = None
        self.changed = True

    def record(self, kind: str, subject: str, /, **data: Any) -> None:
        """Journal a fact. None values are left out."""
        self.records.append(Record(kind, subject, {k: v for k, v in data.items() if v is not None}))

    def emit(self, effect: Effect) -> None:
        self.effects.append(effect)
        self.urgent = True

    def post(self, kind: str, key: str, event: Event) -> None:
        """Say something to another aggregate, after what is being decided now."""
        self.queue.append((kind, key, event))

    def arm_in(self, agg: T, name: str, seconds: float) -> T:
        """A deadline in elapsed time of this boot."""
        return arm(agg, name, self.now.mono + seconds, "mono", self.now.boot)

    def arm_utc(self, agg: T, name: str, at_utc: float) -> T:
        """A deadline of the calendar; fires only while time is trusted."""
        return arm(agg, name, at_utc, "utc")

    # ------------------------------------------------ all or nothing, for one instruction of a delivery
    def mark(self) -> tuple[dict[Key, Aggregate | None], int, int, bool, bool]:
        return dict(self.changes), len(self.records), len(self.effects), self.urgent, self.changed

    def back_to(self, mark: tuple[dict[Key, Aggregate | None], int, int, bool, bool]) -> None:
        self.changes, records, effects, self.urgent, self.changed = mark
        del self.records[records:], self.effects[effects:]
        self.queue.clear()
        self.tags = {tag: new.id for new in self.changes.values() if isinstance(new, Asset) for tag in new.tags}

    def open_incident(self, kind: str, *, bay: str | None, asset: str | None = None, rental: str | None = None) -> str:
        """A new incident aggregate with its record; returns its id."""
        machine = replace(self.machine, incident_n=self.machine.incident_n + 1)
        self.put(machine)
        ident = f"I{machine.incident_n}-{machine.epoch[:4]}".removesuffix("-")
        opened = Incident(id=ident, kind=kind, bay=bay, asset=asset, rental=rental, opened_utc=self.now.utc)
        self.put(replace(opened, opened_trusted=self.now.trusted))
        self.record("incident.opened", ident, kind=kind, bay=bay, asset=asset, rental=rental)
        self.urgent = True
        return ident
