"""A running box as tests see it: commands in it, the service's properties, its local API."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = """
schema = 1
machine = "box-01"
site = "box"
[policy.least]
"*" = ["pass"]
[devices.locks]
driver = "lock-8a"
port = "/dev/serial/by-id/none"
[devices.scanner]
driver = "line-scanner"
port = "/dev/ttyUSB0"
[[bays]]
n = [1, 2]
id = "bay-{n}"
fits = ["car"]
lock = "locks:{n}"
[[terminals]]
id = "front"
codes = ["scanner"]
"""


@dataclass(frozen=True)
class Box:
    """A running system. Commands run as root in it, with no environment of ours."""

    leader: str

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Standard output. Raises AssertionError with what the command said where `check` finds a failure."""
        done = self.ask(*command, stdin=stdin)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout

    def ask(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        inside = ["nsenter", "-t", self.leader, "-a", *env, *command]
        return subprocess.run(inside, check=False, capture_output=True, text=True, input=stdin, timeout=120)

    def log(self) -> str:
        return self.ask("journalctl", "-u", "vendingd", "-n", "200", "--no-pager", "-o", "cat").stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}", stdin=text)

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of the service."""
        lines = self.run("systemctl", "show", "vendingd", f"--property={','.join(properties)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def wait(self, what: str, **wanted: str) -> dict[str, str]:
        """Until the service's properties are these; the test's own time-out is the bound."""
        script = " && ".join(
            f'[ "$(systemctl show -P {name} vendingd)" = "{value}" ]' for name, value in wanted.items()
        )
        done = self.ask("timeout", "60", "sh", "-c", f"until {script}; do sleep 0.1; done")
        assert done.returncode == 0, f"never {what}: {self.show('ActiveState', 'SubState', *wanted)}\n{self.log()}"
        return self.show(*wanted)

    def drop_in(self, text: str) -> None:
        self.write("/etc/systemd/system/vendingd.service.d/50-test.conf", text)
        self.run("systemctl", "daemon-reload")

    def api(self, method: str, path: str, body: object = None, user: str = "root") -> tuple[int, dict[str, object]]:
        """Status and answer of the local API."""
        asked = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        said = self.run(
            "setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
            "curl", "-s", "--max-time", "20", "--unix-socket", "/run/vendingd/api.sock", "-X", method, *asked,
            "-w", "\n%{http_code}", f"http://vendingd{path}",
        )  # fmt: skip
        text, _, status = said.rpartition("\n")
        return int(status), json.loads(text) if text.strip() else {}
