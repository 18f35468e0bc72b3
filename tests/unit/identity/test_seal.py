from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vendingd.identity.seal import KEY_FILE, DeviceKeyError, Sealer, SealError, load_device_key

KEY = bytes(range(32))


@settings(deadline=None)
@given(st.text(max_size=70), st.text(max_size=20), st.binary(max_size=300))
def test_there_and_back(rental: str, purpose: str, data: bytes) -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal(rental, purpose, data)
    assert blob.isascii()
    assert sealer.open(rental, purpose, blob) == data


def test_every_blob_has_a_key_of_its_own() -> None:
    sealer = Sealer(KEY)
    blobs = [sealer.seal("r-1", "pin", b"data") for _ in range(50)]
    assert len({blob.split(".")[3] for blob in blobs}) == 50
    assert len({blob.split(".")[4] for blob in blobs}) == 50


def test_bound_to_rental_purpose_and_device() -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal("r-1", "pin", b"data")
    for opener, rental, purpose in (
        (sealer, "r-2", "pin"),
        (sealer, "r-1", "face"),
        (sealer, "r-1p", "in"),
        (Sealer(b"x" * 32), "r-1", "pin"),
    ):
        with pytest.raises(SealError):
            opener.open(rental, purpose, blob)


def test_parts_of_two_blobs_do_not_mix() -> None:
    sealer = Sealer(KEY)
    one = sealer.seal("r-1", "pin", b"one").split(".")
    two = sealer.seal("r-1", "pin", b"two").split(".")
    for i in range(3, 5):
        mixed = [*one]
        mixed[i] = two[i]
        with pytest.raises(SealError):
            sealer.open("r-1", "pin", ".".join(mixed))


def test_without_its_wrapped_key_nothing_opens() -> None:
    sealer = Sealer(KEY)
    parts = sealer.seal("r-1", "pin", b"data").split(".")
    parts[3] = parts[3][:-4] + "AAAA"
    with pytest.raises(SealError):
        sealer.open("r-1", "pin", ".".join(parts))


def test_every_changed_character_is_noticed() -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal("r-1", "pin", b"data")
    for i in range(len(blob)):
        for other in "A.z0-":
            if other != blob[i]:
                with pytest.raises(SealError):
                    sealer.open("r-1", "pin", blob[:i] + other + blob[i + 1 :])
        with pytest.raises(SealError):
            sealer.open("r-1", "pin", blob[:i])


@given(st.text(max_size=80))
def test_random_text_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        Sealer(KEY).open("r-1", "pin", text)


def test_what_was_sealed_by_an_earlier_version_still_opens() -> None:
    blob = (
        "s1.643c475287a0..AgICAgICAgICAgICmikYurjYMFrKhKP5MnjbEh3orm2VVXnwQ1_QAnZqSMM6HWT"
        "Iq7vvUrhVplyY-h1N.AwMDAwMDAwMDAwMDnABg-8nNbt0pnQhWzw3-Ca7FNqA"
    )
    assert Sealer(KEY).open("r-1", "pin", blob) == b"data"


def test_chance_comes_from_its_source() -> None:
    asked: list[int] = []

    def source(n: int) -> bytes:
        asked.append(n)
        return bytes([len(asked)]) * n

    first = Sealer(KEY, token_bytes=source).seal("r-1", "pin", b"data")
    assert asked == [32, 12, 12]
    asked.clear()
    assert Sealer(KEY, token_bytes=source).seal("r-1", "pin", b"data") == first


def test_limits_and_reprs() -> None:
    sealer = Sealer(KEY)
    with pytest.raises(SealError):
        sealer.seal("r-1", "face", bytes(65537))
    assert repr(KEY) not in repr(sealer) and KEY.hex() not in repr(sealer)
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")


# ---------------------------------------------------------------- the device's key
def test_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        key = load_device_key(tmp_path)
    finally:
        os.umask(previous)
    assert len(key) == 32
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert load_device_key(tmp_path, token_bytes=bytes) == key
    assert os.listdir(tmp_path) == [KEY_FILE]


def test_what_a_start_left_behind_is_no_key(tmp_path: Path) -> None:
    (tmp_path / f".{KEY_FILE}.{os.getpid()}").write_bytes(b"half")
    assert load_device_key(tmp_path, token_bytes=lambda n: b"n" * n) == b"n" * 32
    assert os.listdir(tmp_path) == [KEY_FILE]


def test_the_quicker_of_two_starts_wins(tmp_path: Path) -> None:
    def slow(n: int) -> bytes:
        path = tmp_path / KEY_FILE
        path.write_bytes(b"q" * 32)
        path.chmod(0o600)
        return b"s" * n

    assert load_device_key(tmp_path, token_bytes=slow) == b"q" * 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660, 0o666])
def test_wider_permissions_are_refused(tmp_path: Path, mode: int) -> None:
    load_device_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(DeviceKeyError, match="chmod 600"):
        load_device_key(tmp_path)


@pytest.mark.parametrize("size", [0, 31, 33, 100_000])
def test_a_key_of_another_size_is_refused_and_left(tmp_path: Path, size: int) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(DeviceKeyError, match="32 bytes"):
        load_device_key(tmp_path)
    assert path.stat().st_size == size


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "elsewhere"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    makers: tuple[Callable[[str], None], ...] = (os.mkdir, os.mkfifo, lambda path: os.symlink(key, path))
    for i, make in enumerate(makers):
        folder = tmp_path / str(i)
        folder.mkdir()
        make(str(folder / KEY_FILE))
        with pytest.raises(DeviceKeyError, match=KEY_FILE):
            load_device_key(folder)


def test_what_the_disk_refuses_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start may find it well again: a manager that is told of a bad file would not try."""

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space") as raised:
            load_device_key(tmp_path)
        assert not isinstance(raised.value, DeviceKeyError)
    assert list(tmp_path.iterdir()) == []
    key = load_device_key(tmp_path)

    def faulty(path: object, *_: object) -> int:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", faulty)
        with pytest.raises(OSError, match=r"Input/output error.*device\.key") as raised:
            load_device_key(tmp_path)
        assert not isinstance(raised.value, DeviceKeyError)
    assert load_device_key(tmp_path) == key


def test_a_blob_says_which_key_it_needs() -> None:
    """The domain asks by this whether what it holds can still be opened."""
    sealer = Sealer(KEY)
    assert sealer.seal("r-1", "pin", b"data").split(".", 2)[1] == sealer.device


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeviceKeyError, match="missing"):
        load_device_key(tmp_path / "missing")
