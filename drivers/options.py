"""What the options of all drivers have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T", int, str)


class Options(BaseModel):
    """Base of a driver's options: an unknown key stops the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


Port = Annotated[
    str,
    Field(
        min_length=1,
        description="Path of the serial port; best one below /dev/serial/by-id, which survives replugging.",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"],
    ),
]


def no_doubles(what: str, values: Sequence[T]) -> None:
    """Raises ValueError naming what occurs twice."""
    doubled = [str(value) for value, count in Counter(values).items() if count > 1]
    if doubled:
        raise ValueError(f"{what} {', '.join(doubled)} is named twice: name each once")
