"""The stage: a fresh run folder, and three processes in it that end with the demo, whatever ends it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from hw_sim.demo.wire import Refused, Socket, Unreachable

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "config" / "demo.toml"
SCENARIO = ROOT / "hw_sim" / "scenarios" / "demo.toml"
MARK = ".demo"  # says that a folder is ours to empty
LONGEST_SOCKET = 100  # bytes of a Unix socket's path (sun_path has 108)
READY_S = 30.0
STOP_S = 15.0


class CannotStart(Exception):
    """There is no stage to play on; the message says why and what to do."""


class Died(Exception):
    """A process of the stage has ended by itself."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"the {name} ended by itself with status {status}")
        self.name = name


class Stage:
    """Owns the folder and its processes. `close` leaves nothing running."""

    def __init__(self, folder: Path) -> None:
        """Raises CannotStart."""
        folder = folder.absolute()
        if len(os.fsencode(folder / "runtime" / "api.sock")) > LONGEST_SOCKET:
            folder = Path(tempfile.gettempdir()) / f"vendingd-demo-{os.getuid()}"  # sockets would not fit
        self.folder = folder
        self.plant = Socket(folder / "plant.sock")
        self.cloud = Socket(folder / "cloud.sock")
        self.daemon = Socket(folder / "runtime" / "api.sock")
        self.logs = folder / "logs"
        self.began = time.monotonic()  # when the daemon was started
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._mark = self._claim()

    def shown(self, path: Path) -> str:
        """A path as one would type it here."""
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

    # ------------------------------------------------ the folder
    def _claim(self) -> IO[str]:
        """Make the folder fresh; hold its lock until the end."""
        mark = self.folder / MARK
        if self.folder.exists() and any(self.folder.iterdir()) and not mark.exists():
            raise CannotStart(f"{self.folder} is not empty and no demo made it: use another --run-dir")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = mark.open("a")
        except OSError as why:
            raise CannotStart(f"{self.folder}: {why.strerror}; use another --run-dir") from why
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise CannotStart(f"another demo plays in {self.folder}: end it, or use another --run-dir") from None
        for old in self.folder.iterdir():
            if old == mark:
                continue
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()
        self.logs.mkdir()
        return held

    # ------------------------------------------------ processes
    def open(self, seed: int) -> float:
        """Start cloud, plant and daemon; returns how many seconds the daemon took. Raises CannotStart."""
        module = [sys.executable, "-m"]
        sim = [*module, "hw_sim"]
        ready = self._start("cloud", [*sim, "cloud", "--run-dir", ".", "--seed", str(seed)], ready=True)
        address = re.search(r"http://\S+", ready)
        if address is None:
            raise CannotStart(f"the cloud did not say where it listens: {ready}")
        site = SITE.read_text().replace("http://127.0.0.1:8470", address[0])
        site = site.replace("http://127.0.0.1:8471/", f"http://127.0.0.1:{free_port()}/")
        (self.folder / "site.toml").write_text(site)
        shutil.copy(SCENARIO, self.folder / "scenario.toml")
        plant = ["plant", "--site", "site.toml", "--scenario", "scenario.toml", "--run-dir", ".", "--seed", str(seed)]
        self._start("plant", [*sim, *plant], ready=True)
        self.began = time.monotonic()
        where = ["--site", "site.toml", "--state-dir", "state", "--runtime-dir", "runtime"]
        self._start("daemon", [*module, "vendingd.main", *where], ready=False)
        self._until_serving()
        return time.monotonic() - self.began

    def _start(self, name: str, command: list[str], *, ready: bool) -> str:
        """Start a process; with `ready`, wait for its line that begins so."""
        with self.log_path(name).open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hw_sim.demo.tether", str(os.getpid()), *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if ready else log,
                stderr=log,
                text=True,
                env=os.environ | {"HW_SIM_GPIO": str(self.folder / "gpio.sock"), "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # Ctrl-C is ours; they are told in order
            )
        self._processes[name] = process
        if process.stdout is None:
            return ""
        for line in process.stdout:
            if line.startswith("ready"):
                return line
        raise CannotStart(f"the {name} ended with {process.wait()}:\n{self.tail(name)}")

    def _until_serving(self) -> None:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            try:
                self.check()
                if self.daemon.get("/v1/status")["state"] == "serving":
                    return
            except Died as why:
                raise CannotStart(f"{why}:\n{self.tail('daemon')}") from None
            except (Unreachable, Refused):
                pass  # it opens its socket last
            time.sleep(0.02)
        raise CannotStart(f"the daemon does not serve after {READY_S:g} s:\n{self.tail('daemon')}")

    def check(self) -> None:
        """Raises Died."""
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                raise Died(name, status)

    def log_path(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tail(self, name: str, lines: int = 12) -> str:
        """The last lines of a process's log."""
        try:
            return "\n".join(self.log_path(name).read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def close(self) -> list[str]:
        """Stop everything, the daemon first. Returns what did not go in order. Idempotent."""
        wrong = []
        for name in ("daemon", "plant", "cloud"):
            process = self._processes.pop(name, None)
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                wrong.append(f"the {name} did not end within {STOP_S:g} s and was killed")
            else:
                if status != 0:
                    wrong.append(f"the {name} ended with status {status}")
            if process.stdout is not None:
                process.stdout.close()
        self._mark.close()
        return wrong


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
