"""Rubbish on every wire, a journal that cannot be used, instructions and answers that are wrong: nothing opens by it,
nothing is lost by it, and whoever comes next is served.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.stand import FAST, PATIENCE_S, Stand, command, fast

LASTING = FAST.replace("farewell_s = 1", "farewell_s = 20")  # a refusal stays on the screen until it was read
Make = Callable[..., Stand]


# ---------------------------------------------------------------- on the wires
def test_rubbish_on_the_wires(m: Stand) -> None:
    text = m.book("r1", "car-1")
    for device in ("scanner", "side", "pad", "tags", "desk"):
        m.plant.fault("byte_corrupted", device=device, n=3)
    for terminal in ("front", "side"):
        m.show(text, terminal)
    m.type("99#1*A##")
    m.plant.act("hold_tag", terminal="front", asset="car-2", seconds=0.5)
    for n, terminal in enumerate(("front", "side")):
        m.refused(terminal, "malformed", count=1)
        junk = random.Random(n).randbytes(3000).hex()
        m.plant.act("show_code", terminal=terminal, via="scanner" if terminal == "front" else "side", hex=junk)
    for device in ("scanner", "side", "pad", "tags", "desk"):
        m.plant.fault("byte_corrupted", device=device, on=False)
    assert m.pulses() == 0 and m.received("rental.claimed") == []
    m.served_next("r1", text)


def test_a_line_without_an_end_and_a_code_without_measure(m: Stand) -> None:
    text = m.book("r1", "car-1")
    endless = "A" * 500_000
    for _ in range(20):  # 10 MB in all, not one line end
        m.plant.act("show_code", terminal="front", via="scanner", text=endless, ended=False, paced=False)
    m.plant.act("show_code", terminal="side", via="side", text=endless, paced=False)
    status, answer = m.api.ask("POST", "/v1/terminals/side/code", {"text": "A" * 10_000_000})
    assert status == 413, answer
    status, answer = m.api.ask("POST", "/v1/terminals/side/code", {"text": "A" * 60_000})
    assert (status, answer["reason"]) == (409, "refused")
    m.until(lambda: len(m.motions("scan_sent")) == 21, "the line went on and on")
    m.plant.act("show_code", terminal="front", via="scanner", text="and ended")
    m.until(lambda: len(m.motions("scan_sent")) == 22, "everything was scanned")
    assert m.pulses() == 0
    m.served_next("r1", text)


def test_rubbish_on_the_control_socket(m: Stand) -> None:
    """Each is answered with a word or hung up on; none keeps the others from being served."""
    text = m.book("r1", "car-1")
    post = b"POST /v1/bays/bay-1/unlock HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    rubbish = [
        b"\0\1\2\xff" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        post + b"Content-Length: -5\r\n\r\n",
        post + b"Content-Length: 99999999999999\r\n\r\n{}",
        post + b"Content-Length: 7\r\nContent-Length: 5\r\n\r\n{}12345",
        post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        post + b"Content-Length: 9\r\n\r\n{" + b"\xff" * 8,
        post + b"Content-Length: 60000\r\n\r\n" + b"[" * 60_000,
        post + b'Content-Length: 15\r\n\r\n{"reason": null}',
    ]
    for data in rubbish:
        answer = exchange(m, data)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), (data[:80], answer[:200])
    with ExitStack() as idle:
        for _ in range(30):  # more than one user may have, saying nothing
            idle.enter_context(connected(m))
        m.plant.act("show_code", terminal="front", via="scanner", text=text)
        m.unlocked("bay-1")
    m.until(lambda: m.api.ask("GET", "/v1/status")[0] == 200, "the ends of the thirty were noticed")
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.heard("rental.on_trip", "r1")
    assert m.pulses() == 1


def connected(m: Stand) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE_S)
    made.connect(str(m.api.path))
    return made


def exchange(m: Stand, data: bytes) -> bytes:
    """What the API says to this, until it hangs up."""
    said = b""
    with connected(m) as wire:
        try:
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            while part := wire.recv(65536):
                said += part
        except ConnectionError:  # it need not listen to the end
            pass
    return said


@pytest.mark.long
def test_nonsense_from_the_cloud(m: Stand) -> None:
    """Believed in nothing; said as an alarm where it is about the records; caught up afterwards."""
    text = m.book("r1", "car-1")
    for what in ("text", "types", "huge"):
        m.cloud.fault("nonsense", what=what, n=2)
        m.book(f"after-{what}", "car-2")
    for n, what in enumerate(("ack_beyond", "ack_back", "ack_refuses_other")):
        m.cloud.fault("nonsense", what=what, path="events")
        m.technician("/bays/bay-3/availability", in_service=bool(n % 2))
        m.until(lambda: alarmed(m, "cloud_receipt"), f"{what} is alarmed")
        m.cloud.fault("nonsense", on=False)
        m.until(lambda: not alarmed(m, "cloud_receipt"), f"{what} is over")
    m.pick_up("r1", "bay-1", text)
    m.all_there()
    assert m.pulses() == 1 and m.received("machine.record_refused") == []


def alarmed(m: Stand, alarm: str) -> bool:
    return alarm in [a["alarm"] for a in m.api.get("/v1/alarms")["alarms"]]


# ---------------------------------------------------------------- from the cloud
def test_reservations_that_cannot_be(m: Stand) -> None:
    """Each gets its outcome, which names the member; the cursor moves on, and the next one is served."""
    wrong: dict[str, dict[str, Any]] = {
        "window_from": {"omit": ["window_from"]},
        "due": {"omit": ["due"]},
        "id": {"omit": ["id"]},
        "asset": {"omit": ["asset"]},
        "class": {"override": {"class": "car"}},
        "window_to": {"override": {"window_to": "2020-01-01T00:00:00Z"}},
        "pin": {"override": {"demands": ["pass+pin"]}},
        "demands": {"override": {"demands": ["pass+smile"]}},
        "colour": {"override": {"colour": "red"}},
        "holder": {"override": {"holder": {"name": "Li"}}},
    }
    asked = {
        name: m.cloud.act("put_reservation", rental=f"bad-{name}", asset="car-1", **how)["instruction"]
        for name, how in wrong.items()
    }
    asked["version"] = m.cloud.act("put_reservation", rental="bad-version", asset="car-1", version=-1)["instruction"]
    asked["kind"] = m.cloud.act("raw", instruction={"kind": "bay.explode", "bay": "bay-1"})["instruction"]
    for name, instruction in asked.items():
        outcome, reason = m.outcome(instruction)
        assert outcome == "malformed" and name in str(reason), (name, outcome, reason)
    text = m.book("r1", "car-1")
    m.kill_daemon()
    m.start_daemon()
    m.recovered()
    m.served_next("r1", text)
    for instruction in asked.values():
        assert m.outcome(instruction)[0] == "malformed"  # still one: nothing was delivered again
    assert [r for r in m.cloud.get("/rentals") if r.startswith("bad-") and m.kinds(r)] == []


def test_an_event_that_the_cloud_refuses_is_set_aside(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.cloud.fault("refuse_kind", kind="rental.claimed", n=1)
    m.pick_up("r1", "bay-1", text)
    refused = m.heard("rental.claimed", "r1")["seq"]
    assert m.heard("machine.record_refused")["data"]["seq"] == refused
    m.until(lambda: m.api.get("/v1/status")["cloud"]["backlog"] == 0, "the others went on")
    m.all_there()
    assert len(m.received("machine.record_refused")) == 1 and alarmed(m, "record_refused")


def test_a_batch_that_is_refused_whole_is_halved_until_it_goes(m: Stand) -> None:
    text = m.book("r1", "car-1")
    m.all_there()
    m.cloud.fault("hang", path="events")
    m.show(text)
    m.unlocked("bay-1")
    m.open("bay-1")
    m.plant.act("take", bay="bay-1")
    m.close("bay-1")
    m.until(lambda: m.api.get("/v1/rentals/r1")["state"] == "on_trip", "r1 is on trip")
    m.cloud.fault("refuse_batch", code=413, max=2)
    m.cloud.fault("hang", path="events", on=False)
    m.heard("rental.on_trip", "r1")
    m.all_there()
    m.cloud.fault("refuse_batch", code=422, kind="rental.return_started")
    m.show(text)
    bay = m.authorised("return")
    m.bring_back("r1", "car-1", bay)
    m.heard("machine.record_refused")
    assert m.received("rental.return_started") == [] and len(m.received("machine.record_refused")) == 1


# ---------------------------------------------------------------- the journal
def unavailable(m: Stand, *words: str) -> None:
    """It says so, and why, to everybody who asks, and does nothing."""

    def look() -> bool:
        status = m.api.get("/v1/status")
        return status["state"] == "unavailable" and all(w in status["unavailable"] for w in words)

    m.until(look, f"the machine is unavailable: {words}")
    m.shown("unavailable")
    assert alarmed(m, "unavailable")
    m.until(lambda: all(w in m.manager_status() for w in ("unavailable", *words)), "the service manager is told")


def nothing_opens(m: Stand, text: str) -> None:
    """The pass is shown at a scanner and by the screen; the second is answered after the first was seen."""
    before, scanned = m.pulses(), len(m.motions("scan_sent"))
    m.until(lambda: m.api.get("/v1/status")["devices_down"] == [] and scanner_open(m), "the scanner is listened to")
    m.show(text)
    m.until(lambda: len(m.motions("scan_sent")) > scanned, "the pass was read")
    status, answer = m.api.ask("POST", "/v1/terminals/side/code", {"text": text})
    assert status == 503, answer
    status, answer = m.api.ask("POST", "/v1/bays/bay-1/unlock", {"reason": "try it"})
    assert status == 503, answer
    assert m.pulses() == before and m.prompt()["code"] == "unavailable"


def scanner_open(m: Stand) -> bool:
    return bool(m.motions()) and [x["what"] for x in m.motions() if x.get("device") == "scanner"][-1] != "port_closed"


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")


@pytest.mark.long
def test_a_journal_that_cannot_be_used(m: Stand) -> None:
    """Damaged or newer: it is left as it is, the machine says so and opens nothing, and ends in order."""
    text = m.book("r1", "car-1")
    m.all_there()
    assert m.stop("daemon") == 0
    path, good = m.folder / "state" / "journal.db", m.folder / "good.db"
    shutil.copy(path, good)
    for spoil, word in ((garbage, "damaged"), (truncated, "damaged"), (emptied, "empty"), (newer, "999")):
        spoil(path)
        before = path.read_bytes()
        m.start_daemon()
        unavailable(m, "Nothing was changed", word)
        nothing_opens(m, text)
        assert m.stop("daemon") == 0
        assert path.read_bytes() == before
        shutil.copy(good, path)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    m.start_daemon()
    m.recovered()
    m.served_next("r1", text)
    m.all_there()


# ---------------------------------------------------------------- the disk
def test_a_full_disk(mounted: Callable[..., Path], make: Make) -> None:
    """Full in the middle of a return: the car is in by then, and is said to be once there is room again."""
    disk = mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    m = make(timing=fast(held_open_s=60, warn_open_s=50))
    out, waiting = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.pick_up("r1", "bay-1", out)
    m.show(out)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.open(bay)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    done = 0
    while True:
        body = {"in_service": bool(done % 2), "reason": "x" * 150}
        status, answer = m.api.ask("POST", "/v1/bays/bay-3/availability", body)
        if status != 200:
            break
        done += 1
        assert done < 5000, "the disk never filled"
    assert status == 503, answer
    unavailable(m, "full", "free space")
    nothing_opens(m, waiting)
    m.plant.act("put", bay=bay, asset="car-1")
    m.close(bay)
    assert m.api.get("/v1/status")["state"] == "unavailable" and m.daemon_lives()

    ballast.unlink()
    m.until(lambda: m.api.get("/v1/status")["state"] == "serving", "it heals by itself", 2 * PATIENCE_S)
    m.recovered()
    m.heard("rental.returned", "r1", bay=bay)
    said = [e for e in m.all_there() if e["type"].endswith(("out_of_service", "in_service"))]
    assert len(said) - done in (0, 1)  # the one that was not answered may have become durable
    m.until(lambda: "serving" in m.manager_status(), "the service manager is told that it is over")
    m.served_next("r2", waiting, bay="bay-2")
    assert m.pulses() == 3 == len(m.received("bay.unlock_authorised"))
    m.all_there()


@pytest.mark.long
def test_a_disk_that_turns_read_only(mounted: Callable[..., Path], make: Make, tmp_path: Path) -> None:
    """As ext4 does when its medium fails. A new start on a sound one goes on where it was."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    image = str(tmp_path / "image")
    command("truncate", "-s", "16M", image)
    command("mkfs.ext4", "-q", image)
    disk = mounted("-o", "loop", image)
    m = make(timing=LASTING)
    text = m.book("r1", "car-1")
    m.all_there()
    command("mount", "-o", "remount,abort", str(disk))
    m.show(text)
    unavailable(m, "readonly", "dmesg")
    assert m.pulses() == 0
    nothing_opens(m, text)
    assert m.stop("daemon") == 0
    command("umount", str(disk))
    command("mount", "-o", "loop", image, str(disk))
    m.start_daemon()
    m.recovered()
    m.served_next("r1", text)
    assert m.pulses() == 1
    m.all_there()
