"""The roles code, keypad and tag against every serial driver that claims them, over raw ptys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.ports import CodeRead, DeviceStatus, DigitsEntered, KeyPressed, TagRead
from tests.contract.serial.cables import Cable, Rig

PASS = b"6BFOXN*TS0BI$ZD.P9UOL97O4-2HH77HRM3DSPTV"
TAG = bytes.fromhex("02 36 32 45 33 30 38 36 43 45 44 30 38 03")

Plug = Callable[..., tuple[Cable, Rig]]


@pytest.fixture
async def plugged(tmp_path: Path) -> AsyncIterator[Plug]:
    rigs: list[Rig] = []

    def make(driver: str, **options: Any) -> tuple[Cable, Rig]:
        cable = Cable(tmp_path / f"port{len(rigs)}")
        cable.plug()
        key, value = ("ports", [str(cable.path)]) if driver == "rdm6300" else ("port", str(cable.path))
        rigs.append(Rig(driver, [cable], **{key: value}, **options))
        return cable, rigs[-1]

    yield make
    for rig in rigs:
        await rig.stop()


def test_every_serial_driver_with_these_roles_is_here() -> None:
    serial = [name for name in registry.BUILT_IN if registry.BUILT_IN[name].startswith("drivers.readers.")]
    claims = {name: roles for name in serial if "badge" not in (roles := registry.find(name).roles)}  # of tests beside
    assert claims == {"line-scanner": {"code"}, "serial-keypad": {"keypad"}, "rdm6300": {"tag"}}


# ---------------------------------------------------------------- what all readers owe
SAMPLES: list[tuple[str, bytes, type[Any]]] = [
    ("line-scanner", PASS + b"\r", CodeRead),
    ("serial-keypad", b"1234#", DigitsEntered),
    ("rdm6300", TAG, TagRead),
]
each_reader = pytest.mark.parametrize(("driver", "sample", "kind"), SAMPLES, ids=[name for name, *_ in SAMPLES])


@each_reader
async def test_what_is_read_is_told_with_its_time(plugged: Plug, driver: str, sample: bytes, kind: type[Any]) -> None:
    cable, rig = plugged(driver)
    await rig.until(lambda: rig.up() is True)
    before = rig.clock.monotonic()
    cable.send(sample)
    await rig.until(lambda: bool(rig.of(kind)))
    (read,) = rig.of(kind)
    assert read.device == "device" and before <= read.at_mono <= rig.clock.monotonic()


@each_reader
async def test_what_came_while_the_link_was_down_is_never_told(
    plugged: Plug, driver: str, sample: bytes, kind: type[Any]
) -> None:
    cable, rig = plugged(driver)
    await rig.until(lambda: rig.up() is True)
    cable.send(sample[:4])
    cable.unplug()
    await rig.until(lambda: rig.up() is False)
    cable.plug()
    cable.send(sample)  # nobody has opened the port again: no other code ran since
    await rig.until(lambda: rig.up() is True)
    after = rig.clock.monotonic()
    cable.send(sample)
    await rig.until(lambda: bool(rig.of(kind)))
    assert [told(report) for report in rig.of(kind)] == [told_sample(driver)]
    assert rig.of(kind)[0].at_mono >= after


def told(report: CodeRead | DigitsEntered | TagRead) -> bytes | str | None:
    match report:
        case CodeRead(_, data, _):
            return data
        case DigitsEntered(_, digits, _):
            return digits
        case TagRead(_, _, tag, _):
            return tag


def told_sample(driver: str) -> bytes | str:
    return {"line-scanner": PASS, "serial-keypad": "1234", "rdm6300": "62E3086CED"}[driver]


@each_reader
async def test_unplugged_and_back_is_told_once_each(plugged: Plug, driver: str, sample: bytes, kind: type[Any]) -> None:
    cable, rig = plugged(driver)
    await rig.until(lambda: rig.up() is True)
    cable.unplug()
    await rig.until(lambda: rig.up() is False)
    assert any(word in rig.of(DeviceStatus)[-1].detail for word in ("check the cable", "went away"))
    cable.plug()
    await rig.until(lambda: rig.up() is True)
    ups = [status.up for status in rig.of(DeviceStatus)]
    assert ups.count(True) == 2


@each_reader
async def test_junk_stops_nobody(plugged: Plug, driver: str, sample: bytes, kind: type[Any]) -> None:
    cable, rig = plugged(driver)
    await rig.until(lambda: rig.up() is True)
    cable.send(bytes(n for n in range(256) if not 0x30 <= n <= 0x39))
    cable.send(b"\r")
    cable.send(sample)
    await rig.until(lambda: told_sample(driver) in [told(report) for report in rig.of(kind)])


# ---------------------------------------------------------------- codes
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b""], ids=["CR", "LF", "CRLF", "pause"])
async def test_a_code_in_pieces_ends_as_scanners_end_it(plugged: Plug, end: bytes) -> None:
    cable, rig = plugged("line-scanner", idle_gap_ms=300)
    await rig.until(lambda: rig.up() is True)
    for at in range(0, len(PASS), 7):
        cable.send(PASS[at : at + 7])
        await asyncio.sleep(0)
    cable.send(end)
    await rig.until(lambda: bool(rig.of(CodeRead)))
    assert [read.data for read in rig.of(CodeRead)] == [PASS]


async def test_a_line_without_end_is_dropped_and_the_next_read(plugged: Plug) -> None:
    cable, rig = plugged("line-scanner", max_length=64, idle_gap_ms=5000)
    await rig.until(lambda: rig.up() is True)
    for _ in range(40):
        cable.send(b"Z" * 50)
        await asyncio.sleep(0)
    cable.send(b"\r" + PASS + b"\r")
    await rig.until(lambda: bool(rig.of(CodeRead)))
    assert [read.data for read in rig.of(CodeRead)] == [PASS]
    assert "dropped lines over 64 bytes" in rig.of(DeviceStatus)[-1].detail and rig.up() is True


class TriggeredScanner:
    """Looks only when told to: answers, then sends the code that is held before it."""

    def __init__(self, cable: Cable, trigger: str, acknowledgement: str = "") -> None:
        self._cable = cable
        self._trigger = bytes.fromhex(trigger)
        self._acknowledgement = bytes.fromhex(acknowledgement)
        self._got = b""
        self.held = b""
        cable.on_bytes = self._take

    def _take(self, data: bytes) -> None:
        self._got += data
        while self._trigger in self._got:
            self._got = self._got.split(self._trigger, 1)[1]
            self._cable.send(self._acknowledgement)
            if self.held:
                self._cable.send(self.held + b"\r")
                self.held = b""


@pytest.mark.parametrize(
    ("name", "trigger", "acknowledgement"),
    [("gm65", "7E 00 08 01 00 02 01 02 DA", "02 00 00 01 00 33 31"), ("honeywell", "16 54 0D", "")],
)
async def test_a_triggered_scanner_looks_while_somebody_is_there(
    plugged: Plug, name: str, trigger: str, acknowledgement: str
) -> None:
    cable, rig = plugged("line-scanner", trigger=name)
    peer = TriggeredScanner(cable, trigger, acknowledgement)
    peer.held = PASS
    await rig.until(lambda: rig.up() is True)
    assert rig.of(CodeRead) == []
    rig.device.attend(True)
    await rig.until(lambda: bool(rig.of(CodeRead)))
    assert [read.data for read in rig.of(CodeRead)] == [PASS]
    peer.held = b"SECOND"
    await rig.until(lambda: len(rig.of(CodeRead)) == 2)
    assert rig.of(CodeRead)[1].data == b"SECOND"
    rig.device.attend(False)


# ---------------------------------------------------------------- keys
async def test_keys_of_a_keypad(plugged: Plug) -> None:
    cable, rig = plugged("serial-keypad")
    await rig.until(lambda: rig.up() is True)
    for key in b"98*1234#A":
        cable.send(bytes([key]))
        await asyncio.sleep(0)
    await rig.until(lambda: "return" in [report.key for report in rig.of(KeyPressed)])
    assert [report.key for report in rig.of(KeyPressed)] == [
        "digit", "digit", "clear", "digit", "digit", "digit", "digit", "return",
    ]  # fmt: skip
    assert [entered.digits for entered in rig.of(DigitsEntered)] == ["1234"]


# ---------------------------------------------------------------- tags
async def test_a_tag_comes_once_and_goes(plugged: Plug) -> None:
    cable, rig = plugged("rdm6300", gone_ms=500)
    await rig.until(lambda: rig.up() is True)
    for _ in range(5):
        cable.send(TAG)
        await asyncio.sleep(0)
    await rig.until(lambda: bool(rig.of(TagRead)) and rig.of(TagRead)[-1].tag is None)
    assert [(read.channel, read.tag) for read in rig.of(TagRead)] == [(1, "62E3086CED"), (1, None)]
