"""HLK-FM22x face modules, the module's side. 115200 8N1, `EF AA MID SIZE(2) data XOR`.

From Hi-Link's description of the protocol: SIZE has its high byte first, XOR covers MID to the last byte of data.
Replies are MID 00 (command, result, more), notes MID 01 (00: started; 01: how the face stands, 16 bits each, low
byte first). 10 resets, 11 tells the state, 12 verifies (power down afterwards, seconds), 20 deletes a user, 23
forgets directions, 26 enrols, 93 tells the serial number, FE switches demo mode. Verifying names the user, the
name, whether an administrator, and C8 for open or CC for closed eyes; in demo mode any face is user FFFF.

Ours, because the description is silent: the module looks every 100 ms and has compared after 300 ms of a good
face; it takes the first of several faces; who is not known is told at once (result 8); what it was doing is
answered with 02 (aborted) when it is reset; numbers are given from 1, the lowest free one first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from hw_sim.model.log import PhysicalLog
from hw_sim.wires.frames import Frame, Framer
from hw_sim.wires.line import Line

RESET, STATUS, VERIFY, DELETE, DELETE_ALL = 0x10, 0x11, 0x12, 0x20, 0x21
FORGET_DIRECTIONS, ENROL, SERIAL, DEMO = 0x23, 0x26, 0x93, 0xFE
OK, REJECTED, ABORTED, INVALID, UNKNOWN_USER = 0, 1, 2, 6, 8
FULL, ENROLLED, LIVENESS, TIMED_OUT = 9, 10, 12, 13
NAME_BYTES = 32
ALL_DIRECTIONS = 0x1F
# how somebody stands before it -> the state that the module notes
LOOKS = {
    "live": 0, "print": 0, "eyes_closed": 0, "high": 2, "low": 3, "left": 4, "right": 5, "far": 6, "close": 7,
    "brows_covered": 8, "eyes_covered": 9, "covered": 10, "turned": 11,
}  # fmt: skip


def framed(mid: int, data: bytes = b"") -> bytes:
    """A whole frame."""
    body = bytes([mid]) + len(data).to_bytes(2, "big") + data
    return b"\xef\xaa" + body + bytes([reduce(xor, body)])


def _length(start: bytes) -> int | None:
    if not b"\xef\xaa".startswith(start[:2]):
        return 0
    return 6 + int.from_bytes(start[3:5], "big") if len(start) >= 5 else None


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody before the module, or a picture of somebody (`look` print)."""

    person: str
    look: str = "live"


@dataclass(frozen=True, slots=True)
class User:
    person: str
    name: bytes


@dataclass(slots=True)
class FM22xOptions:
    serial: str = "HLK-SIM-0001"
    look_s: float = 0.1
    compare_s: float = 0.3
    capacity: int = 100
    reports_eyes: bool = True  # old firmware ends a success after the name
    finishes: bool = False  # when it is reset, it confirms that and still ends what it was doing


@dataclass(slots=True)
class _Job:
    """A verification or an enrolment under way."""

    command: int
    data: bytes
    ends: float
    good_since: float | None = None


@dataclass(slots=True)
class FaceModule:
    """One module: who is enrolled, who stands before it, and what it is doing."""

    line: Line
    log: PhysicalLog
    options: FM22xOptions = field(default_factory=FM22xOptions)
    users: dict[int, User] = field(default_factory=dict)
    standing: tuple[Standing, ...] = ()
    demo: bool = False
    demo_stuck: bool = False  # a demonstrator's firmware: says nothing of the kind, and stays in it
    silent: bool = False
    state: int = 0  # of a module that does nothing: 0 idle, 2 error, 3 not initialised
    _job: _Job | None = None
    _timer: asyncio.TimerHandle | None = None
    _directions: int = 0
    _framer: Framer = field(init=False)

    def __post_init__(self) -> None:
        self._framer = Framer(_length, lambda f: reduce(xor, f[2:]) == 0, self.act, self._rejected)
        self.line.received = self._framer.feed

    @property
    def busy(self) -> bool:
        return self._job is not None

    def _rejected(self, data: bytes, t: float) -> None:
        self.log.add(t, "bad_bytes", device=self.line.name, data=data.hex(" "))

    # ------------------------------------------------------------ who is there
    def see(self, standing: tuple[Standing, ...]) -> None:
        """Who stands before it now, the nearest first. Raises ValueError for an unknown look."""
        for one in standing:
            if one.look not in LOOKS:
                raise ValueError(f"no look {one.look!r}; there are: {', '.join(LOOKS)}")
        self.standing = standing

    def restarted(self) -> None:
        """Power came back: whatever it was doing is forgotten without a word."""
        self.stop()
        self._directions = 0
        self._send(framed(1, b"\0"))

    def stop(self) -> None:
        self._job = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ------------------------------------------------------------ commands
    def act(self, frame: Frame) -> None:
        """Obey a command."""
        mid, data = frame.data[2], frame.data[5:-1]
        counts = self.line.counters.frames
        counts[f"{mid:02x}"] = counts.get(f"{mid:02x}", 0) + 1
        if self.silent:
            return
        if mid == RESET:
            self._directions = 0
            job, finishes = self._job, self.options.finishes and self.standing
            if job is not None and not finishes:
                self._done(ABORTED)
            self._reply(RESET, OK)
            if job is not None and finishes:
                (self._compare if job.command == VERIFY else self._take)(self.standing[0], job)
        elif mid == STATUS:
            self._reply(STATUS, OK, bytes([1 if self._job is not None else self.state]))
        elif self._job is not None or self.state != 0:
            self._reply(mid, REJECTED)
        elif mid in (VERIFY, ENROL):
            self._begin(mid, data, frame.t_last)
        else:
            self._at_once(mid, data, frame)

    def _at_once(self, mid: int, data: bytes, frame: Frame) -> None:
        if mid == SERIAL:
            self._reply(mid, OK, self.options.serial.encode().ljust(32, b"\xff"))
        elif mid == DEMO:
            self.demo = self.demo_stuck or data[:1] == b"\1"
            self._reply(mid, REJECTED if self.demo_stuck else OK)
        elif mid == FORGET_DIRECTIONS:
            self._directions = 0
            self._reply(mid, OK)
        elif mid == DELETE:
            gone = self.users.pop(int.from_bytes(data, "big"), None)
            self.log.add(frame.t_last, "user_deleted", device=self.line.name, known=gone is not None)
            self._reply(mid, OK if gone is not None else UNKNOWN_USER)
        elif mid == DELETE_ALL:
            self.log.add(frame.t_last, "all_users_deleted", device=self.line.name)
            self.users.clear()
            self._reply(mid, OK)
        else:
            self.log.add(frame.t_last, "unknown_frame", device=self.line.name, frame=frame.data.hex(" "))
            self._reply(mid, REJECTED)

    # ------------------------------------------------------------ looking
    def _begin(self, mid: int, data: bytes, now: float) -> None:
        if len(data) != (2 if mid == VERIFY else 40):
            self._reply(mid, INVALID)
            return
        self._job = _Job(mid, data, now + (data[1] if mid == VERIFY else data[36]))
        self._look()

    def _look(self) -> None:
        job, now = self._job, time.monotonic()
        assert job is not None
        if now >= job.ends:
            self._done(TIMED_OUT)
            return
        state = LOOKS[self.standing[0].look] if self.standing else 1
        self._send(framed(1, b"\1" + state.to_bytes(2, "little") + bytes(14)))
        if state != 0:
            job.good_since = None
        elif job.good_since is None:
            job.good_since = now
        elif now - job.good_since >= self.options.compare_s:
            (self._compare if job.command == VERIFY else self._take)(self.standing[0], job)
            return
        self._timer = asyncio.get_running_loop().call_later(self.options.look_s, self._look)

    def _known(self, person: str) -> int | None:
        return next((uid for uid, user in sorted(self.users.items()) if user.person == person), None)

    def _compare(self, who: Standing, job: _Job) -> None:
        if self.demo:
            self._done(OK, b"\xff\xff" + self._tail(b"", who))
            return
        uid = self._known(who.person)
        if who.look == "print":
            self._done(LIVENESS)
        elif uid is None:
            self._done(UNKNOWN_USER)
        else:
            self._done(OK, uid.to_bytes(2, "big") + self._tail(self.users[uid].name, who))

    def _tail(self, name: bytes, who: Standing) -> bytes:
        eyes = b"\0" + (b"\xcc" if who.look == "eyes_closed" else b"\xc8") if self.options.reports_eyes else b""
        return name.ljust(NAME_BYTES, b"\0") + eyes

    def _take(self, who: Standing, job: _Job) -> None:
        direction, single, duplicate = job.data[33], job.data[34] == 1, job.data[35] == 1
        if who.look == "print":
            self._done(LIVENESS)
        elif not duplicate and self._known(who.person) is not None:
            self._done(ENROLLED)
        elif len(self.users) >= self.options.capacity:
            self._done(FULL)
        else:
            self._directions = ALL_DIRECTIONS if single else self._directions | direction
            taken, uid = self._directions, 0xFFFF
            if taken == ALL_DIRECTIONS:
                uid = next(n for n in range(1, 0xFFFF) if n not in self.users)
                self.users[uid] = User(who.person, job.data[1:33].rstrip(b"\0"))
                self._directions = 0
                self.log.add(time.monotonic(), "user_enrolled", device=self.line.name, uid=uid)
            self._done(OK, uid.to_bytes(2, "big") + bytes([taken]))

    # ------------------------------------------------------------ saying
    def _done(self, result: int, more: bytes = b"") -> None:
        assert self._job is not None
        command = self._job.command
        self.stop()
        self._reply(command, result, more)

    def _reply(self, mid: int, result: int, more: bytes = b"") -> None:
        self._send(framed(0, bytes([mid, result]) + more))

    def _send(self, data: bytes) -> None:
        if not self.silent:
            self.line.send(data)


def looks_of(people: list[str], look: str) -> tuple[Standing, ...]:
    """Several people who look alike at it."""
    return tuple(Standing(person, look) for person in people)


def enrolled(table: dict[str, int]) -> dict[int, User]:
    """Users by number, from a scenario's `enrolled = {alice = 1}`."""
    return {uid: User(person, person.encode()[: NAME_BYTES - 1]) for person, uid in table.items()}
