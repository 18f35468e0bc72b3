"""Indexes over the world's rows: what a step would otherwise search for among ten thousand rentals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from fsm.model import (
    FAULTS,
    FINAL,
    PENDING,
    Asset,
    Bay,
    BayState,
    Done,
    Occupancy,
    Rental,
    Sensed,
)


class Indexes:
    """Kept up with the rows `of` one change at a time, by whoever changes them."""

    def __init__(self, of: dict[str, dict[str, Any]]) -> None:
        self.of = of
        self.rentals_of_asset: dict[str, set[str]] = {}  # named or held by rentals that are not final
        self.holders: dict[str, set[str]] = {}  # the same, of rentals that have not had it yet
        self.rentals_of_badge: dict[str, set[str]] = {}
        self.rentals_of_face: dict[str, set[str]] = {}  # by whom a device keeps, a change that waits included
        self.unservable: set[str] = set()  # rentals that no terminal can serve any more
        self.guarded: set[str] = set()  # assets that a second person must agree to
        self.bay_of_asset: dict[str, str] = {}  # believed inside
        self.asset_of_tag: dict[str, str] = {}
        self.asset_of_rental: dict[str, str] = {}  # as the directory says
        self.bays_with: dict[str, set[str]] = {}  # asset class -> bays with such an asset inside
        self.loose: set[str] = set()  # bays with an asset inside that nobody holds
        self.stirring: set[str] = set()  # bays at work or not yet sensed: what they cannot do now they may soon
        self.free: set[str] = set()  # bays that may take a return, as far as their own row says
        self.settled_n = 0  # of the newest stored outcome
        self._settled_in_order = True  # rows of stored outcomes stand as they were settled

    def changed(self, kind: str, key: str, old: Any, new: Any) -> None:
        """A row has become `new`; `old` is what stood there, None for nothing."""
        if kind == "sensed":
            if key:
                self._index_stirring(key)
        elif kind == "rental":
            self._index_rental(old, new)
        elif kind == "bay":
            self._index_bay(old, new)
            self._index_loose(key)
            self._index_stirring(key)
        elif kind == "asset":
            self._index_asset(old, new)
        elif kind == "done":
            self._index_done(old, new)

    def settled(self) -> Mapping[str, Done]:
        """The stored outcomes, those settled first before the others; rows of one number by their ids."""
        rows = self.of["done"]
        if not self._settled_in_order:
            ordered = sorted(rows.values(), key=lambda done: (done.n, done.id))
            rows.clear()
            rows.update((done.id, done) for done in ordered)
            self._settled_in_order = True
        return rows

    def _index_rental(self, old: Rental | None, new: Rental | None) -> None:
        assets: set[str] = set()
        for rental, add in ((old, False), (new, True)):
            if rental is None:
                continue
            if add and rental.unservable is not None and rental.state in PENDING:
                self.unservable.add(rental.id)
            else:
                self.unservable.discard(rental.id)
            for badge in rental.badges:
                _enter(self.rentals_of_badge, badge, rental.id, add=add)
            for user in faces_of(rental):
                _enter(self.rentals_of_face, user, rental.id, add=add)
            if rental.state in FINAL:
                continue
            indexes = (self.rentals_of_asset, self.holders) if rental.state in PENDING else (self.rentals_of_asset,)
            for asset in {rental.named, rental.asset} - {None}:
                assets.add(cast(str, asset))
                for index in indexes:
                    _enter(index, cast(str, asset), rental.id, add=add)
        for asset in assets:
            bay = self.bay_of_asset.get(asset)
            if bay is not None:
                self._index_loose(bay)

    def _index_loose(self, key: str) -> None:
        bay: Bay | None = self.of["bay"].get(key)
        if bay is not None and bay.asset is not None and bay.asset not in self.holders:
            self.loose.add(key)
        else:
            self.loose.discard(key)

    def _index_stirring(self, key: str) -> None:
        bay, sensed = self.of["bay"].get(key), self.of["sensed"].get(key)
        if bay is not None and stirs(bay, sensed):
            self.stirring.add(key)
        else:
            self.stirring.discard(key)

    def _index_bay(self, old: Bay | None, new: Bay | None) -> None:
        if old is not None and old.asset is not None:
            if self.bay_of_asset.get(old.asset) == old.id:
                del self.bay_of_asset[old.asset]
            known = self.of["asset"].get(old.asset)
            if known is not None:
                self.bays_with.get(known.asset_class, set()).discard(old.id)
        if new is None:
            return
        if new.asset is not None:
            self.bay_of_asset[new.asset] = new.id
            known = self.of["asset"].get(new.asset)
            if known is not None:
                self.bays_with.setdefault(known.asset_class, set()).add(new.id)
        if may_take(new):
            self.free.add(new.id)
        else:
            self.free.discard(new.id)

    def _index_asset(self, old: Asset | None, new: Asset | None) -> None:
        for asset, add in ((old, False), (new, True)):
            if asset is None:
                continue
            if add and asset.authorisers:
                self.guarded.add(asset.id)
            else:
                self.guarded.discard(asset.id)
            for tag in asset.tags:
                if add:
                    self.asset_of_tag[tag] = asset.id
                elif self.asset_of_tag.get(tag) == asset.id:
                    del self.asset_of_tag[tag]
            if asset.rental is not None:
                if add:
                    self.asset_of_rental[asset.rental] = asset.id
                elif self.asset_of_rental.get(asset.rental) == asset.id:
                    del self.asset_of_rental[asset.rental]
            bay = self.bay_of_asset.get(asset.id)
            if bay is not None:
                inside = self.bays_with.setdefault(asset.asset_class, set())
                if add:
                    inside.add(bay)
                else:
                    inside.discard(bay)

    def _index_done(self, old: Done | None, new: Done | None) -> None:
        if new is None:
            return
        if old is not None or new.n <= self.settled_n:  # a journal tells its rows in an order of its own
            self._settled_in_order = False
        self.settled_n = max(self.settled_n, new.n)


def faces_of(rental: Rental) -> set[str]:
    """Whom devices must keep for this rental's sake."""
    named = (rental.face_user, *(one.put.face_user for one in rental.waiting if one.put is not None))
    return {user for user in named if user is not None}


def _enter(index: dict[str, set[str]], key: str, member: str, *, add: bool) -> None:
    members = index.setdefault(key, set())
    if add:
        members.add(member)
    else:
        members.discard(member)
        if not members:
            del index[key]


def may_take(bay: Bay) -> bool:
    """Whether a bay could take an asset, as far as its own row says."""
    return (
        bay.state is BayState.SECURED
        and bay.asset is None
        and bay.occupancy is Occupancy.EMPTY
        and bay.grant is None
        and bay.in_service
        and bay.quarantined is None
        and not bay.alarms & FAULTS
    )


def stirs(bay: Bay, sensed: Sensed | None) -> bool:
    """Whether a bay is at work, or not yet sensed: the only ones of which "wait" can be said."""
    return (
        bay.grant is not None
        or bay.state is not BayState.SECURED
        or bay.occupancy is Occupancy.UNKNOWN
        or sensed is None
        or not sensed.recovered
    )
