"""A process that commits until it is killed, saying on stdout what was acknowledged to it.

    journal_child.py PATH SEED BATCHES PAD LABEL HIT

Kills itself at the HIT-th time that the probe passes LABEL ('-': never).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from vendingd.journal.api import Batch, NewRecord, Refused, StateChange
from vendingd.journal.store import Journal


def batches(seed: int, n: int, pad: int) -> list[Batch]:
    """The same batches for one seed, in the child and in the test. Batch k acknowledges what was before it."""
    chance = random.Random(seed)
    made: list[Batch] = []
    seq = 0
    for k in range(n):
        size = chance.choice((1, 1, 2, 30))
        records = [
            NewRecord("k", f"{k}/{i}", b"%d" % chance.randrange(10**9) + b"x" * pad, 1.0 * k, 1.0, True, False)
            for i in range(size)
        ]
        state = [StateChange("proof", "batch", b"%d" % k), StateChange("rental", f"{k % 7}", b"%d" % (seq + size))]
        refused = [Refused(seq, b"%d" % k)] if seq and chance.random() < 0.2 else []
        made.append(Batch(records, state, ack=seq, refused=refused))
        seq += size
    return made


async def main(path: Path, made: list[Batch], label: str, hit: int) -> None:
    hits = 0

    def probe(at: str) -> None:
        nonlocal hits
        hits += at == label
        if hits == hit and at == label:
            os.kill(os.getpid(), signal.SIGKILL)

    journal = Journal(path, machine="m", boot_id="b", token=os.urandom, probe=probe)
    await journal.open()
    for k, batch in enumerate(made):
        done = await journal.commit(batch)
        sys.stdout.write(f"{k} {done.last_seq}\n")
        sys.stdout.flush()
    await journal.close()


if __name__ == "__main__":
    where, *numbers, name, count = sys.argv[1:]
    asyncio.run(main(Path(where), batches(*map(int, numbers)), name, int(count)))
