"""Long histories, made by the journal itself in big batches."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from vendingd.journal.api import Batch, NewRecord
from vendingd.journal.store import Journal

AT_ONCE = 5000
DATA = b'{"asset":"car-17","bay":"bay-3","due":1795574280.12,"rental":"r-%d"}'


async def _lengthen(path: Path, machine: str, records: int, acknowledged: bool) -> int:
    journal = Journal(path, machine=machine, boot_id="bench", token=os.urandom)
    last = (await journal.open()).next_seq - 1
    utc, made = time.time(), 0
    while made < records:
        count = min(AT_ONCE, records - made)
        batch = [
            NewRecord("rental.on_trip", f"r-{n}", DATA % n, utc, float(n), True, True)
            for n in range(made, made + count)
        ]
        last = (await journal.commit(Batch(batch))).last_seq
        made += count
    if acknowledged:
        await journal.commit(Batch(ack=last))
    await journal.close()
    return last


def lengthen(path: Path, machine: str, records: int, *, acknowledged: bool) -> int:
    """Append records to a journal that no daemon has open; returns the last seq."""
    return asyncio.run(_lengthen(path, machine, records, acknowledged))
