"""The service as a service manager sees it: readiness, watchdog, stop, restart, limits, permissions, sandbox."""

from __future__ import annotations

import json

import pytest

from tests.systemd.inside import ROOT, SITE, Box

pytestmark = pytest.mark.systemd

VERIFY = """
import sys
from pathlib import Path
from vendingd.journal.offline import verify_file
said = verify_file(Path("/var/lib/vendingd/journal.db"))
print(said.ok, said.head_seq)
"""


def chain(box: Box) -> tuple[bool, int]:
    """Whether the journal's chain holds, and its newest record; with the daemon stopped."""
    python = ("env", "PYTHONPATH=/opt/vendingd/app", "LD_LIBRARY_PATH=/opt/python/lib", "/opt/vendingd/bin/python")
    ok, head = box.run(*python, "-c", VERIFY).split()
    return ok == "True", int(head)


def test_unit_holds_against_the_verifier(box: Box) -> None:
    unit = "/usr/local/lib/systemd/system/vendingd.service"
    done = box.ask("systemd-analyze", "verify", "--recursive-errors=yes", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_exposure_stays_low(box: Box) -> None:
    """systemd's own score in tenths: 20 is 2.0, "OK". What stands open is reasoned in the unit."""
    box.run("systemd-analyze", "security", "--threshold=20", "vendingd.service")


def test_udev_reads_the_rules(box: Box) -> None:
    said = box.ask("udevadm", "test", "/sys/devices/virtual/mem/null")
    about_us = [line for line in (said.stdout + said.stderr).splitlines() if "60-vendingd.rules" in line]
    assert about_us, "the rules were not read"
    assert [line for line in about_us if "Reading rules file" not in line] == []


def test_active_only_once_it_serves(fresh: Box) -> None:
    """A site file that comes slowly holds the start back: activating, no socket; then active, and a status."""
    fresh.run("sh", "-c", "rm /etc/vendingd/site.toml && mkfifo /etc/vendingd/site.toml -m 0644")
    fresh.run("systemctl", "start", "--no-block", "vendingd")
    fresh.wait("activating", SubState="start")
    assert fresh.ask("test", "-e", "/run/vendingd/api.sock").returncode != 0
    fresh.run("sh", "-c", "cat > /etc/vendingd/site.toml", stdin=SITE)
    fresh.wait("active", ActiveState="active", SubState="running")
    assert fresh.ask("test", "-S", "/run/vendingd/api.sock").returncode == 0
    fresh.wait("telling its status", StatusText="serving 2 bays, no cloud")


def test_serves_without_its_devices(serving: Box) -> None:
    status, said = serving.api("GET", "/v1/status")
    assert status == 200 and said["machine"] == "box-01"


def test_who_may_do_what(serving: Box) -> None:
    found = {who: serving.api("GET", "/v1/bays", user=who)[0] for who in ("root", "tess", "kim", "nils")}
    assert found == {"root": 200, "tess": 200, "kim": 403, "nils": 403}
    assert serving.api("GET", "/v1/terminals", user="kim")[0] == 200
    assert serving.api("GET", "/v1/terminals", user="nils")[0] == 403


def test_permissions(serving: Box) -> None:
    paths = {
        "/var/lib/vendingd": "vendingd 700 directory",
        "/var/lib/vendingd/journal.db": "vendingd 600 regular file",
        "/var/lib/vendingd/device.key": "vendingd 600 regular file",
        "/run/vendingd": "vendingd 755 directory",
        "/run/vendingd/api.sock": "vendingd 666 socket",
        "/etc/vendingd": "root 755 directory",
        "/etc/vendingd/tls": "root 750 directory",
    }
    found = {path: serving.run("stat", "-c", "%U %a %F", path).strip() for path in paths}
    assert found == paths


def test_process_has_no_privileges(serving: Box) -> None:
    pid = serving.show("MainPID")["MainPID"]
    text = serving.run("cat", f"/proc/{pid}/status")
    said = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    none = "0000000000000000"
    assert (said["CapEff"], said["CapBnd"], said["CapAmb"]) == (none, none, none)
    assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")
    assert "0" not in said["Uid"].split()


def test_sandbox_lets_do_what_is_needed_and_no_more(fresh: Box) -> None:
    fresh.write("/usr/local/lib/probe.py", (ROOT / "tests/systemd/probe.py").read_text())
    report = "/var/lib/vendingd/probe.json"
    fresh.drop_in(f"[Service]\nExecStartPre=/opt/vendingd/bin/python /usr/local/lib/probe.py {report}\n")
    fresh.run("systemctl", "start", "vendingd")
    found = json.loads(fresh.run("cat", report))
    assert {name: what for name, what in found["needed"].items() if what is not True} == {}
    assert {name: what for name, what in found["refused"].items() if what is not True} == {}


def test_a_hung_daemon_is_ended_and_started_again(serving: Box) -> None:
    pid = serving.show("MainPID")["MainPID"]
    serving.run("kill", "-STOP", pid)
    serving.wait("restarted", NRestarts="1", ActiveState="active", SubState="running")
    assert serving.show("MainPID")["MainPID"] != pid
    assert "Watchdog timeout" in serving.log()
    status, said = serving.api("POST", "/v1/journal/verify")  # its file is the daemon's alone
    assert status == 200 and said["ok"] is True


def test_a_killed_daemon_is_started_again(serving: Box) -> None:
    serving.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "vendingd")
    serving.wait("restarted", NRestarts="1", ActiveState="active", SubState="running")
    status, said = serving.api("POST", "/v1/journal/verify")  # its file is the daemon's alone now
    assert status == 200 and said["ok"] is True


def test_stop_ends_in_order_and_the_next_start_goes_on(serving: Box) -> None:
    serving.run("systemctl", "stop", "vendingd")
    assert serving.show("Result", "ExecMainStatus", "ActiveState") == {
        "Result": "success",  # not "timeout"
        "ExecMainStatus": "0",
        "ActiveState": "inactive",
    }
    left = serving.run("ls", "-A", "/var/lib/vendingd").split()
    assert "journal.db-wal" not in left, "the log was not folded back"
    assert serving.ask("test", "-e", "/run/vendingd").returncode != 0
    sound, first = chain(serving)
    assert sound and first > 0
    serving.run("systemctl", "start", "vendingd")
    serving.run("systemctl", "stop", "vendingd")
    sound, second = chain(serving)
    assert sound and second > first


def test_a_broken_site_file_is_not_tried_again(fresh: Box) -> None:
    fresh.write("/etc/vendingd/site.toml", SITE.replace('lock = "locks:{n}"', 'lock = "lokcs:{n}"'))
    assert fresh.ask("systemctl", "start", "vendingd").returncode != 0
    assert fresh.show("ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed",  # a restart to come would be "activating (auto-restart)"
        "SubState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "78",
        "NRestarts": "0",
    }
    assert "lokcs" in fresh.log()


def test_without_a_site_file_it_is_skipped(fresh: Box) -> None:
    fresh.run("rm", "/etc/vendingd/site.toml")
    fresh.run("systemctl", "start", "vendingd")
    assert fresh.show("ActiveState", "ConditionResult") == {"ActiveState": "inactive", "ConditionResult": "no"}


def test_an_unwritable_journal_is_said_and_does_not_kill(fresh: Box) -> None:
    """No byte can be written for three of the watchdog's times: unavailable, alive, and serving again after."""
    fresh.drop_in("[Service]\nWatchdogSec=3\n")
    fresh.run("systemctl", "start", "vendingd")
    pid = fresh.show("MainPID")["MainPID"]
    limit = ("setpriv", "--reuid=vendingd", "--regid=vendingd", "--init-groups", "prlimit", f"--pid={pid}")
    fresh.run(*limit, "--fsize=0:")
    body = {"in_service": False, "reason": "a test"}
    assert fresh.api("POST", "/v1/bays/bay-1/availability", body)[0] == 503
    assert fresh.show("StatusText")["StatusText"].startswith("unavailable: ")
    fresh.run("sleep", "9")
    assert fresh.show("MainPID", "NRestarts") == {"MainPID": pid, "NRestarts": "0"}, fresh.log()
    fresh.run(*limit, "--fsize=unlimited:")
    fresh.wait("serving again", StatusText="serving 2 bays, no cloud")
    assert fresh.api("POST", "/v1/bays/bay-1/availability", body)[0] == 200
    assert fresh.show("MainPID")["MainPID"] == pid
