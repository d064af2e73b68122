"""Fixtures that several test files share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import start
from selenium.webdriver.remote.webdriver import WebDriver

# Compiled loops are kept from one run of the tests to the next.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "numba"))

# Files that run whole studies, longest first: with two workers, what comes last should be short.
LONG = (
    "test_slurm.py",
    "test_workflow.py",
    "test_variants.py",
    "test_study_kinds.py",
    "test_binary_study.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: n for n, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[WebDriver]:
    """A real browser for the whole run; the tests that need it are skipped where none is installed."""
    yield from start(tmp_path_factory.mktemp("browser"))
