"""Lights and buzzers of terminals follow the visit: they show that somebody is served or was refused, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from drivers.ports import Device, Indicator
from fsm.model import Visit, VisitState
from vendingd.site.resolved import Channel, Site

REFUSALS = frozenset({"wrong_pin", "wrong_face", "wrong_badge", "cannot_check"})
CONTENT = frozenset({"taken", "returned", "reopened", "left"})  # whoever got what they came for, or went away


def signal_of(visit: Visit) -> str:
    """What a terminal's light says: idle, wait, granted or refused."""
    if visit.state is VisitState.SERVING:
        return "granted"
    if visit.state is VisitState.FAREWELL:
        return "idle" if visit.reason in CONTENT else "refused"
    if visit.state is VisitState.VERIFYING and visit.reason in REFUSALS and not visit.checking:
        return "refused"
    return "idle" if visit.state is VisitState.IDLE else "wait"


class Lights:
    """Tells each light of changes alone."""

    def __init__(
        self, site: Site, devices: Mapping[str, Device], spawn: Callable[[Any, str], asyncio.Task[Any]]
    ) -> None:
        self._lit: dict[str, list[tuple[Indicator, int]]] = {}
        self._shown: dict[str, str] = {}
        self._spawn = spawn
        for one in site.terminals.values():
            channels: dict[Channel, None] = dict.fromkeys(c for c in (one.badge, one.keypad) if c is not None)
            made: list[tuple[object, int]] = [(devices[c.device], c.number) for c in channels]
            self._lit[one.id] = [(device, n) for device, n in made if isinstance(device, Indicator)]

    def follow(self, terminal: str, visit: Visit) -> None:
        signal = signal_of(visit)
        if self._shown.get(terminal, "idle") == signal:
            return
        self._shown[terminal] = signal
        for device, channel in self._lit.get(terminal, ()):
            self._spawn(device.show(signal, channel), f"light at {terminal}")
