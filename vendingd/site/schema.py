"""The site file's JSON Schema, for editors: `python -m vendingd.site.schema` prints it.

Made from the models, with the options of every built-in driver as a choice by `driver`. Drivers of other
packages are not in it. What spans tables (references, doubled pins) is for `load_site` to say.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from drivers import registry
from vendingd.site.model import BayTable, Head, TerminalTable

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODE: JsonSchemaMode = "validation"


def driver_models() -> dict[str, type[BaseModel]]:
    """The options of each built-in driver, by its name in site files."""
    return {name: registry.find(name).options for name in sorted(registry.BUILT_IN)}


def site_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a whole site file."""
    options = driver_models()
    places: tuple[type[BaseModel], ...] = (Head, BayTable, TerminalTable)
    refs, made = models_json_schema([(model, _MODE) for model in (*places, *options.values())])
    definitions = {name: _tidy(schema) for name, schema in made["$defs"].items()}

    def name_of(model: type[BaseModel]) -> str:
        return str(refs[model, _MODE]["$ref"]).rpartition("/")[2]

    for driver, model in options.items():
        table = definitions[name_of(model)]
        table["properties"] = {"driver": {"const": driver, "description": table["description"]}} | table["properties"]
        table["required"] = ["driver", *table.get("required", ())]
    head = definitions.pop(name_of(Head))
    head["properties"] |= {
        "devices": {
            "type": "object",
            "description": "Devices by name, each with its driver and that driver's options.",
            "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]*$", "maxLength": 64},
            "additionalProperties": {
                "required": ["driver"],
                "oneOf": [{"$ref": f"#/$defs/{name_of(model)}"} for model in options.values()],
            },
        },
        "bays": _array(name_of(BayTable), "Places, one table each, or one for many by n."),
        "terminals": _array(name_of(TerminalTable), "Where people stand, one table each, or one for many by n."),
    }
    head["required"] = [*head["required"], "bays", "terminals"]
    return {"$schema": DIALECT, **head, "title": "vendingd site file", "$defs": definitions}


def _array(name: str, description: str) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "description": description, "items": {"$ref": f"#/$defs/{name}"}}


def _tidy(schema: Any, *, names: bool = False) -> Any:
    """Without what helps nobody in a TOML file: titles that repeat the key, and null, which TOML has not.

    `names`: the keys of this table are options' names, not words of the schema.
    """
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _tidy(value, names=key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or not (key == "title" or (key == "default" and value is None))
    }
    if not names and isinstance(ways := kept.get("anyOf"), list):
        real = [way for way in ways if way != {"type": "null"}]
        if len(real) == 1:
            del kept["anyOf"]
            kept = real[0] | kept
        else:
            kept["anyOf"] = real
    return kept


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(site_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
