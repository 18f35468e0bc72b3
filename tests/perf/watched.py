"""The daemon with a stopwatch at its journal: `python -m tests.perf.watched OUT vendingd-arguments…`.

It is the daemon as it is, started by its own `main`; only the labelled points of each commit are noted, with the time
and the bytes written so far, and written to OUT when the process ends or gets SIGUSR1.
"""

from __future__ import annotations

import functools
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.perf.figures import written_bytes

PATH = "PERF_WATCHED"


class Stopwatch:
    """Notes `(label, monotonic seconds, bytes written)`; called on the journal's thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.noted: list[tuple[str, float, int]] = []

    def __call__(self, label: str) -> None:
        at = time.monotonic()
        self.noted.append((label, at, written_bytes("self")))

    def save(self, *_: object) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.noted))
        fresh.replace(self.path)


def main(argv: list[str]) -> int:
    from vendingd import main as daemon
    from vendingd.journal import store

    watch = Stopwatch(Path(argv[0]))
    plain: Any = store.Journal.__init__
    store.Journal.__init__ = functools.partialmethod(plain, probe=watch)  # type: ignore[assignment]
    signal.signal(signal.SIGUSR1, watch.save)
    try:
        return daemon.main(argv[1:])
    finally:
        watch.save()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
