"""What the machine knows: the aggregates that the journal keeps, as frozen values. No behaviour beyond lookups.

Times: `_utc` are POSIX seconds, `_mono` seconds of one boot. "Commanded" and "sensed" are different fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from fsm.events import PutReservation
from fsm.policy import Policy
from fsm.values import replace


class RentalState(StrEnum):
    """One reservation, over days."""

    BOOKED = "booked"
    READY = "ready"
    CLAIMED = "claimed"
    RELEASING = "releasing"
    ON_TRIP = "on_trip"
    RETURNING = "returning"
    RETURNED = "returned"
    PURCHASED = "purchased"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    INCIDENT = "incident"


FINAL = frozenset({RentalState.RETURNED, RentalState.PURCHASED, RentalState.EXPIRED, RentalState.CANCELLED})
PENDING = frozenset({RentalState.BOOKED, RentalState.READY, RentalState.CLAIMED, RentalState.RELEASING})


class BayState(StrEnum):
    """One place's door, as sensed and as expected."""

    SECURED = "secured"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"  # powered gates: closing was requested, not yet sensed
    SETTLING = "settling"


class VisitState(StrEnum):
    """One person at one terminal, over minutes."""

    IDLE = "idle"
    VERIFYING = "verifying"
    CHOOSING = "choosing"
    SERVING = "serving"
    FAREWELL = "farewell"


class Occupancy(StrEnum):
    OCCUPIED = "occupied"
    EMPTY = "empty"
    UNKNOWN = "unknown"


class Alarm(StrEnum):
    FORCED_OPEN = "forced_open"
    HELD_OPEN = "held_open"
    JAMMED = "jammed"
    UNLOCK_FAILED = "unlock_failed"
    SENSOR_CONTRADICTION = "sensor_contradiction"
    TAMPER = "tamper"
    ESTOP = "estop"
    RECORD_REFUSED = "record_refused"  # the machine's: the cloud would not take a record


# With one of these a bay is neither opened for customers nor offered for a return.
FAULTS = frozenset({Alarm.JAMMED, Alarm.SENSOR_CONTRADICTION, Alarm.HELD_OPEN, Alarm.ESTOP})


class Purpose(StrEnum):
    RELEASE = "release"
    RETURN = "return"
    REOPEN = "reopen"  # the holder again, shortly after the return (forgotten phone)
    TECHNICIAN = "technician"
    FORCED = "forced"  # nobody authorised it


class Commanded(StrEnum):
    """What is known of the unlock command; never that anything moved."""

    AUTHORISED = "authorised"
    SENT = "sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A deadline as data. `clock` is 'mono' (elapsed, of boot `boot`) or 'utc' (fires only while time is trusted)."""

    name: str
    n: int
    at: float
    clock: str
    boot: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The one authorisation that lives on a bay."""

    id: str
    purpose: Purpose
    who: str
    rental: str | None = None
    terminal: str | None = None  # where the person stands
    asset: str | None = None  # the asset expected to leave or to come
    commanded: Commanded = Commanded.AUTHORISED
    unbolted: bool = False  # the bolt was sensed unlocked while it lived
    opened: bool = False  # the door was sensed open while it lived
    lapsed: bool = False  # nothing opened in time; kept for a late opening
    settled: bool = False  # custody has changed already, only the door is still open


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An instruction that came while a bay was at work for its rental: its one outcome waits for the bay's word."""

    id: str
    kind: str  # update | extend | buy
    version: int
    due: float | None = None  # of an extension
    put: PutReservation | None = None  # of an update


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    id: str
    state: RentalState
    version: int = 0
    source: str = "cloud"  # cloud | pass | return
    holder: str | None = None
    named: str | None = None  # the asset the booking names
    asset_class: str | None = None
    window_from_utc: float = 0.0
    window_to_utc: float = 0.0
    due_utc: float | None = None
    demands: tuple[str, ...] = ()  # alternatives such as "pass+pin"; () is the site's least
    pin: str | None = field(default=None, repr=False)  # sealed verifier
    face: str | None = field(default=None, repr=False)  # sealed template
    face_format: str | None = None  # of the template; only a device that knows it is asked
    face_user: str | None = field(default=None, repr=False)  # whom a device itself keeps, as a keyed hash
    badges: tuple[str, ...] = field(default=(), repr=False)  # hashes by the site's key
    pass_exp_utc: float | None = None
    asset: str | None = None  # chosen at the claim, then given
    bay: str | None = None  # of the claim, the release or the return
    grant: str | None = None  # the living (or lapsed) grant that is this rental's
    terminal: str | None = None  # where the holder was identified
    openings: int = 0  # without taking
    attempts: int = 0
    face_attempts: int = 0
    locked_out: bool = False
    unservable: str | None = None  # why no terminal here can serve it since the site or the directory changed
    overdue: bool = False
    outage: bool = False  # released or returned while the machine was down
    unsensed: bool = False  # no sensor saw the custody change
    assumed: RentalState | None = None  # out by its credential's word alone; what it is again if nothing comes
    cancel: str | None = None  # instruction that waits for the bay's word
    waiting: tuple[Waiting, ...] = ()  # other instructions that do, in the order in which they came
    expire: bool = False  # the window closed while claimed or released
    incident: str | None = None
    deadlines: tuple[Deadline, ...] = ()
    timer_n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bay:
    id: str
    state: BayState = BayState.SECURED
    in_service: bool = True
    alarms: frozenset[Alarm] = frozenset()
    occupancy: Occupancy = Occupancy.UNKNOWN
    asset: str | None = None  # believed inside
    quarantined: str | None = None  # why nobody may use it before a technician has looked
    grant: Grant | None = None
    grant_n: int = 0
    deadlines: tuple[Deadline, ...] = ()
    timer_n: int = 0


@dataclass(frozen=True, slots=True)
class Sensed:
    """Newest debounced levels of a bay; of the machine itself under the key "". None: no answer (yet)."""

    door: bool | None = None  # True: open
    bolt: bool | None = None  # True: locked
    presence: bool | None = None  # True: occupied
    tag: str | None = None  # tag in the field, None: field empty
    tag_known: bool = False  # the reader answers
    estop: bool | None = None  # the machine's own, True: pressed; None: its contact does not answer
    recovered: bool = False  # the table of recovery has decided about this bay since the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Volatile: after a restart every terminal is idle."""

    id: str  # the terminal
    state: VisitState = VisitState.IDLE
    n: int = 0
    rental: str | None = None
    have: frozenset[str] = frozenset()
    demands: tuple[str, ...] = ()  # what the pass itself demands
    wants: str | None = None  # the next factor
    accepts: frozenset[str] = frozenset()  # every factor that would help, this one too
    checking: bool = False  # a PIN
    badge: str | None = field(default=None, repr=False)  # that led here
    authoriser: str | None = field(default=None, repr=False)  # the second person's badge
    choices: tuple[str, ...] = ()  # rentals that a badge leads to
    elsewhere: tuple[str, ...] = ()  # terminals that could serve what this one cannot
    facing: bool = False  # a camera compares
    look: int = 0  # which comparison of this visit
    no_face: bool = False  # nothing could be compared in this visit
    hint: str = ""  # the camera's word to who stands before it
    challenged: bool = False  # it has asked for a movement in this comparison
    liveness: str | None = None  # of the face that was verified
    reason: str = ""  # of the farewell, or what is going on
    bay: str | None = None
    failures: int = 0
    slow_until_mono: float = 0.0
    return_until_mono: float = 0.0  # a person asked to return by tag
    deadlines: tuple[Deadline, ...] = ()
    timer_n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    id: str
    kind: str
    bay: str | None = None
    asset: str | None = None
    rental: str | None = None
    opened_utc: float = 0.0
    opened_trusted: bool = True  # whether that time can be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An entry of the operator's directory."""

    id: str
    asset_class: str
    tags: tuple[str, ...] = ()
    rental: str | None = None  # the rental that the cloud says it is with
    authorisers: tuple[str, ...] = field(default=(), repr=False)  # badges (hashes) one of which must agree to a pick-up


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    id: str = "machine"
    cursor: str = ""
    in_service: bool = True
    estop: bool = False
    tamper: bool = False  # the housing was opened; latched until a technician clears it
    record_refused: bool = False  # the cloud set a record aside; latched likewise
    incident_n: int = 0
    epoch: str = ""  # of the journal; an older copy that goes on in a new one numbers its incidents anew
    restored: bool = False  # it is such a copy: rentals may have left and come since
    # what devices are being asked to forget: rental, sealed face and, where known, whom the device keeps (keyed hash)
    forgetting: tuple[tuple[str, ...], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A rental that left the world, or was revoked: its pass opens nothing."""

    id: str  # rental
    until_utc: float
    why: str = "spent"  # spent | revoked | purchased | cancelled | expired
    asset: str | None = None
    version: int | None = None  # of a cancellation that came before its reservation; a newer reservation lifts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The stored outcome of a cloud instruction."""

    id: str
    n: int = 0  # its place in the order of settlement
    outcome: str
    reason: str = ""
    why: str = ""  # a template is of no use here


@dataclass(frozen=True, slots=True, kw_only=True)
class PassKey:
    """A key of pass issuers, as delivered."""

    id: str
    jwk: str


Aggregate = Rental | Bay | Visit | Incident | Asset | Machine | Spent | Done | PassKey | Sensed


# ---------------------------------------------------------------- what the site fixes
@dataclass(frozen=True, slots=True, kw_only=True)
class BaySpec:
    """What is installed at a bay. A bay has a door sensor, or the lock's feedback serves as one."""

    id: str
    fits: frozenset[str]
    bolt: bool = False
    presence: bool = False
    tag: bool = False
    gate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalSpec:
    id: str
    offers: frozenset[str] = frozenset({"pass", "pin"})  # factors that can be shown here
    face_formats: frozenset[str] = frozenset()  # templates that its face device compares with
    keeps_faces: bool = False  # that device itself keeps what a template speaks of


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every duration of the machine, seconds; each is a site option of the same name."""

    claim_s: float = 120.0
    open_timeout_s: float = 15.0
    warn_open_s: float = 60.0
    held_open_s: float = 120.0
    settle_s: float = 2.0
    identify_s: float = 3.0
    lapse_s: float = 60.0
    reopen_s: float = 300.0
    return_ask_s: float = 30.0
    farewell_s: float = 10.0
    choose_s: float = 60.0
    slow_max_s: float = 30.0
    pass_leeway_s: float = 60.0
    command_age_s: float = 60.0
    unlock_life_s: float = 5.0
    erase_after_due_s: float = 7 * 86400.0
    face_s: float = 15.0
    max_attempts: int = 5
    max_face_attempts: int = 3
    max_openings: int = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """The machine as its site file declares it; never changes while the daemon runs."""

    machine: str
    site: str
    bays: Mapping[str, BaySpec]
    terminals: Mapping[str, TerminalSpec]
    timing: Timing = field(default_factory=Timing)
    policy: Policy = field(default_factory=Policy)
    estop: bool = False  # an e-stop's contact is installed
    seal: str = ""  # the device key that opens what is sealed here; empty: any


@dataclass(frozen=True, slots=True)
class Now:
    """The time of one step, read once by the caller."""

    mono: float
    utc: float
    trusted: bool
    floor_utc: float
    boot: str


# ---------------------------------------------------------------- deadlines
Timed = Rental | Bay | Visit
T = TypeVar("T", Rental, Bay, Visit)


def arm(agg: T, name: str, at: float, clock: str, boot: str = "") -> T:
    """The aggregate with this deadline, replacing one of the same name."""
    n = agg.timer_n + 1
    kept: tuple[Deadline, ...] = tuple(d for d in agg.deadlines if d.name != name)
    return replace(agg, timer_n=n, deadlines=(*kept, Deadline(name, n, at, clock, boot)))


def disarm(agg: T, *names: str) -> T:
    """The aggregate without these deadlines."""
    if not any(d.name in names for d in agg.deadlines):
        return agg
    return replace(agg, deadlines=tuple(d for d in agg.deadlines if d.name not in names))


def armed(agg: Timed, name: str) -> Deadline | None:
    return next((d for d in agg.deadlines if d.name == name), None)
