"""FM22x modules and PN532 readers of the simulator, spoken to through ptys with the vendors' frames."""

import random
from collections.abc import Awaitable, Callable
from functools import reduce
from operator import xor
from typing import Any

import pytest

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.fm22x import FaceModule, FM22xOptions, Standing, User
from hw_sim.wires.line import Line
from hw_sim.wires.pn532 import CardReader

MakeLine = Callable[..., Line]
Open = Callable[..., Awaitable[Any]]
VERIFY_1S, VERIFY_200S = "EF AA 12 00 02 00 01 11", "EF AA 12 00 02 00 C8 D8"
STATUS, RESET = "EF AA 11 00 00 11", "EF AA 10 00 00 10"
WAKE = "55 55 " + "00 " * 14 + "00 00 FF 03 FD D4 14 01 17 00"
ACK = "00 00 FF 00 FF 00"
LIST = "00 00 FF 04 FC D4 4A 01 00 E1 00"
FIELD_OFF = "00 00 FF 04 FC D4 32 01 00 F9 00"
NO_CARD = "00 00 FF 03 FD D5 4B 00 E0 00"
CARD = "00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 11 22 33 44 24 00"


def h(text: str) -> bytes:
    return bytes.fromhex(text)


# ---------------------------------------------------------------- FM22x
class Eye:
    def __init__(self, line: Line, port: Any, log: PhysicalLog) -> None:
        self.module = FaceModule(line, log, FM22xOptions(look_s=0.02, compare_s=0.03))
        self.module.users = {1: User("alice", b"ref-a")}
        self._port = port

    def say(self, frame: str) -> None:
        self._port.write(h(frame))

    async def hear(self) -> bytes:
        """The next frame, whose checksum holds."""
        head = await self._port.read(5)
        rest = await self._port.read(int.from_bytes(head[3:5], "big") + 1)
        assert head[:2] == b"\xef\xaa" and reduce(xor, (head + rest)[2:]) == 0
        return bytes(head + rest)

    async def reply(self) -> str:
        """The next reply; notes before it are passed over."""
        while (frame := await self.hear())[2] != 0:
            pass
        return frame.hex(" ").upper()


@pytest.fixture
async def eye(wire: MakeLine, host: Open, log: PhysicalLog) -> Eye:
    line = wire(115200)
    made = Eye(line, None, log)
    made._port = await host(line)
    return made


async def test_a_module_tells_its_state(eye: Eye) -> None:
    eye.say(STATUS)
    assert await eye.hear() == h("EF AA 00 00 03 11 00 00 12")
    eye.say(VERIFY_200S)
    eye.say(STATUS)
    assert await eye.reply() == "EF AA 00 00 03 11 00 01 13"


async def test_who_is_enrolled_is_named(eye: Eye) -> None:
    eye.module.see((Standing("alice"),))
    eye.say(VERIFY_1S)
    name = b"ref-a".ljust(32, b"\0")
    body = h("00 00 26 12 00 00 01") + name + h("00 C8")
    assert await eye.hear() == h("EF AA 01 00 11 01 00 00") + bytes(14) + b"\x11"  # seen well
    assert await eye.reply() == (b"\xef\xaa" + body + bytes([reduce(xor, body)])).hex(" ").upper()


@pytest.mark.parametrize(
    ("person", "look", "reply"),
    [
        (None, "live", "EF AA 00 00 02 12 0D 1D"),
        ("alice", "far", "EF AA 00 00 02 12 0D 1D"),
        ("alice", "print", "EF AA 00 00 02 12 0C 1C"),
        ("bob", "live", "EF AA 00 00 02 12 08 18"),
    ],
)
async def test_who_is_not_let_in(eye: Eye, person: str | None, look: str, reply: str) -> None:
    eye.module.see((Standing(person, look),) if person else ())
    eye.say(VERIFY_1S)
    assert await eye.reply() == reply


async def test_in_demo_mode_anybody_is_user_ffff(eye: Eye) -> None:
    eye.say("EF AA FE 00 01 01 FE")
    assert await eye.reply() == "EF AA 00 00 02 FE 00 FC"
    eye.module.see((Standing("bob"),))
    eye.say(VERIFY_1S)
    assert (await eye.reply()).startswith("EF AA 00 00 26 12 00 FF FF")
    eye.say("EF AA FE 00 01 00 FF")
    assert await eye.reply() == "EF AA 00 00 02 FE 00 FC"
    eye.say(VERIFY_1S)
    assert await eye.reply() == "EF AA 00 00 02 12 08 18"


async def test_a_busy_module_takes_no_second_command_and_a_reset_ends_it(eye: Eye) -> None:
    eye.say(VERIFY_200S)
    eye.say(VERIFY_200S)
    assert await eye.reply() == "EF AA 00 00 02 12 01 11"
    eye.say(RESET)
    assert [await eye.reply(), await eye.reply()] == ["EF AA 00 00 02 12 02 12", "EF AA 00 00 02 10 00 12"]
    assert not eye.module.busy


async def test_enrolled_once_and_deleted_by_number(eye: Eye) -> None:
    eye.module.see((Standing("bob"),))
    body = h("26 00 28 00") + b"ref-b".ljust(32, b"\0") + h("00 01 00 05 00 00 00")
    frame = (b"\xef\xaa" + body + bytes([reduce(xor, body)])).hex()
    eye.say(frame)
    assert await eye.reply() == "EF AA 00 00 05 26 00 00 02 1F 3E"
    eye.say(frame)
    assert await eye.reply() == "EF AA 00 00 02 26 0A 2E"
    eye.say("EF AA 20 00 02 00 01 23")
    assert await eye.reply() == "EF AA 00 00 02 20 00 22"
    assert eye.module.users == {2: User("bob", b"ref-b")}
    eye.say("EF AA 20 00 02 00 01 23")
    assert await eye.reply() == "EF AA 00 00 02 20 08 2A"
    eye.say("EF AA 21 00 00 21")
    assert await eye.reply() == "EF AA 00 00 02 21 00 23"
    assert eye.module.users == {}


async def test_power_brings_a_note_and_ends_what_was_going_on(eye: Eye) -> None:
    eye.say(STATUS)
    await eye.reply()
    eye.module.restarted()
    assert await eye.hear() == h("EF AA 01 00 01 00 00")


# ---------------------------------------------------------------- PN532
class Desk:
    def __init__(self, line: Line, port: Any, log: PhysicalLog) -> None:
        self.reader = CardReader(line, log, random.Random(3))
        self._port = port

    async def ask(self, frame: str) -> str:
        """The answer that follows the acknowledgement."""
        self._port.write(h(frame))
        return await self.hear() if (await self.raw(6)) == ACK else "not acknowledged"

    async def hear(self) -> str:
        head = await self._port.read(5)
        return bytes(head + await self._port.read(head[3] + 2)).hex(" ").upper()

    async def raw(self, n: int) -> str:
        return bytes(await self._port.read(n)).hex(" ").upper()


@pytest.fixture
async def desk(wire: MakeLine, host: Open, log: PhysicalLog) -> Desk:
    line = wire(115200)
    made = Desk(line, None, log)
    made._port = await host(line)
    assert await made.ask(WAKE) == "00 00 FF 02 FE D5 15 16 00"
    assert await made.ask("00 00 FF 06 FA D4 32 05 FF 01 01 F4 00") == "00 00 FF 02 FE D5 33 F8 00"
    return made


async def test_a_sleeping_chip_hears_nothing(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire(115200)
    made = Desk(line, None, log)
    made._port = await host(line)
    made._port.write(h(LIST))
    assert await made.ask(WAKE) == "00 00 FF 02 FE D5 15 16 00"
    assert made.reader.searches == 0


async def test_firmware_and_unknown_commands(desk: Desk) -> None:
    assert await desk.ask("00 00 FF 02 FE D4 02 2A 00") == "00 00 FF 06 FA D5 03 32 01 06 07 E8 00"
    assert await desk.ask("00 00 FF 02 FE D4 00 2C 00") == "00 00 FF 01 FF 7F 81 00"


async def test_a_card_answers_once_until_its_field_was_off(desk: Desk) -> None:
    assert await desk.ask(LIST) == NO_CARD
    desk.reader.present("nfc:11223344")
    assert await desk.ask(LIST) == CARD
    assert await desk.ask(LIST) == NO_CARD
    assert await desk.ask("00 00 FF 03 FD D4 52 00 DA 00") == "00 00 FF 03 FD D5 53 00 D8 00"
    assert await desk.ask(LIST) == NO_CARD  # halted
    assert await desk.ask(FIELD_OFF) == "00 00 FF 02 FE D5 33 F8 00"
    assert await desk.ask(LIST) == CARD
    desk.reader.present(None)
    assert await desk.ask(LIST) == NO_CARD


async def test_a_random_number_changes_with_the_field(desk: Desk) -> None:
    desk.reader.present("nfc:random")
    first = await desk.ask(LIST)
    await desk.ask(FIELD_OFF)
    second = await desk.ask(LIST)
    assert first != second and first[:41] == second[:41] and first[39:41] == "08"


async def test_a_broken_command_is_asked_for_again_and_an_answer_repeated(desk: Desk) -> None:
    desk.reader.present("nfc:11223344")
    desk._port.write(h(LIST.replace("E1", "E0")))
    assert await desk.raw(6) == "00 00 FF FF 00 00"
    assert await desk.ask(LIST) == CARD
    desk._port.write(h("00 00 FF FF 00 00"))
    assert await desk.hear() == CARD
    assert desk.reader.searches == 1


@pytest.mark.parametrize("badge", ["nfc:0411", "nfc:zz", "wiegand26:01020304", "04112233"])
def test_what_is_no_card_of_this_reader(log: PhysicalLog, tmp_path: Any, badge: str) -> None:
    reader = CardReader(Line("b", tmp_path / "b", 115200, random.Random(1), log), log, random.Random(1))
    with pytest.raises(ValueError, match=r"nfc|hex"):
        reader.present(badge)
