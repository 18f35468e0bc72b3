"""A serial port (or pty) as a ByteWire on the loop. The only place that knows pyserial, descriptors and
termios.

pyserial opens and configures the port; reading and writing are plain system calls on its non-blocking
descriptor from the loop itself, so that a byte takes no detour through a thread. Every way in which a port
can go away (hang-up, I/O error, end of file) becomes one `WireLost`, after which the wire must be closed and
may be opened again.

Parity other than none, RS-485 mode and hardware flow control are refused or silently dropped by ptys: a
device that needs them cannot be tried on one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import termios
from typing import Any

from drivers.link import WireLostUnwritten
from drivers.ports import ByteWire, SerialOpener, SerialSettings, WireLost, Workers

log = logging.getLogger(__name__)

READ_SIZE = 4096
INBOX_LIMIT = 64 * 1024  # unread bytes; beyond this they stay with the kernel, which drops what is too much
STALL_S = 1.0  # a port that takes no byte for this long is taken for lost
QUIET_S = 0.02  # after opening: what an adapter still had under way is dropped as well


class SerialWire(ByteWire):
    """One serial port."""

    def __init__(self, settings: SerialSettings, workers: Workers | None = None, *, stall_s: float = STALL_S) -> None:
        """With `workers` the port is opened in a thread: a wedged USB adapter can hold open() for seconds."""
        self._settings = settings
        self._workers = workers
        self._stall_s = stall_s
        self._port: Any = None
        self._fd = -1
        self._lost: str | None = None
        self._stalled = False
        self._inbox = bytearray()
        self._paused = False
        self._reader: asyncio.Future[None] | None = None

    # ------------------------------------------------------------ opening and closing
    async def open(self) -> None:
        """Open exclusively and drop whatever arrived before. Raises WireLost with what to check."""
        if self._port is not None:
            raise RuntimeError(f"port {self._settings.port} is open already")
        self._port = await self._opened()
        self._fd = self._port.fileno()
        self._lost = None
        self._stalled = False
        self._inbox.clear()
        self._paused = False
        try:
            self._flush(termios.TCIFLUSH)
            await asyncio.sleep(QUIET_S)
            self._flush(termios.TCIFLUSH)
        except BaseException:
            self.close()
            raise
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    async def _opened(self) -> Any:
        if self._workers is None:
            return _open_port(self._settings)
        opening = asyncio.ensure_future(self._workers.thread(_open_port, self._settings))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def close(self) -> None:
        """Close; a waiting read() gets WireLost. Bytes that a stalled port still holds are thrown away."""
        port, self._port = self._port, None
        if port is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        if self._stalled:  # they must neither leave late nor hold up the closing
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)
        with contextlib.suppress(OSError):
            port.close()
        self._fd = -1
        if self._lost is None:
            self._lost = f"port {self._settings.port} is closed"
        self._wake()

    def _flush(self, queue: int) -> None:
        try:
            termios.tcflush(self._fd, queue)
        except termios.error as exc:
            raise WireLost(_trouble(self._settings.port, exc)) from exc

    # ------------------------------------------------------------ reading
    async def read(self) -> bytes:
        """At least one byte. Safe to cancel: nothing that arrived is lost. One reader at a time."""
        while not self._inbox:
            if self._lost is not None or self._port is None:
                raise WireLost(self._lost or f"port {self._settings.port} is not open")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(self._inbox)
        self._inbox.clear()
        if self._paused and self._lost is None:
            self._paused = False
            asyncio.get_running_loop().add_reader(self._fd, self._readable)
        return data

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._lose(_trouble(self._settings.port, exc))
            return
        if not data:  # readable and empty: the other end hung up
            self._lose(f"port {self._settings.port} hung up: check the cable and the adapter")
            return
        self._inbox += data
        if len(self._inbox) >= INBOX_LIMIT:
            self._paused = True
            asyncio.get_running_loop().remove_reader(self._fd)
        self._wake()

    def _lose(self, detail: str) -> None:
        if self._lost is None:
            self._lost = detail
        asyncio.get_running_loop().remove_reader(self._fd)  # a hung-up descriptor is readable for ever
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # ------------------------------------------------------------ writing
    async def write(self, data: bytes) -> None:
        """Hand over all bytes, the first before any await.

        Raises WireLostUnwritten where none left, WireLost where some may have.
        """
        sent = 0
        while sent < len(data):
            if self._lost is not None or self._port is None:
                raise self._failed(sent, self._lost or f"port {self._settings.port} is not open")
            try:
                sent += os.write(self._fd, data[sent:])
            except (BlockingIOError, InterruptedError):
                await self._room(sent)
            except OSError as exc:
                self._lose(_trouble(self._settings.port, exc))

    async def _room(self, sent: int) -> None:
        """Wait until the port takes bytes again."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        descriptor = self._fd
        loop.add_writer(descriptor, _resolve, room)
        try:
            async with asyncio.timeout(self._stall_s):
                await room
        except TimeoutError as exc:
            self._stalled = True
            detail = f"port {self._settings.port} takes no bytes: unplug the adapter and plug it in again"
            raise self._failed(sent, detail) from exc
        except asyncio.CancelledError:
            self._stalled = True
            raise
        finally:
            if self._fd == descriptor:
                loop.remove_writer(descriptor)

    @staticmethod
    def _failed(sent: int, detail: str) -> WireLost:
        return WireLost(detail) if sent else WireLostUnwritten(detail)


def opener(workers: Workers) -> SerialOpener:
    """How the daemon opens serial ports; goes into `Surroundings.serial`."""

    def open_serial(settings: SerialSettings) -> ByteWire:
        return SerialWire(settings, workers)

    return open_serial


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close_unwanted(opening: asyncio.Future[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _open_port(settings: SerialSettings) -> Any:
    """Blocking. An open pyserial port, exclusive, raw. Raises WireLost."""
    import serial

    try:
        port = serial.Serial(
            settings.port,
            settings.baud,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as exc:  # SerialException is an OSError, termios.error is not
        raise WireLost(_trouble(settings.port, exc)) from exc
    try:
        descriptor = port.fileno()
        attributes = termios.tcgetattr(descriptor)
        attributes[0] &= ~termios.BRKINT  # a break on the line must not empty the queues
        attributes[6][termios.VMIN] = 1  # so that an empty read means hung up, never "nothing yet"
        termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    except (OSError, termios.error) as exc:
        port.close()
        raise WireLost(_trouble(settings.port, exc)) from exc
    return port


def _trouble(port: str, exc: Exception) -> str:
    """What went wrong with a port and what to check, for a technician."""
    number = getattr(exc, "errno", None)
    if number is None and exc.args and isinstance(exc.args[0], int):
        number = exc.args[0]
    match number:
        case errno.ENOENT | errno.ENXIO | errno.ENODEV:
            return f"port {port} is not there: check the cable and the path (ls /dev/serial/by-id)"
        case errno.EACCES | errno.EPERM:
            return f"no permission for port {port}: the daemon's user must be in the port's group (dialout)"
        case errno.EWOULDBLOCK | errno.EBUSY:
            return f"port {port} is in use by another program: stop it (fuser {port} names it)"
        case errno.EIO:
            return f"port {port} went away: check the cable and the adapter"
        case _:
            return f"port {port}: {exc}"
