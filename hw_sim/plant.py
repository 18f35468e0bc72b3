"""`python -m hw_sim plant`: runs the simulated machine until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import secrets
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

from hw_sim.acts import Acts
from hw_sim.control import Control
from hw_sim.faults import Faults
from hw_sim.fields import BadRequest
from hw_sim.machine import Machine
from hw_sim.model.bay import Impossible
from hw_sim.model.world import Unknown
from hw_sim.scenario import Scenario, read_scenario
from hw_sim.site import SiteError, read_site

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hw_sim plant", description="The physical side of a machine.")
    parser.add_argument("--site", type=Path, required=True, help="the daemon's site file")
    parser.add_argument("--scenario", type=Path, help="what lies where, and what happens when")
    parser.add_argument("--run-dir", type=Path, required=True, help="for plant.sock, gpio.sock and the ports")
    parser.add_argument("--seed", type=int, help="all chance comes from it; default: the scenario's, else a new one")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    parser.add_argument("--outlive-parent", action="store_true", help="go on when the parent process ends")
    return parser


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent ends. It may have ended before this call."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


async def play(acts: Acts, faults: Faults, timeline: list[tuple[float, dict[str, Any]]]) -> None:
    """Do what a scenario says, when it says so; what proves impossible is logged."""
    start, log = time.monotonic(), acts.machine.log
    for at_s, entry in timeline:
        await asyncio.sleep(max(0.0, start + at_s - time.monotonic()))
        try:
            if "do" in entry:
                await acts.do(entry)
            else:
                await faults.switch({"name": entry["fault"], **{k: v for k, v in entry.items() if k != "fault"}})
        except (Impossible, Unknown, BadRequest) as no:
            log.add(time.monotonic(), "timeline_refused", at_s=at_s, entry=entry, reason=str(no))


async def run(machine: Machine, scenario: Scenario, *, until_stdin_closes: bool) -> int:
    """Serve until SIGTERM, SIGINT or, if asked, the end of standard input."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if until_stdin_closes:

        def drain() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                ended.set()

        loop.add_reader(sys.stdin.fileno(), drain)
    acts, faults = Acts(machine), Faults(machine)
    control = Control(machine, acts, faults)
    player: asyncio.Task[None] | None = None
    try:
        await machine.start()
        await control.start(machine.run_dir / "plant.sock")
        sys.stdout.write(f"ready plant machine={machine.site.machine} seed={machine.seed} run_dir={machine.run_dir}\n")
        sys.stdout.flush()
        player = asyncio.create_task(play(acts, faults, scenario.timeline))
        stop = asyncio.create_task(ended.wait())
        await asyncio.wait({player, stop}, return_when=asyncio.FIRST_COMPLETED)
        if player.done():
            player.result()
        await stop
    finally:
        if player is not None:
            player.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await player
        acts.stop()
        await control.stop()
        await machine.stop()
    return 0


def main(argv: list[str]) -> int:
    """Exit status 2: the files cannot be used; 1: a wire cannot be made."""
    parent = os.getppid()
    args = arguments().parse_args(argv)
    if not args.outlive_parent:
        end_with_parent(parent)
    try:
        site = read_site(args.site)
        scenario = read_scenario(args.scenario) if args.scenario else Scenario()
        seed = args.seed if args.seed is not None else scenario.seed
        run_dir = args.run_dir.resolve()
        run_dir.mkdir(parents=True, exist_ok=True)
        machine = Machine(site, scenario, run_dir, seed if seed is not None else secrets.randbits(32))
    except (SiteError, Impossible, Unknown) as no:
        sys.stderr.write(f"hw_sim plant: {no}\n")
        return 2
    try:
        # select() takes microseconds where epoll and poll round up to whole milliseconds: bytes stay on time.
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
            return runner.run(run(machine, scenario, until_stdin_closes=args.until_stdin_closes))
    except OSError as no:
        sys.stderr.write(f"hw_sim plant: {no}\n")
        return 1
