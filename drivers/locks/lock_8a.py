"""Driver `lock-8a`: boards of the "8A" family on one RS-485 bus. Facts and their sources: see the codec.

Polarity belongs to the lock, not to the board: a lock whose feedback is "short when locked" reads 11 when
closed, the other kind reads 00. `closed_is` names the common kind of a site, `inverted` the channels that
differ.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drivers.locks import eight_a
from drivers.locks.bus import Answered, BusPlan, LockBus, States
from drivers.options import Options, Port, no_doubles
from drivers.ports import Device, Driver, Sense, SerialSettings, Surroundings

Address = Annotated[int, Field(strict=True, ge=eight_a.MIN_ADDRESS, le=eight_a.MAX_ADDRESS)]


class Lock8AOptions(Options):
    """Lock boards of the "8A" family.

    Channel = (position of the board in `addresses`) * locks_per_board + lock, from 1.
    """

    port: Port
    baud: int = Field(9600, ge=1200, le=230400, description="Speed of the bus.")
    addresses: tuple[Address, ...] = Field(
        (1,),
        min_length=1,
        description="Addresses of the boards as set by their DIP switches, 1 to 31, in order.",
    )
    locks_per_board: int = Field(8, strict=True, ge=1, le=eight_a.MAX_LOCK, description="Locks that each board has.")
    closed_is: Literal["11", "00"] = Field("11", description="The status that a closed (or locked) lock gives.")
    inverted: tuple[int, ...] = Field((), description="Channels whose status means the opposite of `closed_is`.")
    feedback: Literal["door", "bolt"] = Field(
        "door", description="What the locks' feedback senses: the door (open) or the bolt (locked)."
    )
    poll_hz: float = Field(2.0, gt=0, le=50, description="Queries of each board a second while nobody is there.")
    poll_busy_hz: float = Field(
        10.0,
        gt=0,
        le=50,
        description="Queries of each board a second while somebody is there or it was unlocked.",
    )
    reply_timeout_ms: int = Field(200, ge=20, le=5000, description="How long a board may take to answer.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        no_doubles("address", self.addresses)
        no_doubles("inverted channel", self.inverted)
        last = len(self.addresses) * self.locks_per_board
        for channel in self.inverted:
            if not 1 <= channel <= last:
                raise ValueError(f"inverted channel {channel} does not exist: channels are 1 to {last}")
        if self.poll_busy_hz < self.poll_hz:
            raise ValueError(f"poll_busy_hz must not be below poll_hz ({self.poll_hz:g})")
        return self


class _Family:
    """The codec in the bus's terms."""

    answers_unlock = True

    def __init__(self, locks: int) -> None:
        self._decoder = eight_a.Decoder(eight_a.status_bytes(locks))

    def query(self, address: int) -> bytes:
        return eight_a.encode(eight_a.QueryAll(address))

    def unlock(self, address: int, lock: int) -> bytes:
        return eight_a.encode(eight_a.OpenOne(address, lock))

    def feed(self, data: bytes) -> list[States | Answered]:
        return [_translated(frame) for frame in self._decoder.feed(data)]

    def reset(self) -> None:
        self._decoder.reset()

    @property
    def corrupt(self) -> int:
        return self._decoder.corrupt

    @property
    def echoes(self) -> int:
        return self._decoder.echoes


def _translated(frame: eight_a.Frame) -> States | Answered:
    match frame:
        case eight_a.AllStates(address, eleven):
            return States(address, eleven)
        case eight_a.OneState(address, lock, state):
            return States(address, (state,), only=lock)
        case eight_a.Opened(address, lock, state):
            return Answered(address, lock, as_sent=state)


def _make(name: str, options: Lock8AOptions, around: Surroundings) -> Device:
    closed_bit, inverted = options.closed_is == "11", frozenset(options.inverted)
    plan = BusPlan(
        settings=SerialSettings(options.port, options.baud),
        addresses=options.addresses,
        locks=options.locks_per_board,
        sense=Sense(options.feedback),
        poll_hz=options.poll_hz,
        poll_busy_hz=options.poll_busy_hz,
        reply_timeout_s=options.reply_timeout_ms / 1000,
        closed=lambda channel, bit: (bit == closed_bit) != (channel in inverted),
    )
    return LockBus(name, plan, _Family(options.locks_per_board), around)


def _channels(options: Lock8AOptions) -> range:
    return range(1, len(options.addresses) * options.locks_per_board + 1)


DRIVER = Driver(
    name="lock-8a",
    options=Lock8AOptions,
    make=_make,
    senses=frozenset({Sense.DOOR, Sense.BOLT}),
    roles=frozenset({"lock", "door", "bolt"}),
    channels=_channels,
)
