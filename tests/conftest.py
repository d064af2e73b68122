"""Fixtures that several test files share."""

from collections.abc import Iterator

import pytest
from browser import start
from selenium.webdriver.remote.webdriver import WebDriver


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[WebDriver]:
    """A real browser for the whole run; the tests that need it are skipped where none is installed."""
    yield from start(tmp_path_factory.mktemp("browser"))
