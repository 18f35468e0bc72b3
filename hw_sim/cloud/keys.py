"""The issuer's keys: made from the seed, published as a JWKS, rotated, used for passes and anchors."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from random import Random
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# RFC 9053: COSE's numbers of the algorithms
COSE_ALG = {"EdDSA": -8, "ES256": -7}
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def p256_key(random: Random) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(random.randrange(1, _P256_ORDER), ec.SECP256R1())


@dataclass
class SigningKey:
    kid: str
    alg: str  # EdDSA | ES256
    private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    retired: bool = False
    not_before: str | None = None

    def sign(self, data: bytes) -> bytes:
        """64 bytes; the same ones for the same data (RFC 8032, RFC 6979)."""
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(data)
        der = self.private.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jwk(self) -> dict[str, Any]:
        out: dict[str, Any] = {"kid": self.kid}
        if isinstance(self.private, Ed25519PrivateKey):
            x = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            out |= {"kty": "OKP", "crv": "Ed25519", "x": b64url(x)}
        else:
            point = self.private.public_key().public_numbers()
            x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
            out |= {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y)}
        out["retired"] = self.retired
        if self.not_before is not None:
            out["not_before"] = self.not_before
        return out


class Keyring:
    """All keys so far; the last one signs."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.keys: list[SigningKey] = []
        self._rogues = {alg: self._make("rogue", alg) for alg in COSE_ALG}
        self.add("EdDSA")

    def _make(self, kid: str, alg: str) -> SigningKey:
        if alg == "EdDSA":
            return SigningKey(kid, alg, Ed25519PrivateKey.from_private_bytes(self._random.randbytes(32)))
        if alg == "ES256":
            return SigningKey(kid, alg, p256_key(self._random))
        raise ValueError(f"alg: EdDSA or ES256, not {alg}")

    def add(self, alg: str, not_before: str | None = None) -> SigningKey:
        key = self._make(f"k{len(self.keys) + 1}", alg)
        key.not_before = not_before
        self.keys.append(key)
        return key

    def rogue(self, alg: str) -> SigningKey:
        """A key of nobody, for forged passes."""
        return self._rogues[alg]

    @property
    def current(self) -> SigningKey:
        return self.keys[-1]

    def by_kid(self, kid: str) -> SigningKey:
        for key in self.keys:
            if key.kid == kid:
                return key
        raise ValueError(f"kid: there is no key {kid}")

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.jwk() for key in self.keys]}
