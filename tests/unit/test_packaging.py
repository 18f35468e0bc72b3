"""What is installed: entry points, locks that cover what is declared, wheel, source archive, units and examples."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import inspect
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from vendingd.api.server import ApiServer
from vendingd.main import EXIT_CONFIG
from vendingd.site.model import Api

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drivers", "fsm", "hw_sim", "vendingd")
REQUIRED = ("pyserial", "gpiozero", "transitions", "aiohttp", "pyzbar", "pytest-asyncio")


@cache
def pyproject() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def declared(*extras: str) -> list[Requirement]:
    texts = [*pyproject()["dependencies"]]
    for extra in extras:
        texts += pyproject()["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


@cache
def locked(name: str) -> dict[str, Version]:
    """Package -> version of a lock file; each line of it must be exact and hashed."""
    found: dict[str, Version] = {}
    for block in re.split(r"\n(?=\S)", (ROOT / "locks" / name).read_text()):
        if block.startswith("#") or not block.strip():
            continue
        head = block.split("\\", maxsplit=1)[0].strip()
        requirement = Requirement(head)
        (pin,) = requirement.specifier
        assert pin.operator == "==" and "--hash=sha256:" in block, head
        found[canonicalize_name(requirement.name)] = Version(pin.version)
    return found


# ------------------------------------------------ what is declared
def test_commands_are_functions_that_exist() -> None:
    for name, target in pyproject()["scripts"].items():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), name
    assert set(pyproject()["scripts"]) == {"vendingd", "vendingctl"}


def test_the_simulators_pin_factory_is_found_by_gpiozeros_group() -> None:
    points = importlib.metadata.entry_points(group="gpiozero_pin_factories")
    assert points["hw-sim"].load().__name__ == "SimFactory"


def test_python_3_11_is_enough() -> None:
    assert pyproject()["requires-python"] == ">=3.11"


@pytest.mark.parametrize(("lock", "extras"), [("daemon.txt", ("lgpio", "v4l2")), ("dev.txt", ("lgpio", "v4l2", "dev"))])
def test_locks_cover_what_is_declared(lock: str, extras: tuple[str, ...]) -> None:
    versions = locked(lock)
    for requirement in declared(*extras):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None and version in requirement.specifier, requirement


def test_both_locks_agree() -> None:
    daemon, dev = locked("daemon.txt"), locked("dev.txt")
    assert {name: v for name, v in daemon.items() if dev.get(name) != v} == {}
    assert not {"pytest", "mypy", "hypothesis"} & set(daemon), "tools have no place on a machine"


@pytest.mark.parametrize("name", REQUIRED)
def test_required_packages_are_declared_locked_and_installed(name: str) -> None:
    assert name in {canonicalize_name(r.name) for r in declared("dev")}
    assert Version(importlib.metadata.version(name)) == locked("dev.txt")[canonicalize_name(name)]


# ------------------------------------------------ what is built
@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source archive, made offline from a copy of what is in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for file in filter(None, listed):
        if (ROOT / file).is_file():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
    build = "import sys, setuptools.build_meta as b; out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"
    done = subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=copy, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


def test_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/", maxsplit=1)[0] for name in names}
    assert tops - {f"vendingd-{pyproject()['version']}.dist-info"} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    wanted = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if (file.parent / "__init__.py").exists()
    }
    assert wanted - names == set(), "a folder without __init__.py is left out of the wheel"


def test_source_archive_can_be_installed_and_read_from(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "LICENSE", "README.md", "CHANGELOG.md", "locks/daemon.txt", "tools/libzbar0"}
    for folder in ("config", "systemd", "docs"):
        wanted |= {str(f.relative_to(ROOT)) for f in (ROOT / folder).rglob("*") if f.is_file()}
    assert wanted - names == set()


# ------------------------------------------------ what stands beside the environment
@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    destination = tmp_path_factory.mktemp("installed")
    subprocess.run(["make", "-s", "install-files", f"DESTDIR={destination}"], cwd=ROOT, check=True)
    return destination / "usr/local"


def test_units_rules_and_examples_are_installed_where_they_are_looked_for(installed: Path) -> None:
    found = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    wanted = {
        "lib/systemd/system/vendingd.service",
        "lib/sysusers.d/vendingd.conf",
        "lib/tmpfiles.d/vendingd.conf",
        "lib/udev/rules.d/60-vendingd.rules",
        "share/vendingd/car-tower.toml",
        "share/vendingd/key-cabinet.toml",
        "share/vendingd/site.schema.json",
        "share/doc/vendingd/install.md",
    }
    assert wanted - found == set()
    assert {file.name for file in (ROOT / "systemd").iterdir()} == {
        "vendingd.service", "vendingd.sysusers", "vendingd.tmpfiles", "60-vendingd.rules",
    }  # fmt: skip


@cache
def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "systemd/vendingd.service")
    return parser["Service"]


def test_unit_and_daemon_mean_the_same() -> None:
    prefix = re.search(r"^PREFIX := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert prefix is not None
    assert unit()["ExecStart"] == f"{prefix[1]}/bin/vendingd --site /etc/vendingd/site.toml"
    assert unit()["RestartPreventExitStatus"] == str(EXIT_CONFIG)
    assert unit()["Type"] == "notify" and float(unit()["WatchdogSec"]) > 0


def test_unit_leaves_what_the_daemon_asks_the_kernel_for() -> None:
    """Each of these hardenings would break something quietly; the unit says what."""
    text = (ROOT / "systemd/vendingd.service").read_text()
    for option in ("ProtectClock", "ProcSubset", "PrivateUsers", "PrivateDevices"):
        assert option not in unit() and f"#   {option}=" in text


def test_groups_of_the_unit_are_the_daemons() -> None:
    lines = (ROOT / "systemd/vendingd.sysusers").read_text().splitlines()
    made = {line.split()[1] for line in lines if line[:2] in ("g ", "u ")}
    kiosk = inspect.signature(ApiServer.__init__).parameters["kiosk_group"].default
    assert {Api().group, kiosk, unit()["User"], "gpio"} <= made
    debian = {"dialout", "video"}
    assert set(unit()["SupplementaryGroups"].split()) <= made | debian
