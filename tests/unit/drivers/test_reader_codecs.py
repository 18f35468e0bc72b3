"""Lines, keys and tags: codecs of the readers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.readers.keys import Entry, Key, KeypadDecoder
from drivers.readers.lines import GM65_ACK, LineDecoder
from drivers.readers.rdm6300_frames import TagDecoder

CODE = b"6BF+70OC1NA 8P$JV"


# ---------------------------------------------------------------- lines
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_at_every_split(end: bytes) -> None:
    data = CODE + end + b"SECOND" + end
    for cut in range(len(data) + 1):
        decoder = LineDecoder(64)
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [CODE, b"SECOND"]
        assert not decoder.pending


def test_a_pause_ends_a_line() -> None:
    decoder = LineDecoder(64)
    assert decoder.feed(CODE) == []
    assert decoder.pending
    assert decoder.pause() == [CODE]
    assert decoder.pause() == []
    assert not decoder.pending


def test_a_line_of_the_longest_length_passes_and_one_more_byte_does_not() -> None:
    decoder = LineDecoder(20)
    assert decoder.feed(b"x" * 20 + b"\r" + b"y" * 21 + b"\r" + b"z\r") == [b"x" * 20, b"z"]
    assert decoder.dropped == 1


def test_an_endless_line_is_dropped_whole_up_to_its_end() -> None:
    decoder = LineDecoder(100)
    for _ in range(2000):
        assert decoder.feed(b"A" * 997) == []
        assert len(decoder._line) <= 100
    assert decoder.feed(b"tail of it\rgood\r") == [b"good"]
    assert decoder.dropped == 1


@given(st.lists(st.binary(max_size=50), max_size=40))
def test_whatever_arrives_memory_is_bounded(parts: list[bytes]) -> None:
    decoder = LineDecoder(16, GM65_ACK)
    for part in parts:
        assert all(len(line) <= 16 for line in decoder.feed(part))
        assert len(decoder._line) <= 16 + len(GM65_ACK)


def test_the_acknowledgement_is_stripped_at_every_split() -> None:
    data = GM65_ACK + CODE + b"\r" + GM65_ACK + GM65_ACK + b"SECOND\r"
    for cut in range(len(data) + 1):
        decoder = LineDecoder(64, GM65_ACK)
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [CODE, b"SECOND"]


def test_an_acknowledgement_in_two_pieces_with_a_pause_between_is_no_code() -> None:
    for cut in range(1, len(GM65_ACK)):
        decoder = LineDecoder(64, GM65_ACK)
        assert decoder.feed(GM65_ACK[:cut]) == decoder.pause() == []
        assert decoder.feed(GM65_ACK[cut:]) == decoder.pause() == []
        assert not decoder.pending
        assert decoder.feed(CODE) == []
        assert decoder.pause() == [CODE]


def test_reset_forgets_the_line_that_has_begun() -> None:
    decoder = LineDecoder(64)
    decoder.feed(b"half a pa")
    decoder.reset()
    assert decoder.feed(b"whole\r") == [b"whole"]


def test_no_representation_shows_a_code() -> None:
    decoder = LineDecoder(64)
    decoder.feed(CODE)
    assert CODE.decode() not in repr(decoder)


# ---------------------------------------------------------------- keys
def keypad(max_digits: int = 4) -> KeypadDecoder:
    return KeypadDecoder(enter="#", clear="*", return_key="A", max_digits=max_digits)


def test_digits_are_told_one_by_one_without_what_they_are_and_entered_together() -> None:
    assert keypad().feed(b"1207#") == [Key.DIGIT] * 4 + [Entry("1207")]


def test_clear_forgets() -> None:
    assert keypad().feed(b"12*34#") == [Key.DIGIT, Key.DIGIT, Key.CLEAR, Key.DIGIT, Key.DIGIT, Entry("34")]


def test_enter_without_digits_says_nothing_and_unknown_keys_are_passed_over() -> None:
    assert keypad().feed(b"##\r\n\x00\xffB") == []


def test_too_many_digits_are_no_entry() -> None:
    decoder = keypad()
    assert decoder.feed(b"12345#") == [Key.DIGIT] * 5 + [Key.CLEAR]
    assert decoder.feed(b"1234#")[-1] == Entry("1234")


def test_the_return_key_leaves_digits_alone() -> None:
    assert keypad().feed(b"1A2#") == [Key.DIGIT, Key.RETURN, Key.DIGIT, Entry("12")]


def test_a_forgotten_entry_is_not_completed() -> None:
    decoder = keypad()
    decoder.feed(b"99")
    assert decoder.pending
    decoder.forget()
    assert not decoder.pending
    assert decoder.feed(b"12#")[-1] == Entry("12")


def test_no_representation_shows_digits() -> None:
    decoder = keypad()
    decoder.feed(b"4711")
    assert "4711" not in repr(decoder)
    assert "4711" not in repr(Entry("4711"))


# ---------------------------------------------------------------- tags
TAG = bytes.fromhex("02 36 32 45 33 30 38 36 43 45 44 30 38 03")


def test_the_vendors_tag_at_every_split() -> None:
    for cut in range(len(TAG) + 1):
        decoder = TagDecoder()
        assert decoder.feed(TAG[:cut]) + decoder.feed(TAG[cut:]) == ["62E3086CED"]
    assert TagDecoder().feed(TAG * 3) == ["62E3086CED"] * 3


def test_lower_case_is_told_in_upper_case() -> None:
    assert TagDecoder().feed(TAG.lower()) == ["62E3086CED"]


@pytest.mark.parametrize("bit", range(14 * 8))
def test_one_wrong_bit_never_makes_another_tag(bit: int) -> None:
    data = bytearray(TAG)
    data[bit // 8] ^= 1 << bit % 8
    # a letter's case is one bit, and says the same
    assert set(TagDecoder().feed(bytes(data) + bytes(14))) <= {"62E3086CED"}


def test_a_wrong_checksum_is_counted() -> None:
    decoder = TagDecoder()
    assert decoder.feed(TAG[:-2] + b"9" + TAG[-1:] + TAG) == ["62E3086CED"]
    assert decoder.corrupt == 1


@given(st.binary(max_size=60))
def test_a_tag_behind_junk_is_found_and_memory_bounded(junk: bytes) -> None:
    decoder = TagDecoder()
    assert "62E3086CED" in decoder.feed(junk + TAG + TAG)
    decoder.feed(junk)
    assert len(decoder._held) < 14
