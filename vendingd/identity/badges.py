"""Badges: known by a keyed hash, so that neither journal nor cloud ever holds a number that could be copied to a card.

A badge's number has few bits (a UID has 32): a plain hash of it is as good as the number. With the site's key it is
not, as long as the key stays where it is: in the daemon's file, and with whoever makes the reservations.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32


class BadgeKeyError(ValueError):
    """The site's key for badges cannot be used; says what to do, never what is in the file."""


@dataclass(frozen=True, slots=True)
class BadgeKey:
    """The site's key for badges."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises BadgeKeyError."""
        if len(self.key) != KEY_BYTES:
            raise BadgeKeyError(f"want {KEY_BYTES} bytes in base64")

    @classmethod
    def parse(cls, text: str) -> BadgeKey:
        """From the file's text: base64 of either alphabet, with or without padding. Raises BadgeKeyError."""
        bare = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return cls(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True))
        except (binascii.Error, ValueError):
            raise BadgeKeyError(f"want {KEY_BYTES} bytes in base64") from None

    @classmethod
    def load(cls, path: Path) -> BadgeKey:
        """The key of a file that only its owner may read. Blocking. Raises BadgeKeyError with the path."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise BadgeKeyError(f"{path}: not a file")
                if found.st_mode & 0o077:
                    raise BadgeKeyError(f"{path}: others may read or change it; chmod 600 it, and consider it known")
                text = file.read(200)
        except FileNotFoundError as why:
            advice = (
                f"put the cloud's key for this site there, or `vendingd.identity.tool badge-key --out {path}` makes one"
            )
            raise BadgeKeyError(f"{path}: No such file: {advice}") from why
        except PermissionError as why:
            raise BadgeKeyError(f"{path}: may not be read: it must belong to the daemon's user") from why
        except OSError as why:
            raise BadgeKeyError(f"{path}: {why.strerror}") from why
        try:
            return cls.parse(text.decode("ascii"))
        except (BadgeKeyError, UnicodeDecodeError):
            raise BadgeKeyError(f"{path}: want {KEY_BYTES} bytes in base64") from None

    def hash(self, badge: str) -> str:
        """What a badge is known by: HMAC-SHA-256 of its text (`FORMAT:HEX`) in base64url without padding."""
        digest = hmac.digest(self.key, badge.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
