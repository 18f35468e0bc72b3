"""OSDP on the wire, as far as a reader's link has to understand it: frames, and which of them may be believed.

Bytes and frames only: no I/O, no time. The control panel itself is libosdp's; this part stands between it and the
port. The standard's facts (SIA OSDP 2.2, IEC 60839-11-5): the layout of a packet, the codes, CRC-16 with polynomial
1021 and start 1D0F, the types of the security block.

Ours is the sieve. libosdp 3.2 decodes some replies before it knows who sent them: a card that is reported while no
secure channel stands, or inside of one with a security block of the handshake, which carries no MAC; and a key or card
report that is longer than its buffer. `admitted` keeps all of those from it.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass, field
from typing import Final

from drivers.framing import Deframer

SOM: Final = 0x53
MARK: Final = 0xFF  # may stand before a packet, to let the line settle
REPLY: Final = 0x80  # in the address of what a reader says
WITH_CRC: Final = 0x04
WITH_BLOCK: Final = 0x08
LONGEST: Final = 256  # bytes; libosdp's buffer, and twice what a reader must be able to send

# commands
POLL, LSTAT, LED, BUZZER, KEYSET, CHALLENGE, SERVER_CRYPTOGRAM = 0x60, 0x64, 0x69, 0x6A, 0x75, 0x76, 0x77
# replies
ACK, NAK, PDID, PDCAP, LSTATR, RAW, KEYPAD = 0x40, 0x41, 0x45, 0x46, 0x48, 0x50, 0x53
CLIENT_CRYPTOGRAM, INITIAL_R_MAC, BUSY = 0x76, 0x78, 0x79

BEFORE_SECURE: Final = frozenset({ACK, NAK, PDID, PDCAP, CLIENT_CRYPTOGRAM, INITIAL_R_MAC, BUSY})
"""Replies that establish a secure channel, or refuse to. Nothing that a person did is among them."""

SEALED: Final = frozenset({0x16, 0x18})  # security blocks of replies that carry a MAC
PERSONAL_LONGEST: Final = 78  # 61 bytes of keys or card in a sealed packet; libosdp has room for 64


def crc16(data: bytes) -> int:
    """The standard's check of a packet, sent low byte first."""
    return crc_hqx(data, 0x1D0F)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet whose check was right. `block` is the security block's type, 0 where there is none."""

    address: int
    reply: bool
    code: int
    block: int
    raw: bytes = field(repr=False)  # from SOM to the check; may hold what a person typed


class PacketDecoder(Deframer[Packet]):
    """Bytes to packets, commands and replies alike."""

    def _length(self, buffer: bytes, at: int) -> int:
        if buffer[at] != SOM:
            return 0
        if len(buffer) - at < 5:
            return 5
        length = buffer[at + 2] | buffer[at + 3] << 8
        least = 8 if buffer[at + 4] & WITH_CRC else 7
        return length if least <= length <= LONGEST else 0

    def _parse(self, frame: bytes) -> Packet | None:
        return packet(frame)


def packet(frame: bytes) -> Packet | None:
    """The packet of exactly these bytes, without a mark; None where its check or its layout is wrong."""
    control = frame[4]
    if control & WITH_CRC:
        body, sound = frame[:-2], crc16(frame[:-2]) == frame[-2] | frame[-1] << 8
    else:
        body, sound = frame[:-1], sum(frame) & 0xFF == 0
    if not sound:
        return None
    at = 5
    block = 0
    if control & WITH_BLOCK:
        if len(body) < 7 or body[5] < 2:
            return None
        block = body[6]
        at += body[5]
    if at >= len(body):
        return None
    return Packet(frame[1] & 0x7F, bool(frame[1] & REPLY), body[at], block, frame)


def admitted(reply: Packet, *, secure: bool) -> bool:
    """Whether the control panel may see it: `secure` says that a channel with the reader's own key stands."""
    if not reply.reply:  # an adapter that hears itself
        return False
    if not secure:
        return reply.code in BEFORE_SECURE
    if reply.block not in SEALED:
        return reply.code == NAK and not reply.block  # how a reader says that it has lost the channel
    return reply.code not in (RAW, KEYPAD) or len(reply.raw) <= PERSONAL_LONGEST
