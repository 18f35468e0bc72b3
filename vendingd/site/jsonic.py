"""Hands what tomllib read to pydantic's strict JSON mode: there a list makes a tuple, but "400" makes no number."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

from vendingd.site.lines import Path
from vendingd.site.problems import Findings


def as_json(value: Any) -> str:
    """The JSON of what `cleaned` let through."""
    return json.dumps(value, allow_nan=False)


def cleaned(value: Any, found: Findings, path: Path = ()) -> Any:
    """The value with null for what JSON has no word for: dates, nan, inf. No option wants any of them."""
    match value:
        case dict():
            return {key: cleaned(inner, found, (*path, key)) for key, inner in value.items()}
        case list():
            return [cleaned(inner, found, (*path, n)) for n, inner in enumerate(value)]
        case datetime.date() | datetime.time():
            found.error(path, f"a date or time ({value}) stands here, no option takes one", "quote it if text is meant")
            return None
        case float() if not math.isfinite(value):
            found.error(path, f"{value} is no number that can be used", "write a number")
            return None
    return value
