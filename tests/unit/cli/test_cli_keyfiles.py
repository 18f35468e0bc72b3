"""Key files that a site file names: told before the start, by `config check` and by the doctor."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from vendingd.cli import doctor
from vendingd.cli.exits import Exit
from vendingd.cli.keyfiles import key_files
from vendingd.cli.main import main
from vendingd.identity.tool import make_key, public_jwk
from vendingd.main import EXIT_CONFIG
from vendingd.site.load import load_site

SITE = """
schema = 1
machine = "m1"
site = "west"
[identity]
keys = "keys.json"
badge_key = "badge.key"
[policy.least]
"*" = ["pass"]
[devices.locks]
driver = "lock-8a"
port = "locks"
[devices.line]
driver = "osdp-reader"
port = "line"
addresses = [0, 1]
scbk = ["front.key", "back.key"]
[[bays]]
id = "bay-1"
fits = ["car"]
lock = "locks"
[[terminals]]
id = "front"
badge = "line:1"
keypad = "line:1"
[[terminals]]
id = "back"
badge = "line:2"
"""
FILES = {
    "keys.json": json.dumps({"keys": [public_jwk(make_key("k1"))]}),
    "badge.key": base64.b64encode(bytes(range(32))).decode(),
    "front.key": bytes(range(1, 17)).hex(),
    "back.key": bytes(range(2, 18)).hex(),
}


class Known(NamedTuple):
    pw_uid: int
    pw_gid: int


def site(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    path = folder / "site.toml"
    path.write_text(SITE)
    return path


def found(path: Path) -> dict[str, doctor.Finding]:
    """By the file's name."""
    return {one.path.name: doctor.key_file(one) for one in key_files(load_site(path))}


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["config", "check", str(path)])
    return code, capsys.readouterr().out


def started(path: Path, before: str = "pass") -> tuple[int, str]:
    """The daemon itself, as far as it gets."""
    folders = ["--state-dir", str(path.parent / "state"), "--runtime-dir", str(path.parent / "run")]
    code = f"import sys; {before}; from vendingd.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "--site", str(path), *folders]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site(tmp_path)
    assert {name: one.level for name, one in found(path).items()} == dict.fromkeys(FILES, "ok")
    code, out = checked(path, capsys)
    assert code == Exit.OK and "key" not in out
    main(["--socket", str(tmp_path / "no.sock"), "doctor", "--site", str(path), "--state-dir", str(tmp_path), "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [row["level"] for row in checks if row["check"] == "key file"] == ["ok"] * len(FILES)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("badge.key", lambda path: path.write_text("short"), "32 bytes in base64"),
        ("badge.key", lambda path: path.chmod(0o644), "chmod 600"),
        ("keys.json", lambda path: path.write_text("{"), "keys.json"),
    ],
    ids=["no key", "open to others", "no JSON"],
)
def test_what_the_daemon_does_not_start_with_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: object, said: str
) -> None:
    path = site(tmp_path)
    spoil(tmp_path / name)  # type: ignore[operator]
    code, out = checked(path, capsys)
    line = SITE[: SITE.index(name)].count("\n") + 1
    assert code == Exit.PROBLEMS and f"{path}:{line}:" in out and said in out and "does not start" in out
    one = found(path)[name]
    assert one.level == "fail" and one.advice
    code, err = started(path)
    assert code == EXIT_CONFIG and str(tmp_path / name) in err and "Traceback" not in err


def test_a_missing_key_says_what_makes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site(tmp_path)
    for name in FILES:
        (tmp_path / name).unlink()
    told = found(path)
    assert {one.level for one in told.values()} == {"fail"}
    assert "tool badge-key --out" in told["badge.key"].advice
    assert "vendingctl reader commission line:2" in told["back.key"].advice
    assert "does not start" in told["keys.json"].detail and "reader is down" in told["front.key"].detail
    code, out = checked(path, capsys)
    assert code == Exit.OK, "a site file may be written before its keys are there"
    assert out.count("warning:") == len(FILES)
    (tmp_path / "keys.json").write_text(FILES["keys.json"])
    code, err = started(path)
    assert code == EXIT_CONFIG and "badge-key --out" in err


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    path = site(tmp_path)
    (tmp_path / "badge.key").unlink()
    (tmp_path / "badge.key").mkdir()
    one = found(path)["badge.key"]
    assert one.level == "fail" and "is no file" in one.detail and "badge-key" in one.advice


def test_a_readers_key_is_a_warning_for_it_takes_down_that_reader_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site(tmp_path)
    (tmp_path / "back.key").chmod(0o640)
    code, out = checked(path, capsys)
    assert code == Exit.OK and out.count("warning:") == 1 and "back.key is open to others" in out
    levels = {name: one.level for name, one in found(path).items()}
    assert levels == {**dict.fromkeys(FILES, "ok"), "back.key": "fail"}


def test_a_key_that_the_daemons_user_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever makes it by sudo gets it: sound, and no use."""
    path = site(tmp_path)
    (tmp_path / "keys.json").chmod(0o644)
    monkeypatch.setattr(doctor.pwd, "getpwnam", lambda name: Known(54321, 54321))
    monkeypatch.setattr(os, "getgrouplist", lambda user, group: [group])
    told = found(path)
    assert told["keys.json"].level == "ok"
    assert told["badge.key"].level == "fail" and f"chown vendingd: {tmp_path}" in told["badge.key"].advice
    (tmp_path / "keys.json").chmod(0o600)
    assert "chmod 644" in found(path)["keys.json"].advice


def test_a_library_that_is_not_installed_ends_the_start_for_good(tmp_path: Path) -> None:
    code, err = started(site(tmp_path), before="sys.modules['osdp_sys'] = None")
    assert code == EXIT_CONFIG and "install vendingd[osdp]" in err and "Traceback" not in err
