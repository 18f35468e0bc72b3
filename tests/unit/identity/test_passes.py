from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vendingd.identity import base45, cose
from vendingd.identity.cwt import Claim, Pass, claims_of
from vendingd.identity.keys import KeyRing, VerificationKey, parse_jwk
from vendingd.identity.passes import PassRead, PassRefused, Refusal, read_pass
from vendingd.identity.tool import sign_pass, signer

ALLOW_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

# RFC 8392 appendix A.2.3 and A.3. Its claims name neither asset nor class: signature right, and no pass of ours.
RFC_KEY = {
    "kid": "AsymmetricECDSA256",
    "kty": "EC",
    "crv": "P-256",
    "x": "FDMpzOeGjkFpJ1mc9lo0884v_aVafsptke0Zo5TULw8",
    "y": "YPfxp4DYp4O_t6Ldayea6BKNu8750dFo25Upl6o257k",
}
RFC_CWT = bytes.fromhex(
    "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e63"
    "6f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a56"
    "10d9f007420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c42"
    "9a01f85951ecee743a52b9b63632c57209120e1c9e30"
)


def _rfc_ring() -> KeyRing:
    import base64

    x = bytes.fromhex("143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f")
    y = bytes.fromhex("60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9")
    jwk = {
        **RFC_KEY,
        "x": base64.urlsafe_b64encode(x).rstrip(b"=").decode(),
        "y": base64.urlsafe_b64encode(y).rstrip(b"=").decode(),
    }
    return KeyRing.of([parse_jwk(jwk)])


def reason(result: PassRead | PassRefused) -> Refusal:
    assert isinstance(result, PassRefused), result
    return result.reason


def read(message: bytes, ring: KeyRing) -> PassRead | PassRefused:
    return read_pass(base45.encode(message).encode(), ring)


def test_the_signed_cwt_of_rfc_8392() -> None:
    message = cose.parse_sign1(RFC_CWT)
    key = _rfc_ring().find(message.kid or b"")
    assert key is not None and cose.verify(message, key)
    assert reason(read(RFC_CWT, _rfc_ring())) is Refusal.MISSING_CLAIM
    assert reason(read(RFC_CWT[:-1] + b"\x31", _rfc_ring())) is Refusal.BAD_SIGNATURE


def test_every_field_arrives(eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    result = read_pass(sign_pass(eddsa, claims).encode(), ring)
    assert result == PassRead(claims, kid="ed-1", key_retired=False, key_not_before=None)


def test_a_retired_key_is_said(es256: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    named = replace(
        claims,
        asset="car-1",
        asset_class=None,
        audience="site:west",
        iat=None,
        demands=None,
        due=None,
        holder=None,
    )
    result = read_pass(sign_pass(es256, named).encode(), ring)
    assert result == PassRead(named, kid="es-1", key_retired=True, key_not_before=1893456000.0)


@pytest.mark.parametrize("tags", [(), (18,), (61, 18)])
def test_the_three_envelopes(tags: tuple[int, ...], eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    assert isinstance(read(signed(eddsa, claims, tags=tags), ring), PassRead)


def test_kid_may_stand_unprotected(eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    assert isinstance(read(signed(eddsa, claims, protected={1: -8}, unprotected={4: b"ed-1"}), ring), PassRead)


def signed(key: dict[str, Any], claims: Pass | dict[Any, Any] | bytes, **changes: Any) -> bytes:
    algorithm, sign = signer(key)
    if isinstance(claims, Pass):
        claims = dict(claims_of(claims))
    payload = claims if isinstance(claims, bytes) else cbor2.dumps(claims, canonical=True)
    protected = changes.pop("protected", {1: algorithm.cose, 4: key["kid"].encode()})
    return cose.sign1(payload, changes.pop("sign", sign), protected=protected, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"tags": (17,)}, Refusal.MALFORMED, id="another tag (Mac0)"),
        pytest.param({"tags": (998,)}, Refusal.MALFORMED, id="tag 998, as in the COSE examples"),
        pytest.param({"tags": (61,)}, Refusal.MALFORMED, id="CWT's tag alone"),
        pytest.param({"tags": (18, 61)}, Refusal.MALFORMED, id="tags in the wrong order"),
        pytest.param({"tags": (18, 18)}, Refusal.MALFORMED, id="tagged twice"),
        pytest.param({"protected": {4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="no algorithm"),
        pytest.param({"protected": {}, "unprotected": {4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="no protected header"),
        pytest.param(
            {"protected": {4: b"ed-1"}, "unprotected": {1: -8}}, Refusal.MALFORMED, id="algorithm unprotected"
        ),
        pytest.param({"protected": {1: -7, 4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="another key's algorithm"),
        pytest.param({"protected": {1: -999, 4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="algorithm -999"),
        pytest.param({"protected": {1: "unknown", 4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="algorithm 'unknown'"),
        pytest.param({"protected": {1: 5, 4: b"ed-1"}}, Refusal.WRONG_ALGORITHM, id="HMAC"),
        pytest.param({"protected": {1: True, 4: b"ed-1"}}, Refusal.MALFORMED, id="algorithm true"),
        pytest.param({"protected": {1: -8.0, 4: b"ed-1"}}, Refusal.MALFORMED, id="algorithm -8.0"),
        pytest.param({"protected": {1: -8}}, Refusal.UNKNOWN_KEY, id="no kid"),
        pytest.param({"protected": {1: -8, 4: b"ed-2"}}, Refusal.UNKNOWN_KEY, id="unknown kid"),
        pytest.param({"protected": {1: -8, 4: b"\xff"}}, Refusal.UNKNOWN_KEY, id="kid that is no UTF-8"),
        pytest.param({"protected": {1: -8, 4: "ed-1"}}, Refusal.MALFORMED, id="kid as text"),
        pytest.param({"protected": {1: -8, 4: b""}}, Refusal.MALFORMED, id="empty kid"),
        pytest.param({"protected": {1: -8, 4: b"a" * 65}}, Refusal.MALFORMED, id="kid of 65 bytes"),
        pytest.param({"unprotected": {4: b"ed-1"}}, Refusal.MALFORMED, id="kid in both"),
        pytest.param({"protected": {1: -8, 4: b"ed-1", 2: [99], 99: 1}}, Refusal.MALFORMED, id="critical header"),
        pytest.param({"unprotected": {2: [99]}}, Refusal.MALFORMED, id="critical header, unprotected"),
        pytest.param({"unprotected": {5: b"iv"}}, Refusal.MALFORMED, id="another unprotected header"),
        pytest.param({"sign": lambda m: bytes(63)}, Refusal.MALFORMED, id="short signature"),
        pytest.param({"sign": lambda m: bytes(65)}, Refusal.MALFORMED, id="long signature"),
        pytest.param({"sign": lambda m: b""}, Refusal.MALFORMED, id="no signature"),
        pytest.param({"sign": lambda m: bytes(64)}, Refusal.BAD_SIGNATURE, id="signature of zeros"),
    ],
)
def test_defects_of_the_envelope(
    changes: dict[str, Any],
    expected: Refusal,
    eddsa: dict[str, Any],
    ring: KeyRing,
    claims: Pass,
) -> None:
    assert reason(read(signed(eddsa, claims, **changes), ring)) is expected


def test_another_structure_signed(eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    sign = signer(eddsa)[1]
    counter = signed(eddsa, claims, sign=lambda m: sign(m.replace(b"\x6aSignature1", b"\x69Signature")))
    assert reason(read(counter, ring)) is Refusal.BAD_SIGNATURE


def test_the_right_algorithm_by_the_wrong_key(
    eddsa: dict[str, Any], es256: dict[str, Any], ring: KeyRing, claims: Pass
) -> None:
    forged = signed(es256, claims, protected={1: -8, 4: b"ed-1"})
    assert reason(read(forged, ring)) is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("position", range(4))
def test_parts_of_other_types(position: int, text: bytes, ring: KeyRing) -> None:
    message = cbor2.loads(base45.decode(text)).value
    others: tuple[Any, ...] = (None, 0, "x", [], {}, b"", True)
    for other in others:
        if isinstance(other, (bytes, dict, bytes, bytes)[position]):
            continue
        changed = [*message[:position], other, *message[position + 1 :]]
        assert reason(read(cbor2.dumps(changed), ring)) is Refusal.MALFORMED


def test_arrays_of_other_lengths(text: bytes, ring: KeyRing) -> None:
    message = list(cbor2.loads(base45.decode(text)).value)
    several: tuple[Any, ...] = (message[:3], [*message, b""], [], {}, 0, b"x")
    for changed in several:
        assert reason(read(cbor2.dumps(changed), ring)) is Refusal.MALFORMED


def test_protected_headers_that_are_none(text: bytes, ring: KeyRing) -> None:
    message = list(cbor2.loads(base45.decode(text)).value)
    for header in (b"\x80", b"\x00", b"\xa1\x01", b"\xa1\x01\x27\x00", b"\xa2\x01\x27\x01\x26", b"\xbf\xff"):
        assert reason(read(cbor2.dumps([header, *message[1:]]), ring)) is Refusal.MALFORMED


def test_a_changed_payload(text: bytes, ring: KeyRing) -> None:
    message = list(cbor2.loads(base45.decode(text)).value)
    message[2] = message[2].replace(b"r-1001", b"r-1002")
    assert reason(read(cbor2.dumps(message), ring)) is Refusal.BAD_SIGNATURE


_REQUIRED = (Claim.ISSUER, Claim.RENTAL, Claim.AUDIENCE, Claim.EXP, Claim.NBF, Claim.CTI, Claim.ASSET_CLASS)


@pytest.mark.parametrize("claim", _REQUIRED)
def test_a_missing_claim_is_named(claim: Claim, eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    less = {k: v for k, v in claims_of(claims).items() if k != claim}
    result = read(signed(eddsa, less), ring)
    assert reason(result) is Refusal.MISSING_CLAIM
    assert isinstance(result, PassRefused) and claim.name.lower() in result.detail


_TEXTS = (Claim.ISSUER, Claim.RENTAL, Claim.AUDIENCE, Claim.ASSET, Claim.ASSET_CLASS, Claim.HOLDER)
_TIMES = (Claim.EXP, Claim.NBF, Claim.IAT, Claim.DUE)
_BAD_TEXTS: tuple[Any, ...] = (None, 1, b"x", "", "a" * 300, "a\nb", "a\x00", "a\u202eb", ["x"], True)
_BAD_TIMES: tuple[Any, ...] = (
    None,
    "2030",
    b"x",
    True,
    False,
    -1,
    0,
    1e300,
    float("nan"),
    float("inf"),
    2**63,
    [1],
    {1: 2},
)
_BAD_DEMANDS: tuple[Any, ...] = (
    None, [], "pass+pin", {1: 2}, [1], [b"pass"], [""], ["pass+"], ["pass++pin"], ["PASS"], ["pass pin"], ["pass+pass"],
    ["pass"] * 17, ["pass\n"], ["a" * 33],
)  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *((claim, value) for claim in _TEXTS for value in _BAD_TEXTS),
        *((claim, value) for claim in _TIMES for value in _BAD_TIMES),
        *((Claim.CTI, value) for value in (None, "x", 1, b"", b"x" * 65)),
        *((Claim.DEMANDS, value) for value in _BAD_DEMANDS),
        (Claim.RENTAL, "a" * 65),
        (Claim.EXP, 1_900_000_000),  # not after nbf
        (Claim.AUDIENCE, "site:west"),  # without a named asset
    ],
)
def test_claims_of_wrong_types_and_sizes(
    claim: Claim, value: Any, eddsa: dict[str, Any], ring: KeyRing, claims: Pass
) -> None:
    result = read(signed(eddsa, {**claims_of(claims), int(claim): value}), ring)
    assert reason(result) is Refusal.BAD_CLAIM
    assert isinstance(result, PassRefused) and claim.name.lower() in result.detail


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\x00", b"\xa0\x00", b"\xbf\xff", b"\xa2\x01\x61a\x01\x61b"])
def test_signed_nonsense(payload: bytes, eddsa: dict[str, Any], ring: KeyRing) -> None:
    assert reason(read(signed(eddsa, payload), ring)) in (Refusal.MALFORMED, Refusal.BAD_CLAIM)


def test_unknown_claims_are_passed_over(eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    result = read(signed(eddsa, {**claims_of(claims), 99: [1, {"a": None}], "x": b"y"}), ring)
    assert isinstance(result, PassRead) and result.claims == claims


def test_factors_unknown_here_are_kept_for_the_policy(eddsa: dict[str, Any], ring: KeyRing, claims: Pass) -> None:
    result = read(signed(eddsa, {**claims_of(claims), int(Claim.DEMANDS): ["pass+iris"]}), ring)
    assert isinstance(result, PassRead) and result.claims.demands == (frozenset({"pass", "iris"}),)


def test_only_the_site_s_issuer(text: bytes, ring: KeyRing) -> None:
    assert isinstance(read_pass(text, ring, issuer="https://rent.example"), PassRead)
    assert reason(read_pass(text, ring, issuer="https://rent.example/")) is Refusal.WRONG_ISSUER


def test_every_truncation_is_refused(text: bytes, ring: KeyRing) -> None:
    for n in range(len(text)):
        assert isinstance(read_pass(text[:n], ring), PassRefused), n
        assert isinstance(read_pass(text[n + 1 :], ring), PassRefused), n
    whole = base45.decode(text)
    for n in range(len(whole)):
        assert isinstance(read(whole[:n], ring), PassRefused), n


@pytest.mark.parametrize("placed", [{}, {"protected": {1: -8}, "unprotected": {4: b"ed-1"}}])
@pytest.mark.parametrize("tags", [(), (61, 18)])
def test_every_bit_flip_is_refused(
    placed: dict[str, Any], tags: tuple[int, ...], eddsa: dict[str, Any], ring: KeyRing, claims: Pass
) -> None:
    message = signed(eddsa, claims, tags=tags, **placed)
    assert isinstance(read(message, ring), PassRead)
    for bit in range(len(message) * 8):
        changed = bytearray(message)
        changed[bit // 8] ^= 1 << bit % 8
        assert isinstance(read(bytes(changed), ring), PassRefused), bit


def test_every_changed_character_is_refused(text: bytes, ring: KeyRing) -> None:
    for i in range(len(text)):
        for bit in range(8):
            changed = bytearray(text)
            changed[i] ^= 1 << bit
            assert isinstance(read_pass(bytes(changed), ring), PassRefused), (i, bit)


def test_trailing_bytes_are_refused(text: bytes, ring: KeyRing) -> None:
    whole = base45.decode(text)
    for more in (b"\x00", b"\xf6", whole):
        assert reason(read(whole + more, ring)) is Refusal.MALFORMED
    for more in (b"\r", b"\n", b" ", b"0"):
        assert isinstance(read_pass(text + more, ring), PassRefused)


@ALLOW_FIXTURE
@given(st.binary(max_size=600))
@example(b"")
def test_random_bytes_are_refused(ring: KeyRing, data: bytes) -> None:
    assert isinstance(read_pass(data, ring), PassRefused)
    assert isinstance(read(data, ring), PassRefused)


@ALLOW_FIXTURE
@given(st.binary(max_size=200))
def test_random_signed_payloads_never_raise(eddsa: dict[str, Any], ring: KeyRing, payload: bytes) -> None:
    assert reason(read(signed(eddsa, payload), ring)) in (
        Refusal.MALFORMED,
        Refusal.MISSING_CLAIM,
        Refusal.BAD_CLAIM,
    )


_JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-9, 9), inner, max_size=3),
    max_leaves=5,
)


@ALLOW_FIXTURE
@given(st.dictionaries(st.sampled_from([int(c) for c in Claim]), _JSONISH))
def test_random_claims_never_raise(eddsa: dict[str, Any], ring: KeyRing, claims: Pass, changes: dict[int, Any]) -> None:
    read(signed(eddsa, {**claims_of(claims), **changes}), ring)


def test_ten_megabytes_are_refused_unread(ring: KeyRing) -> None:
    class Counting(bytes):
        looked = 0

        def translate(self, *args: Any) -> bytes:
            Counting.looked += 1
            return super().translate(*args)

    for filling in (b"A", b"\x00", b"0"):
        assert reason(read_pass(Counting(filling * 10_000_000), ring)) is Refusal.MALFORMED
    assert Counting.looked == 0


def test_nothing_of_the_text_is_in_any_repr(text: bytes, eddsa: dict[str, Any], ring: KeyRing) -> None:
    message = cose.parse_sign1(base45.decode(text))
    assert message.signature.hex() not in repr(message) and repr(message.signature) not in repr(message)
    assert repr(message.payload) not in repr(message)
    for shown in (
        repr(read_pass(text, ring)),
        repr(read_pass(text[:-3], ring)),
        repr(read_pass(b"geheim 12345", ring)),
    ):
        assert text.decode() not in shown and "geheim" not in shown
    key = ring.find("ed-1")
    assert isinstance(key, VerificationKey) and repr(key.public) not in repr(key)
