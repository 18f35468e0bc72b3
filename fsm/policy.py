"""Which factors a person must show: what site and reservation ask for together, and what to ask next.

A policy is a list of alternatives, each a combination of factors: any one combination is enough, and needs
all of its factors. Read as logic it is an "or" of "and"s without a "not", so two policies that must both
hold combine by "and", and the result is never lower than either.

Pure. Texts such as "pass+pin" were judged where they came in; `ways` only takes them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

Combination = frozenset[str]
Alternatives = tuple[frozenset[str], ...]

PASS = "pass"
PIN = "pin"
BADGE = "badge"
FACE = "face"  # by any camera
LIVE_FACE = "live-face"  # by a device that itself proves a living face; counts as `face`, too
AUTHORISER = "authoriser"  # a second person's badge, of those that the asset names

KNOWN: tuple[str, ...] = (PASS, BADGE, LIVE_FACE, PIN, FACE, AUTHORISER)
"""Every factor, in the order in which a person is asked for them."""

NAMING = frozenset({PASS, BADGE, LIVE_FACE})
"""Factors that say who it is. The others only support a claim: a PIN alone names nobody, and the face
before a plain camera may be a photograph, an authoriser speaks for somebody else; so a combination without a naming
factor is never satisfied."""

BIOMETRIC = frozenset({FACE, LIVE_FACE})


@lru_cache(maxsize=256)
def ways(texts: tuple[str, ...]) -> Alternatives:
    """Alternatives of ("pass+pin", "pass+face"); their order is kept. An empty word is met by nothing."""
    return tuple(dict.fromkeys(frozenset(text.split("+")) for text in texts))


class Standing(StrEnum):
    SATISFIED = "satisfied"
    WANTED = "wanted"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a person stands. `ask` is to be prompted for, `accept` is every factor that would help."""

    standing: Standing
    ask: str | None = None
    accept: Combination = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """The site's least for each asset class; "*" for classes not named. Without any row: a pass."""

    rows: Mapping[str, Alternatives] = field(default_factory=dict)

    @classmethod
    def of_texts(cls, rows: Mapping[str, tuple[str, ...]]) -> Policy:
        """From rows such as {"car": ("pass+pin", "pass+face")}."""
        return cls({asset_class: ways(texts) for asset_class, texts in rows.items()})

    def least(self, asset_class: str | None) -> Alternatives:
        """The least for a class. Where the class is not known every row applies at once: never too low."""
        rest = self.rows.get("*", (frozenset({PASS}),))
        if asset_class is not None:
            return self.rows.get(asset_class, rest)
        every = rest
        for _, row in sorted(self.rows.items()):
            every = combined(every, row)
        return every

    def required(self, asset_class: str | None, demanded: Alternatives | None) -> Alternatives:
        """What a reservation needs here: its own demand and the site's least, both."""
        least = self.least(asset_class)
        return least if demanded is None else combined(demanded, least)


def combined(demanded: Alternatives, least: Alternatives) -> Alternatives:
    """Both policies at once.

    A demanded combination that contains one of the least stands as it is. Any other is joined with each of
    the least. What contains another of the results is left out, for the smaller is enough. The order of
    `demanded` is kept, it is the order of preference. No alternatives on either side gives none:
    impossible, never free.
    """
    joined = list(dict.fromkeys(demand | floor for demand in demanded for floor in least))
    return tuple(one for one in joined if not any(other < one for other in joined))


def evaluate(required: Alternatives, verified: Iterable[str], offered: Iterable[str]) -> Verdict:
    """Where someone stands who has shown `verified` at a terminal that can check `offered`.

    The alternative with the fewest factors missing leads, the earlier one on a tie; so whoever types a PIN
    where a face was asked for is led on by the PIN.
    """
    shown, within_reach = _with_implied(verified), _with_implied((*verified, *offered))
    open_ways = [way for way in required if way & NAMING and way <= within_reach]
    missing = [way - shown for way in open_ways]
    if not missing:
        return Verdict(Standing.IMPOSSIBLE)
    nearest = min(missing, key=len)
    if not nearest:
        return Verdict(Standing.SATISFIED)
    return Verdict(
        Standing.WANTED,
        ask=next(factor for factor in KNOWN if factor in nearest),
        accept=frozenset().union(*missing),
    )


def possible(required: Alternatives, offered: Iterable[str]) -> bool:
    """Whether a terminal that checks `offered` could ever serve this; asked when a reservation arrives."""
    return evaluate(required, (), offered).standing is not Standing.IMPOSSIBLE


def plain(required: Alternatives) -> Alternatives:
    """The ways that ask for no face."""
    return tuple(way for way in required if not way & BIOMETRIC)


def without_biometrics(required: Alternatives) -> bool:
    """Whether one of the ways asks for no face."""
    return any(way & NAMING for way in plain(required))


def _with_implied(factors: Iterable[str]) -> Combination:
    # Names from outside the list are dropped: a factor that nobody here can judge is never verified and
    # never offered.
    known = frozenset(factors) & frozenset(KNOWN)
    return known | {FACE} if LIVE_FACE in known else known
