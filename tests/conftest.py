"""Fixtures that several test files share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import start
from selenium.webdriver.remote.webdriver import WebDriver

# Compiled loops are kept from one run of the tests to the next.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "numba"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[WebDriver]:
    """A real browser for the whole run; the tests that need it are skipped where none is installed."""
    yield from start(tmp_path_factory.mktemp("browser"))
