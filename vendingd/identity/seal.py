"""Sealing what must be forgotten: AES-256-GCM with a random key for each blob, wrapped by the device's key.

A blob is text that carries its own wrapped key, and stands in the rental's state row and nowhere else:
never in the append-only records, which cannot forget. Dropping the blob drops the wrapped key, and with it
the only way back. The device's key is a file of its own, so that a copy of the database alone opens
nothing.

Rental and purpose are authenticated: a blob moved to another rental, or to another use, does not open. When it goes
is the domain's to say: a due time is extended, an expiry inside a seal could not be.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
KEY_FILE = "device.key"
MAX_DATA = 64 * 1024
_NONCE = 12
_TAG = 16
_VERSION = "s1"
_UNUSED = ""  # a place in the text and in what is authenticated that was always empty

OF_THE_FILE = frozenset(
    {errno.ELOOP, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EACCES, errno.EPERM}
)

TokenBytes = Callable[[int], bytes]


class SealError(ValueError):
    """A blob that does not open: changed, expired, another rental's or device's; holds nothing of it."""


class DeviceKeyError(OSError):
    """The device's key cannot be used; says what to do. Never replaced by itself: that would orphan blobs."""


def load_device_key(directory: Path, *, token_bytes: TokenBytes = secrets.token_bytes) -> bytes:
    """The device's key, made at the first start. Blocking. Raises DeviceKeyError; OSError where the disk refuses it.

    The file appears whole or not at all, and durable before it is used. A disk that is full, read-only or at fault may
    be well again at the next start; what is wrong with the file itself is not.
    """
    path = directory / KEY_FILE
    try:
        if not _exists(path):
            _create(path, token_bytes(KEY_BYTES))
        return _read(path)
    except OSError as defect:
        if defect.errno in OF_THE_FILE:
            raise DeviceKeyError(
                f"{path}: {defect.strerror}; the daemon's own file, mode 0600, belongs there"
            ) from defect
        raise


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _create(path: Path, key: bytes) -> None:
    # A name of this process: what a start that was cut off left behind is never read and is replaced here.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another start was quicker: its key is read
            os.link(fresh, path)  # unlike rename it never replaces a key that is there
        _sync_directory(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise DeviceKeyError(f"{path}: not a file")
        if found.st_uid != os.geteuid():
            raise DeviceKeyError(f"{path}: belongs to user {found.st_uid}, not to the daemon's ({os.geteuid()})")
        if found.st_mode & 0o077:
            raise DeviceKeyError(f"{path}: others may read or change it; chmod 600 it, and consider it known")
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise DeviceKeyError(f"{path}: want {KEY_BYTES} bytes; put it back from a backup")
    return key


@dataclass(frozen=True, slots=True)
class _Blob:
    device: str
    wrapped: bytes = field(repr=False)  # nonce, key, tag
    sealed: bytes = field(repr=False)  # nonce, data, tag

    def text(self) -> str:
        parts = (_VERSION, self.device, _UNUSED, _b64(self.wrapped), _b64(self.sealed))
        return ".".join(parts)

    @classmethod
    def parse(cls, text: str) -> _Blob:
        parts = text.split(".")
        if len(parts) != 5 or parts[0] != _VERSION or parts[2] != _UNUSED:
            raise SealError("not a sealed blob of this version")
        try:
            wrapped, sealed = _unb64(parts[3]), _unb64(parts[4])
        except ValueError:
            raise SealError("a damaged blob") from None
        if len(wrapped) != _NONCE + KEY_BYTES + _TAG or len(sealed) < _NONCE + _TAG:
            raise SealError("a damaged blob")
        return cls(parts[1], wrapped, sealed)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as defect:
        raise ValueError("not base64url") from defect
    if _b64(data) != text:  # spare bits in the last character: one blob, one text
        raise ValueError("not base64url")
    return data


def _bound_to(kind: str, rental: str, purpose: str) -> bytes:
    """Associated data. Each part with its length: no two sets of parts give the same bytes."""
    parts = (_VERSION, kind, rental, purpose, _UNUSED)
    return b"".join(
        len(raw).to_bytes(4, "big") + raw for raw in (part.encode("utf-8", "surrogatepass") for part in parts)
    )


class Sealer:
    """Seals and opens by one device's key. A call takes tens of microseconds and may be made on the loop."""

    def __init__(self, device_key: bytes, *, token_bytes: TokenBytes = secrets.token_bytes) -> None:
        if len(device_key) != KEY_BYTES:
            raise ValueError(f"a device key has {KEY_BYTES} bytes")
        self._key = device_key
        self._token_bytes = token_bytes
        self.device = hashlib.sha256(b"vendingd device key\0" + device_key).hexdigest()[:12]
        """Which key this is, without telling it; stands in every blob."""

    def __repr__(self) -> str:
        return f"Sealer(device={self.device!r})"

    def seal(self, rental: str, purpose: str, data: bytes) -> str:
        """ASCII text for the rental's row. Raises SealError over 64 KiB."""
        if len(data) > MAX_DATA:
            raise SealError(f"more than {MAX_DATA} bytes")
        key = self._token_bytes(KEY_BYTES)
        wrapped = self._encrypt(self._key, key, _bound_to("key", rental, purpose))
        sealed = self._encrypt(key, data, _bound_to("data", rental, purpose))
        return _Blob(self.device, wrapped, sealed).text()

    def open(self, rental: str, purpose: str, blob: str) -> bytes:
        """What was sealed for this rental and purpose. Raises SealError."""
        parsed = _Blob.parse(blob)
        if parsed.device != self.device:
            raise SealError("sealed by another device key")
        key = self._decrypt(self._key, parsed.wrapped, _bound_to("key", rental, purpose))
        return self._decrypt(key, parsed.sealed, _bound_to("data", rental, purpose))

    def pseudonym(self, purpose: str, text: str) -> str:
        """The same for the same text, and telling nothing of it to whoever has not this device's key."""
        made = hmac.digest(self._key, b"vendingd pseudonym\0" + purpose.encode() + b"\0" + text.encode(), "sha256")
        return _b64(made[:16])

    def _encrypt(self, key: bytes, data: bytes, bound_to: bytes) -> bytes:
        nonce = self._token_bytes(_NONCE)
        return nonce + _aes(key).encrypt(nonce, data, bound_to)

    def _decrypt(self, key: bytes, data: bytes, bound_to: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return _aes(key).decrypt(data[:_NONCE], data[_NONCE:], bound_to)
        except InvalidTag:
            raise SealError("another rental's or use's, or changed") from None


def _aes(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
