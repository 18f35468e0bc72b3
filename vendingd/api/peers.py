"""Who is at the other end of the socket, by the kernel's word, and what they may do.

No passwords: the kernel tells the peer's user and groups as they were when it connected (SO_PEERCRED and
SO_PEERGROUPS of unix(7), Linux).
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no name for it
_UCRED = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MOST = 1024  # bytes that Python lets getsockopt return: 256 groups


class Access(IntEnum):
    """Each may do what the ones below it may."""

    NOBODY = 0
    KIOSK = 1  # a screen: terminals only
    TECHNICIAN = 2


@dataclass(frozen=True, slots=True)
class Peer:
    uid: int
    gids: frozenset[int]
    name: str  # of the user, for the journal
    access: Access

    @property
    def root(self) -> bool:
        return self.uid == 0


class Socket(Protocol):
    """A connected Unix socket, or asyncio's wrapper of one."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


class Doorkeeper:
    """Groups are looked up at each connection: they may be made while the daemon runs."""

    def __init__(self, technicians: str, kiosks: str, *, group_id: Callable[[str], int | None] | None = None) -> None:
        """Names of Unix groups; an empty one lets nobody in."""
        self.technicians = technicians
        self.kiosks = kiosks
        self._group_id = group_id or _group_id
        self._own = os.getuid()

    def who(self, sock: Socket) -> Peer:
        """Raises OSError where the kernel does not tell."""
        _, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return self.judge(uid, frozenset((gid, *_groups(sock, uid, gid))))

    def judge(self, uid: int, gids: frozenset[int]) -> Peer:
        return Peer(uid, gids, _user(uid), self._access(uid, gids))

    def _access(self, uid: int, gids: frozenset[int]) -> Access:
        if uid in (0, self._own) or self._member(self.technicians, gids):
            return Access.TECHNICIAN
        return Access.KIOSK if self._member(self.kiosks, gids) else Access.NOBODY

    def _member(self, group: str, gids: frozenset[int]) -> bool:
        return bool(group) and self._group_id(group) in gids


def _groups(sock: Socket, uid: int, gid: int) -> list[int]:
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MOST)
    except OSError as why:
        if why.errno not in (errno.ENOPROTOOPT, errno.ERANGE):
            raise
        # An old kernel, or more groups than fit: what the group file says of the user.
        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return []
    return [member for (member,) in struct.iter_unpack("I", data)]


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
