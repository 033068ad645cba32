"""The report in a real browser, opened from disk: it draws, stays silent, asks for nothing and fits a phone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

import gatecast as gc
from boards import AWKWARD_MODELS, AWKWARD_TARGET, awkward, board, leaderboard
from gatecast.forecast.panels.baselines import global_method
from gatecast.show import report
from gatecast.show.panel_report import panel_report
from panels import monthly

pytestmark = pytest.mark.slow
WIDTHS = (1280, 390)
PATIENCE = 60.0
"""Seconds that a loaded machine may take to draw a page."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two series: one with hostile names, one with a counter for time."""
    made = leaderboard(awkward(), board(series="counter", times="counter"))
    return report(made, tmp_path_factory.mktemp("browser") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Debian's Chromium without a window, logging what it says and what it asks for."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def open_page(browser: webdriver.Chrome, page: Path, width: int, **media: str) -> None:
    """Open the page at a width (a phone below 600 pixels) and wait until its last chart is drawn."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": media.get("scheme", "light")}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("kind", "screen"), "features": features})
    browser.get(page.as_uri())
    deadline = time.monotonic() + PATIENCE
    while browser.execute_script("return document.documentElement.dataset.drawn") != "yes":
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.05)


def boxes(browser: webdriver.Chrome) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, ".chart")


def requests(browser: webdriver.Chrome) -> list[str]:
    """Every address that the page asked for, or opened a socket to."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return sent + [e["params"]["url"] for e in events if e["method"] == "Network.webSocketCreated"]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_draws_inside_its_box(browser: webdriver.Chrome, page: Path, width: int) -> None:
    open_page(browser, page, width)
    assert len(boxes(browser)) == 12
    for box in boxes(browser):
        drawing = box.find_element(By.CSS_SELECTOR, "svg")
        assert drawing.size["height"] > 150
        assert 0.9 * box.size["width"] < drawing.size["width"] <= box.size["width"] + 1
        assert len(box.find_elements(By.CSS_SELECTOR, ".mark-line path[d]")) >= 2
        assert str(box.get_attribute("aria-label")).startswith("Line chart")
        assert box.get_attribute("role") == "img"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_backtest_draws_its_charts_in_silence(browser: webdriver.Chrome, tmp_path: Path, width: int) -> None:
    frame = monthly(series=3).replace({"unique_id": {"s0": "<b>s0</b> 'quoted'"}}).rename(columns={"y": AWKWARD_TARGET})
    data = gc.read(frame, target=AWKWARD_TARGET)
    found = gc.backtest(global_method("global_ridge", 6), data, gc.Origins(2))
    open_page(browser, panel_report(found, tmp_path / "panel.html", "gatecast backtest"), width)
    assert len(boxes(browser)) == 1 + 3
    for box in boxes(browser):
        drawing = box.find_element(By.CSS_SELECTOR, "svg")
        assert 0.9 * box.size["width"] < drawing.size["width"] <= box.size["width"] + 1
        assert len(box.find_elements(By.CSS_SELECTOR, ".mark-line path[d]")) >= 3
    assert len(boxes(browser)[1].find_elements(By.CSS_SELECTOR, ".mark-area path[d]")) == 4
    assert browser.get_log("browser") == []
    assert [each for each in requests(browser) if not each.startswith(("file:", "data:"))] == []
    assert browser.execute_script("return document.body.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_legend_is_cut_off(browser: webdriver.Chrome, page: Path, width: int) -> None:
    open_page(browser, page, width)
    for box in boxes(browser):
        edge = box.rect
        for label in box.find_elements(By.CSS_SELECTOR, ".role-legend-label text"):
            spot = label.rect
            assert spot["y"] >= edge["y"] - 1
            assert spot["x"] + spot["width"] <= edge["x"] + edge["width"] + 1


@pytest.mark.parametrize("width", WIDTHS)
def test_the_console_is_silent_and_no_request_leaves_the_page(
    browser: webdriver.Chrome, page: Path, width: int
) -> None:
    open_page(browser, page, width)
    assert browser.get_log("browser") == []
    asked = requests(browser)
    assert page.as_uri() in asked
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []


def test_the_policy_stops_a_request_that_a_script_attempts(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    script = "const done = arguments[0]; fetch('https://example.org/').then(() => done('went'), () => done('stopped'));"
    assert browser.execute_async_script(script) == "stopped"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(browser: webdriver.Chrome, page: Path, width: int) -> None:
    open_page(browser, page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll, pre, svg') "
        "&& each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_awkward_names_are_shown_literally_and_nothing_runs(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    text = " ".join(browser.find_element(By.TAG_NAME, "body").text.split())
    for name in (*AWKWARD_MODELS, AWKWARD_TARGET):
        assert " ".join(name.split()) in text
    legend = [label.text for label in boxes(browser)[1].find_elements(By.CSS_SELECTOR, ".role-legend-label text")]
    assert "<!-- gru:50x4 -->" in legend
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()


def visible_lines(box: WebElement) -> int:
    return sum(path.get_attribute("opacity") != "0" for path in box.find_elements(By.CSS_SELECTOR, ".mark-line path"))


def test_a_click_in_the_legend_shows_and_hides_a_model(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    box = boxes(browser)[1]
    symbols = box.find_elements(By.CSS_SELECTOR, ".role-legend-symbol path")
    before = visible_lines(box)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    ActionChains(browser).move_to_element(symbols[-1]).click().perform()
    wait_for(lambda: visible_lines(box) == before + 1)
    ActionChains(browser).move_to_element(symbols[-1]).click().perform()
    wait_for(lambda: visible_lines(box) == before)


def test_the_pointer_reads_every_value_at_its_place(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    box = boxes(browser)[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    ActionChains(browser).move_to_element_with_offset(box, 20, 60).perform()
    tip = browser.find_element(By.ID, "vg-tooltip-element")
    wait_for(lambda: "observed" in tip.text)
    assert "<!-- gru:50x4 -->" in tip.text
    assert tip.find_elements(By.TAG_NAME, "script") == []


def wait_for(condition: Any) -> None:
    """Wait until the page has answered."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_dark_and_paper_take_the_same_drawing(browser: webdriver.Chrome, page: Path) -> None:
    inks = {}
    for name, media in (("light", {}), ("dark", {"scheme": "dark"}), ("paper", {"scheme": "dark", "kind": "print"})):
        open_page(browser, page, 1280, **media)
        path = boxes(browser)[1].find_element(By.CSS_SELECTOR, ".mark-line path")
        inks[name] = (
            path.value_of_css_property("stroke"),
            browser.execute_script("return getComputedStyle(document.body).backgroundColor"),
        )
    assert inks["light"] == ("rgb(27, 31, 36)", "rgb(255, 255, 255)")
    assert inks["dark"] == ("rgb(231, 233, 236)", "rgb(20, 23, 27)")
    assert inks["paper"] == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")


def test_charts_follow_the_window(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    drawing = boxes(browser)[2].find_element(By.CSS_SELECTOR, "svg")
    wide = drawing.size["width"]
    metrics = {"width": 700, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_for(lambda: boxes(browser)[2].find_element(By.CSS_SELECTOR, "svg").size["width"] < 0.7 * wide)
