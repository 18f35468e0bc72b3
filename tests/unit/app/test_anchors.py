"""The cloud's signed anchors: which are believed, what ages out behind them, and that the chain stays."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.fsm.machine import T0
from tests.unit.kernel.test_mailbox import Rig
from vendingd.anchors import DAY_S, Anchors, signed_text
from vendingd.bridge import Bridge
from vendingd.cloud import instructions as i
from vendingd.identity.face import FaceFactor
from vendingd.identity.keys import Algorithm, KeyRing, VerificationKey
from vendingd.identity.pin import PinFactor
from vendingd.identity.seal import Sealer
from vendingd.journal.api import Batch, NewRecord, StoreErrorKind
from vendingd.journal.memory import Fault

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))


def public(key: Ed25519PrivateKey, kid: str, *, retired: bool = False) -> VerificationKey:
    return VerificationKey(kid, Algorithm.EDDSA, key.public_key().public_bytes_raw(), retired)


@dataclass(frozen=True)
class Age:
    """n records of so many days ago."""

    n: int
    days: float
    trusted: bool = True
    taken: bool = True  # by the cloud

    async def write(self, rig: Rig) -> None:
        at = T0 - self.days * DAY_S
        records = [NewRecord("k", f"{self.days:g}", b"{}", at + k, 1.0, self.trusted, False) for k in range(self.n)]
        done = await rig.store.commit(Batch(records))
        if self.taken:
            await rig.store.commit(Batch(ack=done.last_seq))


@dataclass
class Bench:
    rig: Rig
    bridge: Bridge
    tasks: list[asyncio.Future[None]]
    now: list[float]  # UTC, and whether it is trusted (0: no)

    async def anchor(self, ident: str, seq: int, key: Ed25519PrivateKey = KEY, kid: str = "k1") -> i.Anchor:
        (record,) = await self.rig.store.records(seq - 1, 1)
        one = i.Anchor(ident, record.epoch, record.seq, record.hash.hex(), kid, b"")
        return replace(one, signature=key.sign(signed_text("m1", one)))

    async def deliver(self, one: i.Anchor) -> tuple[str, str]:
        await self.bridge.deliver("c", [one], False)
        await self.rig.settle()
        await asyncio.gather(*self.tasks)
        done: Any = self.rig.mailbox.world.of["done"][one.id]
        return done.outcome, done.reason

    def kept(self) -> list[str]:
        """The records of before, by their age."""
        return [r.subject for r in self.rig.store.disk.records.values() if r.kind == "k"]


Make = Callable[..., Any]


@pytest.fixture
async def make() -> Make:
    async def make(*ages: Age, keep_days: float = 400) -> Bench:
        rig = Rig()
        await rig.store.open()
        for age in ages:
            await age.write(rig)
        await rig.start()
        tasks: list[asyncio.Future[None]] = []
        now = [T0, 1.0]
        anchors = Anchors(
            machine="m1",
            store=rig.store,
            keys=lambda: KeyRing.of([public(KEY, "k1"), public(OTHER, "k2"), public(OTHER, "old", retired=True)]),
            now=lambda: replace(rig.mailbox._now(), utc=now[0], trusted=bool(now[1])),
            keep_days=keep_days,
            spawn=lambda coro, name: tasks.append(asyncio.ensure_future(coro)),
            on_failure=rig.failures.append,
        )
        pins = PinFactor(Sealer(b"k" * 32), workers=None)  # type: ignore[arg-type]
        faces = FaceFactor(Sealer(b"k" * 32), {}, timeout_s=1.0)
        parts = {"pins": pins, "faces": faces, "anchors": anchors}
        bridge = Bridge(mailbox=rig.mailbox, store=rig.store, clock=rig.clock, **parts)  # type: ignore[arg-type]
        return Bench(rig, bridge, tasks, now)

    return make


async def test_what_is_old_enough_goes_and_the_chain_stays(make: Make) -> None:
    b: Bench = await make(*(Age(4, days) for days in (900, 401, 399, 3)))
    last = 16
    one = await b.anchor("a1", last)
    assert await b.deliver(one) == ("accepted", "")
    assert b.kept() == ["399"] * 4 + ["3"] * 4
    verdict = await b.rig.store.verify()
    assert verdict.ok and 0 < verdict.from_seq < last
    (proof,) = [r for r in await b.rig.store.records(0, 500) if r.kind == "machine.journal_anchored"]
    said = json.loads(proof.data)
    signature = base64.urlsafe_b64decode(said["signature"] + "==")
    again = i.Anchor("", said["epoch"], said["seq"], said["hash"], said["kid"], signature)
    assert public(KEY, "k1").verify(signature, signed_text("m1", again)) and said["seq"] == last
    b.now[0] += 10 * DAY_S  # the same anchor, told again ten days later
    await b.deliver(one)
    assert b.kept() == ["3"] * 4 and (await b.rig.store.verify()).ok


async def test_nothing_goes_that_the_cloud_has_not_taken_or_signed(make: Make) -> None:
    b: Bench = await make(Age(4, 900), Age(3, 800, taken=False), keep_days=0)
    assert await b.deliver(await b.anchor("a1", 2)) == ("accepted", "")
    assert b.kept() == ["900"] * 2 + ["800"] * 3
    assert await b.deliver(await b.anchor("a2", 7)) == ("accepted", "")
    assert b.kept() == ["800"] * 3


async def test_a_time_that_is_not_trusted_makes_nothing_old(make: Make) -> None:
    """Records of 1970 may be of yesterday; only a trusted one behind them tells that they are not."""
    b: Bench = await make(Age(4, 20_000, False), Age(1, 900), Age(4, 19_000, False), Age(1, 3))
    anchor = await b.anchor("a1", 10)
    b.now[1] = 0.0  # nor is anything old while the clock says 2098 without being trusted
    b.now[0] = 4e9
    assert await b.deliver(anchor) == ("accepted", "")
    assert len(b.kept()) == 10
    b.now[:] = [T0, 1.0]
    await b.deliver(anchor)
    assert b.kept() == ["19000"] * 4 + ["3"]


async def test_a_clock_that_was_once_ahead_keeps_nothing_for_ever(make: Make) -> None:
    b: Bench = await make(Age(2, 900), Age(1, -30_000), Age(2, 800), Age(1, 3), Age(1, 700))
    assert await b.deliver(await b.anchor("a1", 7)) == ("accepted", "")
    assert b.kept() == ["3", "700"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kid": "nobody"}, "anchor_key"),
        ({"kid": "old"}, "anchor_key"),
        ({"kid": "k2"}, "anchor_forged"),
        ({"signature": bytes(64)}, "anchor_forged"),
        ({"seq": 3}, "anchor_forged"),
        ({"hash": "00" * 32}, "anchor_forged"),
    ],
)
async def test_what_is_not_signed_by_the_issuer_moves_nothing(make: Make, change: dict[str, Any], reason: str) -> None:
    b: Bench = await make(Age(10, 900))
    one = await b.anchor("a1", 6)
    assert await b.deliver(replace(one, **change)) == ("refused", reason)
    assert len(b.kept()) == 10 and b.tasks == []


@pytest.mark.parametrize("change", [{"hash": "00" * 32}, {"seq": 10_000}, {"epoch": "ffff"}])
async def test_what_is_signed_of_another_journal_moves_nothing(make: Make, change: dict[str, Any]) -> None:
    """As after a restore: the cloud has signed what this journal does not hold."""
    b: Bench = await make(Age(10, 900))
    one = replace(await b.anchor("a1", 6), **change)
    one = replace(one, signature=KEY.sign(signed_text("m1", one)))
    assert await b.deliver(one) == ("refused", "anchor_differs")
    other = replace(one, id="a2", signature=KEY.sign(signed_text("another machine", one)))
    assert await b.deliver(other) == ("refused", "anchor_forged")
    assert len(b.kept()) == 10


async def test_a_disk_that_fails_meanwhile_is_told_to_the_machine(make: Make) -> None:
    b: Bench = await make(Age(10, 900))
    anchor = await b.anchor("a1", 9)
    await b.bridge.deliver("c", [anchor], False)
    b.rig.store.fault = Fault(StoreErrorKind.IO)
    await asyncio.gather(*b.tasks)
    assert [why.kind for why in b.rig.failures] == [StoreErrorKind.IO]
    b.rig.store.fault = None
    await b.rig.store.open()
    assert len(b.kept()) == 10 and (await b.rig.store.verify()).ok
