"""Passes that open nothing, passes that open something, and what one opens after it has been used."""

from __future__ import annotations

from collections.abc import Callable

from tests.scenario.stand import DIRECTORY, Stand, fast

LASTING = fast(farewell_s=20)  # a refusal stays on the screen until it was read
Make = Callable[..., Stand]


def sent_away(m: Stand, text: str, told: str, terminal: str = "front") -> None:
    """Whoever shows this is told so, and leaves."""
    m.show(text, terminal)
    m.shown(told, terminal)
    assert m.press("leave", terminal)[0] == 200
    m.shown("idle", terminal)


def refusals(m: Stand) -> list[tuple[str, str]]:
    return [(x["subject"], x["data"]["reason"]) for x in m.received("credential.refused")]


def test_pass_at_a_wrong_time_or_place(make: Make) -> None:
    m = make(timing=LASTING)
    good = m.book("r1", "car-1")
    sent_away(m, m.book("early", "car-2", window_from=3600, window_to=7200), "too_early")
    sent_away(m, m.book("late", "car-2", window_from=-7200, window_to=-600), "too_late")
    sent_away(m, m.sign("r1", nbf=-7200, exp=-600), "too_late")
    sent_away(m, m.sign("r1", aud="tower-2"), "other_machine")
    sent_away(m, m.sign("r1", aud="site:east"), "other_machine")
    revoked = m.book("revoked", "car-2")
    assert m.outcome(m.cloud.act("revoke", rental="revoked")["instruction"]) == ("accepted", None)
    sent_away(m, revoked, "refused")
    assert m.pulses() == 0
    m.pick_up("r1", "bay-1", good)
    assert m.pulses() == 1 == len(m.received("bay.unlock_authorised"))
    assert refusals(m) == [
        ("early", "too_early"),
        ("late", "too_late"),
        ("r1", "too_late"),
        ("r1", "other_machine"),
        ("r1", "other_machine"),
        ("revoked", "revoked"),
    ]


def test_forged_pass(make: Make) -> None:
    """One word for all of them at the terminal; the operator hears which."""
    m = make(timing=LASTING)
    good = m.book("r1", "car-1")
    sent_away(m, m.sign("r1", forge="signature"), "refused")
    sent_away(m, m.sign("r1", forge="key"), "refused")  # another key under the known one's name
    sent_away(m, m.sign("r1", forge="kid"), "refused")
    sent_away(m, "https://example.org/menu", "refused", "side")
    sent_away(m, good[:-8], "refused", "side")
    assert m.pulses() == 0
    m.pick_up("r1", "bay-1", good)
    assert m.pulses() == 1 == len(m.received("rental.claimed"))
    front, side = ([reason for where, reason in refusals(m) if where == terminal] for terminal in ("front", "side"))
    assert front == ["bad_signature", "bad_signature", "unknown_key"]
    assert side == ["malformed", "malformed"]


def test_site_wide_pass_for_a_named_asset(make: Make) -> None:
    """Honoured where the asset is believed and not sensed absent; where it is out, the pass brings it back."""
    m = make(timing=LASTING, directory=[*DIRECTORY, {"id": "car-3", "class": "car", "tags": ["62E3080003"]}])
    m.plant.act("new_asset", asset="car-3", **{"class": "car"}, tag="62E3080003")
    sent_away(m, m.sign("stranger", aud="site:west", asset="car-9"), "not_here")
    sent_away(m, m.sign("classy", aud="site:west", **{"class": "car"}), "refused")  # each machine would hand one out
    m.plant.act("vanish", bay="bay-2", asset="car-2")
    m.until(lambda: m.api.get("/v1/bays/bay-2")["sensed"]["presence"] == "empty", "bay-2 is sensed empty")
    sent_away(m, m.sign("gone", aud="site:west", asset="car-2"), "not_here")
    assert m.pulses() == 0
    m.pick_up("here", "bay-1", m.sign("here", aud="site:west", asset="car-1"))
    assert refusals(m) == [("stranger", "asset_not_here"), ("front", "bad_claim"), ("gone", "asset_not_here")]
    status, _ = m.api.ask("POST", "/v1/terminals/front/return", {})  # who brings a car says so
    assert status == 200
    m.show(m.sign("out", aud="site:west", asset="car-3"))
    bay = m.authorised("return")
    assert bay in ("bay-1", "bay-3")
    m.unlocked(bay, 2 if bay == "bay-1" else 1)
    m.bring_back("out", "car-3", bay)
    assert m.pulses() == 2


def test_rental_never_heard_of_with_the_network_down(make: Make) -> None:
    m = make(timing=LASTING)
    named = m.sign("named", asset="car-2")
    of_class = m.sign("of-class", **{"class": "car"})
    m.cloud.fault("down")
    for text, bay in ((named, "bay-2"), (of_class, "bay-1")):
        m.show(text)
        m.unlocked(bay)
        m.open(bay)
        m.plant.act("take", bay=bay)
        m.close(bay)
        m.shown("enjoy")
    assert m.received("rental.booked") == [] and m.pulses() == 2
    m.cloud.fault("down", on=False)
    m.heard("rental.on_trip", "named", asset="car-2")
    m.heard("rental.on_trip", "of-class", asset="car-1")
    for rental in ("named", "of-class"):
        assert m.kinds(rental) == ["rental.booked", "rental.claimed", "rental.on_trip"]


def test_pass_copied_after_use(make: Make) -> None:
    """On trip it opens an empty place for the return; once the asset is back and left alone, nothing."""
    m = make(timing=fast(farewell_s=20, reopen_s=0))
    text = m.book("r1", "car-1")
    m.pick_up("r1", "bay-1", text)
    m.show(text, "side")
    bay = m.authorised("return")
    assert m.bay(bay)["items"] == []
    m.unlocked(bay, 2 if bay == "bay-1" else 1)
    m.open(bay)
    m.close(bay)
    m.heard("rental.return_abandoned", "r1")
    m.shown("left_empty", "side")
    m.show(text)
    bay = m.authorised("return", 2)
    m.until(lambda: m.pulses() == 3, "a place opens for the holder")
    m.bring_back("r1", "car-1", bay)
    for terminal in ("front", "side"):
        m.show(text, terminal)
        m.shown("already_used", terminal)
    m.pick_up("r2", "bay-2", m.book("r2", "car-2"))
    assert m.pulses() == 4 and m.pulses("bay-2") == 1
    assert refusals(m) == [("r1", "spent"), ("r1", "spent")]


def test_retired_key_and_revocation_only_leave_the_return(make: Make) -> None:
    m = make(timing=LASTING)
    out, waiting = m.book("r1", "car-1"), m.book("r2", "car-2")
    m.pick_up("r1", "bay-1", out)
    assert m.outcome(m.cloud.act("rotate_key")["instruction"]) == ("accepted", None)
    assert m.outcome(m.cloud.act("revoke", rental="r1")["instruction"]) == ("accepted", None)
    sent_away(m, waiting, "refused")
    assert m.pulses() == 1
    m.show(out)
    bay = m.authorised("return")
    m.until(lambda: m.pulses() == 2, "a place opens for the return")
    m.bring_back("r1", "car-1", bay)
    m.pick_up("r2", "bay-2", m.sign("r2"))  # signed by the new key
    assert m.pulses() == 3 and refusals(m) == [("r2", "key_retired")]
