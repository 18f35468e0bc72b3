"""What left after the backup was made comes back to a machine whose journal never let it go."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.scenario.stand import Stand


@pytest.mark.long
@pytest.mark.parametrize("closed", [False, True], ids=["at once", "once the incident is closed"])
def test_a_holder_brings_back_what_the_journal_never_let_go(m: Stand, closed: bool) -> None:
    text = m.book("r1", "car-1")
    m.all_there()
    state = m.folder / "state"

    def vendingctl(*words: str) -> None:
        command = [sys.executable, "-m", "vendingd.cli.main", "--socket", str(m.api.path), *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    vendingctl("journal", "backup", str(m.folder / "backup.db"))
    m.pick_up("r1", "bay-1", text)
    m.all_there()
    m.stop("daemon")
    for file in state.glob("journal.db*"):
        file.unlink()
    shutil.copy(m.folder / "backup.db", state / "journal.db")
    vendingctl("journal", "restored", "--reason", "card replaced", "--state-dir", str(state))
    m.start_daemon()
    m.recovered()
    incident = m.incident("asset_missing", "bay-1")
    if closed:
        m.technician(f"/incidents/{incident}/resolve", outcome="closed")
        m.show(text)
        m.refused("r1", "asset_not_here")
        m.press("return")
    m.show(text)
    bay = m.authorised("return")
    m.bring_back("r1", "car-1", bay)
    m.heard("rental.returned", "r1", asset="car-1", bay=bay)
    assert m.pulses() == 2, "out, and in"
