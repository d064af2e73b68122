"""Pages in a real browser: Debian's chromium and chromedriver, driven by selenium, without a network.

A test takes the fixture `browser` (conftest.py) and opens a file with `open_page`; `console` and `requested` are what
the page has written to the console and fetched since.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1500,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip


def start(profile: Path) -> Iterator[WebDriver]:
    """A browser with an empty profile; skips, saying what to install, where there is none."""
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    plain = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"), env=plain))
    driver.set_page_load_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: WebDriver, path: Path) -> None:
    """Open a file of this machine; what an earlier page said and fetched is forgotten."""
    driver.get("about:blank")
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(path.resolve().as_uri())


def console(driver: WebDriver) -> list[str]:
    """Everything on the console since the last call: errors, warnings, refusals of the content policy."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requested(driver: WebDriver) -> list[str]:
    """Addresses that the page asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
