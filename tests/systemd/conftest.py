"""The box of these tests: booted once, the project installed in it as docs/install.md says, offline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.systemd.box import BoxError, make
from tests.systemd.inside import ROOT, SITE, Box

PACKAGES = ("vendingd", "drivers", "fsm", "hw_sim")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "systemd: boots a systemd in a box; run by `make test-systemd`, as root")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only when asked for: the first run builds the box, a minute or two."""
    if "systemd" not in config.getoption("-m"):
        for item in items:
            if item.get_closest_marker("systemd"):
                item.add_marker(pytest.mark.skip(reason="`make test-systemd` runs it"))


@pytest.fixture(scope="session")
def tree() -> Path:
    """The box's file system, built once into build/."""
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    for tool in ("nsenter", "apt-get", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: the box is made on Debian")
    tree = ROOT / "build/systemd-tree"
    if not tree.exists():
        try:
            make(tree)
        except BoxError as why:
            pytest.skip(str(why))
    return tree


@pytest.fixture(scope="session")
def box(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Booted, with everything installed and nothing started."""
    venv, binds = _environment(tmp_path_factory.mktemp("venv"))
    files = tmp_path_factory.mktemp("files")
    subprocess.run(["make", "-s", "-C", str(ROOT), "install-files", f"DESTDIR={files}"], check=True)
    args = [f"--ro={venv}:/opt/vendingd", f"--ro={files}:/mnt", *(f"--ro={bind}" for bind in binds)]
    command = [sys.executable, str(ROOT / "tests/systemd/box.py"), "start", str(tree), *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        word, _, leader = process.stdout.readline().decode().strip().partition(" ")
        if word != "leader":
            pytest.skip(f"no systemd boots here: {process.stderr.read().decode().strip()}")
        made = Box(leader)
        try:
            _install(made)
            yield made
        finally:
            process.stdin.close()
            process.wait(60)


def _environment(venv: Path) -> tuple[Path, Sequence[str]]:
    """/opt/vendingd: this environment's packages and this checkout's code, under an interpreter of the box."""
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    binds = [f"{sysconfig.get_path('purelib')}:/opt/vendingd/{packages}"]
    base = Path("/usr") if sys.base_prefix == "/usr" else Path("/opt/python")
    if base != Path("/usr"):
        binds.append(f"{sys.base_prefix}:{base}")
    for folder in ("bin", "app", packages):
        (venv / folder).mkdir(parents=True)
    for package in PACKAGES:
        (venv / "app" / package).mkdir()
        binds.append(f"{ROOT / package}:/opt/vendingd/app/{package}")
    (venv / "pyvenv.cfg").write_text(f"home = {base}/bin\ninclude-system-site-packages = false\n")
    (venv / "bin/python").symlink_to(base / "bin" / Path(sys.executable).resolve().name)
    for name, module in (("vendingd", "vendingd.main"), ("vendingctl", "vendingd.cli.main")):
        script = venv / "bin" / name
        script.write_text(f"#!/opt/vendingd/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
        script.chmod(0o755)
    venv.chmod(0o755)
    return venv, binds


def _install(box: Box) -> None:
    box.run("sh", "-c", "cp -r /mnt/. /")
    # What only this box needs: where the code and the interpreter's library are bound.
    here = 'Environment="PYTHONPATH=/opt/vendingd/app" "LD_LIBRARY_PATH=/opt/python/lib" "PYTHONDONTWRITEBYTECODE=1"'
    box.write("/etc/systemd/system/vendingd.service.d/10-box.conf", f"[Service]\n{here}\n")
    box.run("systemd-sysusers")
    box.run("systemd-tmpfiles", "--create")
    box.run("systemctl", "daemon-reload")
    box.run("useradd", "-G", "vendingd-tech", "tess")
    box.run("useradd", "-G", "vendingd-kiosk", "kim")
    box.run("useradd", "nils")


@pytest.fixture
def fresh(box: Box) -> Box:
    """Stopped, as after an installation: no state, the test's site file, no drop-in of another test."""
    box.ask("systemctl", "stop", "vendingd")
    box.ask("systemctl", "reset-failed", "vendingd")
    box.run("rm", "-rf", "/etc/systemd/system/vendingd.service.d/50-test.conf", "/var/lib/vendingd", "/run/vendingd")
    box.run("rm", "-f", "/etc/vendingd/site.toml")
    box.write("/etc/vendingd/site.toml", SITE)
    box.run("systemctl", "daemon-reload")
    return box


@pytest.fixture
def serving(fresh: Box) -> Box:
    fresh.run("systemctl", "start", "vendingd")
    return fresh
