"""`python -m hw_sim.demo [--once]`: 0 after the story (or Ctrl-C behind it), 1 where a step was not seen."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from hw_sim.demo import after
from hw_sim.demo.play import PATIENCE_S, NotSeen, Play
from hw_sim.demo.screen import Screen
from hw_sim.demo.stage import ROOT, CannotStart, Died, Stage
from hw_sim.demo.story import Story
from hw_sim.demo.wire import Refused, Unreachable
from hw_sim.demo.witness import Witness

SEED = 20180323
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hw_sim.demo", description="A day at a small machine, simulated.")
    parser.add_argument("--once", action="store_true", help="end after the story; status 0 if every step was seen")
    parser.add_argument("--run-dir", type=Path, default=ROOT / "run" / "demo", help="made fresh (default: run/demo)")
    parser.add_argument("--seed", type=int, default=SEED, help="of simulator and cloud (%(default)s)")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE_S, metavar="S", help="how long a sight is waited for (%(default)g s)"
    )
    parser.add_argument(
        "--break",
        dest="breaks",
        metavar="FAULT[@PLACE]",
        help="switch a fault of plant or cloud on before the first pick-up: bolt_stuck@bay-1, link_unplugged@locks, "
        "slow; without a place at bay-1",
    )
    return parser


def fault(stage: Stage, text: str) -> Callable[[], object]:
    """What switches FAULT[@PLACE] on. Raises CannotStart where neither plant nor cloud knows it."""
    name, _, place = text.partition("@")
    at = {one["name"]: one["at"] for one in stage.plant.get("/faults")["known"]}
    if name in at:
        where = {"bay or device": "bay", "machine": ""}.get(at[name], at[name])
        if where == "device" and not place:
            raise CannotStart(f"--break {name}: say at which device, for instance {name}@locks")
        body = {"name": name} | ({where: place or "bay-1"} if where else {})
        return lambda: stage.plant.post("/faults", body)
    of_cloud = stage.cloud.get("/faults")["known"]
    if name in of_cloud:
        return lambda: stage.cloud.post("/faults", {"name": name})
    raise CannotStart(f"--break: no fault {name!r}; there are: {', '.join([*at, *of_cloud])}")


def main(argv: list[str] | None = None) -> int:
    """Runs until the story, or the one who plays, has come to an end."""
    args = arguments().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    screen = Screen(sys.stdout)

    def end(number: int, frame: FrameType | None) -> None:
        for one in ENDINGS:
            signal.signal(one, signal.SIG_IGN)  # what ends now ends once, and whole
        raise Ended(number)

    for number in ENDINGS:
        signal.signal(number, end)
    try:
        stage = Stage(args.run_dir)
    except CannotStart as why:
        sys.stderr.write(f"demo: {why}\n")
        return 2
    try:
        status = run(stage, screen, args)
    finally:
        for one in ENDINGS:
            signal.signal(one, signal.SIG_IGN)
        wrong = stage.close()
    for one_wrong in wrong:
        screen.bad(one_wrong)
    return status or (1 if wrong else 0)


def run(stage: Stage, screen: Screen, args: argparse.Namespace) -> int:
    """On a stage that is there. Returns the exit status."""
    played = False
    began = time.monotonic()
    try:
        screen.title("vendingd · a day at a small pick-up machine: 8 bays, 4 cars, a van, one terminal")
        ready_s = stage.open(args.seed)
        witness = Witness(stage)
        after.introduce(screen, stage, ready_s, args.seed)
        play = Play(stage, witness, screen, args.patience)
        Story(play, fault(stage, args.breaks) if args.breaks else None).tell()
        played = True
        screen.say()
        screen.good(f"{play.steps} steps in {time.monotonic() - began:.0f} s, every one seen")
        if not args.once:
            after.invite(screen, stage)
            after.follow(screen, witness)
        return 0
    except BrokenPipeError:  # whoever read has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Ended as how:
        screen.say("\nending …")
        return 0 if played else 128 + how.number
    except CannotStart as why:
        screen.bad(str(why))
        return 1
    except (NotSeen, Died, Unreachable, Refused) as why:
        if not isinstance(why, NotSeen):
            screen.bad(str(why))
        logs(stage, screen)
        return 1


def logs(stage: Stage, screen: Screen) -> None:
    for name in ("daemon", "plant", "cloud"):
        screen.log(stage.shown(stage.log_path(name)), stage.tail(name))


if __name__ == "__main__":
    sys.exit(main())
