"""Our client and the simulated cloud over real HTTP, each exchange held against the contract."""

import asyncio
import base64
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from hw_sim.cloud import base45
from tests.contract.cloud.cloud_support import (
    Machine,
    connected,
    errors,
    schema,
    simulated_cloud,
)
from vendingd.anchors import signed_text
from vendingd.cloud import instructions as ins
from vendingd.identity.keys import KeyRing


def complaints(machine: Machine) -> list[str]:
    assert machine.transport.exchanges
    return [c for e in machine.transport.exchanges for c in e.complaints()]


async def test_every_act_becomes_an_instruction_that_both_understand(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        assert machine.delivered[0][2]  # first a snapshot
        put = await cloud.act("put_reservation", **{"class": "car"}, pin="1234", holder="h-1")
        rental = put["rental"]
        await cloud.act("put_reservation", asset="car-9", window_from=-5, window_to=600, due=1200)
        await cloud.act("extend", rental=rental, due=90000)
        await cloud.act("purchase", rental=rental)
        await cloud.act("returned_elsewhere", rental=rental, at="tower-02")
        await cloud.act("cancel", rental=rental)
        await cloud.act("unlock_attempts", rental=rental)
        await cloud.act("command", kind="unlock", bay="bay-1", reason="ticket", age_s=3600)
        await cloud.act("command", kind="unlock", bay="bay-1", no_age=True)
        await cloud.act("command", kind="availability", bay="bay-1", in_service=False)
        await cloud.act("directory", put=[{"id": "car-9", "class": "car", "tags": ["6e3086ced8"]}])
        await cloud.act("directory", remove=["car-9"])
        await cloud.act("rotate_key", alg="ES256")
        await cloud.act("revoke", rental=rental)
        machine.happened("machine.started", "tower-01", boot="b")
        await cloud.events("machine.started")
        await cloud.act("anchor")
        await cloud.act("raw", instruction={"kind": "command.open_all"})
        await machine.until(lambda: isinstance(machine.instructions[-1], ins.Malformed))
        kinds = [type(i) for i in machine.instructions]
        assert kinds == [
            ins.KeysPut,
            ins.PutReservation,
            ins.PutReservation,
            ins.Extend,
            ins.Purchased,
            ins.ReturnedElsewhere,
            ins.CancelReservation,
            ins.AttemptsReset,
            ins.CommandUnlock,
            ins.CommandUnlock,
            ins.CommandAvailability,
            ins.DirectoryPut,
            ins.DirectoryRemove,
            ins.KeysPut,
            ins.PassesRevoke,
            ins.Anchor,
            ins.Malformed,
        ]
        old, none = [i for i in machine.instructions if isinstance(i, ins.CommandUnlock)]
        assert old.age_s is not None and old.age_s >= 3600
        assert none.age_s is None
        versions = [getattr(i, "version", None) for i in machine.instructions]
        assert [v for v in versions if v] == [1, 1, 2, 3, 4, 5]
        # the two that were made to be wrong are all that the contract complains about
        wrong: set[str] = set()
        for _, items in [(e, json.loads(e.answer.body)) for e in machine.transport.exchanges if e.answer]:
            for item in items.get("instructions", ()):
                if errors(schema("Instruction"), item):
                    wrong.add(item["id"])
        assert wrong == {none.id, machine.instructions[-1].id}


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
async def test_an_anchor_is_signed_as_the_contract_says(tmp_path: Path, alg: str) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await cloud.act("rotate_key", alg=alg)
        machine.happened("machine.started", "tower-01", boot="b")
        await cloud.events("machine.started")
        await cloud.act("anchor")
        await machine.until(lambda: any(isinstance(i, ins.Anchor) for i in machine.instructions))
        (anchor,) = (i for i in machine.instructions if isinstance(i, ins.Anchor))
        texts = [k.json for i in machine.instructions if isinstance(i, ins.KeysPut) for k in i.keys]
        ring = KeyRing.of(())
        for text in texts:
            ring = ring.updated(KeyRing.parse_text(f'{{"keys":[{text}]}}'))
        key = ring.find(anchor.kid)
        assert key is not None and not key.retired and key.algorithm.jose == alg
        assert key.verify(anchor.signature, signed_text("tower-01", anchor))
        assert not key.verify(anchor.signature, signed_text("tower-02", anchor))
        assert complaints(machine) == []


async def test_a_pin_verifier_is_of_that_pin(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await cloud.act("put_reservation", **{"class": "car"}, pin="4711")
        await machine.until(lambda: any(isinstance(i, ins.PutReservation) for i in machine.instructions))
        (put,) = (i for i in machine.instructions if isinstance(i, ins.PutReservation))
        assert put.pin is not None
        assert put.demands == ("pass+pin",)
        assert complaints(machine) == []

        def derive(digits: bytes) -> bytes:
            v = put.pin
            assert v is not None
            kdf = Argon2id(salt=v.salt, length=len(v.hash), iterations=v.t, lanes=v.p, memory_cost=v.m)
            return kdf.derive(digits)

        assert derive(b"4711") == put.pin.hash
        assert derive(b"4712") != put.pin.hash


async def test_records_arrive_once_in_order_through_every_trouble(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.statuses and machine.statuses[-1].online)
        machine.happened("rental.booked", "r-1", version=1)
        machine.happened("bay.unlock_authorised", "b-1", grant="g", purpose="release", who="h", rental="r-1")
        await machine.until(lambda: machine.through == 2)

        await cloud.fault("down")
        machine.happened("rental.on_trip", "r-1", asset="car-1", bay="b-1")
        await machine.until(lambda: not machine.statuses[-1].online)
        for n in range(700):
            machine.happened("bay.open_warning", "b-1", n=n)
        await cloud.fault("down", on=False)
        await machine.until(lambda: machine.through == 703)

        await cloud.fault("lose_answer", path="events", n=1)
        machine.happened("rental.return_started", "r-1", bay="b-1")
        await machine.until(lambda: machine.through == 704)
        await cloud.fault("status", code=503, n=1, retry_after=0, path="events")
        machine.happened("rental.returned", "r-1", asset="car-1", bay="b-1")
        await machine.until(lambda: machine.through == 705)

        said = await cloud.get("/events")
        assert said["gaps"] == []
        assert [a["event"]["seq"] for a in said["events"] if not a["duplicate"]] == list(range(1, 706))
        assert [a["event"]["seq"] for a in said["events"] if a["duplicate"]] == [704]
        assert not any(a["conflict"] for a in said["events"])
        offline = {a["event"]["offline"] for a in said["events"] if a["kind"] == "bay.open_warning"}
        assert offline == {True}
        assert all(b["bytes"] <= 512 * 1024 for b in said["batches"])
        rentals = await cloud.get("/rentals")
        states = [line["state"] for line in rentals["r-1"]["history"]]
        assert states == ["booked", "releasing", "on_trip", "returning", "returned"]
        assert complaints(machine) == []
        assert all(errors(schema("Record"), a["event"]) == [] for a in said["events"])


async def test_refusals_of_records_and_batches(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.statuses and machine.statuses[-1].online)
        await cloud.fault("refuse_seq", seq=3)
        for n in range(5):
            machine.happened("bay.closed", "b-1", n=n)
        await machine.until(lambda: machine.through == 5)
        assert [r.seq for r in machine.refused] == [3]
        await cloud.fault("refuse_seq", on=False)

        await cloud.fault("refuse_batch", code=422, seq=40)
        for n in range(60):
            machine.happened("bay.closed", "b-1", n=n)
        await machine.until(lambda: machine.through == 65)
        assert [r.seq for r in machine.refused] == [3, 40]
        await cloud.fault("refuse_batch", code=413, max=7)
        for n in range(30):
            machine.happened("bay.closed", "b-1", n=n)
        await machine.until(lambda: machine.through == 95)
        assert [r.seq for r in machine.refused] == [3, 40]
        await cloud.fault("take_part", max=2)
        for n in range(6):
            machine.happened("bay.closed", "b-1", n=n)
        await machine.until(lambda: machine.through == 101)
        assert complaints(machine) == []


@pytest.mark.parametrize("what", ["ack_beyond", "ack_back", "ack_refuses_other", "text", "types", "huge"])
async def test_a_false_receipt_moves_nothing(tmp_path: Path, what: str) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.statuses and machine.statuses[-1].online)
        machine.happened("bay.closed", "b-1")
        await machine.until(lambda: machine.through == 1)
        await cloud.fault("nonsense", what=what, path="events", n=1)
        machine.happened("bay.closed", "b-1")
        await machine.until(lambda: machine.through == 2)  # by the second try
        arrivals = (await cloud.get("/events"))["events"]
        assert [a["event"]["seq"] for a in arrivals] == [1, 2, 2]
        assert machine.refused == []
        if what != "huge":
            assert [bool(detail) for name, detail in machine.alarms if name == "cloud_receipt"] == [True, False]


async def test_a_forgotten_cursor_brings_a_snapshot_of_what_still_holds(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        kept = (await cloud.act("put_reservation", **{"class": "car"}))["rental"]
        gone = (await cloud.act("put_reservation", **{"class": "car"}))["rental"]
        await cloud.act("cancel", rental=gone)
        await machine.until(lambda: isinstance(machine.instructions[-1], ins.CancelReservation))
        before = len(machine.delivered)
        await cloud.fault("forget_cursor")
        await machine.until(lambda: len(machine.delivered) > before)
        cursor, instructions, snapshot = machine.delivered[-1]
        assert snapshot and cursor.startswith("2-")
        assert [i.rental for i in instructions if isinstance(i, ins.PutReservation)] == [kept]
        assert complaints(machine) == []


async def test_double_and_disordered_deliveries_reach_the_machine_as_such(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        await cloud.fault("duplicate_delivery")
        first = (await cloud.act("unlock_attempts", rental="r-1"))["instruction"]
        await machine.until(lambda: len(machine.instructions) == 3)
        second = (await cloud.act("unlock_attempts", rental="r-2"))["instruction"]
        await machine.until(lambda: len(machine.instructions) == 6)
        assert [i.id for i in machine.instructions[1:]] == [first, first, first, second, second]
        await cloud.fault("duplicate_delivery", on=False)
        await cloud.fault("reorder")
        await cloud.fault("status", code=503, n=1, retry_after=3, path="feed")  # both in one answer
        await machine.until(lambda: not machine.statuses[-1].online)
        third = (await cloud.act("unlock_attempts", rental="r-3"))["instruction"]
        fourth = (await cloud.act("unlock_attempts", rental="r-4"))["instruction"]
        await machine.until(lambda: len(machine.instructions) == 8)
        assert [i.id for i in machine.instructions[6:]] == [fourth, third]
        assert complaints(machine) == []


@pytest.mark.long
async def test_silence_and_nonsense_on_the_feed_lose_nothing(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        await cloud.fault("nonsense", what="text", path="feed", n=1)
        made = await cloud.act("unlock_attempts", rental="r-1")
        await machine.until(lambda: machine.instructions[-1].id == made["instruction"])
        assert not all(s.online for s in machine.statuses[1:])
        await machine.until(lambda: machine.statuses[-1].online)
        await cloud.fault("hang", path="events")
        machine.happened("bay.closed", "b-1")
        await machine.until(lambda: not machine.statuses[-1].online)
        assert "no answer within 3 s" in machine.statuses[-1].last_error
        await cloud.fault("hang", on=False)
        await machine.until(lambda: machine.through == 1)


async def test_outcomes_are_counted_by_instruction(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        made = (await cloud.act("unlock_attempts", rental="r-1"))["instruction"]
        await machine.until(lambda: machine.instructions[-1].id == made)
        assert made in (await cloud.get("/outcomes"))["missing"]
        machine.happened("instruction.outcome", made, outcome="accepted")
        await cloud.events("instruction.outcome")
        said = await cloud.get("/outcomes")
        assert [o["outcome"] for o in said["outcomes"][made]] == ["accepted"]
        assert made not in said["missing"]


# ---------------------------------------------------------------- what the contract forbids is refused
GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "m/e/1",
    "source": "/machines/m",
    "type": "io.vendingd.bay.closed",
    "subject": "b",
    "time": "2030-05-01T10:00:00.000Z",
    "datacontenttype": "application/json",
    "data": {},
    "seq": 1,
    "epoch": "e",
    "offline": False,
    "recordedtime": "2030-05-01T10:00:00.000Z",
    "timetrusted": True,
    "mono": "1.000",
}


async def test_the_simulated_cloud_is_as_strict_as_the_contract(tmp_path: Path) -> None:
    batches: list[Any] = [[GOOD | {name: wrong}] for name in GOOD for wrong in (None, 7.5, "", [])]
    batches += [[{k: v for k, v in GOOD.items() if k != name}] for name in GOOD if name != "subject"]
    batches += [[GOOD | {"surprise": 1}], [], {}, "x", [GOOD] * 501]
    async with simulated_cloud(tmp_path) as cloud, aiohttp.ClientSession() as session:
        url = f"{cloud.url}/v1/machines/m/events"
        kind = {"Content-Type": "application/cloudevents-batch+json"}
        for batch in batches:
            assert errors(schema("Batch"), batch), batch
            async with session.post(url, data=json.dumps(batch), headers=kind) as answer:
                assert answer.status in (413, 422), batch
                assert errors(schema("Problem"), json.loads(await answer.read())) == []
        assert errors(schema("Batch"), [GOOD]) == []
        async with session.post(url, data=json.dumps([GOOD]), headers=kind) as answer:
            assert answer.status == 200
        async with session.post(url, json=[GOOD]) as answer:
            assert answer.status == 415


# ---------------------------------------------------------------- passes
def opened(text: str, jwks: Any) -> dict[int, Any]:
    """The claims of a pass, verified from the specifications and the published keys alone."""
    tag = cbor2.loads(base45.decode(text))
    assert (tag.tag, tag.value.tag) == (61, 18)
    protected, unprotected, payload, signature = tag.value.value
    header = cbor2.loads(protected)
    assert dict(unprotected) == {}
    (jwk,) = (k for k in jwks["keys"] if k["kid"] == header[4].decode())
    assert errors(schema("Jwk"), jwk) == []
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    raw = {c: base64.urlsafe_b64decode(jwk[c] + "=") for c in ("x", "y") if c in jwk}
    if jwk["crv"] == "Ed25519":
        assert header[1] == -8
        Ed25519PublicKey.from_public_bytes(raw["x"]).verify(signature, signed)
    else:
        assert header[1] == -7
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + raw["x"] + raw["y"])
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        point.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    return dict(cbor2.loads(payload))


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
async def test_passes_are_what_the_specifications_say(tmp_path: Path, alg: str) -> None:
    async with simulated_cloud(tmp_path, "--machine", "tower-01") as cloud:
        await cloud.act("rotate_key", alg=alg)
        rental = (await cloud.act("put_reservation", **{"class": "car"}, pin="1234", holder="h"))["rental"]
        made = await cloud.act("sign_pass", rental=rental)
        claims = opened(made["pass"], await cloud.get("/keys"))
        assert claims[2] == rental
        assert claims[3] == "tower-01"
        assert claims[5] < claims[6] < claims[4]
        assert (claims[-70002], claims[-70003], claims[-70005]) == ("car", ["pass+pin"], "h")
        assert -70001 not in claims
        keys = await cloud.get("/keys")
        assert json.loads((tmp_path / "keys.json").read_text()) == keys
        assert [k["retired"] for k in keys["keys"]] == [True, False]
        free = await cloud.act("sign_pass", rental="r-x", aud="site:west", asset="car-1", exp=5, due=None)
        assert opened(free["pass"], keys)[3] == "site:west"
        for forge in ("signature", "key"):
            forged = await cloud.act("sign_pass", rental=rental, forge=forge)
            with pytest.raises(InvalidSignature):
                opened(forged["pass"], keys)


def test_base45_is_that_of_rfc_9285() -> None:
    for data, text in ((b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"), (b"", "")):
        assert base45.encode(data) == text
        assert base45.decode(text) == data
    for wrong in ("A", "GGW", "a"):
        with pytest.raises(ValueError, match=r".+"):
            base45.decode(wrong)


async def test_everything_random_comes_from_the_seed(tmp_path: Path) -> None:
    async def run(name: str, seed: int) -> tuple[Any, Any]:
        async with simulated_cloud(tmp_path / name, seed=seed) as cloud:
            put = await cloud.act("put_reservation", **{"class": "car"}, pin="1234")
            return (await cloud.get("/keys")), put["put"]["pin"]

    first, again, other = await run("a", 5), await run("b", 5), await run("c", 6)
    assert first == again
    assert first != other


# ---------------------------------------------------------------- the process
async def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud, connected(cloud) as machine:
        await machine.until(lambda: machine.delivered)
        cloud.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(cloud.process.wait(), 20) == 0
        assert not (tmp_path / "cloud.sock").exists()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'hw_sim.cloud', '--run-dir', sys.argv[1]],"
        " stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watch = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([watch], [], [], 20)
        assert ended
    finally:
        os.close(watch)


async def test_a_wrong_request_to_the_control_socket_says_what_is_wrong(tmp_path: Path) -> None:
    async with simulated_cloud(tmp_path) as cloud:
        said = await cloud.post("/act", {"do": "fly"}, 400)
        assert "put_reservation" in said["error"]
        said = await cloud.post("/faults", {"name": "gremlins"}, 400)
        assert "duplicate_delivery" in said["error"]
        await cloud.post("/act", {"do": "extend", "rental": "r"}, 400)
        await cloud.post("/act", {"do": "sign_pass", "rental": "r"}, 400)
        assert (await cloud.get("/faults"))["on"] == {}


# ---------------------------------------------------------------- mutual TLS
def pems(directory: Path, who: str = "machine", ca: str = "ca") -> dict[str, Any]:
    return {
        "certificate": directory / f"{who}.pem",
        "key": directory / f"{who}.key",
        "ca": directory / f"{ca}.pem",
    }


async def test_mutual_tls(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    args = ("--tls", str(tls), "--machine", "tower-01")
    async with simulated_cloud(tmp_path, *args) as cloud:
        assert cloud.url.startswith("https://")
        async with connected(cloud, **pems(tls)) as machine:
            await machine.until(lambda: machine.delivered)
            machine.happened("bay.closed", "b-1")
            await machine.until(lambda: machine.through == 1)
            assert complaints(machine) == []
        async with connected(cloud, "tower-02", **pems(tls)) as machine:  # the certificate of another one
            await machine.until(lambda: machine.statuses)
            assert "403" in machine.statuses[-1].last_error
            assert machine.delivered == []
        for who, ca in (("stranger", "ca"), ("machine", "other-ca")):
            async with connected(cloud, **pems(tls, who, ca)) as machine:
                await machine.until(lambda m=machine: m.statuses)
                assert not machine.statuses[-1].online
                assert machine.delivered == []
