"""What stands before the story and what comes after it: how to read it, and how to play on."""

from __future__ import annotations

import time
from pathlib import Path

from hw_sim.demo.play import vendingctl
from hw_sim.demo.screen import Screen
from hw_sim.demo.stage import Stage
from hw_sim.demo.wire import Refused
from hw_sim.demo.witness import Lane, Seen, Witness

FOLLOW_EVERY_S = 0.2
HOLD_S = 2.5  # a row waits so long for what is written later and for the cloud's receipts

INTRODUCTION = """\
Three processes joined by real wires: daemon, plant (ptys, GPIO, camera) and cloud (HTTP).

ASKED       what a person, an app or a technician wants; [what the terminal's screen answers]
COMMANDED   bytes on the lock board's serial bus, current in a bay's coil
SENSED      what moved, as the plant's own physical log has it: a witness that is not the daemon
JOURNALLED  records of the daemon's journal, by their numbers; what can wait is written within 2 s
CLOUD       how soon after that the cloud had received the record; later: the network was down
"""

INVITATION = """\
The machine stays up. In another terminal, from {here}:

  export VENDINGD_SOCKET={api}
  {vendingctl} status    # then: bays, rentals, alarms, journal, watch, audit verify, --help

Dora books a car, shows her pass to the camera, and takes what opens:

  cloud() {{ curl -s --unix-socket {cloud} http://cloud/$1 ${{2:+-d "$2"}}; echo; }}
  plant() {{ curl -s --unix-socket {plant} http://plant/$1 ${{2:+-d "$2"}}; echo; }}
  cloud act '{{"do":"put_reservation","rental":"r-dora","class":"car"}}'
  pass=$(cloud act '{{"do":"sign_pass","rental":"r-dora"}}' | sed 's/.*"pass": "\\([^"]*\\)".*/\\1/')
  plant act "{{\\"do\\":\\"show_code\\",\\"via\\":\\"camera\\",\\"text\\":\\"$pass\\"}}"
  plant act '{{"do":"pickup"}}'

A technician opens a bay; things break; what there is to do and to break:

  {vendingctl} unlock bay-6 --reason "looking inside"
  plant faults '{{"name":"bolt_stuck","bay":"bay-4"}}'    # and with "on":false it is mended
  cloud faults '{{"name":"down"}}'                        # the network; with "on":false it is back
  plant act; plant faults; cloud faults                 # without a body: a list of them
  plant state; plant "log?after=0"; cloud "events?after=0"; cloud rentals

Logs: {logs}/*.log · site file: {site} · journal: {journal}
What happens appears below. Ctrl-C ends everything."""


def introduce(screen: Screen, stage: Stage, ready_s: float, seed: int) -> None:
    """How to read what follows."""
    screen.note(INTRODUCTION)
    screen.note(f"run folder {stage.shown(stage.folder)} · seed {seed} · the daemon served after {ready_s:.2f} s")
    screen.say()
    screen.heads()


def invite(screen: Screen, stage: Stage) -> None:
    """How to play on."""
    text = INVITATION.format(
        here=Path.cwd(),
        api=stage.shown(stage.daemon.path),
        vendingctl=" ".join(stage.shown(Path(part)) if part.startswith("/") else part for part in vendingctl()),
        cloud=stage.shown(stage.cloud.path),
        plant=stage.shown(stage.plant.path),
        logs=stage.shown(stage.logs),
        site=stage.shown(stage.folder / "site.toml"),
        journal=stage.shown(stage.folder / "state" / "journal.db"),
    )
    screen.say()
    screen.say(text)
    screen.say()
    screen.heads()


def follow(screen: Screen, witness: Witness) -> None:
    """Print what happens until a signal ends it. Raises Died and Unreachable."""
    printed, began = len(witness.seen), time.monotonic()
    while True:
        try:
            witness.look()
        except Refused as why:
            if why.status != 503:
                raise
            # The daemon is merely busy with somebody else: what happened stays in its journal.
        ripe = time.monotonic() - HOLD_S
        waiting: list[Seen] = witness.seen[printed:]
        due = [one for one in waiting if one.at <= ripe]
        if due:
            later = [one for one in waiting if one.at > ripe]
            witness.seen[printed:] = [*due, *later]
            printed += len(due)
            screen.rows([one for one in due if one.lane is not Lane.CLOUD], began, witness.post)
        time.sleep(FOLLOW_EVERY_S)
