"""The front desk: which readings become what the domain hears, and which do not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from drivers.ports import BadgeRead, CodeRead, DigitsEntered, KeyPressed, LevelRead, Sense, TagRead
from fsm import events as e
from fsm.model import Now, Visit
from fsm.step import Step
from fsm.world import World
from tests.unit.fsm.machine import T0, layout
from vendingd.desk import REPEAT_S, Desk, Keys, Terminals
from vendingd.identity.badges import BadgeKey
from vendingd.identity.cwt import Pass
from vendingd.identity.keys import KeyRing
from vendingd.identity.tool import make_key, public_jwk, sign_pass


class Mailbox:
    """Keeps what was shown; answers as told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, e.Event]] = []
        self.refused: str | None = None
        self.head = World(layout())

    def visit(self, n: int) -> None:
        """What was shown began the n-th visit."""
        self.head.apply({("visit", "front"): Visit(id="front", n=n)})

    def credential(self, terminal: str, event: e.Event, at_mono: float) -> asyncio.Future[Step]:
        self.heard.append((terminal, event))
        reply: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        reply.set_result(Step({}, refused=self.refused))
        return reply


class Clock:
    def monotonic(self) -> float:
        return 50.0

    def utc_now(self) -> float:
        return T0

    async def sleep_until(self, deadline_mono: float) -> None:
        raise AssertionError


KEY = make_key("k1")
BADGES = BadgeKey(bytes(range(32)))


def desk(**jwk: Any) -> tuple[Desk, Mailbox]:
    mailbox = Mailbox()
    terminals = Terminals(
        codes={"scanner": "front", "camera": "front"},
        keypads={("pad", 1): "front"},
        return_keys={("keys", 1): "front"},
        tags={("reader", 1): "front"},
        held_s={"camera": 6.0},
        badges={("nfc", 1): "front"},
    )
    keys = Keys(KeyRing.parse({"keys": [public_jwk(KEY) | jwk]}), badges=BADGES)
    made = Desk(terminals, keys, mailbox, Clock(), lambda: Now(50.0, T0, True, 0.0, "boot"))  # type: ignore[arg-type]
    return made, mailbox


def code(key: Any = KEY, **claims: Any) -> bytes:
    said = Pass(issuer="c", rental="r1", audience="m1", exp=T0 + 60, nbf=T0 - 60, cti=b"1", asset="car1")
    return sign_pass(key, replace(said, **claims)).encode()


async def read(made: Desk, text: bytes, at_mono: float, device: str = "scanner") -> None:
    made.code(CodeRead(device, text, at_mono))
    await asyncio.sleep(0)


async def test_a_genuine_pass_is_presented_with_all_it_says() -> None:
    made, mailbox = desk()
    await read(made, code(demands=(frozenset({"pass", "pin"}),), holder="h", due=T0 + 99), 1.0)
    ((terminal, event),) = mailbox.heard
    assert terminal == "front" and isinstance(event, e.PassPresented)
    assert (event.rental, event.asset, event.demands, event.holder, event.due) == (
        "r1",
        "car1",
        ("pass+pin",),
        "h",
        T0 + 99,
    )


async def test_what_is_no_pass_is_told_by_its_reason_and_a_huge_one_is_not_looked_at() -> None:
    made, mailbox = desk()
    await read(made, b"https://example.com/menu", 1.0)
    await read(made, b"A" * 10_000_000, 2.0)
    assert [event for _, event in mailbox.heard] == [e.CredentialUnreadable("front", "malformed")] * 2


async def test_a_key_of_tomorrow_is_not_valid_today() -> None:
    made, mailbox = desk(not_before="2200-01-01T00:00:00Z")
    await read(made, code(), 1.0)
    assert mailbox.heard == [("front", e.CredentialUnreadable("front", "key_not_yet_valid"))]


async def test_a_phone_still_in_view_after_it_was_served_starts_nothing() -> None:
    made, mailbox = desk()
    text = code()
    for n in range(10):
        await read(made, text, 1.0 + n * 3.0, "camera")
    assert len(mailbox.heard) == 1
    await read(made, text, 28.0 + 6.0, "camera")
    assert len(mailbox.heard) == 2, "shown anew"


async def test_an_impatient_scanner_is_heard_once_a_second() -> None:
    made, mailbox = desk()
    mailbox.refused = "wait"
    for n in range(11):
        await read(made, code(), 1.0 + n * 0.5)
    assert len(mailbox.heard) == 6


async def test_a_scan_by_hand_is_meant() -> None:
    made, mailbox = desk()
    text = code()
    await read(made, text, 1.0)
    await read(made, text, 1.0 + REPEAT_S)
    assert len(mailbox.heard) == 2


async def test_who_was_refused_may_go_on_holding_the_phone() -> None:
    made, mailbox = desk()
    mailbox.refused = "settling"
    text = code()
    for n in range(3):
        await read(made, text, 1.0 + n * 3.0, "camera")
    assert len(mailbox.heard) == 3
    await read(made, text, 7.0 + REPEAT_S / 2, "camera")
    assert len(mailbox.heard) == 3


async def test_keys_tags_and_buttons_reach_their_terminal() -> None:
    made, mailbox = desk()
    made.digits(DigitsEntered("pad", "1234", 1.0))
    made.key(KeyPressed("pad", "return", 1.0))
    made.key(KeyPressed("pad", "digit", 1.0))
    made.button(LevelRead("keys", Sense.BUTTON, 1, True))
    made.button(LevelRead("keys", Sense.BUTTON, 1, False))
    made.tag(TagRead("reader", 1, "AA", 1.0))
    made.tag(TagRead("reader", 1, None, 2.0))
    made.tag(TagRead("elsewhere", 1, "AA", 2.0))
    assert [event for _, event in mailbox.heard] == [
        e.PinEntered("front", "1234"),
        e.ReturnAsked("front"),
        e.ReturnAsked("front"),
        e.TagPresented("front", "AA"),
    ]


async def test_delivered_keys_join_the_sites_own_and_a_broken_one_is_left_out() -> None:
    made, mailbox = desk()
    other = make_key("k2")
    made.keys.delivered({"k2": json.dumps(public_jwk(other)), "k3": '{"kty":"?"}'})
    await read(made, code(other), 1.0)
    await read(made, code(), 3.0)
    assert [type(event) for _, event in mailbox.heard] == [e.PassPresented, e.PassPresented]


# ---------------------------------------------------------------- badges
async def badge(made: Desk, number: str, at_mono: float, channel: int = 1) -> None:
    made.badge(BadgeRead("nfc", number, at_mono, channel))
    await asyncio.sleep(0)


async def test_a_badge_goes_on_as_its_hash_alone() -> None:
    made, mailbox = desk()
    await badge(made, "nfc:04112233", 1.0)
    await badge(made, "nfc:04112233", 1.0, channel=2)
    assert mailbox.heard == [("front badge", e.BadgePresented("front", BADGES.hash("nfc:04112233")))]
    assert "04112233" not in repr(mailbox.heard)


async def test_a_badge_that_was_accepted_is_heard_at_each_showing() -> None:
    """Whoever left, and shows it again every two seconds since nothing happens, must not be silenced by it."""
    made, mailbox = desk()
    for n in range(30):
        await badge(made, "nfc:04112233", 1.0 + n * 2.0)
    assert len(mailbox.heard) == 30


async def test_a_badge_is_heard_once_a_second_at_most() -> None:
    made, mailbox = desk()
    for n in range(11):
        await badge(made, "nfc:04112233", 1.0 + n * 0.5)
    assert len(mailbox.heard) == 6


async def test_a_refused_badge_may_be_tried_again_at_once() -> None:
    made, mailbox = desk()
    mailbox.refused = "wait"
    for n in range(4):
        await badge(made, "nfc:04112233", 1.0 + n * REPEAT_S)
    assert len(mailbox.heard) == 4


async def test_badge_and_code_do_not_hide_each_other() -> None:
    made, mailbox = desk()
    await read(made, code(), 1.0)
    await badge(made, "nfc:04112233", 1.1)
    await badge(made, "nfc:0A112233", 1.2)
    assert [type(event) for _, event in mailbox.heard] == [e.PassPresented, e.BadgePresented, e.BadgePresented]


async def test_without_the_sites_key_no_badge_is_anybodys() -> None:
    made, mailbox = desk()
    made.keys.badges = None
    await badge(made, "nfc:04112233", 1.0)
    assert mailbox.heard == []


async def test_digits_belong_to_the_reader_at_which_they_were_typed() -> None:
    made, mailbox = desk()
    made.digits(DigitsEntered("pad", "1234", 1.0, 2))
    made.key(KeyPressed("pad", "return", 1.0, 2))
    assert mailbox.heard == []


# ---------------------------------------------------------------- digits
def press(made: Desk, digits: str, at_mono: float, channel: int = 1) -> None:
    for n, _ in enumerate(digits):
        made.key(KeyPressed("pad", "digit", at_mono + n * 0.01, channel))


def entered(mailbox: Mailbox) -> list[str]:
    return [event.digits for _, event in mailbox.heard if isinstance(event, e.PinEntered)]


async def test_digits_typed_before_a_visit_began_are_no_part_of_its_pin() -> None:
    made, mailbox = desk()
    press(made, "7", 1.0)
    await badge(made, "nfc:04112233", 5.0)
    mailbox.visit(1)
    press(made, "4071", 6.0)
    made.digits(DigitsEntered("pad", "74071", 7.0))
    assert entered(mailbox) == ["4071"]
    press(made, "40", 8.0)
    await read(made, code(), 9.0)  # somebody else's, in the midst of it
    mailbox.visit(2)
    press(made, "9999", 10.0)
    made.digits(DigitsEntered("pad", "409999", 11.0))
    assert entered(mailbox) == ["4071", "9999"]


async def test_digits_of_a_visit_stay_its_own_whatever_is_shown_in_it() -> None:
    """A phone that lies before the scanner is read on and on; a second factor begins no visit."""
    made, mailbox = desk()
    await read(made, code(), 1.0)
    mailbox.visit(1)
    press(made, "40", 2.0)
    await read(made, code(), 3.0)
    await badge(made, "nfc:04112233", 3.5)
    press(made, "71", 4.0)
    made.digits(DigitsEntered("pad", "4071", 5.0))
    assert entered(mailbox) == ["4071"]


async def test_nothing_but_old_digits_is_no_entry() -> None:
    made, mailbox = desk()
    press(made, "777", 1.0)
    await badge(made, "nfc:04112233", 2.0)
    mailbox.visit(1)
    made.digits(DigitsEntered("pad", "777", 3.0))
    assert entered(mailbox) == []


async def test_digits_that_were_cleared_or_forgotten_do_not_count_for_others() -> None:
    made, mailbox = desk()
    press(made, "77", 1.0)
    made.key(KeyPressed("pad", "clear", 1.5))
    press(made, "88", 1.6)  # the keypad forgets these by itself, and says nothing of it
    await badge(made, "nfc:04112233", 20.0)
    mailbox.visit(1)
    press(made, "4071", 21.0)
    made.digits(DigitsEntered("pad", "4071", 22.0))
    assert entered(mailbox) == ["4071"]
    made.digits(DigitsEntered("pad", "1234", 23.0))  # a keypad that does not tell its keys
    assert entered(mailbox) == ["4071", "1234"]
