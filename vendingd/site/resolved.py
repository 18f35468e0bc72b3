"""A machine as its site file declares it: every reference followed, nothing left to check. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drivers.ports import Driver
from fsm.model import BaySpec, Layout, TerminalSpec, Timing
from fsm.policy import AUTHORISER, BADGE, FACE, LIVE_FACE, PASS, PIN, Policy
from vendingd.site import model
from vendingd.site.lines import Lines
from vendingd.site.problems import Problem, SiteError, dotted


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of one device, from 1."""

    device: str
    number: int

    def __str__(self) -> str:
        return f"{self.device}:{self.number}"


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device of the site: its driver and that driver's options, ports as absolute paths."""

    name: str
    driver: Driver
    options: Any
    roles: frozenset[str]  # of this very device: a lock board's feedback is the door or the bolt

    @property
    def channels(self) -> frozenset[int]:
        return frozenset(self.driver.channels(self.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class BayWiring:
    """A bay's devices. `door` and `bolt` name the lock's own channel where its feedback serves as that."""

    id: str
    fits: frozenset[str]
    lock: Channel
    door: Channel
    bolt: Channel | None = None
    presence: Channel | None = None
    tag: Channel | None = None
    gate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalWiring:
    """A terminal's devices."""

    id: str
    codes: tuple[str, ...] = ()
    keypad: Channel | None = None
    return_key: Channel | None = None
    tag: Channel | None = None
    badge: Channel | None = None
    face: str | None = None
    live_face: bool = False  # that device itself proves that a face lives
    screen: bool = True

    @property
    def offers(self) -> frozenset[str]:
        """Factors that can be shown here; a screen can send passes and PINs by the local API."""
        offered = {
            PASS: bool(self.codes) or self.screen,
            PIN: self.keypad is not None or self.screen,
            BADGE: self.badge is not None,
            AUTHORISER: self.badge is not None,
            FACE: self.face is not None and not self.live_face,
            LIVE_FACE: self.face is not None and self.live_face,
        }
        return frozenset(factor for factor, here in offered.items() if here)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The whole site file. Paths are absolute."""

    path: Path
    text: str  # of the file, for errors that are found later
    machine: str
    site: str
    trust: Literal["kernel", "rtc", "assume"]
    support: model.Support
    cloud: model.Cloud | None
    identity: model.Identity
    policy: Policy
    pin: model.Pin
    timing: Timing
    sensing: model.Sensing
    gpio: model.Gpio
    api: model.Api
    journal: model.Journal
    devices: Mapping[str, DeviceEntry]
    bays: Mapping[str, BayWiring]
    terminals: Mapping[str, TerminalWiring]
    bay_at: Mapping[tuple[str, Channel], str]
    """Bay by role ("lock", "door", "bolt", "presence", "tag") and channel."""
    terminal_at: Mapping[tuple[str, Channel], str]
    """Terminal by role ("code", "keypad", "button", "tag") and channel."""
    estop: Channel | None = None
    tamper: Channel | None = None
    warnings: tuple[Problem, ...] = ()

    def layout(self) -> Layout:
        """What the domain needs to know of it."""
        return Layout(
            machine=self.machine,
            site=self.site,
            bays={
                bay.id: BaySpec(
                    id=bay.id,
                    fits=bay.fits,
                    bolt=bay.bolt is not None,
                    presence=bay.presence is not None,
                    tag=bay.tag is not None,
                    gate=bay.gate,
                )
                for bay in self.bays.values()
            },
            terminals={one.id: TerminalSpec(id=one.id, offers=one.offers) for one in self.terminals.values()},
            timing=self.timing,
            policy=self.policy,
            estop=self.estop is not None,
        )

    def error(self, key: tuple[str | int, ...], reason: str, advice: str) -> SiteError:
        """An error like those of loading, for what only the start finds out (a key file that cannot be read)."""
        return SiteError([Problem(str(self.path), Lines(self.text).of(key), dotted(key), reason, advice)])
