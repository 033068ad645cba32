"""The report in a real browser, opened from disk: it draws, stays silent, asks for nothing and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import altair as alt
import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

import gatecast as gc
from boards import AWKWARD_MODELS, AWKWARD_TARGET, awkward, board, leaderboard
from browser import chromium, drawn, open_address, requests, wait_for
from gatecast.data.synthetic import sine
from gatecast.explain.decay import series_decay
from gatecast.explain.explanation import Explanation, explain
from gatecast.forecast.panels.baselines import global_method
from gatecast.show import report
from gatecast.show.explain_report import explain_report
from gatecast.show.panel_report import panel_report
from gatecast.train.settings import Training
from panels import monthly

pytestmark = pytest.mark.slow
WIDTHS = (1280, 390)
CHARTS = ("Line chart", "Bar chart", "Histogram", "Heat map", "Grid")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of two series, one with hostile names and one with a counter for time, and a backtest's page."""
    folder = tmp_path_factory.mktemp("browser")
    made = leaderboard(awkward(), board(series="counter", times="counter"))
    kept = [{"gate": "forget", "kept": 0.9}, {"gate": "input", "kept": 0.2}]
    bars = (
        alt.Chart(alt.InlineData(values=kept), description="Bar chart of two gates.")
        .mark_bar()
        .encode(x="gate:N", y="kept:Q")
    )
    frame = monthly(series=3).replace({"unique_id": {"s0": "<b>s0</b> 'quoted'"}}).rename(columns={"y": AWKWARD_TARGET})
    found = gc.backtest(global_method("global_ridge", 6), gc.read(frame, target=AWKWARD_TARGET), gc.Origins(2))
    return {
        "report": report(made, folder / "report.html", [(AWKWARD_MODELS[0], "What was kept.", bars)]),
        "backtest": panel_report(found, folder / "panel.html", "gatecast backtest"),
        "explanation": explain_report(explanation(), folder / "explain.html", "gatecast explain"),
    }


def explanation() -> Explanation:
    """Of a network of two layers that forecasts four steps, with the cells side by side."""
    panel = sine(300, period=12, noise=0.05)
    training = Training(epochs=2)
    model = gc.Forecaster("lstm:4-gru:3", h=4, lookback=12, recipe=gc.Recipe(training=training)).fit(panel.until(199))
    decay = series_decay(model, panel, units=3)
    return replace(explain(model, panel), decay=decay)


@pytest.fixture(scope="module")
def page(pages: dict[str, Path]) -> Path:
    """The report."""
    return pages["report"]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


def open_page(browser: webdriver.Chrome, page: Path, width: int, **media: str) -> None:
    """Open the page and wait until its last chart is drawn."""
    open_address(browser, page.as_uri(), width, **media)
    wait_for(lambda: drawn(browser))


def boxes(browser: webdriver.Chrome) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, ".chart")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "charts"), [("report", 17), ("backtest", 4), ("explanation", 8)])
def test_every_chart_draws_in_its_box_in_silence_and_nothing_is_wider_than_the_page(
    browser: webdriver.Chrome, pages: dict[str, Path], name: str, charts: int, width: int
) -> None:
    open_page(browser, pages[name], width)
    assert len(boxes(browser)) == charts
    for box in boxes(browser):
        drawing = box.find_element(By.CSS_SELECTOR, "svg")
        assert drawing.size["height"] > 150
        assert 0.9 * box.size["width"] < drawing.size["width"] <= box.size["width"] + 1
        assert len(box.find_elements(By.CSS_SELECTOR, "[class*=mark-] path[d], .mark-rule line")) >= 2
        assert box.get_attribute("role") == "img"
        assert str(box.get_attribute("aria-label")).startswith(CHARTS)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll, pre, svg') "
        "&& each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 80))"
    )
    assert wide == []
    assert browser.get_log("browser") == []
    asked = requests(browser)
    assert pages[name].as_uri() in asked
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []


def test_the_policy_stops_a_request_that_a_script_attempts(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    script = "const done = arguments[0]; fetch('https://example.org/').then(() => done('went'), () => done('stopped'));"
    assert browser.execute_async_script(script) == "stopped"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


def test_awkward_names_are_shown_literally_and_nothing_runs(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    text = " ".join(browser.find_element(By.TAG_NAME, "body").text.split())
    for name in (*AWKWARD_MODELS, AWKWARD_TARGET):
        assert " ".join(name.split()) in text
    assert "<!-- gru:50x4 -->" in [button.text for button in buttons(browser, 1, ".legend button")]
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()


def buttons(browser: webdriver.Chrome, at: int, selector: str) -> list[WebElement]:
    """Buttons beside the chart number `at`."""
    return browser.find_elements(By.TAG_NAME, "figure")[at].find_elements(By.CSS_SELECTOR, selector)


def lines_drawn(browser: webdriver.Chrome, at: int) -> int:
    return len(boxes(browser)[at].find_elements(By.CSS_SELECTOR, ".mark-line path[d^=M]"))


def axis_labels(browser: webdriver.Chrome, at: int) -> list[str]:
    labels = boxes(browser)[at].find_elements(By.CSS_SELECTOR, ".role-axis-label text")
    return sorted(str(label.get_attribute("textContent")) for label in labels)


def in_view(browser: webdriver.Chrome, part: WebElement) -> WebElement:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", part)
    return part


@pytest.mark.parametrize("press", ["click", "keyboard"])
def test_a_button_of_the_legend_shows_and_hides_a_model(browser: webdriver.Chrome, page: Path, press: str) -> None:
    open_page(browser, page, 1280)
    button = in_view(browser, buttons(browser, 1, ".legend button")[-1])
    before = lines_drawn(browser, 1)
    for pressed, lines in (("true", before + 1), ("false", before)):
        if press == "click":
            button.click()
        else:
            button.send_keys(Keys.SPACE if pressed == "true" else Keys.ENTER)
        wait_for(lambda lines=lines: lines_drawn(browser, 1) == lines)
        assert button.get_attribute("aria-pressed") == pressed
    for each in buttons(browser, 1, ".legend button"):
        if each.get_attribute("aria-pressed") == "true":
            each.click()
    wait_for(lambda: lines_drawn(browser, 1) == 0)
    assert browser.get_log("browser") == []


def test_switches_show_one_step_forecasts_free_runs_and_intervals(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    one, intervals, free = buttons(browser, 1, ".switch")
    assert [each.text for each in (one, intervals, free)] == ["one step", "intervals", "free run"]
    areas = lambda: len(boxes(browser)[1].find_elements(By.CSS_SELECTOR, ".mark-area path[d^=M]"))  # noqa: E731
    assert (lines_drawn(browser, 1), areas()) == (3, 2)
    in_view(browser, free).click()
    wait_for(lambda: lines_drawn(browser, 1) > 3)
    free.send_keys(Keys.SPACE)
    one.send_keys(Keys.SPACE)
    intervals.send_keys(Keys.SPACE)
    wait_for(lambda: (lines_drawn(browser, 1), areas()) == (1, 0))


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_buttons_zoom_and_move_a_chart_and_bring_it_back(browser: webdriver.Chrome, page: Path, at: int) -> None:
    open_page(browser, page, 1280)
    out, closer, _, later, whole = buttons(browser, at, ".zoom button")
    start = axis_labels(browser, at)
    seen = [start]
    for button in (closer, later, out):
        in_view(browser, button).send_keys(Keys.ENTER)
        wait_for(lambda: axis_labels(browser, at) != seen[-1])
        seen.append(axis_labels(browser, at))
    whole.send_keys(Keys.ENTER)
    wait_for(lambda: axis_labels(browser, at) == start)


def test_dragging_with_the_mouse_moves_a_chart(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    before = axis_labels(browser, 1)
    box = in_view(browser, boxes(browser)[1])
    ActionChains(browser).move_to_element(box).click_and_hold().move_by_offset(-300, 0).release().perform()
    wait_for(lambda: axis_labels(browser, 1) != before)


@pytest.mark.parametrize("name", ["report", "backtest"])
def test_a_table_is_sorted_with_the_keyboard(browser: webdriver.Chrome, pages: dict[str, Path], name: str) -> None:
    open_page(browser, pages[name], 390)
    table = browser.find_element(By.CSS_SELECTOR, "table.ranking" if name == "report" else "table.sortable")
    heads = table.find_elements(By.CSS_SELECTOR, "thead tr:last-child th")
    for at, head in enumerate(heads):
        button = head.find_element(By.TAG_NAME, "button")
        for order in ("ascending", "descending"):
            if head.get_attribute("aria-sort") == order:
                continue
            button.send_keys(Keys.ENTER)
            assert head.get_attribute("aria-sort") == order
            assert sum(each.get_attribute("aria-sort") is not None for each in heads) == 1
            values = browser.execute_script(
                "return [...arguments[0].querySelectorAll('tbody tr')].filter(row => row.cells.length > 2)"
                ".map(row => row.cells[arguments[1]]).map(cell => cell.dataset.value ?? "
                "(cell.className.includes('num') ? null : cell.textContent.trim()))",
                table,
                at,
            )
            known = [float(value) if at else str(value).casefold() for value in values if value is not None]
            assert len(known) > 2 or at
            assert None not in values[: len(known)]
            if at:
                assert known == sorted(known, reverse=order == "descending")
            else:
                names = known if order == "ascending" else known[::-1]
                assert browser.execute_script(
                    "return arguments[0].every((a, i, all) => !i || all[i-1].localeCompare(a) <= 0)", names
                )


def test_one_list_chooses_the_model_of_errors_and_worst_rows(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    made = board(series="counter", times="counter")
    part = browser.find_elements(By.CSS_SELECTOR, ".chosen")[1]
    select = part.find_element(By.TAG_NAME, "select")
    bars = lambda: [each.get_attribute("d") for each in part.find_elements(By.CSS_SELECTOR, ".mark-rect path")[1:]]  # noqa: E731
    in_view(browser, select)
    for row in made.rows[1:3]:
        before = bars()
        select.send_keys(Keys.ARROW_DOWN)
        wait_for(lambda before=before: bars() != before)
        assert len(bars()) == len(row.shown.residuals.counts)
        (table,) = [each for each in part.find_elements(By.CSS_SELECTOR, "table.narrow") if each.is_displayed()]
        assert row.name in table.text
        dates = [each.text for each in table.find_elements(By.CSS_SELECTOR, "tbody th")]
        assert dates == [str(time) for time in row.shown.residuals.worst.times]


def test_every_chart_has_its_numbers_in_a_table(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    made = board(series="counter", times="counter")
    for at, figure in enumerate(browser.find_elements(By.TAG_NAME, "figure")):
        browser.execute_script("arguments[0].open = true", figure.find_element(By.CSS_SELECTOR, ".data"))
        wait_for(lambda figure=figure: figure.find_elements(By.CSS_SELECTOR, ".data tbody tr"))
        if at == 9:
            heads = [each.text for each in figure.find_elements(By.CSS_SELECTOR, ".data th")]
            rows = figure.find_elements(By.CSS_SELECTOR, ".data tbody tr")
            assert len(rows) == made.test.rows
            cells = [each.text for each in rows[3].find_elements(By.TAG_NAME, "td")]
            assert heads[:2] == ["time", "observed"] and cells[0] == str(made.test.times[3])
            shown = float(cells[heads.index("ridge")])
            assert shown == pytest.approx(made.row("ridge").shown.one_step.mean[3], rel=1e-5)


def test_the_command_is_copied(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    browser.execute_script(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    button = in_view(browser, browser.find_element(By.CSS_SELECTOR, ".copy"))
    button.send_keys(Keys.ENTER)
    wait_for(lambda: button.text == "Copied")
    copied = browser.execute_script("return window.copied")
    assert copied.startswith(leaderboard().command + "\n# epochs: 50\n") and "# torch: 2.9.0" in copied


def test_the_pointer_reads_every_value_at_its_place(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    box = boxes(browser)[1]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    ActionChains(browser).move_to_element(box).perform()
    tip = browser.find_element(By.ID, "vg-tooltip-element")
    wait_for(lambda: "observed" in tip.text)
    assert "<!-- gru:50x4 -->" in tip.text
    assert tip.find_elements(By.TAG_NAME, "script") == []


@pytest.mark.parametrize("name", ["report", "backtest"])
def test_dark_and_paper_change_the_same_drawing(browser: webdriver.Chrome, pages: dict[str, Path], name: str) -> None:
    colours = {}
    for kind, media in (("light", {}), ("dark", {"scheme": "dark"}), ("paper", {"scheme": "dark", "kind": "print"})):
        open_page(browser, pages[name], 1280, **media)
        paths = boxes(browser)[1].find_elements(By.CSS_SELECTOR, ".mark-line path[d^=M]")
        colours[kind] = {path.value_of_css_property("stroke") for path in paths}
        colours[kind].add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        shown = browser.find_element(By.CSS_SELECTOR, ".controls").is_displayed()
        assert shown == (kind != "paper")
    assert {"rgb(27, 31, 36)", "rgb(255, 255, 255)", "rgb(0, 114, 178)"} <= colours["light"]
    assert {"rgb(231, 233, 236)", "rgb(20, 23, 27)", "rgb(51, 145, 219)"} <= colours["dark"]
    assert {"rgb(0, 0, 0)", "rgb(255, 255, 255)", "rgb(0, 114, 178)"} <= colours["paper"]


def test_printing_opens_what_is_folded_but_not_the_tables_of_numbers(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    browser.execute_cdp_cmd("Page.printToPDF", {})
    state = "return [...document.querySelectorAll('details')].map(each => [each.className, each.open])"
    assert {tuple(each) for each in browser.execute_script(state)} == {("", True), ("data", False)}


def test_charts_follow_the_window(browser: webdriver.Chrome, page: Path) -> None:
    open_page(browser, page, 1280)
    drawing = boxes(browser)[2].find_element(By.CSS_SELECTOR, "svg")
    wide = drawing.size["width"]
    metrics = {"width": 700, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_for(lambda: boxes(browser)[2].find_element(By.CSS_SELECTOR, "svg").size["width"] < 0.7 * wide)
