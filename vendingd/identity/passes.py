"""Reading a pass: the text of a QR code to what an issuer has signed, or to the reason why not.

This is the part of the check that needs nothing but the keys: form, key, algorithm, signature, claims.
Whether the pass is revoked, for this machine, in its window or spent depends on the world and is decided
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vendingd.identity import base45, cose, cwt
from vendingd.identity.cbor import CborError
from vendingd.identity.cwt import Pass
from vendingd.identity.keys import KeyRing


class Refusal(StrEnum):
    """Why a text is no pass. Stable words: they stand in records."""

    MALFORMED = "malformed"  # not Base45, CBOR or COSE_Sign1 of the kind read here, or too long
    UNKNOWN_KEY = "unknown_key"  # no kid, or one that is not in the ring
    WRONG_ALGORITHM = "wrong_algorithm"  # none, or not the key's own
    BAD_SIGNATURE = "bad_signature"
    MISSING_CLAIM = "missing_claim"
    BAD_CLAIM = "bad_claim"  # of the wrong type, out of bounds, or contradicting another
    WRONG_ISSUER = "wrong_issuer"


@dataclass(frozen=True, slots=True)
class PassRead:
    """A genuine pass: what it says and which key says so."""

    claims: Pass
    kid: str
    key_retired: bool
    key_not_before: float | None


@dataclass(frozen=True, slots=True)
class PassRefused:
    """A text that is no genuine pass. `detail` is for technicians and holds nothing of the text."""

    reason: Refusal
    detail: str = ""


def read_pass(text: bytes, keys: KeyRing, *, issuer: str | None = None) -> PassRead | PassRefused:
    """Judge the bytes that a scanner gave. Never raises; never looks at more than 4,296 of them.

    `issuer`, where given, is the only one accepted. The text is secret and appears in no result.
    """
    try:
        message = cose.parse_sign1(base45.decode(text))
    except (base45.Base45Error, cose.CoseError) as defect:
        return PassRefused(Refusal.MALFORMED, str(defect))
    key = None if message.kid is None else keys.find(message.kid)
    if key is None:
        return PassRefused(Refusal.UNKNOWN_KEY, "no key id" if message.kid is None else "")
    if message.alg is not key.algorithm:
        return PassRefused(Refusal.WRONG_ALGORITHM)
    if not cose.verify(message, key):
        return PassRefused(Refusal.BAD_SIGNATURE)
    # From here on the issuer itself is speaking.
    try:
        claims = cwt.parse_claims(message.payload)
    except CborError as defect:
        return PassRefused(Refusal.MALFORMED, f"claims: {defect}")
    except cwt.MissingClaim as defect:
        return PassRefused(Refusal.MISSING_CLAIM, str(defect))
    except cwt.ClaimError as defect:
        return PassRefused(Refusal.BAD_CLAIM, str(defect))
    if issuer is not None and claims.issuer != issuer:
        return PassRefused(Refusal.WRONG_ISSUER)
    return PassRead(claims, key.kid, key.retired, key.not_before)
