"""OSDP's packets: the standard's own examples, every split point, junk, and what is kept from the control panel."""

from __future__ import annotations

import pytest

from drivers.readers.osdp_frames import (
    ACK,
    BEFORE_SECURE,
    KEYPAD,
    LSTATR,
    NAK,
    RAW,
    Packet,
    PacketDecoder,
    admitted,
    crc16,
    packet,
)

# Annex E of the standard: COMSET to the configuration address and ID to address 0, with CRC and with checksum
COMSET_CRC, ID_CRC = "53 7F 0D 00 04 6E 00 80 25 00 00 6E 38", "53 00 09 00 04 61 00 C0 66"
COMSET_SUM, ID_SUM = "53 7F 0C 00 00 6E 00 80 25 00 00 0F", "53 00 08 00 00 61 00 44"
POLL_65, ACK_65 = "53 65 08 00 04 60 60 90", "53 E5 07 00 01 40 80"
SEALED_ACK = "53 E5 09 00 09 02 16 40 5E"
GOLDEN = [COMSET_CRC, ID_CRC, COMSET_SUM, ID_SUM, POLL_65, ACK_65, SEALED_ACK]


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def built(code: int, data: bytes = b"", *, block: bytes = b"", address: int = 0x80) -> bytes:
    length = 5 + len(block) + 1 + len(data) + 2
    start = bytes([0x53, address, length & 0xFF, length >> 8, 0x0C if block else 0x04]) + block + bytes([code]) + data
    return start + crc16(start).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (COMSET_CRC, (0x7F, False, 0x6E, 0)),
        (COMSET_SUM, (0x7F, False, 0x6E, 0)),
        (ID_CRC, (0x00, False, 0x61, 0)),
        (ID_SUM, (0x00, False, 0x61, 0)),
        (POLL_65, (0x65, False, 0x60, 0)),
        (ACK_65, (0x65, True, 0x40, 0)),
        (SEALED_ACK, (0x65, True, 0x40, 0x16)),
    ],
)
def test_golden_packets(text: str, told: tuple[int, bool, int, int]) -> None:
    found = packet(h(text))
    assert found is not None
    assert (found.address, found.reply, found.code, found.block) == told and found.raw == h(text)


def test_every_split_point_gives_the_same_packets() -> None:
    stream = b"".join(b"\xff" + h(text) for text in GOLDEN)
    for at in range(len(stream) + 1):
        decoder = PacketDecoder()
        found = decoder.feed(stream[:at]) + decoder.feed(stream[at:])
        assert [one.raw for one in found] == [h(text) for text in GOLDEN], at


def test_byte_by_byte_gives_the_same_packets() -> None:
    decoder = PacketDecoder()
    stream = b"".join(map(h, GOLDEN))
    found = [one for n in range(len(stream)) for one in decoder.feed(stream[n : n + 1])]
    assert [one.raw for one in found] == [h(text) for text in GOLDEN]


@pytest.mark.parametrize("text", GOLDEN)
def test_no_single_wrong_byte_gets_through(text: str) -> None:
    sound = h(text)
    for at in range(len(sound)):
        for flip in (0x01, 0x80, 0xFF):
            wrong = bytearray(sound)
            wrong[at] ^= flip
            assert PacketDecoder().feed(bytes(wrong)) == [], (at, flip)


@pytest.mark.parametrize(
    "junk",
    ["FF FF FF", "53", "53 53", "53 80 FF 00 04", "53 80 05 00 04", "00 11 22 53 00 09 00 04 61 00 C0 67"],
)
def test_a_packet_behind_junk_is_found(junk: str) -> None:
    decoder = PacketDecoder()
    found = decoder.feed(h(junk) + h(ID_CRC))
    while not found:  # a length that was junk is waited for until enough has come
        found = decoder.feed(h(ID_CRC))
    assert found[0].raw == h(ID_CRC)


def test_a_question_ends_the_wait_for_a_cut_answer() -> None:
    decoder = PacketDecoder()
    assert decoder.feed(h(ACK_65)[:6]) == []
    decoder.reset()
    assert [one.raw for one in decoder.feed(h(ACK_65))] == [h(ACK_65)]


@pytest.mark.parametrize(
    "raw",
    [
        built(ACK, block=b"\x00\x16"),  # a block that does not even hold its own length
        built(ACK, block=b"\x01\x16"),
        built(ACK, block=b"\x40\x16"),  # one that goes beyond the packet
    ],
)
def test_a_security_block_that_cannot_be_is_no_packet(raw: bytes) -> None:
    assert packet(raw) is None


# ---------------------------------------------------------------- the sieve
def reply(code: int, block: int = 0, data: bytes = b"") -> Packet:
    found = packet(built(code, data, block=bytes([2, block]) if block else b""))
    assert found is not None
    return found


@pytest.mark.parametrize("code", [RAW, KEYPAD, LSTATR, 0x51, 0x54, 0x90])
@pytest.mark.parametrize("block", [0, 0x12, 0x14, 0x16, 0x18])
def test_without_a_secure_channel_nobody_reports_anything(code: int, block: int) -> None:
    assert not admitted(reply(code, block), secure=False)


@pytest.mark.parametrize("code", sorted(BEFORE_SECURE))
def test_without_a_secure_channel_one_can_be_made(code: int) -> None:
    assert admitted(reply(code), secure=False)


@pytest.mark.parametrize("code", [RAW, KEYPAD, LSTATR, ACK, 0x76, 0x78])
@pytest.mark.parametrize("block", [0, 0x11, 0x12, 0x13, 0x14, 0x15, 0x17, 0x19])
def test_inside_of_a_secure_channel_everything_carries_a_mac(code: int, block: int) -> None:
    assert not admitted(reply(code, block), secure=True)


@pytest.mark.parametrize("block", [0x16, 0x18])
def test_what_carries_a_mac_is_let_through(block: int) -> None:
    assert admitted(reply(RAW, block, bytes(20)), secure=True)


def test_a_reader_may_say_in_the_clear_that_it_has_lost_the_channel() -> None:
    assert admitted(reply(NAK, data=b"\x06"), secure=True)
    assert not admitted(reply(NAK, 0x12, b"\x06"), secure=True)


@pytest.mark.parametrize("code", [RAW, KEYPAD])
def test_more_than_libosdp_has_room_for_is_kept_from_it(code: int) -> None:
    data = 64 + 4  # 4 blocks enciphered, and the MAC: at most 61 bytes of card or keys
    assert admitted(reply(code, 0x18, bytes(data)), secure=True)
    assert not admitted(reply(code, 0x18, bytes(data + 16)), secure=True)


@pytest.mark.parametrize("secure", [False, True])
def test_our_own_echo_is_no_reply(secure: bool) -> None:
    found = packet(built(ACK, address=0x00))
    assert found is not None and not admitted(found, secure=secure)
