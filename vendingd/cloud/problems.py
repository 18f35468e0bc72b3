"""RFC 9457 problems of the cloud's: read with care, cut short, never trusted to be there."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from drivers.ports import HttpResponse
from vendingd.cloud.status import header

_MOST_CHARACTERS = 500


def from_answer(answer: HttpResponse) -> Mapping[str, str | int]:
    """The answer's problem; made from the status where the body is none."""
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        value = None
    return clean(value, answer.status)


def is_problem(answer: HttpResponse) -> bool:
    """Whether this is the cloud's own word (RFC 9457), and not that of something between."""
    media = header(answer, "content-type").partition(";")[0].strip().lower()
    return media == "application/problem+json"


def clean(value: object, status: int) -> Mapping[str, str | int]:
    """type, title, status and detail of a problem, with the defaults of the RFC."""
    given = value if isinstance(value, dict) else {}
    out: dict[str, str | int] = {"type": "about:blank", "title": _phrase(status), "status": status}
    for name in ("type", "title", "detail"):
        text = given.get(name)
        if isinstance(text, str) and text:
            out[name] = text[:_MOST_CHARACTERS]
    own = given.get("status")
    if isinstance(own, int) and not isinstance(own, bool) and 100 <= own <= 599:
        out["status"] = own
    return out


def in_words(answer: HttpResponse) -> str:
    """One line for people."""
    problem = from_answer(answer)
    detail = f" ({problem['detail']})" if "detail" in problem else ""
    return f"{answer.status} {problem['title']}{detail}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"
