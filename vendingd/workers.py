"""Threads and child processes for what would stall the loop: the real `Workers`.

A child is a fresh interpreter that shares no memory with the daemon. It is started at the first call, kept
for the next, ended when nobody has called for a while, killed at a time-out, and replaced after a death.
Children read hostile pictures, so their answers are not trusted: only plain data and data classes of our
own packages are read from them.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import dataclasses
import enum
import functools
import io
import logging
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from drivers.ports import WorkerDied
from vendingd.worker_child import HEAD

_log = logging.getLogger(__name__)
_CHILD = Path(__file__).with_name("worker_child.py")
_OUR_PACKAGES = ("drivers", "fsm", "vendingd")
_MAX_ANSWER = 64 * 1024 * 1024
_MURMUR_MOST = 4096  # bytes in a child's life: a traceback fits; one that was taken over must not fill the log
_END_S = 2.0
"""How long a child that was asked to end may take before it is killed."""


_APART_IDLE_S = 3600.0
"""No rest ends it: who asked for a process apart says when it is over."""


class RealWorkers:
    """`Workers` by a thread pool and child processes. Belongs to one running loop; `aclose` ends everything.

    At most `processes` calls run in children at a time, further ones wait within their own time-out.
    """

    def __init__(self, *, threads: int = 2, processes: int = 2, idle_s: float = 30.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._places = asyncio.Semaphore(processes)
        self._idle_s = idle_s
        # The one used last is at the end and is used next, so that the others can go.
        self._resting: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def children(self) -> tuple[int, ...]:
        """Process ids of the living children, for `doctor` and the bench."""
        return tuple(sorted(child.pid for child in (*self._resting, *self._busy)))

    async def thread(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a short blocking call in a thread. Cancelling does not stop the call, only the waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(fn, *args))

    async def process(self, fn: Callable[..., Any], *args: Any, timeout_s: float) -> Any:
        """Run a module's function in a child.

        Arguments are pickled; the result is plain data, or of data classes and enumerations of ours.

        `timeout_s` counts from the call, waiting and starting a child included. Raises TimeoutError,
        WorkerDied, the builtin exception that `fn` raised, or RuntimeError naming any other. The child is
        gone after a time-out, a cancellation and a death.
        """
        request = pickle.dumps((fn, args), protocol=5)
        async with asyncio.timeout(timeout_s), self._places:
            if self._closed:
                raise WorkerDied("the workers are closed")
            answer = await self._exchange(timeout_s, request)
        return _result(answer)

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[RealWorkers]:
        """See ports.Workers. The child is started at the first call and stays while the context lasts."""
        own = RealWorkers(threads=1, processes=1, idle_s=_APART_IDLE_S)
        try:
            yield own
        finally:
            await own.aclose()

    async def _exchange(self, timeout_s: float, request: bytes) -> bytes:
        while self._resting:
            child = self._resting.pop()
            child.rest_over()
            if child.alive:
                break
            self._end(child)  # died at rest: found before anything was sent
        else:
            child = await _Child.start()
        self._busy.add(child)
        sound = False
        try:
            answer = await child.exchange(timeout_s, request)
            sound = True
            return answer
        finally:
            self._busy.discard(child)
            if sound and not self._closed:
                self._resting.append(child)
                child.rest(self._idle_s, self._retire)
            else:
                child.kill()
                self._end(child)

    def _retire(self, child: _Child) -> None:
        self._resting.remove(child)
        self._end(child)

    def _end(self, child: _Child) -> None:
        task = asyncio.get_running_loop().create_task(child.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End all children, killing those at work, and wait for them and for the threads."""
        self._closed = True
        for child in self._busy:
            child.kill()
        while self._resting:
            child = self._resting.pop()
            child.rest_over()
            self._end(child)
        while self._ending or self._busy:
            await asyncio.gather(*self._ending)
            await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._calls = process.stdin
        self._answers = process.stdout
        self._idle: asyncio.TimerHandle | None = None
        self.pid = process.pid

    @classmethod
    async def start(cls) -> _Child:
        ours, its = os.pipe()
        try:
            file = os.fdopen(ours, "rb", 0)
            await asyncio.get_running_loop().connect_read_pipe(_Murmur, file)  # owns the file from here
            # -P: the child's own folder is not a place to import from (a package `site` lives there)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(_CHILD),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=its,
            )
        finally:
            os.close(its)
        child = cls(process)
        child._write(0, pickle.dumps(sys.path))
        return child

    @property
    def alive(self) -> bool:
        """Asked of the kernel: the loop may not have been told yet. The watcher still gets its exit status."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def _write(self, timeout_s: float, data: bytes) -> None:
        self._calls.writelines((HEAD.pack(len(data), timeout_s), data))

    async def exchange(self, timeout_s: float, request: bytes) -> bytes:
        """Raises WorkerDied."""
        try:
            self._write(timeout_s, request)
            await self._calls.drain()
            size = int.from_bytes(await self._answers.readexactly(4), "big")
            if size > _MAX_ANSWER:
                raise WorkerDied("a worker process gave an answer beyond all bounds")
            return await self._answers.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise WorkerDied("a worker process ended under a call") from None

    def rest(self, idle_s: float, then: Callable[[_Child], None]) -> None:
        self._idle = asyncio.get_running_loop().call_later(idle_s, then, self)

    def rest_over(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """Let it end by the end of its pipe, else by force; waits until it is gone."""
        self._calls.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()


class _Murmur(asyncio.Protocol):
    """What a child and its libraries say, for the log: little of it, and no control characters. Then nobody listens."""

    def __init__(self) -> None:
        self._left = _MURMUR_MOST

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        heard, self._left = data[: self._left], self._left - len(data)
        for line in heard.decode(errors="replace").splitlines():
            _log.warning("a worker process says: %s", "".join(c if c.isprintable() else "?" for c in line))
        if self._left <= 0:
            _log.warning("a worker process says more than %d bytes; the rest is not heard", _MURMUR_MOST)
            self._transport.close()


class _Plain(pickle.Unpickler):
    """Reads data; of classes only our data classes and enumerations, and of functions none."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in _OUR_PACKAGES and module in sys.modules:
            found = super().find_class(module, name)
            if isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, enum.Enum)):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} in a worker's answer")


def _result(answer: bytes) -> Any:
    try:
        outcome = _Plain(io.BytesIO(answer)).load()
        kind = outcome[0]
        if kind == "ok":
            (result,) = outcome[1:]
            return result
        name, text = outcome[1:]
    except Exception as defect:
        raise WorkerDied("a worker process gave an answer that is none") from defect
    known = getattr(builtins, str(name), None)
    if isinstance(known, type) and issubclass(known, Exception):
        raise known(text)
    raise RuntimeError(f"{name} in a worker process")
