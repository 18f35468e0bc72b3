"""Serial lines and the devices at their ends, spoken to through ptys with the vendors' frames."""

import random
import termios
from collections.abc import Awaitable, Callable

import pytest

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.kerong_cu48 import BoardsCU48, CU48Options, summed
from hw_sim.wires.line import Line
from hw_sim.wires.lock_8a import Board8AOptions, Boards8A, bcc
from hw_sim.wires.readers import Keypad, Scanner, TagReader, crc16, rdm6300
from tests.unit.hw_sim.sim_waiting import until

MakeLine = Callable[..., Line]
Open = Callable[..., Awaitable[object]]


class Bank:
    """Channels whose contacts a test sets."""

    def __init__(self, closed: set[int] | None = None) -> None:
        self.contacts = closed if closed is not None else set()
        self.pulses: list[int] = []

    def closed(self, channel: int) -> bool:
        return channel in self.contacts

    def pulse(self, channel: int, duration_s: float) -> None:
        self.pulses.append(channel)


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def named(log: PhysicalLog, what: str) -> list[dict[str, object]]:
    return [m.to_json() for m in log.after(0) if m.what == what]


# ---------------------------------------------------------------- 8A
@pytest.mark.parametrize(
    ("closed", "request_", "answer"),
    [
        (set(), "80 01 01 33 B3", "80 01 01 00 80"),
        ({1}, "80 01 01 33 B3", "80 01 01 11 91"),
        (set(), "80 01 00 33 B2", "80 01 00 00 00 33 B2"),
        ({1, 3}, "80 01 00 33 B2", "80 01 00 00 05 33 B7"),
        (set(), "8A 01 01 11 9B", "8A 01 01 00 8A"),
        ({1}, "8A 01 01 11 9B", "8A 01 01 11 9B"),
    ],
)
async def test_8a_answers(  # noqa: PLR0917 - pytest's fixtures
    wire: MakeLine, host: Open, log: PhysicalLog, closed: set[int], request_: str, answer: str
) -> None:
    line = wire()
    bank = Bank(closed)
    Boards8A(line, bank, Board8AOptions(), log)
    port = await host(line)
    port.write(h(request_))
    assert await port.read(len(h(answer))) == h(answer)
    assert bank.pulses == ([1] if request_.startswith("8A") else [])


async def test_8a_many_boards_groups_and_polarity(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    options = Board8AOptions((1, 5), 24, closed_is_11=False, inverted=frozenset({25}))
    bank = Bank({25, 48})
    boards = Boards8A(line, bank, options, log)
    assert (boards.state(24), boards.state(25), boards.state(48)) == (0x11, 0x11, 0x00)
    port = await host(line)
    port.write(bcc(h("80 05 00 33")))
    # lock 24 of the second board (channel 48) reads 0 = closed; lock 1 (channel 25) is inverted: 1 = closed
    assert await port.read(7) == bcc(h("80 05 7F FF FF 33"))
    port.write(bcc(h("8A 05 18 11")))
    await port.read(5)
    assert bank.pulses == [48]
    port.write(bcc(h("8A 07 01 11")))  # nobody has this address
    port.write(h("90 01 02 02 02 93"))
    await until(lambda: len(bank.pulses) == 4)
    assert bank.pulses == [48, 2, 10, 18]


async def test_8a_lock_00_opens_everything(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(), Bank()
    Boards8A(line, bank, Board8AOptions((1,), 8), log)
    port = await host(line)
    port.write(h("8A 01 00 11 9A"))
    await until(lambda: bool(bank.pulses))
    assert bank.pulses == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(named(log, "opened_all")) == 1


async def test_8a_silent_board_obeys_and_pushes_where_asked(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(), Bank({2})
    boards = Boards8A(line, bank, Board8AOptions(push=0x81), log)
    port = await host(line)
    boards.changed()
    bank.contacts.clear()
    boards.changed()
    assert await port.read(5) == bcc(h("81 01 02 00"))
    boards.answers = False
    port.write(h("8A 01 02 11 98"))
    await until(lambda: bank.pulses == [2])
    assert line.counters.bytes_out == 5


# ---------------------------------------------------------------- CU48
async def test_cu48_status_and_unlock(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(), Bank({1, 2, 3, 47, 48})
    BoardsCU48(line, bank, CU48Options(), log)
    port = await host(line)
    port.write(h("02 00 00 50 03 55"))
    assert await port.read(12) == h("02 00 00 65 07 00 00 00 00 C0 03 31")
    port.write(h("02 00 00 51 03 56"))
    await until(lambda: bool(bank.pulses))
    assert bank.pulses == [1]
    assert named(log, "unlock_frame")[0]["frame"] == "02 00 00 51 03 56"


@pytest.mark.parametrize(
    ("frame", "count"),
    [("02 00 30 51 03 86", 48), ("02 0A 30 51 03 90", 96), ("02 0A 00 51 03 60", 96)],
)
async def test_cu48_opens_everything(wire: MakeLine, host: Open, log: PhysicalLog, frame: str, count: int) -> None:
    line, bank = wire(), Bank()
    BoardsCU48(line, bank, CU48Options((0, 3)), log)
    port = await host(line)
    port.write(h(frame))
    await until(lambda: bool(bank.pulses))
    assert bank.pulses == list(range(1, count + 1))
    assert len(named(log, "opened_all")) == 1


async def test_cu48_whole_bus_answers_in_order(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(), Bank({1, 49})
    BoardsCU48(line, bank, CU48Options((4, 2), locked_bit=0), log)
    port = await host(line)
    port.write(h("02 0A 00 50 03 5F"))
    all_but_first = "FE FF FF FF FF FF"
    assert await port.read(24) == summed(h(f"02 02 00 65 {all_but_first} 03")) + summed(
        h(f"02 04 00 65 {all_but_first} 03")
    )


# ---------------------------------------------------------------- framing
def test_noise_wrong_sums_and_gaps_do_not_hide_the_next_frame() -> None:
    frames: list[Frame] = []
    noise: list[bytes] = []
    framer = Framer(
        lambda f: 5 if f[0] == 0x8A else 0, lambda f: bcc(f[:-1]) == f, frames.append, lambda d, t: noise.append(d)
    )
    data = h("FF 8A 01 01 11 00 8A 01 01 11 9B")
    framer.feed(data, [i * 0.001 for i in range(len(data))])
    assert [f.data for f in frames] == [h("8A 01 01 11 9B")]
    assert frames[0].t_first == pytest.approx(0.006) and frames[0].t_last == pytest.approx(0.010)
    framer.feed(h("8A 01"), [1.0, 1.001])
    framer.feed(h("8A 01 02 11 98"), [2.0 + i * 0.001 for i in range(5)])
    assert frames[-1].data == h("8A 01 02 11 98") and noise[-1] == h("8A 01")


# ---------------------------------------------------------------- lines
async def test_bytes_are_never_early(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(baud=9600), Bank()
    Boards8A(line, bank, Board8AOptions(), log)
    port = await host(line)
    port.write(h("8A 01 01 11 9B"))
    await port.read(5)
    unlock = log.after(0)[-1]
    assert unlock.what == "unlock_frame"
    assert unlock.t_mono - unlock.fields["t_read"] >= 5 * 10 / 9600 - 1e-9
    scanner = Scanner(line, log)
    scanner.show(b"x" * 99, 5.0)
    assert await port.read(100) == b"x" * 99 + b"\r"
    await until(lambda: bool(named(log, "scan_sent")))
    sent = log.after(0)[-1]
    assert sent.t_mono - sent.fields["t_first"] >= 100 * 10 / 9600 - 1e-6


async def test_an_unlock_tells_of_the_exchange_before_it(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    Boards8A(line, Bank(), Board8AOptions(), log)
    port = await host(line)
    port.write(h("80 01 01 33 B3"))
    await port.read(5)
    port.write(h("8A 01 01 11 9B"))
    await port.read(5)
    (unlock,) = [m for m in log.after(0) if m.what == "unlock_frame"]
    before = unlock.fields["previous"]
    assert before["request_first"] < before["request_last"] < before["answer_last"] < unlock.fields["t_first"]


async def test_unplugging_hangs_up_and_plugging_back_starts_clean(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    scanner = Scanner(line, log)
    port = await host(line)
    line.unplug()
    await port.until_hung_up()
    assert not line.path.is_symlink()
    scanner.show(b"while away", 5.0)
    line.plug()
    again = await host(line)
    scanner.show(b"back", 5.0)
    assert await again.read(5) == b"back\r"
    assert len(named(log, "scan_lost")) == 1


async def test_what_is_said_to_a_closed_port_is_lost(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    keypad = Keypad(line, log)
    keypad.type("12", 0.0)
    await until(lambda: line.counters.lost_while_closed == 2)
    port = await host(line)
    keypad.type("3#", 0.0)
    assert await port.read(2) == b"3#"


async def test_echo_repetition_and_lateness(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    Boards8A(line, Bank(), Board8AOptions(), log)
    port = await host(line)
    line.faults.echo = True
    line.faults.repeats = 1
    port.write(h("8A 01 01 11 9B"))
    assert await port.read(15) == h("8A 01 01 11 9B") + 2 * h("8A 01 01 00 8A")


async def test_dropped_and_corrupted_bytes_come_from_the_seed(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    async def spoiled(seed: int) -> bytes:
        line = wire(seed=seed)
        port = await host(line)
        line.faults.drop_one_in = 5
        line.faults.corrupt_one_in = 7
        line.send(bytes(200))
        line.send(b"", done=lambda t: None)
        await until(lambda: line.counters.bytes_out + line.counters.dropped == 200)
        return await port.read(line.counters.bytes_out)

    first, same, other = await spoiled(3), await spoiled(3), await spoiled(4)
    assert first == same != other
    assert len(first) < 200 and any(first)


async def test_a_wrong_baud_rate_makes_noise(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(baud=9600), Bank()
    Boards8A(line, bank, Board8AOptions(), log)
    port = await host(line, termios.B19200)
    port.write(h("8A 01 01 11 9B"))
    await until(lambda: line.counters.corrupted == 5)
    assert bank.pulses == []
    assert named(log, "wrong_baud")[0]["set_to"] == 19200


async def test_talking_into_an_answer_is_not_heard(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(baud=1200, half_duplex=True), Bank()
    Boards8A(line, bank, Board8AOptions(), log)
    port = await host(line)
    port.write(h("80 01 00 33 B2"))
    await port.read(1)
    port.write(h("8A 01 01 11 9B"))
    await until(lambda: line.counters.collisions > 0)
    await port.read(6)
    assert bank.pulses == []


async def test_an_endless_line_is_poured_as_fast_as_it_is_read(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire(baud=1200)
    scanner = Scanner(line, log)
    port = await host(line)
    scanner.show(b"A" * 300_000, 60.0, ended=False, paced=False)
    assert await port.read(300_000) == b"A" * 300_000
    await until(lambda: bool(named(log, "scan_sent")))
    assert line.counters.overrun == 0


# ---------------------------------------------------------------- readers
def test_checksums_of_the_datasheets() -> None:
    assert crc16(h("08 01 00 02 01")) == 0x02DA
    assert rdm6300("62E3086CED") == h("02 36 32 45 33 30 38 36 43 45 44 30 38 03")
    with pytest.raises(ValueError, match="five bytes"):
        rdm6300("1234")


@pytest.mark.parametrize("trigger", ["7E 00 08 01 00 02 01 02 DA", "7E 00 08 01 00 02 01 AB CD"])
async def test_a_gm65_acknowledges_and_reads_once_for_each_trigger(
    wire: MakeLine, host: Open, log: PhysicalLog, trigger: str
) -> None:
    line = wire()
    scanner = Scanner(line, log, "gm65")
    port = await host(line)
    scanner.show(b"CODE", 20.0)
    port.write(h(trigger))
    assert await port.read(12) == h("02 00 00 01 00 33 31") + b"CODE\r"
    port.write(h("7E 00 08 01 00 02 01 02 DB"))  # wrong checksum
    port.write(h(trigger))
    assert await port.read(12) == h("02 00 00 01 00 33 31") + b"CODE\r"
    scanner.silent = True
    port.write(h(trigger))
    await until(lambda: line.counters.bytes_in == 27)
    assert not port.data


async def test_a_honeywell_waits_for_a_code_until_it_is_stopped(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    scanner = Scanner(line, log, "honeywell", suffix=b"\r\n")
    port = await host(line)
    port.write(h("16 54 0D"))
    await until(lambda: scanner.looking_until > 0)
    scanner.show(b"A", 20.0)
    assert await port.read(3) == b"A\r\n"
    port.write(h("16 54 0D"))
    assert await port.read(3) == b"A\r\n"
    scanner.hide()
    port.write(h("16 54 0D"))
    await until(lambda: scanner.looking_until > 0)
    port.write(h("16 55 0D"))
    await until(lambda: scanner.looking_until == 0)
    scanner.show(b"B", 20.0)
    assert len(named(log, "scan_sent")) == 2


async def test_a_tag_repeats_while_it_is_in_the_field(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line = wire()
    reader = TagReader(line, log, repeat_s=0.01)
    port = await host(line)
    reader.see("62E3086CED")
    assert await port.read(28) == 2 * rdm6300("62E3086CED")
    reader.see(None)
    assert [m["tag"] for m in named(log, "tag_in_field")] == ["62E3086CED", ""]


async def test_junk_never_unlocks(wire: MakeLine, host: Open, log: PhysicalLog) -> None:
    line, bank = wire(), Bank()
    Boards8A(line, bank, Board8AOptions(), log)
    port = await host(line)
    rng = random.Random(5)
    port.write(bytes(b for b in rng.randbytes(600) if b not in (0x8A, 0x90)))
    port.write(h("8A 01 02 11 98"))
    await until(lambda: bool(bank.pulses))
    assert bank.pulses == [2]
