"""Between cloud and mailbox: instructions are understood, records go out, what is over leaves the world."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.unit.fsm.machine import T0
from tests.unit.kernel.test_mailbox import Rig
from vendingd.anchors import Anchors
from vendingd.bridge import Bridge
from vendingd.cloud import instructions as i
from vendingd.cloud.uplink import Head
from vendingd.cloud.uplink import Refused as RefusedByCloud
from vendingd.identity.face import FaceFactor
from vendingd.identity.keys import KeyRing
from vendingd.identity.pin import PinFactor, PinVerifier, make_verifier
from vendingd.identity.seal import Sealer


class Bridged:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        pins = PinFactor(Sealer(b"k" * 32), workers=None)  # type: ignore[arg-type]
        anchors = Anchors(
            machine="m1",
            store=rig.store,
            keys=lambda: KeyRing.of(()),
            now=rig.mailbox._now,
            keep_days=400,
            spawn=lambda coro, name: asyncio.ensure_future(coro),
            on_failure=rig.failures.append,
        )
        faces = FaceFactor(Sealer(b"k" * 32), {}, timeout_s=1.0)
        parts = {"pins": pins, "faces": faces, "anchors": anchors}
        self.bridge = Bridge(mailbox=rig.mailbox, store=rig.store, clock=rig.clock, **parts)  # type: ignore[arg-type]

    def outcome(self, instruction: str) -> tuple[str, str]:
        done: Any = self.rig.mailbox.world.of["done"][instruction]
        return done.outcome, done.reason


async def bridged() -> Bridged:
    return Bridged(await Rig().start())


def reservation(ident: str, **over: Any) -> i.PutReservation:
    fields: dict[str, Any] = {
        "id": ident,
        "version": 1,
        "rental": "r2",
        "window_from": T0,
        "window_to": T0 + 60,
        "due": T0 + 120,
        "asset_class": "car",
    }
    return i.PutReservation(**(fields | over))


async def test_a_pin_arrives_sealed_and_never_enters_the_records() -> None:
    b = await bridged()
    made = PinVerifier.from_wire(make_verifier("1234", m=7168, t=5))
    verifier = i.PinVerifier(made.salt, made.hash, made.m, made.t, made.p)
    await b.bridge.deliver("c9", [reservation("i9", demands=("pass+pin",), pin=verifier)], False)
    rental = b.rig.mailbox.world.rental("r2")
    assert rental is not None and rental.pin is not None and rental.pin.startswith("s1.")
    assert b.outcome("i9") == ("accepted", "") and b.rig.mailbox.world.machine.cursor == "c9"
    written = json.dumps([r.data.decode() for batch in b.rig.store.batches for r in batch.records])
    assert rental.pin not in written


async def test_a_face_that_nothing_here_compares_is_not_kept() -> None:
    b = await bridged()
    made = PinVerifier.from_wire(make_verifier("1234", m=7168, t=5))
    verifier = i.PinVerifier(made.salt, made.hash, made.m, made.t, made.p)
    face = i.FaceTemplate("of-tomorrow", '{"fmt":"of-tomorrow","vector":"AAAA"}')
    both = reservation("i9", demands=("pass+pin", "pass+face"), pin=verifier, face=face)
    await b.bridge.deliver("c9", [both], False)
    rental = b.rig.mailbox.world.rental("r2")
    assert rental is not None and rental.face is None
    assert b.outcome("i9") == ("accepted", "face_unused")


async def test_a_template_that_is_none_is_malformed() -> None:
    b = await bridged()
    await b.bridge.deliver("c9", [reservation("i9", face=i.FaceTemplate("x", "no JSON"))], False)
    assert b.outcome("i9") == ("malformed", "rental.face: a template that is no JSON")


async def test_badges_and_second_persons_arrive_as_their_hashes() -> None:
    b = await bridged()
    await b.bridge.deliver("c9", [reservation("i9", badges=("b" * 43,))], False)
    rental = b.rig.mailbox.world.rental("r2")
    assert rental is not None and rental.badges == ("b" * 43,)
    guarded = i.DirectoryPut("i10", (i.DirectoryAsset("car9", "car", (), None, ("a" * 43,)),))
    await b.bridge.deliver("c10", [guarded], False)
    assert b.rig.mailbox.world.of["asset"]["car9"].authorisers == ("a" * 43,)
    written = json.dumps([r.data.decode() for batch in b.rig.store.batches for r in batch.records])
    assert "b" * 43 not in written and "a" * 43 not in written


async def test_a_verifier_too_cheap_to_attack_is_malformed() -> None:
    b = await bridged()
    weak = i.PinVerifier(b"s" * 16, b"h" * 32, 8, 1, 1)
    await b.bridge.deliver("c9", [reservation("i9", pin=weak)], False)
    outcome, reason = b.outcome("i9")
    assert outcome == "malformed" and reason.startswith("rental.pin.m") and b.rig.mailbox.world.rental("r2") is None


async def test_instructions_wait_for_a_journal_that_is_away() -> None:
    b = await bridged()
    b.rig.mailbox.unavailable = "journal full"
    waits: list[float] = []

    async def sleep_until(deadline_mono: float) -> None:
        waits.append(deadline_mono)
        b.rig.mailbox.unavailable = None

    b.rig.clock.sleep_until = sleep_until  # type: ignore[method-assign]
    await b.bridge.deliver("c9", [reservation("i9")], False)
    assert len(waits) == 1 and b.outcome("i9") == ("accepted", "")


async def test_a_snapshot_in_parts_cancels_only_what_no_part_names() -> None:
    b = await bridged()
    await b.bridge.deliver("c9", [reservation("i9"), reservation("i10", rental="r3")], False)
    await b.bridge.deliver("", [reservation("s1", rental="r1", asset="car1", asset_class=None)], True)
    await b.bridge.deliver("c20", [reservation("s2")], True)
    states = {k: str(r.state) for k, r in b.rig.mailbox.world.of["rental"].items()}
    assert states["r3"] == "cancelled" and states["r1"] != "cancelled" and states["r2"] != "cancelled"


async def test_final_rentals_leave_once_their_history_is_acknowledged() -> None:
    b = await bridged()
    mailbox = b.rig.mailbox
    mailbox._on_committed = b.bridge.committed
    mailbox._on_published = lambda changes, records: b.bridge.published(changes)
    await b.bridge.deliver("c9", [reservation("i9")], False)
    await b.bridge.deliver("c10", [i.CancelReservation("i10", "r2", 2)], False)
    head = max(b.rig.store.disk.records)
    await b.bridge.acked(head - 1, [])
    await b.rig.settle()
    assert mailbox.world.rental("r2") is not None, "its last record is still on the way"
    await b.bridge.acked(head, [])
    await b.rig.settle()
    assert mailbox.world.rental("r2") is None and "r2" in mailbox.world.of["spent"]


async def test_a_refused_record_is_set_aside_and_alarmed_but_not_for_ever() -> None:
    b = await bridged()
    alarms: list[tuple[str, str]] = []
    b.bridge.alarm = lambda name, detail: alarms.append((name, detail))
    await b.bridge.acked(1, [RefusedByCloud(1, {"title": "no", "status": 422})])
    await b.rig.settle()
    assert [name for name, _ in alarms] == ["record_refused"] and "record 1 " in alarms[0][1]
    assert [s.record.seq for s in await b.rig.store.refused()] == [1]
    (word,) = [r for r in await b.rig.store.records(0, 100) if r.kind == "machine.record_refused"]
    await b.bridge.acked(word.seq, [RefusedByCloud(word.seq, {"title": "no", "status": 422})])
    await b.rig.settle()
    assert len([r for r in await b.rig.store.records(0, 100) if r.kind == "machine.record_refused"]) == 1


async def test_the_clouds_head_is_looked_up_by_name_and_hash() -> None:
    b = await bridged()
    (first,) = await b.rig.store.records(0, 1)
    assert await b.bridge.holds_head(Head(first.epoch, first.seq, first.hash.hex()))
    assert not await b.bridge.holds_head(Head("other", first.seq, first.hash.hex()))
    assert not await b.bridge.holds_head(Head(first.epoch, 10_000, first.hash.hex()))


async def test_a_head_of_a_life_that_has_ended_is_explained() -> None:
    """After a restore the cloud has records that this journal never had: once under a new epoch, that is no news."""
    b = await bridged()
    loaded = await b.rig.store.open()
    b.bridge.load(b.rig.mailbox.world, loaded.next_seq - 1, loaded.epochs)
    lost, elsewhere = Head(loaded.epoch, 10_000, "00" * 32), Head("ffff", 3, "00" * 32)
    assert not await b.bridge.holds_head(lost)
    b.bridge.epoch_begun(await b.rig.store.new_epoch("restored"))
    assert await b.bridge.holds_head(lost)
    assert not await b.bridge.holds_head(elsewhere), "restored from before that epoch: a third one is wanted"
    b.bridge.epoch_begun(await b.rig.store.new_epoch("restored"))
    assert await b.bridge.holds_head(elsewhere) and await b.bridge.holds_head(lost)
    assert not await b.bridge.holds_head(Head(b.bridge._epochs[-1], 10_000, "00" * 32))


async def test_a_remote_unlock_ages_while_the_journal_is_away() -> None:
    b = await bridged()
    b.rig.mailbox.unavailable = "journal full"

    async def sleep_until(deadline_mono: float) -> None:
        b.rig.clock.ahead += 3600.0
        b.rig.mailbox.unavailable = None

    b.rig.clock.sleep_until = sleep_until  # type: ignore[method-assign]
    await b.bridge.deliver("c9", [i.CommandUnlock("u1", "b1", "help", 1.0)], False)
    assert b.outcome("u1")[0] == "stale" and b.rig.performed == []
