"""Exit codes, and the errors that lead to them. Each error says what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    OK = 0
    PROBLEMS = 1  # the command worked and found problems
    USAGE = 2
    REFUSED = 3  # the machine refused
    UNREACHABLE = 4  # the daemon does not answer
    FORBIDDEN = 5
    BUSY = 6  # unavailable or busy: try again later
    INTERRUPTED = 130  # Ctrl-C, as shells say it


class CliError(Exception):
    """What went wrong, and what to do about it."""

    def __init__(self, code: Exit, text: str, advice: str = "", problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.advice = advice
        self.problem = problem

    def said(self) -> dict[str, Any]:
        """As JSON, for programs."""
        return dict(self.problem) if self.problem is not None else {"detail": self.text, "advice": self.advice}
