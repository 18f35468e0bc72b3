"""Policies in their text forms: "pass+pin" in site files, reservations and passes. Judging them is
`fsm.policy`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fsm.policy import KNOWN, NAMING, Alternatives, Combination, Policy, without_biometrics

MAX_ALTERNATIVES = 16
MAX_FACTORS = 8
_FACTOR = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


class PolicyError(ValueError):
    """A policy that cannot be read or could never be met; says where and why."""


def parse_combination(text: object) -> Combination:
    """Factors of "pass+pin". Raises PolicyError. Words that are no factor here are kept: they can never be
    met.
    """
    if not isinstance(text, str) or len(text) > 256:
        raise PolicyError('want text such as "pass+pin"')
    factors = text.split("+")
    if len(factors) > MAX_FACTORS or not all(_FACTOR.fullmatch(factor) for factor in factors):
        raise PolicyError('want 1 to 8 factors joined by "+", such as "pass+pin"')
    if len(set(factors)) != len(factors):
        raise PolicyError("a factor stands twice")
    return frozenset(factors)


def parse_demands(value: object) -> Alternatives:
    """Alternatives of a reservation or a pass. Raises PolicyError. An empty list is refused: it would ask
    for nothing.
    """
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_ALTERNATIVES:
        raise PolicyError(f"demands: want a list of 1 to {MAX_ALTERNATIVES} combinations")
    try:
        return tuple(dict.fromkeys(parse_combination(text) for text in value))
    except PolicyError as defect:
        raise PolicyError(f"demands: {defect}") from None


def demands_text(demands: Alternatives) -> list[str]:
    """The wire form of alternatives; the inverse of `parse_demands`."""
    order = {factor: i for i, factor in enumerate(KNOWN)}
    return ["+".join(sorted(one, key=lambda f: (order.get(f, len(order)), f))) for one in demands]


def parse_site_policy(least: Mapping[str, object]) -> Policy:
    """The site's `[policy.least]`. Raises PolicyError with the key.

    Stricter than a reservation's: a factor that does not exist, a combination that names nobody, or a class
    that leaves no way without a face is a mistake of whoever wrote the file, told at the start.
    """
    rows: dict[str, Alternatives] = {}
    for asset_class, value in least.items():
        where = f"policy.least.{asset_class}"
        try:
            rows[asset_class] = alternatives = parse_demands(value)
        except PolicyError as defect:
            raise PolicyError(f"{where}: {str(defect).removeprefix('demands: ')}") from None
        for text, one in zip(demands_text(alternatives), alternatives, strict=True):
            if unknown := sorted(one.difference(KNOWN)):
                raise PolicyError(f"{where}: {unknown[0]!r} is no factor; there are {', '.join(KNOWN)}")
            if not one & NAMING:
                raise PolicyError(f"{where}: {text!r} names nobody; add one of {', '.join(sorted(NAMING))}")
        if not without_biometrics(alternatives):
            raise PolicyError(f"{where}: no way without a face; add an alternative such as 'pass+pin'")
    return Policy(rows)
