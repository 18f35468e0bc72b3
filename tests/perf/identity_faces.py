"""How well faces of a corpus are told apart, and what that costs: in the process that does it for the daemon."""

from __future__ import annotations

import itertools
import resource
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from drivers.faces import engine
from drivers.faces.session import FRAMES, THRESHOLD_FLOOR, Verification
from drivers.faces.template import cosine, mean
from drivers.ports import FaceFinding, FaceResult
from drivers.vision.frames import Frame
from tests.perf.figures import quantile
from vendingd.workers import RealWorkers

THRESHOLDS = (THRESHOLD_FLOOR, 0.45)
CPU_MOST_S = 0.3
LONG_S = 120.0

PassOver = Callable[[str, Path], None]
"""Told why a file is not measured."""


def cpu_and_peak() -> tuple[float, float]:
    """Run in the child: its processor time in seconds, its largest resident size in MiB."""
    return time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def frames(folder: Path, side: int, pass_over: PassOver) -> Iterator[tuple[str, Frame]]:
    """Person and picture, no larger than a camera gives it."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(person.iterdir()):
            try:
                picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
                if picture is not None:
                    yield person.name, _frame(picture, side)
                    continue
            except cv2.error:  # too large, or so narrow that nothing is left of it
                pass
            pass_over("cannot be read", path)


def _frame(picture: Any, side: int) -> Frame:
    scale = side / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done
    return Frame("jpeg", data.tobytes(), 0.0)


async def measure(folder: Path, side: int, pass_over: PassOver = lambda why, path: None) -> dict[str, Any]:
    """Figures of all people of a folder."""
    vectors: dict[str, list[tuple[float, ...]]] = {}
    good: dict[str, list[Frame]] = {}
    words: Counter[str] = Counter()
    cpu: list[float] = []
    workers = RealWorkers(threads=1, processes=1)
    async with workers.apart() as own:
        before, _ = await own.process(cpu_and_peak, timeout_s=LONG_S)
        await own.process(engine.load, timeout_s=LONG_S)
        loaded, _ = await own.process(cpu_and_peak, timeout_s=LONG_S)
        for person, frame in frames(folder, side, pass_over):
            began, _ = await own.process(cpu_and_peak, timeout_s=LONG_S)
            look = await own.process(engine.look, frame, timeout_s=LONG_S)
            ended, _ = await own.process(cpu_and_peak, timeout_s=LONG_S)
            words[look.word or look.refused or "good"] += 1
            if look.comparable and look.frontal:
                vectors.setdefault(person, []).append(look.vector)
                good.setdefault(person, []).append(frame)
                cpu.append(ended - began)
        verified_s = await _one_comparison(own, good, vectors)
        _, peak_mib = await own.process(cpu_and_peak, timeout_s=LONG_S)
    await workers.aclose()
    return {
        "people": len(vectors),
        "pictures": sum(words.values()),
        "by_word": dict(words),
        "single": pairs(vectors),
        "mean_of_three": triples(vectors),
        "load_cpu_s": loaded - before,
        "look_cpu_ms_median": 1000 * quantile(cpu, 0.5) if cpu else None,
        "first_good_frame_to_verified_cpu_s": verified_s,
        "verified_met": None if verified_s is None else verified_s <= CPU_MOST_S,
        "child_peak_mib": peak_mib,
    }


async def _one_comparison(
    own: Any, good: dict[str, list[Frame]], vectors: dict[str, list[tuple[float, ...]]]
) -> float | None:
    """Processor time of both processes from the first good frame to the result, three frames of one person.

    Of the first person who is verified: three pictures of different people, or one three times, are not. None: nobody.
    """
    for person, seen in vectors.items():
        if len(seen) < FRAMES:
            continue
        try:
            template = mean(seen)
        except ValueError:
            continue
        watch = Verification(
            template, lambda word: None, threshold=THRESHOLDS[-1], challenge_steps=0, below=secrets.randbelow
        )
        child, _ = await own.process(cpu_and_peak, timeout_s=LONG_S)
        here, now = time.process_time(), 0.0
        result: FaceResult | None = None
        for frame in good[person][:FRAMES]:
            result = watch.saw(await own.process(engine.look, frame, timeout_s=LONG_S), now)
            now += watch.next_look_s
        here = time.process_time() - here
        if result is not None and result.finding is FaceFinding.VERIFIED:
            return float((await own.process(cpu_and_peak, timeout_s=LONG_S))[0] - child + here)
    return None


# ---------------------------------------------------------------- who is who
def pairs(vectors: dict[str, list[tuple[float, ...]]]) -> dict[str, Any]:
    """One picture against another."""
    genuine = [cosine(a, b) for seen in vectors.values() for a, b in itertools.combinations(seen, 2)]
    impostor = [cosine(a, b) for one, other in itertools.combinations(vectors.values(), 2) for a in one for b in other]
    return rates(genuine, impostor)


def triples(vectors: dict[str, list[tuple[float, ...]]]) -> dict[str, Any]:
    """As a comparison does it: the mean of three pictures, one after the other, against a template of another one."""
    genuine, impostor = [], []
    for person, seen in vectors.items():
        for template, enrolled in ((name, vector) for name, all_of in vectors.items() for vector in all_of):
            others = [vector for vector in seen if vector is not enrolled]
            for n in range(0, len(others) - FRAMES + 1, FRAMES):
                score = cosine(mean(others[n : n + FRAMES]), enrolled)
                (genuine if template == person else impostor).append(score)
    return rates(genuine, impostor)


def rates(genuine: list[float], impostor: list[float]) -> dict[str, Any]:
    """Errors at the thresholds. With no error among n, no rate below 3/n can be claimed (95 %)."""
    return {
        "genuine": len(genuine),
        "impostor": len(impostor),
        "genuine_least": min(genuine, default=None),
        "impostor_most": max(impostor, default=None),
        "at": {
            f"{threshold:.2f}": {
                "false_rejects": sum(score < threshold for score in genuine),
                "false_accepts": sum(score >= threshold for score in impostor),
            }
            for threshold in THRESHOLDS
        },
        "false_accept_rate_claimable": 3 / len(impostor) if impostor else None,
    }


def table(found: dict[str, Any]) -> Iterator[str]:
    """Lines of text."""
    yield f"faces: {found['pictures']} pictures, {found['people']} people with a good one; {found['by_word']}"
    for name, words in (("single", "one picture against one"), ("mean_of_three", "mean of three against one")):
        got = found[name]
        for threshold, errors in got["at"].items():
            yield (
                f"  {words} at {threshold}: {errors['false_rejects']} of {got['genuine']} rejected falsely, "
                f"{errors['false_accepts']} of {got['impostor']} accepted falsely"
            )
        if got["impostor"] and got["genuine"]:
            yield f"    least genuine {got['genuine_least']:.3f}, highest impostor {got['impostor_most']:.3f}"
    look, verified = found["look_cpu_ms_median"], found["first_good_frame_to_verified_cpu_s"]
    yield f"  processor time: load {found['load_cpu_s']:.2f} s, a good look {look or 0:.0f} ms"
    if verified is not None:
        yield f"  first good frame to verified face: {verified:.2f} s (aim ≤ {CPU_MOST_S} s)"
    yield f"  process that compares: {found['child_peak_mib']:.0f} MiB at most; gone afterwards"
