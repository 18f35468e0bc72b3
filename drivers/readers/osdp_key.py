"""Key files of OSDP readers: 16 bytes in hex, readable by their owner alone. No protocol."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from drivers.ports import DriverError

KEY_BYTES = 16
DEFAULT_KEY = bytes(range(0x30, 0x40))  # the standard's SCBK-D: printed in it, and so no key
PRIVATE = 0o600


class KeyFileError(DriverError):
    """A key file cannot be used; the message says what to do."""


def read_key(path: Path) -> bytes:
    """The key in this file. Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4 * KEY_BYTES)
    except FileNotFoundError:
        raise KeyFileError(f"there is no key file {path}: make one with vendingctl reader commission") from None
    except PermissionError:
        raise KeyFileError(f"the key file {path} may not be read: it must belong to the daemon's user") from None
    except OSError as exc:
        raise KeyFileError(f"the key file {path} cannot be read: {exc.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"the key file {path} is open to others than its owner: chmod 600 {path}")
    return _key(path, text)


def _key(path: Path, text: bytes) -> bytes:
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:  # says nothing of what is in it
        key = b""
    if len(key) != KEY_BYTES:
        advice = f"{2 * KEY_BYTES} hex digits, made by vendingctl reader commission --replace"
        raise KeyFileError(f"the key file {path} holds no key: it must be {advice}")
    if key == DEFAULT_KEY:
        advice = "make one with vendingctl reader commission --replace"
        raise KeyFileError(f"the key file {path} holds the key that everybody knows: {advice}")
    return key


def write_key(path: Path, key: bytes, owner: tuple[int, int] | None = None) -> None:
    """Put a key into a new file, whole and durable or not at all. `owner`: user and group. Raises KeyFileError.

    A file that is there already is not touched: it may be the only copy of a key that a reader has.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
        try:
            os.fchmod(descriptor, PRIVATE)  # whatever the umask
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.write(descriptor, key.hex().encode() + b"\n")
            os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        _sync(path.parent)
    except OSError as exc:
        raise KeyFileError(f"the key file {path} cannot be written: {exc.strerror}") from None


def rename_key(pending: Path, path: Path) -> None:
    """Make the pending key the one in use, replacing an older one, durably. Raises KeyFileError."""
    try:
        pending.replace(path)
        _sync(path.parent)
    except OSError as exc:
        raise KeyFileError(f"{pending} cannot be renamed to {path}: {exc.strerror}; rename it yourself") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
