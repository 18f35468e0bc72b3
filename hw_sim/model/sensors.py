"""What the sensors say of the physical truth, with their own faults: the only place that lies."""

from __future__ import annotations

from hw_sim.model.bay import Bay


def truth(bay: Bay, sense: str) -> bool:
    """door: open; bolt: locked; presence: something is there."""
    if sense == "door":
        return bay.door != "closed"
    if sense == "bolt":
        return bay.bolted
    if sense == "presence":
        return bool(bay.items)
    raise ValueError(f"a bay has no sense {sense!r}")


def bounce_times(bay: Bay, sense: str) -> list[float]:
    """When the contact toggles after its last motion, evenly spread over `bounce_ms`."""
    moved = bay.moved_at.get(sense)
    if sense != "door" or bay.faults.bounce_ms is None or moved is None:
        return []
    edges = bay.faults.bounce_edges - bay.faults.bounce_edges % 2  # an even number ends at the truth
    return [moved + bay.faults.bounce_ms / 1000 * (i + 1) / edges for i in range(edges)]


def sensed(bay: Bay, sense: str, now: float) -> bool | None:
    """The sensor's answer; None: its wire is cut, so that its input's pull decides."""
    if sense in bay.faults.lost:
        return bay.faults.lost[sense]
    if sense == "presence" and bay.faults.presence_stuck is not None:
        return bay.faults.presence_stuck
    left = sum(1 for t in bounce_times(bay, sense) if t > now)
    return truth(bay, sense) != bool(left % 2)


def next_bounce(bay: Bay, now: float) -> float | None:
    return min((t for t in bounce_times(bay, "door") if t > now), default=None)
