"""Roles of devices and seams to the outside, as Protocols. Owns no behaviour.

A *device* is one entry of the site file's `[devices]`: it runs as one task, keeps its own link alive, and
reports what it senses through a `Sink`. A *role* is what a bay or a terminal uses of it: a lock channel, a door
channel, a reader. Nothing here knows bays, rentals or people.

Every time is `Clock.monotonic` seconds unless its name says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


# ---------------------------------------------------------------- errors
class DriverError(Exception):
    """Base of what a driver raises on purpose."""


class WireLost(DriverError, ConnectionError):
    """The wire went away (unplugged, refused, closed); the device reopens it with backoff."""


class OptionsError(DriverError, ValueError):
    """A driver's option is unusable for a reason its typed model cannot express."""


# ---------------------------------------------------------------- seams
class Clock(Protocol):
    """The only way to know or to await time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, never going back, one boot long."""
        ...

    def utc_now(self) -> float:
        """POSIX seconds as the machine believes them; may be wrong, see trusted time."""
        ...

    async def sleep_until(self, deadline_mono: float) -> None: ...


class Random(Protocol):
    """Chance for backoff jitter; never for keys."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...


class ByteWire(Protocol):
    """One byte stream to one port: a serial line, a pty, or memory in simulation."""

    async def open(self) -> None:
        """Open for exclusive use. Raises WireLost with the port's name and what to check."""
        ...

    async def read(self) -> bytes:
        """Wait for at least one byte and return what is there (never b''). Raises WireLost."""
        ...

    async def write(self, data: bytes) -> None:
        """Hand all bytes to the operating system, in order. Raises WireLost; then it is unknown how many left."""
        ...

    def close(self) -> None:
        """Close; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """How a serial port is opened: 8 data bits, no parity, 1 stop bit unless said."""

    port: str
    baud: int
    parity: str = "N"
    stop_bits: int = 1


class Workers(Protocol):
    """Threads and processes for what would stall the loop."""

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a short blocking call in a thread."""
        ...

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        """Run a picklable function in a child process (memory, crashes and time-outs stay there).

        Raises TimeoutError or WorkerDied; the child is replaced.
        """
        ...

    def apart(self) -> AbstractAsyncContextManager[Workers]:
        """Workers with one child process for this user alone, which is gone when the context is left.

        For what is needed now and then and holds much memory: the shared children are kept for the next call.
        """
        ...


class WorkerDied(DriverError, RuntimeError):
    """The child process ended under the call (a decoder can abort it)."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport(Protocol):
    """One HTTP exchange with the cloud: TLS, connection reuse and nothing else.

    Raises ConnectionError or TimeoutError where no answer came.
    """

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpResponse: ...


# ---------------------------------------------------------------- what devices report
class Sense(StrEnum):
    """What a level speaks of, with the meaning of True."""

    DOOR = "door"  # True: open
    BOLT = "bolt"  # True: locked (extended)
    PRESENCE = "presence"  # True: something is there
    BUTTON = "button"  # True: pressed
    ESTOP = "estop"  # True: pressed, or its wire is cut
    TAMPER = "tamper"  # True: the housing is open


@dataclass(frozen=True, slots=True)
class LevelRead:
    """A raw level, as read now. `value` None: the sensor does not answer. Debouncing is the daemon's."""

    device: str
    sense: Sense
    channel: int
    value: bool | None


@dataclass(frozen=True, slots=True)
class CodeRead:
    """A QR code or a line of text from a scanner or a camera, without its line end. Secret: never logged."""

    device: str
    data: bytes = field(repr=False)
    at_mono: float


@dataclass(frozen=True, slots=True)
class DigitsEntered:
    """Digits closed by the enter key of a keypad. Secret: never logged."""

    device: str
    digits: str = field(repr=False)
    at_mono: float
    channel: int = 1


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key with a meaning of its own: 'digit' (one more was typed, which is not said), 'clear', 'return'."""

    device: str
    key: str
    at_mono: float
    channel: int = 1


@dataclass(frozen=True, slots=True)
class TagRead:
    """A tag in the field of a tag reader; None when the field has become empty. `tag` is upper-case hex."""

    device: str
    channel: int
    tag: str | None
    at_mono: float


@dataclass(frozen=True, slots=True)
class BadgeRead:
    """A badge, card or wristband at a reader. Secret: never logged, hashed with the site's key before it is kept.

    `badge` is `FORMAT:HEX`, upper case: `nfc:04112233` for a UID, `wiegand26:0123ABC0` for a format of so many bits
    (left-aligned, the last byte padded with zeros).
    """

    device: str
    badge: str = field(repr=False)
    at_mono: float
    channel: int = 1


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Whether a device answers; `detail` says, for a technician, what is wrong and what to check."""

    device: str
    up: bool
    detail: str
    channel: int | None = None  # None: the whole device


Report = LevelRead | CodeRead | DigitsEntered | KeyPressed | TagRead | BadgeRead | DeviceStatus
Sink = Callable[[Report], None]  # called on the loop's thread; never blocks, never raises


# ---------------------------------------------------------------- roles
class Sent(StrEnum):
    """What is known of an actuating command. Never says that something moved."""

    SENT = "sent"  # every byte left, or the output was driven for the whole pulse
    NOT_SENT = "not_sent"  # nothing left: safe to authorise anew
    UNKNOWN = "unknown"  # some or all may have left


@dataclass(frozen=True, slots=True)
class Outcome:
    sent: Sent
    detail: str = ""


@runtime_checkable
class Device(Protocol):
    """One device of the site file."""

    name: str

    async def run(self, sink: Sink) -> None:
        """Serve until cancelled: open the wire, report levels and credentials, reopen with backoff after a loss.

        Reports `DeviceStatus` on every change, and a level of None for each of its sensors when it goes down.
        Credentials that arrived while the link was down are dropped at reopening. On cancellation every output
        is left undriven. Raises only on a defect.
        """
        ...


@runtime_checkable
class Lock(Protocol):
    """A device that unlocks channels."""

    async def unlock(self, channel: int, *, not_after_mono: float) -> Outcome:
        """Send one unlock pulse to one channel, once. Never raises but for cancellation.

        `not_after_mono` is checked right before the first byte or edge; later gives NOT_SENT ("expired").
        A channel outside the device's range gives NOT_SENT and writes nothing.
        """
        ...


@runtime_checkable
class Gate(Protocol):
    """A powered gate's operator, asked to move; it owns the safety devices."""

    async def request_close(self, channel: int, *, not_after_mono: float) -> Outcome: ...


@runtime_checkable
class Sampling(Protocol):
    """A device with sensors that can be read now."""

    async def sample(self) -> None:
        """Read every level afresh and report each through the sink; returns when all were reported."""
        ...


@runtime_checkable
class Attention(Protocol):
    """A device that works harder while somebody is there: polls faster, triggers a scanner, looks more often."""

    def attend(self, busy: bool) -> None: ...


@runtime_checkable
class Expectant(Protocol):
    """A device on a shared wire that can keep it free for the moment before a command."""

    def expect(self) -> None:
        """A command will follow within milliseconds, or will not; a promise in neither direction."""
        ...


class FaceFinding(StrEnum):
    """What a comparison of a face came to."""

    VERIFIED = "verified"
    WRONG = "wrong"  # compared, and another one: an attempt
    UNAVAILABLE = "unavailable"  # nothing was compared: no attempt


# Why a comparison did not verify. What each means is in docs/faces.md.
FACE_WHYS = frozenset(
    {
        "another_face", "face_changed", "not_enrolled", "not_alive", "eyes_closed", "no_movement", "other_movement",
        "replayed", "frozen_picture", "went_away", "nobody", "two_people", "too_far", "too_dark", "blurred",
        "demo_mode", "device_down", "device_busy", "template",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FaceResult:
    """`liveness`: none, challenge or hardware. `detail` is for technicians; no score, no embedding, no name.

    `why` is a word of `FACE_WHYS` for the record, empty where it was verified.
    """

    finding: FaceFinding
    liveness: str = "none"
    detail: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class FaceJudgement:
    """What a device says of a template before anybody stands there.

    `unfit`: empty where it can be compared here, else why it never can: malformed, other_model, other_device or
    expired. `detail` names what is wrong, never a value. `user` says whom the device itself keeps, in its own words,
    the same for each template of that one; empty where the template is all.
    """

    unfit: str = ""
    detail: str = ""
    user: str = field(default="", repr=False)


@runtime_checkable
class FaceVerifier(Protocol):
    """Compares who stands before it, 1:1, with a template that was enrolled before.

    A template is bytes of this verifier's own format (a JSON object for a camera, a module's user number for an
    FM22x). Hints are words for the screen while a comparison runs: closer, farther, one_person, hold_still,
    more_light, look_here, uncover, turn, turn_left, turn_right (the person's own left and right), eyes_open; while
    enrolling look_down and look_up, too.
    """

    @property
    def formats(self) -> frozenset[str]:
        """Names of the template formats that it compares with."""
        ...

    @property
    def liveness(self) -> str:
        """What a successful comparison says about it: none, challenge or hardware."""
        ...

    def judge_face(self, template: bytes, *, from_utc: float) -> FaceJudgement:
        """Whether it could be compared here, as far as can be told now; `from_utc`: when it is wanted first."""
        ...

    async def verify_face(self, template: bytes, *, hint: Callable[[str], None], timeout_s: float) -> FaceResult:
        """Compare once. Never raises but for cancellation, which ends the device's own attempt, too."""
        ...

    async def enrol_face(self, name: str, *, hint: Callable[[str], None], timeout_s: float) -> bytes:
        """Make a template of who stands there now. Raises DriverError with a reason for a technician."""
        ...

    async def forget_face(self, template: bytes) -> None:
        """Erase what the device itself keeps of it; nothing to do where the template is all. Raises DriverError."""
        ...


@runtime_checkable
class Indicator(Protocol):
    """A terminal's light or buzzer."""

    async def show(self, signal: str, channel: int | None = None) -> None:
        """One of 'idle', 'wait', 'granted', 'refused'; `channel` None: everywhere. Returns at once, never raises."""
        ...


# ---------------------------------------------------------------- how a device is made
class SerialOpener(Protocol):
    def __call__(self, settings: SerialSettings) -> ByteWire: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the composition root hands to every device."""

    clock: Clock
    random: Random
    workers: Workers
    serial: SerialOpener
    pins: Callable[[], Any]  # the site's gpiozero pin factory, made at first use
    spawn: Callable[..., asyncio.Task[Any]]  # a task whose death is fatal to the daemon


@dataclass(frozen=True, slots=True)
class Driver:
    """An entry of the registry: a driver's name in site files, its options, what it offers and how it is made."""

    name: str
    options: type[Any]  # a pydantic model, extra="forbid", frozen
    make: Callable[[str, Any, Surroundings], Device]
    senses: frozenset[Sense] = frozenset()
    roles: frozenset[str] = frozenset()  # see `vendingd.site.places`
    channels: Callable[[Any], Sequence[int]] = field(default=lambda options: (1,))  # valid channels of these options
