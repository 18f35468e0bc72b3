"""vendingctl as a process: how it starts, how it is interrupted, and what a shell completes with it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.api.light import Served, served
from vendingd.cli.completion import bash, fish, tree, zsh
from vendingd.cli.exits import Exit

ROOT = Path(__file__).resolve().parents[3]
RUN = [sys.executable, "-m", "vendingd.cli.main"]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    one = await served(tmp_path)
    yield one
    await one.server.stop()
    await one.machine.mailbox.settle()


async def start(api: Served, *argv: str, out: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *RUN, "--socket", str(api.path), *argv, cwd=ROOT, stdout=out, stderr=asyncio.subprocess.PIPE
    )


async def watching(api: Served) -> None:
    """Until somebody watches the machine."""
    async with asyncio.timeout(20):
        while not api.machine.watched:
            await asyncio.sleep(0.01)


async def test_ctrl_c_ends_watching_in_order(api: Served) -> None:
    process = await start(api, "watch")
    await watching(api)
    await api.call("POST", "/v1/bays/bay-2/unlock", {"reason": "look inside"})
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert "bay.unlock_authorised  bay-2" in line
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert await process.wait() == Exit.OK
    assert await process.stderr.read() == b""


async def test_a_pipe_that_ends_is_no_error(api: Served) -> None:
    read, write = os.pipe()
    process = await start(api, "watch", "--json", out=write)
    os.close(write)
    await watching(api)
    os.close(read)
    async with asyncio.timeout(20):
        while process.returncode is None:
            await api.call("POST", "/v1/availability", {"in_service": True, "reason": "x"})
    assert process.returncode == Exit.OK
    assert process.stderr is not None
    assert await process.stderr.read() == b""


async def test_watching_a_daemon_that_stops(api: Served) -> None:
    process = await start(api, "watch")
    await watching(api)
    await api.server.stop()
    _, err = await process.communicate()
    assert process.returncode == Exit.UNREACHABLE
    assert b"systemctl status vendingd" in err


def test_the_client_starts_without_the_daemons_libraries() -> None:
    """What a start costs is what it imports."""
    code = (
        "import sys; from vendingd.cli.main import main\n"
        "main(['--socket', '/nowhere', 'status'])\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'aiohttp', 'pydantic', 'msgspec', 'asyncio', 'transitions', 'numpy', 'cryptography', 'fsm', 'drivers'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# ---------------------------------------------------------------- completion
def test_completion_knows_every_command() -> None:
    paths = {node.path for node in tree()}
    assert {"bays", "bays set", "alarm clear", "incident resolve", "audit verify", "journal restored"} <= paths
    assert {node.path for node in tree() if node.names == "bays --ids"} >= {"unlock", "bays set", "out-of-service"}
    assert {node.path for node in tree() if node.names == "incident list --ids"} == {
        "incident show",
        "incident resolve",
    }


@pytest.mark.parametrize(("shell", "script"), [("bash", bash), ("zsh", zsh), ("fish", fish)])
def test_scripts_are_sound(shell: str, script: object, tmp_path: Path) -> None:
    assert callable(script)
    text = script(tree())
    assert "vendingctl incident list --ids" in text or "$names" in text or "${=names}" in text
    found = shutil.which(shell)
    if found is not None:
        (tmp_path / "script").write_text(text)
        subprocess.run([found, "-n", str(tmp_path / "script")], check=True)


def complete(folder: Path, line: list[str], names: str = "") -> list[str]:
    """What bash offers for the last word of a line, with a vendingctl that knows these names."""
    fake = folder / "vendingctl"
    fake.write_text(f"#!/bin/sh\nprintf '%s\\n' {names}\n")
    fake.chmod(0o755)
    (folder / "script").write_text(bash(tree()))
    words = " ".join(f"'{word}'" for word in line)
    code = (
        f'source "{folder}/script"; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; _vendingctl;'
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{folder}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", code], env={"PATH": path}, cwd=folder, capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    return [word for word in ran.stdout.split("\n") if word]


def test_bash_completes_commands_and_names(tmp_path: Path) -> None:
    assert complete(tmp_path, ["vendingctl", "inc"]) == ["incident"]
    assert complete(tmp_path, ["vendingctl", "incident", "re"]) == ["resolve"]
    assert complete(tmp_path, ["vendingctl", "unlock", "b"], "bay-1 bay-2 car") == ["bay-1", "bay-2"]
    assert complete(tmp_path, ["vendingctl", "bays", "set", "bay-2"], "bay-1 bay-2") == ["bay-2"]
    assert complete(tmp_path, ["vendingctl", "--json", "bays", "se"]) == ["set"]
    assert complete(tmp_path, ["vendingctl", "incident", "resolve", "--outcome", "on"], "I1") == ["on_trip"]
    assert complete(tmp_path, ["vendingctl", "unlock", "bay-1", "--re"]) == ["--reason"]


def test_bash_offers_files_where_a_file_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "site.toml").touch()
    (tmp_path / "my site.toml").touch()
    assert "site.toml" in complete(tmp_path, ["vendingctl", "config", "check", ""])
    assert complete(tmp_path, ["vendingctl", "config", "check", "si"]) == ["site.toml"]
    assert complete(tmp_path, ["vendingctl", "config", "check", "my"]) == ["my site.toml"]
    assert complete(tmp_path, ["vendingctl", "doctor", "--site", "si"]) == ["site.toml"]
    assert complete(tmp_path, ["vendingctl", "journal", "backup", "si"]) == ["site.toml"]
    assert complete(tmp_path, ["vendingctl", "config", "check", "--js"]) == ["--json"]
    assert "site.toml" not in complete(tmp_path, ["vendingctl", "unlock", ""], "bay-1")


def test_bash_runs_nothing_that_stands_in_a_name(tmp_path: Path) -> None:
    offered = complete(tmp_path, ["vendingctl", "unlock", ""], "'$(touch${IFS}ran)' '`touch${IFS}ran`'")
    assert not (tmp_path / "ran").exists()
    assert "$(touch${IFS}ran)" in offered
