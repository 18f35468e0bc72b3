"""The front desk: what terminals read becomes what the domain hears. Secrets stop here.

A pass is verified here as far as keys can tell; everything else about it is the domain's. The same code arrives many
times a second from a camera: it is passed on once in a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from drivers.ports import BadgeRead, Clock, CodeRead, DigitsEntered, KeyPressed, LevelRead, Sense, TagRead
from fsm import events as e
from fsm.effects import CheckFace, CheckPin
from fsm.model import Now
from fsm.step import Step
from vendingd.identity.badges import BadgeKey
from vendingd.identity.face import FaceFactor
from vendingd.identity.factors import Finding, Liveness
from vendingd.identity.keys import KeyRing, KeysError
from vendingd.identity.passes import PassRead, read_pass
from vendingd.identity.pin import PinFactor
from vendingd.identity.policy import demands_text
from vendingd.kernel.executor import FaceWord
from vendingd.kernel.mailbox import Mailbox

_log = logging.getLogger(__name__)
REPEAT_S = 1.0  # a scanner in presentation mode reads on; a person who shows it again means it
MOST_DIGITS = 64  # that a keypad's option lets an entry have
MAX_CODE = 4296  # a QR code holds no more alphanumeric characters (ISO/IEC 18004)

Channel = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Terminals:
    """Which device stands at which terminal."""

    codes: Mapping[str, str]  # device -> terminal
    keypads: Mapping[Channel, str]
    return_keys: Mapping[Channel, str]
    tags: Mapping[Channel, str]
    held_s: Mapping[str, float]  # camera -> a code seen again within this never left its view
    badges: Mapping[Channel, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """The code that was last read at a terminal."""

    digest: bytes
    at_mono: float = float("-inf")  # seen last
    passed_on_mono: float = float("-inf")
    accepted: bool = False

    def answered(self, reply: asyncio.Future[Step]) -> None:
        if not reply.cancelled() and reply.exception() is None:
            self.accepted = reply.result().refused is None


@dataclass(slots=True)
class _Begun:
    """When the visit at a terminal began: what was typed before that is somebody else's."""

    n: int = 0  # the visit at the time of the newest showing
    shown_mono: float = float("-inf")
    begun_mono: float = float("-inf")

    def follow(self, n: int) -> None:
        """The terminal is at visit `n`: another one than at the newest showing began with that showing."""
        if n != self.n:
            self.n, self.begun_mono = n, self.shown_mono


@dataclass(slots=True)
class Keys:
    """The issuers' keys: the site's, and those that the cloud delivered; and the site's own for badges."""

    site: KeyRing
    issuer: str | None = None
    badges: BadgeKey | None = None
    ring: KeyRing = field(init=False)

    def __post_init__(self) -> None:
        self.ring = self.site

    def delivered(self, jwks: Mapping[str, str]) -> None:
        """kid -> JWK text. One that cannot be read is left out, and said."""
        ring = self.site
        for kid, jwk in sorted(jwks.items()):
            try:
                ring = ring.updated(KeyRing.parse_text(f'{{"keys":[{jwk}]}}'))
            except KeysError as why:
                _log.error("key %s of the cloud cannot be used: %s", kid, why)
        self.ring = ring


class Desk:
    """All methods are called on the loop's thread and never block."""

    def __init__(
        self, terminals: Terminals, keys: Keys, mailbox: Mailbox, clock: Clock, now: Callable[[], Now]
    ) -> None:
        self._terminals = terminals
        self.keys = keys
        self._mailbox = mailbox
        self._clock = clock
        self._now = now
        self._seen: dict[str, _Seen] = {}
        self._begun: defaultdict[str, _Begun] = defaultdict(_Begun)
        self._typed: defaultdict[Channel, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_DIGITS))  # when

    # ------------------------------------------------ from devices
    def code(self, read: CodeRead) -> None:
        terminal = self._terminals.codes.get(read.device)
        if terminal is None:
            return
        digest = hashlib.sha256(read.data).digest()
        held_s = self._terminals.held_s.get(read.device, 0.0)
        if (seen := self._shown_anew(terminal, digest, read.at_mono, held_s)) is not None:
            self.show(terminal, read.data, read.at_mono).add_done_callback(seen.answered)

    def badge(self, read: BadgeRead) -> None:
        """Its number ends here: what goes on is its hash.

        A reader's device tells a badge once for as long as it is held there, so each read is a showing.
        """
        terminal = self._terminals.badges.get((read.device, read.channel))
        if terminal is None or self.keys.badges is None:
            return
        badge = self.keys.badges.hash(read.badge)
        if (seen := self._shown_anew(f"{terminal} badge", badge.encode(), read.at_mono, 0.0)) is not None:
            event = e.BadgePresented(terminal, badge)
            self._shown(terminal, read.at_mono)
            self._mailbox.credential(f"{terminal} badge", event, read.at_mono).add_done_callback(seen.answered)

    def _shown_anew(self, where: str, digest: bytes, at_mono: float, held_s: float) -> _Seen | None:
        """None for what is only read again, not shown again."""
        seen = self._seen.get(where)
        if seen is None or seen.digest != digest:
            seen = self._seen[where] = _Seen(digest)
        gap = at_mono - seen.at_mono
        # What was accepted and never left the reader's view is not shown anew: it would start a return.
        still_held = seen.accepted and gap < held_s
        seen.at_mono = at_mono
        # Counted from what was passed on: who scans impatiently, again and again, must not be silenced by it.
        if at_mono - seen.passed_on_mono < REPEAT_S or still_held:
            return None
        seen.accepted, seen.passed_on_mono = False, at_mono
        return seen

    def digits(self, read: DigitsEntered) -> None:
        """An entry, without what was typed before the visit began: it would cost the holder a try."""
        terminal = self._terminals.keypads.get((read.device, read.channel))
        if terminal is None:
            return
        begun_mono = self._visit(terminal).begun_mono
        typed = list(self._typed.pop((read.device, read.channel), ()))[-len(read.digits) :]
        if digits := read.digits[sum(at_mono < begun_mono for at_mono in typed) :]:
            self.pin(terminal, digits, read.at_mono)

    def key(self, read: KeyPressed) -> None:
        at = (read.device, read.channel)
        terminal = self._terminals.keypads.get(at)
        if terminal is None:
            return
        if read.key == "digit":
            self._typed[at].append(read.at_mono)
        elif read.key == "clear":
            self._typed.pop(at, None)
        elif read.key == "return":
            self._mailbox.credential(f"{terminal} return", e.ReturnAsked(terminal), read.at_mono)

    def _visit(self, terminal: str) -> _Begun:
        """Of the head world: a holder who types fast does not wait for a commit."""
        begun = self._begun[terminal]
        visit = self._mailbox.head.visit(terminal)
        begun.follow(visit.n if visit is not None else 0)
        return begun

    def _shown(self, terminal: str, at_mono: float) -> None:
        """A pass or a badge, which may begin a visit."""
        self._visit(terminal).shown_mono = at_mono

    def button(self, read: LevelRead) -> None:
        terminal = self._terminals.return_keys.get((read.device, read.channel))
        if terminal is not None and read.sense is Sense.BUTTON and read.value:
            self._mailbox.credential(f"{terminal} return", e.ReturnAsked(terminal), self._clock.monotonic())

    def tag(self, read: TagRead) -> None:
        terminal = self._terminals.tags.get((read.device, read.channel))
        if terminal is not None and read.tag is not None:
            self._mailbox.credential(f"{terminal} tag", e.TagPresented(terminal, read.tag), read.at_mono)

    # ------------------------------------------------ from devices and from screens
    def show(self, terminal: str, text: bytes, at_mono: float) -> asyncio.Future[Step]:
        """A code was shown; the future tells what came of it."""
        self._shown(terminal, at_mono)
        return self._mailbox.credential(terminal, self._judged(terminal, text), at_mono)

    def pin(self, terminal: str, digits: str, at_mono: float) -> asyncio.Future[Step]:
        return self._mailbox.credential(f"{terminal} pin", e.PinEntered(terminal, digits), at_mono)

    def _judged(self, terminal: str, text: bytes) -> e.AtTerminal:
        if len(text) > MAX_CODE:
            return e.CredentialUnreadable(terminal, "malformed")
        read = read_pass(text, self.keys.ring, issuer=self.keys.issuer)
        if not isinstance(read, PassRead):
            _log.info("terminal %s: no pass: %s %s", terminal, read.reason, read.detail)
            return e.CredentialUnreadable(terminal, str(read.reason))
        now = self._now()
        if read.key_not_before is not None and now.trusted and now.utc < read.key_not_before:
            return e.CredentialUnreadable(terminal, "key_not_yet_valid")
        said = read.claims
        return e.PassPresented(
            terminal=terminal,
            rental=said.rental,
            issuer=said.issuer,
            audience=said.audience,
            exp=said.exp,
            nbf=said.nbf,
            kid=read.kid,
            key_retired=read.key_retired,
            asset=said.asset,
            asset_class=said.asset_class,
            demands=tuple(demands_text(said.demands)) if said.demands is not None else (),
            due=said.due,
            holder=said.holder,
        )


async def check_face(factor: FaceFactor, effect: CheckFace, hint: Callable[[str], None]) -> FaceWord:
    """What the executor asks for: right, wrong, or None where nothing was compared; the liveness; and why."""
    result = await factor.verify(effect.terminal, effect.rental, effect.sealed, hint)
    if result.finding is Finding.UNAVAILABLE:
        _log.warning("the face of rental %s was not compared: %s", effect.rental, result.detail)
        return None, str(Liveness.NONE), result.why
    return result.finding is Finding.VERIFIED, str(result.liveness), result.why


async def check_pin(factor: PinFactor, effect: CheckPin) -> bool | None:
    """What the executor asks for: right, wrong, or None where it could not be told."""
    result = await factor.verify(effect.rental, effect.sealed, effect.digits)
    if result.finding is Finding.UNAVAILABLE:
        _log.error("the PIN of rental %s could not be checked: %s", effect.rental, result.detail)
        return None
    return result.finding is Finding.VERIFIED
