"""One bay: its bolt, its door or gate, and what lies inside. Knows nothing of wires or people.

The figures are ours, of the order of what cabinet locks and small gates do; a scenario may set each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hw_sim.model.log import PhysicalLog

DoorKind = Literal["hand", "spring", "pop", "gate"]
BoltKind = Literal["latch", "solenoid"]
DOOR_KINDS: tuple[DoorKind, ...] = ("hand", "spring", "pop", "gate")
BOLT_KINDS: tuple[BoltKind, ...] = ("latch", "solenoid")


class Impossible(Exception):
    """The physical world does not allow this; the message says why."""


@dataclass(slots=True)
class BayShape:
    """How a bay is built. Times in seconds.

    door: `hand` moves only when somebody moves it; `spring` closes itself `close_after_s` after it was last
    touched; `pop` is pushed open by an ejector as soon as its bolt is free; `gate` is driven by an operator.
    bolt: a `latch` stays free after a pulse until its door was opened, or for `free_s`; a `solenoid` bolt is
    free only while it is energised.
    fail: `secure` stays locked without power, `safe` opens.
    """

    door: DoorKind = "hand"
    bolt: BoltKind = "latch"
    fail: Literal["secure", "safe"] = "secure"
    free_s: float = 5.0
    close_after_s: float = 2.0
    pop_after_s: float = 0.15
    travel_s: float = 2.0


@dataclass(slots=True)
class BayFaults:
    """What is broken at this bay."""

    bolt_stuck: bool = False
    bolt_sticky_s: float | None = None
    bolt_wont_lock: bool = False
    door_left_open: bool = False
    door_jammed: bool = False
    lost: dict[str, bool | None] = field(default_factory=dict)  # sense -> frozen level, None: the wire is cut
    presence_stuck: bool | None = None
    bounce_ms: float | None = None
    bounce_edges: int = 6
    tag_unreadable: bool = False


@dataclass(slots=True)
class Bay:
    """One place. All `now` are CLOCK_MONOTONIC seconds and never go back."""

    id: str
    log: PhysicalLog
    shape: BayShape = field(default_factory=BayShape)
    faults: BayFaults = field(default_factory=BayFaults)
    fits: tuple[str, ...] = ()
    bolted: bool = True  # the bolt is extended
    door: Literal["closed", "opening", "open", "closing"] = "closed"
    items: list[str] = field(default_factory=list)
    energised_at: float | None = None
    driven_by: str | None = None
    opened_since_free: bool = False
    free_until: float | None = None
    sticky_at: float | None = None
    move_at: float | None = None  # spring, ejector or gate finishes its motion
    moved_at: dict[str, float] = field(default_factory=dict)  # sense -> last motion, for contact bounce

    def __post_init__(self) -> None:
        if self.shape.door == "gate":
            self.bolted = False

    # ------------------------------------------------------------ what the lock's wires do
    def energise(self, now: float, by: str, *, power: bool = True) -> None:
        """Current flows through the coil (or the operator's "open" input)."""
        if self.energised_at is not None:
            return
        if not power:
            self.log.add(now, "pulse_without_power", bay=self.id, by=by)
            return
        self.energised_at, self.driven_by = now, by
        self.log.add(now, "pulse_on", bay=self.id, by=by)
        if self.shape.door == "gate":
            self.request_gate(now, "open", by)
        elif self.faults.bolt_stuck:
            self.log.add(now, "bolt_stuck", bay=self.id)
        elif self.faults.bolt_sticky_s is not None:
            self.sticky_at = now + self.faults.bolt_sticky_s
        else:
            self._free(now)

    def de_energise(self, now: float) -> None:
        """The current ends; idempotent."""
        if self.energised_at is None:
            return
        on, by = self.energised_at, self.driven_by
        self.energised_at = self.driven_by = None
        self.log.add(now, "pulse", bay=self.id, by=by, t_on=on, duration_s=round(now - on, 6))
        if not self.bolted and self.shape.door != "gate" and self.sticky_at is None:
            self._after_drive(now)

    def request_gate(self, now: float, to: Literal["open", "close"], by: str) -> None:
        """Ask the gate's operator to move; it moves by itself and owns its safety."""
        self.log.add(now, f"gate_asked_to_{to}", bay=self.id, by=by)
        if self.faults.door_jammed:
            return
        moving, done = ("opening", "open") if to == "open" else ("closing", "closed")
        if self.door in (moving, done):
            return
        self.door = "opening" if to == "open" else "closing"
        self.move_at = now + self.shape.travel_s
        self.moved_at["door"] = now
        self.log.add(now, f"gate_{moving}", bay=self.id)

    def halt(self, now: float) -> None:
        """An e-stop takes the power of whatever moves."""
        if self.shape.door == "gate" and self.door in ("opening", "closing"):
            self.door, self.move_at = "open", None
            self.log.add(now, "gate_halted", bay=self.id)

    # ------------------------------------------------------------ bolt
    def _free(self, now: float) -> None:
        self.sticky_at = None
        if self.bolted:
            self.bolted = False
            self.opened_since_free = False
            self.moved_at["bolt"] = now
            self.log.add(now, "bolt_released", bay=self.id)
            if self.shape.door == "pop" and self.door == "closed" and not self.faults.door_jammed:
                self.move_at = now + self.shape.pop_after_s
        self.free_until = None
        if self.energised_at is None:
            self._after_drive(now)

    def _after_drive(self, now: float) -> None:
        """The coil is without current: a solenoid's bolt springs back at once, a latch waits for its door."""
        if self.door != "closed":
            return
        if self.opened_since_free or self.shape.bolt == "solenoid":
            self._lock(now)
        else:
            self.free_until = now + self.shape.free_s

    def _lock(self, now: float) -> None:
        self.free_until = None
        if self.bolted or self.faults.bolt_wont_lock or self.shape.door == "gate":
            return
        self.bolted = True
        if self.shape.door == "pop":
            self.move_at = None
        self.moved_at["bolt"] = now
        self.log.add(now, "bolt_locked", bay=self.id)

    # ------------------------------------------------------------ door
    @property
    def can_open(self) -> bool:
        """A hand could open the door now."""
        return self.door == "closed" and not self.bolted and not self.faults.door_jammed and self.shape.door != "gate"

    def open_door(self, now: float, *, force: bool = False) -> None:
        """Pull the door open. Raises Impossible where bolt, operator or a jam hold it."""
        if self.door == "open":
            raise Impossible(f"{self.id}: the door is open already")
        if self.shape.door == "gate" and not force:
            raise Impossible(f"{self.id}: a powered gate is moved by its operator only")
        if self.faults.door_jammed and not force:
            raise Impossible(f"{self.id}: the door is jammed")
        if self.bolted and not force:
            raise Impossible(f"{self.id}: the bolt is locked")
        if self.bolted:
            self.log.add(now, "door_forced", bay=self.id)
            self.bolted = False  # the strike gives way; closing the door latches it again
            self.moved_at["bolt"] = now
            self.log.add(now, "bolt_released", bay=self.id, forced=True)
        self._opened(now)

    def _opened(self, now: float) -> None:
        self.door, self.move_at, self.free_until = "open", None, None
        self.opened_since_free = True
        self.moved_at["door"] = now
        self.log.add(now, "door_opened", bay=self.id)
        self.touched(now)

    def close_door(self, now: float) -> None:
        """Push the door shut; the bolt snaps in unless it is held."""
        if self.door == "closed":
            raise Impossible(f"{self.id}: the door is closed already")
        if self.shape.door == "gate":
            raise Impossible(f"{self.id}: a powered gate is moved by its operator only")
        self._closed(now)

    def _closed(self, now: float) -> None:
        self.door, self.move_at = "closed", None
        self.moved_at["door"] = now
        self.log.add(now, "door_closed", bay=self.id)
        if self.energised_at is None and self.shape.door != "gate":
            self._lock(now)

    def touched(self, now: float) -> None:
        """A hand is at the door: its closing spring starts anew."""
        if self.shape.door == "spring" and self.door == "open":
            self.move_at = now + self.shape.close_after_s

    # ------------------------------------------------------------ contents
    def require_open(self) -> None:
        if self.door != "open":
            raise Impossible(f"{self.id}: the door is {self.door}, nobody can reach inside")

    # ------------------------------------------------------------ time
    def next_change(self) -> float | None:
        """When this bay changes by itself; None: never."""
        due = [t for t in (self.free_until, self.sticky_at) if t is not None]
        if self.move_at is not None and not (self.shape.door == "spring" and self.faults.door_left_open):
            due.append(self.move_at)
        return min(due, default=None)

    def advance(self, now: float) -> None:
        """Let what is due happen, each at its own time."""
        while (due := self.next_change()) is not None and due <= now:
            if due == self.sticky_at:
                self._free(due)
            elif due == self.free_until:
                self._lock(due)
                self.free_until = None
            else:
                self._finish_motion(due)

    def _finish_motion(self, at: float) -> None:
        self.move_at = None
        ejected = self.shape.door == "pop" and self.door == "closed"
        if ejected or self.door == "opening":
            self._opened(at)
        elif self.door in ("closing", "open"):
            self._closed(at)

    def lose_power(self, now: float) -> None:
        """The machine's supply is gone: coils drop out, fail-safe locks open, gates stand."""
        self.de_energise(now)
        self.halt(now)
        if self.shape.fail == "safe" and self.bolted:
            self._free(now)
            self.free_until = None

    def regain_power(self, now: float) -> None:
        if self.shape.fail == "safe" and not self.bolted and self.door == "closed":
            self._lock(now)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "bolt": "locked" if self.bolted else "released", "door": self.door,
            "items": list(self.items), "energised": self.energised_at is not None,
            "door_kind": self.shape.door, "bolt_kind": self.shape.bolt, "fits": list(self.fits),
        }  # fmt: skip
