"""Driver `serial-keypad`: a keypad on a serial port that sends one character for each key (see the codec).

Digits wait here until the enter key, and are forgotten when nobody goes on typing or the link is lost: a PIN
that one person has begun is never completed by the next.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Self

from pydantic import Field, model_validator

from drivers.link import Link, Statuses
from drivers.options import Options, Port
from drivers.ports import (
    ByteWire,
    Device,
    DigitsEntered,
    Driver,
    KeyPressed,
    SerialSettings,
    Sink,
    Surroundings,
)
from drivers.readers.keys import Entry, KeypadDecoder

KeyCharacter = Annotated[str, Field(min_length=1, max_length=1, pattern=r"^[!-/:-~]$")]


class SerialKeypadOptions(Options):
    """A keypad with the keys 0 to 9 and some more, one character each."""

    port: Port
    baud: int = Field(9600, ge=1200, le=921600, description="Speed of the port.")
    enter: KeyCharacter = Field("#", description="Character of the key that closes an entry; no digit.")
    clear: KeyCharacter = Field("*", description="Character of the key that clears an entry; no digit.")
    return_key: KeyCharacter | Annotated[str, Field(max_length=0)] = Field(
        "A", description="Character of the key that starts a return; empty where there is none."
    )
    max_digits: int = Field(12, ge=1, le=64, description="An entry of more digits is cleared, not told.")
    forget_s: float = Field(15.0, gt=0, le=300, description="Digits are forgotten this long after the last key.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({self.enter, self.clear, self.return_key}) < 3:
            raise ValueError("enter, clear and return_key must be three different characters")
        return self


class SerialKeypad:
    """Device of one keypad."""

    def __init__(self, name: str, options: SerialKeypadOptions, around: Surroundings) -> None:
        self.name = name
        self._clock = around.clock
        self._forget_s = options.forget_s
        self._decoder = KeypadDecoder(
            enter=options.enter,
            clear=options.clear,
            return_key=options.return_key,
            max_digits=options.max_digits,
        )
        wire = around.serial(SerialSettings(options.port, options.baud))
        self._link = Link(name, wire, around.clock, around.random)
        self._statuses = Statuses(name, {options.port: (1,)})

    async def run(self, sink: Sink) -> None:
        await self._link.run(
            lambda wire: self._serve(wire, sink), lambda detail: self._statuses.tell(sink, False, detail)
        )

    async def _serve(self, wire: ByteWire, sink: Sink) -> None:
        self._statuses.tell(sink, True, "")
        try:
            while True:
                try:
                    async with asyncio.timeout(self._forget_s if self._decoder.pending else None):
                        data = await wire.read()
                except TimeoutError:
                    self._decoder.forget()
                    continue
                at_mono = self._clock.monotonic()
                for found in self._decoder.feed(data):
                    if isinstance(found, Entry):
                        sink(DigitsEntered(self.name, found.digits, at_mono))
                    else:
                        sink(KeyPressed(self.name, found.value, at_mono))
        finally:
            self._decoder.forget()


def _make(name: str, options: SerialKeypadOptions, around: Surroundings) -> Device:
    return SerialKeypad(name, options, around)


DRIVER = Driver(name="serial-keypad", options=SerialKeypadOptions, make=_make, roles=frozenset({"keypad"}))
