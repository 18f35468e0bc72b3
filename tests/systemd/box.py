"""A small Debian whose init is a real systemd, for as long as standard input stays open.

    python tests/systemd/box.py make TREE                  build the tree (Debian's mirror, about a minute)
    python tests/systemd/box.py start TREE [--ro HOST:BOX] [--rw HOST:BOX]

`start` prints "leader PID" once the system is up; `nsenter -t PID -a COMMAND` then runs in it. Everything that is
written goes to a layer in memory: the tree stays as it was built. Nothing is installed on this machine: systemd-nspawn
is the tree's own, run by the tree's own loader. Needs root.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    "systemd", "systemd-sysv", "systemd-container", "udev", "dbus", "kmod", "procps", "python3", "libzbar0", "curl",
)  # fmt: skip
# Of no use in a box, and slow or noisy there.
MASKED = (
    "getty.target", "systemd-timesyncd.service", "apt-daily.timer", "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
)  # fmt: skip
BOOT_S = 60.0


class BoxError(Exception):
    """The tree cannot be built, or the box does not come up."""


def make(tree: Path) -> None:
    """Build the tree of this machine's own Debian release. Raises BoxError; a half-built tree is removed."""
    fresh = tree.with_name(f"{tree.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    sources = next(s for s in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list") if Path(s).exists())
    with tempfile.TemporaryDirectory() as scratch:
        # by PATH, as it runs itself again by its name
        path = f"{_mmdebstrap(Path(scratch))}{os.environ['PATH']}"
        command = [
            "mmdebstrap", "-q", "--mode=root", "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("man", "doc", "locale")),
            _release(), str(fresh), sources,
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"PATH": path})
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise BoxError(f"the tree cannot be built: {done.stderr.strip()[-2000:]}")
    (fresh / "etc/machine-id").write_text("")
    for unit in MASKED:
        (fresh / "etc/systemd/system" / unit).symlink_to("/dev/null")
    shutil.rmtree(tree, ignore_errors=True)
    fresh.rename(tree)


def _mmdebstrap(scratch: Path) -> str:
    """What to put before PATH to have Debian's tool: it is unpacked here where it is not installed."""
    if shutil.which("mmdebstrap"):
        return ""
    for command in (
        "apt-get -qq -o APT::Sandbox::User=root download mmdebstrap",
        "dpkg -x mmdebstrap_*.deb tool",
    ):
        done = subprocess.run(command, shell=True, cwd=scratch, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise BoxError(f"{command}: {done.stderr.strip()}")
    return f"{scratch}/tool/usr/bin:"


def _release() -> str:
    said = platform.freedesktop_os_release()
    if said.get("ID") != "debian":
        raise BoxError(f"this is {said.get('ID')}, not Debian")
    return said["VERSION_CODENAME"]


def _nspawn(tree: Path) -> list[str]:
    """The tree's systemd-nspawn with the tree's libraries."""
    libraries = tree / f"usr/lib/{os.uname().machine}-linux-gnu"
    loaders = sorted(tree.glob("lib*/ld-linux-*.so.*"))
    if not loaders:
        raise BoxError(f"{tree} has no dynamic loader")
    path = f"{libraries / 'systemd'}:{libraries}"
    return [str(loaders[0]), "--library-path", path, str(tree / "usr/bin/systemd-nspawn")]


def start(tree: Path, binds: Sequence[str], name: str) -> int:
    """Boot, tell the leader, wait for the end of standard input, power off. Returns the exit status."""
    command = [
        *_nspawn(tree.resolve()), "-q", "-D", str(tree.resolve()), "--volatile=overlay", f"--machine={name}",
        "--register=no", "--keep-unit", "--private-network", "--console=pipe", "--capability=all",
        "--system-call-filter=bpf", *binds, "-b", "systemd.log_target=journal",
    ]  # fmt: skip
    env = os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with tempfile.TemporaryFile() as said:
        box = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            leader = _up(box)
            print(f"leader {leader}", flush=True)
            sys.stdin.read()
            # Never kill nspawn itself: that would leave its systemd behind.
            subprocess.run(["nsenter", "-t", leader, "-a", "systemctl", "poweroff", "--no-block"], check=False)
        except BoxError as why:
            said.seek(0)
            print(f"{why}: {said.read().decode(errors='replace')[-2000:]}", file=sys.stderr)
        status = box.wait()
    _tidy_cgroups()
    return status


def _up(box: subprocess.Popen[bytes]) -> str:
    """The process id, here, of the box's systemd, once that has started everything."""
    end = time.monotonic() + BOOT_S
    while time.monotonic() < end:
        if box.poll() is not None:
            raise BoxError(f"systemd-nspawn ended with {box.returncode}")
        children = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text().split()
        for child in children:
            asked = subprocess.run(
                ["nsenter", "-t", child, "-a", "systemctl", "is-system-running", "--wait"],
                check=False,
                capture_output=True,
                text=True,
            )
            if asked.stdout.strip() in ("running", "degraded"):
                return child
        time.sleep(0.1)
    raise BoxError(f"not up after {BOOT_S:g} s")


def _tidy_cgroups() -> None:
    """What nspawn leaves of its cgroups where no systemd runs outside."""
    for kind in ("systemd", "unified"):
        for part in ("payload", "supervisor"):
            top = Path("/sys/fs/cgroup", kind, part)
            for folder in sorted((d for d in top.glob("**/") if top.exists()), key=lambda d: -len(d.parts)):
                try:
                    folder.rmdir()
                except OSError:  # somebody else's, still in use
                    break


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A box with a real systemd.")
    act = parser.add_subparsers(dest="act", required=True)
    making = act.add_parser("make")
    starting = act.add_parser("start")
    for one in (making, starting):
        one.add_argument("tree", type=Path)
    for word, option in (("ro", "--bind-ro="), ("rw", "--bind=")):
        starting.add_argument(
            f"--{word}", dest="binds", action="append", metavar="HOST:BOX", type=option.__add__, default=None
        )
    args = parser.parse_args(argv)
    if os.geteuid() != 0:
        print("box: needs root", file=sys.stderr)
        return 77
    try:
        if args.act == "make":
            make(args.tree)
            return 0
        return start(args.tree, args.binds or (), f"box{os.getpid()}")
    except BoxError as why:
        print(f"box: {why}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
