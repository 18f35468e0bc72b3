"""The command that makes templates from photographs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import pytest

from drivers.faces import template, tool
from tests.unit.faces import heads


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    made = {
        "hopper": heads.alone("hopper"),
        "hopper2": heads.lived(heads.alone("hopper"), 3),
        "collins": heads.alone("collins"),
        "far": heads.alone("hopper", 0.3),
        "two": heads.scene((heads.portrait("hopper"), 0.6, 160), (heads.portrait("collins"), 0.6, 480)),
    }
    for name, picture in made.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    (tmp_path / "text.png").write_text("no picture")
    return {name: tmp_path / f"{name}.png" for name in [*made, "text"]}


def test_it_prints_a_template_that_can_be_read(photos: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["enrol", str(photos["hopper"]), str(photos["hopper2"]), "--days", "3"]) == 0
    said = capsys.readouterr()
    assert "vendingd-face-1" in said.err and json.loads(said.out)["fmt"] == "vendingd-face-1"
    read = template.read(said.out.encode(), time.time())
    assert read.expires_utc - read.created_utc == pytest.approx(3 * 86_400, abs=1)


def test_it_compares_and_keeps_its_file_private(
    photos: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "face.json"
    out.write_text("an earlier one, longer than any template " * 100)
    out.chmod(0o644)
    expires = "2999-01-31T12:00:00Z"
    assert tool.main(["enrol", str(photos["hopper"]), "--expires", expires, "--out", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert tool.main(["compare", str(out), str(photos["hopper2"]), str(photos["collins"])]) == 0
    same, other = (float(line.split()[0]) for line in capsys.readouterr().out.splitlines())
    assert same > 0.9 and other < 0.4


@pytest.mark.parametrize(
    ("images", "more", "says"),
    [
        (["far"], ["--days", "1"], "far.png: the face is too small"),
        (["two"], ["--days", "1"], "more than one face"),
        (["text"], ["--days", "1"], "not a picture"),
        (["hopper", "collins"], ["--days", "1"], "not the person of the other pictures"),
        (["hopper"], ["--expires", "2020-01-01T00:00:00Z"], "expired"),
    ],
)
def test_it_says_which_picture_and_why(
    photos: dict[str, Path], images: list[str], more: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(["enrol", *(str(photos[name]) for name in images), *more]) == 1
    said = capsys.readouterr()
    assert says in said.err and said.out == ""


@pytest.mark.parametrize("days", ["inf", "nan", "1e9", "0", "-1", "soon"])
def test_days_that_are_none_are_said(photos: dict[str, Path], days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main(["enrol", str(photos["hopper"]), "--days", days])
    assert "argument --days" in capsys.readouterr().err
