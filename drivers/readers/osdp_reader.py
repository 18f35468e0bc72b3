"""Driver `osdp-reader`: badge readers with or without keypad on RS-485, by OSDP's secure channel (extra `osdp`).

The protocol is libosdp's (see `osdp_panel`). Only a secure channel by the reader's own key counts: no key file, another
key, or a reader that knows none is a reader that is down, with what to do in its status. `vendingctl reader commission`
gives a reader its key. Key files are read whenever the port is opened; one that cannot be used takes down its own
reader alone, and is looked at again every few seconds, so that a new one needs no restart.

What people did while the link was down is never acted upon: a reader keeps cards and keys until it is asked, and
nothing counts before it has once answered "nothing new". None of it was tried on a physical reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from drivers.link import Link, Statuses, noteworthy, together
from drivers.options import Options, Port, no_doubles
from drivers.ports import (
    BadgeRead,
    ByteWire,
    Device,
    DigitsEntered,
    Driver,
    KeyPressed,
    LevelRead,
    Sense,
    SerialSettings,
    Sink,
    Surroundings,
    WireLost,
)
from drivers.readers import osdp_frames as frames
from drivers.readers.keys import Entry, KeypadDecoder
from drivers.readers.osdp_key import KeyFileError, read_key
from drivers.readers.osdp_panel import OTHER_KEY, Heard, Panel, import_libosdp
from drivers.readers.osdp_reads import Repeats, badge_of, keys_of
from drivers.readers.serial_keypad import KeyCharacter

log = logging.getLogger(__name__)

STEP_S = 0.015  # between two steps of the panel while there is something to do
IDLE_STEP_S = 0.055  # else: the panel polls after 50 ms
KEY_RETRY_S = 2.0  # between two looks at a key file that cannot be used
SAMPLE_S = 2.0  # how long `sample` waits for a reader
SHOWN_TENTHS = 30  # how long "granted" and "refused" are shown
CARD, KEYS, STATUS = 1, 2, 4  # libosdp's events
LOCAL_STATUS = 2  # of the reader itself: housing, power

KeyFile = Annotated[str, Field(min_length=1)]
Colour = Literal["off", "red", "green", "amber", "blue", "white"]


class OsdpReaderOptions(Options):
    """OSDP readers on one RS-485 line. Channel n is the reader at the n-th address."""

    port: Port
    baud: int = Field(9600, ge=9600, le=230400, description="Speed of the line; the same in all of its readers.")
    addresses: tuple[Annotated[int, Field(ge=0, le=126)], ...] = Field(
        (0,), min_length=1, max_length=8, description="Addresses of the readers, in order."
    )
    scbk: KeyFile | tuple[KeyFile, ...] = Field(
        description="Key file of the reader, or of each in order: 32 hex digits, mode 0600, relative to the site file; "
        "`vendingctl reader commission` makes it.",
        examples=["reader.key"],
    )
    enter: KeyCharacter = Field("#", description="Key that closes an entry; no digit.")
    clear: KeyCharacter = Field("*", description="Key that clears an entry; no digit.")
    return_key: KeyCharacter | Annotated[str, Field(max_length=0)] = Field(
        "", description="Key that starts a return; empty where there is none."
    )
    max_digits: int = Field(12, ge=1, le=64, description="An entry of more digits is cleared, not told.")
    forget_s: float = Field(15.0, gt=0, le=300, description="Digits are forgotten this long after the last key.")
    same_badge_s: float = Field(
        1.0, ge=0, le=60, description="A badge that is read again this soon is still the same showing."
    )
    light: bool = Field(True, description="Show on the reader's light what becomes of a visit.")
    buzzer: bool = Field(True, description="Let the reader beep: once for yes, three times for no.")
    idle_light: Colour = Field("off", description="The light's colour while nobody is there.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        no_doubles("address", self.addresses)
        no_doubles("key file", self.key_files())
        if len(self.key_files()) != len(self.addresses):
            raise ValueError("scbk must name one key file for each of the addresses")
        if len({self.enter, self.clear, self.return_key}) < 3:
            raise ValueError("enter, clear and return_key must be three different characters")
        return self

    def key_files(self) -> tuple[str, ...]:
        """In the order of the addresses."""
        return (self.scbk,) if isinstance(self.scbk, str) else self.scbk


class OsdpReader:
    """Device, Indicator and Sampling of the readers of one line."""

    def __init__(self, name: str, options: OsdpReaderOptions, around: Surroundings) -> None:
        self.name = name
        import_libosdp()
        self._options = options
        self._clock = around.clock
        wire = around.serial(SerialSettings(options.port, options.baud))
        self._link = Link(name, wire, around.clock, around.random)
        units = {str(address): (n,) for n, address in enumerate(options.addresses, start=1)}
        self._statuses = Statuses(name, units)
        self._readers = [_Reader(name, n, address, options) for n, address in enumerate(options.addresses, start=1)]
        self._replied = asyncio.Event()

    # ------------------------------------------------------------ roles
    async def run(self, sink: Sink) -> None:
        await self._link.run(lambda wire: self._serve(wire, sink), lambda detail: self._down(sink, detail))

    async def show(self, signal: str, channel: int | None = None) -> None:
        """See ports.Indicator. On readers of the line that are up; one that comes up later shows what lasts."""
        for reader in self._readers:
            if channel in (None, reader.n):
                reader.signal(signal)

    async def sample(self) -> None:
        """See ports.Sampling."""
        await self._link.tried.wait()
        waiting = [reader.sampled() for reader in self._readers]
        _, late = await asyncio.wait(waiting, timeout=SAMPLE_S)
        for reader, told in zip(self._readers, waiting, strict=True):
            if told in late:
                reader.unsensed()

    # ------------------------------------------------------------ the line
    async def _serve(self, wire: ByteWire, sink: Sink) -> None:
        while True:
            served = self._keyed(sink)
            addresses = [reader.address for reader in served]
            panel = Panel(addresses, list(served.values()), self._options.baud, self._clock.monotonic())
            await together(self._listen(wire, panel), self._drive(wire, panel, list(served), sink))

    def _keyed(self, sink: Sink) -> dict[_Reader, bytes]:
        """The readers that have a key, in order of their places in the panel; the others are down.

        Raises WireLost where none has: then the port is left to `vendingctl reader commission`.
        """
        found: dict[_Reader, bytes] = {}
        troubles: dict[_Reader, str] = {}
        for reader in self._readers:
            try:
                found[reader] = read_key(reader.key_file)
            except KeyFileError as exc:
                troubles[reader] = str(exc)
        if not found:
            raise WireLost("; ".join(troubles.values()))
        for at, reader in enumerate(found):
            reader.at = at
        for reader, trouble in troubles.items():
            reader.went(sink)
            self._statuses.tell(sink, False, trouble, str(reader.address))
        return found

    def _usable(self, keyless: list[_Reader]) -> bool:
        """One of these has a key now."""
        for reader in keyless:
            with contextlib.suppress(KeyFileError):
                read_key(reader.key_file)
                return True
        return False

    async def _listen(self, wire: ByteWire, panel: Panel) -> None:
        while True:
            if panel.receive(await wire.read(), self._clock.monotonic()):
                self._replied.set()

    async def _drive(self, wire: ByteWire, panel: Panel, served: list[_Reader], sink: Sink) -> None:
        """Until a reader without a key has one: it then needs another panel."""
        keyless = [reader for reader in self._readers if reader not in served]
        looked_mono = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            if keyless and now - looked_mono >= KEY_RETRY_S:
                if self._usable(keyless):
                    return
                looked_mono = now
            self._replied.clear()
            outgoing, heard = panel.step(now)
            if outgoing:
                await wire.write(outgoing)
            for reader in served:
                self._follow(reader, panel, now, sink)
            for one in heard:
                served[one.reader].hear(one, now, sink)
            idle = all(reader.idle for reader in served)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_STEP_S if idle else STEP_S):
                    await self._replied.wait()

    def _follow(self, reader: _Reader, panel: Panel, now: float, sink: Sink) -> None:
        up = panel.up(reader.at, now)
        if up and not reader.up:
            reader.came(panel, sink)
            self._statuses.tell(sink, True, "", str(reader.address))
        elif not up:
            trouble = panel.trouble(reader.at)
            if reader.up:
                reader.went(sink)
                trouble = trouble or "has lost its secure channel; it is called again"
            if trouble:
                self._statuses.tell(sink, False, reader.called(trouble), str(reader.address))
                if not reader.told:
                    reader.went(sink)
        reader.work(panel, now)

    def _down(self, sink: Sink, detail: str) -> None:
        for reader in self._readers:
            reader.went(sink)
        self._statuses.tell(sink, False, detail)


class _Reader:
    """One reader of the line."""

    def __init__(self, device: str, n: int, address: int, options: OsdpReaderOptions) -> None:
        self.n = n
        self.at = n - 1  # its place in the panel
        self.address = address
        self.key_file = Path(options.key_files()[n - 1])
        self.up = False
        self.told = False  # a level was reported since it went, or since the start
        self._device = device
        self._options = options
        self._steady = "idle"
        self._queue: list[tuple[int, Callable[[Panel, int], bool]]] = []  # commands with their codes
        self._samples: list[asyncio.Future[None]] = []
        self._keys = KeypadDecoder(
            enter=options.enter,
            clear=options.clear,
            return_key=options.return_key,
            max_digits=options.max_digits,
        )
        self._key_mono = 0.0
        self._repeats = Repeats(options.same_badge_s)
        self._dropped = 0
        self._sink: Sink | None = None

    @property
    def idle(self) -> bool:
        """It is up and has nothing to be told: it is only to be polled."""
        return self.up and not self._queue

    def called(self, trouble: str) -> str:
        advice = ""
        if trouble == OTHER_KEY:
            name = self._device if len(self._options.addresses) == 1 else f"{self._device}:{self.n}"
            advice = f": reset it, then vendingctl reader commission {name} --replace"
        return f"the reader at address {self.address} {trouble}{advice}"

    # ------------------------------------------------------------ coming and going
    def came(self, panel: Panel, sink: Sink) -> None:
        """Its secure channel stands."""
        self.up = True
        self._sink = sink
        log.info("%s:%d: secure channel to reader %s", self._device, self.n, panel.identity(self.at))
        self._queue = [(frames.LSTAT, Panel.ask_status)]
        self.signal(self._steady)

    def went(self, sink: Sink) -> None:
        """It is down: nothing is known of its housing, and what somebody began to type is nobody's."""
        self.up = False
        self.told = True
        self._sink = sink
        self._queue = []
        self._keys.forget()
        self.unsensed()

    # ------------------------------------------------------------ what it tells
    def hear(self, heard: Heard, now: float, sink: Sink) -> None:
        event = heard.event
        kind = event["event"]
        if kind == STATUS and event["type"] == LOCAL_STATUS:
            self._level(bool(event["report"][0]), sink)
        elif kind in (CARD, KEYS) and heard.stale:
            self._drop("read while nobody listened")
        elif kind == CARD:
            badge = badge_of(event)
            if badge is None:
                self._drop("that is no badge")
            elif not self._repeats.again(badge, now):
                sink(BadgeRead(self._device, badge, now, self.n))
        elif kind == KEYS:
            self._key_mono = now
            for found in self._keys.feed(keys_of(event)):
                if isinstance(found, Entry):
                    sink(DigitsEntered(self._device, found.digits, now, self.n))
                else:
                    sink(KeyPressed(self._device, found.value, now, self.n))

    def _drop(self, why: str) -> None:
        self._dropped += 1
        if noteworthy(self._dropped):
            log.info("%s:%d: dropped what it sent, %s: %d so far", self._device, self.n, why, self._dropped)

    def _level(self, tampered: bool | None, sink: Sink) -> None:
        self.told = True
        sink(LevelRead(self._device, Sense.TAMPER, self.n, tampered))
        for waiting in self._samples:
            if not waiting.done():
                waiting.set_result(None)
        self._samples.clear()

    # ------------------------------------------------------------ housing
    def sampled(self) -> asyncio.Future[None]:
        """Done when the housing was reported anew."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._samples.append(waiting)
        if self.up:
            self._queue.insert(0, (frames.LSTAT, Panel.ask_status))
        else:
            self.unsensed()
        return waiting

    def unsensed(self) -> None:
        """Report that the housing is not known; nothing to report to before the first opening."""
        if self._sink is not None:
            self._level(None, self._sink)
        for waiting in self._samples:
            if not waiting.done():
                waiting.set_result(None)
        self._samples.clear()

    # ------------------------------------------------------------ what it is told
    def signal(self, signal: str) -> None:
        """The newest signal; one that is still waiting to be shown is not."""
        if signal in ("idle", "wait"):
            self._steady = signal
        if not self.up:
            return
        steady = partial(Panel.light, colour=self._options.idle_light)
        wanted: list[tuple[int, Callable[[Panel, int], bool]]] = []
        if signal == "wait":
            wanted = [(frames.LED, partial(Panel.light, colour="amber", blinking=True))]
        elif signal == "idle":
            wanted = [(frames.LED, steady)]
        elif signal in ("granted", "refused"):
            self._steady = "idle"
            colour, beeps = ("green", 1) if signal == "granted" else ("red", 3)
            now = partial(Panel.light, colour=colour, tenths=SHOWN_TENTHS)
            wanted = [(frames.LED, steady), (frames.LED, now), (frames.BUZZER, partial(Panel.beep, times=beeps))]
        self._queue = [one for one in self._queue if one[0] == frames.LSTAT] + wanted

    def work(self, panel: Panel, now: float) -> None:
        """Hand the panel what it has room for; forget digits that nobody goes on with."""
        if self._keys.pending and now - self._key_mono > self._options.forget_s:
            self._keys.forget()
        while self.up and self._queue:
            code, command = self._queue[0]
            if not self._able(panel, code):
                if code == frames.LSTAT:
                    self.unsensed()
            elif not command(panel, self.at):
                return
            del self._queue[0]

    def _able(self, panel: Panel, code: int) -> bool:
        if code == frames.LED:
            return self._options.light and panel.offers(self.at, "LEDControl", code)
        if code == frames.BUZZER:
            return self._options.buzzer and panel.offers(self.at, "AudibleControl", code)
        return not panel.refused(self.at, code)


def _make(name: str, options: OsdpReaderOptions, around: Surroundings) -> Device:
    return OsdpReader(name, options, around)


def _channels(options: Any) -> range:
    return range(1, len(options.addresses) + 1)


DRIVER = Driver(
    name="osdp-reader",
    options=OsdpReaderOptions,
    make=_make,
    senses=frozenset({Sense.TAMPER}),
    roles=frozenset({"badge", "keypad", "tamper"}),
    channels=_channels,
)
