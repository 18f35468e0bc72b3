from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm.policy import (
    BIOMETRIC,
    KNOWN,
    NAMING,
    Alternatives,
    Policy,
    Standing,
    Verdict,
    combined,
    evaluate,
    plain,
    possible,
    ways,
    without_biometrics,
)
from vendingd.identity.policy import (
    PolicyError,
    demands_text,
    parse_combination,
    parse_demands,
    parse_site_policy,
)

FACTORS = st.frozensets(st.sampled_from([*KNOWN, "iris"]))
POLICIES = st.lists(st.frozensets(st.sampled_from([*KNOWN, "iris"]), min_size=1, max_size=4), max_size=4).map(tuple)


def meets(required: Alternatives, verified: frozenset[str]) -> bool:
    return any(way <= verified for way in required)


def satisfied(required: Alternatives, verified: frozenset[str]) -> bool:
    return evaluate(required, verified, ()).standing is Standing.SATISFIED


def alternatives(*texts: str) -> Alternatives:
    return ways(texts)


# ---------------------------------------------------------------- combining
@given(POLICIES, POLICIES, FACTORS)
def test_combined_is_both_at_once(demanded: Alternatives, least: Alternatives, verified: frozenset[str]) -> None:
    assert meets(combined(demanded, least), verified) == (meets(demanded, verified) and meets(least, verified))


@given(POLICIES, POLICIES, FACTORS, FACTORS)
def test_never_lower_than_the_least(
    demanded: Alternatives, least: Alternatives, verified: frozenset[str], offered: frozenset[str]
) -> None:
    if evaluate(combined(demanded, least), verified, offered).standing is Standing.SATISFIED:
        assert meets(least, verified | ({"face"} if "live-face" in verified else set()))
        assert meets(demanded, verified | ({"face"} if "live-face" in verified else set()))


@given(POLICIES, POLICIES)
def test_a_demand_as_strong_as_one_of_the_least_stands(demanded: Alternatives, least: Alternatives) -> None:
    result = combined(demanded, least)
    for one in demanded:
        if any(floor <= one for floor in least) and not any(other < one for other in result):
            assert one in result


@given(POLICIES, POLICIES)
def test_nothing_superfluous_is_left(demanded: Alternatives, least: Alternatives) -> None:
    result = combined(demanded, least)
    assert not any(one < other for one in result for other in result)
    assert len(set(result)) == len(result)


@pytest.mark.parametrize(
    ("demanded", "least", "result"),
    [
        (("pass+pin",), ("pass",), ("pass+pin",)),
        (("pass",), ("pass+pin", "pass+face"), ("pass+pin", "pass+face")),
        (("pass+face", "pass"), ("pass+pin", "pass+face"), ("pass+face", "pass+pin")),
        (("badge+pin",), ("pass+pin",), ("badge+pin+pass",)),
        (("pass+pin",), ("pass+pin", "pass+face"), ("pass+pin",)),
        (("pass+iris",), ("pass",), ("pass+iris",)),
    ],
)
def test_by_example(demanded: tuple[str, ...], least: tuple[str, ...], result: tuple[str, ...]) -> None:
    assert combined(ways(demanded), ways(least)) == ways(result)


def test_nothing_demanded_is_never_free() -> None:
    assert combined((), alternatives("pass")) == ()
    assert evaluate((), {"pass", "pin"}, KNOWN).standing is Standing.IMPOSSIBLE
    assert evaluate((frozenset(),), {"pass", "pin"}, KNOWN).standing is Standing.IMPOSSIBLE
    assert evaluate(ways(("",)), KNOWN, KNOWN).standing is Standing.IMPOSSIBLE


# ---------------------------------------------------------------- the site's rows
def test_rows_by_class() -> None:
    policy = Policy.of_texts({"car": ("pass+pin", "pass+face"), "*": ("pass",)})
    assert policy.least("car") == alternatives("pass+pin", "pass+face")
    assert policy.least("bike") == alternatives("pass")
    assert policy.required("car", None) == alternatives("pass+pin", "pass+face")
    assert policy.required("car", alternatives("pass")) == alternatives("pass+pin", "pass+face")
    assert policy.required("bike", alternatives("pass+pin")) == alternatives("pass+pin")
    assert Policy().least("car") == alternatives("pass")


def test_an_unknown_class_meets_every_row() -> None:
    policy = Policy.of_texts({"car": ("pass+pin",), "key": ("pass+badge",)})
    assert policy.least(None) == alternatives("pass+pin+badge")


@given(st.dictionaries(st.sampled_from(["a", "b", "*"]), POLICIES.filter(bool)), FACTORS)
def test_an_unknown_class_is_never_lower_than_any(rows: dict[str, Alternatives], verified: frozenset[str]) -> None:
    policy = Policy(rows)
    if meets(policy.least(None), verified):
        assert all(meets(policy.least(name), verified) for name in ("a", "b", "c"))


# ---------------------------------------------------------------- evaluating
def test_step_by_step() -> None:
    required = alternatives("pass+pin", "pass+face")
    offered = {"pass", "pin", "face"}
    assert evaluate(required, (), offered) == Verdict(Standing.WANTED, "pass", frozenset({"pass", "pin", "face"}))
    assert evaluate(required, {"pass"}, offered) == Verdict(Standing.WANTED, "pin", frozenset({"pin", "face"}))
    assert evaluate(required, {"pass", "face"}, offered) == Verdict(Standing.SATISFIED)
    assert evaluate(required, {"pass"}, {"pass"}).standing is Standing.IMPOSSIBLE
    assert evaluate(required, {"pass"}, {"pin"}).ask == "pin"
    assert evaluate(required, {"pass", "pin"}, ()).standing is Standing.SATISFIED


def test_what_was_begun_is_led_on() -> None:
    required = alternatives("pass+face+badge", "pass+pin")
    assert evaluate(required, {"pass"}, KNOWN).ask == "pin"  # one step away, the other way is two
    assert evaluate(required, {"pass", "badge"}, KNOWN).ask == "face"  # both are one: the site's order
    assert evaluate(required, {"pass", "badge", "face"}, KNOWN).standing is Standing.SATISFIED


@pytest.mark.parametrize("alone", ["face", "pin", "face+pin", "iris"])
def test_what_names_nobody_is_never_enough(alone: str) -> None:
    assert evaluate(alternatives(alone), {*KNOWN, "iris"}, {*KNOWN, "iris"}).standing is Standing.IMPOSSIBLE


def test_a_living_face_names_and_counts_as_a_face() -> None:
    assert evaluate(alternatives("live-face"), {"live-face"}, ()).standing is Standing.SATISFIED
    assert evaluate(alternatives("pass+face"), {"pass", "live-face"}, ()).standing is Standing.SATISFIED
    assert evaluate(alternatives("pass+face"), {"pass"}, {"live-face"}).ask == "face"
    assert evaluate(alternatives("pass+live-face"), {"pass", "face"}, {"face"}).standing is Standing.IMPOSSIBLE


def test_what_the_site_cannot_check_is_impossible_at_once() -> None:
    assert not possible(alternatives("pass+iris"), {*KNOWN, "iris"})
    assert not possible(alternatives("pass+face"), {"pass", "pin"})
    assert possible(alternatives("pass+iris", "pass+pin"), {"pass", "pin"})


@given(POLICIES, FACTORS, FACTORS)
def test_a_verdict_keeps_its_word(required: Alternatives, verified: frozenset[str], offered: frozenset[str]) -> None:
    shown = verified
    for _ in range(len(KNOWN) + 1):
        verdict = evaluate(required, shown, offered)
        if verdict.ask is None:
            break
        assert verdict.standing is Standing.WANTED and verdict.ask in verdict.accept
        shown = shown | {verdict.ask}
    # Whoever gives what is asked for, every time, is satisfied in the end.
    assert verdict.ask is None and not verdict.accept
    assert verdict.standing is (
        Standing.IMPOSSIBLE if shown == verified and not satisfied(required, shown) else Standing.SATISFIED
    )


@given(POLICIES, FACTORS, FACTORS, FACTORS)
def test_more_shown_is_never_worse(
    required: Alternatives, verified: frozenset[str], more: frozenset[str], offered: frozenset[str]
) -> None:
    if satisfied(required, verified):
        assert evaluate(required, verified | more, offered).standing is Standing.SATISFIED


def test_a_way_without_a_face() -> None:
    assert without_biometrics(alternatives("pass+face", "pass+pin"))
    assert not without_biometrics(alternatives("pass+face", "live-face", "pin"))


# ---------------------------------------------------------------- texts
def test_texts() -> None:
    assert parse_combination("pin+pass") == {"pass", "pin"}
    assert parse_demands(["pass+pin", "pin+pass", "pass+iris"]) == alternatives("pass+pin", "pass+iris")
    assert demands_text(alternatives("pin+pass", "iris+badge")) == ["pass+pin", "badge+iris"]


@given(st.lists(st.frozensets(st.sampled_from([*KNOWN, "iris"]), min_size=1), min_size=1, max_size=16, unique=True))
def test_texts_there_and_back(wanted: list[frozenset[str]]) -> None:
    assert parse_demands(demands_text(tuple(wanted))) == tuple(wanted)


@pytest.mark.parametrize(
    "value", [None, "pass", [], {}, [""], ["+"], ["pass+"], [" pass"], ["Pass"], ["pass,pin"], [1], [None],
              ["pass+pass"], ["a"] * 17, ["+".join("abcdefghi")], ["a" * 33], ["pass\n"], ["é"]],
)  # fmt: skip
def test_texts_that_are_none(value: Any) -> None:
    with pytest.raises(PolicyError):
        parse_demands(value)


def test_the_site_s_table() -> None:
    policy = parse_site_policy({"car": ["pass+pin", "pass+face"], "*": ["pass"]})
    assert policy.least("car") == alternatives("pass+pin", "pass+face")
    assert parse_site_policy({}).least("car") == alternatives("pass")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["pass+iris"], "'iris' is no factor"),
        (["pin"], "'pin' names nobody"),
        (["pass", "face+pin"], "'pin\\+face' names nobody"),
        (["pass+face"], "without a face"),
        (["live-face", "badge+face"], "without a face"),
        ([], "want a list"),
        ("pass+pin", "want a list"),
        (["pass++pin"], "joined by"),
    ],
)
def test_the_site_s_mistakes_are_told(row: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=f"^policy.least.car: .*{said}"):
        parse_site_policy({"car": row})


def test_every_naming_factor_is_known() -> None:
    assert set(KNOWN) > NAMING


# ---------------------------------------------------------------- what the pages promise
@given(POLICIES, FACTORS)
def test_a_plain_camera_s_face_is_never_alone(required: Alternatives, verified: frozenset[str]) -> None:
    """Nor is a PIN, nor somebody else's consent, nor all three together."""
    assert not satisfied(required, verified & {"face", "pin", "authoriser"})


@given(POLICIES, FACTORS)
def test_who_shows_no_face_goes_a_way_without_one(required: Alternatives, verified: frozenset[str]) -> None:
    shown = verified - BIOMETRIC
    assert satisfied(required, shown) == satisfied(plain(required), shown)
    assert without_biometrics(required) == without_biometrics(plain(required))


def test_a_second_person_s_consent_is_asked_for_last() -> None:
    verdict = evaluate(alternatives("pass+pin+authoriser"), {"pass"}, KNOWN)
    assert (verdict.ask, verdict.accept) == ("pin", {"pin", "authoriser"})
    verdict = evaluate(alternatives("pass+pin+authoriser"), {"pass", "pin"}, KNOWN)
    assert verdict.ask == "authoriser"


@pytest.mark.parametrize("demanded", [("pass+pin", "badge+pin"), ("pass+live-face", "pass+pin")])
def test_alternatives_are_met_one_by_one(demanded: tuple[str, ...]) -> None:
    for one in ways(demanded):
        assert satisfied(ways(demanded), one)
        assert not any(satisfied(ways(demanded), one - {factor}) for factor in one)
