"""COSE_Sign1 (RFC 9052, RFC 9053), EdDSA with Ed25519 and ES256 with P-256 only.

The reader takes the envelope apart and judges its form; whether the signature is right is `verify`'s to
say, with a key that the caller chose by `kid`. The algorithm must be the key's own: the envelope never
chooses how it is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vendingd.identity import cbor
from vendingd.identity.keys import Algorithm, VerificationKey

_ALG, _CRIT, _KID = 1, 2, 4  # RFC 9052, table 3
_SIGN1_TAG, _CWT_TAG = 18, 61  # RFC 9052 section 2, RFC 8392 section 6
_SIGNATURE_BYTES = 64  # both algorithms: RFC 8032, and r || s of RFC 9053 section 2.1
_MAX_KID_BYTES = 64


class CoseError(ValueError):
    """Not a COSE_Sign1 that is read here; never repeats the input."""


@dataclass(frozen=True, slots=True)
class Sign1:
    """An envelope, not yet verified. `alg` is None where it is none that any key here has."""

    alg: Algorithm | None
    kid: bytes | None
    protected: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse_sign1(data: bytes) -> Sign1:
    """Take apart `[protected, unprotected, payload, signature]`, bare or tagged 18 or 61(18).

    Raises CoseError.
    """
    try:
        message = cbor.decode(data, tags=((), (_SIGN1_TAG,), (_CWT_TAG, _SIGN1_TAG)))
    except cbor.CborError as defect:
        raise CoseError(str(defect)) from None
    if not isinstance(message, list) or len(message) != 4:
        raise CoseError("not an array of four")
    protected, unprotected, payload, signature = message
    if not isinstance(protected, bytes) or not isinstance(unprotected, dict) or not isinstance(signature, bytes):
        raise CoseError("a part of the wrong type")
    if payload is None:
        raise CoseError("the payload is detached")
    if not isinstance(payload, bytes):
        raise CoseError("a part of the wrong type")
    if len(signature) != _SIGNATURE_BYTES:
        raise CoseError("a signature of the wrong length")
    header = _header(protected)
    if _CRIT in header or _CRIT in unprotected:
        raise CoseError("a critical header")
    if header.keys() & unprotected.keys():
        raise CoseError("a header label both protected and unprotected")
    # What is not signed may carry the key's name and nothing else: so a genuine pass has no part that can
    # be varied.
    if unprotected.keys() - {_KID}:
        raise CoseError("an unprotected header other than kid")
    return Sign1(
        alg=_algorithm(header.get(_ALG)),
        kid=_kid(header.get(_KID, unprotected.get(_KID))),
        protected=protected,
        payload=payload,
        signature=signature,
    )


def _header(protected: bytes) -> dict[int | str, Any]:
    if not protected:  # RFC 9052 section 3: the empty map may be a zero-length string
        return {}
    try:
        header = cbor.decode(protected)
    except cbor.CborError as defect:
        raise CoseError(f"protected header: {defect}") from None
    if not isinstance(header, dict):
        raise CoseError("protected header: not a map")
    return header


def _algorithm(alg: object) -> Algorithm | None:
    if alg is None or isinstance(alg, str):  # names are allowed by the standard, none of ours has one
        return None
    if type(alg) is not int:
        raise CoseError("an algorithm of the wrong type")
    return next((known for known in Algorithm if known.cose == alg), None)


def _kid(kid: object) -> bytes | None:
    if kid is None:
        return None
    if not isinstance(kid, bytes) or not 0 < len(kid) <= _MAX_KID_BYTES:
        raise CoseError("a key id of the wrong type or length")
    return kid


def verify(message: Sign1, key: VerificationKey) -> bool:
    """Whether `key` made the signature, by the key's own algorithm. Never raises for any message."""
    return message.alg is key.algorithm and key.verify(
        message.signature, to_be_signed(message.protected, message.payload)
    )


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052 section 4.4, without external data."""
    return b"\x84\x6aSignature1" + _bstr(protected) + b"\x40" + _bstr(payload)


def _bstr(data: bytes) -> bytes:
    n = len(data)
    if n < 24:
        return bytes((0x40 | n,)) + data
    if n < 0x100:
        return bytes((0x58, n)) + data
    return b"\x59" + n.to_bytes(2, "big") + data  # the input's bound keeps every part under 64 KiB


def sign1(
    payload: bytes,
    sign: Callable[[bytes], bytes],
    *,
    protected: dict[int, Any],
    unprotected: dict[int, Any] | None = None,
    tags: tuple[int, ...] = (_SIGN1_TAG,),
) -> bytes:
    """Encode an envelope; `sign` makes 64 raw bytes. For tools and tests: it builds bad ones as gladly."""
    import cbor2

    header = cbor2.dumps(protected, canonical=True) if protected else b""
    message: Any = [header, unprotected or {}, payload, sign(to_be_signed(header, payload))]
    for tag in reversed(tags):
        message = cbor2.CBORTag(tag, message)
    return cbor2.dumps(message)
