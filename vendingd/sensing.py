"""From what devices report to events: which bay or terminal a channel belongs to, and when a level has settled.

Debouncing is here, not in drivers: contacts 30 ms, occupancy 1.5 s (site options). A level that does not answer passes
at once. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.ports import DeviceStatus, LevelRead, Sense, TagRead
from fsm.events import DeviceChanged, EstopChanged, Event, LevelChanged, TagChanged, TamperChanged

_log = logging.getLogger(__name__)

Channel = tuple[str, int]  # device, channel


@dataclass(frozen=True, slots=True)
class Wiring:
    """What hangs where. Keys are (device, channel)."""

    doors: Mapping[Channel, str]  # bay
    bolts: Mapping[Channel, str]
    presences: Mapping[Channel, str]
    tags: Mapping[Channel, str]
    tamper: Channel | None
    estop: Channel | None


@dataclass(frozen=True, slots=True)
class Debounce:
    contact_s: float = 0.03
    occupancy_s: float = 1.5


class _Level:
    """One debounced level: reports a value once it has stood still."""

    __slots__ = ("_handle", "_raw", "_say", "_window_s", "known", "settled")

    def __init__(self, window_s: float, say: Callable[[bool | None], None]) -> None:
        self._window_s = window_s
        self._say = say
        self._raw: bool | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.settled: bool | None = None
        self.known = False  # something was reported since the start, be it that it does not answer

    def read(self, value: bool | None) -> None:
        if self.known and value == self._raw:
            return
        self._raw = value
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if value is None or self._window_s == 0:
            self._settle()
        else:
            self._handle = asyncio.get_running_loop().call_later(self._window_s, self._settle)

    def _settle(self) -> None:
        self._handle = None
        if self.known and self.settled == self._raw:
            return
        self.settled, self.known = self._raw, True
        self._say(self._raw)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Sensing:
    """`level(slot, event)` and `post(event)` are the mailbox's; `pressed(terminal)` a return key's."""

    def __init__(
        self,
        wiring: Wiring,
        debounce: Debounce,
        *,
        level: Callable[[str, Event], None],
        post: Callable[[Event], None],
        on_bay: Callable[[str], None] = lambda bay: None,
    ) -> None:
        self._wiring = wiring
        self._level = level
        self._post = post
        self._on_bay = on_bay
        self._levels: dict[tuple[Sense, Channel], _Level] = {}
        self._bays: dict[str, list[_Level]] = {}
        self._tags: dict[str, tuple[str | None, bool] | None] = dict.fromkeys(wiring.tags.values())
        self.devices: dict[str, DeviceStatus] = {}
        for sense, channels, window in (
            (Sense.DOOR, wiring.doors, debounce.contact_s),
            (Sense.BOLT, wiring.bolts, debounce.contact_s),
            (Sense.PRESENCE, wiring.presences, debounce.occupancy_s),
        ):
            for channel, bay in channels.items():
                made = _Level(window, self._bay_level(bay, sense))
                self._levels[sense, channel] = made
                self._bays.setdefault(bay, []).append(made)
        if wiring.tamper is not None:
            self._levels[Sense.TAMPER, wiring.tamper] = _Level(debounce.contact_s, self._tamper)
        if wiring.estop is not None:
            self._levels[Sense.ESTOP, wiring.estop] = _Level(debounce.contact_s, self._estop)

    # ------------------------------------------------ in
    def level(self, read: LevelRead) -> None:
        known = self._levels.get((read.sense, (read.device, read.channel)))
        if known is not None:
            known.read(read.value)

    def tag(self, read: TagRead) -> bool:
        """False where the reader is no bay's."""
        bay = self._wiring.tags.get((read.device, read.channel))
        if bay is None:
            return False
        self._tag(bay, read.tag, True)
        return True

    def status(self, status: DeviceStatus) -> None:
        """A reader that went away reads nothing; levels of other devices are told by themselves."""
        key = status.device if status.channel is None else f"{status.device}:{status.channel}"
        before = self.devices.get(key)
        self.devices[key] = status
        if before is None or before.up != status.up:
            (_log.info if status.up else _log.warning)("%s is %s: %s", key, _word(status.up), status.detail)
            if before is not None or not status.up:
                self._post(DeviceChanged(key, status.up, status.detail))
        for (device, channel), bay in self._wiring.tags.items():
            # One that came back has not looked yet: it says itself what is, or is not, in its field.
            if device == status.device and status.channel in (None, channel) and not status.up:
                self._tag(bay, None, False)

    # ------------------------------------------------ out
    def _bay_level(self, bay: str, sense: Sense) -> Callable[[bool | None], None]:
        def say(value: bool | None) -> None:
            self._level(f"{bay} {sense}", LevelChanged(bay, str(sense), value))
            self._on_bay(bay)

        return say

    def _tag(self, bay: str, tag: str | None, known: bool) -> None:
        if self._tags[bay] == (tag, known):
            return
        self._tags[bay] = (tag, known)
        self._level(f"{bay} tag", TagChanged(bay, tag, known))
        self._on_bay(bay)

    def _tamper(self, value: bool | None) -> None:
        if value is not None:
            self._level("tamper", TamperChanged(value))

    def _estop(self, value: bool | None) -> None:
        self._level("estop", EstopChanged(value))

    # ------------------------------------------------ looks
    def answered(self, bay: str) -> bool:
        """Every installed sensor of the bay has said something that has settled."""
        levels = all(level.known for level in self._bays.get(bay, ()))
        return levels and self._tags.get(bay, (None, True)) is not None

    def replay(self) -> None:
        """Tell every settled level once more: the world was loaded anew."""
        for (sense, channel), level in self._levels.items():
            if not level.known:
                continue
            bay = {
                Sense.DOOR: self._wiring.doors,
                Sense.BOLT: self._wiring.bolts,
                Sense.PRESENCE: self._wiring.presences,
            }.get(sense, {}).get(channel)
            if bay is not None:
                self._level(f"{bay} {sense}", LevelChanged(bay, str(sense), level.settled))
            elif sense is Sense.ESTOP:
                self._estop(level.settled)
            elif sense is Sense.TAMPER:
                self._tamper(level.settled)
        for bay, tag in self._tags.items():
            if tag is not None:
                self._level(f"{bay} tag", TagChanged(bay, *tag))

    def stop(self) -> None:
        for level in self._levels.values():
            level.stop()


def _word(up: bool) -> str:
    return "up" if up else "down"
