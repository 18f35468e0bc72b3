"""The socket itself: who may come in, and that nothing that a peer sends or leaves undone hurts the others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.unit.api.light import Served, parsed, served
from vendingd.api.connection import Limits
from vendingd.api.peers import Access, Doorkeeper, Peer
from vendingd.api.routes import ROUTES
from vendingd.api.server import ApiServer

QUICK = Limits(connections=4, of_one_user=3, head_s=0.2, idle_s=0.3, body_s=0.2, write_s=0.3, linger_s=0.5)
TECH, SCREEN, USERS = 501, 502, 100
GROUPS = {"tech": TECH, "kiosk": SCREEN}

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


class Somebody(Doorkeeper):
    """Everybody who connects is the peer that the test says."""

    def __init__(self, uid: int, gids: set[int]) -> None:
        super().__init__("tech", "kiosk", group_id=GROUPS.get)
        self._uid, self._gids = uid, frozenset(gids)

    def who(self, sock: Any) -> Peer:
        super().who(sock)
        return self.judge(self._uid, self._gids)


@pytest_asyncio.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Served]:
    one = await served(tmp_path, limits=QUICK)
    yield one
    await one.server.stop()
    await one.machine.mailbox.settle()


async def well(api: Served) -> None:
    assert (await api.call("GET", "/v1/status")).status == 200


# ---------------------------------------------------------------- who
@pytest.mark.parametrize(
    ("uid", "gids", "access"),
    [
        (0, set(), Access.TECHNICIAN),
        (os.getuid(), set(), Access.TECHNICIAN),
        (1234, {TECH}, Access.TECHNICIAN),
        (1234, {TECH, SCREEN}, Access.TECHNICIAN),
        (1234, {SCREEN}, Access.KIOSK),
        (1234, {USERS, 0}, Access.NOBODY),
        (1234, set(), Access.NOBODY),
    ],
)
def test_what_people_may_do(uid: int, gids: set[int], access: Access) -> None:
    doorkeeper = Doorkeeper("tech", "kiosk", group_id=GROUPS.get)
    assert doorkeeper.judge(uid, frozenset(gids)).access is access


def test_a_group_that_is_not_there_or_not_named_lets_nobody_in() -> None:
    for name in ("", "no-such-group-here"):
        assert Doorkeeper(name, name).judge(1234, frozenset({0, 1, 2, 100})).access is Access.NOBODY


async def test_strangers_are_told_what_to_do(tmp_path: Path) -> None:
    api = await served(tmp_path, doorkeeper=Somebody(1234, {USERS}))
    for method, path in (("GET", "/v1/status"), ("GET", "/v1/terminals"), ("GET", "/nowhere")):
        said = await api.call(method, path)
        assert said.status == 403
        assert "usermod -aG tech" in said.json["advice"]
    said = await api.call("POST", "/v1/bays/bay-1/unlock", {"reason": "x"})
    assert said.status == 403
    assert api.machine.hands.effects == []
    await api.server.stop()


async def test_a_screen_may_use_terminals_and_nothing_else(tmp_path: Path) -> None:
    api = await served(tmp_path, doorkeeper=Somebody(1234, {SCREEN}))
    assert (await api.call("GET", "/v1/terminals")).status == 200
    assert (await api.call("POST", "/v1/terminals/front/return")).status == 200
    for route in ROUTES:
        if not route.pattern.startswith("/v1/terminals"):
            path = route.pattern.replace("{bay}", "bay-1").replace("{", "").replace("}", "")
            assert (await api.call(route.method, path, {"reason": "x"})).status == 403, route.pattern
    assert api.machine.hands.effects == []
    await api.server.stop()


async def test_only_root_speaks_for_others(tmp_path: Path, api: Served) -> None:
    body = {"reason": "x"}
    said = await api.call("POST", "/v1/bays/bay-1/unlock", body, headers={"X-Vendingd-As": "maria"})
    if os.getuid() == 0:
        assert said.json["records"][0]["data"]["who"] == "maria"
        for nobody in ("", " ", "\t "):
            said = await api.call("POST", "/v1/bays/bay-2/unlock", body, headers={"X-Vendingd-As": nobody})
            assert (said.status, said.json["reason"]) == (422, "unprocessable"), nobody
    folder = tmp_path / "other"
    folder.mkdir()
    other = await served(folder, doorkeeper=Somebody(1234, {TECH}))
    said = await other.call("POST", "/v1/bays/bay-1/unlock", body, headers={"X-Vendingd-As": "maria"})
    assert said.status == 403
    said = await other.call("POST", "/v1/bays/bay-1/unlock", body)
    assert said.json["records"][0]["data"]["who"] == "uid 1234"
    await other.server.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter (pytest's own may not)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


ASK = """
import os, socket, sys
os.setgroups([int(n) for n in sys.argv[3].split(",")])
os.setgid(1234)
os.setuid(1234)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET " + sys.argv[2].encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
"""


@as_root
@pytest.mark.parametrize(
    ("groups", "path", "status"),
    [
        ([USERS], "/v1/status", 403),
        ([USERS, TECH], "/v1/status", 200),
        ([USERS, SCREEN], "/v1/status", 403),
        ([USERS, SCREEN], "/v1/terminals", 200),
    ],
)
async def test_the_kernel_tells_who_is_there(open_folder: Path, groups: list[int], path: str, status: int) -> None:
    api = await served(open_folder, doorkeeper=Doorkeeper("tech", "kiosk", group_id=GROUPS.get))
    command = [sys.executable, "-I", "-c", ASK, str(api.path), path, ",".join(map(str, groups))]

    def ask() -> bytes:
        return subprocess.run(command, check=True, capture_output=True).stdout

    said = parsed(await asyncio.to_thread(ask))
    assert said.status == status
    await api.server.stop()


# ---------------------------------------------------------------- the socket's file
async def test_the_socket_comes_and_goes(tmp_path: Path) -> None:
    api = await served(tmp_path)
    assert stat.S_ISSOCK(api.path.stat().st_mode)
    with pytest.raises(OSError, match="another process serves"):
        await ApiServer(api.machine, api.path).start()
    await api.server.stop()
    assert not api.path.exists()
    await api.server.stop()


async def test_a_dead_daemons_socket_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "api.sock"))
    api = await served(tmp_path)
    await well(api)
    await api.server.stop()


async def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "api.sock").write_text("precious")
    with pytest.raises(OSError, match="is no socket"):
        await served(tmp_path)
    assert (tmp_path / "api.sock").read_text() == "precious"


async def test_stopping_ends_streams_and_waiting_peers(tmp_path: Path) -> None:
    api = await served(tmp_path)
    async with api.connected() as (reader, writer), api.connected() as (silent, _):
        writer.write(b"GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"serving")
        await api.server.stop()
        async with asyncio.timeout(5):
            await reader.read()
            assert await silent.read() == b""
    assert api.machine.watched == 0


# ---------------------------------------------------------------- what peers send
async def test_requests_follow_each_other_on_one_connection(api: Served) -> None:
    async with api.connected() as (reader, writer):
        for _ in range(3):
            writer.write(b"GET /v1/devices HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert len(json.loads(await reader.readexactly(length))["devices"]) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff\x16\x03\x01" * 50 + b"\r\n\r\n", 400),
        (b"A" * 10_000_000, 431),
        (b"GET /v1/status HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (
            b"POST /v1/bays/bay-1/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000,
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411),
        (b"GET /v1/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
    ],
    ids=["binary", "10 MB without an end", "long header", "10 MB body", "chunked", "not UTF-8"],
)
async def test_junk_is_answered_and_the_daemon_serves_on(api: Served, data: bytes, status: int) -> None:
    said = await api.raw(data)
    assert said.status == status
    assert said.json["advice"]
    assert api.machine.hands.effects == []
    await well(api)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/status HTTP/1.1\r\nHost:",
        b"G",
        b'POST /v1/bays/bay-1/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{"reason": ',
    ],
)
async def test_half_a_request_is_timed_out_or_dropped(quick: Served, data: bytes) -> None:
    async with asyncio.timeout(10):
        assert (await quick.raw(data)).status == 408
    async with quick.connected() as (reader, writer):
        writer.write(data)
        writer.write_eof()
        assert parsed(await reader.read()).status == 400
        assert quick.machine.hands.effects == []
        await well(quick)


async def test_a_peer_that_says_nothing_is_let_go(quick: Served) -> None:
    async with quick.connected() as (reader, _):
        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_too_many_connections_are_turned_away_and_room_comes_back(tmp_path: Path) -> None:
    api = await served(tmp_path, limits=Limits(of_one_user=3))
    async with api.connected(), api.connected(), api.connected():
        said = await api.call("GET", "/v1/status")
        assert (said.status, said.headers["retry-after"]) == (503, "1")
    async with asyncio.timeout(5):
        while (await api.call("GET", "/v1/status")).status == 503:
            await asyncio.sleep(0)
    await api.server.stop()


async def test_a_stream_that_nobody_reads_is_ended(quick: Served) -> None:
    async with quick.connected() as (reader, writer):
        writer.write(b"GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"serving")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            n = 0
            while quick.machine.watched:
                n += 1
                reason = f"turn {n} " + "x" * 180
                await quick.call("POST", "/v1/availability", {"in_service": bool(n % 2), "reason": reason})
                quick.machine.changed()
        await well(quick)


async def test_expect_continue(api: Served) -> None:
    async with api.connected() as (reader, writer):
        body = b'{"reason": "x"}'
        writer.write(
            b"POST /v1/bays/bay-1/unlock HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert parsed(await reader.read()).status == 202


async def test_a_defect_of_a_view_is_told_and_survived(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    api.machine.site.devices = {"broken": None}
    said = await api.call("GET", "/v1/devices")
    assert (said.status, said.json["reason"]) == (500, "defect")
    assert "GET /v1/devices failed" in caplog.text
    assert (await api.call("GET", "/v1/bays")).status == 200
