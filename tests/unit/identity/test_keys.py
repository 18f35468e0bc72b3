from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from vendingd.identity.keys import Algorithm, KeyRing, KeysError, parse_jwk
from vendingd.identity.tool import make_key, public_jwk, signer

# RFC 8037 appendix A: the key and the signature of its example
OKP = {"kid": "k1", "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
SIGNED = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
SIGNATURE = bytes.fromhex(
    "860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e"
    "9d59b8628dc351e248b88b29468e0e41855b0fb7d83bb15be902bfccb8cd0a02"
)
# RFC 7517 appendix A.1
EC = {
    "kid": "k2",
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}


def test_ed25519_by_the_rfc() -> None:
    key = parse_jwk(OKP)
    assert key.algorithm is Algorithm.EDDSA
    assert key.verify(SIGNATURE, SIGNED)
    assert not key.verify(SIGNATURE, SIGNED + b".")
    assert not key.verify(SIGNATURE[:-1], SIGNED)
    assert not key.verify(b"", SIGNED)


def test_ed25519_of_rfc_8032() -> None:
    # section 7.1, test 1: the empty message
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert parse_jwk(OKP).verify(signature, b"")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_and_everything_but_it(algorithm: Algorithm) -> None:
    private = make_key("k", algorithm)
    key = parse_jwk(public_jwk(private))
    signature = signer(private)[1](b"message")
    assert key.verify(signature, b"message")
    for bad in (bytes(64), b"\xff" * 64, signature[::-1], signature + b"\0", signature[:63], b""):
        assert not key.verify(bad, b"message")


def test_a_ring_finds_by_kid() -> None:
    ring = KeyRing.parse({"keys": [OKP, {**EC, "retired": True, "not_before": "2030-01-01T00:00:00+01:00"}]})
    assert len(ring) == 2
    ec = ring.find(b"k2")
    assert ec is not None and ec.retired and ec.not_before == 1893452400.0
    ed = ring.find("k1")
    assert ed is not None and not ed.retired and ed.not_before is None
    assert ring.find(b"k3") is None
    assert ring.find(b"\xff\xfe") is None
    ring.warm()


def test_an_update_replaces_by_kid() -> None:
    old = KeyRing.parse({"keys": [OKP, EC]})
    new = old.updated(KeyRing.parse({"keys": [{**OKP, "retired": True}, {**OKP, "kid": "k3"}]}))
    assert [(key.kid, key.retired) for key in new] == [("k1", True), ("k2", False), ("k3", False)]
    assert len(old) == 2


@pytest.mark.parametrize(
    ("jwk", "said"),
    [
        ([], "not an object"),
        ({}, "kid"),
        ({**OKP, "kid": ""}, "kid"),
        ({**OKP, "kid": 7}, "kid"),
        ({**OKP, "kid": "a" * 65}, "kid"),
        ({**OKP, "kid": "ü" * 40}, "kid"),  # 80 bytes
        ({**OKP, "kid": "a\nb"}, "kid"),
        ({**OKP, "kid": "\ud800"}, "kid"),
        ({**OKP, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}, "private"),
        ({**OKP, "kty": "RSA"}, "kty"),
        ({**OKP, "crv": "X25519"}, "crv"),
        ({**OKP, "kty": "oct", "k": "AA"}, "kty"),
        ({**OKP, "x": OKP["x"] + "="}, "x"),
        ({**OKP, "x": OKP["x"][:-1]}, "x"),
        ({**OKP, "x": None}, "x"),
        ({**OKP, "alg": "ES256"}, "alg"),
        ({**OKP, "use": "enc"}, "use"),
        ({**OKP, "key_ops": ["sign"]}, "key_ops"),
        ({**OKP, "key_ops": "verify"}, "key_ops"),
        ({**OKP, "retired": 1}, "retired"),
        ({**OKP, "retired": None}, "retired"),
        ({**OKP, "not_before": 1893452400}, "not_before"),
        ({**OKP, "not_before": "2030-13-01T00:00:00Z"}, "not_before"),
        ({**OKP, "not_before": "2030-01-01"}, "not_before"),
        ({**OKP, "not_before": "2030-01-01T00:00:00"}, "not_before"),
        ({**EC, "y": EC["x"]}, "curve"),
        ({**EC, "y": "_" * 42 + "8"}, "curve"),
        ({k: v for k, v in EC.items() if k != "y"}, "y"),
    ],
)
def test_a_bad_key_is_refused_with_its_reason(jwk: Any, said: str) -> None:
    with pytest.raises(KeysError, match=said) as raised:
        KeyRing.parse({"keys": [jwk]})
    assert "nWGxne" not in str(raised.value)


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": {}}, {"keys": None}, "keys"])
def test_what_is_no_set(jwks: object) -> None:
    with pytest.raises(KeysError, match="JWK set"):
        KeyRing.parse(jwks)


def test_a_doubled_kid_is_refused() -> None:
    with pytest.raises(KeysError, match=r"'k1'.*twice"):
        KeyRing.parse({"keys": [OKP, {**EC, "kid": "k1"}]})


def test_too_many_keys() -> None:
    with pytest.raises(KeysError, match="65 keys"):
        KeyRing.parse({"keys": [{**OKP, "kid": f"k{i}"} for i in range(65)]})


def test_text_of_a_file() -> None:
    assert len(KeyRing.parse_text(json.dumps({"keys": [OKP]}))) == 1
    for bad in (b"", b"\xff", "{", "[" * 100_000, '{"keys": [], "keys": []}'):
        with pytest.raises(KeysError):
            KeyRing.parse_text(bad)


def test_parsing_does_not_load_the_library() -> None:
    program = (
        "import sys, json\n"
        "from vendingd.identity import passes, policy, seal, pin\n"
        "from vendingd.identity.keys import KeyRing\n"
        "KeyRing.parse_text(sys.argv[1])\n"
        "print([m for m in ('cryptography', 'cbor2', 'pydantic', 'numpy') if m in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps({"keys": [OKP, EC]})],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
