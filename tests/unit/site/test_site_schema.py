"""JSON Schema, reference and page are what the models say."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from drivers import registry
from vendingd.site.load import load_site
from vendingd.site.problems import SiteError
from vendingd.site.reference import main as reference
from vendingd.site.reference import with_reference
from vendingd.site.schema import schema_text

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted((ROOT / "config").glob("*.toml"))
PAGE = ROOT / "docs" / "site-file.md"
SCHEMA: dict[str, Any] = json.loads(schema_text())


def wrong(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(tomllib.loads(text))]


def test_the_committed_schema_is_the_models() -> None:
    committed = (ROOT / "config" / "site.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: python -m vendingd.site.schema > config/site.schema.json"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_fit_the_schema_and_name_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#:schema ./site.schema.json\n")
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("claim_s = 60", "claim = 60"),
        ("claim_s = 60", 'claim_s = "60"'),
        ("claim_s = 60", "claim_s = 0.1"),
        ("pins = [16, 17]", "pins = []"),
        ("pins = [16, 17]", "pins = [16, 17]\npulse = 3"),
        ('"gpio-lock"', '"gpio-locks"'),
        ('driver = "gpio-lock"\n', ""),
        ('id = "bay-{n}"', 'id = "bay-{m}"'),
        ("n = [1, 2]", "n = [1]"),
        ("[[terminals]]", "[terminals]"),
        ('site = "west"\n', ""),
    ],
)
def test_schema_and_loader_refuse_alike(good: str, tmp_path: Path, old: str, new: str) -> None:
    assert wrong(good) == []
    assert good.count(old) == 1
    text = good.replace(old, new)
    assert wrong(text) != []
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(SiteError):
        load_site(tmp_path / "site.toml")


def test_every_built_in_driver_is_a_choice() -> None:
    ways = SCHEMA["properties"]["devices"]["additionalProperties"]["oneOf"]
    tables = [SCHEMA["$defs"][way["$ref"].rpartition("/")[2]] for way in ways]
    assert {table["properties"]["driver"]["const"] for table in tables} == set(registry.BUILT_IN)
    assert all("driver" in table["required"] and table["additionalProperties"] is False for table in tables)


def test_every_key_is_described() -> None:
    def undescribed(table: dict[str, Any]) -> list[str]:
        return [key for key, one in table.get("properties", {}).items() if not one.get("description")]

    assert {name: undescribed(table) for name, table in SCHEMA["$defs"].items() if undescribed(table)} == {}


def test_the_page_has_the_reference_of_the_models(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_reference(page) == page, "run: python -m vendingd.site.reference docs/site-file.md"
    copy = tmp_path / "page.md"
    copy.write_text(re.sub(r"\| `claim_s` .*\n", "", page), encoding="utf-8")
    assert reference([str(copy)]) == 0
    assert copy.read_text(encoding="utf-8") == page


def test_a_page_without_its_marks() -> None:
    with pytest.raises(ValueError, match="end of reference"):
        with_reference(PAGE.read_text(encoding="utf-8").replace("<!-- end of", "<!-- "))


def test_the_pages_example_is_a_site_file(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "site.toml").write_text(example)
    (tmp_path / "keys.json").write_text("{}")
    site = load_site(tmp_path / "site.toml")
    assert site.warnings == ()
    assert len(site.bays) == 48


def test_the_pages_errors_are_told_like_that(good: str, tmp_path: Path) -> None:
    """Their words; lines and paths are of a file that the page does not show."""
    text = good.replace("pins = [16, 17]", "pins = [16, 17, 18, 19, 20, 21, 22, 23]").replace(
        "pins = [2, 3]", "pins = [2, 3, 4, 5]"
    )
    text = text.replace("n = [1, 2]", "n = [1, 8]").replace('tag = "tags:{n}"\n', "")
    path = tmp_path / "site.toml"
    said = []
    for spoilt in (text, good.replace("pins = [16, 17]", "pins = [16, 17]\npulse = 100")):
        path.write_text(spoilt)
        with pytest.raises(SiteError) as caught:
            load_site(path)
        said += [re.sub(r"^.*?:\d+: ", "", str(one)) for one in caught.value.problems]
    (told,) = re.findall(r"```\n(/etc/.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert sorted(re.sub(r"^.*?:\d+: ", "", line) for line in told.splitlines()) == sorted(said)
