"""A stand: simulator, cloud and daemon, each its own process, joined by their real wires. For scenario tests.

What is asserted is what the plant physically did and what the cloud received, not what the daemon believes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")
PATIENCE_S = 20.0  # these machines are shared and noisy; no test asserts a time

FAST = """
[timing]
claim_s = 20
open_timeout_s = 3
warn_open_s = 2
held_open_s = 4
settle_s = 0.4
identify_s = 2
lapse_s = 6
farewell_s = 1
[sensing]
occupancy_ms = 200
"""


def fast(**timing: float) -> str:
    """The short times, some of them otherwise."""
    text = FAST
    for name, value in timing.items():
        text, known = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        if not known:
            text = text.replace("[timing]\n", f"[timing]\n{name} = {value}\n")
    return text


TOWER = """
schema = 1
machine = "tower-1"
site = "west"
[clock]
trust = "assume"
[identity]
keys = "keys.json"
[cloud]
url = "http://127.0.0.1:{cloud_port}"
poll_wait_s = 5
[policy.least]
car = ["pass"]
[gpio]
factory = "hw-sim"
[api]
group = ""
{timing}
[devices.locks]
driver = "gpio-lock"
pins = [4, 5, 6]
gap_ms = 50
[devices.doors]
driver = "gpio-input"
sense = "door"
pins = [7, 8, 9]
[devices.bolts]
driver = "gpio-input"
sense = "bolt"
pins = [10, 11, 12]
[devices.presence]
driver = "gpio-input"
sense = "presence"
pins = [16, 17, 18]
[devices.tags]
driver = "rdm6300"
ports = ["tag-1", "tag-2", "tag-3"]
gone_ms = 1000
[devices.scanner]
driver = "line-scanner"
port = "scanner"
baud = 115200
[devices.side]
driver = "line-scanner"
port = "side"
baud = 115200
[devices.pad]
driver = "serial-keypad"
port = "keypad"
[devices.desk]
driver = "rdm6300"
ports = ["tag-desk"]
[devices.estop]
driver = "gpio-input"
sense = "estop"
pins = [13]
[[bays]]
n = [1, 3]
id = "bay-{{n}}"
fits = ["car"]
lock = "locks:{{n}}"
door = "doors:{{n}}"
{bolt}
presence = "presence:{{n}}"
tag = "tags:{{n}}"
[[terminals]]
id = "front"
codes = ["scanner"]
keypad = "pad"
tag = "desk"
[[terminals]]
id = "side"
codes = ["side"]
[estop]
input = "estop"
"""

HEAD = TOWER.partition("[devices.locks]")[0]  # how every site file here begins: machine, cloud, times

CARS = """
title = "two cars, one empty bay"
[bay]
door = "hand"
bolt = "latch"
[[assets]]
n = [1, 2]
id = "car-{n}"
class = "car"
tag = "62E308000{n}"
bay = "bay-{n}"
"""

DIRECTORY = [{"id": f"car-{n}", "class": "car", "tags": [f"62E308000{n}"]} for n in (1, 2)]


def command(*words: str) -> None:
    """Run it; what it says stands in the error."""
    subprocess.run(words, check=True, capture_output=True)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """A control socket: HTTP over a Unix socket, JSON bodies."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = 30.0) -> tuple[int, Any]:
        connection = _UnixConnection(self.path, timeout_s)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        status, body = self.ask("GET", path + (f"?{urlencode(query)}" if query else ""))
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def post(self, path: str, body: dict[str, Any]) -> Any:
        status, answer = self.ask("POST", path, body)
        assert status == 200, f"POST {path} {body}: {status} {answer}"
        return answer

    def act(self, do: str, **fields: Any) -> Any:
        return self.post("/act", {"do": do, **fields})

    def fault(self, name: str, *, on: bool = True, **fields: Any) -> None:
        self.post("/faults", {"name": name, "on": on, **fields})


class Stand:
    """One machine under test. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        site: str = TOWER,
        scenario: str = CARS,
        timing: str = FAST,
        bolt: bool = True,
        directory: list[dict[str, Any]] | None = None,
        seed: int = 1,
        entry: tuple[str, ...] = ("-m", "vendingd.main"),
        environment: dict[str, str] | None = None,
        state_dir: str = "state",
    ) -> None:
        """`entry` starts the daemon, with this added to its environment; `state_dir` is relative to `folder`."""
        self.folder = folder
        self.entry = entry
        self.state_dir = state_dir
        self.site_text = site
        self.scenario_text = scenario
        self.timing = timing
        self.bolt = bolt
        self.directory = DIRECTORY if directory is None else directory
        self.seed = seed
        self.plant = Control(folder / "plant.sock")
        self.cloud = Control(folder / "cloud.sock")
        self.api = Control(folder / "runtime" / "api.sock")
        self._processes: dict[str, subprocess.Popen[str]] = {}
        # Compiled modules are kept: three processes are started for each test.
        self.environment: dict[str, str] = {"PYTHONDONTWRITEBYTECODE": ""} | (environment or {})
        self._shown_at: dict[tuple[str, str], float] = {}
        self._notify: socket.socket | None = None
        self._manager_status = ""

    # ------------------------------------------------ processes
    def __enter__(self) -> Stand:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "scenario.toml").write_text(self.scenario_text)
        try:
            common = ("--run-dir", ".", "--seed", str(self.seed))
            bolt = 'bolt = "bolts:{n}"' if self.bolt else ""
            self._spawn("cloud", "-m", "hw_sim", "cloud", *common)
            self.write_site(1, bolt)  # the plant does not look at the cloud's port
            self._spawn("plant", "-m", "hw_sim", "plant", "--site", "site.toml", "--scenario", "scenario.toml", *common)
            ready = self._ready("cloud")
            port = re.search(r"http://127\.0\.0\.1:(\d+)", ready)
            assert port is not None, ready
            self._ready("plant")
            self.write_site(int(port[1]), bolt)
            if self.directory:
                self.cloud.act("directory", put=self.directory)
            self.start_daemon()
            self.stock()
        except BaseException:
            self.__exit__()
            raise
        return self

    def write_site(self, cloud_port: int, bolt: str) -> None:
        text = self.site_text.format(cloud_port=cloud_port, timing=self.timing, bolt=bolt)
        (self.folder / "site.toml").write_text(text)

    def __exit__(self, *_: object) -> None:
        for name in ("daemon", "plant", "cloud"):
            self.stop(name)
        if self._notify is not None:
            self._notify.close()

    def _start(self, name: str, *arguments: str) -> str:
        """Start a process and wait for its line that begins with `ready`."""
        self._spawn(name, *arguments)
        return self._ready(name)

    def _spawn(self, name: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.log").open("a")
        with log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"HW_SIM_GPIO": str(self.folder / "gpio.sock")} | self.environment,
            )
        self._processes[name] = process

    def _ready(self, name: str) -> str:
        process = self._processes[name]
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready"):
                return line
        raise AssertionError(f"{name} ended with {process.wait()}:\n{self.log(name)}")

    def start_daemon(self, *, wait: bool = True) -> None:
        log = (self.folder / "daemon.log").open("a")
        arguments = ["--site", "site.toml", "--state-dir", self.state_dir, "--runtime-dir", "runtime"]
        path = self.folder / "notify.sock"
        path.unlink(missing_ok=True)
        if self._notify is not None:
            self._notify.close()
        self._notify, self._manager_status = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), ""
        self._notify.bind(str(path))
        with log:
            self._processes["daemon"] = subprocess.Popen(
                [sys.executable, *self.entry, *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ
                | {"HW_SIM_GPIO": str(self.folder / "gpio.sock"), "NOTIFY_SOCKET": str(path)}
                | self.environment,
            )
        if wait and not self._told_manager("READY=1", PATIENCE_S):
            raise AssertionError(f"the daemon is not ready:\n{self.log('daemon')}")

    def _told_manager(self, word: str, within_s: float) -> bool:
        """Hear what the daemon says to its service manager, through this word or until it is silent for so long."""
        assert self._notify is not None
        self._notify.settimeout(within_s)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                message = self._notify.recv(4096).decode()
                if message.startswith("STATUS="):
                    self._manager_status = message.removeprefix("STATUS=")
                if word in message:
                    return True
        return False

    def manager_status(self) -> str:
        """What `systemctl status` would say: the newest word of the daemon to its service manager."""
        self._told_manager("STATUS of later", 0.0)
        return self._manager_status

    def kill_daemon(self) -> None:
        """SIGKILL: no chance to say anything."""
        process = self._processes.pop("daemon")
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> int | None:
        process = self._processes.pop(name, None)
        if process is None:
            return None
        if process.stdout is not None:
            process.stdout.close()
        process.terminate()
        try:
            return process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end when asked:\n{self.log(name)}") from None

    def daemon_lives(self) -> bool:
        return self._processes["daemon"].poll() is None

    @property
    def daemon_pid(self) -> int:
        return self._processes["daemon"].pid

    def log(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{name}.log").read_text()[-6000:]
        return ""

    # ------------------------------------------------ waiting
    def until(self, look: Callable[[], T | None], what: str, within_s: float = PATIENCE_S) -> T:
        """Look again and again until there is something; what stands in the logs is part of the failure."""
        end = time.monotonic() + within_s
        while True:
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                found = look()
                if found:
                    return found
            if time.monotonic() > end:
                raise AssertionError(f"never: {what}\n{self.story()}")
            time.sleep(0.02)

    def story(self) -> str:
        """What happened, for a failure's text."""
        lines = ["--- daemon's log", self.log("daemon")[-3000:]]
        with contextlib.suppress(OSError, AssertionError):
            lines += ["--- plant", *(str(x) for x in self.motions()[-25:])]
        with contextlib.suppress(OSError, AssertionError):
            lines += ["--- cloud", *(f"{e['type']} {e['subject']} {e['data']}" for e in self.received()[-25:])]
        return "\n".join(lines)

    # ------------------------------------------------ looks
    def motions(self, what: str | None = None, bay: str | None = None) -> list[dict[str, Any]]:
        """The physical log."""
        log = self.plant.get("/log", after=0)
        return [x for x in log if what in (None, x["what"]) and bay in (None, x.get("bay"))]

    def pulses(self, bay: str | None = None) -> int:
        return len(self.motions("pulse_on", bay))

    def received(self, kind: str | None = None, subject: str | None = None) -> list[dict[str, Any]]:
        """Events that the cloud took, each once, in the order of their first arrival."""
        arrivals = self.cloud.get("/events", after=0)["events"]
        events = [a["event"] for a in arrivals if not a["duplicate"]]
        wanted = f"io.vendingd.{kind}"
        return [x for x in events if (kind is None or x["type"] == wanted) and subject in (None, x["subject"])]

    def heard(self, kind: str, subject: str | None = None, count: int = 1, **data: Any) -> dict[str, Any]:
        """Wait until the cloud has it."""

        def look() -> dict[str, Any] | None:
            found = [x for x in self.received(kind, subject) if data.items() <= x["data"].items()]
            return found[count - 1] if len(found) >= count else None

        return self.until(look, f"the cloud hears {kind} of {subject} {data}")

    def all_there(self) -> list[dict[str, Any]]:
        """Wait until the cloud has the whole journal; every record is there once, in order, none with two contents."""

        def look() -> bool:
            status = self.api.get("/v1/status")
            return bool(status["cloud"]["backlog"] == 0 and len(self.received()) >= status["journal"]["last_seq"])

        self.until(look, "the cloud has everything")
        told = self.cloud.get("/events", after=0)
        seqs = [a["event"]["seq"] for a in told["events"] if not a["duplicate"]]
        assert told["gaps"] == [] and seqs == list(range(1, len(seqs) + 1))
        assert not [a for a in told["events"] if a["conflict"]]
        return self.received()

    def kinds(self, subject: str) -> list[str]:
        return [x["type"].removeprefix("io.vendingd.") for x in self.received(subject=subject)]

    def bay(self, bay: str) -> dict[str, Any]:
        return self.bays()[bay]

    def bays(self) -> dict[str, dict[str, Any]]:
        """The physical truth, by bay."""
        return {one["id"]: one for one in self.plant.get("/state")["bays"]}

    def prompt(self, terminal: str = "front") -> dict[str, Any]:
        found: dict[str, Any] = self.api.get("/v1/terminals")
        return next(t for t in found["terminals"] if t["id"] == terminal)["prompt"]  # type: ignore[no-any-return]

    def shown(self, code: str, terminal: str = "front") -> None:
        self.until(lambda: self.prompt(terminal)["code"] == code, f"terminal {terminal} shows {code}")

    # ------------------------------------------------ what people and operators do
    def stock(self) -> None:
        """A technician says what is where, once the machine has sensed it."""
        self.recovered()
        for bay, state in sorted(self.bays().items()):
            asset = next(iter(state["items"]), None)
            contents = {"asset": asset} if asset else {"empty": True}

            def set_it(bay: str = bay, contents: dict[str, Any] = contents) -> bool:
                status, _ = self.api.ask("POST", f"/v1/bays/{bay}/contents", contents | {"reason": "stocking"})
                return status == 200

            self.until(set_it, f"{bay} can be stocked")

    def book(self, rental: str = "r1", asset: str | None = "car-1", **fields: Any) -> str:
        """A reservation that the machine has heard of; returns its pass."""
        if asset is not None:
            fields["asset"] = asset
        elif "class" not in fields:
            fields["class"] = "car"
        self.cloud.act("put_reservation", rental=rental, **({"window_from": -60, "window_to": 3600} | fields))
        self.heard("rental.booked", rental)
        return self.sign(rental)

    def sign(self, rental: str, **fields: Any) -> str:
        text: str = self.cloud.act("sign_pass", rental=rental, **fields)["pass"]
        return text

    def show(self, text: str, terminal: str = "front", via: str | None = None) -> None:
        """Hold a pass to the terminal's scanner; the same one again after a person's while, not at once."""
        last = self._shown_at.get((terminal, text), 0.0)
        time.sleep(max(0.0, last + 1.2 - time.monotonic()))
        self._shown_at[terminal, text] = time.monotonic()
        via = via or ("scanner" if terminal == "front" else "side")
        self.plant.act("show_code", terminal=terminal, text=text, via=via)

    def outcome(self, instruction: str) -> tuple[str, str | None]:
        """The one outcome of an instruction of the cloud, once it is there: its word and its reason."""

        def look() -> list[dict[str, Any]] | None:
            found: dict[str, list[dict[str, Any]]] = self.cloud.get("/outcomes")["outcomes"]
            return found.get(instruction)

        told = self.until(look, f"an outcome of {instruction}")
        assert len(told) == 1, told
        return told[0]["outcome"], told[0].get("reason")

    def type(self, keys: str) -> None:
        self.plant.act("type", terminal="front", keys=keys)

    def asked_for_pin(self, tries_left: int, terminal: str = "front") -> None:
        """Wait until the terminal asks for the PIN with so many tries left."""

        def look() -> bool:
            prompt = self.prompt(terminal)
            return bool(prompt["code"] == "enter_pin" and prompt["params"]["tries_left"] == tries_left)

        self.until(look, f"terminal {terminal} asks for the PIN, {tries_left} tries left")

    def authorised(self, purpose: str, count: int = 1) -> str:
        """Wait for the n-th authorisation of this purpose; returns its bay."""

        def look() -> str | None:
            found = [x for x in self.received("bay.unlock_authorised") if x["data"]["purpose"] == purpose]
            return str(found[count - 1]["subject"]) if len(found) >= count else None

        return self.until(look, f"authorisation {count} to {purpose}")

    def unlocked(self, bay: str, count: int = 1) -> None:
        self.until(lambda: self.pulses(bay) >= count, f"pulse {count} at {bay}")

    def recovered(self) -> None:
        """Wait until every bay has been sensed and decided about."""
        self.until(lambda: self.api.get("/v1/status")["bays"]["settling"] == 0, "every bay is decided about")

    def open(self, bay: str, *, force: bool = False) -> None:
        """A hand opens the door, and the daemon senses it before anything else happens."""
        self.plant.act("pull_door" if force else "open_door", bay=bay, force=force)
        self.until(lambda: self.api.get(f"/v1/bays/{bay}")["sensed"]["door"] == "open", f"{bay} is sensed open")

    def close(self, bay: str) -> None:
        self.plant.act("close_door", bay=bay)

    def technician(self, path: str, **body: Any) -> Any:
        """A technician says something at the local socket, with a reason, and it is done."""
        status, answer = self.api.ask("POST", f"/v1{path}", {"reason": "seen on site"} | body)
        assert status in (200, 202), f"POST {path} {body}: {status} {answer}"
        return answer

    def denied(self, path: str, **body: Any) -> str:
        """A technician says something that is refused; returns the word."""
        status, answer = self.api.ask("POST", f"/v1{path}", {"reason": "seen on site"} | body)
        assert status == 409, f"POST {path} {body}: {status} {answer}"
        return str(answer["reason"])

    def press(self, key: str, terminal: str = "front", **body: Any) -> tuple[int, Any]:
        """A key of the terminal's screen: confirm, leave, return, close."""
        return self.api.ask("POST", f"/v1/terminals/{terminal}/{key}", body)

    def refused(self, subject: str, reason: str, count: int = 1) -> None:
        """Wait until the cloud has heard that something shown was refused for this reason, for the n-th time.

        `subject` is the rental, or the terminal where what was shown names none.
        """
        self.heard("credential.refused", subject, count, reason=reason)

    def incident(self, kind: str, bay: str) -> str:
        """Wait for an incident of this kind; returns its id."""
        what = {"kind": kind, "bay": bay}

        def look() -> str | None:
            found = [x for x in self.received("incident.opened") if what.items() <= x["data"].items()]
            return str(found[-1]["subject"]) if found else None

        return self.until(look, f"an incident {kind} at {bay}")

    def alarms(self, bay: str) -> list[str]:
        """The alarms that were ever raised at a bay, in order."""
        return [x["data"]["alarm"] for x in self.received("bay.alarm_raised", bay)]

    def secured(self, bay: str) -> None:
        self.until(lambda: self.api.get(f"/v1/bays/{bay}")["state"] == "secured", f"{bay} is secured")

    def pick_up(self, rental: str, bay: str, text: str) -> None:
        """The plain way: pass, door, car, door."""
        before = self.pulses(bay)
        self.show(text)
        self.unlocked(bay, before + 1)
        self.drive_out(rental, bay)

    def drive_out(self, rental: str, bay: str) -> None:
        """The bay has been unlocked for a pick-up: door, car, door."""
        self.open(bay)
        self.plant.act("take", bay=bay)
        self.close(bay)
        self.heard("rental.on_trip", rental)

    def served_next(self, rental: str, text: str, bay: str = "bay-1") -> None:
        """After whatever was tried, the next honest customer is served."""
        self.until(lambda: self.prompt()["code"] not in ("wait", "unavailable"), "the terminal serves")
        self.shown("idle")
        before, end = self.pulses(bay), time.monotonic() + PATIENCE_S

        def answered() -> str | None:
            return "served" if self.pulses(bay) > before else "wait" if self.prompt()["code"] == "wait" else None

        while True:  # a terminal that failures have slowed says "wait" for a while: a person shows it again
            self.show(text)
            if self.until(answered, f"{bay} opens, or the terminal says wait") == "served":
                break
            assert time.monotonic() < end, f"told to wait for over {PATIENCE_S:g} s\n{self.story()}"
        self.drive_out(rental, bay)

    def bring_back(self, rental: str, asset: str, bay: str, *, settle: bool = True) -> None:
        """The bay has been unlocked for a return: door, car, door."""
        self.open(bay)
        self.plant.act("put", bay=bay, asset=asset)
        self.close(bay)
        if settle:
            self.heard("rental.returned", rental)


@contextlib.contextmanager
def stand(folder: Path, **options: Any) -> Iterator[Stand]:
    with Stand(folder, **options) as made:
        yield made
