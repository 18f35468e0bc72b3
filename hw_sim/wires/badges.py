"""What people and the machine need of any badge reader or face module."""

from __future__ import annotations

from typing import Protocol


class Silent(Protocol):
    """A device that can be struck dumb."""

    silent: bool


class Powered(Silent, Protocol):
    """A device that forgets what it was doing when its power goes."""

    def restarted(self) -> None:
        """Power came back."""
        ...

    def stop(self) -> None:
        """Power went."""
        ...


class BadgeReader(Powered, Protocol):
    """A reader before which a badge is held."""

    def present(self, badge: str | None) -> None:
        """The badge before it now (`FORMAT:HEX`), or None. Raises ValueError for one that it cannot read."""
        ...
