"""What physically is: bolts, doors, presence, cars, and the boards and readers that tell of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hw_sim.wires.kerong_cu48 import summed
from hw_sim.wires.lock_8a import bcc
from hw_sim.wires.readers import rdm6300
from tests.simulation.year.loop import Timeline
from tests.simulation.year.wires import Lines, Port

FREE_S = 5.0  # a latch that was pulsed stays free for so long, or until its door was opened
TAG_EVERY_S = 0.7


@dataclass(frozen=True)
class Seen:
    """Something physical, for the laws and for a replay."""

    t: float
    what: str
    bay: str = ""
    asset: str = ""
    who: str = ""


@dataclass
class Bay:
    id: str
    n: int
    bolted: bool = True
    open: bool = False
    inside: str | None = None
    jammed: bool = False
    sticky_s: float = 0.0
    frozen: dict[str, bool | None] = field(default_factory=dict)  # sense -> what it says whatever is so
    free_n: int = 0
    opened_by: str = ""  # who opened the door last


class Plant:
    """Owns the physical truth. `heard` gets everything that happens; `changed` is called after each change."""

    def __init__(self, line: Timeline, chance: random.Random, bays: int, tags: dict[str, str]) -> None:
        self.line, self.chance = line, chance
        self.bays = {f"bay-{n}": Bay(f"bay-{n}", n) for n in range(1, bays + 1)}
        self.tags = tags  # asset -> tag
        self.frames = {tag: rdm6300(tag) for tag in tags.values()}
        self.where: dict[str, str] = {}  # asset -> bay, or who has it
        self.powered = False
        self.boots = 0
        self.lines = Lines()
        self.ports: dict[str, Port] = {}
        self.log: list[Seen] = []
        self.heard: Callable[[Seen], None] = lambda seen: None
        self._watchers: list[Callable[[], None]] = []
        self._tell: list[Callable[[Bay], None]] = []
        self._readers: list[Callable[[int], None]] = []

    # ------------------------------------------------ for people and faults
    def watch(self, look: Callable[[], None]) -> None:
        self._watchers.append(look)

    def port(self, name: str) -> Port:
        if name not in self.ports:
            self.ports[name] = Port(name, self.line, random.Random(f"{name}{self.chance.random()}"))
        return self.ports[name]

    def note(self, what: str, bay: str = "", asset: str = "", who: str = "") -> None:
        seen = Seen(self.line.t, what, bay, asset, who)
        self.log.append(seen)
        self.heard(seen)

    def changed(self, bay: Bay) -> None:
        for tell in self._tell:
            tell(bay)
        for look in tuple(self._watchers):
            look()

    def power(self, on: bool) -> None:
        self.powered = on
        if on:
            self.boots += 1
            for look in self._readers:
                look(self.boots)

    # ------------------------------------------------ bolt
    def pulse(self, bay: Bay) -> None:
        """Current flows through the coil."""
        self.note("pulse", bay.id)
        if bay.jammed or not self.powered:
            return
        if bay.sticky_s > 0:
            self.line.after(bay.sticky_s, lambda: self._free(bay))
        else:
            self.line.after(0.02, lambda: self._free(bay))

    def _free(self, bay: Bay) -> None:
        if not bay.bolted:
            return
        bay.bolted = False
        bay.free_n += 1
        n = bay.free_n
        self.note("bolt_free", bay.id)
        self.changed(bay)
        self.line.after(FREE_S, lambda: self._relock(bay, n))

    def _relock(self, bay: Bay, n: int) -> None:
        if bay.free_n == n and not bay.open and not bay.bolted:
            bay.bolted = True
            self.note("bolt_locked", bay.id)
            self.changed(bay)

    # ------------------------------------------------ hands
    def open(self, bay: Bay, who: str, *, force: bool = False) -> bool:
        if bay.open or (bay.bolted and not force):
            return False
        if bay.bolted:
            self.note("door_forced", bay.id, who=who)
            bay.bolted = False
        bay.open, bay.opened_by = True, who
        self.note("door_opened", bay.id, who=who)
        self.changed(bay)
        return True

    def close(self, bay: Bay, who: str) -> None:
        if bay.open:
            bay.open, bay.bolted = False, True
            self.note("door_closed", bay.id, who=who)
            self.changed(bay)

    def take(self, bay: Bay, who: str) -> str | None:
        if not bay.open or bay.inside is None:
            return None
        asset, bay.inside = bay.inside, None
        self.where[asset] = who
        self.note("taken", bay.id, asset, who)
        self.changed(bay)
        return asset

    def put(self, bay: Bay, asset: str, who: str) -> bool:
        if not bay.open or bay.inside is not None:
            return False
        bay.inside = asset
        self.where[asset] = bay.id
        self.note("put", bay.id, asset, who)
        self.changed(bay)
        return True

    def freeze(self, bay: Bay, sense: str, value: bool | None) -> None:
        bay.frozen[sense] = value
        self.changed(bay)

    def thaw(self, bay: Bay) -> None:
        bay.frozen.clear()
        self.changed(bay)

    # ------------------------------------------------ what the sensors say
    def says(self, bay: Bay, sense: str) -> bool | None:
        if sense in bay.frozen:
            return bay.frozen[sense]
        return {"door": bay.open, "bolt": bay.bolted, "presence": bay.inside is not None}[sense]

    def contact(self, sense: str, pins: list[int]) -> None:
        """A contact at a GPIO line for each bay. True is high for doors, low for the others; cut wires read high."""

        def tell(bay: Bay) -> None:
            said = self.says(bay, sense)
            high = True if said is None else said if sense == "door" else not said
            self.lines.set(pins[bay.n - 1], high)

        self._tell.append(tell)
        for bay in self.bays.values():
            tell(bay)

    def coils(self, pins: list[int]) -> None:
        """A lock's coil at a GPIO line for each bay."""

        def driven(number: int, high: bool) -> None:
            if high and number in pins:
                self.pulse(self.bays[f"bay-{pins.index(number) + 1}"])

        self.lines.driven = driven

    # ------------------------------------------------ boards
    def board_8a(self, port: Port) -> None:
        """8A, address 1, eight locks, feedback of the doors, 11 closed."""
        buffer = bytearray()

        def say(data: bytes) -> None:
            port.send(bcc(data))

        def state(n: int) -> int:
            bay = self.bays.get(f"bay-{n}")
            return 0x11 if bay is None or not self.says(bay, "door") else 0x00

        def obey(frame: bytes) -> None:
            head, address, lock, command = frame[:4]
            if address != 1:
                return
            if head == 0x8A and command == 0x11:
                if not 1 <= lock <= 8:
                    self.note("opened_all")
                elif f"bay-{lock}" in self.bays:
                    self.pulse(self.bays[f"bay-{lock}"])
                    self.line.after(0.003, lambda: say(bytes([0x8A, 1, lock, state(lock)])))
            elif head == 0x80 and command == 0x33 and lock == 0:
                bits = 0xFF
                for bay in self.bays.values():
                    if self.says(bay, "door"):
                        bits &= ~(1 << bay.n - 1)
                self.line.after(0.003, lambda: say(bytes([0x80, 1, 0, 0, bits, 0x33])))

        def received(data: bytes) -> None:
            buffer.extend(data)
            while len(buffer) >= 5:
                if buffer[0] in (0x8A, 0x80) and bcc(buffer[:4]) == buffer[:5]:
                    frame = bytes(buffer[:5])
                    del buffer[:5]
                    obey(frame)
                else:
                    del buffer[:1]

        port.received = received

    def board_cu48(self, port: Port) -> None:
        """CU48, address 0, feedback of the bolts, bit 1 locked."""
        buffer = bytearray()

        def obey(frame: bytes) -> None:
            _, address, lock, command = frame[:4]
            if address not in (0, 0x0A):
                return
            if command == 0x51:
                if lock >= 0x30 or address == 0x0A:
                    self.note("opened_all")
                elif f"bay-{lock + 1}" in self.bays:
                    self.pulse(self.bays[f"bay-{lock + 1}"])
            elif command == 0x50:
                bits = (1 << 48) - 1
                for bay in self.bays.values():
                    if not self.says(bay, "bolt"):
                        bits &= ~(1 << bay.n - 1)
                data = b"\x02\x00\x00\x65" + bits.to_bytes(6, "little") + b"\x03"
                self.line.after(0.003, lambda: port.send(summed(data)))

        def received(data: bytes) -> None:
            buffer.extend(data)
            while len(buffer) >= 6:
                if buffer[0] == 2 and buffer[4] == 3 and summed(buffer[:5]) == buffer[:6]:
                    frame = bytes(buffer[:6])
                    del buffer[:6]
                    obey(frame)
                else:
                    del buffer[:1]

        port.received = received

    # ------------------------------------------------ readers
    def tag_reader(self, port: Port, bay: Bay) -> None:
        """An RDM6300 at the floor of a bay: repeats what is in its field."""

        def look(boot: int) -> None:
            if not self.powered or boot != self.boots:
                return
            tag = self.tags.get(bay.inside or "")
            if tag is not None and "tag" not in bay.frozen and port.wire is not None:
                port.send(self.frames[tag])
            self.line.after(TAG_EVERY_S, lambda: look(boot))

        self._readers.append(look)

    def scan(self, terminal: str, text: str) -> None:
        self.port(f"scanner-{terminal}").send(text.encode() + b"\r")

    def keys(self, terminal: str, keys: str) -> None:
        self.port(f"pad-{terminal}").send(keys.encode())

    def hold_tag(self, terminal: str, asset: str) -> None:
        self.port(f"desk-{terminal}").send(self.frames[self.tags[asset]])
