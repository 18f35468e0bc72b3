"""sd_notify(3) over a real datagram socket: what is sent, when, and silence where nobody listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vendingd.notify import Notifier


@dataclass
class Manager:
    """The receiving end."""

    address: str
    socket: socket.socket

    def heard(self) -> list[str]:
        said = []
        while True:
            try:
                said.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return said


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = str(tmp_path / "notify")
        listening.bind(address)
        listening.setblocking(False)
        yield Manager(address, listening)


def test_says_each_thing_in_a_datagram_of_its_own(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000000"})
    notifier.ready()
    notifier.status("serving 2 bays, online")
    notifier.alive()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "STATUS=serving 2 bays, online", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_is_said_once_until_it_changes(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address})
    for text in ("online", "online", "offline", "online"):
        notifier.status(text)
    assert manager.heard() == ["STATUS=online", "STATUS=offline", "STATUS=online"]


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_one_is_ours(
    manager: Manager, environment: dict[str, str], watchdog_s: float | None
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, **environment})
    assert notifier.watchdog_s == watchdog_s
    notifier.alive()
    assert manager.heard() == ([] if watchdog_s is None else ["WATCHDOG=1"])


def test_reaches_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"vendingd-test-{os.getpid()}-{os.urandom(4).hex()}"
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert listening.recv(64) == b"READY=1"


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*args: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", no_socket)
    notifier = Notifier({})
    notifier.ready()
    notifier.status("serving")


def test_a_manager_that_is_gone_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    assert "cannot be told READY" in caplog.text


def test_a_manager_that_does_not_read_holds_nothing_up(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000000"})
    for _ in range(2000):  # far beyond what the kernel queues for a datagram socket
        notifier.alive()
    assert 0 < len(manager.heard()) < 2000
