"""`vendingctl reader commission`, as a technician runs it, against a simulated reader on a pty."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.ports import SerialSettings
from drivers.readers.osdp_commission import SETTLE_S, CommissionError, commission
from drivers.wires.serial import SerialWire
from hw_sim.wires.osdp import ReaderOptions
from tests.contract.osdp.line import BADGE, CARD, KEY, OTHER, Bench, key_file, so
from tests.contract.serial.cables import RealClock, settings_of

SITE = """
schema = 1
machine = "cabinet-1"
site = "west"
[devices.locks]
driver = "lock-8a"
port = "locks"
[devices.reader]
driver = "osdp-reader"
port = "rs485"
baud = 115200
scbk = {scbk}
addresses = {addresses}
[[bays]]
id = "bay-1"
fits = ["key"]
lock = "locks"
[[terminals]]
id = "front"
keypad = "reader"
"""


@dataclass
class Done:
    code: int
    out: str
    err: str


class Desk:
    """A technician at the machine: a site file, a reader on the line, the command."""

    def __init__(self, folder: Path, *readers: ReaderOptions) -> None:
        self.folder = folder
        self.bench = Bench(folder, *readers, baud=115200)
        keys = ["reader.key"] if len(readers) == 1 else [f"reader{n}.key" for n in range(len(readers))]
        scbk = '"reader.key"' if len(readers) == 1 else json.dumps(keys)
        site = SITE.format(scbk=scbk, addresses=list(range(len(readers))))
        (folder / "site.toml").write_text(site)
        self.key, self.pending = folder / keys[0], folder / f"{keys[0]}.new"

    async def commission(self, device: str = "reader", *more: str) -> Done:
        command = [sys.executable, "-m", "vendingd.cli.main", "reader", "commission", device]
        process = await asyncio.create_subprocess_exec(
            *command, "--site", str(self.folder / "site.toml"), *more,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return Done(process.returncode or 0, out.decode(), " ".join(err.decode().split()))


@pytest.fixture
async def desks() -> AsyncIterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        await desk.bench.stop()


async def test_a_new_reader_gets_a_key_and_works_with_it(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    done = await desk.commission()
    assert (done.code, done.err) == (0, "") and "00CAFE-01-00C0FFEE has its key" in done.out
    assert stat.S_IMODE(desk.key.stat().st_mode) == 0o600 and not desk.pending.exists()
    (reader,) = desk.bench.readers
    assert reader.options.key == bytes.fromhex(desk.key.read_text()) and not reader.options.install
    assert desk.key.read_text().strip() not in done.out
    rig = await desk.bench.up(baud=115200, scbk=str(desk.key))  # what the daemon does with it
    reader.present(CARD)
    await rig.until(lambda: bool(desk.bench.badges()))
    assert desk.bench.badges() == [BADGE]


@pytest.mark.long
async def test_every_key_is_another(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True), ReaderOptions(install=True))
    desks.append(desk)
    assert (await desk.commission("reader:1")).code == 0
    done = await desk.commission("reader:2", "--json")
    told = json.loads(done.out)
    assert told["ok"] and told["key_file"] == str(tmp_path / "reader1.key")
    keys = [reader.options.key for reader in desk.bench.readers]
    assert keys[0] != keys[1] and None not in keys


async def test_a_reader_with_another_key_is_left_alone(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(key=OTHER))
    desks.append(desk)
    done = await desk.commission()
    assert done.code == 3 and "is not in installation mode" in done.err and "reset it as its manual says" in done.err
    assert desk.bench.readers[0].options.key == OTHER
    assert list(tmp_path.glob("*.key*")) == []


async def test_a_reader_without_secure_channel_is_refused(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(secure=False))
    desks.append(desk)
    done = await desk.commission()
    assert done.code == 3 and "offers no secure channel" in done.err
    assert list(tmp_path.glob("*.key*")) == []


@pytest.mark.long
async def test_no_answer_says_what_to_check(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    desk.bench.bus.silent = True
    done = await desk.commission()
    assert done.code == 3 and "does not answer: check its power, the wires A and B" in done.err
    assert list(tmp_path.glob("*.key*")) == []


@pytest.mark.long
async def test_a_key_that_is_there_is_kept_unless_said(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    key_file(desk.key)
    done = await desk.commission()
    assert done.code == 3 and "say --replace" in done.err
    assert desk.key.read_text() == KEY.hex() + "\n" and desk.bench.readers[0].options.install
    assert (await desk.commission("reader", "--replace")).code == 0
    assert desk.bench.readers[0].options.key == bytes.fromhex(desk.key.read_text()) != KEY


async def test_a_port_in_use_is_left_to_who_has_it(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)

    class Port:
        path = desk.bench.line.path

    held = SerialWire(settings_of(Port))  # type: ignore[arg-type]
    await held.open()
    try:
        done = await desk.commission()
    finally:
        held.close()
    assert done.code == 6 and "in use by another program" in done.err and "systemctl stop vendingd" in done.err
    assert desk.bench.readers[0].options.install and list(tmp_path.glob("*.key*")) == []


@pytest.mark.long
async def test_a_command_cut_short_is_gone_on_with(tmp_path: Path, desks: list[Desk]) -> None:
    """The reader took the key, and its line was pulled before it could say so: the key must not be lost."""
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    (reader,) = desk.bench.readers
    desk.bench.bus.answer_s = 0.1
    running = asyncio.create_task(desk.commission())
    await so(lambda: reader.keys_taken == 1)
    desk.bench.line.unplug()
    done = await running
    assert done.code == 3 and "is kept: the reader may have it" in done.err and not desk.key.exists()
    assert stat.S_IMODE(desk.pending.stat().st_mode) == 0o600
    desk.bench.line.plug()
    done = await desk.commission()
    assert done.code == 0 and reader.options.key == bytes.fromhex(desk.key.read_text()) and not desk.pending.exists()


@pytest.mark.long
async def test_a_key_that_one_reader_may_have_is_given_to_no_other(tmp_path: Path, desks: list[Desk]) -> None:
    """A try was cut short, and another reader stands there now."""
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    key_file(desk.pending)
    done = await desk.commission()
    assert done.code == 0 and "gets a new one" in done.err, done.err
    (reader,) = desk.bench.readers
    assert reader.options.key == bytes.fromhex(desk.key.read_text()) != KEY
    earlier = tmp_path / "reader.key.earlier"
    assert earlier.read_text() == KEY.hex() + "\n" and not desk.pending.exists()
    assert stat.S_IMODE(earlier.stat().st_mode) == 0o600


@pytest.mark.long
async def test_a_kept_key_stays_while_nobody_answers(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(key=KEY))
    desks.append(desk)
    key_file(desk.pending)
    desk.bench.bus.silent = True
    done = await desk.commission()
    assert done.code == 3 and "does not answer" in done.err and "is kept" in done.err
    assert [path.name for path in tmp_path.glob("*.key*")] == ["reader.key.new"]


class ForgetfulClock(RealClock):
    """Between the two sessions of a commissioning, which is its one long pause, something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = happens

    async def sleep_until(self, deadline_mono: float) -> None:
        if deadline_mono - self.monotonic() > SETTLE_S / 2:
            self._happens()
        await super().sleep_until(deadline_mono)


@pytest.mark.long
async def test_a_reader_that_takes_a_key_and_does_not_keep_it_has_none(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    (reader,) = desk.bench.readers

    def forgets() -> None:
        assert reader.keys_taken == 1
        reader.options.key = OTHER
        reader.restarted()

    wire = SerialWire(SerialSettings(str(desk.bench.line.path), 115200))
    await wire.open()
    try:
        with pytest.raises(CommissionError, match=r"took the new key, but .* when called by it") as failed:
            await commission(wire, 0, KEY, 115200, ForgetfulClock(forgets))
    finally:
        wire.close()
    assert failed.value.sent


async def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    site = (tmp_path / "site.toml").read_text().replace('"reader.key"', '"nowhere/reader.key"')
    (tmp_path / "site.toml").write_text(site)
    done = await desk.commission()
    assert done.code == 3 and "cannot be written" in done.err
    assert desk.bench.readers[0].options.install


@pytest.mark.parametrize("device", ["locks", "raeder", "reader:2", "reader:0"])
async def test_a_device_that_is_no_reader_is_named(tmp_path: Path, desks: list[Desk], device: str) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    done = await desk.commission(device)
    assert done.code == 2 and done.err.endswith("it has: reader")


async def test_of_several_readers_one_is_named(tmp_path: Path, desks: list[Desk]) -> None:
    desk = Desk(tmp_path, ReaderOptions(install=True), ReaderOptions(install=True))
    desks.append(desk)
    done = await desk.commission("reader")
    assert done.code == 2 and done.err.endswith("name one: reader:1, reader:2")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
async def test_the_key_is_the_daemons(tmp_path: Path, desks: list[Desk]) -> None:
    import pwd

    desk = Desk(tmp_path, ReaderOptions(install=True))
    desks.append(desk)
    assert (await desk.commission()).code == 0
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    assert desk.key.stat().st_uid == known.get("vendingd", 0)
