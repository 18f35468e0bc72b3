"""Runs as the service's ExecStartPre=: what the daemon's code needs is possible in its sandbox, and more is not."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import pty
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def clock_can_be_asked() -> bool:
    """adjtimex(2) as the daemon calls it: -1 where a filter stands in its way."""
    room = ctypes.create_string_buffer(512)
    return bool(ctypes.CDLL(None, use_errno=True).adjtimex(room) >= 0)


def work_in_children() -> bool:
    """A key derivation with all of its memory and a decoded picture, each in a child."""
    from drivers.vision.frames import Frame
    from drivers.vision.qr import ALL, look
    from vendingd.identity.pin import make_verifier
    from vendingd.workers import RealWorkers

    async def both() -> bool:
        workers = RealWorkers()
        try:
            made = await workers.process(make_verifier, "4711", timeout_s=30.0)
            seen = await workers.process(look, Frame("jpeg", _picture(), 0.0), ALL, timeout_s=30.0)
        finally:
            await workers.aclose()
        return "hash" in made and seen.refused == ""

    return asyncio.run(both())


def _picture() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (64, 64), 255).save(out, "JPEG")
    return out.getvalue()


def gpio_library() -> bool:
    """The import alone: no chip is here. It writes into its working directory."""
    from drivers.wires.gpio import import_lgpio

    return import_lgpio() is not None


def serial_line() -> bool:
    import serial

    near, far = pty.openpty()
    with serial.Serial(os.ttyname(far), 9600, timeout=1) as port:
        port.write(b"x")
        return os.read(near, 1) == b"x"


def temporary_file() -> bool:
    with tempfile.TemporaryFile() as file:
        return file.write(b"x") == 1


def boot_is_known() -> bool:
    from vendingd.kernel.time import boot_id

    return len(boot_id()) == 36


def _raises(what: Callable[[], Any]) -> bool:
    try:
        what()
    except OSError:
        return True
    return False


def refused() -> dict[str, bool]:
    return {
        "set the clock": _raises(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "write to /usr": _raises(lambda: Path("/usr/x").write_text("x")),
        "write to /etc": _raises(lambda: Path("/etc/vendingd/x").write_text("x")),
        "look into /root": _raises(lambda: os.listdir("/root")),
        "raw sockets": _raises(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
        "become root": _raises(lambda: os.setuid(0)),
        "other devices": _raises(lambda: os.open("/dev/loop-control", os.O_RDWR)),
        "namespaces": ctypes.CDLL(None).unshare(0x20000) == -1,
    }


def main() -> None:
    needed = (
        clock_can_be_asked, boot_is_known, temporary_file, serial_line, gpio_library, work_in_children,
    )  # fmt: skip
    found: dict[str, Any] = {}
    for one in needed:
        try:
            found[one.__name__] = one()
        except BaseException as why:  # noqa: BLE001 - whatever stands in the way is the finding
            found[one.__name__] = f"{type(why).__name__}: {why}"
    Path(sys.argv[1]).write_text(json.dumps({"needed": found, "refused": refused()}))


if __name__ == "__main__":
    main()
