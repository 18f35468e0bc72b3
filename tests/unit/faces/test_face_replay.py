"""Frames that come again, as bytes alone."""

from __future__ import annotations

import random

from drivers.faces.replay import Kind, Replay

CELLS = 1024


def thumb(rng: random.Random, level: int = 120) -> bytes:
    return bytes(max(0, min(255, level + rng.randint(-40, 40))) for _ in range(CELLS))


def encoded_anew(one: bytes, rng: random.Random) -> bytes:
    return bytes(max(0, min(255, cell + rng.choice((0, 0, 0, 1)))) for cell in one)


def test_live_frames_are_new() -> None:
    rng, replay = random.Random(1), Replay()
    assert {replay.saw(n.to_bytes(16, "big"), thumb(rng), n * 0.2) for n in range(100)} == {Kind.NEW}


def test_a_person_who_stands_still_is_not_a_film() -> None:
    rng, replay = random.Random(2), Replay()
    rest = thumb(rng)
    for n in range(100):  # alike as if encoded anew, with somebody passing behind now and then
        shown = thumb(rng) if n % 10 == 9 else encoded_anew(rest, rng)
        assert replay.saw(n.to_bytes(16, "big"), shown, n * 0.2) is Kind.NEW


def test_a_person_who_sways_comes_back_to_places_but_not_by_the_clock() -> None:
    for seed in range(5):
        rng, replay, now = random.Random(seed), Replay(), 0.0
        places = [thumb(rng) for _ in range(6)]
        for n in range(40):  # every third time to the very place, which is far more often than people do
            shown = encoded_anew(rng.choice(places), rng) if n % 3 == 0 else thumb(rng)
            assert replay.saw(n.to_bytes(16, "big"), shown, now) is Kind.NEW
            now += rng.uniform(0.1, 0.5)


def test_a_loop_is_found_though_each_frame_is_encoded_anew() -> None:
    rng, replay = random.Random(3), Replay()
    film = [thumb(rng) for _ in range(10)]
    kinds = [replay.saw(n.to_bytes(16, "big"), encoded_anew(film[n % 10], rng), n * 0.2) for n in range(20)]
    assert kinds.index(Kind.AGAIN) == 12, "with the third picture that came again"


def test_the_same_bytes_again_are_found_at_once() -> None:
    rng, replay = random.Random(4), Replay()
    one, two = thumb(rng), thumb(rng)
    shown = ((b"1", one), (b"1", one), (b"2", two), (b"1", one))
    assert [replay.saw(d, t, n * 0.2) for n, (d, t) in enumerate(shown)] == [
        Kind.NEW,
        Kind.SAME,
        Kind.NEW,
        Kind.AGAIN,
    ]


def test_one_stale_frame_of_an_earlier_comparison_is_the_cameras_two_are_a_film() -> None:
    rng = random.Random(5)
    replay = Replay(frozenset({b"1", b"2"}))
    assert replay.saw(b"1", thumb(rng), 1.0) is Kind.NEW
    assert replay.saw(b"3", thumb(rng), 3.0) is Kind.NEW
    assert replay.saw(b"2", thumb(rng), 2.0) is Kind.AGAIN
