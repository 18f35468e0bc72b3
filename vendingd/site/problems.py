"""What is wrong with a site file, all of it at once: where, which key, why, what to do."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from vendingd.site.lines import Lines
from vendingd.site.lines import Path as KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+")
MISSING = "is missing"
_WITH_VALUE = re.compile(r"_(?:type|parsing|float|length|short|long)$|^(?:greater|less)_than|^(?:literal_error|enum)$")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` is 0 where the whole file is meant."""

    file: str
    line: int
    key: str
    reason: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        told = f"{where}: {self.key}: {self.reason}" if self.key else f"{where}: {self.reason}"
        return f"{told}; {self.advice}" if self.advice else told


class SiteError(ValueError):
    """The site file cannot be used; `problems` holds every reason that was found, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: KeyPath) -> str:
    """A path as it would be written: devices.locks.pins[2]."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE.fullmatch(key) else f'"{key}"')
    return text


def _close(word: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.6)


def near(word: str, known: Iterable[str], what: str = "there are") -> str:
    """Advice for a word that nobody knows: the one that was meant, or all that there are."""
    names = sorted(known)
    if close := _close(word, names):
        return f"did you mean {' or '.join(close)}?"
    return f"{what}: {_some(names)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


@dataclass(slots=True)
class _Found:
    path: KeyPath
    reason: str
    advice: str
    ns: list[int]


class Findings:
    """Gathers what is wrong; the same thing for many n of one table is told once."""

    def __init__(self, file: Path, text: str = "") -> None:
        self._file = str(file)
        self._text = text
        self._errors: dict[tuple[KeyPath, str], _Found] = {}
        self._warnings: dict[tuple[KeyPath, str], _Found] = {}
        self._meant: set[KeyPath] = set()

    def error(self, path: KeyPath, reason: str, advice: str = "", n: int | None = None) -> None:
        """Something that stops the start. `n`: of the repeated table."""
        _add(self._errors, path, reason, advice, n)

    def warn(self, path: KeyPath, reason: str, advice: str = "", n: int | None = None) -> None:
        """Something that is worth a look."""
        _add(self._warnings, path, reason, advice, n)

    def has(self, path: KeyPath) -> bool:
        """Whether something is wrong at this very path."""
        return any(known == path for known, _ in self._errors)

    def meant(self, path: KeyPath) -> bool:
        """Whether an unknown key was said to be a misspelling of this one: then it is not missing as well."""
        return path in self._meant

    def invalid(
        self,
        error: ValidationError,
        prefix: KeyPath,
        model: type[BaseModel],
        also: Iterable[str] = (),
        otherwise: str = "",
    ) -> None:
        """Everything that a model found wrong.

        `also`: keys beside the model's that are known here; `otherwise`: what to do where no key is to blame.
        """
        self._meant.update(prefix + path for path in _misspelt(error, model, also))
        for path, reason, advice in _told(error, model, also):
            missing = reason == MISSING and self.meant(prefix + path)
            if not missing and not self.has(prefix + path):
                self.error(prefix + path, reason, advice or (otherwise if path == () else ""))

    def raise_errors(self) -> None:
        """Raise SiteError if there is any error."""
        if self._errors:
            raise SiteError(self._problems(self._errors))

    def warnings(self) -> tuple[Problem, ...]:
        return tuple(self._problems(self._warnings))

    def _problems(self, found: dict[tuple[KeyPath, str], _Found]) -> list[Problem]:
        if not found:
            return []
        lines = Lines(self._text)
        problems = [
            Problem(self._file, lines.of(one.path), dotted(one.path) + _with_ns(one.ns), one.reason, one.advice)
            for one in found.values()
        ]
        return sorted(problems, key=lambda problem: problem.line)


def _add(to: dict[tuple[KeyPath, str], _Found], path: KeyPath, reason: str, advice: str, n: int | None) -> None:
    found = to.setdefault((path, reason), _Found(path, reason, advice, []))
    if n is not None and n not in found.ns:
        found.ns.append(n)


def _with_ns(ns: list[int]) -> str:
    if not ns:
        return ""
    runs: list[tuple[int, int]] = []
    for n in sorted(ns):
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return f" (n = {', '.join(str(a) if a == b else f'{a} to {b}' for a, b in runs)})"


# ---------------------------------------------------------------- what pydantic says, in our words
def _misspelt(error: ValidationError, model: type[BaseModel], also: Iterable[str]) -> Iterator[KeyPath]:
    for one in error.errors(include_url=False):
        loc = one["loc"]
        if one["type"] == "extra_forbidden":
            known = [*_keys(_at(model, loc[:-1])[1]), *(also if len(loc) == 1 else ())]
            yield from ((*loc[:-1], key) for key in _close(str(loc[-1]), known)[:1])


def _told(error: ValidationError, model: type[BaseModel], also: Iterable[str]) -> Iterator[tuple[KeyPath, str, str]]:
    ways: dict[KeyPath, list[str]] = {}  # what the members of a union want, told as one
    advices: dict[KeyPath, str] = {}
    for one in error.errors(include_url=False):
        loc, kind = one["loc"], one["type"]
        if kind == "extra_forbidden":
            _, table = _at(model, loc[:-1])
            known = [*_keys(table), *(also if len(loc) == 1 else ())]
            yield loc, "unknown key", near(str(loc[-1]), known, "remove it, or use one of")
            continue
        field, table = _at(model, loc)
        advice = (field.description or "") if field is not None else ""
        if kind == "missing":
            yield loc, MISSING, f"add it: {advice}" if advice else "add it"
            continue
        path = _known_part(model, loc)
        ways.setdefault(path, []).append(_reason(one["type"], one["msg"], one["input"], field))
        advices[path] = advice
    for path, reasons in ways.items():
        yield path, " or ".join(dict.fromkeys(reasons)), advices[path]


def _reason(kind: str, message: str, value: Any, field: FieldInfo | None) -> str:
    if kind == "string_pattern_mismatch":
        text = "is not of the form that is wanted here"
        return f"{_shown(value)} {text}" if _may_show(value, field) else text
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "should be a table"
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    message = message.replace("Tuple should", "the list should").replace(" after validation", "")
    if _WITH_VALUE.search(kind) and _may_show(value, field):
        message += f", not {_shown(value)}"
    return message


def _may_show(value: Any, field: FieldInfo | None) -> bool:
    """Not what may hold a password, not what is long."""
    return (field is None or field.repr) and isinstance(value, str | int | float) and len(str(value)) <= 80


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model is not None else []


def _field(model: type[BaseModel] | None, key: str) -> FieldInfo | None:
    if model is None:
        return None
    return next((field for name, field in model.model_fields.items() if key == (field.alias or name)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)


def _at(model: type[BaseModel], loc: KeyPath) -> tuple[FieldInfo | None, type[BaseModel] | None]:
    """The nearest described field on the way to a place, and the model of the table that is there."""
    table: type[BaseModel] | None = model
    field: FieldInfo | None = None
    for key in loc:
        if isinstance(key, str) and (inner := _field(table, key)) is not None:
            field = inner
            table = _model_in(inner.annotation)
    return field, table


def _known_part(model: type[BaseModel], loc: KeyPath) -> KeyPath:
    """The place without what pydantic adds for a member of a union."""
    table: type[BaseModel] | None = model
    for depth, key in enumerate(loc):
        if isinstance(key, int) or table is None:
            continue
        inner = _field(table, key)
        if inner is None:
            return loc[:depth]
        table = _model_in(inner.annotation)
        if table is None:  # below are elements of lists and keys of plain tables, or a union's member
            rest = loc[depth + 1 :]
            plain_table = "dict" in str(inner.annotation)
            kept = [part for n, part in enumerate(rest) if isinstance(part, int) or (plain_table and n == 0)]
            return (*loc[: depth + 1], *kept)
    return loc


def syntax_error(file: Path, text: str, error: tomllib.TOMLDecodeError) -> SiteError:
    """TOML that cannot be read; what comes after it is unknown, so it stands alone."""
    from vendingd.site.lines import line_of_syntax_error

    reason = re.sub(r" \(at .*\)$", "", str(error))
    column = re.search(r"column (\d+)", str(error))
    where = f" (column {column[1]})" if column else ""
    return SiteError(
        [
            Problem(
                str(file),
                line_of_syntax_error(error, text),
                "",
                f"not TOML: {reason}{where}",
                "correct it; more may be found after that",
            )
        ]
    )
