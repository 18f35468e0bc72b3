"""Every instruction is read whole or called malformed, with the member that is wrong."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vendingd.cloud import instructions as ins
from vendingd.cloud.parse import from_value, parse

B64_32 = "A" * 43
BADGE = "h" * 43
PUT: dict[str, Any] = {
    "id": "i-1",
    "kind": "reservation.put",
    "version": 3,
    "rental": {
        "id": "r-1",
        "holder": "h-1",
        "class": "car",
        "window_from": "2030-05-01T10:00:00Z",
        "window_to": "2030-05-01T14:00:00.5Z",
        "due": "2030-05-04T10:00:00Z",
        "demands": ["pass+pin", "pass+face"],
        "pin": {
            "alg": "argon2id",
            "salt": "AAECAwQFBgcICQoLDA0ODw",
            "hash": B64_32,
            "m": 19456,
            "t": 2,
            "p": 1,
        },
        "face": {"fmt": "vendingd-face-1", "vector": "AAAA"},
        "badges": [BADGE],
        "pass_exp": "2030-05-01T15:00:00Z",
    },
}
JWK = {"kid": "k1", "kty": "OKP", "crv": "Ed25519", "x": B64_32}
GONE = object()


def changed(value: dict[str, Any], path: str, to: Any) -> dict[str, Any]:
    out = copy.deepcopy(value)
    *way, last = path.split(".")
    at = out
    for step in way:
        at = at[step]
    if to is GONE:
        del at[last]
    else:
        at[last] = to
    return out


def test_a_reservation_is_read_with_every_member() -> None:
    read = from_value(PUT, "c#1")
    assert read == ins.PutReservation(
        id="i-1",
        version=3,
        rental="r-1",
        window_from=1903860000.0,
        window_to=1903874400.5,
        due=1904119200.0,
        holder="h-1",
        asset_class="car",
        demands=("pass+pin", "pass+face"),
        pin=ins.PinVerifier(bytes(range(16)), bytes(32), 19456, 2, 1),
        face=ins.FaceTemplate("vendingd-face-1", '{"fmt":"vendingd-face-1","vector":"AAAA"}'),
        badges=(BADGE,),
        pass_exp=1903878000.0,
    )


def test_secrets_are_not_in_the_repr() -> None:
    said = repr(from_value(PUT, "c#1"))
    assert repr(bytes(32)) not in said and "AAAA" not in said and BADGE not in said


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        ("version", GONE, "version: is missing"),
        ("version", 0, "version: a whole number"),
        ("version", True, "version: a whole number"),
        ("rental", GONE, "rental: is missing"),
        ("rental", [], "rental: an object"),
        ("rental.id", GONE, "rental.id: is missing"),
        ("rental.id", "a b", "rental.id: a name"),
        ("rental.class", GONE, "rental.asset: is missing, and so is class"),
        ("rental.asset", "car-1", "rental.asset: stands beside class"),
        ("rental.window_from", GONE, "rental.window_from: is missing"),
        ("rental.window_from", "2030-05-01T10:00:00+02:00", "rental.window_from: an RFC 3339 time"),
        ("rental.window_from", "2030-02-30T10:00:00Z", "rental.window_from: there is no such time"),
        ("rental.window_to", "2030-05-01T09:00:00Z", "rental.window_to: is not after window_from"),
        ("rental.due", GONE, "rental.due: is missing"),
        ("rental.due", "2030-05-01T09:00:00Z", "rental.due: is not after window_from"),
        ("rental.due", 1904119200, "rental.due: an RFC 3339 time"),
        ("rental.demands", [], "rental.demands: 1 to 16"),
        ("rental.demands", ["pass+dna"], "rental.demands[0]: 'dna' is no factor"),
        ("rental.demands", ["pass", "pin+pin"], "rental.demands[1]: a factor is given twice"),
        ("rental.demands", ["pass", "pass"], "rental.demands: an entry is given twice"),
        ("rental.pin.alg", "md5", "rental.pin.alg: argon2id is expected"),
        ("rental.pin.salt", "AAA=", "rental.pin.salt: base64url"),
        ("rental.pin.salt", "AAAA", "rental.pin.salt: 8 to 64 bytes"),
        ("rental.pin.hash", GONE, "rental.pin.hash: is missing"),
        ("rental.pin.m", 10**9, "rental.pin.m: a whole number"),
        ("rental.pin.t", 0, "rental.pin.t: a whole number"),
        ("rental.pin.p", "1", "rental.pin.p: a whole number"),
        ("rental.pin.m", 7168, "rental.pin.m: times t is not"),
        ("rental.pin.m", 262144, None),
        ("rental.demand", ["pass"], "rental.demand: is not known here"),
        ("rental.demands", ["pass+live-face", "badge+authoriser", "pass"], None),
        ("rental.face", "template", "rental.face: an object"),
        ("rental.face.fmt", GONE, "rental.face.fmt: is missing"),
        ("rental.face.fmt", "Vendingd Face", "rental.face.fmt: a template's format"),
        ("rental.face.vector", "A" * 20000, "rental.face.fmt: is of a template of more than"),
        ("rental.face.more", {"a": [1]}, None),
        ("rental.badges", [], "rental.badges: 1 to 8"),
        ("rental.badges", ["nfc:04112233"], "rental.badges[0]: a badge's hash"),
        ("rental.badges", [BADGE, BADGE], "rental.badges: an entry is given twice"),
        ("surprise", 1, "surprise: is not known here"),
    ],
)
def test_a_wrong_reservation_says_which_member(path: str, to: Any, why: str | None) -> None:
    read = from_value(changed(PUT, path, to), "c#1")
    if why is None:
        assert isinstance(read, ins.PutReservation)
    else:
        assert isinstance(read, ins.Malformed)
        assert read.id == "i-1"
        assert read.why.startswith(why)


def test_a_pin_that_is_demanded_everywhere_must_be_there() -> None:
    without = changed(PUT, "rental.pin", GONE)
    assert isinstance(from_value(without, "c#1"), ins.PutReservation)  # a face serves as well
    read = from_value(changed(without, "rental.demands", ["pass+pin"]), "c#1")
    assert isinstance(read, ins.Malformed)
    assert read.why.startswith("rental.pin: is missing")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (
            {"kind": "reservation.cancel", "rental": "r", "version": 2},
            ins.CancelReservation("i", "r", 2),
        ),
        (
            {"kind": "rental.extend", "rental": "r", "version": 2, "due": "1970-01-01T00:01:00Z"},
            ins.Extend("i", "r", 2, 60.0),
        ),
        ({"kind": "rental.purchased", "rental": "r", "version": 2}, ins.Purchased("i", "r", 2)),
        (
            {"kind": "rental.returned_elsewhere", "rental": "r", "version": 2, "machine": "m"},
            ins.ReturnedElsewhere("i", "r", 2, "m"),
        ),
        ({"kind": "rental.attempts_reset", "rental": "r"}, ins.AttemptsReset("i", "r")),
        (
            {"kind": "command.unlock", "bay": "b", "reason": "why", "age_s": 3},
            ins.CommandUnlock("i", "b", "why", 3.0),
        ),
        (
            {"kind": "command.unlock", "bay": "b", "reason": "why"},
            ins.CommandUnlock("i", "b", "why", None),
        ),
        (
            {"kind": "command.availability", "bay": "b", "in_service": False, "reason": "why"},
            ins.CommandAvailability("i", "b", False, "why"),
        ),
        (
            {"kind": "command.availability", "in_service": True, "reason": "why"},
            ins.CommandAvailability("i", None, True, "why"),
        ),
        (
            {"kind": "directory.put", "assets": [{"id": "a", "class": "car", "tags": ["6e30"]}]},
            ins.DirectoryPut("i", (ins.DirectoryAsset("a", "car", ("6E30",)),)),
        ),
        (
            {"kind": "directory.put", "assets": [{"id": "a", "class": "car", "tags": [], "authorisers": [BADGE]}]},
            ins.DirectoryPut("i", (ins.DirectoryAsset("a", "car", (), None, (BADGE,)),)),
        ),
        ({"kind": "directory.remove", "assets": ["a", "b"]}, ins.DirectoryRemove("i", ("a", "b"))),
        ({"kind": "passes.revoke", "rentals": ["r"]}, ins.PassesRevoke("i", ("r",))),
        (
            {
                "kind": "journal.anchor",
                "epoch": "e1",
                "seq": 9,
                "hash": "0" * 64,
                "kid": "k",
                "signature": "A" * 86,
            },
            ins.Anchor("i", "e1", 9, "0" * 64, "k", bytes(64)),
        ),
    ],
)
def test_each_kind_is_read(value: dict[str, Any], read: ins.Instruction) -> None:
    assert from_value({"id": "i", **value}, "c#1") == read


def test_keys_are_read_with_their_own_text() -> None:
    ec = {"kid": "k2", "kty": "EC", "crv": "P-256", "x": B64_32, "y": B64_32, "retired": True}
    read = from_value({"id": "i", "kind": "keys.put", "keys": [JWK, ec]}, "c#1")
    assert isinstance(read, ins.KeysPut)
    assert [(k.kid, k.crv, k.y, k.retired) for k in read.keys] == [
        ("k1", "Ed25519", None, False),
        ("k2", "P-256", bytes(32), True),
    ]
    assert msgspec.json.decode(read.keys[1].json) == ec


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"kind": "command.unlock", "bay": "b", "reason": "", "age_s": 1}, "reason: a text"),
        ({"kind": "command.unlock", "bay": "b", "reason": "x", "age_s": -1}, "age_s: a number"),
        ({"kind": "command.unlock", "bay": "b", "reason": "x", "age_s": "1"}, "age_s: a number"),
        ({"kind": "command.availability", "bay": "b", "in_service": 1, "reason": "x"}, "in_service: true"),
        ({"kind": "rental.extend", "rental": "r", "version": 1}, "due: is missing"),
        ({"kind": "directory.put", "assets": []}, "assets: 1 to 1000"),
        ({"kind": "directory.put", "assets": [{"id": "a", "tags": []}]}, "assets[0].class: is missing"),
        (
            {"kind": "directory.put", "assets": [{"id": "a", "class": "c", "tags": ["xyz"]}]},
            "assets[0].tags[0]: a tag",
        ),
        (
            {"kind": "directory.put", "assets": [{"id": x, "class": "c", "tags": ["AABB"]} for x in "ab"]},
            "assets[1].tags: a tag is given to two assets",
        ),
        ({"kind": "keys.put", "keys": [JWK, JWK]}, "keys[1].kid: is given twice"),
        ({"kind": "keys.put", "keys": [JWK | {"d": B64_32}]}, "keys[0].d: is not known"),
        ({"kind": "keys.put", "keys": [JWK | {"crv": "Ed448"}]}, "keys[0].crv: only"),
        ({"kind": "keys.put", "keys": [JWK | {"x": "AAAA"}]}, "keys[0].x: 32 to 32 bytes"),
        ({"kind": "command.open_all"}, "kind: 'command.open_all' is not known"),
        ({}, "kind: is missing"),
    ],
)
def test_wrong_members_of_other_kinds(value: dict[str, Any], why: str) -> None:
    read = from_value({"id": "i", **value}, "c#1")
    assert isinstance(read, ins.Malformed)
    assert (read.id, read.why[: len(why)]) == ("i", why)


def test_an_instruction_without_a_name_gets_one() -> None:
    for raw in (b'{"kind": "passes.revoke"}', b"[]", b"7", b'{"id": 4}', b"["):
        read = parse(raw, "c-5#2")
        assert isinstance(read, ins.Malformed)
        assert read.id == "c-5#2"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["version", "rental", "rental.id", "rental.due", "rental.demands", "rental.pin", "id"]),
)
def test_no_value_anywhere_raises(value: Any, path: str) -> None:
    read = from_value(changed(PUT, path, value), "c#1")
    assert isinstance(read, (ins.PutReservation, ins.Malformed))
