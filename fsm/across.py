"""What one aggregate says to another inside one step, and what its own deadlines say to it. Never from outside.

A word that a bay says of a grant carries the grant's id; whoever does not hold that grant ignores it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fsm.events import AtTerminal, Fact, PutReservation, Request


# ---------------------------------------------------------------- visit → itself
@dataclass(frozen=True, slots=True)
class Picked(Request):
    """A badge leads to this rental, by itself or by its holder's choice."""

    terminal: str
    rental: str
    badge: str = field(repr=False)


# ---------------------------------------------------------------- visit → rental
@dataclass(frozen=True, slots=True)
class Claim(Request):
    """The holder is identified; `have` are the factors verified."""

    terminal: str
    bay: str
    asset: str | None
    pass_exp: float | None = None
    by: str | None = None  # the credential, where it is no pass


@dataclass(frozen=True, slots=True)
class Unclaim(Fact):
    why: str


@dataclass(frozen=True, slots=True)
class Release(Request):
    """Every factor is there: authorise the opening."""


@dataclass(frozen=True, slots=True)
class StartReturn(Request):
    bay: str
    terminal: str
    asset: str | None = None  # of a rental that has not had it yet, by this machine's books


@dataclass(frozen=True, slots=True)
class Reopen(Request):
    terminal: str


@dataclass(frozen=True, slots=True)
class TryPin(Request):
    """Counted before it is checked, so that pulling the plug wins no extra tries."""

    terminal: str


@dataclass(frozen=True, slots=True)
class PinResult(Fact):
    ok: bool | None
    terminal: str = ""


@dataclass(frozen=True, slots=True)
class TryFace(Request):
    """Counted before the camera looks, as a PIN is."""

    terminal: str


@dataclass(frozen=True, slots=True)
class FaceResult(Fact):
    ok: bool | None


@dataclass(frozen=True, slots=True)
class Identified(Fact):
    """Every factor that was asked for is there."""

    terminal: str
    factors: tuple[str, ...]
    liveness: str | None = None
    authoriser: str | None = None


@dataclass(frozen=True, slots=True)
class Forget(Request):
    who: str
    reason: str
    force: bool


# ---------------------------------------------------------------- cloud or technician → rental
@dataclass(frozen=True, slots=True)
class Update(Request):
    put: PutReservation


@dataclass(frozen=True, slots=True)
class Cancel(Request):
    instruction: str
    version: int


@dataclass(frozen=True, slots=True)
class Extend(Request):
    instruction: str
    due: float
    version: int


@dataclass(frozen=True, slots=True)
class Buy(Request):
    instruction: str
    version: int


@dataclass(frozen=True, slots=True)
class CloseElsewhere(Request):
    machine: str
    version: int


@dataclass(frozen=True, slots=True)
class Unlockout(Request):
    who: str


@dataclass(frozen=True, slots=True)
class Resolve(Request):
    outcome: str
    who: str
    reason: str


# ---------------------------------------------------------------- rental's own deadlines
@dataclass(frozen=True, slots=True)
class WindowOpened(Fact):
    pass


@dataclass(frozen=True, slots=True)
class WindowClosed(Fact):
    pass


@dataclass(frozen=True, slots=True)
class DueReached(Fact):
    pass


@dataclass(frozen=True, slots=True)
class ReopenLapsed(Fact):
    pass


@dataclass(frozen=True, slots=True)
class EraseDue(Fact):
    pass


# ---------------------------------------------------------------- bay → rental: each carries its grant
@dataclass(frozen=True, slots=True)
class OfGrant(Fact):
    grant: str


@dataclass(frozen=True, slots=True)
class Granted(OfGrant):
    """The bay has authorised its opening; not yet sent, and nothing sensed."""


@dataclass(frozen=True, slots=True)
class NotOpened(OfGrant):
    """Nothing opened in time, or nothing was sent."""

    why: str = ""
    lapsed: bool = False  # the grant lives on for a late opening


@dataclass(frozen=True, slots=True)
class GrantEnded(OfGrant):
    """A lapsed grant is over: what waited for it may go on."""


@dataclass(frozen=True, slots=True)
class OpenedLate(OfGrant):
    """The door opened after all, under the lapsed grant."""


@dataclass(frozen=True, slots=True)
class NotTaken(OfGrant):
    outage: bool = False


@dataclass(frozen=True, slots=True)
class Taken(OfGrant):
    outage: bool = False
    unsensed: bool = False


@dataclass(frozen=True, slots=True)
class LeftEmpty(OfGrant):
    outage: bool = False


@dataclass(frozen=True, slots=True)
class CameBack(OfGrant):
    asset: str | None = None
    outage: bool = False
    unsensed: bool = False


@dataclass(frozen=True, slots=True)
class Unsure(OfGrant):
    incident: str = ""


@dataclass(frozen=True, slots=True)
class FoundBack(Fact):
    """Its asset was found in a bay, whoever brought it."""

    bay: str
    asset: str
    outage: bool = False


# ---------------------------------------------------------------- rental → bay
@dataclass(frozen=True, slots=True)
class Authorise(Request):
    """Open this bay once, for this purpose."""

    purpose: str
    who: str
    rental: str | None = None
    asset: str | None = None
    terminal: str | None = None
    reason: str = ""


# ---------------------------------------------------------------- bay's own
@dataclass(frozen=True, slots=True)
class DoorOpened(Fact):
    pass


@dataclass(frozen=True, slots=True)
class DoorClosed(Fact):
    pass


@dataclass(frozen=True, slots=True)
class BoltMoved(Fact):
    locked: bool | None


@dataclass(frozen=True, slots=True)
class PresenceChanged(Fact):
    value: bool | None


@dataclass(frozen=True, slots=True)
class TagSeen(Fact):
    pass


@dataclass(frozen=True, slots=True)
class OpenTimedOut(Fact):
    pass


@dataclass(frozen=True, slots=True)
class WarnOpen(Fact):
    pass


@dataclass(frozen=True, slots=True)
class HeldOpen(Fact):
    pass


@dataclass(frozen=True, slots=True)
class Settled(Fact):
    """The door has been closed long enough for presence to be true. `final`: no more waiting for a tag."""

    final: bool = False


@dataclass(frozen=True, slots=True)
class LapseOver(Fact):
    pass


@dataclass(frozen=True, slots=True)
class Sent(Fact):
    grant: str
    sent: str
    detail: str


@dataclass(frozen=True, slots=True)
class CloseGate(Request):
    pass


@dataclass(frozen=True, slots=True)
class AfterRestart(Fact):
    """What the sensors say at start; the custody table of recovery decides."""


# ---------------------------------------------------------------- rental → visit: may miss
@dataclass(frozen=True, slots=True)
class Served(Fact):
    rental: str
    what: str  # taken | returned | reopened
    bay: str = ""


@dataclass(frozen=True, slots=True)
class Unserved(Fact):
    rental: str
    why: str


@dataclass(frozen=True, slots=True)
class Proceed(AtTerminal):
    """A factor was verified: release if that is all, else ask for the next."""

    terminal: str


@dataclass(frozen=True, slots=True)
class VisitTimedOut(Fact):
    pass


@dataclass(frozen=True, slots=True)
class FarewellOver(Fact):
    pass
