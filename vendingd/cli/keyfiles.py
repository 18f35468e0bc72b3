"""The key files that a site file names, judged by what reads them in the daemon, before it does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.readers.osdp_key import KeyFileError, read_key

if TYPE_CHECKING:
    from vendingd.site.lines import Path as KeyPath
    from vendingd.site.resolved import Site

OSDP = "osdp-reader"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One of them. `read` raises what the daemon would say."""

    key: KeyPath  # in the site file
    path: Path
    read: Callable[[Path], object]
    needed: bool  # without it the daemon ends with status 78; else a reader is down
    private: bool  # for the daemon's user alone
    makes: str  # where it comes from

    def trouble(self) -> str:
        """What is wrong with a file that is there and may be read by this process; '' where nothing is."""
        from vendingd.identity.badges import BadgeKeyError
        from vendingd.identity.keys import KeysError

        try:
            self.read(self.path)
        except (KeysError, BadgeKeyError, KeyFileError) as why:
            return str(why)
        except OSError as why:
            return f"{self.path}: {why.strerror}"
        return ""

    def hidden(self) -> bool:
        """It is there, and this process may not read it."""
        return self.path.exists() and not os.access(self.path, os.R_OK)


def key_files(site: Site) -> Iterator[KeyFile]:
    """In the order of the file's tables."""
    from vendingd.identity.badges import BadgeKey

    identity = site.identity
    if identity.keys is not None:
        makes = "It comes from whoever signs the passes (docs/install.md, Keys)."
        yield KeyFile(("identity", "keys"), identity.keys, _issuers, needed=True, private=False, makes=makes)
    if identity.badge_key is not None:
        path = identity.badge_key
        makes = (
            f"The cloud has the same key; `python -m vendingd.identity.tool badge-key --out {path}` makes a new one."
        )
        yield KeyFile(("identity", "badge_key"), path, BadgeKey.load, needed=True, private=True, makes=makes)
    for name, device in site.devices.items():
        if device.driver.name != OSDP:
            continue
        files = device.options.key_files()
        for n, file in enumerate(files, start=1):
            makes = f"`sudo vendingctl reader commission {name if len(files) == 1 else f'{name}:{n}'}` makes it."
            yield KeyFile(("devices", name, "scbk"), Path(file), read_key, needed=False, private=True, makes=makes)


def _issuers(path: Path) -> object:
    from vendingd.identity.keys import KeyRing, KeysError

    try:
        return KeyRing.parse_text(path.read_bytes())
    except KeysError as why:
        raise KeysError(f"{path}: {why}") from why
