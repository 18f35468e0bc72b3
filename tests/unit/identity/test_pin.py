from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from drivers.ports import WorkerDied
from vendingd.identity.factors import FactorResult, FactorVerifier, Finding
from vendingd.identity.pin import PinError, PinFactor, PinVerifier, is_pin, make_verifier, matches
from vendingd.identity.seal import Sealer
from vendingd.workers import RealWorkers

CHEAP: dict[str, Any] = {"m": 7168, "t": 5, "p": 1}  # the floor


@pytest.fixture(scope="module")
def wire() -> dict[str, Any]:
    return make_verifier("4711", **CHEAP)


def test_digits_match_their_verifier_alone(wire: dict[str, Any]) -> None:
    verifier = PinVerifier.from_wire(wire)
    assert matches(verifier, "4711")
    assert matches(pickle.loads(pickle.dumps(verifier)), "4711")
    for wrong in ("4712", "47110", "04711", "1174", ""):
        assert not matches(verifier, wrong)


def test_the_derivation_is_plain_argon2id() -> None:
    salt = bytes(range(16))
    theirs = Argon2id(salt=salt, length=24, iterations=5, lanes=2, memory_cost=7168).derive(b"123456")
    assert matches(PinVerifier(salt, theirs, 7168, 5, 2), "123456")


def test_the_example_of_the_cloud_contract() -> None:
    wire = {
        "alg": "argon2id",
        "salt": "AAECAwQFBgcICQoLDA0ODw",
        "hash": "yjQLpv9oVMVyxf0wFgIPXjhWaaCK_wxf5PhKe5TAJi0",
        "m": 19456,
        "t": 2,
        "p": 1,
    }
    verifier = PinVerifier.from_wire(wire)
    assert verifier.salt == bytes(range(16)) and len(verifier.hash) == 32
    assert verifier.to_wire() == wire


def test_chance_comes_from_its_source() -> None:
    assert make_verifier("1234", token_bytes=bytes, **CHEAP) == make_verifier("1234", token_bytes=bytes, **CHEAP)
    assert make_verifier("1234", **CHEAP) != make_verifier("1234", **CHEAP)


@pytest.mark.parametrize("digits", ["123", "1" * 13, "", "12a4", "1234 ", "1234\n", "-1234", "١٢٣٤", "1²34"])
def test_what_is_no_pin(digits: str) -> None:
    assert not is_pin(digits)
    with pytest.raises(PinError) as raised:
        make_verifier(digits)
    assert not digits or digits not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"alg": "argon2i"}, {"alg": None}, {"salt": "AAAA"}, {"salt": "A" * 120}, {"salt": ""}, {"salt": None},
        {"salt": 7},
        {"salt": "AAECAwQFBgcICQoLDA0ODw=="}, {"salt": "AAECAwQFBgcICQoLDA0O/w"}, {"hash": "AAAA"}, {"hash": b"x" * 32},
        {"m": 7167, "t": 16}, {"m": 262145}, {"m": 8}, {"m": 7168, "t": 4}, {"m": 262144, "t": 5}, {"m": True},
        {"m": 19456.0},
        {"m": "19456"}, {"t": 0}, {"t": 17}, {"t": -1}, {"p": 0}, {"p": 9}, {"p": None}, {"m": 2**64}, {"pepper": 1},
    ],
)  # fmt: skip
def test_verifiers_out_of_bounds_are_refused(wire: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(PinError) as raised:
        PinVerifier.from_wire({**wire, **change})
    assert wire["hash"] not in str(raised.value)


@pytest.mark.parametrize("member", ["alg", "salt", "hash", "m", "t", "p"])
def test_a_missing_member_is_named(wire: dict[str, Any], member: str) -> None:
    with pytest.raises(PinError, match=member):
        PinVerifier.from_wire({k: v for k, v in wire.items() if k != member})


@pytest.mark.parametrize("value", [None, [], "argon2id", 7])
def test_what_is_no_verifier(value: object) -> None:
    with pytest.raises(PinError):
        PinVerifier.from_wire(value)


def test_nothing_secret_in_a_repr(wire: dict[str, Any]) -> None:
    verifier = PinVerifier.from_wire(wire)
    assert repr(verifier.salt) not in repr(verifier) and repr(verifier.hash) not in repr(verifier)


# ---------------------------------------------------------------- the factor
class Inline:
    """Workers that run in place, or fail as told."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        return fn(*args)

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        if self.failure is not None:
            raise self.failure
        return fn(*args)


def factor(workers: Any) -> PinFactor:
    return PinFactor(Sealer(b"k" * 32), workers)


async def test_enrolled_and_verified_in_a_child(wire: dict[str, Any]) -> None:
    workers = RealWorkers(processes=1)
    try:
        pin: FactorVerifier[str] = factor(workers)
        sealed = pin.enrol("r-1", wire)
        assert wire["hash"] not in sealed
        assert await pin.verify("r-1", sealed, "4711") == FactorResult(Finding.VERIFIED)
        assert await pin.verify("r-1", sealed, "4712") == FactorResult(Finding.WRONG)
    finally:
        await workers.aclose()


async def test_a_verifier_of_another_rental_compares_nothing(wire: dict[str, Any]) -> None:
    pin = factor(Inline())
    sealed = pin.enrol("r-1", PinVerifier.from_wire(wire))
    assert (await pin.verify("r-1", sealed, "4711")).finding is Finding.VERIFIED
    for rental, blob in (("r-2", sealed), ("r-1", sealed[:-1]), ("r-1", ""), ("r-1", "x.y")):
        assert (await pin.verify(rental, blob, "4711")).finding is Finding.UNAVAILABLE


@pytest.mark.parametrize("failure", [TimeoutError(), WorkerDied("gone"), MemoryError()])
async def test_a_failure_is_no_wrong_pin(wire: dict[str, Any], failure: Exception) -> None:
    pin = factor(Inline(failure))
    result = await pin.verify("r-1", pin.enrol("r-1", wire), "4711")
    assert result.finding is Finding.UNAVAILABLE and result.detail and "4711" not in result.detail


def test_a_bad_verifier_is_not_sealed(wire: dict[str, Any]) -> None:
    with pytest.raises(PinError, match="m"):
        factor(Inline()).enrol("r-1", {**wire, "m": 8})
