"""Badges are known by a keyed hash; a key that others may read is none."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from vendingd.identity.badges import BadgeKey, BadgeKeyError

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()


def test_a_hash_is_hmac_sha_256_in_base64url() -> None:
    """RFC 2104, as a cloud in any language computes it."""
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in KEY.ljust(64, b"\0")) + b"nfc:04112233").digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in KEY.ljust(64, b"\0")) + inner).digest()
    assert BadgeKey(KEY).hash("nfc:04112233") == base64.urlsafe_b64encode(outer).decode().rstrip("=")


def test_another_badge_or_key_has_another_hash() -> None:
    one = BadgeKey(KEY)
    hashes = {one.hash("nfc:04112233"), one.hash("nfc:04112234"), one.hash("wiegand26:04112233")}
    assert len(hashes | {BadgeKey(hmac.digest(KEY, b"x", "sha256")).hash("nfc:04112233")}) == 4


@pytest.mark.parametrize("text", [TEXT, TEXT + "\n", TEXT.rstrip("="), base64.urlsafe_b64encode(KEY).decode()])
def test_both_alphabets_are_read(text: str) -> None:
    assert BadgeKey.parse(text) == BadgeKey(KEY)


@pytest.mark.parametrize("text", ["", "AAAA", TEXT[:-4], TEXT + TEXT, "*" * 44, "é" * 44])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(BadgeKeyError):
        BadgeKey.parse(text)


def test_the_key_is_in_no_repr() -> None:
    assert repr(KEY) not in repr(BadgeKey(KEY)) and TEXT not in repr(BadgeKey(KEY))


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "badge.key"
    file.write_text(TEXT)
    file.chmod(0o640)
    with pytest.raises(BadgeKeyError, match="chmod 600"):
        BadgeKey.load(file)
    file.chmod(0o600)
    assert BadgeKey.load(file) == BadgeKey(KEY)
    file.write_text("nonsense")
    with pytest.raises(BadgeKeyError, match="32 bytes") as said:
        BadgeKey.load(file)
    assert "nonsense" not in str(said.value)
    with pytest.raises(BadgeKeyError, match="No such file"):
        BadgeKey.load(tmp_path / "none")
    with pytest.raises(BadgeKeyError, match="directory"):
        BadgeKey.load(tmp_path)
