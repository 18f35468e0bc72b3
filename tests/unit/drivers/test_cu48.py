"""The CU48 codec against the vendor's own frames, and against everything else that can arrive or be asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.locks import cu48
from drivers.locks.cu48 import Decoder, States, Status, Unlock, encode

REPLY = bytes.fromhex("02 00 00 65 07 00 00 00 00 C0 03 31")
LOCKED = {1, 2, 3, 47, 48}
EXPECTED = States(0, tuple(lock in LOCKED for lock in range(1, 49)))


def reply(address: int, *status: int) -> bytes:
    body = bytes([0x02, address, 0x00, 0x65, *status, 0x03])
    return body + bytes([sum(body) % 256])


@pytest.mark.parametrize(
    ("command", "expected"),
    [(Status(0), "02 00 00 50 03 55"), (Unlock(0, 1), "02 00 00 51 03 56")],
)
def test_commands_are_the_vendors_frames(command: cu48.Command, expected: str) -> None:
    assert encode(command) == bytes.fromhex(expected)


def test_reply_split_anywhere() -> None:
    for cut in range(len(REPLY) + 1):
        decoder = Decoder()
        assert decoder.feed(REPLY[:cut]) + decoder.feed(REPLY[cut:]) == [EXPECTED]
        assert (decoder.corrupt, decoder.junk) == (0, 0)
    decoder = Decoder()
    assert [found for byte in REPLY for found in decoder.feed(bytes([byte]))] == [EXPECTED]
    assert decoder.feed(REPLY * 3) == [EXPECTED] * 3


def test_all_commands_that_can_be_made_open_one_lock_at_most() -> None:
    """Wire lock 30 and wire address 0A open everything; so do not even their neighbours reach them."""
    made = set()
    for address in range(-1, 300):
        for lock in range(-1, 300):
            try:
                made.add(encode(Unlock(address, lock)))
            except ValueError:
                assert not (0 <= address <= 9 and 1 <= lock <= 48)
    assert len(made) == 10 * 48
    assert all(data[1] <= 0x09 and data[2] <= 0x2F and data[3] == 0x51 for data in made)


def test_the_whole_bus_cannot_be_asked_either() -> None:
    with pytest.raises(ValueError, match="address must be a whole number from 0 to 9, not 10"):
        Status(10)


@given(st.integers(), st.integers())
def test_no_integers_open_more_than_one(address: int, lock: int) -> None:
    try:
        data = encode(Unlock(address, lock))
    except ValueError:
        return
    assert data[1] == address <= 9 and data[2] == lock - 1 <= 0x2F


class Sly(int):
    """Compares as 1, counts as 49."""

    def __sub__(self, other: int) -> int:
        return 48


@pytest.mark.parametrize("lock", [True, 1.0, "1", None, Sly(1)])
def test_only_plain_integers_name_a_lock(lock: object) -> None:
    with pytest.raises(ValueError, match="lock must be a whole number from 1 to 48"):
        Unlock(0, lock)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("lock", 49), ("lock", 0), ("address", 10)])
def test_a_command_forced_past_its_checks_is_refused_by_the_encoder(name: str, value: int) -> None:
    command = Unlock(0, 1)
    object.__setattr__(command, name, value)
    with pytest.raises(ValueError, match=f"{name} must be"):
        encode(command)


@given(st.binary(max_size=40), st.integers(0, 40))
def test_a_good_frame_behind_junk_is_found(junk: bytes, cut: int) -> None:
    good = reply(7, 1, 2, 3, 4, 5, 6)
    data = junk + good + good
    decoder = Decoder()
    found = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
    assert any(states.address == 7 for states in found)


@given(st.lists(st.binary(max_size=64), max_size=60))
def test_endless_junk_holds_less_than_a_frame(parts: list[bytes]) -> None:
    decoder = Decoder()
    for part in parts:
        decoder.feed(part)
        assert len(decoder._held) < 12


@pytest.mark.parametrize("bit", range(96))
def test_one_wrong_bit_is_counted_and_dropped(bit: int) -> None:
    data = bytearray(REPLY)
    data[bit // 8] ^= 1 << bit % 8
    decoder = Decoder()
    assert decoder.feed(bytes(data) + bytes(12)) == []
    assert decoder.corrupt + decoder.junk > 0


@pytest.mark.parametrize("broken", [reply(10, 0, 0, 0, 0, 0, 0), reply(0, 0, 0, 0, 0, 0, 0)[:-1] + b"\x00"])
def test_impossible_addresses_and_sums_are_counted(broken: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(broken + bytes(12)) == []
    assert decoder.corrupt == 1


def test_echoes_of_our_commands_are_passed_over() -> None:
    decoder = Decoder()
    echoes = bytes.fromhex("02 00 00 51 03 56") + bytes.fromhex("02 00 00 50 03 55")
    assert decoder.feed(echoes + REPLY) == [EXPECTED]
    assert (decoder.echoes, decoder.corrupt, decoder.junk) == (2, 0, 0)
