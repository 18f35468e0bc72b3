"""Drivers by name: loaded when asked for, third parties' included, errors that help."""

import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from drivers import ports, registry

SERIAL = ["fm22x", "kerong-cu48", "line-scanner", "lock-8a", "pn532", "rdm6300", "serial-keypad"]


@pytest.mark.parametrize("name", SERIAL)
def test_built_ins_answer_to_their_names(name: str) -> None:
    driver = registry.find(name)
    assert driver.name == name
    assert driver.options.model_config["extra"] == "forbid" and driver.options.model_config["frozen"]


@pytest.mark.parametrize("name", SERIAL)
def test_every_option_is_described(name: str) -> None:
    schema = registry.find(name).options.model_json_schema()
    missing = [key for key, value in schema["properties"].items() if not value.get("description")]
    assert missing == []


def test_asking_for_one_driver_loads_no_other() -> None:
    """A site without GPIO never pays for GPIO, nor one without a camera for pictures."""
    script = (
        "import sys; from drivers import registry; registry.find('lock-8a'); registry.find('line-scanner');"
        "print([n for n in ('gpiozero', 'aiohttp', 'numpy', 'PIL', 'serial', 'drivers.readers.rdm6300')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("asked", "near"), [("lock8a", "lock-8a"), ("LOCK-8A", "lock-8a"), ("rdm630", "rdm6300"), ("gpiolock", "gpio-lock")]
)
def test_an_unknown_name_lists_near_ones(asked: str, near: str) -> None:
    with pytest.raises(registry.UnknownDriver, match=f"no driver is called '{asked}'; did you mean .*{near}"):
        registry.find(asked)


def test_a_name_like_no_other_lists_all() -> None:
    with pytest.raises(registry.UnknownDriver, match=r"there are .*gpio-gate, gpio-input"):
        registry.find("§§§§§")


# ---------------------------------------------------------------- third parties
OTHER = ports.Driver(name="acme-lock", options=object, make=lambda *_: None)  # type: ignore[arg-type, return-value]
MISNAMED = ports.Driver(name="acme", options=object, make=lambda *_: None)  # type: ignore[arg-type, return-value]


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Any:
    points: list[metadata.EntryPoint] = []

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        assert group == "vendingd.drivers"
        return points

    def offer(name: str, value: str) -> None:
        points.append(metadata.EntryPoint(name, value, "vendingd.drivers"))

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    return offer


def test_a_third_partys_driver_is_found(offers: Any) -> None:
    offers("acme-lock", f"{__name__}:OTHER")
    assert registry.find("acme-lock") is OTHER
    assert "acme-lock" in registry.names()
    with pytest.raises(registry.UnknownDriver, match="acme-lock"):
        registry.find("acme-lok")


def test_a_built_in_name_cannot_be_taken_over(offers: Any) -> None:
    offers("lock-8a", f"{__name__}:OTHER")
    assert registry.find("lock-8a").name == "lock-8a"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module_at_all:DRIVER", "No module named 'no_such_module_at_all'"),
        (f"{__name__}:NOTHING", "has no 'NOTHING'"),
        (f"{__name__}:SERIAL", "is no drivers.ports.Driver"),
        (f"{__name__}:MISNAMED", "calls itself 'acme'"),
    ],
)
def test_a_broken_offer_says_what_is_wrong(offers: Any, value: str, why: str) -> None:
    offers("acme-lock", value)
    with pytest.raises(registry.DriverUnavailable, match=why):
        registry.find("acme-lock")


def test_two_offers_of_one_name_are_refused(offers: Any) -> None:
    offers("acme-lock", f"{__name__}:OTHER")
    offers("acme-lock", f"{__name__}:MISNAMED")
    with pytest.raises(registry.DriverUnavailable, match="several packages"):
        registry.find("acme-lock")
