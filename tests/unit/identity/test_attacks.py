"""Attacks at the counter: each is refused, its reason in the record, in one sentence for all, and harms nobody else."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from fsm import events as e
from fsm.effects import CheckFace, CheckPin
from fsm.model import VisitState
from tests.unit.fsm.factors import CAMERA, face, looking
from tests.unit.identity.attacks import HOUR, KEY, OLD, ROGUE, T0, claims, counter, genuine
from vendingd.identity import base45, cose
from vendingd.identity.cwt import Claim, claims_of
from vendingd.identity.tool import make_key, public_jwk, signer

FORGED = "refused"  # the one sentence for every pass that is not genuine


# ---------------------------------------------------------------- forged and damaged passes
def envelope(said: Any = None, **changes: Any) -> bytes:
    """A COSE_Sign1 with one defect, by the right key."""
    algorithm, sign = signer(KEY)
    payload = said if isinstance(said, bytes) else cbor2.dumps(said or dict(claims_of(claims())), canonical=True)
    protected = changes.pop("protected", {1: algorithm.cose, 4: b"k1"})
    return cose.sign1(payload, changes.pop("sign", sign), protected=protected, **changes)


def text(message: bytes) -> bytes:
    return base45.encode(message).encode()


def without(claim: Claim) -> dict[int, Any]:
    return {k: v for k, v in claims_of(claims()).items() if k != claim}


def having(claim: Claim, value: Any) -> dict[int, Any]:
    return {**claims_of(claims()), int(claim): value}


def _flipped() -> bytes:
    message = bytearray(envelope())
    message[-1] ^= 1
    return text(bytes(message))


def _other_payload() -> bytes:
    message = cbor2.loads(envelope())
    parts = list(getattr(message, "value", message))
    parts[2] = cbor2.dumps(having(Claim.RENTAL, "other"), canonical=True)
    return text(cbor2.dumps(parts))


# The kinds of defect that public conformance vectors for signed codes try (EU DCC's, and RFC 8152's examples).
DEFECTS: dict[str, tuple[Callable[[], bytes], str]] = {
    # Base45
    "no Base45 at all": (lambda: b"https://example.com/menu", "malformed"),
    "a character outside the alphabet": (lambda: genuine().lower(), "malformed"),
    "a prefix of another scheme": (lambda: b"HC1:" + genuine(), "malformed"),
    "cut short": (lambda: genuine()[:-4], "malformed"),
    "one character more": (lambda: genuine() + b"0", "malformed"),
    "a triplet beyond 65535": (lambda: b":::" + genuine(), "malformed"),
    "empty": (lambda: b"", "malformed"),
    "longer than any code": (lambda: b"A" * 100_000, "malformed"),
    "as base64": (lambda: base64.b64encode(envelope()), "malformed"),
    "compressed": (lambda: text(zlib.compress(envelope())), "malformed"),
    # CBOR and COSE
    "bytes behind the end": (lambda: text(envelope() + b"\x00"), "malformed"),
    "no array": (lambda: text(cbor2.dumps({1: 2})), "malformed"),
    "an array of three": (lambda: text(cbor2.dumps(cbor2.CBORTag(18, [b"", {}, b""]))), "malformed"),
    "the tag of a MAC": (lambda: text(envelope(tags=(17,))), "malformed"),
    "a JWT": (lambda: b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ2aWN0aW0ifQ.", "malformed"),
    "a critical header": (lambda: text(envelope(protected={1: -8, 4: b"k1", 2: [99]})), "malformed"),
    "headers that nobody signed": (lambda: text(envelope(unprotected={5: b"iv"})), "malformed"),
    "claims that are no map": (lambda: text(envelope(b"\x83\x01\x02\x03")), "bad_claim"),
    "claims with bytes behind them": (lambda: text(envelope(cbor2.dumps(claims_of(claims())) + b"\x00")), "malformed"),
    "claims of indefinite length": (lambda: text(envelope(b"\xbf\x01\x61\x61\xff")), "malformed"),
    "a claim given twice": (lambda: text(envelope(b"\xa2\x01\x61a\x01\x61b")), "malformed"),
    "a date as a tag": (lambda: text(envelope(having(Claim.EXP, cbor2.CBORTag(1, 1_900_000_000)))), "malformed"),
    # key, algorithm, signature
    "no key id": (lambda: text(envelope(protected={1: -8})), "unknown_key"),
    "an unknown key id": (lambda: genuine(make_key("k9")), "unknown_key"),
    "algorithm none": (lambda: text(envelope(protected={4: b"k1"})), "wrong_algorithm"),
    "another algorithm": (lambda: text(envelope(protected={1: -7, 4: b"k1"})), "wrong_algorithm"),
    "HMAC by the public key": (lambda: text(envelope(protected={1: 5, 4: b"k1"})), "wrong_algorithm"),
    "RSA": (lambda: text(envelope(protected={1: -37, 4: b"k1"})), "wrong_algorithm"),
    "another's signature under a known id": (lambda: genuine(ROGUE), "bad_signature"),
    "a bit of the signature": (_flipped, "bad_signature"),
    "another payload under the signature": (_other_payload, "bad_signature"),
    "a signature of zeros": (lambda: text(envelope(sign=lambda m: bytes(64))), "bad_signature"),
    # claims
    **{
        f"no {claim.name.lower()}": ((lambda claim=claim: text(envelope(without(claim)))), "missing_claim")  # type: ignore[misc]
        for claim in (Claim.ISSUER, Claim.RENTAL, Claim.AUDIENCE, Claim.EXP, Claim.NBF, Claim.CTI, Claim.ASSET)
    },
    "a rental that is a number": (lambda: text(envelope(having(Claim.RENTAL, 1))), "bad_claim"),
    "an end that is text": (lambda: text(envelope(having(Claim.EXP, "2030-01-01"))), "bad_claim"),
    "an end that is true": (lambda: text(envelope(having(Claim.EXP, True))), "bad_claim"),
    "an end beyond all calendars": (lambda: text(envelope(having(Claim.EXP, 1e300))), "bad_claim"),
    "an end before the start": (lambda: genuine(exp=T0 - 2 * HOUR), "bad_claim"),
    "demands that ask for nothing": (lambda: text(envelope(having(Claim.DEMANDS, []))), "bad_claim"),
    "control characters in a name": (lambda: text(envelope(having(Claim.RENTAL, "vic\ttim"))), "bad_claim"),
    "another issuer": (lambda: genuine(issuer="https://evil.example"), "wrong_issuer"),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_what_is_no_genuine_pass(defect: str) -> None:
    made, reason = DEFECTS[defect]
    c = counter()
    await c.code(made())
    c.refused_as(reason)
    said = c.shown()
    assert said["code"] == FORGED and said["params"] == {}, "one sentence for all of them"
    await c.others_are_served()


# ---------------------------------------------------------------- genuine passes, used wrongly
@pytest.mark.parametrize(
    ("over", "reason", "told"),
    [
        ({"exp": T0 - 61, "nbf": T0 - HOUR}, "too_late", "too_late"),
        ({"nbf": T0 + 61}, "too_early", "too_early"),
        ({"audience": "m2"}, "other_machine", "other_machine"),
        ({"audience": "site:east"}, "other_machine", "other_machine"),
        ({"audience": "site:west", "asset": "car9", "rental": "new"}, "asset_not_here", "not_here"),
        ({"key": OLD}, "key_retired", FORGED),
    ],
)
async def test_genuine_and_not_for_this(over: dict[str, Any], reason: str, told: str) -> None:
    c = counter()
    await c.code(genuine(**over))
    c.refused_as(reason)
    assert c.shown()["code"] == told
    await c.others_are_served()


async def test_revoked() -> None:
    c = counter()
    c.m.deliver(e.RevokePasses("rv", ("victim",), T0 + HOUR))
    await c.code(genuine())
    c.refused_as("revoked")
    assert c.shown()["code"] == FORGED
    await c.others_are_served()


async def test_a_key_that_was_rotated_out_meanwhile() -> None:
    """Signed rightly yesterday; today its key is retired, and tomorrow its successor's passes are read."""
    c = counter()
    new = make_key("k2")
    c.keys.delivered({"k1": json.dumps(public_jwk(KEY) | {"retired": True}), "k2": json.dumps(public_jwk(new))})
    await c.code(genuine())
    c.refused_as("key_retired")
    await c.code(genuine(new))
    assert c.m.visit().wants == "pin"


async def test_a_key_whose_time_has_not_come() -> None:
    c = counter()
    new = make_key("k2")
    c.keys.delivered({"k2": json.dumps(public_jwk(new) | {"not_before": "2100-01-01T00:00:00Z"})})
    await c.code(genuine(new))
    c.refused_as("key_not_yet_valid")
    assert c.shown()["code"] == FORGED


async def test_one_rental_is_handed_out_once() -> None:
    c = counter(demands=(), pin=None)
    await c.code(genuine())
    assert c.m.unlocks() == ["b1"]
    again = await c.code(genuine())
    assert again.refused == "in_progress" and c.m.unlocks() == ["b1"]


# ---------------------------------------------------------------- clocks
@pytest.mark.parametrize(("back_s", "reason"), [(3 * HOUR, "too_late"), (400 * 24 * HOUR, "too_late")])
async def test_a_clock_that_was_turned_back_revives_no_pass(back_s: float, reason: str) -> None:
    """The last time that was trusted is a floor: the pass that had run out then has run out."""
    c = counter(demands=(), pin=None)
    c.m.trusted, c.m.floor, c.m.utc = False, T0, T0 - back_s
    await c.code(genuine(exp=T0 - 61, nbf=T0 - HOUR))
    c.refused_as(reason)


async def test_a_clock_that_was_turned_forward_opens_nothing_early() -> None:
    c = counter(demands=(), pin=None, window_from=T0 + HOUR, window_to=T0 + 2 * HOUR)
    c.m.trusted, c.m.floor, c.m.utc = False, T0, T0 + 90 * 60
    await c.code(genuine(nbf=T0 + HOUR, exp=T0 + 2 * HOUR))
    c.refused_as("time_unknown")


# ---------------------------------------------------------------- somebody else's pass
async def test_a_screenshot_where_a_pin_is_demanded() -> None:
    c = counter()
    await c.code(genuine())
    assert c.m.unlocks() == [] and c.shown()["code"] == "enter_pin"
    c.m.wait(121)
    assert c.m.rental("victim").attempts == 0 and not c.m.rental("victim").locked_out
    await c.others_are_served()


async def test_a_screenshot_where_a_face_is_demanded() -> None:
    c = counter(face="sealed-face", face_format=CAMERA, demands=("pass+face", "pass+pin"))
    for tried in (1, 2, 3):
        await c.code(genuine())
        assert isinstance(looking(c.m), CheckFace)
        face(c.m, ok=False)
        assert c.m.unlocks() == [] and c.m.rental("victim").face_attempts == tried
    assert c.shown()["code"] == "enter_pin", "its holder has another way"
    assert not c.m.rental("victim").locked_out
    c.m.tell(e.Left("front"))
    await c.others_are_served()


async def test_the_friend_with_the_face_steps_in_after_the_pass() -> None:
    """Who stood there when the pass was shown was another: the right face afterwards counts for nothing by itself."""
    c = counter(face="sealed-face", face_format=CAMERA, demands=("pass+face", "pass+pin"))
    await c.code(genuine())
    face(c.m, ok=False)
    assert looking(c.m) is not None and not c.m.visit().facing, "nobody is looked at any more"
    assert face(c.m, ok=True).ignored and c.m.unlocks() == []


async def test_another_pass_ends_the_comparison_for_the_first() -> None:
    c = counter(face="sealed-face", face_format=CAMERA, demands=("pass+face", "pass+pin"))
    await c.code(genuine())
    await c.code(genuine(rental="honest", asset="car2"))
    assert looking(c.m) is None
    unlocked = c.m.unlocks()
    assert face(c.m, ok=True).ignored and c.m.unlocks() == unlocked == ["b2"]


# ---------------------------------------------------------------- PINs
async def test_a_pin_is_guessed_five_times_and_locks_out_its_rental_alone() -> None:
    c = counter()
    await c.code(genuine())
    for left in (4, 3, 2, 1):
        c.m.tell(e.PinEntered("front", "0000"))
        c.m.check_pin(ok=False)
        assert c.shown()["params"]["tries_left"] == left and c.shown()["params"]["because"] == "wrong_pin"
    c.m.tell(e.PinEntered("front", "0000"))
    c.m.check_pin(ok=False)
    assert c.m.rental("victim").locked_out and c.m.visit().state is VisitState.FAREWELL
    assert [d["reason"] for k, s, d in c.m.records if k == "credential.refused" and s == "victim"] == ["wrong_pin"] * 5
    c.m.wait(60)
    await c.code(genuine())
    c.refused_as("locked_out")
    assert c.shown() == c.shown() | {"code": "locked_out", "params": {}}
    await c.others_are_served()


async def test_pulling_the_plug_wins_no_guesses() -> None:
    c = counter()
    for _ in range(5):
        await c.code(genuine())
        c.m.tell(e.PinEntered("front", "0000"))
        c.m.crash()
        c.m.recover_rest()
        c.m.wait(60)
    await c.code(genuine())
    c.refused_as("locked_out")
    await c.others_are_served()


async def test_walking_away_wins_no_guesses() -> None:
    c = counter()
    for _ in range(5):
        await c.code(genuine())
        c.m.tell(e.PinEntered("front", "0000"))
        c.m.tell(e.Left("front"))
        assert c.m.check_pin(ok=False).ignored
        c.m.wait(20)
    await c.code(genuine())
    c.refused_as("locked_out")


async def test_the_pin_of_another_rental_is_compared_with_this_ones_verifier() -> None:
    c = counter()
    c.m.book("other", "car2", version=1, pin="the-others", demands=("pass+pin",))
    await c.code(genuine())
    c.m.tell(e.PinEntered("front", "2222"))
    check = next(f for f in reversed(c.m.effects) if isinstance(f, CheckPin))
    assert (check.rental, check.sealed) == ("victim", "sealed")
    stale = e.PinChecked("front", check.visit, "other", True)
    assert c.m.tell(stale).ignored and c.m.unlocks() == []


async def test_a_pin_without_a_pass_is_not_even_compared() -> None:
    c = counter()
    refused = c.m.tell(e.PinEntered("front", "1234"))
    assert refused.refused == "wrong_state" and refused.effects == []


# ---------------------------------------------------------------- badges
async def test_badges_tried_one_after_the_other() -> None:
    """The terminal is slowed, at most by half a minute; nobody is locked out."""
    c = counter(badges=("x" * 43,), demands=("badge+pin", "pass+pin"))
    for n in range(40):
        await c.badge(f"nfc:{n:08X}")
        assert c.m.unlocks() == []
    assert c.last is not None and c.last.refused == "wait"
    assert c.m.visit().slow_until_mono - c.m.mono <= 30
    assert not c.m.rental("victim").locked_out
    await c.others_are_served()


async def test_an_unknown_badge_learns_nothing() -> None:
    c = counter()
    await c.badge("nfc:04112233")
    c.refused_as("unknown_badge")
    assert c.shown()["code"] == FORGED
    assert "04112233" not in repr(c.m.records) and "04112233" not in repr(c.last)


# ---------------------------------------------------------------- who cannot be kept out
async def test_a_prankster_slows_a_terminal_and_closes_no_machine() -> None:
    c = counter()
    for _ in range(50):
        await c.code(genuine(ROGUE))
    assert c.shown()["code"] == "wait"
    assert c.m.show("honest", terminal="side", asset="car2").refused is None, "another terminal is not slowed"
    assert c.m.visit().slow_until_mono - c.m.mono <= 30
