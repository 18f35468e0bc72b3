"""The bench of codes and faces: what it counts, on a corpus of a few pictures. No figure is asserted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest
from PIL import Image

from tests.perf import bench_identity, identity_faces, identity_qr
from tests.unit.faces import heads
from tests.unit.vision import qr_scenes


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
