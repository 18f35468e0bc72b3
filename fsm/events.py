"""What reaches the domain. A *request* may be refused; a *fact* happened and never is (at most it is ignored).

These come from outside through the mailbox; what aggregates say to each other is in `fsm.across`. Secrets are kept out
of reprs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class Event:
    """Base of everything the domain hears."""

    __slots__ = ()


class Request(Event):
    """Somebody wants something."""

    __slots__ = ()


class Fact(Event):
    """Something is so."""

    __slots__ = ()


# ================================================================ from people at a terminal
class AtTerminal(Request):
    """A person's request; its refusal is shown at the terminal."""

    __slots__ = ()
    terminal: str


@dataclass(frozen=True, slots=True)
class PassPresented(AtTerminal):
    """A pass whose signature was verified (by a key that may be retired). The rest is judged here."""

    terminal: str
    rental: str
    issuer: str
    audience: str
    exp: float
    nbf: float
    kid: str
    key_retired: bool = False
    asset: str | None = None
    asset_class: str | None = None
    demands: tuple[str, ...] = ()
    due: float | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class CredentialUnreadable(AtTerminal):
    """A code that is no pass, or whose signature is bad; `reason` is identity's word for it."""

    terminal: str
    reason: str


@dataclass(frozen=True, slots=True)
class PinEntered(AtTerminal):
    terminal: str
    digits: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadgePresented(AtTerminal):
    """A badge at a terminal's reader, as its hash by the site's key; the number itself does not come this far."""

    terminal: str
    badge: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Chosen(AtTerminal):
    """The customer picks one of the rentals that a badge leads to, by the reference that the prompt gives it."""

    terminal: str
    ref: str


@dataclass(frozen=True, slots=True)
class ReturnAsked(AtTerminal):
    """The return key, or the screen's: within 30 s a tag may start a return."""

    terminal: str


@dataclass(frozen=True, slots=True)
class TagPresented(AtTerminal):
    terminal: str
    tag: str


@dataclass(frozen=True, slots=True)
class Confirmed(AtTerminal):
    """The customer accepts what is offered (another bay)."""

    terminal: str


@dataclass(frozen=True, slots=True)
class Left(AtTerminal):
    """The customer cancels, or presses clear."""

    terminal: str


@dataclass(frozen=True, slots=True)
class CloseAsked(AtTerminal):
    """The customer asks a powered gate to close."""

    terminal: str
    bay: str


# ================================================================ from technicians
@dataclass(frozen=True, slots=True)
class TechnicianUnlock(Request):
    bay: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetContents(Request):
    """Stocking, or lifting a quarantine: what a technician says is in a bay."""

    bay: str
    asset: str | None
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetAvailability(Request):
    """In or out of service; `bay` None is the machine, which then refuses pick-ups but never returns."""

    bay: str | None
    in_service: bool
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClearAlarm(Request):
    bay: str | None  # None: the machine's (e-stop)
    alarm: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResolveIncident(Request):
    incident: str
    outcome: str  # ready | on_trip | returned | cancelled | purchased | closed
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResetAttempts(Request):
    rental: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class ForgetRental(Request):
    """Erase now what is kept to know its holder by; `force`: also what is still needed."""

    rental: str
    who: str
    reason: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class FaceByHand(Request):
    """A technician has a terminal's device enrol who stands there, or forget somebody; `act`: enrol or forget."""

    terminal: str
    act: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class FaceByHandDone(Fact):
    """The device did it."""

    terminal: str
    act: str
    who: str


# ================================================================ from the cloud
@dataclass(frozen=True, slots=True)
class Instruction(Request):
    """Base: one instruction of the feed; it gets exactly one outcome record."""

    id: str


@dataclass(frozen=True, slots=True)
class PutReservation(Instruction):
    version: int
    rental: str
    window_from: float
    window_to: float
    due: float | None = None
    holder: str | None = None
    asset: str | None = None
    asset_class: str | None = None
    demands: tuple[str, ...] = ()
    pin: str | None = field(default=None, repr=False)  # sealed verifier
    face: str | None = field(default=None, repr=False)  # sealed template
    face_format: str | None = None
    face_user: str | None = field(default=None, repr=False)  # whom a device keeps, as a keyed hash
    face_unused: str = ""  # why a template that came with it can never be compared here, and is not kept
    badges: tuple[str, ...] = field(default=(), repr=False)  # hashes by the site's key
    pass_exp: float | None = None  # until when a pass of it may be shown


@dataclass(frozen=True, slots=True)
class CancelReservation(Instruction):
    """`until`: how long a reservation never heard of stays cancelled, POSIX s; never shorter than a spent pass."""

    rental: str
    version: int
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class ExtendRental(Instruction):
    rental: str
    version: int
    due: float


@dataclass(frozen=True, slots=True)
class BuyRental(Instruction):
    rental: str
    version: int


@dataclass(frozen=True, slots=True)
class ReturnedElsewhere(Instruction):
    rental: str
    version: int
    machine: str


@dataclass(frozen=True, slots=True)
class CloudResetAttempts(Instruction):
    rental: str


@dataclass(frozen=True, slots=True)
class CloudUnlock(Instruction):
    bay: str
    reason: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class CloudAvailability(Instruction):
    bay: str | None
    in_service: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PutAssets(Instruction):
    assets: tuple[tuple[str, str, tuple[str, ...], str | None], ...]  # id, class, tags, rental
    authorisers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # asset -> badges' hashes


@dataclass(frozen=True, slots=True)
class RemoveAssets(Instruction):
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutKeys(Instruction):
    keys: tuple[tuple[str, str], ...]  # kid, JWK as JSON


@dataclass(frozen=True, slots=True)
class RevokePasses(Instruction):
    rentals: tuple[str, ...]
    until: float


@dataclass(frozen=True, slots=True)
class AnchorJournal(Instruction):
    """The cloud holds every record up to this one. Its signature was checked before, and is kept as proof."""

    epoch: str
    seq: int
    hash: str
    kid: str
    signature: str  # base64url


@dataclass(frozen=True, slots=True)
class Unreadable(Instruction):
    """An instruction nobody could parse, or one this machine cannot do: its outcome is `outcome`."""

    reason: str
    outcome: str = "malformed"


@dataclass(frozen=True, slots=True)
class Deliver(Fact):
    """One answer of the feed: all its instructions and the cursor behind them are one transaction."""

    cursor: str
    instructions: Sequence[Instruction]
    snapshot: bool = False  # with this the whole truth is told
    present: frozenset[str] = frozenset()  # rentals that earlier parts of the snapshot named


@dataclass(frozen=True, slots=True)
class Acknowledged(Fact):
    """The cloud has taken everything of these rentals: final ones may leave the world."""

    rentals: Sequence[str]


# ================================================================ from devices, timers, effects
@dataclass(frozen=True, slots=True)
class LevelChanged(Fact):
    """A debounced level of a bay. `sense` is door, bolt or presence; None: the sensor does not answer."""

    bay: str
    sense: str
    value: bool | None


@dataclass(frozen=True, slots=True)
class TagChanged(Fact):
    """The tag in a bay's field; `known` False: the reader does not answer."""

    bay: str
    tag: str | None
    known: bool = True


@dataclass(frozen=True, slots=True)
class EstopChanged(Fact):
    pressed: bool | None  # None: its contact does not answer


@dataclass(frozen=True, slots=True)
class TamperChanged(Fact):
    """The housing's contact."""

    open: bool


@dataclass(frozen=True, slots=True)
class DeviceChanged(Fact):
    """A device of the site began or ceased to answer; for the record and the operator."""

    device: str
    up: bool
    detail: str


@dataclass(frozen=True, slots=True)
class JournalRestored(Fact):
    """The journal is an older copy: its records go on in a new epoch."""

    epoch: str
    why: str


@dataclass(frozen=True, slots=True)
class ClockCorrected(Fact):
    """Trusted time has gone back behind what was journalled: what was ahead was wrong."""

    back_s: float


@dataclass(frozen=True, slots=True)
class RecordRefused(Fact):
    """The cloud refused a record of ours: it is set aside, and somebody must look."""

    seq: int
    title: str


@dataclass(frozen=True, slots=True)
class UnlockOutcome(Fact):
    """The executor's one word on an unlock effect: sent, not_sent or unknown."""

    bay: str
    grant: str
    sent: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CloseOutcome(Fact):
    bay: str
    sent: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PinChecked(Fact):
    """ok None: it could not be checked."""

    terminal: str
    visit: int
    rental: str
    ok: bool | None


@dataclass(frozen=True, slots=True)
class FaceChecked(Fact):
    """ok None: nothing was compared. `liveness` is what the device says of it: none, challenge or hardware.

    `why` is the word for what kept it from being right; for the record, not for the screen.
    """

    terminal: str
    visit: int
    look: int
    rental: str
    ok: bool | None
    liveness: str = "none"
    why: str = ""


@dataclass(frozen=True, slots=True)
class FaceHint(Fact):
    """A word for who stands before the camera, such as closer."""

    terminal: str
    visit: int
    look: int
    rental: str
    hint: str


@dataclass(frozen=True, slots=True)
class FaceForgotten(Fact):
    """No device keeps anything of this rental's face any more."""

    rental: str
    face: str = field(default="", repr=False)  # which of its templates; empty: every one


@dataclass(frozen=True, slots=True)
class DeadlineReached(Fact):
    kind: str  # rental | bay | visit
    id: str
    name: str
    n: int


@dataclass(frozen=True, slots=True)
class Restarted(Fact):
    """The daemon has loaded its state: what was under way at a terminal is over, nothing moves."""

    epoch: str = ""  # of the journal
    gone: frozenset[str] = frozenset()  # bays of the journal that the site file has no more


@dataclass(frozen=True, slots=True)
class Recover(Fact):
    """The sensors of a bay have answered, or their time is over: decide by the table of recovery."""

    bay: str


@dataclass(frozen=True, slots=True)
class Tick(Fact):
    """Nothing happened; proves that the mailbox turns."""
