"""docs/trusted-time.md, cell by cell: each is what the machine does in that situation, and no cell is without a test.

The domain, the machine's trusted time and a bay's hardware by hand; in the column `cloud` a TLS exchange on loopback,
by a certificate that is as old as the situation's clock takes it to be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fsm import events as e
from fsm.model import Now, RentalState
from fsm.step import Step
from tests.unit.fsm.machine import HOUR, Bench, layout
from tests.unit.kernel.tls import answered
from vendingd.kernel.time import BUILD_UTC, SystemClock, TrustedTime
from vendingd.prompts import prompt

PAGE = Path(__file__).resolve().parents[3] / "docs" / "trusted-time.md"
DAY = 24 * HOUR
MORNING = BUILD_UTC + 100 * DAY  # the story's T, unless it begins with a long quiet
CARS = {f"b{n}": f"car{n}" for n in range(1, 9)}


# ---------------------------------------------------------------- a machine whose `Now` is made by its trusted time
@dataclass
class Clocked(Bench):
    trust: str = "kernel"
    synchronised: bool = True
    t: float = MORNING  # the story's T
    journalled: float = 0.0  # the floor that the journal would tell after a power cut
    newest: tuple[float, float] | None = None  # what its newest record would vouch for after a start
    vouched: tuple[float, float] | None = None
    time: TrustedTime = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.utc, self.floor = MORNING, 0.0
        self.begins(self.boot)

    def begins(self, boot: str) -> None:
        self.time = TrustedTime(
            self, self.trust, boot, lambda: self.floor, lambda: self.synchronised, vouched=lambda: self.vouched
        )

    def monotonic(self) -> float:
        return self.mono

    def utc_now(self) -> float:
        return self.utc

    async def sleep_until(self, deadline_mono: float) -> None:
        raise AssertionError

    @property
    def now(self) -> Now:
        now = self.time.now()
        self.trusted = now.trusted
        return now

    def tell(self, event: e.Event) -> Step:
        made, now = super().tell(event), self.now
        if made.records:
            self.newest = (now.mono, now.utc) if now.trusted else None
        if now.trusted:
            self.floor = now.utc  # as the mailbox does it
            self.journalled = now.utc if made.records else self.journalled
            self.time.now()  # which turns every second or so
        return made

    def passes(self, seconds: float) -> None:
        """Time passes; the mailbox ticks."""
        end = self.mono + seconds
        while self.mono < end:
            self.wait(min(end - self.mono, max(seconds / 60, 5.0)))
            self.tell(e.Tick())

    def power_cut(self, off_s: float, *, utc: float | None = None) -> None:
        """`utc`: what the clock says afterwards; left out, a battery has kept it."""
        self.floor, self.synchronised = self.journalled, False
        self.utc = self.utc + off_s if utc is None else utc
        self.vouched = None
        self.begins(f"{self.boot}+")
        self.crash(down_s=0.0)
        self.recover_rest()

    def reserve(self, rental: str, asset: str, begin: float, end: float, **over: object) -> None:
        self.book(rental, asset, window_from=self.t + begin, window_to=self.t + end, **over)

    def shows(self, rental: str, begin: float, end: float, asset: str | None = None) -> str:
        """A pass, by its window from T; what the terminal says."""
        self.show(rental, nbf=self.t + begin, exp=self.t + end, asset=asset)
        return self.says()

    def says(self) -> str:
        return str(prompt(self.world, "front", None, "")["code"])

    def morning(self) -> None:
        """T: what is booked, out, and back just now."""
        self.t = self.utc
        self.reserve("ready", "car1", -HOUR, DAY)
        self.reserve("begun", "car2", HOUR, DAY)
        self.reserve("closing", "car3", -HOUR, HOUR)
        self.reserve("open", "car4", -HOUR, 6 * HOUR)
        self.reserve("pin", "car5", -HOUR, DAY, demands=("pass+pin",), pin="sealed")
        self.reserve("trip", "car6", -HOUR, DAY, due=self.t + HOUR)
        self.reserve("back", "car7", -HOUR, DAY)
        for rental, bay in (("trip", "b6"), ("back", "b7")):
            assert self.shows(rental, -HOUR, DAY) == "open_door"
            self.sent(bay)
            self.open(bay)
            self.close(bay, presence=False, tag=None)
            self.wait(20.0)
        assert self.shows("back", -HOUR, DAY) == "open_door"
        (bay,) = self.unlocks()[-1:]
        self.sent(bay)
        self.open(bay)
        self.close(bay, presence=True, tag="TAG7")
        self.wait(20.0)
        assert self.rental("back").state is RentalState.RETURNED
        self.passes(self.t + HOUR / 2 - self.utc)


# ---------------------------------------------------------------- situations: from half past T to two hours after it
LATER = 1.5 * HOUR


def runs(m: Clocked) -> None:
    m.passes(LATER)


def loses_the_server(m: Clocked) -> None:
    m.synchronised = False
    m.passes(LATER)


def daemon_restarts(m: Clocked) -> None:
    m.synchronised = False
    m.passes(HOUR / 2)
    m.floor, m.vouched = m.journalled, m.newest
    m.begins(m.boot)
    m.crash(same_boot=True)
    m.recover_rest()
    m.passes(LATER - HOUR / 2)


def power_cut_without_rtc(m: Clocked) -> None:
    m.power_cut(LATER - 60, utc=55.0)
    m.passes(60)


def power_cut_with_rtc(m: Clocked) -> None:
    m.power_cut(LATER - 60)
    m.passes(60)


def power_cut_with_mad_rtc(m: Clocked) -> None:
    m.power_cut(LATER - 60, utc=m.utc + 10 * 365 * DAY)
    m.passes(60)


def heard_of_the_time_later(m: Clocked) -> None:
    power_cut_without_rtc(m)
    m.utc, m.synchronised = m.t + 2 * HOUR - 40, True
    m.passes(40)


def set_by_hand(by_s: float) -> Callable[[Clocked], None]:
    def happens(m: Clocked) -> None:
        m.utc += by_s
        m.synchronised = False  # the kernel takes its word back by itself
        m.passes(LATER)

    return happens


def corrected(by_s: float) -> Callable[[Clocked], None]:
    def happens(m: Clocked) -> None:
        m.utc += by_s
        m.passes(LATER)

    return happens


def leaps(m: Clocked) -> None:
    m.synchronised = False
    m.utc -= 1.0
    m.passes(LATER)


def summer_begins(m: Clocked) -> None:
    """The site's time zone changes under the daemon."""
    zone, before = os.environ.get("TZ"), SystemClock().utc_now()
    try:
        os.environ["TZ"] = "UTC-2"
        time.tzset()
        m.utc += round((SystemClock().utc_now() - before) / 600) * 600
    finally:
        del os.environ["TZ"]
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()
    m.passes(LATER)


def stands_before_the_build(m: Clocked) -> None:
    m.utc = 1e9
    m.passes(LATER)


def quiet(days: float) -> Callable[[Clocked], None]:
    """So long without a time server, before T."""

    def before(m: Clocked) -> None:
        m.synchronised = False
        m.passes(days * DAY)

    return before


def at_once(m: Clocked) -> None:
    """Nothing before T."""


SITUATIONS: dict[str, tuple[Callable[[Clocked], None], Callable[[Clocked], None]]] = {
    "synchronised": (at_once, runs),
    "power-cut": (at_once, power_cut_without_rtc),
    "power-cut-rtc": (at_once, power_cut_with_rtc),
    "power-cut-rtc-mad": (at_once, power_cut_with_mad_rtc),
    "synchronised-later": (at_once, heard_of_the_time_later),
    "offline-day": (at_once, loses_the_server),
    "restarted": (at_once, daemon_restarts),
    "offline-month": (quiet(30), runs),
    "offline-quarter": (quiet(90), runs),
    "set-forward": (at_once, set_by_hand(5 * HOUR)),
    "set-back": (at_once, set_by_hand(-5 * HOUR)),
    "jumped-forward": (at_once, corrected(5 * HOUR)),
    "jumped-back": (at_once, corrected(-5 * HOUR)),
    "leap-second": (at_once, leaps),
    "summer-time": (at_once, summer_begins),
    "before-the-build": (at_once, stands_before_the_build),
}


def arrived(situation: str, trust: str) -> Clocked:
    """The machine two hours after T."""
    before, happens = SITUATIONS[situation]
    m = Clocked(layout(9, reopen_s=4 * HOUR), trust=trust)
    m.start(CARS)
    before(m)
    m.morning()
    happens(m)
    return m


# ---------------------------------------------------------------- columns: what people get
def a_pin(m: Clocked) -> str:
    if m.shows("pin", -HOUR, DAY) == "enter_pin":
        m.tell(e.PinEntered("front", "1234"))
        m.check_pin(ok=True)
    return m.says()


PEOPLE: dict[str, Callable[[Clocked], str]] = {
    "ready": lambda m: m.shows("ready", -HOUR, DAY),
    "begun": lambda m: m.shows("begun", HOUR, DAY),
    "never heard of": lambda m: m.shows("r9", -HOUR, DAY, "car8"),
    "tomorrow": lambda m: m.shows("r9", DAY, 2 * DAY, "car8"),
    "over": lambda m: m.shows("r9", -5 * HOUR, -HOUR, "car8"),
    "PIN": a_pin,
    "return": lambda m: m.shows("trip", -HOUR, DAY),
    "reopening": lambda m: m.shows("back", -HOUR, DAY),
}


# ---------------------------------------------------------------- columns: what the machine does by itself
def remote_unlock(m: Clocked) -> str:
    m.deliver(e.CloudUnlock("old", "b1", "asked", 3600.0), e.CloudUnlock("new", "b1", "asked", 1.0))
    assert m.outcome("old")[0] == "stale"
    return "opens" if m.outcome("new")[0] == "accepted" and m.unlocks()[-1] == "b1" else str(m.outcome("new"))


ITSELF: dict[str, Callable[[Clocked], str]] = {
    "window over": lambda m: "expired" if m.rental("closing").state is RentalState.EXPIRED else "waits",
    "window open": lambda m: "expired" if m.rental("open").state is RentalState.EXPIRED else "stays",
    "overdue": lambda m: "told" if m.rental("trip").overdue else "waits",
    "remote unlock": remote_unlock,
    "timetrusted": lambda m: str(m.now.trusted).lower(),
}


# ---------------------------------------------------------------- the page
def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without backticks."""
    text = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows if not set("".join(row)) <= set("-: ")]


BELIEVED = table("Which clock is believed")
GET = table("What people get")
DOES = table("What the machine does by itself")


def cells(rows: list[list[str]], columns: list[str]) -> list[tuple[str, str, str, str]]:
    heads, *body = rows
    return [(row[0], row[1], column, row[heads.index(column)]) for row in body for column in columns if column in heads]


@pytest.mark.parametrize(
    ("situation", "trust", "word"),
    [(row[0], trust, row[2 + n]) for row in BELIEVED[1:] for n, trust in enumerate(("kernel", "rtc", "assume"))],
)
def test_which_clock_is_believed(situation: str, trust: str, word: str) -> None:
    assert {True: "yes", False: "no"}[arrived(situation, trust).now.trusted] == word


@pytest.mark.parametrize(("situation", "trust", "column", "word"), cells(GET, list(PEOPLE)))
def test_what_people_get(situation: str, trust: str, column: str, word: str) -> None:
    m = arrived(situation, trust)
    before = len(m.unlocks())
    assert PEOPLE[column](m) == word
    assert (len(m.unlocks()) > before) is (word == "open_door")


@pytest.mark.parametrize(("situation", "trust", "column", "word"), cells(DOES, list(ITSELF)))
def test_what_the_machine_does_by_itself(situation: str, trust: str, column: str, word: str) -> None:
    assert ITSELF[column](arrived(situation, trust)) == word


@pytest.mark.parametrize(("situation", "trust", "word"), [(a, b, word) for a, b, _, word in cells(DOES, ["cloud"])])
async def test_whether_the_cloud_can_be_believed(tmp_path: Path, situation: str, trust: str, word: str) -> None:
    """TLS looks at the system's clock alone. Ours is right: so the certificate is moved by what that one is off."""
    m = arrived(situation, trust)
    begin = (m.t - 200 * DAY) - m.utc
    assert await answered(tmp_path, begin, begin + 400 * DAY) == word


def test_every_situation_has_its_rows_and_every_row_a_situation() -> None:
    for rows in (BELIEVED, GET, DOES):
        assert sorted({row[0] for row in rows[1:]}) == sorted(SITUATIONS)
    assert BELIEVED[0][2:] == ["kernel", "rtc", "assume"]
    assert GET[0][2:] == list(PEOPLE)
    assert DOES[0][2:] == [*ITSELF, "cloud"]
