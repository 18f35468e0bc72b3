"""Which tests wait to be asked for: `make test` stays under five minutes, CI runs them all."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The same examples at every run, so that a red run means a change; `make explore-fsm` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("explore" if os.environ.get("VENDINGD_DEEP") else "steady")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes ten seconds or more; run by `make test-long`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" not in config.getoption("-m"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="`make test-long` runs it"))
