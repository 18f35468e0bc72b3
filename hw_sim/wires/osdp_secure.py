"""OSDP's secure channel from the reader's side, as the standard describes it (SIA OSDP 2.2, annex D; AES-128).

Packets of a channel that stands carry four bytes of a MAC; what they carry besides is enciphered. Each MAC begins with
the one of the packet before it in the other direction, so that none can be repeated or left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

DEFAULT_KEY = bytes(range(0x30, 0x40))  # SCBK-D, for readers in installation mode: everybody knows it
MAC_SENT = 4


def _ecb(key: bytes, block: bytes) -> bytes:
    enciphered = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return enciphered.update(block) + enciphered.finalize()


def _cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    enciphered = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return enciphered.update(data) + enciphered.finalize()


def padded(data: bytes) -> bytes:
    """One byte 80, then 00 up to a whole block."""
    return data + b"\x80" + bytes(-(len(data) + 1) % 16)


def _inverted(block: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in block)


@dataclass(slots=True)
class Channel:
    """The keys of one session and the MACs of its newest packets."""

    s_enc: bytes
    s_mac1: bytes
    s_mac2: bytes
    rnd_a: bytes  # the panel's random number
    rnd_b: bytes  # the reader's
    c_mac: bytes = b""  # of the newest command
    r_mac: bytes = b""  # of the newest reply
    stands: bool = False

    @classmethod
    def begin(cls, scbk: bytes, rnd_a: bytes, rnd_b: bytes) -> Channel:
        """The session keys of a base key and the panel's random number."""

        def derived(first: int, second: int) -> bytes:
            return _ecb(scbk, bytes([first, second]) + rnd_a[:6] + bytes(8))

        return cls(derived(0x01, 0x82), derived(0x01, 0x01), derived(0x01, 0x02), rnd_a, rnd_b)

    @property
    def client_cryptogram(self) -> bytes:
        return _ecb(self.s_enc, self.rnd_a + self.rnd_b)

    @property
    def server_cryptogram(self) -> bytes:
        return _ecb(self.s_enc, self.rnd_b + self.rnd_a)

    def stand(self) -> bytes:
        """The panel has proved itself: the initial R-MAC."""
        self.r_mac = _ecb(self.s_mac2, _ecb(self.s_mac1, self.server_cryptogram))
        self.stands = True
        return self.r_mac

    def _mac(self, iv: bytes, packet: bytes) -> bytes:
        whole = packet if len(packet) % 16 == 0 else padded(packet)
        if len(whole) > 16:
            iv = _cbc(self.s_mac1, iv, whole[:-16])[-16:]
        return _cbc(self.s_mac2, iv, whole[-16:])

    def accept(self, packet: bytes, mac: bytes) -> bool:
        """Whether the MAC of a command (from its SOM on) is right; then it is the newest one."""
        made = self._mac(self.r_mac, packet)
        if made[:MAC_SENT] != mac:
            return False
        self.c_mac = made
        return True

    def sign(self, packet: bytes) -> bytes:
        """The bytes of the MAC that a reply carries."""
        self.r_mac = self._mac(self.c_mac, packet)
        return self.r_mac[:MAC_SENT]

    def decipher(self, data: bytes) -> bytes:
        """What a command carries; called before `accept` has moved on. Raises ValueError for what is no padding."""
        plain = Cipher(algorithms.AES(self.s_enc), modes.CBC(_inverted(self.r_mac))).decryptor()
        text = (plain.update(data) + plain.finalize()).rstrip(b"\x00")
        if text[-1:] != b"\x80":
            raise ValueError("enciphered data without padding")
        return text[:-1]

    def encipher(self, data: bytes) -> bytes:
        """What a reply carries."""
        return _cbc(self.s_enc, _inverted(self.c_mac), padded(data))
