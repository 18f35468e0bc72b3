"""A policy that this site could not keep, or keep for everybody, is refused before anything is opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vendingd.site.resolved import Site

Load = Callable[[str], Site]
Problems = Callable[[str], list[str]]
EYE = '[devices.eye]\ndriver = "camera-face"\nurl = "http://127.0.0.1:1/face"\n[[bays]]'
NO_PLAIN = "no terminal can check a way without a face"


def with_eye(good: str, least: str, terminal: str) -> str:
    head = good.replace("[[bays]]", EYE).replace('car = ["pass+pin"]', f"car = {least}")
    return head[: head.index('codes = ["scanner"]')] + terminal


@pytest.mark.parametrize(
    ("least", "terminal"),
    [
        ('["pass+face", "badge+pin"]', 'codes = ["scanner"]\nface = "eye"'),  # nothing reads badges
        ('["pass+face", "pass+pin"]', 'codes = ["scanner"]\nface = "eye"\nscreen = false'),  # nobody can type
        (
            '["pass+face", "pass+pin"]',
            'codes = ["scanner"]\nface = "eye"\nscreen = false\n[[terminals]]\nid = "side"\nkeypad = "pad"\n'
            "screen = false",
        ),  # pass and PIN, but not at one terminal
    ],
)
def test_a_way_without_a_face_that_no_terminal_can_check(
    good: str, problems: Problems, least: str, terminal: str
) -> None:
    (said,) = problems(with_eye(good, least, terminal))
    assert said.startswith(f"9: policy.least.car: {NO_PLAIN}; add a reader or a keypad")


@pytest.mark.parametrize(
    "terminal",
    [
        'codes = ["scanner"]\nface = "eye"',
        'codes = ["scanner"]\nface = "eye"\nscreen = false\n[[terminals]]\nid = "side"',  # its screen takes both
    ],
)
def test_one_terminal_that_can_is_enough(good: str, load: Load, terminal: str) -> None:
    site = load(with_eye(good, '["pass+face", "pass+pin"]', terminal))
    assert not [one for one in site.warnings if "policy" in str(one)]


def test_what_nothing_can_check_is_one_error_and_not_two(good: str, problems: Problems) -> None:
    (said,) = problems(with_eye(good, '["badge+face", "badge+pin"]', 'codes = ["scanner"]\nface = "eye"'))
    assert "no terminal can check any of these ways" in said


def test_a_faulty_bay_is_no_slip_in_the_policy(good: str, problems: Problems) -> None:
    """What fits is not known before the bays are read."""
    said = problems(good.replace('fits = ["car"]', "fits = [1]"))
    assert said and all("bays" in one and "policy" not in one for one in said)
