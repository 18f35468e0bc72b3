"""One serial line: a raw pty behind a symlink, its bytes paced at the baud rate, and the line's own faults.

A byte takes ten bit times (start, eight data, stop) in either direction. What the daemon writes arrives in
one piece at the pty's master; it is handed to the peer when its last byte would have been on the wire, with
the time of each byte. What the peer sends is written byte by byte against an absolute schedule, so that
lateness of the event loop does not add up.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import select
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw_sim.model.log import PhysicalLog

Received = Callable[[bytes, Sequence[float]], None]
CLOSED_POLL_S = 0.02  # how soon an opening by the daemon is noticed; Linux has no event for it
POUR_RETRY_S = 0.002  # a full pty is tried again after this
SLICE = 16  # received bytes are handed on in pieces of at most this many
BAUDS = {
    1200: termios.B1200, 2400: termios.B2400, 4800: termios.B4800, 9600: termios.B9600, 19200: termios.B19200,
    38400: termios.B38400, 57600: termios.B57600, 115200: termios.B115200,
}  # fmt: skip


@dataclass(slots=True)
class LineFaults:
    """What is wrong with this line. `in` is toward the device, `out` toward the daemon."""

    drop_one_in: int | None = None
    drop_direction: str = "both"
    corrupt_one_in: int | None = None
    corrupt_direction: str = "both"
    late_s: float = 0.0
    repeats: int = 0
    echo: bool = False


@dataclass(slots=True)
class Exchange:
    """The newest request and answer on the line: what an unlock may have had to wait for."""

    request_first: float | None = None
    request_last: float | None = None
    answer_last: float | None = None


@dataclass(slots=True)
class _Outgoing:
    data: bytes
    start: float
    done: Callable[[float], None] | None
    written: int = 0


@dataclass(slots=True)
class Counters:
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: int = 0
    corrupted: int = 0
    lost_while_closed: int = 0
    overrun: int = 0
    collisions: int = 0
    frames: dict[str, int] = field(default_factory=dict)


class Line:
    """A serial line of one device. `received` is called on the loop's thread."""

    def __init__(
        self, name: str, path: Path, baud: int, rng: random.Random, log: PhysicalLog, *,
        half_duplex: bool = False, grain: int = 1,
    ) -> None:  # fmt: skip
        """`grain`: bytes written in one go once the last of them is due (as USB adapters do); 1 is exact."""
        self.name, self.path, self.baud = name, path, baud
        self.faults = LineFaults()
        self.counters = Counters()
        self.exchange = Exchange()
        self.received: Received = lambda data, times: None
        self._rng, self._log = rng, log
        self._half_duplex, self._grain = half_duplex, grain
        self._byte_s = 10.0 / baud
        self._master: int | None = None
        self._reading = False
        self.read_at = 0.0  # when the newest received bytes came out of the pty
        self._peer_open = False
        self._mismatch = False
        self._rx_free_at = self._tx_free_at = 0.0
        self._out: deque[_Outgoing] = deque()
        self._timers: set[asyncio.TimerHandle] = set()
        self._pump: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ plugging
    @property
    def plugged(self) -> bool:
        return self._master is not None

    @property
    def peer_open(self) -> bool:
        """Whether somebody has opened the port."""
        return self._peer_open

    def plug(self) -> None:
        """Make the pty and its symlink; idempotent. Raises OSError where something else is in the path."""
        if self._master is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_symlink():
            self.path.unlink()
        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self._set_speed(slave)
            os.symlink(os.ttyname(slave), self.path)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)  # from now on a hang-up at the master says that nobody has the port open
        os.set_blocking(master, False)
        self._master = master
        self._peer_open = False
        self._watch_for_opening()

    def _set_speed(self, slave: int) -> None:
        """Whoever opens the port without setting a speed gets the right one."""
        if self.baud in BAUDS:
            mode = termios.tcgetattr(slave)
            mode[4] = mode[5] = BAUDS[self.baud]
            termios.tcsetattr(slave, termios.TCSANOW, mode)

    def unplug(self) -> None:
        """Close the pty and remove the symlink: an opened port hangs up, as a pulled USB adapter does."""
        if self._master is None:
            return
        loop = asyncio.get_running_loop()
        if self._reading:
            loop.remove_reader(self._master)
            self._reading = False
        for timer in (*self._timers, *([self._pump] if self._pump else [])):
            timer.cancel()
        self._timers.clear()
        self._pump = None
        self._out.clear()
        self._rx_free_at = self._tx_free_at = 0.0
        if self.path.is_symlink():
            self.path.unlink()
        os.close(self._master)
        self._master = None
        self._peer_open = False

    # ------------------------------------------------------------ from the daemon
    def _hung_up(self) -> bool:
        assert self._master is not None
        poll = select.poll()
        poll.register(self._master, select.POLLHUP)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    def _watch_for_opening(self) -> None:
        if self._master is None:
            return
        if self._hung_up():
            self._after(CLOSED_POLL_S, self._watch_for_opening)
            return
        self._peer_open = True
        self._mismatch = False
        self._log.add(time.monotonic(), "port_opened", device=self.name)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        self._reading = True

    def _readable(self) -> None:
        assert self._master is not None
        now = time.monotonic()
        try:
            data = os.read(self._master, 4096)
        except BlockingIOError:
            return
        except OSError as no:
            if no.errno != errno.EIO:
                raise
            asyncio.get_running_loop().remove_reader(self._master)
            self._reading = self._peer_open = False
            self._log.add(now, "port_closed", device=self.name)
            self._watch_for_opening()
            return
        self._arrived(data, now)

    def _arrived(self, data: bytes, now: float) -> None:
        self.counters.bytes_in += len(data)
        start = max(now, self._rx_free_at)
        self._rx_free_at = start + len(data) * self._byte_s
        for at in range(0, len(data), SLICE):
            part = data[at : at + SLICE]
            times = [start + (at + i + 1) * self._byte_s for i in range(len(part))]
            self._after(times[-1] - now, self._deliver, part, times, now)

    def _deliver(self, data: bytes, times: list[float], read_at: float) -> None:
        if self.faults.echo:
            self._queue(data, 0.0, None)
        data, kept = self._spoil(data, times, "in")
        if self._half_duplex and self._transmitting(times[0]):
            self.counters.collisions += 1
            self._log.add(times[-1], "bus_collision", device=self.name, lost=data.hex())
            return
        if data:
            self.read_at = read_at
            self.received(data, kept)

    def _transmitting(self, at: float) -> bool:
        return any(o.start <= at for o in self._out) and not self.faults.echo

    # ------------------------------------------------------------ to the daemon
    def send(
        self, data: bytes, *, delay_s: float = 0.0, done: Callable[[float], None] | None = None,
        paced: bool = True,
    ) -> None:  # fmt: skip
        """Queue bytes; `done(t)` gets the time at which the last one was written into the pty.

        Nothing is written (and `done` not called) while the port is unplugged or not open at the other end.
        `paced=False` writes as fast as the other end reads, for inputs too long to be waited for; faults and
        other sending do not touch it.
        """
        if not paced:
            self._pour(memoryview(data), done)
            return
        for _ in range(1 + self.faults.repeats):
            self._queue(data, delay_s + self.faults.late_s, done)

    def _pour(self, data: memoryview, done: Callable[[float], None] | None) -> None:
        if self._master is None or not self._peer_open or self._hung_up():
            self.counters.lost_while_closed += len(data)
            return
        try:
            written = os.write(self._master, data[:4096])
        except BlockingIOError:
            written = 0
        except OSError:
            self.counters.lost_while_closed += len(data)
            return
        self.counters.bytes_out += written
        if written < len(data):
            self._after(0.0 if written else POUR_RETRY_S, self._pour, data[written:], done)
        elif done is not None:
            done(time.monotonic())

    def _queue(self, data: bytes, delay_s: float, done: Callable[[float], None] | None) -> None:
        if self._master is None:
            self.counters.lost_while_closed += len(data)
            return
        start = max(time.monotonic() + delay_s, self._tx_free_at)
        self._tx_free_at = start + len(data) * self._byte_s
        self._out.append(_Outgoing(data, start, done))
        if self._pump is None:
            self._arm()

    def _arm(self) -> None:
        head = self._out[0]
        upto = min(head.written + self._grain, len(head.data))
        due = head.start + upto * self._byte_s
        loop = asyncio.get_running_loop()
        self._pump = loop.call_at(loop.time() + max(0.0, due - time.monotonic()), self._pumped)

    def _pumped(self) -> None:
        self._pump = None
        now = time.monotonic()
        while self._out:
            head = self._out[0]
            due = min(len(head.data), int((now - head.start) / self._byte_s + 1e-6))
            last = due == len(head.data)
            if due > head.written and (last or due - head.written >= self._grain):
                self._write(head.data[head.written : due])
                head.written = due
            if not last:
                break
            self._out.popleft()
            at = time.monotonic()
            self.exchange.answer_last = at
            if head.done is not None and self._peer_open:
                head.done(at)
        if self._out:
            self._arm()

    def _write(self, data: bytes) -> None:
        if self._master is None or not self._peer_open or self._hung_up():
            self.counters.lost_while_closed += len(data)
            return
        data, _ = self._spoil(data, (), "out")
        try:
            written = os.write(self._master, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self.counters.lost_while_closed += len(data)
            return
        self.counters.bytes_out += written
        self.counters.overrun += len(data) - written  # a UART nobody reads drops bytes, too

    # ------------------------------------------------------------ faults
    def _spoil(self, data: bytes, times: Sequence[float], way: str) -> tuple[bytes, list[float]]:
        """Drop and corrupt as the faults say; a wrong baud rate makes noise of everything."""
        faults, rng = self.faults, self._rng
        drop = faults.drop_one_in if faults.drop_direction in ("both", way) else None
        corrupt = faults.corrupt_one_in if faults.corrupt_direction in ("both", way) else None
        noise = self._wrong_baud()
        out, kept = bytearray(), []
        for i, byte in enumerate(data):
            if drop is not None and rng.randrange(drop) == 0:
                self.counters.dropped += 1
                continue
            if noise or (corrupt is not None and rng.randrange(corrupt) == 0):
                self.counters.corrupted += 1
                byte ^= rng.randrange(1, 256)  # noqa: PLW2901 - the byte as it is after the fault
            out.append(byte)
            if times:
                kept.append(times[i])
        return bytes(out), kept

    def _wrong_baud(self) -> bool:
        """A pty has no bit rate, but the one that was set at its other end can be read."""
        want = BAUDS.get(self.baud)
        if want is None or self._master is None:
            return False
        speed = termios.tcgetattr(self._master)[5]
        wrong = bool(speed != want)
        if wrong and not self._mismatch:
            has = next((b for b, code in BAUDS.items() if code == speed), None)
            self._log.add(time.monotonic(), "wrong_baud", device=self.name, set_to=has, should_be=self.baud)
        self._mismatch = wrong
        return wrong

    def _after(self, delay_s: float, call: Callable[..., None], *args: object) -> None:
        timer: asyncio.TimerHandle

        def run() -> None:
            self._timers.discard(timer)
            call(*args)

        timer = asyncio.get_running_loop().call_later(max(0.0, delay_s), run)
        self._timers.add(timer)
