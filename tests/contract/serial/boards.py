"""Lock boards at the far end of a cable. They know the protocols, and nothing of the code under test."""

from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Any, ClassVar

from tests.contract.serial.cables import Cable


class Boards:
    """What the boards of both families have in common: locks that stay open once unlocked."""

    driver: str
    locks: int
    options: ClassVar[dict[str, Any]]
    frame_length: int

    def __init__(self, cable: Cable, addresses: list[int]) -> None:
        self.cable = cable
        self.addresses = addresses
        self.closed = {address: [True] * self.locks for address in addresses}
        self.unlocked: list[int] = []  # channels, in the order in which pulses were given
        self.strange: list[bytes] = []  # what no board of the family understands
        self.silent: set[int] = set()
        self.noise = b""  # sent before each reply
        self.drop = 0  # replies that lose their third byte
        self.heard: Callable[[], None] = lambda: None
        self._partial = b""
        cable.on_bytes = self._take

    def channel(self, address: int, lock: int) -> int:
        return self.addresses.index(address) * self.locks + lock

    def reply(self, data: bytes) -> None:
        if self.drop:
            self.drop -= 1
            data = data[:2] + data[3:]
        self.cable.send(self.noise + data)

    def unlock(self, address: int, lock: int) -> None:
        """As the hardware would: 0 or a number beyond the last is everything."""
        locks = [lock] if 1 <= lock <= self.locks else range(1, self.locks + 1)
        for one in locks:
            self.closed[address][one - 1] = False
            self.unlocked.append(self.channel(address, one))

    def _take(self, data: bytes) -> None:
        self._partial += data
        while len(self._partial) >= self.frame_length:
            frame, self._partial = self._partial[: self.frame_length], self._partial[self.frame_length :]
            self.command(frame)
        self.heard()

    def command(self, frame: bytes) -> None:
        raise NotImplementedError


class EightA(Boards):
    """`8A`/`80 addr lock code bcc`; a closed lock is 11."""

    driver, locks, frame_length = "lock-8a", 8, 5
    options: ClassVar[dict[str, Any]] = {"addresses": [1, 2]}

    def command(self, frame: bytes) -> None:
        head, address, lock, code, _ = frame
        if reduce(xor, frame) != 0 or (head, code) not in ((0x8A, 0x11), (0x80, 0x33)):
            self.strange.append(frame)
            return
        if address not in self.closed:
            return
        if head == 0x8A:
            self.unlock(address, lock)
            answer = bytes([0x8A, address, lock, 0x00])
        elif lock == 0:
            bits = sum(closed << n for n, closed in enumerate(self.closed[address]))
            answer = bytes([0x80, address, 0, 0, bits, 0x33])
        else:
            answer = bytes([0x80, address, lock, 0x11 if self.closed[address][lock - 1] else 0x00])
        if address not in self.silent:
            self.reply(answer + bytes([reduce(xor, answer)]))


class Cu48(Boards):
    """`02 addr lock cmd 03 sum`; a locked lock is 1."""

    driver, locks, frame_length = "kerong-cu48", 48, 6
    options: ClassVar[dict[str, Any]] = {"addresses": [0, 1]}

    def command(self, frame: bytes) -> None:
        stx, address, lock, code, etx, total = frame
        if (stx, etx, total) != (0x02, 0x03, sum(frame[:5]) & 0xFF) or code not in (0x50, 0x51):
            self.strange.append(frame)
            return
        for board in self.addresses if address == 0x0A else [address]:
            if board in self.closed:
                self.one(board, lock, code)

    def one(self, address: int, lock: int, code: int) -> None:
        if code == 0x51:
            self.unlock(address, lock + 1)
            return
        status = bytearray(6)
        for n, closed in enumerate(self.closed[address]):
            status[n // 8] |= closed << n % 8
        body = bytes([0x02, address, 0x00, 0x65, *status, 0x03])
        if address not in self.silent:
            self.reply(body + bytes([sum(body) & 0xFF]))
