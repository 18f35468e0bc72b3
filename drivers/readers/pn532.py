"""Driver `pn532`: a PN532 NFC reader on a serial port, as a reader of badges. Facts and their sources: see the
codec.

The chip says nothing unasked. It is asked for a card several times a second, and its field is switched off after
each search: a card that was found once does not answer another search before it has been without power, so that the
answer to a search, once lost, would make it vanish. A card is told once and again only after it
has gone; one that lies there when the link comes up was shown to nobody and is not told. A number that was made
up at random (phones, identity cards) is never told: it is another one next time.

A card's number can be copied onto another card with a device for a few coins: a badge is never the only factor.
"""

from __future__ import annotations

import logging
from collections import deque

from pydantic import Field

from drivers.link import Link, Statuses, noteworthy, read_within
from drivers.options import Options, Port
from drivers.ports import BadgeRead, ByteWire, Device, Driver, DriverError, SerialSettings, Sink, Surroundings
from drivers.readers import pn532_frames as frames
from drivers.readers.pn532_frames import Command

log = logging.getLogger(__name__)

ACK_S = 0.1  # the chip acknowledges within 15 ms, a USB adapter may hold bytes back for as long again
ANSWER_S = 0.3  # a search of two tries takes about 30 ms
TRIES = 5  # of a command: one lost byte in 80 still gets through
REPEATS = 2  # of an answer that arrived broken, or not at all
RETRY_S = 2.0  # between attempts to wake a chip that does not answer

RANDOM_UID = "a card showed a number made up at random (a phone, an identity card): it can never be a badge here"
_RANDOM = b"\x08"  # stands for every random number: they are one card to us


class Pn532Options(Options):
    """A PN532 in its serial mode (HSU)."""

    port: Port
    baud: int = Field(115200, ge=9600, le=921600, description="Speed of the port.")
    poll_ms: int = Field(200, ge=50, le=5000, description="Pause between two searches for a card.")
    gone_ms: int = Field(600, ge=100, le=60000, description="A card unseen for this long has gone.")


class _Trouble(DriverError):
    """The chip does not do what is asked; the message is for technicians."""


class Pn532:
    """Device of one reader."""

    def __init__(self, name: str, options: Pn532Options, around: Surroundings) -> None:
        self.name = name
        self._port = options.port
        self._poll_s = options.poll_ms / 1000
        self._gone_s = options.gone_ms / 1000
        self._clock = around.clock
        self._link = Link(name, around.serial(SerialSettings(options.port, options.baud)), around.clock, around.random)
        self._statuses = Statuses(name, {options.port: (1,)})
        self._decoder = frames.Decoder()
        self._messages: deque[frames.Message | None] = deque()  # None: a frame that arrived broken
        self._present: bytes | None = None
        self._seen_mono = 0.0

    async def run(self, sink: Sink) -> None:
        await self._link.run(
            lambda wire: self._serve(wire, sink), lambda detail: self._statuses.tell(sink, False, detail)
        )

    async def _serve(self, wire: ByteWire, sink: Sink) -> None:
        listening = False  # without a break since the last search
        failed = 0
        while True:
            try:
                await self._wake(wire)
                failed = 0
                self._statuses.tell(sink, True, "")
                if not listening:
                    self._present = await self._search(wire)  # lies there already: shown to nobody
                    self._seen_mono = self._clock.monotonic()
                    listening = True
                await self._watch(wire, sink)
            except _Trouble as exc:
                log.warning("%s: %s", self.name, exc)
                failed += 1
                if failed == 1 and listening:
                    continue  # a moment without power, noise: it is woken once more before anybody is alarmed
                listening = False
                self._statuses.tell(sink, False, str(exc))
                await self._quiet(wire, RETRY_S)

    # ------------------------------------------------------------ cards
    async def _wake(self, wire: ByteWire) -> None:
        await self._ask(wire, Command.SAM, frames.WAKE + frames.normal_mode())
        chip = await self._ask(wire, Command.FIRMWARE, frames.firmware())
        if chip[:1] != bytes([frames.IC_PN532]):
            raise _Trouble(f"what answers on {self._port} is no PN532: check which adapter this port is")
        await self._ask(wire, Command.RF, frames.look_briefly())

    async def _watch(self, wire: ByteWire, sink: Sink) -> None:
        """Search until trouble."""
        while True:
            await self._quiet(wire, self._poll_s)
            card = await self._search(wire)
            now = self._clock.monotonic()
            if card is None:
                if now - self._seen_mono >= self._gone_s:
                    self._present = None
                continue
            self._seen_mono = now
            if card == self._present:
                continue
            self._present = card
            if card == _RANDOM:
                self._statuses.tell(sink, True, RANDOM_UID)
                continue
            self._statuses.tell(sink, True, "")
            sink(BadgeRead(self.name, f"nfc:{card.hex().upper()}", now))

    async def _search(self, wire: ByteWire) -> bytes | None:
        """The card in the field; `_RANDOM` for any with a random number."""
        answer = None
        for _ in range(TRIES):
            answer = await self._try(wire, Command.LIST_TARGETS, frames.list_cards())
            await self._ask(wire, Command.RF, frames.field_off())
            if answer is not None:
                break
        if answer is None:
            raise _Trouble(f"the PN532 on {self._port} does not answer searches: check its wiring")
        try:
            card = frames.read_card(answer)
        except ValueError as exc:
            log.warning("%s: an answer that describes no card: %s", self.name, exc)
            return None
        return _RANDOM if card is not None and frames.is_random(card) else card

    # ------------------------------------------------------------ exchanges
    async def _ask(self, wire: ByteWire, command: Command, frame: bytes) -> bytes:
        """The data of the answer; the command is sent again where none came."""
        for _ in range(TRIES):
            answer = await self._try(wire, command, frame)
            if answer is not None:
                return answer
        raise _Trouble(
            f"the PN532 on {self._port} does not answer: check power, that its switches choose HSU, TX/RX and baud"
        )

    async def _try(self, wire: ByteWire, command: Command, frame: bytes) -> bytes | None:
        """Send it once. None: it, or its answer, was lost."""
        self._decoder.reset()
        self._messages.clear()
        await wire.write(frame)
        acknowledged, repeats = False, 0
        until_mono = self._clock.monotonic() + ACK_S
        while True:
            try:
                message = await self._next(wire, until_mono)
            except TimeoutError:
                if not acknowledged or repeats == REPEATS:
                    return None
                self._decoder.reset()
                message = None  # as good as broken
            match message:
                case frames.Acknowledged():
                    acknowledged = True  # what came before it answers an earlier command
                    until_mono = self._clock.monotonic() + ANSWER_S
                case frames.AskedAgain():
                    return None
                case frames.NotUnderstood() if acknowledged:
                    raise _Trouble(f"the PN532 on {self._port} does not understand command {command:02X}")
                case frames.Answer(number, data) if acknowledged and number == command:
                    return data
                case None if acknowledged and repeats < REPEATS:
                    repeats += 1
                    await wire.write(frames.NACK)
                    until_mono = self._clock.monotonic() + ANSWER_S

    async def _next(self, wire: ByteWire, until_mono: float) -> frames.Message | None:
        """The next message, None for a broken one. Raises TimeoutError."""
        while not self._messages:
            data = await read_within(wire, max(0.0, until_mono - self._clock.monotonic()))
            if data is None:
                raise TimeoutError
            before = self._decoder.corrupt
            self._messages.extend(self._decoder.feed(data))
            if self._decoder.corrupt > before:
                self._messages.append(None)
                if noteworthy(self._decoder.corrupt):
                    log.warning("%s: %d broken frames so far", self.name, self._decoder.corrupt)
        return self._messages.popleft()

    async def _quiet(self, wire: ByteWire, seconds: float) -> None:
        """Wait, and drop what nobody has asked for; an unplugged wire is noticed at once."""
        until_mono = self._clock.monotonic() + seconds
        while (left_s := until_mono - self._clock.monotonic()) > 0:
            await read_within(wire, left_s)


def _make(name: str, options: Pn532Options, around: Surroundings) -> Device:
    return Pn532(name, options, around)


DRIVER = Driver(name="pn532", options=Pn532Options, make=_make, roles=frozenset({"badge"}))
