"""Which devices work harder now: buses of bays in use poll faster, scanners of visited terminals are triggered."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.ports import Attention, Device
from fsm.model import Aggregate, Bay, BayState, Visit, VisitState
from fsm.world import Key


class Attending:
    """`wanted`: what each user ("bay ID", "visit ID") wants to work harder while it is in use."""

    def __init__(self, wanted: Mapping[str, tuple[str, ...]], devices: Mapping[str, Device]) -> None:
        self._wanted = wanted
        self._devices = devices
        self._users: dict[str, set[str]] = {}
        self._busy: dict[str, bool] = {}

    def follow(self, changes: Mapping[Key, Aggregate | None]) -> None:
        """Something was published."""
        for (kind, key), new in changes.items():
            if kind == "bay" and isinstance(new, Bay):
                self._want(f"bay {key}", new.state is not BayState.SECURED or new.grant is not None)
            elif kind == "visit" and isinstance(new, Visit):
                self._want(f"visit {key}", new.state is not VisitState.IDLE)

    def _want(self, user: str, busy: bool) -> None:
        for name in self._wanted.get(user, ()):
            users = self._users.setdefault(name, set())
            (users.add if busy else users.discard)(user)
            if self._busy.get(name, False) != bool(users):
                self._busy[name] = bool(users)
                device = self._devices[name]
                if isinstance(device, Attention):
                    device.attend(bool(users))
