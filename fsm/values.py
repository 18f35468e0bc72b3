"""Changed copies of frozen values, as fast as a step wants them. Knows no value of the domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - so that a checker sees each field's name and type
else:
    _Set = Callable[[Any, Any], None]
    _KNOWN: dict[type, tuple[Callable[[Any], tuple[Any, ...]], tuple[_Set, ...], dict[str, _Set]]] = {}

    def _learn(cls: type) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[_Set, ...], dict[str, _Set]]:
        """How to read all fields at once and to set each; of dataclasses with slots and at least two fields."""
        setters = {f.name: getattr(cls, f.name).__set__ for f in fields(cls)}
        _KNOWN[cls] = made = attrgetter(*setters), tuple(setters.values()), setters
        return made

    def replace(old, /, **changes):
        """`dataclasses.replace` for values with slots and no `__post_init__`: the slots are copied, no `__init__` runs.

        A third of its time; a step makes a dozen. Raises TypeError for a field that there is not.
        """
        cls = type(old)
        read, setters, by_name = _KNOWN.get(cls) or _learn(cls)
        new = object.__new__(cls)
        for put, value in zip(setters, read(old), strict=True):
            put(new, value)
        for name, value in changes.items():
            if name not in by_name:
                raise TypeError(f"{cls.__name__} has no field {name!r}")
            by_name[name](new, value)
        return new
