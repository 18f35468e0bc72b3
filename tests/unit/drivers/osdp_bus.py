"""A control panel and a simulated reader with nothing but memory between them; whoever listens may meddle."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

from drivers.readers.osdp_panel import Heard, Panel
from hw_sim.wires.frames import Framer
from hw_sim.wires.osdp import MARK_SENT, Reader, ReaderOptions, packet_length, packet_valid

KEY = bytes.fromhex("6b0c1f4de29a83b75508c4d1f7e6a239")
HANG_S = 20.0
Meddle = Callable[[bytes], Iterable[bytes]]


def whole(answer: bytes) -> list[bytes]:
    return [answer]


class Bus:
    """libosdp reads the time itself, so this runs in real time; its steps are as close as it can use them."""

    def __init__(self, options: ReaderOptions | None = None, key: bytes = KEY, *, install: bool = False) -> None:
        self.reader = Reader(0, options or ReaderOptions(key=KEY), random.Random(1))
        self.panel = Panel([0], [key], 9600, time.monotonic(), install=install)
        self.heard: list[Heard] = []
        self.asked: list[bytes] = []
        self.answers: list[bytes] = []
        self.meddle: Meddle = whole
        self._waiting: list[bytes] = []
        self._framer = Framer(packet_length, packet_valid, lambda frame: self._ask(frame.data), lambda data, t: None)

    def _ask(self, command: bytes) -> None:
        self.asked.append(command)
        answer = self.reader.handle(command, time.monotonic())
        if answer is not None:
            self.answers.append(answer)
            self._waiting += self.meddle(MARK_SENT + answer)

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + HANG_S
        while not holds():
            now = time.monotonic()
            assert now < end, "it never came so"
            out, heard = self.panel.step(now)
            self.heard += heard
            self._framer.feed(out, [now] * len(out))
            for part in self._waiting:
                self.panel.receive(part, now)
            self._waiting.clear()
            time.sleep(0.002)

    def up(self) -> None:
        """Until the secure channel stands and the reader has nothing old to tell."""
        self.until(lambda: self.panel.up(0, time.monotonic()))
        self.polls(3)

    def polls(self, n: int) -> None:
        """Until the reader has been asked so many times more."""
        target = len(self.asked) + n
        self.until(lambda: len(self.asked) >= target)
