"""What the API needs of the machine, as Protocols: the composition root is one, a test's light machine another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from drivers.ports import DeviceStatus
from fsm.model import Layout, Now
from fsm.step import Step
from fsm.world import Record
from vendingd.journal.api import Store
from vendingd.kernel.mailbox import Mailbox

Watcher = Callable[[Sequence[Record]], None]


class FrontDesk(Protocol):
    """Judges what a screen hands in; secrets stop there."""

    def show(self, terminal: str, text: bytes, at_mono: float) -> asyncio.Future[Step]: ...

    def pin(self, terminal: str, digits: str, at_mono: float) -> asyncio.Future[Step]: ...


class FaceKeeper(Protocol):
    """Has the device at a terminal enrol and forget; see `vendingd.identity.face.FaceFactor`."""

    async def enrol_at(self, terminal: str, name: str, hint: Callable[[str], None], *, timeout_s: float) -> str: ...

    def user_at(self, terminal: str, template: str) -> str | None: ...

    async def forget_at(self, terminal: str, template: str) -> None: ...


class Senses(Protocol):
    @property
    def devices(self) -> Mapping[str, DeviceStatus]:
        """The newest word of each device (or `device:channel`) that has said one."""
        ...


class Deciding(Protocol):
    @property
    def waiting(self) -> frozenset[str]:
        """Bays that recovery has not decided about yet."""
        ...


class Outside(Protocol):
    @property
    def store(self) -> Store: ...


class Calendar(Protocol):
    def now(self) -> Now: ...


class Words(Protocol):
    """What the site's file says to people."""

    @property
    def reference(self) -> str: ...


class SiteFile(Protocol):
    @property
    def support(self) -> Words: ...

    @property
    def trust(self) -> str:
        """kernel, rtc or assume."""
        ...

    @property
    def devices(self) -> Mapping[str, Any]:
        """Declared devices by name, each with `driver.name`."""
        ...


class Machine(Protocol):
    """The composition root, as far as the API looks into it. Everything is called on the loop's thread."""

    @property
    def mailbox(self) -> Mailbox: ...

    @property
    def desk(self) -> FrontDesk: ...

    @property
    def faces(self) -> FaceKeeper: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def site(self) -> SiteFile: ...

    @property
    def sensing(self) -> Senses: ...

    @property
    def recovery(self) -> Deciding: ...

    @property
    def seams(self) -> Outside: ...

    @property
    def time(self) -> Calendar: ...

    @property
    def online(self) -> bool: ...

    @property
    def cloud(self) -> object:
        """Has `status: CloudStatus` once the cloud's client runs; None without a cloud."""
        ...

    @property
    def cloud_alarms(self) -> Mapping[str, str]: ...

    @property
    def strangers(self) -> Sequence[str]:
        """Bays that the journal knows and the site file does not."""
        ...

    @property
    def last_seq(self) -> int:
        """Number of the newest durable record; 0 before the first."""
        ...

    async def journal_restored(self, why: str) -> str:
        """The journal in place is an older copy: begin a new epoch; returns it. Raises StoreError."""
        ...

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` after each publication with its records, and without any after each change of
        `mailbox.unavailable`, of the cloud's state or of its alarms; returns how to end it."""
        ...
