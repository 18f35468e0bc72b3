"""Scanner, keypad and tag readers in simulated time."""

import asyncio
import logging

import pytest

from drivers.memory import MemoryPeer
from drivers.ports import Attention, CodeRead, Device, DeviceStatus, DigitsEntered, KeyPressed, TagRead
from drivers.readers.line_scanner import DRIVER as SCANNER
from drivers.readers.rdm6300 import DRIVER as RDM6300
from drivers.readers.serial_keypad import DRIVER as KEYPAD
from tests.unit.drivers.drivers_virtual import Bench, VirtualLoop, start, virtually

CODE = b"6BF+70OC1NA 8P$JV"
GM65_TRIGGER = bytes.fromhex("7E 00 08 01 00 02 01 02 DA")
GM65_ACK = bytes.fromhex("02 00 00 01 00 33 31")
HONEYWELL_TRIGGER, HONEYWELL_STOP = bytes.fromhex("16 54 0D"), bytes.fromhex("16 55 0D")


def written(peer: MemoryPeer) -> list[bytes]:
    """Collects what the device writes, one entry for each write."""
    got: list[bytes] = []
    peer.on_bytes = got.append
    return got


# ---------------------------------------------------------------- scanner
def scanner(bench: Bench, **options: object) -> tuple[Device, MemoryPeer]:
    device = SCANNER.make("scan", SCANNER.options(port="scan", **options), bench.around)
    start(bench, device.run)
    return device, bench.ports.peer("scan")


@virtually
async def test_a_code_is_told_when_its_line_ends(bench: Bench) -> None:
    _, peer = scanner(bench)
    await bench.passes(1)
    assert bench.reports == [DeviceStatus("scan", True, "")]
    peer.send(CODE[:5])
    await bench.passes(0.05)
    peer.send(CODE[5:] + b"\r\n")
    await bench.passes(0)
    await bench.passes(0)
    assert bench.of(CodeRead) == [CodeRead("scan", CODE, bench.now())]


@virtually
async def test_a_pause_ends_a_code_whose_time_is_that_of_its_last_byte(bench: Bench) -> None:
    scanner_, peer = scanner(bench, idle_gap_ms=200)
    await bench.passes(1)
    peer.send(CODE)
    at_mono = bench.now()
    await bench.passes(0.1)
    assert bench.of(CodeRead) == []
    await bench.passes(0.2)
    assert bench.of(CodeRead) == [CodeRead(scanner_.name, CODE, at_mono)]


@virtually
async def test_a_process_that_was_late_itself_does_not_take_its_own_pause_for_the_line_s_end(bench: Bench) -> None:
    _, peer = scanner(bench, idle_gap_ms=100)
    await bench.passes(1)
    peer.send(CODE[:5])
    await bench.passes(0.01)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.call_soon(peer.send, CODE[5:] + b"\r")  # read in the very turn in which the time-out is found due
    loop.hangs(1.0)
    await bench.passes(0.1)
    assert [read.data for read in bench.of(CodeRead)] == [CODE]


@virtually
async def test_the_same_code_again_is_passed_on(bench: Bench) -> None:
    _, peer = scanner(bench)
    await bench.passes(1)
    peer.send((CODE + b"\r") * 3)
    await bench.passes(1)
    assert [read.data for read in bench.of(CodeRead)] == [CODE] * 3


@virtually
async def test_an_endless_line_is_dropped_and_told_once(bench: Bench) -> None:
    _, peer = scanner(bench, max_length=100)
    await bench.passes(1)
    for _ in range(500):
        peer.send(b"x" * 96)
        await bench.passes(0.05)
    peer.send(b"end\rgood\r")
    for _ in range(2):
        await bench.passes(0.05)
        peer.send(b"y" * 101 + b"\r")
    await bench.passes(0.05)
    assert [read.data for read in bench.of(CodeRead)] == [b"good"]
    assert [status.detail for status in bench.of(DeviceStatus)][:2] == [
        "",
        "dropped lines over 100 bytes: 1 so far",
    ]
    assert all(status.up for status in bench.of(DeviceStatus))
    assert len(bench.of(DeviceStatus)) <= 3


@virtually
async def test_half_a_code_before_a_loss_is_forgotten_and_what_came_meanwhile_too(bench: Bench) -> None:
    _, peer = scanner(bench)
    await bench.passes(1)
    peer.send(b"half a pa")
    await bench.passes(0.01)
    peer.unplug()
    await bench.passes(1)
    peer.send(b"meanwhile\r")
    peer.plug()
    await bench.passes(6)
    peer.send(b"whole\r")
    await bench.passes(1)
    assert [read.data for read in bench.of(CodeRead)] == [b"whole"]
    assert [status.up for status in bench.of(DeviceStatus)] == [True, False, False, True]  # lost, missing, back


@virtually
async def test_gm65_is_triggered_while_somebody_is_there(bench: Bench) -> None:
    device, peer = scanner(bench, trigger="gm65")
    assert isinstance(device, Attention)
    got = written(peer)
    await bench.passes(5)
    assert got == []
    device.attend(True)
    await bench.passes(1)
    assert got == [GM65_TRIGGER]
    peer.send(GM65_ACK)
    await bench.passes(1)
    peer.send(CODE + b"\r")
    await bench.passes(0.5)
    assert [read.data for read in bench.of(CodeRead)] == [CODE]
    assert got == [GM65_TRIGGER] * 2, "again after a code"
    await bench.passes(10)
    assert len(got) >= 4, "again when the module may have stopped by itself"
    device.attend(False)
    got.clear()
    await bench.passes(20)
    assert got == []


@virtually
async def test_gm65_acknowledgement_in_front_of_a_code_without_a_line_end(bench: Bench) -> None:
    _, peer = scanner(bench, trigger="gm65")
    await bench.passes(1)
    peer.send(GM65_ACK[:3])
    await bench.passes(1)
    peer.send(GM65_ACK[3:] + CODE)
    await bench.passes(1)
    assert [read.data for read in bench.of(CodeRead)] == [CODE]


@virtually
async def test_honeywell_is_told_to_stop(bench: Bench) -> None:
    device, peer = scanner(bench, trigger="honeywell")
    assert isinstance(device, Attention)
    got = written(peer)
    device.attend(True)
    await bench.passes(1)
    device.attend(False)
    await bench.passes(20)
    assert got == [HONEYWELL_TRIGGER, HONEYWELL_STOP]


@virtually
async def test_the_trigger_is_sent_again_after_a_loss(bench: Bench) -> None:
    device, peer = scanner(bench, trigger="honeywell")
    assert isinstance(device, Attention)
    device.attend(True)
    await bench.passes(1)
    peer.unplug()
    got = written(peer)
    peer.plug()
    await bench.passes(2)
    assert got[:1] == [HONEYWELL_TRIGGER]


@virtually
async def test_a_scanner_without_a_trigger_is_written_nothing(bench: Bench) -> None:
    device, peer = scanner(bench)
    assert isinstance(device, Attention)
    got = written(peer)
    device.attend(True)
    await bench.passes(10)
    device.attend(False)
    await bench.passes(10)
    assert got == []


# ---------------------------------------------------------------- keypad
def keypad(bench: Bench, **options: object) -> MemoryPeer:
    device = KEYPAD.make("pad", KEYPAD.options(port="pad", **options), bench.around)
    start(bench, device.run)
    return bench.ports.peer("pad")


@virtually
async def test_keys_and_entries(bench: Bench) -> None:
    peer = keypad(bench)
    await bench.passes(1)
    peer.send(b"12*34#A")
    await bench.passes(0.5)
    keys = [report.key for report in bench.of(KeyPressed)]
    assert keys == ["digit", "digit", "clear", "digit", "digit", "return"]
    assert bench.of(DigitsEntered) == [DigitsEntered("pad", "34", 1.0)]


@virtually
async def test_digits_are_forgotten_when_nobody_goes_on(bench: Bench) -> None:
    peer = keypad(bench, forget_s=10)
    await bench.passes(1)
    peer.send(b"12")
    await bench.passes(9)
    peer.send(b"3")
    await bench.passes(9)
    peer.send(b"4#")
    await bench.passes(1)
    peer.send(b"99")
    await bench.passes(11)
    peer.send(b"5#")
    await bench.passes(1)
    assert [entered.digits for entered in bench.of(DigitsEntered)] == ["1234", "5"]


@virtually
async def test_digits_are_forgotten_with_the_link(bench: Bench) -> None:
    peer = keypad(bench)
    await bench.passes(1)
    peer.send(b"12")
    await bench.passes(0.1)
    peer.unplug()
    peer.plug()
    await bench.passes(1)
    peer.send(b"34#")
    await bench.passes(0.1)
    assert [entered.digits for entered in bench.of(DigitsEntered)] == ["34"]


# ---------------------------------------------------------------- tags
TAG = bytes.fromhex("02 36 32 45 33 30 38 36 43 45 44 30 38 03")
OTHER = b"\x020A0B0C0D0E0E\x03"


def tags(bench: Bench, *ports: str) -> list[MemoryPeer]:
    device = RDM6300.make("tags", RDM6300.options(ports=ports), bench.around)
    start(bench, device.run)
    return [bench.ports.peer(port) for port in ports]


def seen(bench: Bench, channel: int) -> list[str | None]:
    return [read.tag for read in bench.of(TagRead) if read.channel == channel]


@virtually
async def test_a_tag_is_told_once_while_it_stays_and_when_it_goes(bench: Bench) -> None:
    (peer,) = tags(bench, "one")
    await bench.passes(0.5)
    for _ in range(20):
        peer.send(TAG)
        await bench.passes(0.3)
    assert seen(bench, 1) == ["62E3086CED"]
    await bench.passes(10)
    assert seen(bench, 1) == ["62E3086CED", None]
    peer.send(OTHER + TAG)
    await bench.passes(0.1)
    assert seen(bench, 1)[2:] == ["0A0B0C0D0E", "62E3086CED"]


@virtually
async def test_a_field_that_is_empty_from_the_beginning_is_told(bench: Bench) -> None:
    tags(bench, "one")
    await bench.passes(1.4)
    assert seen(bench, 1) == []
    await bench.passes(60)
    assert seen(bench, 1) == [None]


@virtually
async def test_noise_does_not_keep_a_tag_in_the_field(bench: Bench) -> None:
    (peer,) = tags(bench, "one")
    await bench.passes(0.5)
    peer.send(TAG)
    for _ in range(20):
        await bench.passes(0.2)
        peer.send(TAG[:-2] + b"9\x03")
    assert seen(bench, 1) == ["62E3086CED", None]


@virtually
async def test_readers_are_independent_and_a_loss_says_nothing_of_the_field(bench: Bench) -> None:
    first, second = tags(bench, "one", "two")
    await bench.passes(0.1)
    first.send(TAG)
    second.send(OTHER)
    await bench.passes(0.1)
    first.unplug()
    await bench.passes(0.5)
    second.send(OTHER)
    await bench.passes(0.5)
    assert (seen(bench, 1), seen(bench, 2)) == (["62E3086CED"], ["0A0B0C0D0E"])
    whole, one, two = bench.status(), bench.status(1), bench.status(2)
    assert whole is not None and whole.up and "one is not there" in whole.detail
    assert one is not None and not one.up
    assert two is not None and two.up
    first.plug()
    await bench.passes(5)
    first.send(TAG)
    await bench.passes(0.1)
    assert seen(bench, 1)[-1] == "62E3086CED", "told again: nobody knows what happened meanwhile"


# ---------------------------------------------------------------- secrets
def test_nothing_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    async def body(bench: Bench) -> None:
        _, scan = scanner(bench, max_length=32)
        pad = keypad(bench)
        await bench.passes(1)
        scan.send(b"SECRETPASS\r" + b"SECRETPASS" * 30 + b"\r")
        pad.send(b"471147114711471#")
        pad.send(b"4711#")
        await bench.passes(1)
        scan.unplug()
        pad.unplug()
        await bench.passes(1)
        told.extend(map(repr, bench.reports))
        assert len(bench.of(CodeRead)) == len(bench.of(DigitsEntered)) == 1

    virtually(body)()
    assert caplog.text.count("dropped lines") == 1
    for text in (caplog.text, *told):
        assert "SECRET" not in text and "4711" not in text
