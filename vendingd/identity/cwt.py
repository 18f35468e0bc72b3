"""The claims of a pass: a CWT claims set (RFC 8392) with the private claims of vendingd, typed.

Only called with a payload whose signature is right; it is strict all the same, for an issuer's defect must
be found at the first pass and not in the middle of a rental.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from fsm.policy import Alternatives
from vendingd.identity import cbor
from vendingd.identity.policy import PolicyError, parse_demands

_T = TypeVar("_T")

MAX_ID = 64
MAX_ISSUER = 256
_LATEST = 253402300800.0  # the year 10000, where calendars end


class Claim(IntEnum):
    """Claim keys: RFC 8392 section 4, and ours from the range for private use."""

    ISSUER = 1
    RENTAL = 2  # sub
    AUDIENCE = 3
    EXP = 4
    NBF = 5
    IAT = 6
    CTI = 7
    ASSET = -70001
    ASSET_CLASS = -70002
    DEMANDS = -70003
    DUE = -70004
    HOLDER = -70005


class ClaimError(ValueError):
    """A claim of the wrong type, out of bounds, or contradicting another; named without its value."""


class MissingClaim(ClaimError):
    """A claim that a pass must have is absent."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass says. Times are POSIX seconds. At least one of `asset` and `asset_class` is there."""

    issuer: str
    rental: str
    audience: str
    exp: float
    nbf: float
    cti: bytes
    iat: float | None = None
    asset: str | None = None
    asset_class: str | None = None
    demands: Alternatives | None = None
    due: float | None = None
    holder: str | None = None


def parse_claims(payload: bytes) -> Pass:
    """Raises ClaimError (MissingClaim) or CborError. Claims unknown here are passed over (RFC 8392, 3)."""
    claims = cbor.decode(payload)
    if not isinstance(claims, dict):
        raise ClaimError("the claims are not a map")
    said = Pass(
        issuer=_required(_text(claims, Claim.ISSUER, MAX_ISSUER), Claim.ISSUER),
        rental=_required(_text(claims, Claim.RENTAL), Claim.RENTAL),
        audience=_required(_text(claims, Claim.AUDIENCE, MAX_ID + len("site:")), Claim.AUDIENCE),
        exp=_required(_time(claims, Claim.EXP), Claim.EXP),
        nbf=_required(_time(claims, Claim.NBF), Claim.NBF),
        cti=_required(_id_bytes(claims, Claim.CTI), Claim.CTI),
        iat=_time(claims, Claim.IAT),
        asset=_text(claims, Claim.ASSET),
        asset_class=_text(claims, Claim.ASSET_CLASS),
        demands=_demands(claims),
        due=_time(claims, Claim.DUE),
        holder=_text(claims, Claim.HOLDER),
    )
    if said.asset is None and said.asset_class is None:
        raise MissingClaim("asset or asset_class")
    if said.exp <= said.nbf:
        raise ClaimError("exp is not after nbf")
    if said.audience.startswith("site:") and said.asset is None:
        # Two isolated machines of a site would each hand out one of the class.
        raise ClaimError("audience is a site, without a named asset")
    return said


def claims_of(said: Pass) -> Mapping[int, Any]:
    """The claims set of a pass, for tools and tests; the inverse of `parse_claims`."""
    demands = None if said.demands is None else ["+".join(sorted(c)) for c in said.demands]
    every = {
        Claim.ISSUER: said.issuer,
        Claim.RENTAL: said.rental,
        Claim.AUDIENCE: said.audience,
        Claim.EXP: _number(said.exp),
        Claim.NBF: _number(said.nbf),
        Claim.IAT: _number(said.iat),
        Claim.CTI: said.cti,
        Claim.ASSET: said.asset,
        Claim.ASSET_CLASS: said.asset_class,
        Claim.DEMANDS: demands,
        Claim.DUE: _number(said.due),
        Claim.HOLDER: said.holder,
    }
    return {int(claim): value for claim, value in every.items() if value is not None}


def _number(t: float | None) -> float | int | None:
    """Whole seconds as an integer: five bytes instead of nine, and a smaller QR code."""
    return int(t) if t is not None and t == int(t) else t


def _required(value: _T | None, claim: Claim) -> _T:
    if value is None:
        raise MissingClaim(claim.name.lower())
    return value


def _text(claims: Mapping[Any, Any], claim: Claim, longest: int = MAX_ID) -> str | None:
    if claim not in claims:
        return None
    value = claims[claim]
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise ClaimError(f"{claim.name.lower()}: want 1 to {longest} printable characters")
    return value


def _time(claims: Mapping[Any, Any], claim: Claim) -> float | None:
    if claim not in claims:
        return None
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ClaimError(f"{claim.name.lower()}: want a number of seconds")
    if not 0 < value < _LATEST:
        raise ClaimError(f"{claim.name.lower()}: outside the calendar")
    return float(value)


def _id_bytes(claims: Mapping[Any, Any], claim: Claim) -> bytes | None:
    if claim not in claims:
        return None
    value = claims[claim]
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_ID:
        raise ClaimError(f"{claim.name.lower()}: want 1 to {MAX_ID} bytes")
    return value


def _demands(claims: Mapping[Any, Any]) -> Alternatives | None:
    if Claim.DEMANDS not in claims:
        return None
    try:
        return parse_demands(claims[Claim.DEMANDS])
    except PolicyError as defect:
        raise ClaimError(str(defect)) from None
