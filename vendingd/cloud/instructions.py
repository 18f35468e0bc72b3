"""Instructions of the feed as typed values. What each means for the machine is decided elsewhere.

Times are POSIX seconds. Secrets (PIN verifiers) are kept out of reprs.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PinVerifier:
    """Argon2id (RFC 9106) of a PIN's ASCII digits; `m` in KiB."""

    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    m: int
    t: int
    p: int
    alg: str = "argon2id"


@dataclass(frozen=True, slots=True)
class FaceTemplate:
    """A template of the format `fmt`, as the JSON text that the device is given."""

    fmt: str
    json: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PutReservation:
    """A reservation as it now is, whole. Exactly one of `asset` and `asset_class` is given."""

    id: str
    version: int
    rental: str
    window_from: float
    window_to: float
    due: float
    holder: str | None = None
    asset: str | None = None
    asset_class: str | None = None
    demands: tuple[str, ...] | None = None  # alternatives such as "pass+pin"; None: the site's least
    pin: PinVerifier | None = None
    face: FaceTemplate | None = None
    badges: tuple[str, ...] = field(default=(), repr=False)  # hashes by the site's key
    pass_exp: float | None = None


@dataclass(frozen=True, slots=True)
class CancelReservation:
    id: str
    rental: str
    version: int


@dataclass(frozen=True, slots=True)
class Extend:
    id: str
    rental: str
    version: int
    due: float


@dataclass(frozen=True, slots=True)
class Purchased:
    id: str
    rental: str
    version: int


@dataclass(frozen=True, slots=True)
class ReturnedElsewhere:
    id: str
    rental: str
    version: int
    machine: str


@dataclass(frozen=True, slots=True)
class AttemptsReset:
    id: str
    rental: str


@dataclass(frozen=True, slots=True)
class CommandUnlock:
    """`age_s` is the cloud's, at delivery; None (the cloud left it out) is to be treated as stale."""

    id: str
    bay: str
    reason: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class CommandAvailability:
    """`bay` None: the whole machine."""

    id: str
    bay: str | None
    in_service: bool
    reason: str


@dataclass(frozen=True, slots=True)
class DirectoryAsset:
    """An operator's asset; `tags` are upper-case hex."""

    id: str
    asset_class: str
    tags: tuple[str, ...]
    rental: str | None = None
    authorisers: tuple[str, ...] = field(default=(), repr=False)  # hashes of badges


@dataclass(frozen=True, slots=True)
class DirectoryPut:
    id: str
    assets: tuple[DirectoryAsset, ...]


@dataclass(frozen=True, slots=True)
class DirectoryRemove:
    id: str
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Jwk:
    """A public key that signs passes: Ed25519 (`x`) or P-256 (`x`, `y`), 32 bytes each."""

    kid: str
    kty: str
    crv: str
    x: bytes
    y: bytes | None = None
    retired: bool = False
    not_before: float | None = None
    json: str = ""  # the JWK as it came


@dataclass(frozen=True, slots=True)
class KeysPut:
    id: str
    keys: tuple[Jwk, ...]


@dataclass(frozen=True, slots=True)
class PassesRevoke:
    id: str
    rentals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The cloud holds every record up to this one. `hash` is hex; the signature is yet to be checked."""

    id: str
    epoch: str
    seq: int
    hash: str
    kid: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """An instruction that could not be read; `why` names the field and never quotes its value."""

    id: str
    why: str
    kind: str = ""


Instruction = (
    PutReservation
    | CancelReservation
    | Extend
    | Purchased
    | ReturnedElsewhere
    | AttemptsReset
    | CommandUnlock
    | CommandAvailability
    | DirectoryPut
    | DirectoryRemove
    | KeysPut
    | PassesRevoke
    | Anchor
    | Malformed
)
