"""The 8A codec against the vendors' own frames, and against everything else that can arrive or be asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.locks import eight_a
from drivers.locks.eight_a import AllStates, Decoder, OneState, Opened, OpenOne, QueryAll, QueryOne, encode

OPEN_ALL_LOCK = 0


def frame(text: str) -> bytes:
    return bytes.fromhex(text)


def all_states(address: int, *status: int) -> bytes:
    """Reply to query-all, written down from the description rather than by the codec."""
    body = bytes([0x80, address, *status, 0x33])
    total = 0
    for byte in body:
        total ^= byte
    return body + bytes([total])


CLOSED_24 = (False,) * 24
GOLDEN = [
    (3, "8A 01 01 00 8A", Opened(1, 1, False)),
    (3, "8A 01 01 11 9B", Opened(1, 1, True)),  # equals the command
    (0, "80 01 01 00 80", OneState(1, 1, False, pushed=False)),
    (0, "80 01 01 11 91", OneState(1, 1, True, pushed=False)),
    (3, "81 01 01 11 90", OneState(1, 1, True, pushed=True)),
    (3, "82 01 02 00 81", OneState(1, 2, False, pushed=True)),
    (3, "80 01 00 00 00 33 B2", AllStates(1, CLOSED_24)),
]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (OpenOne(1, 1), "8A 01 01 11 9B"),
        (OpenOne(1, 2), "8A 01 02 11 98"),
        (QueryOne(1, 1), "80 01 01 33 B3"),
        (QueryAll(1), "80 01 00 33 B2"),
    ],
)
def test_commands_are_the_vendors_frames(command: eight_a.Command, expected: str) -> None:
    assert encode(command) == frame(expected)


@pytest.mark.parametrize(("status", "text", "expected"), GOLDEN)
def test_frames_split_anywhere(status: int, text: str, expected: eight_a.Frame) -> None:
    data = frame(text)
    for cut in range(len(data) + 1):
        decoder = Decoder(status)
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [expected]
        assert (decoder.corrupt, decoder.junk) == (0, 0)
    decoder = Decoder(status)
    assert [found for byte in data for found in decoder.feed(bytes([byte]))] == [expected]
    assert decoder.feed(data * 3) == [expected] * 3


def test_highest_group_first_and_bit_0_is_the_lowest_lock() -> None:
    (found,) = Decoder().feed(all_states(1, 0x80, 0x02, 0x05))
    assert isinstance(found, AllStates)
    assert [lock for lock, state in enumerate(found.eleven, start=1) if state] == [1, 3, 10, 24]


@pytest.mark.parametrize(("locks", "status"), [(1, 3), (8, 3), (24, 3), (25, 4), (48, 6), (64, 8)])
def test_status_bytes(locks: int, status: int) -> None:
    assert eight_a.status_bytes(locks) == status


def test_all_commands_that_can_be_made_open_one_lock_at_most() -> None:
    """Every whole number that could be meant by mistake: refused, or one lock of one board."""
    made = set()
    for address in range(-1, 300):
        for lock in range(-1, 300):
            try:
                made.add(encode(OpenOne(address, lock)))
            except ValueError:
                assert not (1 <= address <= 31 and 1 <= lock <= 64)
    assert len(made) == 31 * 64
    assert all(data[0] == 0x8A and data[2] != OPEN_ALL_LOCK and len(data) == 5 for data in made)


class Sly(int):
    """Compares as 1, encodes as 0."""

    def __index__(self) -> int:
        return 0


@pytest.mark.parametrize("lock", [True, 1.0, "1", None, Sly(1), b"\x01"])
def test_only_plain_integers_name_a_lock(lock: object) -> None:
    with pytest.raises(ValueError, match="lock must be a whole number from 1 to 64"):
        OpenOne(1, lock)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [OpenOne, QueryOne])
def test_a_command_forced_past_its_checks_is_refused_by_the_encoder(kind: type[OpenOne]) -> None:
    command = kind(1, 1)
    object.__setattr__(command, "lock", OPEN_ALL_LOCK)
    with pytest.raises(ValueError, match="lock must be"):
        encode(command)
    other = QueryAll(1)
    object.__setattr__(other, "address", 0)
    with pytest.raises(ValueError, match="address must be"):
        encode(other)


@given(st.integers(), st.integers())
def test_no_integers_open_more_than_one(address: int, lock: int) -> None:
    try:
        data = encode(OpenOne(address, lock))
    except ValueError:
        return
    assert data[0] == 0x8A and data[1] == address and data[2] == lock != OPEN_ALL_LOCK


@given(st.binary(max_size=40), st.integers(0, 40))
def test_a_good_frame_behind_junk_is_found(junk: bytes, cut: int) -> None:
    good = all_states(3, 0, 0, 0xFF)
    data = junk + good + good
    decoder = Decoder()
    found = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
    # junk that ends like the beginning of a frame may swallow the first of two, never both
    assert AllStates(3, (True,) * 8 + (False,) * 16) in found


@given(st.lists(st.binary(max_size=64), max_size=60))
def test_endless_junk_holds_less_than_a_frame(parts: list[bytes]) -> None:
    decoder = Decoder(8)
    for part in parts:
        decoder.feed(part)
        assert len(decoder._held) < 12


@pytest.mark.parametrize("text", [text for _, text, _ in GOLDEN[4:]])
def test_one_wrong_bit_is_counted_and_dropped(text: str) -> None:
    good = frame(text)
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        decoder = Decoder()
        assert decoder.feed(bytes(data) + bytes(12)) == []
        assert decoder.corrupt + decoder.junk > 0


@pytest.mark.parametrize("text", ["8A 01 00 11 9A", "8A 00 01 11 9A", "81 01 01 22 A3", "8A 20 01 11 BA"])
def test_frames_with_impossible_fields_are_dropped(text: str) -> None:
    decoder = Decoder()
    assert decoder.feed(frame(text) + bytes(8)) == []
    assert decoder.corrupt >= 1


def test_an_echo_of_our_query_is_no_reply() -> None:
    decoder = Decoder()
    assert decoder.feed(frame("80 01 00 33 B2") + all_states(1, 0, 0, 1)) == [AllStates(1, (True,) + (False,) * 23)]
    assert (decoder.echoes, decoder.corrupt) == (1, 0)


def test_a_reply_that_begins_like_an_echo_is_a_reply() -> None:
    decoder = Decoder()
    (found,) = decoder.feed(all_states(1, 0x00, 0x33, 0xB2))
    assert isinstance(found, AllStates) and decoder.echoes == 0


def test_reset_forgets_half_a_frame() -> None:
    decoder = Decoder()
    decoder.feed(frame("80 01 00"))
    decoder.reset()
    assert decoder.feed(all_states(1, 0, 0, 0)) == [AllStates(1, CLOSED_24)]
    assert decoder.junk == 3
