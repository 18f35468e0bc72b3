"""The API's server: one Unix socket, its connections bounded in number, size and time, each peer known.

The socket's mode lets every local user connect, on purpose: who is not in the group is told what to do about it,
instead of a bare "permission denied". What they may do is decided by the kernel's word on who they are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path

from vendingd.api.connection import Connection, Limits, Service
from vendingd.api.peers import Access, Doorkeeper
from vendingd.api.ports import Machine
from vendingd.api.problems import Problem

_log = logging.getLogger(__name__)


class ApiServer:
    """Serves `machine` at `path`. All methods are called on the loop's thread."""

    def __init__(
        self,
        machine: Machine,
        path: Path,
        group: str = "vendingd-tech",
        kiosk_group: str = "vendingd-kiosk",
        *,
        limits: Limits | None = None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        """`group` may do everything, `kiosk_group` what a screen needs; an empty name lets nobody in."""
        self._path = path
        self._service = Service(machine, doorkeeper or Doorkeeper(group, kiosk_group), limits or Limits())
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Counter[int] = Counter()  # connections by user; -1: all that may do nothing
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen. Raises OSError naming the socket."""
        sock = self._bind()
        self._server = await asyncio.start_unix_server(self._accept, sock=sock, limit=self._service.limits.buffer)

    def _bind(self) -> socket.socket:
        """A socket of a daemon that died is in the way; one that still answers is not ours to take."""
        if self._path.exists() or self._path.is_symlink():
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise OSError(f"{self._path} is in the way and is no socket: move it away")
            if _answers(self._path):
                raise OSError(f"another process serves {self._path}: stop that one first")
            self._path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.bind(str(self._path))
            self._path.chmod(0o666)
            found = self._path.stat()
        except OSError as why:
            sock.close()
            raise OSError(f"{self._path}: {why.strerror or why}") from why
        self._inode = found.st_dev, found.st_ino
        return sock

    async def stop(self) -> None:
        """End every connection and remove the socket; idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._inode is not None:
            try:
                found = self._path.lstat()
                if (found.st_dev, found.st_ino) == self._inode:
                    self._path.unlink()
            except OSError as why:
                _log.debug("%s is gone already: %s", self._path, why)
            self._inode = None

    # ------------------------------------------------ connections
    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = self._service.doorkeeper.who(writer.get_extra_info("socket"))
        except OSError as why:
            _log.warning("a connection without a peer: %s", why)
            writer.transport.abort()
            return
        key = peer.uid if peer.access is not Access.NOBODY else -1
        limits = self._service.limits
        if len(self._tasks) >= 2 * limits.connections:
            writer.transport.abort()
            return
        full = len(self._tasks) >= limits.connections or self._open[key] >= limits.of_one_user
        connection = Connection(self._service, peer, reader, writer)
        self._open[key] += 1
        task = asyncio.get_running_loop().create_task(self._serve(connection, writer, full=full), name="api connection")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, key))

    def _ended(self, task: asyncio.Task[None], key: int) -> None:
        self._tasks.discard(task)
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]
        if not task.cancelled() and (why := task.exception()) is not None:
            _log.error("a connection of the API ended by a defect", exc_info=why)

    async def _serve(self, connection: Connection, writer: asyncio.StreamWriter, *, full: bool) -> None:
        try:
            await (connection.refuse(_too_many()) if full else connection.serve())
            writer.close()
            async with asyncio.timeout(self._service.limits.write_s):
                await writer.wait_closed()
        except (ConnectionError, TimeoutError) as why:
            _log.debug("a connection broke: %s", why)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()


def _too_many() -> Problem:
    return Problem(
        503,
        "too_many_connections",
        "too many connections",
        "End some, or try again in a moment.",
        headers={"Retry-After": "1"},
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(os.fspath(path)) == 0
