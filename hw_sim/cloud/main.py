"""The simulated cloud as a process: `ready URL seed=N` when it listens; ends on SIGTERM or with its parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from random import Random

from hw_sim.cloud import tls
from hw_sim.cloud.acts import Acts
from hw_sim.cloud.book import Book
from hw_sim.cloud.control import ControlServer
from hw_sim.cloud.faults import Faults
from hw_sim.cloud.keys import Keyring
from hw_sim.cloud.public import PublicServer
from hw_sim.cloud.receipts import Receipts

ISSUER = "https://cloud.example"
_PARENT_LOOK_S = 0.5


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m hw_sim cloud", description="A simulated cloud.")
    parser.add_argument("--run-dir", type=Path, required=True, help="for cloud.sock and keys.json")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="everything random comes from it")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="mutual TLS; certificates are made in DIR")
    parser.add_argument("--machine", help="the only machine: its certificate's name, checked")
    parser.add_argument("--issuer", default=ISSUER, help="claim iss of passes (default %(default)s)")
    args = parser.parse_args(argv)
    try:
        args.run_dir.mkdir(parents=True, exist_ok=True)
        (args.run_dir / "cloud.sock").unlink(missing_ok=True)  # of a run that was killed
        asyncio.run(_serve(args))
        (args.run_dir / "cloud.sock").unlink(missing_ok=True)
    except OSError as error:
        sys.stderr.write(f"cloud: {error}\n")
        return 1
    return 0


async def _serve(args: argparse.Namespace) -> None:
    run_dir: Path = args.run_dir
    parent = os.getppid()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    random = Random(args.seed)
    keyring = Keyring(random)
    context = tls.make(args.tls, Random(args.seed + 1), args.machine or "machine") if args.tls else None
    faults = Faults()
    book, receipts = Book(random, keyring), Receipts(faults)
    public = PublicServer(book, receipts, faults, context, args.machine)

    def publish_keys() -> None:
        fresh = run_dir / "keys.json.new"
        fresh.write_text(json.dumps(keyring.jwks(), indent=2) + "\n")
        fresh.replace(run_dir / "keys.json")

    def seen() -> list[str]:
        return [args.machine] if args.machine else sorted(public.machines)

    acts = Acts(book, receipts, args.issuer, seen, publish_keys)
    control = ControlServer(book=book, receipts=receipts, faults=faults, public=public, acts=acts, seed=args.seed)
    publish_keys()
    try:
        await public.start(args.port)
        await control.start(run_dir / "cloud.sock")
        sys.stdout.write(f"ready {public.url} seed={args.seed}\n")
        sys.stdout.flush()
        while not stop.is_set() and os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PARENT_LOOK_S):
                    await stop.wait()
    finally:
        faults.clear()  # nobody is kept hanging
        await control.close()
        await public.close()
