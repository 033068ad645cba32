"""The page of the server in a real browser: it follows a series in silence, asks nobody else and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

import gatecast as gc
from browser import chromium, drawn, open_address, requests, wait_for
from server import Server
from serving import FITTED, as_json, model
from test_serve_models import fitted

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gc.save(model(), tmp_path_factory.mktemp("page") / "model.gatecast")


@pytest.fixture(scope="module")
def server(file: Path) -> Iterator[Server]:
    with Server(file, "--empty") as running:
        for name in (HOSTILE, "prices/1"):
            assert running.observe(name, as_json(0, FITTED))[0] == 200
        yield running


def text(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def shapes(browser: webdriver.Chrome, selector: str) -> list[str]:
    return [str(each.get_attribute("d")) for each in browser.find_elements(By.CSS_SELECTOR, selector)]


@pytest.mark.parametrize(
    ("width", "scheme", "paper"), [(1280, "light", "rgb(255, 255, 255)"), (390, "dark", "rgb(20, 23, 27)")]
)
def test_a_series_is_drawn_in_silence_within_the_page(
    browser: webdriver.Chrome, server: Server, width: int, scheme: str, paper: str
) -> None:
    open_address(browser, server.address, width, scheme=scheme)
    wait_for(lambda: drawn(browser))
    assert browser.find_element(By.TAG_NAME, "h1").text == HOSTILE
    assert [each.text for each in Select(browser.find_element(By.ID, "series")).options] == [HOSTILE, "prices/1"]
    for selector in ("path.observed", "path.forecast"):
        assert len(shapes(browser, selector)) == 1
    assert len(browser.find_elements(By.CSS_SELECTOR, "polygon.band")) == 1
    drawing = browser.find_element(By.CSS_SELECTOR, "svg")
    assert 300 < drawing.size["width"] <= width and drawing.size["height"] > 150
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == paper
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()
    assert browser.find_elements(By.TAG_NAME, "img") == []
    asked = requests(browser)
    assert len(asked) >= 6
    assert [address for address in asked if not address.startswith((server.address, "data:"))] == []
    assert [line for line in browser.get_log("browser") if "422" not in line["message"]] == []


def test_the_page_follows_what_is_observed_and_forgotten(browser: webdriver.Chrome, server: Server) -> None:
    open_address(browser, server.address, 1280)
    wait_for(lambda: drawn(browser))
    Select(browser.find_element(By.ID, "series")).select_by_visible_text("prices/1")
    wait_for(lambda: browser.find_element(By.TAG_NAME, "h1").text == "prices/1")
    before = shapes(browser, "path.observed")
    (sent,) = as_json(FITTED, FITTED + 1)
    server.observe("prices/1", [sent])
    wait_for(lambda: f"at {sent['time']}," in browser.find_element(By.ID, "told").text)
    assert shapes(browser, "path.observed") != before
    assert "Mean absolute one-step error" in text(browser)
    server.ask("DELETE", "/v1/series/prices%2F1")
    wait_for(lambda: browser.find_element(By.TAG_NAME, "h1").text == HOSTILE)
    server.observe("later", as_json(0, FITTED))
    names = Select(browser.find_element(By.ID, "series"))
    wait_for(lambda: [each.text for each in names.options] == [HOSTILE, "later"])
    assert browser.find_element(By.TAG_NAME, "h1").text == names.first_selected_option.text == HOSTILE


def test_a_series_is_drawn_whose_forecast_needs_what_is_known_ahead(browser: webdriver.Chrome, tmp_path: Path) -> None:
    with Server(gc.save(fitted("ahead"), tmp_path / "model.gatecast")) as server:
        open_address(browser, server.address, 1280)
        wait_for(lambda: drawn(browser))
        assert "POST it to v1/series/s0/forecast" in text(browser)
        assert len(shapes(browser, "path.observed")) == 1 and shapes(browser, "path.forecast") == []


def test_the_page_asks_for_the_token_and_keeps_it_in_memory(browser: webdriver.Chrome, file: Path) -> None:
    secret = file.with_name("token")
    secret.touch(0o600)
    secret.write_text(TOKEN)
    with Server(file, "--token-file", str(secret)) as server:
        assert server.ask("GET", "/v1/series")[0] == 401
        assert server.ask("GET", "/v1/series", Authorization=f"Bearer {TOKEN}")[0] == 200
        open_address(browser, server.address, 390)
        field = browser.find_element(By.ID, "token")
        wait_for(field.is_displayed)
        assert not browser.find_element(By.ID, "figure").is_displayed()
        field.send_keys("another\n")
        wait_for(lambda: "does not take this token" in text(browser))
        field.send_keys(f"{TOKEN}\n")
        wait_for(lambda: drawn(browser))
        assert not field.is_displayed() and field.get_attribute("value") == ""
        kept = "return JSON.stringify([localStorage, sessionStorage, document.cookie])"
        assert browser.execute_script(kept) == '[{},{},""]'
        browser.refresh()
        wait_for(lambda: browser.find_element(By.ID, "token").is_displayed())
