"""The demo as anybody starts it: its status, each kind of line that it prints, and that it leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE_S = 180.0
COLUMNS = ("ASKED", "COMMANDED", "SENSED", "JOURNALLED", "CLOUD")


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "hw_sim.demo", "--run-dir", str(folder), *options]


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options), capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=plain()
    )


def plain() -> dict[str, str]:
    return os.environ | {"PYTHONUTF8": "1"}


def rows(text: str) -> dict[str, list[str]]:
    """What stands in each column, by the positions of the heads."""
    heads = next(line for line in text.splitlines() if all(name in line.split() for name in COLUMNS))
    starts = [heads.index(name) for name in COLUMNS]
    found: dict[str, list[str]] = {name: [] for name in COLUMNS}
    for line in text.splitlines():
        if re.match(r" *[+-]\d+\.\d\d ", line):
            for name, start, end in zip(COLUMNS, starts, [*starts[1:], None], strict=True):
                if cell := line[start:end].strip():
                    found[name].append(cell)
    return found


def processes_in(folder: Path) -> list[str]:
    """Command lines of whatever runs with this folder as its working directory."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(proc / "cwd")).is_relative_to(folder):
                found.append((proc / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found


@pytest.mark.long
def test_the_story_is_seen_from_asking_to_the_cloud(tmp_path: Path) -> None:
    done = demo(tmp_path / "d", "--once")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    seen = rows(done.stdout)
    assert any("Anna: shows the pass" in one for one in seen["ASKED"])
    assert "[enter_pin: 5 left]" in seen["ASKED"]
    assert "8A 01 01 11 9B" in seen["COMMANDED"]
    assert {"bay-1 bolt free", "bay-1 open", "car-1 gone", "tag 62E3080001"} <= set(seen["SENSED"])
    kinds = {cell.split()[1] for cell in seen["JOURNALLED"] if cell[:1].isdigit()}
    assert {"rental.booked", "bay.unlock_authorised", "rental.on_trip", "rental.returned"} <= kinds
    assert {"rental.pin_tried", "credential.refused", "rental.purchased"} <= kinds
    assert any(one.endswith("ms") for one in seen["CLOUD"])
    assert "later" in seen["CLOUD"]
    assert any(re.fullmatch(r"\d+-\d+", one) for one in seen["CLOUD"])
    assert "✗" not in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert processes_in(tmp_path) == []


@pytest.mark.long
def test_a_step_that_is_not_seen_ends_it_with_its_name_and_the_logs(tmp_path: Path) -> None:
    done = demo(tmp_path / "d", "--once", "--patience", "8", "--break", "bolt_stuck")
    assert done.returncode == 1
    assert "✗ not seen: sensed: bolt_released of bay-1" in done.stdout
    assert "bay-1 bolt stuck" in rows(done.stdout)["SENSED"]
    assert "unlock bay-1" in done.stdout.split("daemon.log", 1)[1]
    assert processes_in(tmp_path) == []


def test_an_unknown_fault_and_a_foreign_folder_are_told(tmp_path: Path) -> None:
    done = demo(tmp_path / "d", "--once", "--break", "gremlins")
    assert done.returncode == 1
    assert "no fault 'gremlins'; there are: bolt_stuck" in done.stdout
    foreign = tmp_path / "letters"
    foreign.mkdir()
    (foreign / "love.txt").write_text("dear")
    done = demo(foreign, "--once")
    assert done.returncode == 2
    assert "is not empty and no demo made it" in done.stderr
    assert (foreign / "love.txt").read_text() == "dear"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_whatever_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "d"
    out = (tmp_path / "out.txt").open("w")
    with out, subprocess.Popen(command(folder), stdout=out, stderr=out, env=plain()) as process:
        until(lambda: (folder / "runtime" / "api.sock").exists() or process.poll() is not None, "the daemon's socket")
        assert process.poll() is None, (tmp_path / "out.txt").read_text()
        assert len(processes_in(tmp_path)) >= 3
        second = demo(folder, "--once")
        assert second.returncode == 2
        assert "another demo plays in" in second.stderr
        process.send_signal(number)
        status = process.wait(60)
    assert status == (130 if number is signal.SIGINT else -signal.SIGKILL)
    until(lambda: not processes_in(tmp_path), "every process ended")


def until(true: object, what: str) -> None:
    assert callable(true)
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)
