"""Sets a journal aside or puts a copy in its place, and is killed before its n-th step in the file system."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from vendingd.journal.replace import move_aside, put_back
from vendingd.kernel.codec import decode

STEPS = {"os.mkdir", "os.rename", "sqlite3.connect"}


def main() -> None:
    action, path, copy, left = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

    def hook(event: str, _: object) -> None:
        nonlocal left
        if event in STEPS:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if action == "set-aside":
        move_aside(path)
    else:
        put_back(copy, path, "t: killed", readable=decode, boot_id="b", utc=1.0, mono=1.0, token=os.urandom)


if __name__ == "__main__":
    main()
