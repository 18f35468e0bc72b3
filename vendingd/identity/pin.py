"""PINs: a verifier made by Argon2id (RFC 9106), judged in a child process, where its memory stays.

A verifier comes with the reservation: `{"alg": "argon2id", "salt", "hash", "m" (KiB), "t", "p"}`, bytes in
base64url without padding. Its cost is bounded on both sides: below the floor a stolen verifier is searched
in no time, above the ceiling one reservation could hold the machine up. A PIN of four digits is no secret
from whoever has the verifier, whatever the cost: sealing and erasing (`seal`) and counting attempts (the
domain) are what protects it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vendingd.identity.factors import FactorResult, Finding

if TYPE_CHECKING:  # the child imports this module, too, and has no use for an event loop: 10 MiB less
    from drivers.ports import Workers
    from vendingd.identity.seal import Sealer

ALG = "argon2id"
PURPOSE = "pin"
LEAST_M, MOST_M = 7168, 262144  # KiB
MOST_T, MOST_P = 16, 8
# The weakest of OWASP's equivalent settings (m=7168 t=5 … m=47104 t=1) has 35,840 KiB·passes; all of them
# are allowed.
LEAST_WORK, MOST_WORK = 35840, 1048576  # m * t, KiB·passes
_MEMBERS = {"alg", "salt", "hash", "m", "t", "p"}
_DIGITS = re.compile(r"[0-9]{4,12}", re.ASCII)


class PinError(ValueError):
    """A verifier or a PIN that cannot be used; names the member, never its value."""


@dataclass(frozen=True, slots=True)
class PinVerifier:
    """Argon2id with its parameters and result. Picklable."""

    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)
    m: int
    t: int
    p: int

    def __post_init__(self) -> None:
        """Raises PinError outside the bounds."""
        for name, value, least, most in (
            ("salt", len(self.salt), 8, 64),
            ("hash", len(self.hash), 16, 64),
            ("m", self.m, LEAST_M, MOST_M),
            ("t", self.t, 1, MOST_T),
            ("p", self.p, 1, MOST_P),
            ("m * t", self.m * self.t, LEAST_WORK, MOST_WORK),
        ):
            if not least <= value <= most:
                raise PinError(f"{name}: want {least} to {most}")

    @classmethod
    def from_wire(cls, value: object) -> PinVerifier:
        """From the decoded JSON form. Raises PinError; unknown members are refused."""
        if not isinstance(value, Mapping):
            raise PinError("want an object")
        if value.get("alg") != ALG:
            raise PinError(f"alg: want {ALG!r}")
        if missing := sorted(_MEMBERS - value.keys()):
            raise PinError(f"{missing[0]}: is missing")
        if value.keys() - _MEMBERS:
            raise PinError("a member that a verifier does not have")
        return cls(_octets(value, "salt"), _octets(value, "hash"), *(_count(value, name) for name in "mtp"))

    def to_wire(self) -> dict[str, Any]:
        """The JSON form. Secret: sealed before it is stored."""
        return {
            "alg": ALG,
            "salt": _b64(self.salt),
            "hash": _b64(self.hash),
            "m": self.m,
            "t": self.t,
            "p": self.p,
        }


def _octets(value: Mapping[str, Any], name: str) -> bytes:
    text = value[name]
    if isinstance(text, str) and len(text) <= 128 and re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII):
        try:
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            pass  # said below, as for any other text that is none
    raise PinError(f"{name}: want base64url without padding")


def _count(value: Mapping[str, Any], name: str) -> int:
    number = value[name]
    if type(number) is not int:
        raise PinError(f"{name}: want a whole number")
    return number


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def is_pin(digits: str) -> bool:
    """Whether this could be a PIN: 4 to 12 ASCII digits."""
    return _DIGITS.fullmatch(digits) is not None


def matches(verifier: PinVerifier, digits: str) -> bool:
    """Whether the digits are the verifier's. Slow and large on purpose: run through `Workers.process`."""
    if not is_pin(digits):
        return False
    return hmac.compare_digest(_derive(digits, verifier), verifier.hash)


def make_verifier(
    digits: str,
    *,
    m: int = 19456,
    t: int = 2,
    p: int = 1,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> dict[str, Any]:
    """A verifier in its JSON form, for a cloud's developers and for tests. Raises PinError."""
    if not is_pin(digits):
        raise PinError("a PIN is 4 to 12 digits")
    salt = token_bytes(16)
    blank = PinVerifier(salt, bytes(32), m, t, p)  # judges the bounds before the work
    return replace(blank, hash=_derive(digits, blank)).to_wire()


def _derive(digits: str, like: PinVerifier) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=like.salt, length=len(like.hash), iterations=like.t, lanes=like.p, memory_cost=like.m)
    return kdf.derive(digits.encode("ascii"))


class PinFactor:
    """The factor `pin`: enrolled by a reservation's verifier, verified by digits."""

    factor = "pin"

    def __init__(self, sealer: Sealer, workers: Workers, *, timeout_s: float = 10.0) -> None:
        self._sealer = sealer
        self._workers = workers
        self._timeout_s = timeout_s

    def enrol(self, rental: str, wire: object) -> str:
        """Judge a verifier (JSON form, or typed) and seal it for the rental's row. Raises PinError."""
        verifier = wire if isinstance(wire, PinVerifier) else PinVerifier.from_wire(wire)
        data = json.dumps(verifier.to_wire(), separators=(",", ":")).encode()
        return self._sealer.seal(rental, PURPOSE, data)

    async def verify(self, rental: str, enrolled: str, presented: str) -> FactorResult:
        """Compare digits with a sealed verifier. Raises only on cancellation.

        UNAVAILABLE where nothing was compared: the seal does not open, or the child did not answer in time.
        """
        from drivers.ports import WorkerDied

        try:
            verifier = PinVerifier.from_wire(json.loads(self._sealer.open(rental, PURPOSE, enrolled)))
        except ValueError as defect:  # SealError and PinError are such
            return FactorResult(Finding.UNAVAILABLE, f"the verifier of this rental cannot be opened: {defect}")
        try:
            right = await self._workers.process(matches, verifier, presented, timeout_s=self._timeout_s)
        except TimeoutError:
            return FactorResult(Finding.UNAVAILABLE, f"key derivation took over {self._timeout_s:g} s")
        except WorkerDied:
            return FactorResult(Finding.UNAVAILABLE, "the worker process ended under the key derivation")
        except MemoryError:
            return FactorResult(Finding.UNAVAILABLE, f"no {verifier.m} KiB of memory for the key derivation")
        return FactorResult(Finding.VERIFIED if right is True else Finding.WRONG)
