"""The driver `osdp-reader` against simulated readers over a real pty, at the line's speed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.ports import BadgeRead, DeviceStatus, DigitsEntered, Indicator, KeyPressed, LevelRead, Sampling, Sense
from hw_sim.wires.osdp import ReaderOptions
from tests.contract.osdp.line import BADGE, CARD, KEY, OTHER, Bench, key_file, so

MakeBench = Callable[..., Bench]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[MakeBench]:
    made: list[Bench] = []

    def make(*readers: ReaderOptions, baud: int = 9600) -> Bench:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Bench(folder, *readers, baud=baud))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def test_it_has_its_roles(bench: MakeBench) -> None:
    one = bench()
    one.start()
    assert isinstance(one.rig.device, Indicator) and isinstance(one.rig.device, Sampling)


# ---------------------------------------------------------------- what people do
@pytest.mark.parametrize("baud", [9600, 115200])
async def test_a_badge_is_told_once_with_its_time(bench: MakeBench, baud: int) -> None:
    one = bench(baud=baud)
    rig = await one.up(baud=baud)
    before = rig.clock.monotonic()
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    await one.polled()
    (read,) = rig.of(BadgeRead)
    assert (read.device, read.badge, read.channel) == ("device", BADGE, 1)
    assert before <= read.at_mono <= rig.clock.monotonic()


@pytest.mark.parametrize(
    ("bits", "data", "form", "badge"),
    [
        (26, "0123ABC0", 0, "wiegand26:0123ABC0"),  # the reader does not say what it is: the same card all the same
        (26, "0123ABFF", 1, "wiegand26:0123ABC0"),  # what is behind the bits is no part of them
        (32, "04112233", 1, "wiegand32:04112233"),
        (37, "0102030405", 1, "wiegand37:0102030400"),
        (200, "A5" * 25, 0, "wiegand200:" + "A5" * 25),
    ],
)
async def test_a_badge_is_named_by_its_bits(bench: MakeBench, bits: int, data: str, form: int, badge: str) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.readers[0].show_card(bits, bytes.fromhex(data), form)
    await rig.until(lambda: bool(one.badges()))
    assert one.badges() == [badge]


async def test_a_badge_that_stays_is_one_badge_and_another_is_another(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200, same_badge_s=60)
    for card in (CARD, CARD, "wiegand26:FF23ABC0", "wiegand26:FF23ABC0", CARD):
        one.readers[0].present(card)
    await rig.until(lambda: len(one.badges()) >= 3)
    await one.polled()
    assert one.badges() == [BADGE, "wiegand26:FF23ABC0", BADGE]


async def test_noise_of_a_few_bits_is_no_badge(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.readers[0].show_card(8, b"\xf0")
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    assert one.badges() == [BADGE]


async def test_keys_make_a_pin(bench: MakeBench) -> None:
    one = bench()
    rig = await one.up(return_key="A")
    one.pad.type("98*1234#A", 0.0)
    await rig.until(lambda: "return" in [pressed.key for pressed in rig.of(KeyPressed)])
    assert one.digits() == ["1234"]
    assert [pressed.key for pressed in rig.of(KeyPressed)] == [*["digit"] * 2, "clear", *["digit"] * 4, "return"]


async def test_digits_are_forgotten_when_nobody_goes_on(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200, forget_s=0.1)
    one.readers[0].press("12")
    await rig.until(lambda: len(rig.of(KeyPressed)) == 2)
    last_mono = rig.of(KeyPressed)[-1].at_mono
    await so(lambda: rig.clock.monotonic() - last_mono > 0.2)
    await one.polled()
    one.readers[0].press("34#")
    await rig.until(lambda: bool(one.digits()))
    assert one.digits() == ["34"]


async def test_digits_are_forgotten_when_the_reader_was_away(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.pad.type("12", 0.0)
    await rig.until(lambda: len(rig.of(KeyPressed)) == 2)
    one.line.unplug()
    await rig.until(lambda: rig.up() is False)
    one.line.plug()
    await rig.until(lambda: rig.up() is True)
    await one.polled()
    one.pad.type("34#", 0.0)
    await rig.until(lambda: bool(one.digits()))
    assert one.digits() == ["34"]


async def test_an_opened_housing_is_told_and_read_anew(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    await rig.until(lambda: one.tamper() is False)
    one.readers[0].open_housing(True)
    await rig.until(lambda: one.tamper() is True)
    rig.reports.clear()
    await rig.device.sample()
    assert rig.of(LevelRead) == [LevelRead("device", Sense.TAMPER, 1, True)]


async def test_a_housing_that_is_open_at_the_start_is_told(bench: MakeBench) -> None:
    one = bench(baud=115200)
    one.readers[0].tampered = True
    rig = await one.up(baud=115200)
    await rig.until(lambda: one.tamper() is True)


# ---------------------------------------------------------------- light and buzzer
async def test_signals_are_shown(bench: MakeBench) -> None:
    one = bench()
    rig = await one.up(idle_light="blue")
    lights = one.readers[0].lights
    await so(lambda: lights == {"steady": "blue", "blinking": False, "now": None})
    await rig.device.show("wait")
    await so(lambda: lights == {"steady": "amber", "blinking": True, "now": None})
    await rig.device.show("granted")
    await so(lambda: lights == {"steady": "blue", "blinking": False, "now": "green"})
    await so(lambda: one.readers[0].beeps == 1)
    await rig.device.show("refused")
    await so(lambda: lights["now"] == "red" and one.readers[0].beeps == 4)
    assert rig.up() is True


async def test_a_reader_that_comes_back_shows_what_lasts(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    await rig.device.show("wait")
    await so(lambda: one.readers[0].lights["steady"] == "amber")
    one.readers[0].restarted()
    await so(lambda: one.readers[0].lights["steady"] == "amber")


@pytest.mark.parametrize("lacks", ["led", "buzzer", "status"])
async def test_what_a_reader_does_not_know_does_not_take_it_down(bench: MakeBench, lacks: str) -> None:
    one = bench(ReaderOptions(key=KEY, **{lacks: False}), baud=115200)
    rig = await one.up(baud=115200)
    for signal in ("wait", "granted", "refused", "idle"):
        await rig.device.show(signal)
        await one.polled()
    if lacks == "status":  # nothing tells beforehand that it is not known: asked once, and never again
        await rig.until(lambda: rig.up() is True and one.tamper() is None)
        await one.polled()
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    assert [status.up for status in rig.of(DeviceStatus)].count(False) <= (lacks == "status")


# ---------------------------------------------------------------- keys
@pytest.mark.long
async def test_another_key_keeps_it_down_and_says_so(bench: MakeBench) -> None:
    one = bench(ReaderOptions(key=OTHER), baud=115200)
    rig = one.start(baud=115200)
    one.readers[0].present(CARD)
    await rig.until(lambda: rig.up() is False)
    advice = "reset it, then vendingctl reader commission device --replace"
    assert one.detail().endswith(f"has another key than ours, or none: {advice}")
    one.readers[0].open_housing(True)
    await so(lambda: one.line.counters.frames["answers"] >= 9)  # three attempts
    assert one.readers[0].plain_polls == 0 and one.badges() == []
    assert one.tamper() is None and rig.up() is False


@pytest.mark.long
async def test_a_reader_in_installation_mode_is_no_reader(bench: MakeBench) -> None:
    one = bench(ReaderOptions(install=True), baud=115200)
    rig = one.start(baud=115200)
    await rig.until(lambda: rig.up() is False)
    assert "vendingctl reader commission" in one.detail()
    assert one.readers[0].keys_taken == 0 and one.readers[0].options.install


async def test_a_reader_without_secure_channel_is_not_used(bench: MakeBench) -> None:
    one = bench(ReaderOptions(secure=False), baud=115200)
    rig = one.start(baud=115200)
    one.readers[0].present(CARD)
    await rig.until(lambda: rig.up() is False)
    assert "offers no secure channel" in one.detail()
    assert one.readers[0].plain_polls == 0 and one.badges() == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no key file"),
        (lambda path: key_file(path, mode=0o640), "chmod 600"),
        (lambda path: path.touch(mode=0o600), "holds no key"),
        (lambda path: key_file(path, KEY[:15]), "holds no key"),
        (lambda path: key_file(path, bytes(range(0x30, 0x40))), "that everybody knows"),
        (lambda path: path.mkdir(), "cannot be read"),
    ],
    ids=["none", "open to others", "empty", "short", "the default", "a folder"],
)
async def test_a_key_file_that_cannot_serve_is_told_and_a_good_one_taken_up(
    bench: MakeBench, make: Callable[[Path], None], said: str
) -> None:
    one = bench(baud=115200)
    path = one.folder / "the.key"
    make(path)
    rig = one.start(baud=115200, scbk=str(path))
    await rig.until(lambda: rig.up() is False)
    assert said in one.detail() and str(path) in one.detail()
    assert KEY.hex()[:30] not in one.detail() and one.readers[0].plain_polls == 0
    if path.is_dir():
        path.rmdir()
    new = key_file(one.folder / "new.key")
    os.replace(new, path)
    await rig.until(lambda: rig.up() is True)


# ---------------------------------------------------------------- outages
async def test_unplugged_and_back_and_nothing_of_meanwhile_counts(bench: MakeBench) -> None:
    one = bench()
    rig = await one.up()
    one.line.unplug()
    await rig.until(lambda: rig.up() is False)
    assert "check the cable" in one.detail() or "went away" in one.detail()
    await rig.until(lambda: one.tamper() is None)
    one.readers[0].present(CARD)
    one.pad.type("1234#", 0.0)
    one.line.plug()
    await rig.until(lambda: rig.up() is True)
    await one.polled()
    assert one.badges() == [] and one.digits() == []
    one.readers[0].present(CARD)
    one.pad.type("56#", 0.0)
    await rig.until(lambda: bool(one.badges()) and bool(one.digits()))
    assert (one.badges(), one.digits()) == ([BADGE], ["56"])


@pytest.mark.long
async def test_a_silent_reader_is_told_and_comes_back_without_its_old_cards(bench: MakeBench) -> None:
    """The bus is cut behind the adapter: nothing is unplugged, the session goes on where it was."""
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.bus.silent = True
    await rig.until(lambda: rig.up() is False)
    assert "does not answer" in one.detail() and one.tamper() is None
    one.readers[0].present(CARD)
    one.bus.silent = False
    await rig.until(lambda: rig.up() is True)
    await one.polled()
    assert one.badges() == []
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))


@pytest.mark.long
async def test_it_is_waited_for_from_the_start(bench: MakeBench) -> None:
    one = bench(baud=115200)
    one.bus.silent = True
    rig = one.start(baud=115200)
    await rig.until(lambda: rig.up() is False)
    assert "does not answer" in one.detail()
    await rig.device.sample()
    assert one.tamper() is None
    one.bus.silent = False
    await rig.until(lambda: rig.up() is True)


async def test_a_reader_that_lost_its_power_is_back(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.readers[0].restarted()
    await rig.until(lambda: rig.up() is False)
    await rig.until(lambda: rig.up() is True)
    await one.polled()
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))


async def test_late_replies_are_lived_with(bench: MakeBench) -> None:
    one = bench()
    one.line.faults.late_s = 0.1
    rig = await one.up()
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    assert one.badges() == [BADGE]


async def test_a_badge_whose_report_was_lost_on_the_way_is_asked_for_again(bench: MakeBench) -> None:
    one = bench(baud=115200)
    rig = await one.up(baud=115200)
    one.bus.answer_s = 0.1  # time to spoil just this answer
    one.readers[0].present(CARD)
    await so(lambda: not one.readers[0].kept)
    one.line.faults.drop_one_in, one.line.faults.drop_direction = 1, "out"
    await so(lambda: one.line.counters.dropped > 30)
    one.line.faults.drop_one_in = None
    await rig.until(lambda: bool(one.badges()))
    await one.polled()
    assert one.badges() == [BADGE]


async def test_an_adapter_that_hears_itself_is_no_reader(bench: MakeBench) -> None:
    one = bench(baud=115200)
    one.line.faults.echo = True
    rig = await one.up(baud=115200)
    one.readers[0].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    assert one.badges() == [BADGE]


# ---------------------------------------------------------------- several on one line
@pytest.mark.long
async def test_readers_of_one_line_are_channels_and_one_alone_can_be_down(bench: MakeBench) -> None:
    one = bench(ReaderOptions(key=KEY), ReaderOptions(key=OTHER), baud=115200)
    paths = (key_file(one.folder / "a.key"), key_file(one.folder / "b.key", OTHER))
    rig = one.start(baud=115200, scbk=tuple(map(str, paths)))
    await rig.until(lambda: rig.up(1) is True and rig.up(2) is True)
    await one.polled()
    one.readers[1].present(CARD)
    one.readers[1].press("12")
    one.readers[0].press("34#")  # at another terminal: it does not end what is typed at the other
    one.readers[1].press("5#")
    await rig.until(lambda: bool(one.badges()) and len(one.digits()) == 2)
    assert [(read.channel, read.badge) for read in rig.of(BadgeRead)] == [(2, BADGE)]
    entered = {read.channel: read.digits for read in rig.of(DigitsEntered)}
    assert entered == {1: "34", 2: "125"}
    assert {read.channel for read in rig.of(KeyPressed)} == {1, 2}
    await rig.device.show("granted", 2)
    await so(lambda: one.readers[1].lights["now"] == "green" and one.readers[1].beeps == 1)
    assert one.readers[0].lights["now"] is None and one.readers[0].beeps == 0
    one.readers[1].silent = True
    await rig.until(lambda: rig.up(2) is False)
    assert rig.up() is True and rig.up(1) is True
    one.readers[0].present(CARD)
    await rig.until(lambda: len(one.badges()) == 2)
    assert rig.of(BadgeRead)[-1].channel == 1
    one.readers[1].silent = False
    await rig.until(lambda: rig.up(2) is True)


async def test_a_reader_without_a_key_takes_down_itself_alone(bench: MakeBench) -> None:
    one = bench(ReaderOptions(key=KEY), ReaderOptions(key=OTHER), baud=115200)
    front, back = one.folder / "front.key", key_file(one.folder / "back.key", OTHER)
    rig = one.start(baud=115200, scbk=(str(front), str(back)))
    await rig.until(lambda: rig.up(2) is True and rig.up(1) is False)
    assert f"there is no key file {front}" in one.detail() and rig.up() is True
    assert rig.levels()[1] is None
    await one.polled()
    one.readers[1].present(CARD)
    await rig.until(lambda: bool(one.badges()))
    await rig.device.sample()
    assert [(read.channel, read.badge) for read in rig.of(BadgeRead)] == [(2, BADGE)]
    os.replace(key_file(one.folder / "new.key"), front)
    await rig.until(lambda: rig.up(1) is True and rig.up(2) is True)
    await one.polled()
    one.readers[0].present(CARD)
    await rig.until(lambda: len(one.badges()) == 2)
    assert rig.of(BadgeRead)[-1].channel == 1
