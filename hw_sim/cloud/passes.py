"""Passes: CWT (RFC 8392) claims in COSE_Sign1 (RFC 9052), as Base45 text for a QR code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cbor2

from hw_sim.cloud import base45
from hw_sim.cloud.keys import COSE_ALG, SigningKey

# registered claims (RFC 8392) and the private ones of this system
CLAIMS = {
    "iss": 1,
    "sub": 2,
    "aud": 3,
    "exp": 4,
    "nbf": 5,
    "iat": 6,
    "cti": 7,
    "asset": -70001,
    "class": -70002,
    "demands": -70003,
    "due": -70004,
    "holder": -70005,
}
_ALG, _KID = 1, 4  # COSE header parameters
_COSE_SIGN1, _CWT = 18, 61  # CBOR tags


def claims_map(claims: Mapping[str, Any]) -> dict[int, Any]:
    """Claims by name to claims by number; None leaves one out."""
    return {CLAIMS[name]: value for name, value in claims.items() if value is not None}


def sign(claims: Mapping[str, Any], key: SigningKey, *, kid: str | None = None, tagged: bool = True) -> bytes:
    """COSE_Sign1 over the claims. `kid` other than the key's own makes a forgery."""
    payload = cbor2.dumps(claims_map(claims))
    protected = cbor2.dumps({_ALG: COSE_ALG[key.alg], _KID: (kid or key.kid).encode()})
    to_sign = cbor2.dumps(["Signature1", protected, b"", payload])
    message = [protected, {}, payload, key.sign(to_sign)]
    return cbor2.dumps(cbor2.CBORTag(_CWT, cbor2.CBORTag(_COSE_SIGN1, message)) if tagged else message)


def text(cose: bytes, *, tamper: bool = False) -> str:
    """What the QR code holds; `tamper` flips one bit of the signature."""
    if tamper:
        cose = cose[:-1] + bytes([cose[-1] ^ 1])
    return base45.encode(cose)
