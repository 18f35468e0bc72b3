"""`vendingd`: starts the daemon with the real world behind every seam."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from vendingd.cloud.transport import AiohttpTransport
    from vendingd.identity.keys import KeyRing
    from vendingd.site.resolved import Site

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: the unit does not restart on it
EXIT_LOCKED = 75  # EX_TEMPFAIL
TIDY_S = 3.0
_log = logging.getLogger("vendingd")


def main(argv: Sequence[str] | None = None) -> int:
    """The daemon's process. 0 after a stop in order, 1 after a defect, 75 when another runs, 78 for bad files."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=args.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    from vendingd.site.load import load_site
    from vendingd.site.problems import SiteError

    try:
        site = load_site(args.site)
    except SiteError as why:
        print(why, file=sys.stderr)
        return EXIT_CONFIG
    return _serve(args, site)


class _Version(argparse.Action):
    """Looked up when it is asked for: the look-up's imports would stay in the daemon's memory."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(version("vendingd"))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vendingd", description="The daemon of an unattended pick-up machine.")
    parser.add_argument("--site", type=Path, default=Path("/etc/vendingd/site.toml"), help="site file (%(default)s)")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=Path(os.environ.get("STATE_DIRECTORY", "/var/lib/vendingd").split(":")[0]),
        help="journal and device key (%(default)s)",
    )
    parser.add_argument(
        "--runtime-dir",
        type=Path,
        default=Path(os.environ.get("RUNTIME_DIRECTORY", "/run/vendingd").split(":")[0]),
        help="the local socket (%(default)s)",
    )
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and end")
    return parser


def _serve(args: argparse.Namespace, site: Site) -> int:
    from drivers.ports import OptionsError
    from vendingd.identity.badges import BadgeKeyError
    from vendingd.identity.keys import KeysError
    from vendingd.identity.seal import DeviceKeyError
    from vendingd.journal.api import StoreError

    try:
        return asyncio.run(_run(args, site))
    except (KeysError, BadgeKeyError, DeviceKeyError, OptionsError) as why:
        print(f"vendingd: {why}", file=sys.stderr)
        return EXIT_CONFIG
    except OSError as why:  # a full or faulty disk, or a socket, may be well again at the next start
        print(f"vendingd: {why}", file=sys.stderr)
        return 1
    except StoreError as why:
        print(f"vendingd: {why}", file=sys.stderr)
        return EXIT_LOCKED


async def _run(args: argparse.Namespace, site: Site) -> int:
    from drivers.wires.serial import opener
    from vendingd.api.server import ApiServer
    from vendingd.app import App, Fatal, Seams, state_path
    from vendingd.desk import Keys
    from vendingd.identity.badges import BadgeKey
    from vendingd.identity.keys import KeyRing
    from vendingd.identity.seal import load_device_key
    from vendingd.journal.store import Journal
    from vendingd.kernel.codec import decode
    from vendingd.kernel.time import SystemClock, SystemRandom, boot_id, kernel_synchronised
    from vendingd.notify import Notifier
    from vendingd.workers import RealWorkers

    notifier = Notifier(os.environ)
    args.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    args.runtime_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    boot = boot_id()
    ring = _site_keys(site.identity.keys) if site.identity.keys is not None else KeyRing.of(())
    badges = BadgeKey.load(site.identity.badge_key) if site.identity.badge_key is not None else None
    keys = Keys(ring, site.identity.issuer, badges)
    workers = RealWorkers()
    pins = _pins(site)
    transport = _transport(site)
    app = App(
        site,
        keys,
        Seams(
            clock=SystemClock(),
            random=SystemRandom(),
            store=Journal(
                state_path(args.state_dir),
                machine=site.machine,
                boot_id=boot,
                token=secrets.token_bytes,
                readable=decode,
            ),
            workers=workers,
            serial=opener(workers),
            pins=pins,
            transport=transport,
            token_bytes=secrets.token_bytes,
            boot=boot,
            synchronised=kernel_synchronised,
            device_key=load_device_key(args.state_dir),
        ),
        notifier,
    )
    api = ApiServer(app, args.runtime_dir / "api.sock", site.api.group, site.api.kiosk_group)
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, app.stop)

    async def ready() -> None:
        await api.start()
        app.spawn(workers.thread(app.desk.keys.ring.warm), "warm")
        app.spawn(_tidied(), "tidy")
        _log.info("serving %s with %d bays", site.machine, len(site.layout().bays))

    status = 0
    try:
        await app.run(ready)
    except Fatal as why:
        print(f"vendingd: {why}", file=sys.stderr)
        status = 1
    finally:
        await api.stop()
        await app.shutdown()
        await workers.aclose()
        if transport is not None:
            await transport.close()
    return status


async def _tidied() -> None:
    """Once the start is over, what it made stays: collections need not walk it again, and what it left goes back."""
    await asyncio.sleep(TIDY_S)
    gc.collect()
    gc.freeze()
    ctypes.CDLL(None).malloc_trim(0)


def _pins(site: Site) -> Callable[[], Any]:
    """The site's pin factory; without gpiozero being imported where there is no GPIO."""
    if not any(hasattr(device.options, "lines") for device in site.devices.values()):
        return _no_pins
    from drivers.wires.gpio import PinSource

    return PinSource(site.gpio.factory, site.gpio.chip)


def _no_pins() -> Any:
    raise RuntimeError("this site has no GPIO device")


def _transport(site: Site) -> AiohttpTransport | None:
    if site.cloud is None:
        return None
    from vendingd.cloud.transport import AiohttpTransport

    return AiohttpTransport(site.cloud.url, certificate=site.cloud.certificate, key=site.cloud.key, ca=site.cloud.ca)


def _site_keys(path: Path) -> KeyRing:
    from vendingd.identity.keys import KeyRing, KeysError

    try:
        return KeyRing.parse_text(path.read_bytes())
    except (KeysError, OSError) as why:
        raise KeysError(f"{path}: {why}") from why


if __name__ == "__main__":
    sys.exit(main())
