"""Between the cloud client and the mailbox: instructions in, records out, what is over leaves the world."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from drivers.ports import Clock
from fsm import events as e
from fsm.model import FINAL, Aggregate, Rental
from fsm.world import Key, World
from vendingd.anchors import Anchors
from vendingd.cloud import instructions as i
from vendingd.cloud.events import OutRecord
from vendingd.cloud.uplink import Head
from vendingd.cloud.uplink import Refused as RefusedByCloud
from vendingd.identity.face import FaceError, FaceFactor
from vendingd.identity.pin import PinError, PinFactor, PinVerifier
from vendingd.journal.api import Committed, Refused, Store, StoreError
from vendingd.kernel.inbox import Busy
from vendingd.kernel.mailbox import Mailbox, Unavailable

_log = logging.getLogger(__name__)
AGAIN_S = 1.0
READ_AT_ONCE = 500
ALARM_REFUSED = "record_refused"  # the cloud would not take a record; the journal keeps it


class Bridge:
    """The outbox of the uplink and the receiver of the feed."""

    def __init__(
        self,
        *,
        mailbox: Mailbox,
        store: Store,
        clock: Clock,
        pins: PinFactor,
        faces: FaceFactor,
        anchors: Anchors,
        forever_utc: float = 4_102_444_800.0,
    ) -> None:
        """`forever_utc`: until when a revoked rental is remembered (the year 2100, unless told otherwise)."""
        self._anchors = anchors
        self._mailbox = mailbox
        self._store = store
        self._clock = clock
        self._pins = pins
        self._faces = faces
        self._forever_utc = forever_utc
        self._over: dict[str, int] = {}  # final rental -> seq behind which its history is complete
        self._unplaced: set[str] = set()
        self.on_committed: Callable[[int], None] = lambda seq: None
        self.alarm: Callable[[str, str], None] = lambda name, detail: None
        self._named: set[str] = set()  # rentals in the parts of a snapshot so far
        self._epochs: list[str] = []  # of the journal, the current one last
        self._differing: Head | None = None  # the cloud's last record, where it is none of ours
        self._answered: Head | None = None  # the one for which the newest epoch was begun

    # ------------------------------------------------ feed
    async def deliver(self, cursor: str, instructions: Sequence[i.Instruction], snapshot: bool) -> None:
        """Returns once the instructions and the cursor are durable, however long the journal is away."""
        whole = snapshot and cursor != ""
        came = self._clock.monotonic()
        understood = [
            await self._judged(one) if isinstance(one, i.Anchor) else self._understood(one) for one in instructions
        ]
        present = frozenset(self._named) if whole else frozenset()
        self._named |= {one.rental for one in instructions if snapshot and isinstance(one, i.PutReservation)}
        if cursor != "":
            self._named.clear()
        while True:
            try:
                waited = self._clock.monotonic() - came
                await self._mailbox.deliver(
                    e.Deliver(cursor, [_older(one, waited) for one in understood], whole, present)
                )
                break
            except (Unavailable, Busy) as why:
                _log.warning("instructions wait: %s", why)
                await self._clock.sleep_until(self._clock.monotonic() + AGAIN_S)

        for taken in understood:
            if isinstance(taken, e.AnchorJournal):
                self._anchors.accepted(taken)

    async def _judged(self, one: i.Anchor) -> e.Instruction:
        while True:
            try:
                return await self._anchors.judged(one)
            except StoreError as why:
                _log.warning("an anchor waits: %s", why)
                await self._clock.sleep_until(self._clock.monotonic() + AGAIN_S)

    def _understood(self, one: i.Instruction) -> e.Instruction:
        match one:
            case i.PutReservation():
                return self._reservation(one)
            case i.CancelReservation():
                return e.CancelReservation(one.id, one.rental, one.version, self._forever_utc)
            case i.Extend():
                return e.ExtendRental(one.id, one.rental, one.version, one.due)
            case i.Purchased():
                return e.BuyRental(one.id, one.rental, one.version)
            case i.ReturnedElsewhere():
                return e.ReturnedElsewhere(one.id, one.rental, one.version, one.machine)
            case i.AttemptsReset():
                return e.CloudResetAttempts(one.id, one.rental)
            case i.CommandUnlock():
                return e.CloudUnlock(one.id, one.bay, one.reason, one.age_s)
            case i.CommandAvailability():
                return e.CloudAvailability(one.id, one.bay, one.in_service, one.reason)
            case i.DirectoryPut():
                guarded = {a.id: a.authorisers for a in one.assets if a.authorisers}
                assets = tuple((a.id, a.asset_class, a.tags, a.rental) for a in one.assets)
                return e.PutAssets(one.id, assets, guarded)
            case i.DirectoryRemove():
                return e.RemoveAssets(one.id, one.assets)
            case i.KeysPut():
                return e.PutKeys(one.id, tuple((k.kid, k.json) for k in one.keys))
            case i.PassesRevoke():
                return e.RevokePasses(one.id, one.rentals, self._forever_utc)
            case i.Malformed():
                return e.Unreadable(one.id, one.why)
            case i.Anchor():
                raise AssertionError("an anchor is judged apart: that takes a look into the journal")

    def _reservation(self, one: i.PutReservation) -> e.Instruction:
        pin = None
        if one.pin is not None:
            try:
                verifier = PinVerifier(one.pin.salt, one.pin.hash, one.pin.m, one.pin.t, one.pin.p)
            except PinError as why:
                return e.Unreadable(one.id, f"rental.pin.{why}")
            pin = self._pins.enrol(one.rental, verifier)
        try:
            face = None
            if one.face is not None:
                face = self._faces.enrol(one.rental, one.face.json, from_utc=one.window_from)
        except FaceError as why:
            return e.Unreadable(one.id, f"rental.face: {why}")
        return e.PutReservation(
            id=one.id,
            version=one.version,
            rental=one.rental,
            window_from=one.window_from,
            window_to=one.window_to,
            due=one.due,
            holder=one.holder,
            asset=one.asset,
            asset_class=one.asset_class,
            demands=one.demands or (),
            pin=pin,
            face=face.sealed if face is not None else None,
            face_format=face.fmt if face is not None and face.sealed is not None else None,
            face_user=face.user if face is not None else None,
            face_unused=face.unused if face is not None else "",
            badges=one.badges,
            pass_exp=one.pass_exp,
        )

    # ------------------------------------------------ outbox
    async def read(self, after: int, limit: int) -> list[OutRecord]:
        while True:
            try:
                records = await self._store.records(after, min(limit, READ_AT_ONCE))
                break
            except StoreError as why:
                _log.warning("records wait: %s", why)
                await self._clock.sleep_until(self._clock.monotonic() + AGAIN_S)
        return [
            OutRecord(
                seq=r.seq,
                epoch=r.epoch,
                kind=r.kind,
                subject=r.subject,
                data=r.data,
                utc=r.utc,
                mono=r.mono,
                utc_trusted=r.utc_trusted,
                offline=r.offline,
                hash=r.hash.hex(),
            )
            for r in records
        ]

    async def acked(self, through: int, refused: Sequence[RefusedByCloud]) -> None:
        aside = [Refused(one.seq, json.dumps(dict(one.problem), sort_keys=True).encode()) for one in refused]
        self._mailbox.acknowledge(through, aside)
        for one in refused:
            await self._alarm_refused(one)
        over = [rental for rental, seq in self._over.items() if seq <= through]
        if over:
            for rental in over:
                del self._over[rental]
            self._mailbox.post(e.Acknowledged(over))

    async def _alarm_refused(self, one: RefusedByCloud) -> None:
        """One word of ours for each record set aside, but none for a refused word about a refused record."""
        try:
            records = await self._store.records(one.seq - 1, 1)
        except StoreError:
            records = []
        kind = records[0].kind if records and records[0].seq == one.seq else ""
        title = str(one.problem.get("title", ""))
        self.alarm(ALARM_REFUSED, f"record {one.seq} ({kind}) is set aside: {title}")
        if kind != "machine.record_refused":
            self._mailbox.post(e.RecordRefused(one.seq, title))

    async def holds_head(self, head: Head) -> bool:
        """Whether the cloud's last record is one of ours, as ours, or of a life of this journal that has ended.

        After a restore the cloud has records of the life before that this journal never had. Once it goes on under
        another epoch no name can be used twice, and the cloud's head is explained until it hears of that epoch.
        """
        if head.epoch in self._epochs[:-1] or head == self._answered:
            return True
        try:
            records = await self._store.records(head.seq - 1, 1)
        except StoreError:
            return True
        if not records or records[0].seq != head.seq:
            held = head.seq == 0
        else:
            held = records[0].epoch == head.epoch and records[0].hash.hex() == head.hash
        self._differing = None if held else head
        return held

    def epoch_begun(self, epoch: str) -> None:
        """Records go on under this epoch."""
        self._epochs.append(epoch)
        self._answered = self._differing

    # ------------------------------------------------ what is over
    def load(self, world: World, head_seq: int, epochs: Sequence[str] = ()) -> None:
        """Final rentals of before the start: their history is complete at the journal's head."""
        self._epochs = list(epochs)
        self._over = {r.id: head_seq for r in world.of["rental"].values() if r.state in FINAL}
        self._unplaced.clear()

    def published(self, changes: Mapping[Key, Aggregate | None]) -> None:
        for (kind, key), new in changes.items():
            if kind != "rental":
                continue
            if isinstance(new, Rental) and new.state in FINAL and not new.deadlines and new.grant is None:
                self._unplaced.add(key)
            else:
                self._unplaced.discard(key)
                self._over.pop(key, None)

    def committed(self, committed: Committed) -> None:
        for key in self._unplaced:
            self._over[key] = committed.last_seq
        self._unplaced.clear()
        if committed.last_seq >= committed.first_seq:
            self.on_committed(committed.last_seq)


def _older(one: e.Instruction, by_s: float) -> e.Instruction:
    """A command that waited for our journal has aged meanwhile."""
    if isinstance(one, e.CloudUnlock) and one.age_s is not None:
        return replace(one, age_s=one.age_s + by_s)
    return one
