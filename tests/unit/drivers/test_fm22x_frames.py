"""The codec of FM22x modules: golden frames at every split, junk, and what must never be said."""

from functools import reduce
from operator import xor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.faces import fm22x_frames as frames
from drivers.faces.fm22x_frames import Command, Decoder, Direction, Match, Message, Note, Ready, Reply, Seen

NAME = b"ref-a"
MATCH = bytes([0x12, 0x00, 0x00, 0x01]) + NAME.ljust(32, b"\0") + bytes([0x00, 0xC8])


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def framed(mid: int, data: bytes) -> bytes:
    body = bytes([mid]) + len(data).to_bytes(2, "big") + data
    return b"\xef\xaa" + body + bytes([reduce(xor, body)])


GOLDEN: list[tuple[bytes, Message]] = [
    (h("EF AA 01 00 01 00 00"), Ready()),
    (h("EF AA 00 00 02 12 0D 1D"), Reply(0x12, 13)),
    (h("EF AA 00 00 02 12 0C 1C"), Reply(0x12, 12)),
    (h("EF AA 00 00 05 26 00 00 01 00 22"), Reply(0x26, 0, h("00 01 00"))),
    (h("EF AA 00 00 03 11 00 00 12"), Reply(0x11, 0, b"\0")),
    (framed(0, MATCH), Reply(0x12, 0, MATCH[2:])),
    (framed(1, h("01 06 00") + bytes(14)), Seen(6)),
    (framed(1, h("01 FF FF") + bytes(14)), Seen(-1)),
    (framed(1, h("02")), Note(2)),
]
STREAM = b"".join(frame for frame, _ in GOLDEN)
MESSAGES = [message for _, message in GOLDEN]


# ---------------------------------------------------------------- what the module says
@pytest.mark.parametrize(("frame", "message"), GOLDEN, ids=[frame.hex() for frame, _ in GOLDEN])
def test_every_message_at_every_split(frame: bytes, message: Message) -> None:
    for cut in range(len(frame) + 1):
        decoder = Decoder()
        assert decoder.feed(frame[:cut]) + decoder.feed(frame[cut:]) == [message]
        assert not decoder.pending and decoder.junk == decoder.corrupt == 0


def test_a_stream_of_them_at_every_two_splits() -> None:
    for first in range(0, len(STREAM) + 1):
        for second in range(first, len(STREAM) + 1, 7):
            decoder = Decoder()
            parts = (STREAM[:first], STREAM[first:second], STREAM[second:])
            assert [message for part in parts for message in decoder.feed(part)] == MESSAGES


@pytest.mark.parametrize("at", range(len(framed(0, MATCH))))
def test_a_wrong_byte_anywhere_is_noticed_and_the_next_frame_read(at: int) -> None:
    frame = bytearray(framed(0, MATCH))
    frame[at] ^= 0x10
    decoder = Decoder()
    found = decoder.feed(bytes(frame))
    decoder.reset()  # a size that grew waits for more: the pause ends it
    assert found + decoder.feed(GOLDEN[0][0]) == [Ready()]


@pytest.mark.parametrize("at", range(len(framed(0, MATCH))))
def test_a_lost_byte_anywhere_is_noticed_and_the_next_frame_read(at: int) -> None:
    frame = framed(0, MATCH)
    decoder = Decoder()
    found = decoder.feed(frame[:at] + frame[at + 1 :] + GOLDEN[0][0] + bytes(8))
    assert found == [Ready()]


def test_a_size_beyond_belief_does_not_swallow_what_follows() -> None:
    decoder = Decoder()
    assert decoder.feed(h("EF AA 02 FF FF") + GOLDEN[0][0]) == [Ready()]
    assert decoder.feed(h("EF AA 00 01 01") + GOLDEN[0][0]) == [Ready()]


def test_an_echo_of_ours_and_pictures_are_no_messages() -> None:
    decoder = Decoder()
    assert decoder.feed(frames.verify(10) + framed(2, b"picture") + GOLDEN[1][0]) == [Reply(0x12, 13)]
    assert decoder.junk == decoder.corrupt == 0


@given(st.lists(st.binary(max_size=60), max_size=20))
@example([b"\xef", b"\xaa", b"\x00\x01\x00"])
def test_whatever_arrives_memory_is_bounded_and_a_frame_after_a_pause_is_read(parts: list[bytes]) -> None:
    decoder = Decoder()
    for part in parts:
        decoder.feed(part)
        assert len(decoder._held) < 6 + frames.MAX_DATA
    decoder.reset()
    assert decoder.feed(STREAM) == MESSAGES


@given(st.binary(max_size=200).filter(lambda data: b"\xef" not in data), st.sampled_from(GOLDEN))
def test_a_frame_behind_junk_is_read(junk: bytes, golden: tuple[bytes, Message]) -> None:
    assert Decoder().feed(junk + golden[0]) == [golden[1]]


@given(st.binary(max_size=frames.MAX_DATA))
def test_readers_of_data_take_anything(data: bytes) -> None:
    match, enrolled, text = frames.read_match(data), frames.read_enrolled(data), frames.read_text(data)
    assert (match is None) == (len(data) < 34)
    assert (enrolled is None) == (len(data) < 3)
    assert text.isascii() and text.strip() == text


def test_whom_a_success_names() -> None:
    assert frames.read_match(MATCH[2:]) == Match(1, NAME, 0xC8)
    assert frames.read_match(MATCH[2:-2]) == Match(1, NAME, None)
    demo = b"\xff\xff" + bytes(32) + h("00 C8")
    assert frames.read_match(demo) == Match(frames.NOBODY, b"", 0xC8)


def test_texts_end_where_the_padding_begins() -> None:
    assert frames.read_text(b"HLK-1 \0\0") == frames.read_text(b"HLK-1\xff\xff") == "HLK-1"
    assert frames.read_text(b"") == frames.read_text(b"\xff") == ""


def test_no_representation_shows_a_name() -> None:
    assert "ref" not in repr(Decoder().feed(framed(0, MATCH))) + repr(frames.read_match(MATCH[2:]))


# ---------------------------------------------------------------- what is said to it
def test_golden_commands() -> None:
    assert frames.encode(Command.STATUS) == h("EF AA 11 00 00 11")
    assert frames.encode(Command.RESET) == h("EF AA 10 00 00 10")
    assert frames.verify(10) == h("EF AA 12 00 02 00 0A 1A")
    assert frames.delete_user(1) == h("EF AA 20 00 02 00 01 23")
    assert frames.demo_off() == h("EF AA FE 00 01 00 FF")


@pytest.mark.parametrize(
    ("direction", "tail"), [(Direction.ANY, "00 01 00 0A 00 00 00"), (Direction.LEFT, "04 00 00 0A 00 00 00")]
)
def test_an_enrolment_has_forty_bytes(direction: Direction, tail: str) -> None:
    frame = frames.enrol(NAME, direction, timeout_s=10)
    assert frame == framed(0x26, b"\0" + NAME.ljust(32, b"\0") + h(tail))
    assert frame[3:5] == h("00 28")


@pytest.mark.parametrize("uid", [-1, 0, 0xFFFF, 0x10000])
def test_a_number_that_no_user_has_is_not_deleted(uid: int) -> None:
    with pytest.raises(ValueError, match="no user's number"):
        frames.delete_user(uid)


@given(st.integers(frames.FIRST_UID, frames.LAST_UID))
def test_one_user_is_deleted_and_never_all(uid: int) -> None:
    frame = frames.delete_user(uid)
    assert frame[2] == 0x20 and frame[5:7] == uid.to_bytes(2, "big")
    assert 0x21 not in set(Command)


@pytest.mark.parametrize("seconds", [0, 256, -1])
def test_seconds_are_one_byte_and_some(seconds: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 255"):
        frames.verify(seconds)


@pytest.mark.parametrize("name", [b"", b"x" * 32, b"a\0b"])
def test_a_name_keeps_its_last_byte_zero(name: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 31 bytes"):
        frames.enrol(name, Direction.ANY, timeout_s=10)
