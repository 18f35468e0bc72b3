"""Gives an OSDP reader in installation mode a key of its own, and checks that it has it.

The reader is reached by the key that everybody knows (SCBK-D), which it accepts in installation mode only, and takes
the new key over that channel. Whoever listens on the line at that moment learns the new key: do it with the line in
sight. Afterwards a second channel is made by the new key alone.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.link import together
from drivers.ports import ByteWire, Clock, DriverError, WireLost
from drivers.readers.osdp_panel import NO_ANSWER, OTHER_KEY, Panel

STEP_S = 0.015
PATIENCE_S = 12.0  # more than any handshake needs, also after lost replies
DOUBT_S = 7.0  # two attempts at a reader of which it is not known whether it has a key
SETTLE_S = 0.3  # between two sessions, so that the last reply of the first is over
NOT_INSTALLING = (
    "is not in installation mode, and has another key: reset it as its manual says (a switch, a configuration card), "
    "then try again"
)


class CommissionError(DriverError):
    """The reader was not given the key, or cannot be reached by it; says what to do."""

    def __init__(self, text: str, *, sent: bool) -> None:
        """`sent`: the key left, so the reader may have taken it."""
        super().__init__(text)
        self.sent = sent


async def commission(wire: ByteWire, address: int, key: bytes, baud: int, clock: Clock) -> str:
    """Give the reader at this address the key. Returns its identity (vendor, model, serial number).

    A reader that has this very key already is left as it is. The wire is open. Raises CommissionError.
    """
    giving = Panel([address], [key], baud, clock.monotonic(), install=True)
    try:
        problem = await _session(wire, giving, clock)
    except WireLost as exc:
        raise CommissionError(str(exc), sent=giving.keyset_sent) from exc
    if problem:
        raise CommissionError(f"the reader at address {address} {problem}", sent=giving.keyset_sent)
    await clock.sleep_until(clock.monotonic() + SETTLE_S)
    checking = Panel([address], [key], baud, clock.monotonic())
    try:
        problem = await _session(wire, checking, clock)
    except WireLost as exc:
        raise CommissionError(str(exc), sent=True) from exc
    if problem:
        text = f"the reader at address {address} took the new key, but {problem} when called by it"
        raise CommissionError(text, sent=True)
    return checking.identity(0)


async def has_key(wire: ByteWire, address: int, key: bytes, baud: int, clock: Clock) -> bool:
    """Whether the reader at this address answers by this key. Raises CommissionError where that cannot be told."""
    asking = Panel([address], [key], baud, clock.monotonic())
    try:
        problem = await _session(wire, asking, clock, DOUBT_S)
    except WireLost as exc:
        raise CommissionError(str(exc), sent=True) from exc
    if problem not in ("", OTHER_KEY):
        raise CommissionError(f"the reader at address {address} {problem}", sent=True)
    await clock.sleep_until(clock.monotonic() + SETTLE_S)
    return not problem


async def _session(wire: ByteWire, panel: Panel, clock: Clock, patience_s: float = PATIENCE_S) -> str:
    """Until the reader's secure channel stands: ''. Else why it does not."""
    problem: list[str] = []
    end_mono = clock.monotonic() + patience_s
    await together(_listen(wire, panel, clock), _drive(wire, panel, clock, end_mono, problem.append))
    return problem[0]


async def _listen(wire: ByteWire, panel: Panel, clock: Clock) -> None:
    while True:
        panel.receive(await wire.read(), clock.monotonic())


async def _drive(wire: ByteWire, panel: Panel, clock: Clock, end_mono: float, done: Callable[[str], None]) -> None:
    while True:
        now = clock.monotonic()
        outgoing, _ = panel.step(now)
        if outgoing:
            await wire.write(outgoing)
        if panel.up(0, now):
            return done("")
        if insecure := panel.insecure(0):
            return done(NOT_INSTALLING if insecure == OTHER_KEY else insecure)
        if panel.trouble(0) == NO_ANSWER or now > end_mono:
            return done(panel.trouble(0) or "does not come up: check the line, then try again")
        await clock.sleep_until(now + STEP_S)
