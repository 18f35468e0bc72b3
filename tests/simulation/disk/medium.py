"""A disk in memory that loses power: it knows what was written, what was synced, and what may survive.

What a power cut leaves, of each file by itself:

* everything synced;
* of what was written since, each sector (512 bytes) for itself in any of its versions since the sync, as if writes
  had reached the medium in any order; one sector of the newest write may be torn in its middle;
* a truncation happened or did not; blocks that a lost truncation would have freed were not written anew, and what a
  truncation freed never comes back behind it (file systems journal this);
* of names made, renamed and removed since the folder was synced, a random number from the first on.

A file's own sync makes the name of a file durable only if it was opened to be created by SQLite, which syncs the
folder itself.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import weakref
from collections.abc import Callable
from typing import Literal, Protocol

SECTOR = 512

Fault = Literal["full", "readonly", "io"]
Operation = Literal["write", "sync", "truncate", "rename", "remove"]
Watch = Callable[[Operation, str], None]
"""Told of each operation that changes the medium, before it is done, with the file's name. What it raises passes
through SQLite and comes out of the journal's call as itself; the operation is not done."""


class Closable(Protocol):
    def close(self) -> None: ...


_Write = tuple[int, bytes]  # where, what
_Pending = list[_Write | int]  # a number is a truncation to that size

_ERRNO: dict[Fault, int] = {"full": errno.ENOSPC, "readonly": errno.EROFS, "io": errno.EIO}
_numbers = itertools.count(1)
_disks: weakref.WeakValueDictionary[int, SimDisk] = weakref.WeakValueDictionary()


class File:
    """One file: as programs see it, as it is on the medium, and what lies between."""

    __slots__ = ("__weakref__", "data", "durable", "named", "pending")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytearray(data)
        self.pending: _Pending = []
        self.named = True  # its name needs no sync of the folder by SQLite

    def copy(self) -> File:
        other = File()
        other.data[:], other.durable[:], other.pending[:] = self.data, self.durable, self.pending
        other.named = self.named
        return other

    def write(self, at: int, data: bytes) -> None:
        _put(self.data, at, data)
        self.pending.append((at, data))

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.pending.append(size)

    def sync(self) -> None:
        for change in self.pending:
            if isinstance(change, int):
                del self.durable[change:]
            else:
                _put(self.durable, *change)
        self.pending.clear()


def _put(into: bytearray, at: int, data: bytes) -> None:
    if len(into) < at:
        into.extend(bytes(at - len(into)))
    into[at : at + len(data)] = data


class SimDisk:
    """What survives a power cut. One "/"-separated name is one file; there are no folders.

    `fault`, until it is taken away:

    * "full": every write fails (`overwrites_when_full`: but what overwrites, as a file system that writes in place);
    * "readonly": every write, sync, truncation, renaming and removal fails;
    * "io": likewise, but a write only now and then (`writes_fail`): it goes into the kernel's cache, and what is wrong
      with the medium shows at the sync. A write that fails may yet have been done in part or whole, and a failed sync
      have synced any part, with the probability `reaches`. What a failed sync did not write is forgotten with the
      probability `forgets`: it can be read, but no later sync writes it (as Linux does).
    """

    def __init__(self, random: random.Random) -> None:
        self.random = random
        self.fault: Fault | None = None
        self.overwrites_when_full = False
        self.reaches = 0.5
        self.writes_fail = 0.2
        self.forgets = 0.5
        self.watch: Watch | None = None
        self.writes = 0  # how many were done, with their syncs: what the watch was told of
        self.syncs = 0
        self.failed = 0  # how many operations failed, for whatever reason
        self.dead = False
        self.locks: set[str] = set()
        self.escaping: BaseException | None = None  # raised by the watch, on its way out through SQLite
        self._files: dict[str, File] = {}
        self._durable_names: dict[str, File] = {}
        self._renamings: list[tuple[str | None, str | None, File]] = []  # old name, new name
        self.connections: weakref.WeakSet[Closable] = weakref.WeakSet()
        self._corpse: SimDisk | None = None
        self.number = next(_numbers)
        _disks[self.number] = self

    # ------------------------------------------------------------ the end
    def power_cut(self) -> SimDisk:
        """The disk as the next boot finds it. This one is dead from here on: whatever its corpse does, fails."""
        after = self._successor()
        kept = self._renamings[: self.random.randint(0, len(self._renamings))]
        names = dict(self._durable_names)
        for old, new, file in kept:
            _rename(names, old, new, file)
        after._files = {name: File(self._left(file)) for name, file in names.items()}
        after._durable_names = dict(after._files)
        return after

    def kill(self) -> SimDisk:
        """The disk as the next process finds it after this one was killed: what was written is there, synced or not."""
        after = self._successor()
        # copies: what the corpse has open, and SQLite's locks on it, are no part of the next process
        copies = {id(file): file.copy() for file in (*self._files.values(), *self._durable_names.values())}
        copies |= {id(file): file.copy() for _, _, file in self._renamings if id(file) not in copies}
        after._files = {name: copies[id(file)] for name, file in self._files.items()}
        after._durable_names = {name: copies[id(file)] for name, file in self._durable_names.items()}
        after._renamings = [(old, new, copies[id(file)]) for old, new, file in self._renamings]
        return after

    def _successor(self) -> SimDisk:
        if self.dead:
            raise RuntimeError("this disk has lost its power already: go on with the one that came of it")
        self.dead = True
        after = SimDisk(self.random)
        after._corpse = self
        after.fault, after.overwrites_when_full = self.fault, self.overwrites_when_full
        after.reaches, after.writes_fail, after.forgets = self.reaches, self.writes_fail, self.forgets
        return after

    def bury(self) -> None:
        """Close what the corpse that this disk came of has open; not while the corpse still runs."""
        corpse, self._corpse = self._corpse, None
        if corpse is not None:
            for connection in list(corpse.connections):
                connection.close()

    def _left(self, file: File) -> bytes:
        return survivors(bytes(file.durable), file.pending, self.random)

    # ------------------------------------------------------------ what the vfs and the journal's seam use
    def find(self, name: str) -> File | None:
        self.alive()
        return self._files.get(name)

    def make(self, name: str) -> File:
        """A new empty file; there is none of that name."""
        self._may("write", name)
        file = self._files[name] = File()
        file.named = False
        self._renamings.append((None, name, file))
        return file

    def write(self, name: str, file: File, at: int, data: bytes) -> None:
        overwrites = at + len(data) <= len(file.data)
        try:
            self._may("write", name, overwrites=overwrites)
        except OSError:
            if not self.dead and self.fault == "io" and self.random.random() < self.reaches:
                file.write(at, data[: self.random.randint(1, len(data))] if self.random.random() < 0.5 else data)
            raise
        self.writes += 1
        file.write(at, data)

    def truncate(self, name: str, file: File, size: int) -> None:
        self._may("truncate", name)
        file.truncate(size)

    def sync(self, name: str, file: File) -> None:
        """Of a file; and of the folder, where SQLite made that file."""
        try:
            self._may("sync", name)
        except OSError:
            if not self.dead and self.fault == "io":
                self._half_synced(file)
            raise
        self.syncs += 1
        file.sync()
        if not file.named:
            file.named = True
            self.sync_names()

    def _half_synced(self, file: File) -> None:
        if self.random.random() < self.reaches:
            file.durable = bytearray(self._left(file))
        if self.random.random() < self.forgets:
            file.pending.clear()  # the kernel takes them for clean

    def rename(self, old: str, new: str) -> None:
        self._may("rename", old)
        file = self._files[old]
        _rename(self._files, old, new, file)
        self._renamings.append((old, new, file))

    def remove(self, name: str) -> None:
        self._may("remove", name)
        file = self._files.pop(name)
        self._renamings.append((name, None, file))

    def sync_names(self) -> None:
        """Of the one folder that there is."""
        self._may("sync", "")
        for old, new, file in self._renamings:
            _rename(self._durable_names, old, new, file)
        self._renamings.clear()

    def size(self, name: str) -> int | None:
        file = self.find(name)
        return None if file is None else len(file.data)

    # ------------------------------------------------------------ inside
    def alive(self) -> None:
        if self.dead:
            self.failed += 1
            raise OSError(errno.EIO, "this disk has lost its power")

    def _may(self, what: Operation, name: str, *, overwrites: bool = False) -> None:
        self.alive()
        if self.watch is not None:
            self.watch(what, name)
            self.alive()  # it may have cut the power
        if self.fault is None:
            return
        if self.fault == "full" and (what != "write" or (overwrites and self.overwrites_when_full)):
            return
        if self.fault == "io" and what == "write" and self.random.random() >= self.writes_fail:
            return
        self.failed += 1
        code = _ERRNO[self.fault]
        raise OSError(code, os.strerror(code), name)


def disk_of(number: int) -> SimDisk:
    """The disk of that number. Raises OSError where nobody holds it any more."""
    disk = _disks.get(number)
    if disk is None:
        raise OSError(errno.ENODEV, f"disk {number} is gone")
    return disk


def _rename(names: dict[str, File], old: str | None, new: str | None, file: File) -> None:
    if old is not None:
        names.pop(old, None)
    if new is not None:
        names[new] = file


def survivors(durable: bytes, pending: _Pending, chance: random.Random) -> bytes:
    """One of the contents that a file may have after a power cut."""
    if not pending:
        return durable
    luck = chance.random()
    if luck < 0.1:
        return durable
    pending, size = _possible(durable, pending, chance)
    by_sector: dict[int, _Pending] = {}
    end = len(durable)
    for change in pending:
        first = change if isinstance(change, int) else change[0]
        last = end if isinstance(change, int) else first + len(change[1])
        end = first if isinstance(change, int) else max(end, last)
        for sector in range(first // SECTOR, (last + SECTOR - 1) // SECTOR):
            by_sector.setdefault(sector, []).append(change)
    image = bytearray(durable[:size])
    image.extend(bytes(size - len(image)))
    torn = _torn_sector(pending, chance)
    for sector, changes in by_sector.items():
        if sector * SECTOR >= size:
            continue
        done = len(changes) if luck > 0.9 else chance.randint(_least(changes), len(changes))
        content = _version(durable, sector, changes[:done])
        if sector == torn and done and not isinstance(changes[done - 1], int):
            before = _version(durable, sector, changes[: done - 1])
            at = chance.randrange(SECTOR)
            content = content[:at] + before[at:]
        image[sector * SECTOR : (sector + 1) * SECTOR] = content
    return bytes(image[:size])


def _possible(durable: bytes, pending: _Pending, chance: random.Random) -> tuple[_Pending, int]:
    """What can have reached the medium at all, and the size: without lost truncations and what depends on them."""
    cuts = [n for n, change in enumerate(pending) if isinstance(change, int)]
    happened = chance.randint(0, len(cuts))
    lost = cuts[happened] if happened < len(cuts) else len(pending)
    kept = pending[:lost]
    freed = None
    for change in pending[lost:]:
        if isinstance(change, int):
            freed = change if freed is None else min(freed, change)
        elif freed is not None and change[0] < freed:
            kept.append((change[0], change[1][: freed - change[0]]))
    sizes = [len(durable)]
    for change in kept:
        if isinstance(change, int):
            sizes = [change]  # it happened
        else:
            sizes.append(max(sizes[-1], change[0] + len(change[1])))
    return kept, chance.choice(sizes)


def _least(changes: _Pending) -> int:
    """A truncation that happened is not undone by its sectors: how many changes each of them has at least."""
    return max((n + 1 for n, change in enumerate(changes) if isinstance(change, int)), default=0)


def _torn_sector(pending: _Pending, chance: random.Random) -> int | None:
    newest = pending[-1] if pending else 0
    if isinstance(newest, int) or not newest[1] or chance.random() < 0.5:
        return None
    at, data = newest
    return chance.randrange(at, at + len(data)) // SECTOR


def _version(durable: bytes, sector: int, changes: _Pending) -> bytes:
    start, end = sector * SECTOR, (sector + 1) * SECTOR
    content = bytearray(durable[start:end].ljust(SECTOR, b"\0"))
    for change in changes:
        if isinstance(change, int):
            keep = max(change - start, 0)
            content[keep:] = bytes(SECTOR - keep)
        else:
            at, data = change
            lo, hi = max(at, start), min(at + len(data), end)
            content[lo - start : hi - start] = data[lo - at : hi - at]
    return bytes(content)
