"""What a lock board sees of the machine: channels with a coil and a feedback contact."""

from __future__ import annotations

from typing import Any, Protocol

from hw_sim.wires.frames import Frame
from hw_sim.wires.line import Line


class Bank(Protocol):
    """The channels of one device, from 1."""

    def closed(self, channel: int) -> bool:
        """The feedback contact is closed: door shut or bolt locked. A cut wire is an open contact."""
        ...

    def pulse(self, channel: int, duration_s: float) -> None:
        """Energise a coil for a while; a channel that nothing is wired to does nothing."""
        ...


def log_fields(line: Line, frame: Frame, before: dict[str, float | None]) -> dict[str, Any]:
    """What a bench needs of an unlock frame. `t_mono` of the entry is the paced arrival of its last byte."""
    return {
        "device": line.name, "frame": frame.data.hex(" "), "t_first": frame.t_first, "t_read": line.read_at,
        "previous": before,
    }  # fmt: skip
