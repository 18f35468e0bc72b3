"""What the cloud believes of each rental, and of each instruction, from the events alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
FINAL = frozenset({"returned", "purchased", "expired", "cancelled"})

# record kind -> the state that the rental is in after it
_STATE_AFTER: Mapping[str, str] = {
    "rental.ready": "ready",
    "rental.claimed": "claimed",
    "rental.unclaimed": "ready",
    "rental.not_taken": "ready",
    "rental.on_trip": "on_trip",
    "rental.return_started": "returning",
    "rental.return_abandoned": "on_trip",
    "rental.returned": "returned",
    "rental.purchased": "purchased",
    "rental.expired": "expired",
    "rental.cancelled": "cancelled",
    "rental.incident": "incident",
}
_RESOLVED = {"ready", "on_trip", "returned", "cancelled", "purchased"}
_KEPT = ("bay", "asset", "due", "version", "incident", "outage", "unsensed")


def state_after(kind: str, before: str | None, data: Mapping[str, Any]) -> str | None:
    """The rental's state once this happened."""
    if kind in _STATE_AFTER:
        return _STATE_AFTER[kind]
    if kind == "rental.booked":
        return before or "booked"
    if kind == "rental.not_opened":
        return "on_trip" if before == "returning" else "ready"
    if kind == "rental.resolved" and data.get("outcome") in _RESOLVED:
        return str(data["outcome"])
    if kind == "bay.unlock_authorised":
        return {"release": "releasing", "return": "returning"}.get(str(data.get("purpose")), before)
    return before


@dataclass
class Ledger:
    rentals: dict[str, Json] = field(default_factory=dict)
    outcomes: list[Json] = field(default_factory=list)

    def hear(self, machine: str, kind: str, event: Json) -> None:
        """One event that is new."""
        subject, data = str(event.get("subject", "")), event["data"]
        if kind == "instruction.outcome":
            self.outcomes.append(
                {"instruction": subject, "machine": machine, "seq": event["seq"], "time": event["time"], **data}
            )
            return
        rental = subject if kind.startswith("rental.") else data.get("rental")
        if not isinstance(rental, str) or not rental:
            return
        row = self.rentals.setdefault(rental, {"rental": rental, "state": None, "history": []})
        row["state"] = state_after(kind, row["state"], data)
        row["machine"] = machine
        if kind.startswith("rental."):
            row |= {name: data[name] for name in _KEPT if name in data}
        line = {"kind": kind, "seq": event["seq"], "time": event["time"], "offline": event["offline"]}
        row["history"].append(line | {"state": row["state"]})

    def over(self) -> set[str]:
        """Rentals of which a machine said that they are over."""
        return {rental for rental, row in self.rentals.items() if row["state"] in FINAL}
