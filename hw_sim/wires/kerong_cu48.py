"""KERONG CU48 lock boards, the board's side. 19200 8N1, `02 ADDR LOCK CMD 03 SUM` (vendor PDF V2.1).

SUM is the low byte of the sum of all bytes before it. CMD 50 asks, answered by `02 ADDR 00 65 D0..D5 03 SUM`,
lock 1 in bit 0 of D0; CMD 51 unlocks and is not answered. Addresses 00-09, locks 00-2F; lock 30 means every
lock of the board, address 0A every board of the bus.

Ours: an answer begins 3 ms after the request; the pulse is 500 ms; boards asked together answer one after the
other in the order of their addresses; an unlock to address 0A opens everything, whatever lock it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.bank import Bank, log_fields
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line

LOCKS = 48
ALL_LOCKS, ALL_BOARDS = 0x30, 0x0A
STATUS, UNLOCK, STATUS_ANSWER = 0x50, 0x51, 0x65


def summed(data: bytes) -> bytes:
    """The data with its sum."""
    return data + bytes([sum(data) & 0xFF])


@dataclass(slots=True)
class CU48Options:
    addresses: tuple[int, ...] = (0,)
    locked_bit: int = 1
    answer_s: float = 0.003
    pulse_s: float = 0.5


@dataclass(slots=True)
class BoardsCU48:
    """All boards of one bus."""

    line: Line
    bank: Bank
    options: CU48Options
    log: PhysicalLog
    answers: bool = True
    _framer: Framer = field(init=False)

    def __post_init__(self) -> None:
        self._framer = Framer(lambda f: 6 if f[0] == 0x02 else 0, _valid, self.act, self._rejected)
        self.line.received = self._framer.feed

    def _rejected(self, data: bytes, t: float) -> None:
        self.log.add(t, "bad_bytes", device=self.line.name, data=data.hex(" "))

    def act(self, frame: Frame) -> None:
        """Obey one frame, as the boards of this bus would."""
        exchange = self.line.exchange
        before = {"request_first": exchange.request_first, "request_last": exchange.request_last,
                  "answer_last": exchange.answer_last}  # fmt: skip
        exchange.request_first, exchange.request_last = frame.t_first, frame.t_last
        address, command = frame.data[1], frame.data[3]
        counts = self.line.counters.frames
        if address == ALL_BOARDS:
            boards = sorted(self.options.addresses)
        elif address in self.options.addresses:
            boards = [address]
        else:
            counts["other_address"] = counts.get("other_address", 0) + 1
            return
        if command == STATUS:
            counts["status"] = counts.get("status", 0) + 1
            if self.answers:
                for board in boards:
                    self.line.send(self.status(board), delay_s=self.options.answer_s)
        elif command == UNLOCK:
            self._unlock(boards, frame, log_fields(self.line, frame, before))
        else:
            self.log.add(frame.t_last, "unknown_frame", device=self.line.name, frame=frame.data.hex(" "))

    def _unlock(self, boards: list[int], frame: Frame, fields: dict[str, object]) -> None:
        address, lock = frame.data[1], frame.data[2]
        if lock >= ALL_LOCKS or address == ALL_BOARDS:
            if lock > ALL_LOCKS:
                self.log.add(frame.t_last, "unknown_lock", address=address, lock=lock, **fields)
                return
            self.log.add(frame.t_last, "opened_all", address=address, **fields)
            for board in boards:
                for each in range(LOCKS):
                    self.bank.pulse(self._channel(board, each), self.options.pulse_s)
            return
        channel = self._channel(address, lock)
        self.log.add(frame.t_last, "unlock_frame", address=address, lock=lock, channel=channel, **fields)
        self.bank.pulse(channel, self.options.pulse_s)

    def _channel(self, address: int, lock: int) -> int:
        return self.options.addresses.index(address) * LOCKS + lock + 1

    def status(self, address: int) -> bytes:
        """The answer of one board to a status request."""
        bits = 0
        for lock in range(LOCKS):
            if self.bank.closed(self._channel(address, lock)) == bool(self.options.locked_bit):
                bits |= 1 << lock
        return summed(bytes([0x02, address, 0, STATUS_ANSWER]) + bits.to_bytes(6, "little") + b"\x03")


def _valid(frame: bytes) -> bool:
    return frame[4] == 0x03 and summed(frame[:-1]) == frame
