"""Keys and passes that the identity tests share."""

from __future__ import annotations

from typing import Any

import pytest

from fsm.policy import Alternatives
from vendingd.identity.cwt import Pass
from vendingd.identity.keys import Algorithm, KeyRing
from vendingd.identity.tool import make_key, public_jwk, sign_pass

DEMANDS: Alternatives = (frozenset({"pass", "pin"}), frozenset({"pass", "face"}))


@pytest.fixture
def claims() -> Pass:
    return Pass(
        issuer="https://rent.example",
        rental="r-1001",
        audience="tower-01",
        exp=1_900_003_600.0,
        nbf=1_900_000_000.0,
        cti=b"\x01\x02\x03\x04\x05\x06\x07\x08",
        iat=1_899_999_000.5,
        asset=None,
        asset_class="car",
        demands=DEMANDS,
        due=1_900_200_000.0,
        holder="h-77",
    )


@pytest.fixture(scope="session")
def eddsa() -> dict[str, Any]:
    return make_key("ed-1")


@pytest.fixture(scope="session")
def es256() -> dict[str, Any]:
    return make_key("es-1", Algorithm.ES256)


@pytest.fixture(scope="session")
def ring(eddsa: dict[str, Any], es256: dict[str, Any]) -> KeyRing:
    retired = {**public_jwk(es256), "retired": True, "not_before": "2030-01-01T00:00:00Z"}
    return KeyRing.parse({"keys": [public_jwk(eddsa), retired]})


@pytest.fixture
def text(eddsa: dict[str, Any], claims: Pass) -> bytes:
    return sign_pass(eddsa, claims).encode()
