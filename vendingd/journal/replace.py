"""Putting a stopped machine's journal aside, as evidence, and a copy in its place. For `vendingctl`.

Cut short anywhere, nothing passes for what it is not. What goes aside is gathered in a folder, and while that folder
has its working name every start refuses; damaged-N is whole. Said again, both go on from there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vendingd.journal.api import StoreError, StoreErrorKind, TokenSource
from vendingd.journal.disk import Lock, give, sync_directory
from vendingd.journal.errors import store_error
from vendingd.journal.files import moving
from vendingd.journal.offline import SUFFIXES, copy_file, read_file, restored_file, verify_file

_MORE = (*SUFFIXES, "-journal", ".lock")  # what a copy may have had beside it while it was made ready


@dataclass(frozen=True, slots=True)
class PutBack:
    """What was put in place."""

    epoch: str
    records: int
    head_seq: int  # of the copy; the record of the new epoch comes behind it
    aside: Path | None  # the folder of the journal that was there


def move_aside(path: Path) -> Path:
    """Move a journal with its log into a folder of its own that says damaged, as evidence; returns the folder.

    Raises StoreError (locked while a daemon has it), FileNotFoundError where there is none.
    """
    with _held(path):
        aside = None
        while _gather(path):
            aside = _named(path)
        if aside is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return aside


def put_back(
    source: Path,
    path: Path,
    why: str,
    *,
    readable: Callable[[str, str, bytes], object],
    boot_id: str,
    utc: float,
    mono: float,
    token: TokenSource,
) -> PutBack:
    """Put a copy in the journal's place, checked and under a new epoch; what is there goes aside.

    Nothing that is there is touched before the copy is whole and ready. Raises StoreError, OSError.
    """
    with _held(path):
        new = path.with_name(path.name + ".put")
        _remove(new)
        try:
            os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            copy_file(source, new)
            found = verify_file(new, None, readable)
            if not found.ok:
                where = f" at record {found.first_bad_seq}" if found.first_bad_seq else ""
                raise StoreError(
                    StoreErrorKind.CORRUPT, f"{source} is damaged{where} ({found.problem}): nothing was changed"
                )
            _same_machine(new, path)
            epoch = restored_file(new, why, boot_id=boot_id, utc=utc, mono=mono, token=token)
            give(new, path.parent)
            if path.exists() and moving(path).exists():  # from a call that was cut short when it had all but ended
                _gather(path)
                _named(path)
            gathered = _gather(path)
            os.rename(new, path)
            sync_directory(path.parent)
            aside = _named(path) if gathered else None
        finally:
            with suppress(OSError):  # a file system that went away under us has said so already
                _remove(new)
        return PutBack(epoch, found.checked, found.head_seq, aside)


def _same_machine(new: Path, path: Path) -> None:
    """Of the backups of many machines one is easily mistaken for another; what is there must be readable to tell."""
    mine = None
    with suppress(StoreError, OSError):
        mine, _ = read_file(path, None, 0)
    copied, _ = read_file(new, None, 0)
    if mine not in (None, copied):
        raise StoreError(
            StoreErrorKind.FOREIGN,
            f"the copy belongs to machine {copied!r}, {path} to {mine!r}: nothing was changed. If that is meant, say "
            "`vendingctl journal set-aside` first",
        )


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """No daemon meanwhile; what the file system says comes out with what to do about it."""
    lock = Lock(path)
    try:
        lock.acquire()
        yield
    except (FileNotFoundError, PermissionError):
        raise  # of these the caller knows more
    except OSError as exc:
        raise store_error(exc, path) from exc
    finally:
        lock.release()


def _gather(path: Path) -> bool:
    """Move what is in place into the folder for it; False where there is nothing to set aside."""
    folder = moving(path)
    names = [path.name + suffix for suffix in SUFFIXES]
    # Nobody runs while the folder is there: a log that it lacks yet belongs to the file in it, whatever is in place.
    there = [name for name in names if path.with_name(name).exists() and not (folder / name).exists()]
    if not there and not folder.exists():
        return False
    if not folder.exists():
        folder.mkdir(0o700)
        give(folder, path.parent)
        sync_directory(path.parent)
    for name in there:
        os.rename(path.with_name(name), folder / name)
        sync_directory(folder)
        sync_directory(path.parent)
    return True


def _named(path: Path) -> Path:
    """Give the folder its last name: it is whole."""
    n = 1
    while (aside := path.with_name(f"{path.name}.damaged-{n}")).exists():
        n += 1
    os.rename(moving(path), aside)
    sync_directory(path.parent)
    return aside


def _remove(new: Path) -> None:
    for suffix in _MORE:
        new.with_name(new.name + suffix).unlink(missing_ok=True)
