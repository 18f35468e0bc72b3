"""The doctor, and site files checked without a daemon."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import grp
import json
import os
import pty
import pwd
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.api.light import served
from vendingd.cli import doctor
from vendingd.cli.client import Client
from vendingd.cli.exits import Exit
from vendingd.cli.main import main
from vendingd.journal.api import StoreErrorKind
from vendingd.journal.memory import Fault

SITE = """
schema = 1
machine = "m1"
site = "west"
[devices.locks]
driver = "lock-8a"
port = "{port}"
[[bays]]
n = [1, 4]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
[[terminals]]
id = "front"
"""


def site_file(folder: Path, port: str = "/dev/ttyUSB0", extra: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(SITE.format(port=port) + extra)
    return path


async def examined(folder: Path, socket: Path, site: Path) -> dict[str, doctor.Finding]:
    args = argparse.Namespace(site=site, state_dir=folder)
    found = await asyncio.to_thread(lambda: list(doctor.examine(args, Client(str(socket)))))
    return {one.what: one for one in found}


async def test_a_sound_machine(tmp_path: Path) -> None:
    api = await served(tmp_path)
    api.machine.site.trust = "kernel"
    leader, follower = pty.openpty()
    mine = grp.getgrgid(os.getegid()).gr_name
    extra = f'[api]\ngroup = "{mine}"\nkiosk_group = ""\n'
    found = await examined(tmp_path, api.path, site_file(tmp_path, os.ttyname(follower), extra))
    os.close(leader)
    os.close(follower)
    for name in ("socket", "vendingd", "journal", "clock", "cloud", "devices", "port", "alarms", "state", "access"):
        assert found[name].level == "ok", found[name]
    assert "4 bays" in found["site file"].detail
    assert (found["group of technicians"].level, found["group of technicians"].detail) == ("ok", mine)
    assert "group of screens" not in found
    await api.server.stop()


async def test_what_is_wrong_is_found_with_what_to_do(tmp_path: Path) -> None:
    from tests.unit.api.light import down

    api = await served(tmp_path)
    api.machine.sensing.devices["scanner"] = down("scanner", "no such port")
    api.machine.strangers.append("bay-77")
    await api.machine.incident()
    api.machine.seams.store.fault = Fault(StoreErrorKind.FULL)
    await api.call("POST", "/v1/availability", {"in_service": True, "reason": "x"})
    found = await examined(tmp_path, api.path, site_file(tmp_path, str(tmp_path / "nothing")))
    assert found["journal"].level == "fail"
    assert "full" in found["journal"].detail
    assert found["clock"].level == "warn"  # the site assumes
    assert "kernel" in found["clock"].advice
    assert (found["device"].level, "no such port" in found["device"].detail) == ("fail", True)
    assert found["incidents"].level == found["alarms"].level == found["bays"].level == "warn"
    assert found["port"].level == "fail"
    assert all(one.advice for one in found.values() if one.level != "ok")
    await api.server.stop()


async def test_the_site_files_groups_must_exist(tmp_path: Path) -> None:
    extra = '[api]\ngroup = "no-such-technicians"\nkiosk_group = "no-such-screens"\n'
    found = await examined(tmp_path, tmp_path / "no.sock", site_file(tmp_path, extra=extra))
    for what, name in (("technicians", "no-such-technicians"), ("screens", "no-such-screens")):
        one = found[f"group of {what}"]
        assert one.level == "warn" and name in one.detail and f"groupadd --system {name}" in one.advice


def test_access_is_by_the_site_files_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    assert doctor.membership("no-such-technicians").level == "warn"
    assert doctor.membership(grp.getgrgid(os.getegid()).gr_name).level == "ok"
    assert "sudo" in doctor.membership("").advice


@pytest.mark.parametrize(("mode", "level"), [(0o700, "ok"), (0o750, "fail"), (0o701, "fail"), (0o755, "fail")])
def test_the_state_is_the_daemons_alone(tmp_path: Path, mode: int, level: str) -> None:
    tmp_path.chmod(mode)
    (one,) = doctor.state_folder(tmp_path)
    assert one.level == level and (level == "ok" or (f"{mode:03o}" in one.detail and "chmod 700" in one.advice))


def test_a_state_that_the_daemon_may_not_write_or_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(doctor.state_folder(tmp_path / "none")) == [], "the disk's check says so"
    (tmp_path / "file").touch()
    (one,) = doctor.state_folder(tmp_path / "file")
    assert one.level == "fail" and "no folder" in one.detail
    tmp_path.chmod(0o500)
    monkeypatch.setattr(doctor.pwd, "getpwnam", lambda name: Known(os.geteuid() or 12345, os.getegid()))
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, -1)
    (one,) = doctor.state_folder(tmp_path)
    assert one.level == "fail" and "may not write" in one.detail and "chown" in one.advice


class Known(NamedTuple):
    pw_uid: int
    pw_gid: int


async def test_without_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--socket", str(tmp_path / "no.sock"), "doctor", "--site", str(site_file(tmp_path, str(tmp_path)))]
    assert await asyncio.to_thread(main, [*argv, "--state-dir", str(tmp_path / "none"), "--json"]) == Exit.PROBLEMS
    said = json.loads(capsys.readouterr().out)
    level = {row["check"]: row["level"] for row in said["checks"]}
    assert said["ok"] is False
    assert level["socket"] == level["vendingd"] == level["port"] == "fail"
    assert level["disk"] == "warn"
    assert await asyncio.to_thread(main, argv) == Exit.PROBLEMS
    assert "fail  vendingd:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"trust": "assume", "trusted": True, "utc": "x"}, "warn"),
        ({"trust": "kernel", "trusted": False, "utc": "x"}, "warn"),
        ({"trust": "rtc", "trusted": True, "utc": "x"}, "ok"),
    ],
)
def test_the_clock(said: dict[str, Any], level: str) -> None:
    assert doctor.clock(said).level == level


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"configured": False}, "ok"),
        ({"configured": True, "online": True, "last_error": None, "backlog": 3}, "ok"),
        ({"configured": True, "online": True, "last_error": None, "backlog": 5000}, "warn"),
        ({"configured": True, "online": False, "last_error": "feed: refused", "backlog": None}, "warn"),
    ],
)
def test_the_cloud(said: dict[str, Any], level: str) -> None:
    assert doctor.cloud(said).level == level


def test_libzbar_is_looked_for() -> None:
    def missing(name: str) -> object:
        return ctypes.CDLL(f"no-{name}")

    assert doctor.zbar(missing).level == "fail"
    assert "apt-get install libzbar0" in doctor.zbar(missing).advice


def test_who_may_use_a_port(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.touch()
    path.chmod(0o600)
    os.chown(path, os.getuid(), os.getgid())
    assert doctor.may_use(path.stat(), "no-such-user-here")
    other = "nobody" if os.getuid() == 0 else "root"
    assert doctor.may_use(path.stat(), other) is (other == "root")
    path.chmod(0o666)
    assert doctor.may_use(path.stat(), other)


def test_config_check_tells_every_problem_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site_file(tmp_path, extra="nonsense = 1\n[timing]\nopen_timeout_s = -1\n")
    assert main(["config", "check", str(path)]) == Exit.PROBLEMS
    out = capsys.readouterr().out
    lines = SITE.count("\n")
    for key, line in (("nonsense", lines + 1), ("open_timeout_s", lines + 3)):
        assert any(f"{path}:{line}:" in row and key in row for row in out.splitlines()), (key, out)
    assert "vendingd does not start" in out
    assert main(["config", "check", str(path), "--json"]) == Exit.PROBLEMS
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], len(said["problems"])) == (False, 2)


def test_config_check_of_a_sound_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site_file(tmp_path)
    assert main(["config", "check", str(path)]) == Exit.OK
    assert "is sound: m1, 4 bays, 1 terminals" in capsys.readouterr().out
    assert main(["config", "check", str(tmp_path / "nothing.toml")]) == Exit.PROBLEMS
    assert "cannot be read" in capsys.readouterr().out


def test_config_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == Exit.OK
    assert "machine" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize("kind", ["missing", "no journal", "sound", "damaged"])
async def test_a_journal_file_is_verified_without_a_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "journal.db"
    if kind == "no journal":
        path.write_bytes(b"not a database" * 100)
    elif kind in ("sound", "damaged"):
        await write_journal(path)
    if kind == "damaged":
        import sqlite3

        with sqlite3.connect(path) as db:
            db.execute("UPDATE record SET subject = 'forged' WHERE seq = 2")
        db.close()
    code = await asyncio.to_thread(main, ["audit", "verify", "--file", str(path)])
    out, err = capsys.readouterr()
    wanted = {"missing": Exit.USAGE, "no journal": Exit.PROBLEMS, "sound": Exit.OK, "damaged": Exit.PROBLEMS}
    assert code == wanted[kind]
    said = {"missing": "journal.db", "no journal": "damaged", "sound": "sound: 3 records", "damaged": "at record 2"}
    assert said[kind] in out + err


async def write_journal(path: Path) -> None:
    from vendingd.journal.api import Batch, NewRecord
    from vendingd.journal.store import Journal

    journal = Journal(path, machine="m1", boot_id="boot", token=lambda n: b"t" * n)
    await journal.open()
    records = [NewRecord("machine.started", f"m{n}", b"{}", 1.8e9, 1.0, True, False) for n in range(3)]
    await journal.commit(Batch(records))
    await journal.close()
