"""Outcomes of cloud instructions: each instruction gets exactly one, stored for replays."""

from __future__ import annotations

from fsm.model import Done
from fsm.world import Turn

KEPT = 2000  # a replay of an older instruction than these is judged anew, by its version


def settle_instruction(turn: Turn, instruction: str, outcome: str, reason: str = "", why: str = "") -> None:
    """Store and journal the one outcome: accepted, refused, malformed, stale or unsupported."""
    turn.settled += 1
    turn.put(Done(id=instruction, n=turn.world.settled_n + turn.settled, outcome=outcome, reason=reason, why=why))
    turn.record("instruction.outcome", instruction, outcome=outcome, reason=reason or None, why=why or None)
    done = turn.world.settled()
    if len(done) >= KEPT:  # the one settled first goes for each that comes, also within one delivery
        oldest = next((key for key in done if ("done", key) not in turn.changes), None)
        if oldest is not None:
            turn.drop("done", oldest)
