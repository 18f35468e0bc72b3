"""vendingctl against a light machine's real socket: what is printed, what is done, which code it ends with."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fsm.model import RentalState
from tests.unit.api.light import LightMachine, Served, down, served
from vendingd.cli.exits import Exit
from vendingd.cli.main import main
from vendingd.journal.api import StoreErrorKind
from vendingd.journal.memory import Fault


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Bench:
    api: Served
    run: Callable[..., Awaitable[Ran]]

    @property
    def machine(self) -> LightMachine:
        return self.api.machine


@pytest_asyncio.fixture
async def ctl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Bench]:
    one = await served(tmp_path)

    async def run(*argv: str) -> Ran:
        def call() -> int:
            try:
                return main(["--socket", str(one.path), *argv])
            except SystemExit as end:
                return int(end.code or 0)

        code = await asyncio.to_thread(call)
        out, err = capsys.readouterr()
        return Ran(int(code), out, err)

    yield Bench(one, run)
    await one.server.stop()
    await one.machine.mailbox.settle()


async def fill(ctl: Bench) -> None:
    """A machine with something of everything, and names as long as they may be."""
    await ctl.machine.incident()
    await ctl.machine.book("r2-" + "x" * 60, asset="car2")
    ctl.machine.sensing.devices["scanner"] = down("scanner", "/dev/serial/by-id/usb-" + "y" * 120)
    ctl.machine.sense("bay-2", door=True)
    ctl.machine.cloud_alarms["certificate"] = "it ends in 3 days"
    await ctl.machine.mailbox.settle()


LISTS = [
    "status", "bays", "bays bay-1", "rentals", "rentals --all", "rentals show r1", "alarms", "incident list",
    "incident show I1", "journal", "journal --kind bay. --limit 3", "audit verify",
]  # fmt: skip


@pytest.mark.parametrize("line", LISTS)
async def test_tables_fit_80_columns_and_have_no_colours(ctl: Bench, line: str) -> None:
    await fill(ctl)
    ran = await ctl.run(*line.split())
    assert ran.out
    assert "\x1b" not in ran.out
    assert [text for text in ran.out.splitlines() if len(text) > 80] == []


@pytest.mark.parametrize("line", [line for line in LISTS if not line.startswith("journal")])
async def test_json_for_programs(ctl: Bench, line: str) -> None:
    await fill(ctl)
    for argv in (["--json", *line.split()], [*line.split(), "--json"]):
        ran = await ctl.run(*argv)
        assert ran.json is not None
        assert ran.err == ""


async def test_the_journal_as_json_is_a_record_a_line(ctl: Bench) -> None:
    ran = await ctl.run("journal", "--json", "--after", "0", "--limit", "2")
    assert [json.loads(line)["seq"] for line in ran.out.splitlines()] == [1, 2]


async def test_a_technicians_round(ctl: Bench) -> None:
    """Take out of service, open, stock, put back, each by name and reason."""
    assert (await ctl.run("out-of-service", "bay-2", "--reason", "new lock")).code == Exit.OK
    assert "out of service" in (await ctl.run("bays")).out
    ran = await ctl.run("unlock", "bay-2", "--reason", "new lock")
    assert "authorised (bay-2.1)" in ran.out
    assert ctl.machine.bay("bay-2").grant is not None
    assert (await ctl.run("in-service", "bay-2", "--reason", "done")).code == Exit.OK
    ctl.machine.sense("bay-3", presence=True)
    ran = await ctl.run("bays", "set", "bay-3", "--asset", "car3", "--reason", "stocked")
    assert (ran.code, ran.out) == (Exit.OK, "bay-3 is noted as holding car3.\n")
    assert ctl.machine.bay("bay-3").asset == "car3"
    assert (await ctl.run("out-of-service", "--reason", "winter")).out.startswith("The machine is out of service")
    assert "state" in (await ctl.run("status")).out
    journal = (await ctl.run("journal")).out
    assert "machine.out_of_service" in journal


async def test_an_incident_from_the_list_to_its_end(ctl: Bench) -> None:
    await ctl.machine.incident()
    assert (await ctl.run("incident", "list", "--ids")).out == "I1\n"
    shown = (await ctl.run("incident", "show", "I1")).out
    commands = [line.strip() for line in shown.splitlines() if line.startswith("    vendingctl incident resolve I1")]
    assert [line.split()[5] for line in commands] == ["ready", "cancelled", "returned"]
    assert "Not yet: on_trip car1 is believed in bay-1; set that bay's contents first" in " ".join(shown.split())
    ran = await ctl.run("incident", "resolve", "I1", "--outcome", "closed", "--reason", "tired of it")
    assert ran.code == Exit.REFUSED and "Possible now: ready (the asset is in a bay here" in " ".join(ran.err.split())
    resolve = ("incident", "resolve", "I1", "--outcome", "on_trip", "--reason", "seen leaving")
    ran = await ctl.run(*resolve)
    assert ran.code == Exit.REFUSED and "set that bay's contents first" in ran.err
    ctl.machine.sense("bay-1", presence=False)
    assert (await ctl.run("bays", "set", "bay-1", "--empty", "--reason", "looked")).code == Exit.OK
    ran = await ctl.run(*resolve)
    assert (ran.code, ran.out) == (Exit.OK, "Incident I1 is resolved: on_trip. Rental r1 is on_trip.\n")
    assert ctl.machine.rental("r1").state is RentalState.ON_TRIP
    assert (await ctl.run("incident", "list")).out == "no open incidents\n"


async def test_a_quarantine_outlives_its_incident_and_says_how_it_ends(ctl: Bench) -> None:
    await ctl.machine.incident()
    ran = await ctl.run("incident", "resolve", "I1", "--outcome", "ready", "--reason", "seen inside")
    said = " ".join(ran.out.split())
    assert ran.code == Exit.OK and "Rental r1 is ready. bay-1 stays in quarantine (contents are uncertain)" in said
    assert "vendingctl bays set bay-1 --asset" in said
    ctl.machine.sense("bay-1", presence=True)
    assert (await ctl.run("bays", "set", "bay-1", "--asset", "car1", "--reason", "seen inside")).code == Exit.OK
    assert ctl.machine.bay("bay-1").quarantined is None


async def test_alarms_of_a_bay_and_of_the_machine(ctl: Bench) -> None:
    ctl.machine.sense("bay-2", door=True)
    await ctl.machine.mailbox.settle()
    assert "forced_open" in (await ctl.run("alarms")).out
    assert (await ctl.run("alarm", "clear", "bay-2", "forced_open", "--reason", "it was me")).code == Exit.OK
    assert (await ctl.run("alarms")).out == "no alarms\n"
    ran = await ctl.run("alarm", "clear", "estop", "--reason", "released")
    assert ran.code == Exit.REFUSED
    assert "no alarm 'estop'" in ran.err


async def test_attempts_and_the_journals_epoch(ctl: Bench) -> None:
    await ctl.machine.book()
    assert (await ctl.run("rentals", "reset-attempts", "r1", "--reason", "called")).code == Exit.OK
    ran = await ctl.run("journal", "restored", "--reason", "new card")
    assert ctl.machine.seams.store.disk.epochs[-1].token in ran.out


async def test_a_damaged_journal_is_a_problem(ctl: Bench) -> None:
    assert (await ctl.run("audit", "verify")).code == Exit.OK
    object.__setattr__(ctl.machine.seams.store.disk.records[2], "subject", "forged")
    ran = await ctl.run("audit", "verify")
    assert ran.code == Exit.PROBLEMS
    assert ran.out.startswith("damaged at record 2:")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may speak for others")
async def test_root_speaks_for_others(ctl: Bench) -> None:
    ran = await ctl.run("unlock", "bay-1", "--reason", "x", "--as", "maria", "--json")
    assert ran.json["records"][0]["data"]["who"] == "maria"


async def test_what_comes_from_outside_plays_no_tricks(ctl: Bench) -> None:
    await ctl.machine.book("r\x1b[31m$(id)", asset="car2")
    assert "\x1b" not in (await ctl.run("rentals")).out
    assert (await ctl.run("rentals", "--ids")).out == ""  # no shell shall complete it


# ---------------------------------------------------------------- how it ends
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("unlock bay-9 --reason x", Exit.REFUSED, "vendingctl bays"),
        ("bays set bay-2 --asset car1 --reason x", Exit.REFUSED, "already_here|Set the other bay empty first"),
        ("bays nowhere", Exit.REFUSED, "no bay 'nowhere'"),
        ("rentals show r9", Exit.REFUSED, "vendingctl rentals"),
        ("incident show I9", Exit.REFUSED, "incident list"),
        ("unlock bay-1", Exit.USAGE, "--reason"),
        ("unlock bay-1 --reason ", Exit.USAGE, "reason"),
        ("bays set bay-1 --reason x", Exit.USAGE, "--asset"),
        ("bays set bay-1 --asset car1 --empty --reason x", Exit.USAGE, "not allowed with"),
        ("incident resolve I1 --outcome lost --reason x", Exit.USAGE, "incident show ID"),
        ("journal --limit many", Exit.USAGE, "is no number"),
        ("nonsense", Exit.USAGE, "--help"),
        ("rentals --state lost", Exit.USAGE, "One of:"),
    ],
)
async def test_errors_have_a_code_and_say_what_to_do(ctl: Bench, line: str, code: Exit, said: str) -> None:
    ran = await ctl.run(*line.split(" "))
    assert ran.code == code
    assert ran.out == ""
    assert any(one in " ".join(ran.err.split()) for one in said.split("|"))


async def test_an_error_as_json_is_the_problem(ctl: Bench) -> None:
    ran = await ctl.run("--json", "unlock", "bay-9", "--reason", "x")
    assert json.loads(ran.err)["reason"] == "unknown_bay"


async def test_unavailable_is_told_apart(ctl: Bench) -> None:
    ctl.machine.seams.store.fault = Fault(StoreErrorKind.FULL)
    ran = await ctl.run("unlock", "bay-1", "--reason", "x")
    assert ran.code == Exit.BUSY
    assert "vendingctl doctor" in " ".join(ran.err.split())
    assert "unavailable" in (await ctl.run("status")).out


@pytest.mark.parametrize("kind", ["nothing", "dead socket", "no daemon of ours"])
async def test_a_daemon_that_is_not_there(ctl: Bench, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.sock"
    server = None
    if kind == "dead socket":
        import socket

        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    elif kind == "no daemon of ours":

        def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        server = await asyncio.start_unix_server(babble, str(path))
    ran = await ctl.run("--socket", str(path), "status")
    assert ran.code == Exit.UNREACHABLE
    assert "systemctl status vendingd" in " ".join(ran.err.split())
    if server is not None:
        server.close()
        await server.wait_closed()


async def test_a_large_machine_comes_in_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = await served(tmp_path, bays=450)
    assert await asyncio.to_thread(main, ["--socket", str(api.path), "bays", "--ids"]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [f"bay-{n}" for n in range(1, 451)]
    await api.server.stop()


async def test_the_environment_names_the_socket(
    ctl: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VENDINGD_SOCKET", str(ctl.api.path))
    assert await asyncio.to_thread(main, ["status"]) == Exit.OK
    assert "m1 at west" in capsys.readouterr().out


async def test_what_is_kept_is_exported_and_erased(ctl: Bench) -> None:
    await ctl.machine.book("r1", asset="car1")
    said = (await ctl.run("privacy", "export", "r1")).json
    assert said["state"]["rental"]["id"] == "r1" and {one["subject"] for one in said["records"]} == {"r1"}
    assert (await ctl.run("privacy", "erase", "r1")).code == Exit.USAGE, "without a reason"
    ran = await ctl.run("privacy", "erase", "r1", "--reason", "asked by its holder")
    assert ran.code == Exit.REFUSED
    ran = await ctl.run("privacy", "erase", "r1", "--reason", "asked by its holder", "--force")
    assert ran.code == Exit.OK and "are erased here" in ran.out and "module" not in ran.out


async def test_an_export_of_nothing_is_no_success(ctl: Bench) -> None:
    """Whoever mistypes a name must not hand on an empty answer as the truth."""
    await ctl.machine.book("r1", asset="car1")
    ran = await ctl.run("privacy", "export", "r11")
    assert ran.code == Exit.PROBLEMS and "nothing is known of r11" in " ".join(ran.err.split())
    assert ran.json["records"] == [] and ran.json["rental"] == "r11", "it is one document all the same"
    ran = await ctl.run("privacy", "export", "r1")
    assert (ran.code, ran.err) == (Exit.OK, "")


async def test_an_erasure_names_what_a_module_has_to_forget(ctl: Bench) -> None:
    machine = ctl.machine
    await machine.book("r1", asset="car1")
    state = machine.mailbox.world.machine
    waiting: Any = {("machine", state.id): replace(state, forgetting=(("r1", "s1.device..wrapped.sealed"),))}
    machine.mailbox.head.apply(waiting)
    machine.mailbox.world.apply(waiting)
    ran = await ctl.run("privacy", "erase", "r1", "--reason", "asked by its holder", "--force")
    assert ran.code == Exit.OK and "still has to forget" in " ".join(ran.out.split())


# ---------------------------------------------------------------- faces
async def test_a_face_is_enrolled_into_a_file_that_nobody_else_reads(ctl: Bench, tmp_path: Path) -> None:
    ctl.machine.eye.may.set()
    file = tmp_path / "r-7.json"
    ran = await ctl.run("face", "enrol", "front", "--name", "r-7", "--out", str(file), "--reason", "at the desk")
    assert (ran.code, ran.out) == (0, "") and "look straight" in ran.err and "look up" in ran.err
    assert json.loads(file.read_text()) == {"fmt": "eye", "user": "r-7"} and file.stat().st_mode & 0o777 == 0o600
    again = await ctl.run("face", "enrol", "front", "--name", "r-8", "--out", str(file), "--reason", "at the desk")
    assert again.code == Exit.REFUSED and ctl.machine.eye.users == ["r-7"], "a template that is lost enrols nobody"
    gone = await ctl.run("face", "forget", "front", str(file), "--reason", "never booked")
    assert gone.code == 0 and ctl.machine.eye.users == []


async def test_an_enrolment_that_fails_leaves_no_file(ctl: Bench, tmp_path: Path) -> None:
    ctl.machine.eye.trouble = "the module has no room"
    ctl.machine.eye.may.set()
    file = tmp_path / "r-7.json"
    ran = await ctl.run("face", "enrol", "front", "--name", "r-7", "--out", str(file), "--reason", "at the desk")
    assert ran.code == Exit.REFUSED and "no room" in ran.err and not file.exists()
