"""The other side of `vendingd.workers`: runs one call after the other in a process of its own.

Run as a file, not as a module, and importing next to nothing, so that it stays a few MiB until a call needs
more. A call is a head (length, time-out in seconds) and a pickle of function and arguments; an answer is four
bytes of length and a pickle. The very first "call" is the list of folders to import from.
"""

from __future__ import annotations

import math
import os
import pickle
import resource
import signal
import struct
import sys
from typing import BinaryIO

HEAD = struct.Struct(">If")
GRACE_S = 2
"""How long after its time-out a call ends the process by itself: then the parent that should have is gone."""


def read_call(pipe: BinaryIO) -> tuple[float, bytes] | None:
    """The next call's time-out and pickle; None at the end."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    size, timeout_s = HEAD.unpack(head)
    return timeout_s, pipe.read(size)


def answer(call: bytes) -> bytes:
    """Run a pickled call; a pickle of ("ok", result) or ("raised", the type's name, text)."""
    try:
        fn, args = pickle.loads(call)
        return pickle.dumps(("ok", fn(*args)), protocol=5)
    except Exception as error:  # noqa: BLE001 -- told to the caller, whose exception it is
        return pickle.dumps(("raised", type(error).__name__, str(error)), protocol=5)


def main() -> None:
    """Serve until the pipe ends."""
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not get between the frames.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # arguments are secret: pictures of codes, PINs
    # Ctrl-C goes to the whole group; the parent ends us in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (first := read_call(calls)) is not None:
        sys.path[:] = pickle.loads(first[1])
    while (call := read_call(calls)) is not None:
        timeout_s, body = call
        signal.alarm(math.ceil(timeout_s) + GRACE_S)
        out = answer(body)
        signal.alarm(0)
        answers.write(len(out).to_bytes(4, "big") + out)
        answers.flush()


if __name__ == "__main__":
    main()
