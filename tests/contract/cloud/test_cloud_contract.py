"""The contract itself, and our reading of it: what one side's schema allows the other side's parser reads."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.contract.cloud.cloud_support import API, ROOT, errors, schema
from vendingd.cloud.instructions import Malformed
from vendingd.cloud.parse import _READERS, FACTORS, from_value

X = "A" * 43
PIN = {"alg": "argon2id", "salt": "A" * 22, "hash": X, "m": 19456, "t": 2, "p": 1}
TIMES = {
    "window_from": "2030-05-01T10:00:00Z",
    "window_to": "2030-05-01T14:00:00.125Z",
    "due": "2030-05-04T10:00:00Z",
}
WHOLE: list[dict[str, Any]] = [
    {"kind": "reservation.put", "version": 1, "rental": {"id": "r", "asset": "a", **TIMES}},
    {
        "kind": "reservation.put",
        "version": 2,
        "rental": {
            "id": "r",
            "class": "car",
            "holder": "h",
            "demands": ["pass+pin", "pass+face"],
            "pin": PIN,
            "pass_exp": TIMES["due"],
            **TIMES,
        },
    },
    {"kind": "reservation.cancel", "rental": "r", "version": 2},
    {"kind": "rental.extend", "rental": "r", "version": 2, "due": TIMES["due"]},
    {"kind": "rental.purchased", "rental": "r", "version": 2},
    {"kind": "rental.returned_elsewhere", "rental": "r", "version": 2, "machine": "m"},
    {"kind": "rental.attempts_reset", "rental": "r"},
    {"kind": "command.unlock", "bay": "b", "reason": "why", "age_s": 0.5},
    {"kind": "command.availability", "bay": "b", "in_service": True, "reason": "why"},
    {"kind": "directory.put", "assets": [{"id": "a", "class": "car", "tags": ["6E3086CED8"], "rental": "r"}]},
    {"kind": "directory.remove", "assets": ["a"]},
    {
        "kind": "keys.put",
        "keys": [
            {"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": X, "retired": True},
            {"kid": "l", "kty": "EC", "crv": "P-256", "x": X, "y": X, "not_before": TIMES["due"]},
        ],
    },
    {"kind": "passes.revoke", "rentals": ["r"]},
    {
        "kind": "journal.anchor",
        "epoch": "e",
        "seq": 4,
        "hash": "0" * 64,
        "kid": "k",
        "signature": "A" * 86,
    },
]
# what a schema cannot say, or what the machine takes more kindly than a cloud may send it
ONLY_THE_PARSER = {"command.unlock": {"age_s"}}
WRONG: list[Any] = [None, "", "a b", -1, 0, 1.5, True, [], {}, [None], ["x", "x"], "2030-13-01T00:00:00Z", "="]


def test_the_document_is_openapi() -> None:
    validate(API)


def examples(node: Any, at: str = "") -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, dict):
        if "schema" in node and "$ref" in node["schema"]:
            pointer = node["schema"]["$ref"].removeprefix("#")
            if "example" in node:
                yield at, pointer, node["example"]
            for name, example in node.get("examples", {}).items():
                yield f"{at}/{name}", pointer, example["value"]
        for key, inner in node.items():
            yield from examples(inner, f"{at}/{key}")
    elif isinstance(node, list):
        for n, inner in enumerate(node):
            yield from examples(inner, f"{at}/{n}")


EXAMPLES = list(examples(API))


@pytest.mark.parametrize(("at", "pointer", "value"), EXAMPLES, ids=[at[-60:] for at, *_ in EXAMPLES])
def test_every_example_is_valid(at: str, pointer: str, value: Any) -> None:
    assert errors(pointer, value) == []


def test_the_examples_are_there() -> None:
    assert len(EXAMPLES) >= 8


def test_the_parser_knows_the_kinds_of_the_contract_and_no_other() -> None:
    assert set(_READERS) == set(API["components"]["schemas"]["Instruction"]["discriminator"]["mapping"])
    assert {w["kind"] for w in WHOLE} == set(_READERS)


def test_the_parser_knows_the_factors_of_the_contract() -> None:
    pattern = re.compile(API["components"]["schemas"]["Combination"]["pattern"])
    assert all(pattern.fullmatch(f) for f in FACTORS)
    assert set(re.findall(r"[a-z-]+", pattern.pattern)) == FACTORS


@pytest.mark.parametrize("value", WHOLE, ids=lambda v: v["kind"])
def test_a_whole_instruction_is_right_for_both(value: dict[str, Any]) -> None:
    value = {"id": "i-1", **value}
    assert errors(schema("Instruction"), value) == []
    read = from_value(value, "c#1")
    assert not isinstance(read, Malformed), read


def spoiled(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with each member in turn missing, wrong, or one too many."""
    if isinstance(value, dict):
        yield "+surprise", value | {"surprise": 1}
        for key, inner in value.items():
            yield f"-{key}", {k: v for k, v in value.items() if k != key}
            for wrong in WRONG:
                yield f"{key}={wrong!r}", value | {key: wrong}
            for where, bad in spoiled(inner):
                yield f"{key}.{where}", value | {key: bad}
    elif isinstance(value, list):
        yield "empty", []
        for n, inner in enumerate(value):
            for where, bad in spoiled(inner):
                yield f"{n}.{where}", [*value[:n], bad, *value[n + 1 :]]


@pytest.mark.parametrize("value", WHOLE, ids=lambda v: v["kind"])
def test_schema_and_parser_refuse_the_same(value: dict[str, Any]) -> None:
    value = {"id": "i-1", **value}
    seen = 0
    for where, bad in spoiled(copy.deepcopy(value)):
        if any(where == f"-{name}" for name in ONLY_THE_PARSER.get(value["kind"], ())):
            continue
        seen += 1
        by_schema = errors(schema("Instruction"), bad) != []
        read = from_value(bad, "c#1")
        assert by_schema == isinstance(read, Malformed), (where, read, errors(schema("Instruction"), bad))
    assert seen > 20


def test_every_kind_that_the_domain_records_is_in_the_contract() -> None:
    known = set(API["components"]["schemas"]["RecordType"]["anyOf"][0]["enum"])
    written: set[str] = set()
    for file in Path(ROOT / "fsm").glob("*.py"):
        text = file.read_text()
        written |= set(re.findall(r'(?:record|note)\(\s*(?:rental,\s*)?"([a-z_]+\.[a-z_]+)"', text))
    assert len(written) > 30
    assert {f"io.vendingd.{kind}" for kind in written} - known == set()


def test_the_contract_survives_json() -> None:
    assert json.loads(json.dumps(API)) == API
