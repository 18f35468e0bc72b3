"""One call of the API: what handlers are given, how they read a body, and what they may answer with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec

from fsm.events import Event
from fsm.step import Step
from vendingd.api.http import Head, Response
from vendingd.api.ports import Machine
from vendingd.api.problems import Problem, busy, refused, unavailable
from vendingd.kernel.inbox import Busy
from vendingd.kernel.mailbox import Unavailable

# A line of text for the journal: no control characters, so that no terminal that shows it is played with.
Text = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f]")
]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x20\x7f-\x9f]+$")]

B = TypeVar("B", bound=msgspec.Struct)
_ENCODER = msgspec.json.Encoder()


class Reasoned(msgspec.Struct, forbid_unknown_fields=True):
    """A write that needs nothing but a reason."""

    reason: Text


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty object."""


@dataclass(frozen=True, slots=True)
class Call:
    machine: Machine
    verifying: asyncio.Lock
    who: str  # as it is journalled
    head: Head
    path: dict[str, str]  # the path's variables
    raw: bytes

    def body(self, kind: type[B]) -> B:
        """The JSON body as what is wanted. Raises Problem."""
        try:
            said = msgspec.json.decode(self.raw or b"{}", type=kind)
        except msgspec.ValidationError as why:
            wanted = ", ".join(kind.__struct_fields__) or "nothing"
            raise Problem(422, "unprocessable", str(why), f"Send a JSON object with: {wanted}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
            raise Problem(400, "malformed", f"the body is not JSON: {why}", "Send a JSON object.") from None
        for name in kind.__struct_fields__:
            value = getattr(said, name)
            if isinstance(value, str) and any(c < " " or "\x7f" <= c <= "\x9f" for c in value):
                raise Problem(422, "unprocessable", f"{name} has control characters", "Send one line of plain text.")
        return said

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter of the query. Raises Problem."""
        text = self.head.parameters.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= most):
            raise Problem(422, "unprocessable", f"{name}={text[:40]!r}", f"{name} is a number from 0 to {most}.")
        return int(text)

    async def ask(self, event: Event) -> Step:
        """Ask the mailbox; returns once the answer is durable. Raises Problem for a refusal."""
        try:
            step = await self.machine.mailbox.request(event)
        except Busy as why:
            raise busy(str(why)) from None
        except Unavailable as why:
            raise unavailable(str(why)) from None
        if step.refused is not None:
            raise refused(step.refused, step.detail)
        return step


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on: `open` makes the items, once the head has been sent."""

    open: Callable[[], AsyncGenerator[dict[str, Any], None]]


@dataclass(frozen=True, slots=True)
class Download:
    """An answer of `size` bytes that are no JSON: `read` gives the next of them, `close` is called in any case."""

    size: int
    content_type: str
    read: Callable[[], Awaitable[bytes]]
    close: Callable[[], Awaitable[None]]


def encoded(value: Any) -> bytes:
    """JSON on one line."""
    return _ENCODER.encode(value)


def answer(value: Any, status: int = 200) -> Response:
    return Response(status, encoded(value))
