"""Long quiet: a month without the cloud, and five years of records."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import HttpResponse
from tests.unit.cloud.support import Half
from tests.unit.journal.lives import HOUR, MACHINE, Life, journal, steps_to_load
from tests.unit.virtual import LoopClock, simulate
from vendingd.cloud.status import Board
from vendingd.cloud.uplink import Uplink
from vendingd.journal.api import Batch, Keep, NewRecord, Refused, StateChange
from vendingd.journal.offline import verify_file
from vendingd.journal.store import Journal

DAY = 24 * HOUR


class Cloud:
    """Keeps events by their names; says nothing while it is not there."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0
        self.events: list[dict[str, Any]] = []
        self._names: set[str] = set()

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpResponse:
        self.asked += 1
        if not self.there:
            await asyncio.sleep(timeout_s)
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        batch = json.loads(body or b"[]")
        for event in batch:
            if event["id"] not in self._names:
                self._names.add(event["id"])
                self.events.append(event)
        head = {key: batch[-1][key] for key in ("epoch", "seq")} | {"hash": batch[-1]["recordhash"]}
        receipt = {"taken_through": batch[-1]["seq"], "refused": [], "head": head}
        return HttpResponse(200, {}, json.dumps(receipt).encode())


@pytest.mark.long
def test_a_month_offline_is_caught_up_in_order_and_once(path: Path) -> None:
    """Cars go and come every day, the daemon is started anew every week; then the network is back."""

    async def story() -> None:
        cloud, inside = Cloud(), {}
        alarms: list[tuple[str, str]] = []
        names = itertools.count(1)
        acked = 0

        async def live(life: Life, days: int) -> None:
            nonlocal acked
            board = Board(LoopClock(), lambda status: None)
            uplink = Uplink(
                machine=MACHINE,
                transport=cloud,
                outbox=life.bridge,
                clock=LoopClock(),
                random=Half(),
                board=board,
                alarm=lambda name, detail: alarms.append((name, detail)),
                acked=acked,
                last=life.last_seq,
                check_head=life.bridge.holds_head,
            )
            life.bridge.on_committed = uplink.committed
            task = asyncio.ensure_future(uplink.run())
            for _ in range(days):
                for car in ("car-1", "car-2"):
                    bay = next(bay for bay, asset in inside.items() if asset == car)
                    rental = f"r{next(names)}"
                    await life.book(rental, car)
                    await life.visit(rental, bay, car, bring=False)
                    await life.rest(HOUR)
                    await life.visit(rental, None, car, bring=True)
                await life.rest(DAY - (life.now().utc - life.began_utc) % DAY)
            await life.mailbox.settle()
            acked = uplink.acked
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        life = await Life(journal(path, "boot-0"), inside, boot="boot-0").start()
        await life.stock({"bay-1": "car-1", "bay-2": "car-2"})
        await live(life, 1)
        told, offline_from = len(cloud.events), life.last_seq
        assert told == offline_from == acked > 0
        cloud.there, cloud.asked = False, 0
        for n in range(1, 5):
            await live(life, 7)
            await life.stop()
            life = await Life(journal(path, f"boot-{n}"), inside, boot=f"boot-{n}", began_utc=life.now().utc).start()
        await live(life, 2)
        assert len(cloud.events) == told and acked == offline_from
        assert cloud.asked < 30 * DAY / 60, "a machine that hears nothing asks once a minute at most"
        assert life.last_seq > offline_from + 60 * 12
        assert len(life.mailbox.world.of["rental"]) >= 60, "what the cloud has not heard of stays in the world"
        cloud.there = True
        await live(life, 1)
        await life.rest(HOUR)
        assert [x["seq"] for x in cloud.events] == list(range(1, len(cloud.events) + 1))
        assert acked == life.last_seq == len(cloud.events)
        trips = [x["subject"] for x in cloud.events if x["type"] == "io.vendingd.rental.returned"]
        assert len(trips) == len(set(trips)) == 64 and alarms == []
        assert len(life.mailbox.world.of["rental"]) <= 1, (
            "and what it has heard of leaves it, the last with what follows"
        )
        await life.stop()
        verdict = verify_file(path, MACHINE)
        assert (verdict.ok, verdict.head_seq) == (True, len(cloud.events))

    simulate(story())


@pytest.mark.long
async def test_five_years_of_records_behind_their_anchors(path: Path) -> None:
    """A hundred and ten records a day, an anchor each month: a year's worth stays, and a start costs what it did."""
    utc, month, months = 1.8e9, 30 * DAY, 61
    a_month, seq = 3_300, 0
    sizes: list[int] = []
    first: list[int] = []
    store = Journal(path, machine=MACHINE, boot_id="b", token=os.urandom)
    await store.open()
    data = b'{"asset":"car-17","bay":"bay-3","due":1795574280.12,"grant":"bay-3.7","rental":"r-%d"}'
    for n in range(months):
        for part in range(0, a_month, 300):
            at = utc + month * (part / a_month)
            records = [
                NewRecord("rental.on_trip", f"r-{seq + k}", data % k, at + k, at - utc + k, True, False)
                for k in range(300)
            ]
            done = await store.commit(Batch(records, [StateChange("rental", f"r-{k}", data % n) for k in range(9)]))
            seq = done.last_seq
        await store.commit(Batch(ack=seq, refused=[Refused(seq - 7, b"{}")] if n == 3 else []))
        utc += month
        await store.trim(seq, Keep(utc - 400 * DAY, utc))
        sizes.append(path.stat().st_size)
        first.append((await store.records(0, 2))[-1].seq)
        if n == 2:
            await store.close()
            few = steps_to_load(path, MACHINE)
            await store.open()
    assert seq > 200_000
    kept = seq - first[-1] + 1
    assert abs(kept - 400 / 30 * a_month) <= 300, "as many as one part of a month has"
    assert max(sizes[30:]) <= 1.05 * sizes[29], "what has aged out makes room for what comes"
    verdict = await store.verify()
    assert verdict.ok and verdict.from_seq == first[-1] - 1 and verdict.checked == kept + 1, verdict
    assert [one.record.seq for one in await store.refused()] == [4 * a_month - 7], "set aside is kept for ever"
    await store.close()
    assert steps_to_load(path, MACHINE) <= few
