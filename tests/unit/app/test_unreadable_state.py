"""A state that this version cannot read: said with what to do, and tried again for as long as it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from drivers.ports import WireLost
from tests.unit.virtual import LoopClock, simulate
from vendingd.app import REOPEN_MOST_S, App, Seams
from vendingd.desk import Keys
from vendingd.identity.keys import KeyRing
from vendingd.journal.api import Batch, Loaded, StateChange, StoreErrorKind
from vendingd.journal.memory import MemoryDisk, MemoryStore
from vendingd.notify import Notifier
from vendingd.site.load import load_site
from vendingd.workers import RealWorkers

SITE = """
schema = 1
machine = "machine"
site = "west"
[clock]
trust = "assume"
[policy.least]
"*" = ["pass"]
[devices.locks]
driver = "kerong-cu48"
port = "/dev/null/locks"
[[bays]]
id = "bay-1"
fits = ["car"]
lock = "locks:1"
[devices.scanner]
driver = "line-scanner"
port = "/dev/null/scanner"
[[terminals]]
id = "front"
codes = ["scanner"]
"""


class Counted(MemoryStore):
    """A store that knows how often it was opened."""

    opened = 0

    async def open(self) -> Loaded:
        self.opened += 1
        return await super().open()


class Unplugged:
    """A wire whose adapter is not there."""

    async def open(self) -> None:
        raise WireLost("nothing is plugged in")

    async def read(self) -> bytes:
        raise WireLost("nothing is plugged in")

    async def write(self, data: bytes) -> None:
        raise WireLost("nothing is plugged in")

    def close(self) -> None:
        pass


def test_it_is_tried_again_until_it_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE)

    async def live() -> None:
        disk = MemoryDisk()
        before = MemoryStore(disk)
        await before.open()
        await before.commit(Batch(state=[StateChange("rental", "r1", b'{"id":"\xb3"}')]))
        store = Counted(disk)
        workers = RealWorkers()
        app = App(
            load_site(path),
            Keys(KeyRing.of(())),
            Seams(
                clock=LoopClock(),
                random=Random(1),
                store=store,
                workers=workers,
                serial=lambda settings: Unplugged(),
                pins=lambda: None,
                transport=None,
                token_bytes=bytes,
                boot="b",
                synchronised=lambda: True,
                device_key=bytes(32),
            ),
            Notifier({}),
        )
        ready = asyncio.Event()

        async def said() -> None:
            ready.set()

        running = asyncio.create_task(app.run(said))
        await ready.wait()
        why = app.journal_error
        assert why is not None and why.kind is StoreErrorKind.CORRUPT
        for words in ("state row rental/r1", "vendingctl journal put-back", "vendingctl journal set-aside"):
            assert words in str(app.mailbox.unavailable), words
        await asyncio.sleep(10 * REOPEN_MOST_S)
        assert store.opened > 10 and app.mailbox.unavailable is not None
        del disk.state["rental", "r1"]
        await asyncio.sleep(2 * REOPEN_MOST_S)
        assert app.mailbox.unavailable is None and app.journal_error is None
        app.stop()
        await running
        await app.shutdown()
        await workers.aclose()

    simulate(live())
