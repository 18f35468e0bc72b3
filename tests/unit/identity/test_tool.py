from __future__ import annotations

import io
import json
import os
import pwd
import stat
from pathlib import Path

import pytest

from vendingd.identity import tool
from vendingd.identity.badges import BadgeKey
from vendingd.identity.keys import Algorithm, KeyRing
from vendingd.identity.passes import PassRead, read_pass
from vendingd.identity.pin import PinVerifier, matches


@pytest.mark.parametrize("algorithm", Algorithm)
def test_key_public_and_sign(algorithm: Algorithm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "k.json"
    assert tool.main(["key", "--kid", "k1", "--alg", algorithm.jose, "--out", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert capsys.readouterr().out == ""

    assert tool.main(["public", str(key)]) == 0
    keys = capsys.readouterr().out
    assert '"d"' not in keys
    ring = KeyRing.parse_text(keys)

    arguments = ["sign", str(key), "--issuer", "https://rent.example", "--rental", "r-1", "--audience", "tower-01"]
    assert tool.main([*arguments, "--class", "car", "--demand", "pass+pin", "--valid-s", "60", "--due-s", "600"]) == 0
    result = read_pass(capsys.readouterr().out.strip().encode(), ring)
    assert isinstance(result, PassRead)
    said = result.claims
    assert said.exp - said.nbf == pytest.approx(60) and said.due == pytest.approx(said.nbf + 600)
    assert (said.rental, said.asset_class, said.demands) == ("r-1", "car", (frozenset({"pass", "pin"}),))


@pytest.mark.parametrize("command", [["key", "--kid", "k1"], ["badge-key"]])
def test_a_key_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    key = tmp_path / "k"
    assert tool.main([*command, "--out", str(key)]) == 0
    before = key.read_bytes()
    assert tool.main([*command, "--out", str(key)]) == 1
    assert f"{key} is there already" in capsys.readouterr().err and key.read_bytes() == before
    assert tool.main([*command, "--out", str(tmp_path / "none" / "k")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_badge_key_that_root_makes_is_the_daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(tool.pwd, "getpwnam", {"vendingd": nobody}.__getitem__)
    key = tmp_path / "badge.key"
    assert tool.main(["badge-key", "--out", str(key)]) == 0
    assert (key.stat().st_uid, key.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_pin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("4711\n"))
    assert tool.main(["pin"]) == 0
    assert matches(PinVerifier.from_wire(json.loads(capsys.readouterr().out)), "4711")


def test_a_badge_is_hashed_by_a_key_that_is_the_daemons_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "badge.key"
    assert tool.main(["badge-key", "--out", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    monkeypatch.setattr("sys.stdin", io.StringIO("nfc:04112233\n"))
    assert tool.main(["badge", str(key)]) == 0
    assert capsys.readouterr().out.strip() == BadgeKey.load(key).hash("nfc:04112233")
