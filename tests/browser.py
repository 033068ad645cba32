"""Debian's Chromium without a window, logging what it says and what it asks for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from selenium import webdriver

PATIENCE = 30.0
"""Seconds that a loaded machine may take to draw a page."""


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser that is closed with the block."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


def open_address(browser: webdriver.Chrome, address: str, width: int, **media: str) -> None:
    """Open a page at a width (a phone below 600 pixels), with fresh logs."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": media.get("scheme", "light")}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("kind", "screen"), "features": features})
    browser.get(address)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until the page has answered."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def drawn(browser: webdriver.Chrome) -> bool:
    """Whether the page says that its charts are drawn."""
    return browser.execute_script("return document.documentElement.dataset.drawn") == "yes"


def requests(browser: webdriver.Chrome) -> list[str]:
    """Every address that the page asked for, or opened a socket to."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return sent + [e["params"]["url"] for e in events if e["method"] == "Network.webSocketCreated"]
