"""A disk that is full, turns read-only or fails, on file systems of the test's own."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vendingd.journal.api import Batch, NewRecord, StateChange, StoreError, StoreErrorKind
from vendingd.journal.offline import copy_file, read_file, verify_file
from vendingd.journal.replace import move_aside
from vendingd.journal.store import Journal

Mount = Callable[..., Path]


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small file system; skips where that is not permitted."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = []

    def mount(*words: str) -> Path:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("mounting needs root")
        try:
            command("mount", *words, str(where))
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"mounting is not permitted here: {exc.stderr.decode().strip()}")
        mounted.append(where)
        return where

    yield mount
    for each in mounted:
        command("umount", "-l", str(each))


def journal_on(directory: Path) -> Journal:
    return Journal(directory / "journal.db", machine="m", boot_id="b", token=os.urandom)


def batch(n: int, size: int = 1) -> Batch:
    record = NewRecord("k", f"{n}", b"x" * 900, 1.0, 1.0, True, False)
    return Batch([record] * size, [StateChange("count", "x", b"%d" % n)])


async def commit_until_it_fails(journal: Journal, first: int = 1, most: int = 20_000) -> tuple[int, StoreError]:
    """The number of the last acknowledged batch, and why the next one failed."""
    for n in range(first, most):
        try:
            await journal.commit(batch(n))
        except StoreError as exc:
            return n - 1, exc
    raise AssertionError("the disk never failed")


async def there_is_all_through(journal: Journal, acknowledged: int) -> None:
    loaded = await journal.open()
    # one more may have become durable by the commit that failed
    count = int(loaded.state["count"]["x"])
    assert count in {acknowledged, acknowledged + 1}
    assert loaded.next_seq == count + 1
    verdict = await journal.verify()
    assert verdict.ok, verdict


async def test_a_full_disk(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    ballast = os.open(disk / "ballast", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(ballast, 0, 1 << 20)
    journal = journal_on(disk)
    await journal.open()
    last, error = await commit_until_it_fails(journal)
    assert last > 50
    assert error.kind is StoreErrorKind.FULL
    assert "free space" in error.detail
    with pytest.raises(StoreError):
        await journal.commit(batch(0))
    os.ftruncate(ballast, 0)
    await there_is_all_through(journal, last)
    await journal.commit(batch(last + 2))
    last, error = await commit_until_it_fails(journal, last + 3)
    assert error.kind is StoreErrorKind.FULL
    await journal.close()
    os.close(ballast)


async def test_no_room_for_a_first_journal(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=64k", "tmpfs")
    ballast = os.open(disk / "ballast", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(ballast, 0, 56 * 1024)
    journal = journal_on(disk)
    with pytest.raises(StoreError) as caught:
        await journal.open()
    assert caught.value.kind is StoreErrorKind.FULL
    await journal.close()
    os.close(ballast)


async def test_a_disk_that_is_read_only_at_the_start(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    journal = journal_on(disk)
    await journal.open()
    await journal.commit(batch(1))
    await journal.close()
    await asyncio.to_thread(command, "mount", "-o", "remount,ro", str(disk))
    with pytest.raises(StoreError) as caught:
        await journal.open()
    assert caught.value.kind is StoreErrorKind.READONLY
    assert "dmesg" in caught.value.detail
    await asyncio.to_thread(command, "mount", "-o", "remount,rw", str(disk))
    await there_is_all_through(journal, 1)
    await journal.close()


async def test_a_disk_that_turns_read_only(mount: Mount, tmp_path: Path) -> None:
    """As ext4 does when its medium fails."""
    image = str(tmp_path / "image")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    await asyncio.to_thread(command, "truncate", "-s", "16M", image)
    await asyncio.to_thread(command, "mkfs.ext4", "-q", image)
    disk = mount("-o", "loop", image)
    journal = journal_on(disk)
    await journal.open()
    for n in range(1, 6):
        await journal.commit(batch(n))
    await asyncio.to_thread(command, "mount", "-o", "remount,abort", str(disk))
    last, error = await commit_until_it_fails(journal, 6)
    assert error.kind is StoreErrorKind.READONLY
    with pytest.raises(StoreError) as caught:
        await journal.open()
    assert caught.value.kind is StoreErrorKind.READONLY
    await journal.close()
    await asyncio.to_thread(command, "umount", str(disk))
    await asyncio.to_thread(command, "mount", "-o", "loop", image, str(disk))
    await there_is_all_through(journal, last)
    await journal.close()


async def test_a_disk_that_fails_and_heals(tmp_path: Path) -> None:
    """A limit on the size of files stands for a medium that takes no more writes behind some place."""
    journal = journal_on(tmp_path)
    await journal.open()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        last, error = await commit_until_it_fails(journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert last > 20
    assert error.kind is StoreErrorKind.IO
    await there_is_all_through(journal, last)
    await journal.commit(batch(last + 2))
    assert (await journal.verify()).ok
    await journal.close()


@pytest.mark.parametrize("trouble", ["full", "readonly"])
async def test_a_sound_journal_is_read_on_a_disk_that_takes_nothing(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """The newest commits in its log only, as a kill leaves it: no index of the log can be made there."""
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    disk = mount("-t", "tmpfs", "-o", "size=6m", "tmpfs")
    (tmp_path / "made").mkdir()
    journal = journal_on(tmp_path / "made")
    await journal.open()
    await journal.commit(batch(1, 20))
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(tmp_path / "made" / name, disk / name)
    await journal.close()
    path = disk / "journal.db"
    if trouble == "full":
        with pytest.raises(OSError), (disk / "ballast").open("wb", 0) as ballast:
            while ballast.write(bytes(4096)):
                pass
    else:
        await asyncio.to_thread(command, "mount", "-o", "remount,ro", str(disk))
    before = {name: (disk / name).read_bytes() for name in ("journal.db", "journal.db-wal")}
    verdict = verify_file(path)
    assert (verdict.ok, verdict.head_seq) == (True, 20), verdict
    assert [one.seq for one in read_file(path, 18, 5)[1]] == [19, 20]
    copy = tmp_path / "copy.db"
    copy.touch(0o600)
    copy_file(path, copy)
    assert verify_file(copy).head_seq == 20
    assert {name: (disk / name).read_bytes() for name in before} == before
    assert not list(copies.iterdir())
    if trouble == "readonly":
        with pytest.raises(StoreError) as caught:
            move_aside(path)
        assert caught.value.kind is StoreErrorKind.READONLY and "dmesg" in caught.value.detail
