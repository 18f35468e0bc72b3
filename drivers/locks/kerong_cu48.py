"""Driver `kerong-cu48`: KERONG CU48 lock boards on one RS-485 bus. Facts and their sources: see the codec."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from drivers.locks import cu48
from drivers.locks.bus import Answered, BusPlan, LockBus, States
from drivers.options import Options, Port, no_doubles
from drivers.ports import Device, Driver, Sense, SerialSettings, Surroundings

Address = Annotated[int, Field(strict=True, ge=cu48.MIN_ADDRESS, le=cu48.MAX_ADDRESS)]


class Cu48Options(Options):
    """KERONG CU48 boards. Channel = (position of the board in `addresses`) * 48 + lock, from 1."""

    port: Port
    baud: int = Field(19200, ge=1200, le=230400, description="Speed of the bus.")
    addresses: tuple[Address, ...] = Field((0,), min_length=1, description="Addresses of the boards, 0 to 9, in order.")
    locked_bit: Annotated[int, Field(strict=True, ge=0, le=1)] = Field(
        1, description="The status bit that means locked (or closed)."
    )
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
        if self.poll_busy_hz < self.poll_hz:
            raise ValueError(f"poll_busy_hz must not be below poll_hz ({self.poll_hz:g})")
        return self


class _Family:
    """The codec in the bus's terms."""

    answers_unlock = False

    def __init__(self) -> None:
        self._decoder = cu48.Decoder()

    def query(self, address: int) -> bytes:
        return cu48.encode(cu48.Status(address))

    def unlock(self, address: int, lock: int) -> bytes:
        return cu48.encode(cu48.Unlock(address, lock))

    def feed(self, data: bytes) -> list[States | Answered]:
        return [States(frame.address, frame.bits) for frame in self._decoder.feed(data)]

    def reset(self) -> None:
        self._decoder.reset()

    @property
    def corrupt(self) -> int:
        return self._decoder.corrupt

    @property
    def echoes(self) -> int:
        return self._decoder.echoes


def _make(name: str, options: Cu48Options, around: Surroundings) -> Device:
    locked_bit = bool(options.locked_bit)
    plan = BusPlan(
        settings=SerialSettings(options.port, options.baud),
        addresses=options.addresses,
        locks=cu48.MAX_LOCK,
        sense=Sense(options.feedback),
        poll_hz=options.poll_hz,
        poll_busy_hz=options.poll_busy_hz,
        reply_timeout_s=options.reply_timeout_ms / 1000,
        closed=lambda _channel, bit: bit == locked_bit,
    )
    return LockBus(name, plan, _Family(), around)


def _channels(options: Cu48Options) -> range:
    return range(1, len(options.addresses) * cu48.MAX_LOCK + 1)


DRIVER = Driver(
    name="kerong-cu48",
    options=Cu48Options,
    make=_make,
    senses=frozenset({Sense.DOOR, Sense.BOLT}),
    roles=frozenset({"lock", "door", "bolt"}),
    channels=_channels,
)
