"""The codec of the PN532: golden frames at every split, junk, cards."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.readers import pn532_frames as frames
from drivers.readers.pn532_frames import Acknowledged, Answer, AskedAgain, Decoder, Message, NotUnderstood


def h(text: str) -> bytes:
    return bytes.fromhex(text)


FOUND = h("00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 11 22 33 44 24 00")
CARD = h("01 01 00 04 08 04 11 22 33 44")
GOLDEN: list[tuple[bytes, Message]] = [
    (h("00 00 FF 00 FF 00"), Acknowledged()),
    (h("00 00 FF FF 00 00"), AskedAgain()),
    (h("00 00 FF 01 FF 7F 81 00"), NotUnderstood()),
    (h("00 00 FF 02 FE D5 15 16 00"), Answer(0x14, b"")),
    (h("00 00 FF 06 FA D5 03 32 01 06 07 E8 00"), Answer(0x02, h("32 01 06 07"))),
    (h("00 00 FF 03 FD D5 4B 00 E0 00"), Answer(0x4A, b"\0")),
    (FOUND, Answer(0x4A, CARD)),
]
STREAM = b"".join(frame for frame, _ in GOLDEN)
MESSAGES = [message for _, message in GOLDEN]


# ---------------------------------------------------------------- what the chip says
@pytest.mark.parametrize(("frame", "message"), GOLDEN, ids=[frame.hex() for frame, _ in GOLDEN])
def test_every_message_at_every_split(frame: bytes, message: Message) -> None:
    for cut in range(len(frame) + 1):
        decoder = Decoder()
        assert decoder.feed(frame[:cut]) + decoder.feed(frame[cut:]) == [message]
        assert not decoder.pending and decoder.corrupt == 0


def test_a_stream_of_them_at_every_two_splits() -> None:
    for first in range(len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1, 3):
            decoder = Decoder()
            parts = (STREAM[:first], STREAM[first:second], STREAM[second:])
            assert [message for part in parts for message in decoder.feed(part)] == MESSAGES


def test_a_lost_preamble_loses_nothing() -> None:
    assert Decoder().feed(GOLDEN[0][0][1:-1] + FOUND[1:]) == [Acknowledged(), Answer(0x4A, CARD)]


def test_a_lost_zero_does_not_make_another_card() -> None:
    """The sum is the same without it, and the last zero would be the checksum."""
    frame = h("00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 11 00 33 44 46 00")
    assert Decoder().feed(frame) == [Answer(0x4A, h("01 01 00 04 08 04 11 00 33 44"))]
    assert Decoder().feed(frame[:14] + frame[15:]) == []


@pytest.mark.parametrize("at", range(1, len(FOUND) - 1))
def test_a_wrong_byte_anywhere_is_noticed_and_the_next_frame_read(at: int) -> None:
    frame = bytearray(FOUND)
    frame[at] ^= 0x01
    assert Decoder().feed(bytes(frame) + GOLDEN[0][0]) == [Acknowledged()]


@pytest.mark.parametrize("at", range(2, len(FOUND)))
def test_a_lost_byte_anywhere_is_noticed(at: int) -> None:
    decoder = Decoder()
    assert decoder.feed(FOUND[:at] + FOUND[at + 1 :]) == []
    decoder.reset()
    assert decoder.feed(GOLDEN[0][0]) == [Acknowledged()]


def test_an_echo_of_ours_is_no_message() -> None:
    decoder = Decoder()
    assert decoder.feed(frames.WAKE + frames.normal_mode() + frames.list_cards() + FOUND) == [Answer(0x4A, CARD)]
    assert decoder.corrupt == 0


def test_a_card_whose_number_looks_like_an_acknowledgement() -> None:
    body = h("D5 4B 01 01 00 04 08 07 00 00 FF 00 FF 00 00")
    frame = b"\0\0\xff" + bytes([len(body), -len(body) & 0xFF]) + body + bytes([-sum(body) & 0xFF, 0])
    for cut in range(len(frame) + 1):
        decoder = Decoder()
        (found,) = decoder.feed(frame[:cut]) + decoder.feed(frame[cut:])
        assert isinstance(found, Answer) and frames.read_card(found.data) == h("00 00 FF 00 FF 00 00")


@given(st.lists(st.binary(max_size=60), max_size=20))
@example([b"\x00\xff", b"\xfe\x02"])
@example([b"\x00\xff\xff\xff\x00\x00"])
def test_whatever_arrives_memory_is_bounded_and_a_frame_after_a_pause_is_read(parts: list[bytes]) -> None:
    decoder = Decoder()
    for part in parts:
        decoder.feed(part)
        assert len(decoder._held) < 5 + 255
    decoder.reset()
    assert decoder.feed(STREAM) == MESSAGES


@given(st.binary(max_size=100).filter(lambda data: b"\xff" not in data), st.sampled_from(GOLDEN))
def test_a_frame_behind_junk_is_read(junk: bytes, golden: tuple[bytes, Message]) -> None:
    assert Decoder().feed(junk + golden[0]) == [golden[1]]


def test_no_representation_shows_a_number() -> None:
    assert "11" not in repr(Decoder().feed(FOUND))


# ---------------------------------------------------------------- cards
@pytest.mark.parametrize(
    ("data", "uid"),
    [
        ("00", None),
        ("01 01 00 04 08 04 11 22 33 44", "11 22 33 44"),
        ("01 01 00 44 00 07 04 11 22 33 44 55 66", "04 11 22 33 44 55 66"),
        ("01 01 00 44 20 04 11 22 33 44 06 75 77 81 02 80 00", "11 22 33 44"),  # with what it says beyond its number
        ("01 01 00 44 00 0A 00 01 02 03 04 05 06 07 08 09", "00 01 02 03 04 05 06 07 08 09"),
    ],
)
def test_the_number_of_a_card(data: str, uid: str | None) -> None:
    assert frames.read_card(h(data)) == (None if uid is None else h(uid))


@pytest.mark.parametrize("data", ["", "01", "01 01 00 04 08", "01 01 00 04 08 05 1 2 3 4 5", "01 01 00 04 08 04 11 22"])
def test_a_card_that_contradicts_itself(data: str) -> None:
    with pytest.raises(ValueError, match=r"number"):
        frames.read_card(bytes(int(part, 16) for part in data.split()))


@given(st.binary(max_size=250))
def test_any_answer_is_a_card_or_none_or_refused(data: bytes) -> None:
    try:
        uid = frames.read_card(data)
    except ValueError:
        return
    assert uid is None or (len(uid) in (4, 7, 10) and uid in data)


@pytest.mark.parametrize(
    ("uid", "random"), [("08 11 22 33", True), ("04 11 22 33", False), ("08 11 22 33 44 55 66", False)]
)
def test_a_number_made_up_at_random_has_four_bytes_and_begins_with_08(uid: str, random: bool) -> None:
    assert frames.is_random(h(uid)) is random


# ---------------------------------------------------------------- what is said to it
def test_golden_commands() -> None:
    assert frames.WAKE + frames.normal_mode() == h("55 55") + bytes(14) + h("00 00 FF 03 FD D4 14 01 17 00")
    assert frames.list_cards() == h("00 00 FF 04 FC D4 4A 01 00 E1 00")
    assert frames.firmware() == h("00 00 FF 02 FE D4 02 2A 00")
    assert frames.field_off() == h("00 00 FF 04 FC D4 32 01 00 F9 00")
    assert frames.look_briefly() == h("00 00 FF 06 FA D4 32 05 FF 01 01 F4 00")


def test_what_does_not_fit_into_one_frame() -> None:
    assert len(frames.encode(frames.Command.RF, bytes(250))) == 259
    with pytest.raises(ValueError, match="one frame"):
        frames.encode(frames.Command.RF, bytes(251))
