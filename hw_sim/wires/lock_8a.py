"""Lock boards of the "8A" family, the board's side. 9600 8N1, BCC = XOR of all bytes before it.

From the vendors' sheets: `8A addr lock 11 bcc` opens, answered by `8A addr lock state bcc`; `80 addr lock 33
bcc` asks, answered by `80 addr lock state bcc`; `80 addr 00 33 bcc` asks for all, answered by `80 addr S.. 33
bcc` with the highest group of 8 first and bit 0 the lowest lock; `90 addr S.. bcc` opens several. Lock 00 of
the open command opens everything. Addresses 1-31 by DIP switch, locks from 1.

Ours, because the sheets are silent: an answer begins 3 ms after the request; the pulse is 500 ms; an 8-lock
board answers with 3 status bytes as the sheet's example does, a larger one with as many as it has groups,
never fewer than 3; `90` is not answered; push frames (`81`) are sent only where a scenario asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.bank import Bank, log_fields
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line

OPEN, STATUS, OPEN_SEVERAL = 0x8A, 0x80, 0x90


def bcc(data: bytes) -> bytes:
    """The data with its block check character."""
    return data + bytes([reduce(xor, data, 0)])


@dataclass(slots=True)
class Board8AOptions:
    addresses: tuple[int, ...] = (1,)
    locks_per_board: int = 8
    closed_is_11: bool = True
    inverted: frozenset[int] = frozenset()  # channels whose polarity is the other one
    answer_s: float = 0.003
    pulse_s: float = 0.5
    push: int | None = None  # first byte of push frames, 0x81 or 0x82

    @property
    def groups(self) -> int:
        return max(3, (self.locks_per_board + 7) // 8)


@dataclass(slots=True)
class Boards8A:
    """All boards of one bus."""

    line: Line
    bank: Bank
    options: Board8AOptions
    log: PhysicalLog
    answers: bool = True  # False: unlocks are obeyed, nothing is ever said
    _framer: Framer = field(init=False)
    _pushed: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._framer = Framer(self._length, lambda f: bcc(f[:-1]) == f, self.act, self._rejected)
        self.line.received = self._framer.feed

    def _length(self, start: bytes) -> int:
        if start[0] in (OPEN, STATUS):
            return 5
        return 3 + self.options.groups if start[0] == OPEN_SEVERAL else 0

    def _rejected(self, data: bytes, t: float) -> None:
        self.log.add(t, "bad_bytes", device=self.line.name, data=data.hex(" "))

    # ------------------------------------------------------------ requests
    def act(self, frame: Frame) -> None:
        """Obey one frame, as the board with its address would."""
        exchange = self.line.exchange
        before = {"request_first": exchange.request_first, "request_last": exchange.request_last,
                  "answer_last": exchange.answer_last}  # fmt: skip
        exchange.request_first, exchange.request_last = frame.t_first, frame.t_last
        head, address = frame.data[0], frame.data[1]
        counts = self.line.counters.frames
        if address not in self.options.addresses:
            counts["other_address"] = counts.get("other_address", 0) + 1
            return
        if head == STATUS and frame.data[3] == 0x33:
            counts["status"] = counts.get("status", 0) + 1
            self._status(address, frame.data[2])
        elif head == OPEN and frame.data[3] == 0x11:
            self._open(address, frame, before)
        elif head == OPEN_SEVERAL:
            locks = self._several(frame.data[2:-1])
            self.log.add(frame.t_last, "unlock_frame", locks=locks, address=address,
                         **log_fields(self.line, frame, before))  # fmt: skip
            for lock in locks:
                self.bank.pulse(self._channel(address, lock), self.options.pulse_s)
        else:
            self.log.add(frame.t_last, "unknown_frame", device=self.line.name, frame=frame.data.hex(" "))

    def _open(self, address: int, frame: Frame, before: dict[str, float | None]) -> None:
        lock = frame.data[2]
        fields = log_fields(self.line, frame, before)
        if lock == 0:
            self.log.add(frame.t_last, "opened_all", address=address, **fields)
            for each in range(1, self.options.locks_per_board + 1):
                self.bank.pulse(self._channel(address, each), self.options.pulse_s)
            return
        if lock > self.options.locks_per_board:
            self.log.add(frame.t_last, "unknown_lock", address=address, lock=lock, **fields)
            return
        channel = self._channel(address, lock)
        self.log.add(frame.t_last, "unlock_frame", address=address, lock=lock, channel=channel, **fields)
        self.bank.pulse(channel, self.options.pulse_s)
        self._say(bytes([OPEN, address, lock, self.state(channel)]))

    def _status(self, address: int, lock: int) -> None:
        if lock == 0:
            bits = bytearray(self.options.groups)
            for each in range(1, self.options.locks_per_board + 1):
                if self.state(self._channel(address, each)) == 0x11:
                    bits[-1 - (each - 1) // 8] |= 1 << (each - 1) % 8
            self._say(bytes([STATUS, address]) + bytes(bits) + b"\x33")
        elif lock <= self.options.locks_per_board:
            self._say(bytes([STATUS, address, lock, self.state(self._channel(address, lock))]))

    def _several(self, groups: bytes) -> list[int]:
        """Lock numbers of a bit map whose highest group comes first."""
        return [8 * g + bit + 1 for g, byte in enumerate(reversed(groups)) for bit in range(8)
                if byte >> bit & 1 and 8 * g + bit < self.options.locks_per_board]  # fmt: skip

    # ------------------------------------------------------------ answers
    def _channel(self, address: int, lock: int) -> int:
        return self.options.addresses.index(address) * self.options.locks_per_board + lock

    def state(self, channel: int) -> int:
        """00 or 11, by the polarity of this lock."""
        closed_11 = self.options.closed_is_11 != (channel in self.options.inverted)
        return 0x11 if self.bank.closed(channel) == closed_11 else 0x00

    def _say(self, data: bytes) -> None:
        if self.answers:
            self.line.send(bcc(data), delay_s=self.options.answer_s)

    def changed(self) -> None:
        """Called after every change of the world: boards that push say which lock changed."""
        if self.options.push is None or not self.line.plugged:
            return
        for address in self.options.addresses:
            for lock in range(1, self.options.locks_per_board + 1):
                channel = self._channel(address, lock)
                state = self.state(channel)
                if self._pushed.get(channel, state) != state:
                    self._say(bytes([self.options.push, address, lock, state]))
                self._pushed[channel] = state
