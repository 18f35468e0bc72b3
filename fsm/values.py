"""Changed copies of frozen values, as fast as a step wants them. Knows no value of the domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - so that a checker sees each field's name and type
else:
    _Known = tuple[Callable[[Any], Any], dict[str, Callable[[Any, Any], None]]]
    _KNOWN: dict[type, _Known] = {}

    def _learn(cls: type) -> _Known:
        """How to copy one of these, and how to set each field. Written out and compiled, as dataclasses do it."""
        setters = {f.name: getattr(cls, f.name).__set__ for f in fields(cls)}
        names = {f"set_{name}": setter for name, setter in setters.items()} | {"new": object.__new__, "cls": cls}
        body = "\n".join(f"  set_{name}(made, old.{name})" for name in setters)
        exec(f"def copied(old):\n  made = new(cls)\n{body}\n  return made", names)
        _KNOWN[cls] = known = names["copied"], setters
        return known

    def replace(old, /, **changes):
        """`dataclasses.replace` for values with slots and no `__post_init__`: the slots are copied, no `__init__` runs.

        A third of its time; a step makes a dozen. Raises TypeError for a field that there is not.
        """
        copied, setters = _KNOWN.get(type(old)) or _learn(type(old))
        new = copied(old)
        for name, value in changes.items():
            if name not in setters:
                raise TypeError(f"{type(old).__name__} has no field {name!r}")
            setters[name](new, value)
        return new
