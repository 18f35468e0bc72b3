"""The reference of all keys in docs/site-file.md, made from the JSON Schema and so from the models.

`python -m vendingd.site.reference docs/site-file.md` writes it between the two marks of that file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vendingd.site.schema import driver_models, site_schema

BEGIN = "<!-- reference: made by python -m vendingd.site.reference, not by hand -->\n"
END = "<!-- end of reference -->\n"


def reference() -> str:
    """Markdown tables of every key: type, bounds, default, meaning."""
    return "\n".join(_parts(site_schema()))


def with_reference(page: str) -> str:
    """The page with its reference made anew. Raises ValueError where the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no line {(END if begin else BEGIN).strip()!r}")
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


def _parts(schema: dict[str, Any]) -> Iterator[str]:
    definitions = schema["$defs"]
    head = schema["properties"]
    tables = {key: _resolved(one, definitions) for key, one in head.items() if "$ref" in one}
    plain = {key: one for key, one in head.items() if key not in tables and key not in ("devices", "bays", "terminals")}
    yield "### At the top\n"
    yield from _rows({"properties": plain, "required": schema["required"]}, definitions)
    for key, table in tables.items():
        yield f"### `[{key}]`\n"
        yield f"{table['description']}\n"
        yield from _rows(table, definitions)
    for key in ("bays", "terminals"):
        table = _resolved(head[key]["items"], definitions)
        yield f"### `[[{key}]]`\n"
        yield f"{table['description']}\n"
        yield from _rows(table, definitions)
    ways = head["devices"]["additionalProperties"]["oneOf"]
    for driver, way in zip(driver_models(), ways, strict=True):
        table = _resolved(way, definitions)
        yield f'### `[devices.NAME]` with `driver = "{driver}"`\n'
        yield f"{table['description']}\n"
        options = {key: one for key, one in table["properties"].items() if key != "driver"}
        yield from _rows({"properties": options, "required": table["required"]}, definitions)


def _rows(table: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |"
    for key, one in table["properties"].items():
        whole = _resolved(one, definitions)
        default = "**required**" if key in table.get("required", ()) else _default(whole)
        meaning = one.get("description") or whole.get("description", "")
        yield f"| `{key}` | {_cell(_value(whole, definitions))} | {default} | {_cell(meaning)} |"
    yield ""


def _resolved(one: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in one:
        return one
    found: dict[str, Any] = definitions[one["$ref"].rpartition("/")[2]]
    return found | {key: value for key, value in one.items() if key != "$ref"}


def _default(one: dict[str, Any]) -> str:
    return f"`{json.dumps(one['default'], ensure_ascii=False)}`" if "default" in one else ""


def _value(one: dict[str, Any], definitions: dict[str, Any]) -> str:
    one = _resolved(one, definitions)
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(_value(way, definitions) for way in one["anyOf"]))
    if "const" in one:
        return f"`{json.dumps(one['const'])}`"
    if "enum" in one:
        return ", ".join(f"`{json.dumps(word)}`" for word in one["enum"])
    match one.get("type"):
        case "array" if "prefixItems" in one:
            return f"list of {len(one['prefixItems'])} integers"
        case "array":
            return f"list of: {_value(one['items'], definitions)}"
        case "object":
            return f"table of: {_value(one['additionalProperties'], definitions)}"
        case "string":
            return "path" if one.get("format") == "path" else "text"
        case "boolean":
            return "true, false"
        case str(kind):
            return kind + _bounds(one)
    return "any"


def _bounds(one: dict[str, Any]) -> str:
    least, most = one.get("minimum"), one.get("maximum")
    if "exclusiveMinimum" in one:
        return f" over {one['exclusiveMinimum']:g}" + (f", to {most:g}" if most is not None else "")
    if least is not None:
        return f" {least:g} to {most:.15g}" if most is not None else f" from {least:g}"
    return ""


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Rewrite the reference in the page that is named, or print it."""
    if not arguments:
        sys.stdout.write(reference())
        return 0
    page = Path(arguments[0])
    page.write_text(with_reference(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
