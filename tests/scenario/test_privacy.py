"""Everything that a daemon writes or says, read again: nothing in it by which somebody could be known or robbed."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.faces.models import DIMENSIONS
from drivers.faces.template import Template, mean, write
from tests.scenario.stand import TOWER, Stand, fast

PIN = "837164920571"
BADGE = "04A1B2C3D4E5F6"
STRANGER = "04FFEEDDCCBBAA"
KEY = bytes(range(100, 132))
FACE = json.loads(write(Template(mean([[(7.0 * n) % 251 - 125 for n in range(DIMENSIONS)]]), 1.7e9, 4e9)))
VECTOR: str = FACE["vector"]
HOLDER = "h-mustermann-7f3a"
SITE = (
    TOWER.replace('keys = "keys.json"', 'keys = "keys.json"\nbadge_key = "badge.key"')
    .replace('car = ["pass"]', 'car = ["pass+badge+pin", "pass+face"]')
    .replace("[devices.estop]", '[devices.nfc]\ndriver = "pn532"\nport = "nfc"\n[devices.estop]')
    .replace("[devices.estop]", '[devices.eye]\ndriver = "camera-face"\npath = "/dev/video250"\n[devices.estop]')
    .replace('keypad = "pad"\ntag', 'keypad = "pad"\nbadge = "nfc"\nface = "eye"\ntag')
)
Make = Callable[..., Stand]


def forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it may have slipped out."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield base64.urlsafe_b64encode(secret).rstrip(b"=")


def secrets(text: str, verifier: dict[str, Any]) -> dict[str, set[bytes]]:
    def raw(name: str) -> bytes:
        return base64.urlsafe_b64decode(verifier[name] + "==")

    return {
        "the PIN": set(forms(PIN.encode())),
        "the pass": {text.encode(), *(text[n : n + 40].encode() for n in range(0, len(text) - 40, 40))},
        "the PIN's hash": set(forms(raw("hash"))),
        "the PIN's salt": set(forms(raw("salt"))),
        "the face's vector": {VECTOR.encode(), VECTOR[40:90].encode(), *forms(base64.b64decode(VECTOR))},
        "the badge": set(forms(bytes.fromhex(BADGE))) | set(forms(f"nfc:{BADGE}".encode())),
        "a stranger's badge": set(forms(bytes.fromhex(STRANGER))) | set(forms(f"nfc:{STRANGER}".encode())),
        "the site's key": set(forms(KEY)),
    }


def written(m: Stand) -> Iterator[tuple[str, bytes]]:
    """Everything below its folders, and its log."""
    for folder in (m.folder / "state", m.folder / "runtime"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(m.folder)), path.read_bytes()
    yield "daemon.log", (m.folder / "daemon.log").read_bytes()
    yield "the backup", (m.folder / "backup.db").read_bytes()


def told(m: Stand) -> Iterator[tuple[str, bytes]]:
    """Everything that the cloud has received, and what the local API answers."""
    yield "the cloud's events", json.dumps(m.cloud.get("/events")).encode()
    for path in ("/v1/status", "/v1/rentals?all=1", "/v1/terminals", "/v1/journal?after=0&limit=500", "/v1/bays"):
        yield path, json.dumps(m.api.get(path)).encode()
    yield "the export", json.dumps(m.api.get("/v1/rentals/r1/kept")).encode()


@pytest.fixture
def played(make: Make, tmp_path: Path) -> tuple[Stand, dict[str, set[bytes]]]:
    """A pick-up and a return, with mistakes, with pass, badge and PIN; the face that was enrolled is not looked for."""
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "badge.key").write_text(base64.b64encode(KEY).decode())
    (folder / "badge.key").chmod(0o600)
    debug = ("-m", "vendingd.main", "--log-level", "debug")  # whatever a technician may switch on
    m = make(site=SITE, timing=fast(farewell_s=20, reopen_s=600), entry=debug)
    m.cloud.act("badge_key", key=base64.b64encode(KEY).decode())
    put = m.cloud.act(
        "put_reservation", rental="r1", asset="car-1", window_from=-60, window_to=3600, holder=HOLDER, pin=PIN,
        pin_m=7168, pin_t=5, badge=f"nfc:{BADGE}", face=FACE, demands=["pass+badge+pin", "pass+face"],
    )  # fmt: skip
    assert m.outcome(put["instruction"]) == ("accepted", None)
    text = m.sign("r1")
    m.plant.act("hold_badge", terminal="front", badge=f"nfc:{STRANGER}")
    m.refused("front", "unknown_badge")
    m.show(text[:-5] + "00000")
    m.heard("credential.refused", "front", 2)
    m.show(text)
    m.until(lambda: "badge" in str(m.prompt()["params"]), "the badge is asked for")
    m.plant.act("hold_badge", terminal="front", badge=f"nfc:{BADGE}")
    m.asked_for_pin(5)
    m.type("111122223333#")
    m.asked_for_pin(4)
    m.type(f"{PIN}#")
    m.unlocked("bay-1")
    m.drive_out("r1", "bay-1")
    m.show(text)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    vendingctl = (sys.executable, "-m", "vendingd.cli.main", "--socket", str(m.folder / "runtime" / "api.sock"))
    subprocess.run([*vendingctl, "journal", "backup", str(m.folder / "backup.db")], check=True, capture_output=True)
    return m, secrets(text, put["put"]["pin"])


@pytest.mark.long
def test_nothing_that_was_written_or_told_gives_anybody_away(played: tuple[Stand, dict[str, set[bytes]]]) -> None:
    m, hidden = played
    everything = [*written(m), *told(m)]
    assert {"state/journal.db", "state/journal.db-wal", "daemon.log", "the backup"} <= {name for name, _ in everything}
    assert any(b"rental.identified" in data for _, data in everything), "this would find what is there"
    found = [(what, name) for name, data in everything for what, all_ in hidden.items() for one in all_ if one in data]
    assert found == []
    records = [data for name, data in everything if name in ("the cloud's events", "daemon.log", "/v1/terminals")]
    assert not any(HOLDER.encode() in data for data in records)


@pytest.mark.long
def test_what_is_sealed_is_there_until_it_is_erased_and_then_no_more(
    played: tuple[Stand, dict[str, set[bytes]]],
) -> None:
    m, _ = played
    row = m.api.get("/v1/rentals/r1/kept")["state"]["rental"]
    assert row["pin"].startswith("sealed") and row["face"].startswith("sealed") and len(row["badges"]) == 1
    hashed = row["badges"][0].encode()

    def holding(text: bytes) -> list[str]:
        return sorted(one.name for one in (m.folder / "state").iterdir() if one.is_file() and text in one.read_bytes())

    assert holding(HOLDER.encode()) and holding(hashed), "these are sealed in no copy"
    m.technician("/rentals/r1/erase")
    m.heard("rental.secrets_erased", "r1")
    row = m.api.get("/v1/rentals/r1/kept")["state"]["rental"]
    assert (row["pin"], row["face"], row["badges"], row["holder"]) == (None, None, [], None)
    gone = (HOLDER.encode(), hashed, b'"pin":"s1.', b'"face":"s1.')
    m.until(lambda: not any(holding(text) for text in gone), "file and log hold nothing of it, while the daemon runs")
    assert m.stop("daemon") == 0
    assert not any(holding(text) for text in gone)
