"""libosdp's panel behind our sieve, with a simulated reader: sessions in pieces, meddlers, outages."""

from __future__ import annotations

import time

import pytest

from drivers.readers.osdp_frames import PacketDecoder, crc16
from hw_sim.wires.osdp import KEYPAD, RAW, Reader, ReaderOptions
from tests.unit.drivers.osdp_bus import KEY, Bus, whole

CARD = bytes.fromhex("0123ABC0")


def forged(code: int, data: bytes, answer: bytes, block: bytes = b"") -> bytes:
    """A reply by somebody without the key, in the place of `answer` (with its mark)."""
    control = answer[5] & 0x07 | (0x08 if block else 0)
    length = 5 + len(block) + 1 + len(data) + 2
    start = bytes([0x53, 0x80, length & 0xFF, length >> 8, control]) + block + bytes([code]) + data
    return b"\xff" + start + crc16(start).to_bytes(2, "little")


def test_a_session_and_what_was_done_in_it() -> None:
    bus = Bus()
    bus.up()
    bus.reader.show_card(26, CARD)
    bus.reader.press("1#")
    bus.reader.open_housing(True)
    bus.until(lambda: len(bus.heard) == 3)
    assert not any(heard.stale for heard in bus.heard)
    assert [heard.event["event"] for heard in bus.heard] == [1, 2, 4]
    assert bus.heard[0].event["data"] == CARD and bus.heard[1].event["data"] == b"1\r"
    assert CARD.hex() not in repr(bus.heard) and "data" not in repr(bus.heard)


def test_a_recorded_session_split_at_every_point_is_the_same_session() -> None:
    bus = Bus()
    bus.up()
    bus.reader.show_card(26, CARD)
    bus.until(lambda: bool(bus.heard))
    stream = b"".join(b"\xff" + answer for answer in bus.answers)
    for at in range(len(stream) + 1):
        decoder = PacketDecoder()
        found = decoder.feed(stream[:at]) + decoder.feed(stream[at:])
        assert [one.raw for one in found] == bus.answers, at


def test_answers_that_come_in_pieces_cut_anywhere_are_taken() -> None:
    bus = Bus()
    cut = 1

    def pieces(answer: bytes) -> list[bytes]:
        return [answer[:cut], answer[cut:]]

    bus.meddle = pieces
    bus.up()
    longest = 0
    while cut <= longest or not longest:
        bus.reader.show_card(26, CARD)
        bus.until(lambda: bool(bus.heard))
        longest = longest or len(bus.answers[-1])
        assert bus.heard.pop().event["data"] == CARD
        cut += 1
    assert cut > 25 and bus.panel.up(0, time.monotonic())


# ---------------------------------------------------------------- what a reader kept
def test_what_a_reader_kept_before_it_was_there_is_stale() -> None:
    bus = Bus()
    bus.reader.show_card(26, CARD)
    bus.reader.press("1")
    bus.up()
    assert [heard.stale for heard in bus.heard] == [True, True]


def test_what_came_behind_a_silence_is_stale_and_after_it_new() -> None:
    bus = Bus()
    bus.up()
    bus.reader.silent = True
    since = time.monotonic()
    bus.until(lambda: time.monotonic() - since > 2.2)
    bus.reader.show_card(26, CARD)
    bus.reader.silent = False
    bus.until(lambda: bool(bus.heard))
    assert bus.heard.pop().stale
    bus.polls(2)
    bus.reader.show_card(26, CARD)
    bus.until(lambda: bool(bus.heard))
    assert not bus.heard[0].stale


# ---------------------------------------------------------------- meddlers
def test_a_card_in_the_clear_is_never_heard() -> None:
    """Somebody at the wires, without the key, from the first packet on."""
    bus = Bus()
    bus.meddle = lambda answer: [forged(RAW, b"\x00\x01\x1a\x00" + CARD, answer), answer]
    bus.up()
    bus.polls(10)
    assert bus.heard == []


@pytest.mark.parametrize("block", [b"", b"\x02\x12", b"\x03\x12\x01", b"\x03\x14\x01", b"\x02\x16", b"\x02\x18"])
@pytest.mark.parametrize("code", [RAW, KEYPAD])
def test_a_forged_report_within_a_session_is_never_heard(code: int, block: bytes) -> None:
    bus = Bus()
    bus.up()
    data = b"\x00\x01\x1a\x00" + CARD if code == RAW else b"\x00\x021#"
    done: list[bytes] = []

    def once(answer: bytes) -> list[bytes]:
        done.append(answer)
        return [forged(code, data, answer, block)] if len(done) == 1 else [answer]

    bus.meddle = once
    bus.polls(6)
    assert bus.heard == []


def test_a_card_heard_before_said_again_by_a_meddler_is_not_heard_again() -> None:
    bus = Bus()
    bus.up()
    bus.reader.show_card(26, CARD)
    bus.until(lambda: bool(bus.heard))
    old = b"\xff" + bus.answers[-1]
    bus.meddle = lambda answer: [old]
    bus.polls(3)
    assert len(bus.heard) == 1


def test_a_panel_that_does_not_enforce_would_have_listened() -> None:
    """That the simulated reader would tell everything in the clear: else the tests above show nothing."""
    bus = Bus(ReaderOptions(key=bytes(16)), install=True)
    bus.reader.show_card(26, CARD)
    bus.until(lambda: bus.panel.insecure(0))
    bus.polls(5)
    assert bus.reader.plain_polls > 0 and not bus.reader.kept  # told
    assert bus.heard == []  # and kept from libosdp all the same


# ---------------------------------------------------------------- keys and outages
def test_another_key_is_named_and_nothing_left_in_the_clear() -> None:
    bus = Bus(ReaderOptions(key=bytes(range(16))))
    bus.until(lambda: bus.panel.trouble(0) != "")
    assert bus.panel.trouble(0) == "has another key than ours, or none"
    assert bus.reader.plain_polls == 0 and not bus.panel.keyset_sent


def test_a_new_key_goes_over_the_well_known_one() -> None:
    bus = Bus(ReaderOptions(install=True), install=True)
    bus.until(lambda: bus.panel.up(0, time.monotonic()))
    assert bus.panel.keyset_sent and bus.reader.options.key == KEY and not bus.reader.options.install
    assert not any(KEY in packet for packet in bus.asked)
    assert bus.panel.identity(0) == "00CAFE-01-00C0FFEE"


def test_a_reader_that_was_replaced_by_a_stranger_is_not_trusted() -> None:
    bus = Bus()
    bus.up()
    stranger = Reader(0, ReaderOptions(key=bytes(range(16))), bus.reader.rng)
    bus.reader = stranger
    stranger.show_card(26, CARD)
    bus.until(lambda: not bus.panel.up(0, time.monotonic()))
    bus.until(lambda: bus.panel.trouble(0) != "")
    assert bus.heard == [] and stranger.plain_polls == 0


def test_three_restarts_in_a_row_are_survived() -> None:
    bus = Bus()
    bus.up()
    for _ in range(3):
        bus.reader.restarted()
        bus.until(lambda: not bus.panel.up(0, time.monotonic()))
        bus.until(lambda: bus.panel.up(0, time.monotonic()))
    bus.meddle = whole
    bus.polls(3)
    bus.reader.show_card(26, CARD)
    bus.until(lambda: bool(bus.heard))
