"""The public keys of pass issuers: JWK sets (RFC 7517, RFC 8037) in, a ring to look up by `kid` out.

Parsing needs no cryptography library, which costs 30 ms and 7 MiB: it is loaded with the first
verification, or by `KeyRing.warm` at a moment of the caller's choice.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any

MAX_KEYS = 64


class KeysError(ValueError):
    """A key or a set that cannot be used; says which key and why."""


class Algorithm(Enum):
    """What signs passes: COSE's number and JOSE's name."""

    EDDSA = (-8, "EdDSA")
    ES256 = (-7, "ES256")

    def __init__(self, cose: int, jose: str) -> None:
        self.cose = cose
        self.jose = jose


@dataclass(frozen=True)
class VerificationKey:
    """One public key. `public` is 32 bytes (Ed25519) or 64 bytes x || y (P-256)."""

    kid: str
    algorithm: Algorithm
    public: bytes = field(repr=False)
    retired: bool = False
    not_before: float | None = None
    """POSIX seconds from which the issuer signs with it; whether that holds is judged where time is known."""

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether this key made the raw signature; False for anything else, of any length."""
        return self._check(signature, message)

    @cached_property
    def _check(self) -> Callable[[bytes, bytes], bool]:
        return _ed25519(self.public) if self.algorithm is Algorithm.EDDSA else _p256(self.public)


def _ed25519(public: bytes) -> Callable[[bytes, bytes], bool]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(public)

    def check(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return check


def _p256(public: bytes) -> Callable[[bytes, bytes], bool]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    scheme = ec.ECDSA(SHA256())

    def check(signature: bytes, message: bytes) -> bool:
        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            key.verify(encode_dss_signature(r, s), message, scheme)
        except InvalidSignature:
            return False
        return True

    return check


@dataclass(frozen=True)
class KeyRing:
    """The keys that a machine trusts; never changed, replaced by a new one."""

    _by_kid: Mapping[str, VerificationKey] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[VerificationKey]) -> KeyRing:
        """Raises KeysError for a doubled kid."""
        by_kid: dict[str, VerificationKey] = {}
        for key in keys:
            if key.kid in by_kid:
                raise KeysError(f"key {key.kid!r}: the kid is there twice")
            by_kid[key.kid] = key
        return cls(by_kid)

    @classmethod
    def parse(cls, jwks: object) -> KeyRing:
        """A ring from a decoded JWK set, `{"keys": [...]}`. Raises KeysError; one bad key refuses the set."""
        if not isinstance(jwks, Mapping) or not isinstance(jwks.get("keys"), list):
            raise KeysError('not a JWK set: want an object with a list "keys"')
        listed = jwks["keys"]
        if len(listed) > MAX_KEYS:
            raise KeysError(f"{len(listed)} keys; at most {MAX_KEYS} are read")
        return cls.of(parse_jwk(jwk, where=f"keys[{i}]") for i, jwk in enumerate(listed))

    @classmethod
    def parse_text(cls, text: str | bytes) -> KeyRing:
        """A ring from a JWKS file's text. Raises KeysError; a member given twice is refused, too."""
        try:
            decoded = json.loads(text, object_pairs_hook=_no_doubles)
        except KeysError:
            raise
        except (ValueError, RecursionError) as defect:
            raise KeysError(f"not JSON: {defect}") from None
        return cls.parse(decoded)

    def find(self, kid: bytes | str) -> VerificationKey | None:
        """The key of this id. COSE's byte string is taken as the UTF-8 of JWK's text."""
        if isinstance(kid, bytes):
            try:
                kid = kid.decode("utf-8")
            except UnicodeDecodeError:
                return None
        return self._by_kid.get(kid)

    def updated(self, other: KeyRing) -> KeyRing:
        """This ring with the other's keys put into it; the other's word counts for a kid in both."""
        return KeyRing({**self._by_kid, **other._by_kid})

    def warm(self) -> None:
        """Load the library and every key (40 ms, once), so that the first customer need not wait for it."""
        for key in self:
            key.verify(bytes(64), b"")

    def __iter__(self) -> Iterator[VerificationKey]:
        return iter(self._by_kid.values())

    def __len__(self) -> int:
        return len(self._by_kid)


def parse_jwk(jwk: object, *, where: str = "key") -> VerificationKey:
    """One public JWK. Raises KeysError. Members that mean nothing here are passed over, as RFC 7517 asks."""
    if not isinstance(jwk, Mapping):
        raise KeysError(f"{where}: not an object")
    kid = jwk.get("kid")
    if (
        not isinstance(kid, str)
        or not 0 < len(kid) <= 64
        or len(kid.encode("utf-8", "replace")) > 64
        or not kid.isprintable()
    ):
        raise KeysError(f"{where}: kid: want 1 to 64 printable characters")
    where = f"key {kid!r}"
    if "d" in jwk:
        raise KeysError(f"{where}: holds the private part (d); a machine is given public keys only")
    algorithm, public = _public(jwk, where)
    if jwk.get("alg", algorithm.jose) != algorithm.jose:
        raise KeysError(f"{where}: alg: want {algorithm.jose!r} for this kind of key")
    if jwk.get("use", "sig") != "sig":
        raise KeysError(f"{where}: use: want 'sig'")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeysError(f"{where}: key_ops: want 'verify' among them")
    retired = jwk.get("retired", False)
    if not isinstance(retired, bool):
        raise KeysError(f"{where}: retired: want true or false")
    return VerificationKey(kid, algorithm, public, retired, _instant(jwk.get("not_before"), where))


def _public(jwk: Mapping[str, Any], where: str) -> tuple[Algorithm, bytes]:
    kind = (jwk.get("kty"), jwk.get("crv"))
    if kind == ("OKP", "Ed25519"):
        return Algorithm.EDDSA, _octets(jwk, "x", where)
    if kind == ("EC", "P-256"):
        x, y = _octets(jwk, "x", where), _octets(jwk, "y", where)
        if not _on_p256(int.from_bytes(x, "big"), int.from_bytes(y, "big")):
            raise KeysError(f"{where}: x, y: not a point of the curve P-256")
        return Algorithm.ES256, x + y
    raise KeysError(f"{where}: kty, crv: want OKP with Ed25519, or EC with P-256")


def _octets(jwk: Mapping[str, Any], member: str, where: str) -> bytes:
    text = jwk.get(member)
    if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        try:
            return base64.urlsafe_b64decode(text + "=")
        except binascii.Error:
            pass  # said below, as for any other text that is none
    raise KeysError(f"{where}: {member}: want 32 bytes in base64url without padding")


_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def _on_p256(x: int, y: int) -> bool:
    """y² = x³ - 3x + b (FIPS 186-4, D.1.2.3)."""
    return x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _instant(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            pass  # a month 13: said below
    raise KeysError(f"{where}: not_before: want a time as in RFC 3339, 2030-01-31T12:00:00Z")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise KeysError("a member stands twice in one JSON object")
    return out
