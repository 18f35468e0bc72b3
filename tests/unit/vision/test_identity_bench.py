"""The bench of codes and faces: what it counts, on a corpus of a few pictures. No figure is asserted."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import pytest
from PIL import Image

from tests.perf import bench_identity, identity_faces, identity_qr
from tests.unit.faces import heads
from tests.unit.vision import qr_scenes

ROOT = Path(__file__).parents[3]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "qr" / "plain").mkdir(parents=True)
    for name, payload, said in (("a", "HELLO", b"HELLO\n"), ("b", "HELLO", b"OTHER"), ("c", "HELLO", None)):
        qr_scenes.code(payload, box=6).save(tmp_path / "qr" / "plain" / f"{name}.png")
        if said is not None:
            (tmp_path / "qr" / "plain" / f"{name}.txt").write_bytes(said)
    Image.new("L", (1300, 40), 128).save(tmp_path / "qr" / "plain" / "d.png")
    (tmp_path / "qr" / "plain" / "d.txt").write_text("NOTHING THERE")
    for who, count in (("hopper", 4), ("collins", 1)):
        (tmp_path / "faces" / who).mkdir(parents=True)
        for n in range(count):
            picture = heads.lived(heads.alone(who), n)
            cv2.imwrite(str(tmp_path / "faces" / who / f"{n}.png"), picture)
    (tmp_path / "faces" / "hopper" / "note.txt").write_text("no picture")
    return tmp_path


def test_it_counts_what_is_read_and_what_is_not_there(corpus: Path) -> None:
    found = identity_qr.measure(corpus / "qr" / "plain", 1280)
    assert found is not None and found["pictures"] == 3, "what has no payload beside it is passed over"
    for engine in found["engines"].values():
        assert (engine["read"], engine["wrong"]) == (1, 1)
    assert found["never_below_either"] and not found["above_both"]
    assert identity_qr.measure(corpus / "faces", 1280) is None


def test_it_compares_everybody_with_everybody(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = corpus / "identity.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--corpus", str(corpus), "--only", "faces", "--out", str(out)])
    bench_identity.main()
    faces = json.loads(out.read_text())["faces"]
    assert faces["pictures"] == 5 and faces["people"] == 2
    assert (faces["single"]["genuine"], faces["single"]["impostor"]) == (6, 4)
    assert (faces["mean_of_three"]["genuine"], faces["mean_of_three"]["impostor"]) == (4, 1)
    assert faces["first_good_frame_to_verified_cpu_s"] > 0 and faces["child_peak_mib"] > 50


def png(width: int, height: int) -> bytes:
    """A PNG of so many pixels by its header, and nothing in it."""

    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")


def spoil(corpus: Path) -> None:
    """What is found in folders that people fill."""
    qr = corpus / "qr" / "plain"
    sound = (qr / "a.png").read_bytes()
    for name, data in (
        ("none.png", b"no picture at all"),
        ("short.png", sound[: len(sound) // 2]),
        ("bomb.png", png(20_000, 20_000)),
        ("large.png", png(10_000, 10_000)),
    ):
        (qr / name).write_bytes(data)
        (qr / name).with_suffix(".txt").write_text("HELLO")
    (qr / "folder.png").mkdir()
    (qr / "folder.txt").write_text("HELLO")
    Image.new("L", (3000, 1)).save(qr / "line.png")
    (qr / "line.png.txt").write_text("HELLO")
    (qr / "notes.doc").write_text("of who took them")
    (corpus / "qr" / "empty").mkdir()
    (corpus / "qr" / "stray.png").write_bytes(sound)
    (corpus / "faces" / "hopper" / "old").mkdir()
    cv2.imwrite(str(corpus / "faces" / "hopper" / "line.png"), cv2.imread(str(qr / "line.png")))
    (corpus / "faces" / "hopper" / "short.png").write_bytes(sound[:40])


def test_what_cannot_be_measured_is_passed_over_and_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(corpus)
    out = corpus / "out" / "identity.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--corpus", str(corpus), "--out", str(out)])
    bench_identity.main()
    found = json.loads(out.read_text())
    assert found["qr"]["plain"]["pictures"] == 4, "the three that were sound, and the line"
    assert found["faces"]["people"] == 2
    assert found["passed_over"] == {
        "qr": {"in no folder of a set or person": ["stray.png"]},
        "qr/plain": {
            "no payload beside it": ["c.png"],
            "cannot be read": ["bomb.png", "folder.png", "large.png", "none.png", "short.png"],
            "not a picture by its name": ["notes.doc"],
        },
        "faces/hopper": {"cannot be read": ["line.png", "note.txt", "old", "short.png"]},
    }
    assert "QR empty: not measured, it has no picture with a payload" in found["missed"]
    assert (
        "passed over in qr/plain: 5, cannot be read (bomb.png, folder.png, large.png, ...)" in capsys.readouterr().out
    )


def test_a_payload_may_end_in_a_new_line(tmp_path: Path) -> None:
    for name, payload, said in (
        ("a", "HELLO\n", b"HELLO\n"),
        ("b", "HELLO", b"HELLO\r\n"),
        ("c", "HELLO", b"HELLO\n\n"),
    ):
        qr_scenes.code(payload, box=6).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.png.txt").write_bytes(said)
    found = identity_qr.measure(tmp_path, 1280)
    assert found is not None
    engine = found["engines"]["zxing-cpp alone"]
    assert (found["pictures"], engine["read"], engine["wrong"]) == (3, 2, 1)


@pytest.mark.long
def test_people_who_are_not_who_the_folder_says_are_no_defect(tmp_path: Path) -> None:
    """The first person's pictures are of two people, the second's one picture three times; the third is timed."""
    for who, pictures in (
        ("a", [("hopper", 0), ("hopper", 1), ("collins", 2)]),
        ("b", [("hopper", 3)] * 3),
        ("c", [("collins", n) for n in range(4)]),
    ):
        (tmp_path / who).mkdir()
        for n, (head, moment) in enumerate(pictures):
            cv2.imwrite(str(tmp_path / who / f"{n}.png"), heads.lived(heads.alone(head), moment))
    found = asyncio.run(identity_faces.measure(tmp_path, 1280))
    assert found["people"] == 3 and found["first_good_frame_to_verified_cpu_s"] > 0
    (tmp_path / "c").rename(tmp_path.with_name("apart"))
    found = asyncio.run(identity_faces.measure(tmp_path, 1280))
    assert found["first_good_frame_to_verified_cpu_s"] is None and found["single"]["genuine"] == 6
    assert "verified as theirs" in bench_identity.missed({"faces": found})[0]


def test_faces_without_a_good_picture_are_not_called_sound() -> None:
    nothing = {"verified_met": None, "pictures": 0, "people": 0}
    assert "no picture that can be read" in bench_identity.missed({"faces": nothing})[0]
    assert "passes the gates" in bench_identity.missed({"faces": nothing | {"pictures": 3}})[0]


def test_make_hands_over_a_folder_with_blanks(tmp_path: Path) -> None:
    """`make` with something in Python's place that prints its arguments."""
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
    echo.chmod(0o700)
    stamp = ROOT / "locks" / "dev.txt"  # there, and made of nothing: nothing is installed
    named = f"{tmp_path}/my pictures $(of) 'May'"
    command = ["make", "-s", "bench-identity", f"PY={echo}", f"STAMP={stamp}", "CORPUS=" + named.replace("$", "$$")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == f"[-m][tests.perf.bench_identity][--corpus][{named}]"


def test_errors_are_counted_at_each_threshold() -> None:
    got = identity_faces.rates([0.9, 0.42, 0.3], [0.1, 0.41, 0.6])
    assert got["at"] == {
        "0.40": {"false_rejects": 1, "false_accepts": 2},
        "0.45": {"false_rejects": 2, "false_accepts": 1},
    }
    assert got["false_accept_rate_claimable"] == 1.0


def test_what_misses_its_aim_is_said() -> None:
    figures = {
        "never_below_either": False,
        "above_both": False,
        "ratio_met": False,
        "ratio_where_zxing_reads": 1.5,
        "engines": {identity_qr.WHOLE: {"rate": 0.5}},
    }
    assert len(bench_identity.missed({"qr": {"x": figures}, "faces": {"verified_met": False}})) == 4


def test_an_empty_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--corpus", str(tmp_path), "--out", str(tmp_path / "x.json")])
    with pytest.raises(SystemExit, match="neither"):
        bench_identity.main()
