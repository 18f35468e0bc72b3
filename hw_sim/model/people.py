"""People at the machine: they wait for a bay, open it, take or put something, close it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hw_sim.model.bay import Bay, Impossible

if TYPE_CHECKING:
    from hw_sim.model.world import World


@dataclass(slots=True)
class Person:
    """One errand. `pace_s` lies between two movements of the hand; after `until` the person has gone.

    Waits for the first bay of `bays` that can be opened or stands open, then does `acts` in order:
    ("open", None), ("take", asset or None for whatever lies there), ("put", asset), ("close", None).
    """

    id: str
    errand: str
    bays: tuple[str, ...]
    acts: list[tuple[str, str | None]]
    pace_s: float
    until: float
    stage: str = "waiting"  # waiting, busy, done, gave_up, failed
    bay: str | None = None
    reason: str | None = None
    took: list[str] = field(default_factory=list)
    due: float | None = None

    def __post_init__(self) -> None:
        self.due = self.until

    @property
    def finished(self) -> bool:
        return self.stage in ("done", "gave_up", "failed")

    def step(self, world: World, now: float) -> None:
        """Do what is due; called after every change of the world."""
        if self.stage == "waiting":
            found = next((b for b in self.bays if _reachable(world.bays[b])), None)
            if found is not None:
                self.stage, self.bay, self.due = "busy", found, now + self.pace_s
                world.log.add(now, "person_walks_up", bay=found, person=self.id)
            elif now >= self.until:
                self._end(world, now, "gave_up", "no bay could be opened")
        while self.stage == "busy" and self.due is not None and now >= self.due:
            self._act(world, now)

    def _act(self, world: World, now: float) -> None:
        assert self.bay is not None
        bay = world.bays[self.bay]
        act, what = self.acts[0]
        try:
            if act == "open":
                if bay.door == "closed":
                    bay.open_door(now)
            elif act == "take":
                self.took.append(world.take(bay, now, what))
            elif act == "put":
                assert what is not None
                world.put(bay, now, what)
            elif act == "close" and bay.door == "open" and not bay.faults.door_left_open \
                    and bay.shape.door in ("hand", "pop"):  # fmt: skip
                bay.close_door(now)
        except Impossible as no:
            if act == "open":  # it locked again under the hand: wait for the next time
                self.stage, self.bay, self.due = "waiting", None, self.until
                return
            self._end(world, now, "failed", str(no))
            return
        self.acts.pop(0)
        if self.acts:
            self.due = now + self.pace_s
        else:
            self._end(world, now, "done", None)

    def _end(self, world: World, now: float, stage: str, reason: str | None) -> None:
        self.stage, self.reason, self.due = stage, reason, None
        world.log.add(now, f"person_{stage}", bay=self.bay, person=self.id, reason=reason)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "errand": self.errand, "stage": self.stage, "bay": self.bay,
            "took": list(self.took), "left_to_do": [a for a, _ in self.acts], "reason": self.reason,
        }  # fmt: skip


def _reachable(bay: Bay) -> bool:
    return bay.door == "open" or bay.can_open
