"""The daemon with places to die at and a clock that can go wrong. Only tests start it; nothing of it is installed.

It is `vendingd` itself: the probes of journal and effects, which production leaves empty, kill the process at the point
that the file `crash` in the working directory names (`LABEL N`: the N-th time from now on; LABEL is a pattern, such as
`journal.*`). Beside the labels of `vendingd.journal.api` and of the executor there are two in the midst of an effect:
`effect.energised` and `effect.idle_again`, when the line of a lock was driven high and low. And
VENDINGD_TEST_CLOCK says what time it is: `synchronised`, as the kernel says after hearing from a time server, or
`lost`, as on a board without a battery that has not: it begins in 1970.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path

from drivers.wires import gpio
from vendingd import app
from vendingd.journal import store
from vendingd.kernel import time as machine_time
from vendingd.main import main

ORDER = Path("crash")


class Probe:
    """Called on the journal's writer thread, and on the loop's."""

    def __init__(self) -> None:
        self._order = ""
        self._left = 0

    def __call__(self, label: str) -> None:
        try:
            order = ORDER.read_text()
        except FileNotFoundError:
            self._order = ""
            return
        where, _, n = order.partition(" ")
        if order != self._order:
            self._order, self._left = order, int(n)
        if fnmatchcase(label, where):
            self._left -= 1
            if self._left == 0:
                ORDER.rename("crashed")
                Path("crashed").write_text(label)
                os.kill(os.getpid(), signal.SIGKILL)


class LostClock(machine_time.SystemClock):
    """Counts from 1970 on: nothing has told it better."""

    def utc_now(self) -> float:
        return time.monotonic()


probe = Probe()
store.Journal = functools.partial(store.Journal, probe=probe)  # type: ignore[misc,assignment]
app.Seams = functools.partial(app.Seams, probe=probe)  # type: ignore[misc,assignment]

_drive = gpio.Line.drive


def drive(line: gpio.Line, high: bool) -> None:
    """As it is, with labels: only locks are driven here, and a high level is their pulse."""
    _drive(line, high)
    probe("effect.energised" if high else "effect.idle_again")


gpio.Line.drive = drive  # type: ignore[method-assign]
clock = os.environ.get("VENDINGD_TEST_CLOCK", "")
if clock:
    machine_time.kernel_synchronised = lambda: clock == "synchronised"
if clock == "lost":
    machine_time.SystemClock = LostClock  # type: ignore[misc]

if __name__ == "__main__":
    sys.exit(main())
