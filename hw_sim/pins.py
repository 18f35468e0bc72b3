"""A gpiozero pin factory whose lines are the simulator's. Entry point `hw-sim`.

The socket's path comes from the environment variable HW_SIM_GPIO. Handlers are called from a thread of the
factory, as lgpio does, and as with lgpio that thread ends if a handler raises. Reads return the level of the
newest edge without a round trip. While the simulator is away reads raise PinUnreachable; a thread reconnects,
claims the lines again and reports inputs that changed meanwhile as edges.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from gpiozero.compat import frozendict
from gpiozero.exc import (
    BadPinFactory,
    PinError,
    PinFixedPull,
    PinInvalidBounce,
    PinInvalidEdges,
    PinInvalidFunction,
    PinInvalidPull,
    PinPWMUnsupported,
    PinSetInput,
)
from gpiozero.pins import HeaderInfo, PinInfo
from gpiozero.pins.pi import PiBoardInfo, PiFactory, PiPin

SOCKET_ENV = "HW_SIM_GPIO"
LINES = 64  # more than any header has; a chip of a tower may well
REVISION = 0xC03114  # Pi 4B, for those who ask; line numbers are the chip's
ANSWER_S = 5.0
RETRY_S = 0.1


class PinUnreachable(PinError, ConnectionError):  # type: ignore[misc]
    """Error raised when the simulator does not answer."""


class PinBusy(PinError, OSError):  # type: ignore[misc]
    """Error raised when another process has claimed the line."""


def _board() -> Any:
    pins = {
        n + 1: PinInfo(n + 1, f"GPIO{n}", frozenset({f"GPIO{n}", f"BCM{n}", n, str(n)}),
                       "up" if n in (2, 3) else "", n // 2 + 1, n % 2 + 1, frozenset({"gpio"}))
        for n in range(LINES)
    }  # fmt: skip
    header = HeaderInfo("LINES", LINES // 2, 2, frozendict(pins))
    return PiBoardInfo.from_revision(REVISION)._replace(headers=frozendict({"LINES": header}))


_Box = queue.SimpleQueue[dict[str, Any] | None]
_Applied = Callable[[dict[str, Any]], None]


class _Connection:
    """The socket, its reader thread and the answers that somebody waits for."""

    def __init__(self, path: str, edge: Callable[[int, int, float], None], greet: Callable[[], None]) -> None:
        self._path, self._edge, self._greet = path, edge, greet
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[_Box, _Applied | None]] = {}
        self._ids = itertools.count(1)
        self._closing = threading.Event()
        self.up = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="hw-sim-gpio", daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()

    def send(self, request: dict[str, Any]) -> None:
        data = json.dumps(request).encode() + b"\n"
        with self._lock:
            if self._socket is None:
                raise PinUnreachable(f"the simulator does not answer at {self._path}")
            try:
                self._socket.sendall(data)
            except OSError as no:
                raise PinUnreachable(f"the simulator hung up at {self._path}: {no.strerror}") from no

    def ask(self, request: dict[str, Any], applied: _Applied | None = None) -> None:
        """Send and wait for the answer. Never called from the reader thread.

        `applied` gets a good answer on the reader thread, so before any edge that came after it.
        """
        id = next(self._ids)
        box: _Box = queue.SimpleQueue()
        self._waiting[id] = (box, applied)
        try:
            self.send({**request, "id": id})
            answer = box.get(timeout=ANSWER_S)
        except queue.Empty:
            answer = None
        finally:
            self._waiting.pop(id, None)
        if answer is None:
            raise PinUnreachable(f"the simulator does not answer at {self._path}")
        if answer.get("error") == "busy":
            raise PinBusy(f"GPIO{request['pin']} is claimed by another process")
        if not answer.get("ok"):
            raise PinInvalidFunction(str(answer.get("error")))

    def _run(self) -> None:
        while not self._closing.is_set():
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                link.connect(self._path)
            except OSError:
                link.close()
                self._closing.wait(RETRY_S)
                continue
            with self._lock:
                self._socket = link
                if self._closing.is_set():
                    link.close()
                    self._socket = None
                    return
            greeter = threading.Thread(target=self._hello, name="hw-sim-claims", daemon=True)
            greeter.start()
            self._read(link)
            self.up.clear()
            with self._lock:
                self._socket = None
            link.close()
            for box, _ in list(self._waiting.values()):
                box.put(None)
            greeter.join()

    def _hello(self) -> None:
        with contextlib.suppress(PinError):  # it hung up again: the next connection greets anew
            self._greet()
            self.up.set()

    def _read(self, link: socket.socket) -> None:
        data = b""
        while True:
            try:
                more = link.recv(65536)
            except OSError:
                return
            if not more:
                return
            *lines, data = (data + more).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "edge" in message:
                    self._edge(message["edge"], message["level"], message["t"])
                elif (waiter := self._waiting.get(message.get("id"))) is not None:
                    box, applied = waiter
                    if applied is not None and message.get("ok"):
                        applied(message)
                    box.put(message)


class SimFactory(PiFactory):  # type: ignore[misc]
    """Pins of the simulated chip. `chip` is accepted for the site file's sake and has no meaning here."""

    def __init__(self, chip: int | None = None, path: str | None = None) -> None:
        super().__init__()
        where = path or os.environ.get(SOCKET_ENV)
        if not where:
            raise BadPinFactory(f"{SOCKET_ENV} is not set; it names the simulator's gpio.sock")
        self.pin_class = SimPin
        self.chip = chip
        self._board = _board()
        self._by_number: dict[int, SimPin] = {}
        self._edges: queue.SimpleQueue[tuple[SimPin, int, float] | None] = queue.SimpleQueue()
        self._caller = threading.Thread(target=self._call_handlers, name="hw-sim-edges", daemon=True)
        self._caller.start()
        self._closed = False
        self.link = _Connection(where, self._edge, self._claim_again)
        self.link.up.wait(1.0)

    def close(self) -> None:
        """Free every line (outputs float) and end the threads; idempotent."""
        if self._closed:
            return
        super().close()
        self._closed = True
        self.link.close()
        self._edges.put(None)
        if threading.current_thread() is not self._caller:
            self._caller.join()

    def _get_board_info(self) -> Any:
        return self._board

    def _get_revision(self) -> int:
        return REVISION

    @staticmethod
    def ticks() -> float:
        """CLOCK_MONOTONIC seconds, the clock of the simulator's edges."""
        return time.monotonic()

    @staticmethod
    def ticks_diff(later: float, earlier: float) -> float:
        return later - earlier

    # ------------------------------------------------------------ from the connection's threads
    def listen(self, pin: SimPin, on: bool) -> None:
        """Whether edges of this line are this pin's."""
        if on:
            self._by_number[pin.line] = pin
        else:
            self._by_number.pop(pin.line, None)

    def _edge(self, number: int, level: int, t: float) -> None:
        pin = self._by_number.get(number)
        if pin is not None and pin.sensed(level):
            self._edges.put((pin, level, t))

    def _claim_again(self) -> None:
        for pin in list(self._by_number.values()):
            before = pin.level
            after = pin.claim()
            if pin.function == "input" and after != before:
                self._edges.put((pin, after, self.ticks()))

    def _call_handlers(self) -> None:
        while (item := self._edges.get()) is not None:
            pin, level, t = item
            pin.fire(t, level)


class SimPin(PiPin):  # type: ignore[misc]
    """One line of the chip."""

    def __init__(self, factory: SimFactory, info: Any) -> None:
        super().__init__(factory, info)
        self.line = int(info.name[4:])
        self.level = 0
        self._mode = "input"
        self._pull_to: str = info.pull or "floating"
        self._edge_kind = "both"
        self._fresh = False
        try:
            self.claim()
        except PinError:
            factory.listen(self, False)
            raise

    def close(self) -> None:
        """Stop driving and listening; the line floats."""
        self.when_changed = None
        self._mode = "input"
        with contextlib.suppress(PinUnreachable):  # hung up: the simulator has freed it already
            self._factory.link.send({"op": "free", "pin": self.line})
        self._factory.listen(self, False)

    def claim(self) -> int:
        """Claim the line as it is configured; returns its level. Raises PinUnreachable, PinBusy."""
        request: dict[str, Any] = {"op": "claim", "pin": self.line, "function": self._mode}
        request |= {"level": self.level} if self._mode == "output" else {"pull": self._pull_to}
        self._factory.listen(self, True)  # before the answer: an edge may follow at its heels
        self._factory.link.ask(request, self._claimed)
        return self.level

    def _claimed(self, answer: dict[str, Any]) -> None:
        self.level = int(answer["level"])

    def sensed(self, level: int) -> bool:
        """Take a level from the wire; says whether a handler wants to know."""
        self.level = level
        return self._edge_kind in ("both", "rising" if level else "falling")

    def fire(self, t: float, level: int) -> None:
        """Call the handler, if there is one. Its exceptions are its own."""
        if self._when_changed is not None:
            self._call_when_changed(t, level)

    # ------------------------------------------------------------ gpiozero's side
    def output_with_state(self, state: float) -> None:
        """Become an output at once at this level, without a blip."""
        self._mode, self.level = "output", int(bool(state))
        self.claim()

    def input_with_pull(self, pull: str) -> None:
        self._check_pull(pull)
        self._mode, self._pull_to = "input", pull
        self.claim()

    def _get_function(self) -> str:
        return self._mode

    def _set_function(self, value: str) -> None:
        if value not in ("input", "output"):
            raise PinInvalidFunction(f'invalid function "{value}" for pin {self!r}')
        self._mode = value
        self.level = 0
        self.claim()

    def _get_state(self) -> int:
        if not self._factory.link.up.is_set():
            raise PinUnreachable(f"{self!r}: the simulator does not answer")
        return self.level

    def _set_state(self, value: float) -> None:
        if self._mode != "output":
            raise PinSetInput(f"cannot set state of pin {self!r}")
        level = int(bool(value))
        self._factory.link.send({"op": "write", "pin": self.line, "level": level})
        self.level = level

    def _get_pull(self) -> str:
        return self._pull_to

    def _check_pull(self, pull: str) -> None:
        if pull not in ("up", "down", "floating"):
            raise PinInvalidPull(f'invalid pull "{pull}" for pin {self!r}')
        if self.info.pull and pull != self.info.pull:
            raise PinFixedPull(f"{self!r} has a physical pull-{self.info.pull} resistor")

    def _set_pull(self, value: str) -> None:
        if self._mode != "input":
            raise PinFixedPull(f"cannot set pull on non-input pin {self!r}")
        self._check_pull(value)
        self._pull_to = value
        self.claim()

    def _get_frequency(self) -> None:
        return None

    def _set_frequency(self, value: float | None) -> None:
        if value is not None:
            raise PinPWMUnsupported(f"PWM is not supported on pin {self!r}")

    def _get_bounce(self) -> None:
        return None

    def _set_bounce(self, value: float | None) -> None:
        if value:
            raise PinInvalidBounce(f"{self!r} does not debounce; that is the daemon's")

    def _get_edges(self) -> str:
        return self._edge_kind

    def _set_edges(self, value: str) -> None:
        if value not in ("none", "falling", "rising", "both"):
            raise PinInvalidEdges(f'invalid edges "{value}" for pin {self!r}')
        self._edge_kind = value

    def _enable_event_detect(self) -> None:
        """Edges of claimed inputs always come."""

    def _disable_event_detect(self) -> None:
        """Edges without a handler are dropped here."""
