"""Base45 (RFC 9285), for the alphanumeric mode of QR codes."""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


def encode(data: bytes) -> str:
    out = []
    for i in range(0, len(data) - 1, 2):
        n = data[i] << 8 | data[i + 1]
        out.append(ALPHABET[n % 45] + ALPHABET[n // 45 % 45] + ALPHABET[n // 2025])
    if len(data) % 2:
        out.append(ALPHABET[data[-1] % 45] + ALPHABET[data[-1] // 45])
    return "".join(out)


def decode(text: str) -> bytes:
    """Raises ValueError for what no encoder makes."""
    digits = [ALPHABET.index(c) for c in text]
    out = bytearray()
    for i in range(0, len(digits), 3):
        group = digits[i : i + 3]
        if len(group) == 1:
            raise ValueError("a single character is left")
        n = sum(d * 45**k for k, d in enumerate(group))
        if n >= 256 ** (len(group) - 1):
            raise ValueError("a group is out of range")
        out += n.to_bytes(len(group) - 1, "big")
    return bytes(out)
