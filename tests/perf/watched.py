"""The daemon with a stopwatch: `python -m tests.perf.watched OUT vendingd-arguments…`.

It is the daemon as it is, started by its own `main`. Noted are the labelled points of each commit, with the time and
the bytes written so far, and how long the uplink waits for HTTP, JSON and SQLite; they are written to OUT when the
process ends or gets SIGUSR1.
"""

from __future__ import annotations

import functools
import inspect
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.perf.figures import written_bytes


class Stopwatch:
    """Notes `(label, monotonic seconds, bytes written)`; called on the journal's thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.noted: list[tuple[str, float, int]] = []
        self.spent: dict[str, float] = {}  # seconds

    def __call__(self, label: str) -> None:
        at = time.monotonic()
        self.noted.append((label, at, written_bytes("self")))

    def save(self, *_: object) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"noted": self.noted, "spent": self.spent}))
        fresh.replace(self.path)

    def around(self, name: str, call: Any) -> Any:
        """The same function, its time counted; of coroutines from call to result."""

        def add(began: float) -> None:
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began

        @functools.wraps(call)
        async def awaited(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return await call(*args, **named)
            finally:
                add(began)

        @functools.wraps(call)
        def called(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                add(began)

        return awaited if inspect.iscoroutinefunction(call) else called


def main(argv: list[str]) -> int:
    from vendingd import main as daemon
    from vendingd.bridge import Bridge
    from vendingd.cloud import uplink
    from vendingd.journal import store

    watch = Stopwatch(Path(argv[0]))
    plain: Any = store.Journal.__init__
    store.Journal.__init__ = functools.partialmethod(plain, probe=watch)  # type: ignore[assignment]
    parts: Any = uplink  # its own names are replaced, not those of the feed beside it
    parts.pack = watch.around("json", parts.pack)
    parts._decode_receipt = watch.around("json", parts._decode_receipt)
    parts.Uplink._post = watch.around("http", parts.Uplink._post)
    outbox: Any = Bridge
    outbox.read = watch.around("sqlite", outbox.read)
    outbox.acked = watch.around("sqlite", outbox.acked)
    outbox.holds_head = watch.around("sqlite", outbox.holds_head)
    signal.signal(signal.SIGUSR1, watch.save)
    try:
        return daemon.main(argv[1:])
    finally:
        watch.save()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
