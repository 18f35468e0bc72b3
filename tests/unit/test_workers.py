"""Real child processes; the functions that they run live here, at module level, as a caller's would."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import LevelRead, Sense, WorkerDied, Workers
from vendingd.workers import RealWorkers

LONG_S = 60.0


def add(a: int, b: int) -> int:
    return a + b


def pid() -> int:
    return os.getpid()


def echo(value: Any) -> Any:
    return value


def fail(kind: str) -> None:
    raise {"value": ValueError("no good"), "own": OwnError("hidden 4711"), "interrupt": KeyboardInterrupt()}[kind]


def hang(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def die(how: str) -> None:
    if how == "exit":
        os._exit(3)
    if how == "abort":
        os.abort()
    ctypes.string_at(0)


def flood() -> int:
    """What a child could do that was taken over; returns how much anybody took."""
    taken, line = 0, b"x" * 70 + b"\x1b[2J\n"
    try:
        while taken < 50_000_000:
            taken += os.write(2, line * 1000)
    except BrokenPipeError:
        pass
    return taken


def chatter() -> int:
    print("noise")
    sys.stdout.flush()
    os.write(1, b"\0\0\0\1noise")
    return 7


def level() -> LevelRead:
    return LevelRead("d", Sense.DOOR, 1, True)


def modules() -> list[str]:
    return sorted(sys.modules)


def opened(path: str) -> bool:
    return any(os.path.realpath(f"/proc/self/fd/{fd}") == path for fd in os.listdir("/proc/self/fd"))


class OwnError(Exception):
    pass


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.system, ("exit 0",)


@dataclass
class Foreign:
    """A data class of no package of ours (tests are none)."""

    x: int = 0


class Colour(Enum):
    RED = 1


def make(what: str) -> Any:
    from vendingd import worker_child

    return {
        "evil": Evil(),
        "foreign": Foreign(),
        "colour": Colour.RED,
        "function": worker_child.main,
        "path": Path("/"),
    }[what]


@pytest.fixture
async def workers() -> AsyncIterator[RealWorkers]:
    made = RealWorkers(threads=1, processes=1)
    yield made
    await made.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another process; whoever never gets there is stopped by the run's own limit."""
    while not condition():
        await asyncio.sleep(0.01)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


async def test_satisfies_the_seam(workers: RealWorkers) -> None:
    seam: Workers = workers
    assert await seam.process(add, 2, 3, timeout_s=LONG_S) == 5
    assert await seam.thread(add, 2, 3) == 5
    assert await seam.thread(threading.get_ident) != threading.get_ident()
    assert await seam.process(pid, timeout_s=LONG_S) != os.getpid()


async def test_nothing_is_started_before_the_first_call(workers: RealWorkers) -> None:
    assert workers.children == ()
    await workers.process(pid, timeout_s=LONG_S)
    assert len(workers.children) == 1


async def test_a_child_is_used_again(workers: RealWorkers) -> None:
    first = await workers.process(pid, timeout_s=LONG_S)
    assert (first,) == workers.children
    assert await workers.process(pid, timeout_s=LONG_S) == first


async def test_plain_data_of_every_kind_and_size(workers: RealWorkers) -> None:
    for value in (
        None,
        True,
        -(2**70),
        1.5,
        "ü",
        b"x" * 1_000_000,
        [1, (2, {3: {4}})],
        frozenset({5}),
        bytearray(b"6"),
    ):
        assert await workers.process(echo, value, timeout_s=LONG_S) == value
    assert await workers.process(level, timeout_s=LONG_S) == LevelRead("d", Sense.DOOR, 1, True)


@pytest.mark.parametrize("what", ["evil", "foreign", "colour", "function", "path"])
async def test_an_answer_never_runs_anything(workers: RealWorkers, what: str) -> None:
    with pytest.raises(WorkerDied, match="none"):
        await workers.process(make, what, timeout_s=LONG_S)


async def test_exceptions_come_back(workers: RealWorkers) -> None:
    with pytest.raises(ValueError, match=r"^no good$"):
        await workers.process(fail, "value", timeout_s=LONG_S)
    with pytest.raises(RuntimeError, match="OwnError") as raised:
        await workers.process(fail, "own", timeout_s=LONG_S)
    assert "4711" not in str(raised.value)
    assert await workers.process(add, 1, 1, timeout_s=LONG_S) == 2


async def test_an_interrupt_ends_the_child_alone(workers: RealWorkers) -> None:
    with pytest.raises(WorkerDied):
        await workers.process(fail, "interrupt", timeout_s=LONG_S)
    first = await workers.process(pid, timeout_s=LONG_S)
    os.kill(first, signal.SIGINT)  # Ctrl-C at a terminal reaches the children, too
    assert await workers.process(pid, timeout_s=LONG_S) == first


@pytest.mark.parametrize("how", ["exit", "abort", "segfault"])
async def test_a_death_is_told_and_the_child_replaced(workers: RealWorkers, how: str) -> None:
    before = await workers.process(pid, timeout_s=LONG_S)
    with pytest.raises(WorkerDied):
        await workers.process(die, how, timeout_s=LONG_S)
    after = await workers.process(pid, timeout_s=LONG_S)
    assert after != before
    assert workers.children == (after,)


async def test_a_death_at_rest_is_not_the_next_caller_s(workers: RealWorkers) -> None:
    before = await workers.process(pid, timeout_s=LONG_S)
    os.kill(before, signal.SIGKILL)
    await until(lambda: gone(before))
    assert await workers.process(pid, timeout_s=LONG_S) != before


async def test_a_time_out_kills(workers: RealWorkers, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    await workers.process(pid, timeout_s=LONG_S)
    with pytest.raises(TimeoutError):
        await workers.process(hang, str(mark), timeout_s=1.0)
    hung = int(mark.read_text())
    assert await workers.process(pid, timeout_s=LONG_S) != hung
    await workers.aclose()
    assert gone(hung)


async def test_a_cancelled_call_kills(workers: RealWorkers, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    call = asyncio.create_task(workers.process(hang, str(mark), timeout_s=LONG_S))
    await until(lambda: mark.exists() and mark.read_text() != "")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await workers.process(add, 1, 1, timeout_s=LONG_S) == 2
    await workers.aclose()
    assert gone(int(mark.read_text()))


async def test_waiting_counts(workers: RealWorkers, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    busy = asyncio.create_task(workers.process(hang, str(mark), timeout_s=LONG_S))
    await until(lambda: mark.exists() and mark.read_text() != "")
    with pytest.raises(TimeoutError):
        await workers.process(add, 1, 1, timeout_s=0.05)
    assert workers.children == (int(mark.read_text()),)  # the innocent one was not killed
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)


async def test_an_idle_child_is_ended() -> None:
    workers = RealWorkers(processes=1, idle_s=0.0)
    child = await workers.process(pid, timeout_s=LONG_S)
    await until(lambda: gone(child))
    assert workers.children == ()
    assert await workers.process(pid, timeout_s=LONG_S) != child
    await workers.aclose()


async def test_as_many_as_allowed_and_no_more() -> None:
    workers = RealWorkers(processes=2)
    await asyncio.gather(*(workers.process(echo, i, timeout_s=LONG_S) for i in range(20)))
    assert 1 <= len(workers.children) <= 2
    await workers.aclose()
    assert workers.children == ()


async def test_closing_kills_what_is_at_work(tmp_path: Path) -> None:
    workers = RealWorkers()
    mark = tmp_path / "pid"
    call = asyncio.create_task(workers.process(hang, str(mark), timeout_s=LONG_S))
    await until(lambda: mark.exists() and mark.read_text() != "")
    await workers.aclose()
    with pytest.raises(WorkerDied):
        await call
    assert gone(int(mark.read_text()))
    with pytest.raises(WorkerDied, match="closed"):
        await workers.process(pid, timeout_s=LONG_S)


async def test_output_of_libraries_does_not_get_between(workers: RealWorkers, caplog: pytest.LogCaptureFixture) -> None:
    assert await workers.process(chatter, timeout_s=LONG_S) == 7
    assert await workers.process(add, 1, 1, timeout_s=LONG_S) == 2
    async with asyncio.timeout(LONG_S):
        while not any("noise" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)


async def test_a_child_that_floods_the_log_is_soon_not_heard(
    workers: RealWorkers, caplog: pytest.LogCaptureFixture
) -> None:
    assert await workers.process(flood, timeout_s=LONG_S) < 50_000_000
    said = "".join(record.getMessage() for record in caplog.records if record.name == "vendingd.workers")
    assert "x" * 70 in said and "the rest is not heard" in said and "\x1b" not in said
    assert len(said) < 20_000
    assert await workers.process(add, 1, 2, timeout_s=LONG_S) == 3, "it is none the worse for it"


async def test_a_child_inherits_neither_modules_nor_files(workers: RealWorkers, tmp_path: Path) -> None:
    held = os.open(tmp_path / "held", os.O_CREAT | os.O_RDWR)
    try:
        os.set_inheritable(held, True)
        assert opened(str(tmp_path / "held"))
        assert not await workers.process(opened, str(tmp_path / "held"), timeout_s=LONG_S)
    finally:
        os.close(held)
    loaded = await workers.process(modules, timeout_s=LONG_S)
    assert "hypothesis" in sys.modules and "hypothesis" not in loaded


async def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from vendingd.workers import RealWorkers\n"
        "async def main():\n"
        "    w = RealWorkers()\n"
        "    print(await w.process(os.getpid, timeout_s=60), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    await until(lambda: gone(int(out)))


async def test_a_process_apart_is_gone_when_its_user_is_done(workers: RealWorkers) -> None:
    shared = await workers.process(pid, timeout_s=LONG_S)
    async with workers.apart() as own:
        first = await own.process(pid, timeout_s=LONG_S)
        assert first == await own.process(pid, timeout_s=LONG_S) != shared
        assert first not in workers.children
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert await workers.process(pid, timeout_s=LONG_S) == shared


async def test_a_process_apart_is_gone_when_its_user_is_cancelled(workers: RealWorkers, tmp_path: Path) -> None:
    async def use() -> None:
        async with workers.apart() as own:
            await own.process(hang, str(tmp_path / "pid"), timeout_s=LONG_S)

    user = asyncio.ensure_future(use())
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.01)
    user.cancel()
    await asyncio.wait([user])
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
