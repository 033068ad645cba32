"""The report is one file: complete, closed to the network, and every foreign name in it is inert text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import pytest

from boards import AWKWARD_MODELS, awkward, board, leaderboard
from gatecast.errors import GatecastError
from gatecast.judge.board import Comparison, Leaderboard
from gatecast.show import report
from gatecast.show.figures import packed
from gatecast.show.page import script_json
from gatecast.show.pens import COLOURS


class Page(HTMLParser):
    """A page as a browser's parser splits it: tags with attributes, script texts, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.words.append(data)

    @property
    def text(self) -> str:
        """The visible text with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path = report(leaderboard(), tmp_path_factory.mktemp("plain") / "report.html")
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    made = leaderboard(awkward(), board(series="second", times="counter"))
    path = report(made, tmp_path_factory.mktemp("hostile") / "report.html")
    return Page(path.read_text(encoding="utf-8"))


def specs_of(page: Page) -> list[dict[str, Any]]:
    return json.loads(page.scripts[0])


def test_the_page_answers_first_and_then_shows_everything(plain: Page) -> None:
    made = board()
    best = made.rows[0]
    assert best.name == "naive"
    assert f"naive forecasts High best one step ahead: RMSE {best.shown.scores.rmse:.4f}" in plain.text
    assert "No other model has a lower one. Best network, gru:50x4: not better than repeating" in plain.text
    for heading in (
        "Leaderboard",
        "Charts",
        "One-step errors",
        "The worst rows",
        "How the free runs went",
        "Interval coverage",
        "Models",
        "How to run it again",
    ):
        assert heading in plain.text
    for row in made.rows:
        assert f"{row.shown.scores.rmse:.4f}" in plain.text
        assert row.verdict in plain.text
        assert row.free_verdict in plain.text
        assert " ".join(row.summary.split()) in plain.text
    for finding in made.findings:
        assert finding in plain.text
    assert leaderboard().command in plain.text
    assert "# lookback: 60 # fill: error # gatecast: 0.1.0 # torch: 2.9.0" in plain.text
    assert "81.2 %" in plain.text


def test_a_row_tells_median_range_and_significance(plain: Page) -> None:
    row = board().row("gru:50x4")
    median, least, greatest = row.spread() or (0.0, 0.0, 0.0)
    assert f"{median:.4f} {least:.4f} to {greatest:.4f}" in plain.text
    assert "−4.9 %" in plain.text
    assert "0.032" in plain.text
    assert "71,051" in plain.text
    assert row.shown.free_scores is not None
    assert f"gru:50x4 {row.shown.free_scores.rmse:.4f} {row.free_verdict}" in plain.text


def test_baselines_are_marked_and_naive_is_highlighted(plain: Page) -> None:
    assert plain.text.count("naive baseline") == plain.text.count("ridge baseline") == 5
    assert "gru:50x4 baseline" not in plain.text
    assert [str(attrs.get("class")).split()[:1] for tag, attrs in plain.tags if tag == "tbody"].count(["naive"]) == 1


def test_undefined_figures_are_a_dash(tmp_path: Path) -> None:
    made = board()
    rows = [replace(row, comparison=Comparison(None, None, None)) for row in made.rows]
    page = Page(report(leaderboard(replace(made, rows=tuple(rows))), tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "%" not in page.text.split("Leaderboard")[1].split("RMSE: median")[0].replace("0.9 %", "")


def test_every_figure_sorts_by_the_number_behind_it(plain: Page) -> None:
    values = {str(attrs["data-value"]) for tag, attrs in plain.tags if tag == "td" and "data-value" in attrs}
    for row in board().rows:
        scores, worst = row.shown.scores, row.shown.residuals.worst
        assert {repr(scores.mae), repr(scores.smape), repr(row.shown.seconds)} <= values
        assert {repr(float(error)) for error in worst.error} <= values


def test_the_worst_rows_stand_with_date_truth_forecast_and_error(plain: Page) -> None:
    for row in board().rows:
        found = row.shown.residuals
        worst = found.worst
        figures = [f"{values[0]:.4f}" for values in (worst.truth, worst.forecast, worst.error)]
        assert f"{str(worst.times[0])[:10]} {' '.join(figures)}" in plain.text.replace("−", "-")
        assert f"{found.outside} of {len(found.autocorrelation)} lags outside the band" in plain.text


def test_a_legend_is_made_of_buttons_pressed_for_what_is_drawn(plain: Page) -> None:
    pressed = [attrs["aria-pressed"] for tag, attrs in plain.tags if tag == "button" and "aria-pressed" in attrs]
    models = [name for spec in specs_of(plain) if any("models" == p["name"] for p in spec["params"])
              for name in spec["usermeta"]["models"]]  # fmt: skip
    assert len(pressed) == len(models) + 3
    first = next(spec for spec in specs_of(plain) if "observed" in spec["usermeta"]["models"])
    rows = board().rows
    on = {"observed", rows[0].name, "naive", next(row.name for row in rows if row.kind == "network")}
    assert pressed[: len(rows) + 1] == [str(name in on).lower() for name in first["usermeta"]["models"]]


def test_what_is_explained_is_drawn_and_without_it_there_is_no_such_section(plain: Page, tmp_path: Path) -> None:
    assert "What the models did" not in plain.text
    sentence = "The forget gate keeps <most> of the past."
    bars = alt.Chart(alt.InlineData(values=[{"gate": "<f>", "kept": 0.9}])).mark_bar(color=COLOURS[0])
    chart = bars.encode(x="gate:N", y="kept:Q")
    layered = alt.layer(chart, chart.mark_point(), description="Two marks.")
    page = Page(
        report(leaderboard(), tmp_path / "r.html", [("Gates", sentence, chart), ("Both", "", layered)]).read_text()
    )
    assert "What the models did Gates The forget gate keeps <most> of the past. Data of this chart Both" in page.text
    labels = [str(attrs["aria-label"]) for tag, attrs in page.tags if tag == "div" and attrs.get("class") == "chart"]
    assert labels[8:] == [f"Gates. {sentence}", "Two marks."]
    added = specs_of(page)[8]
    assert added["mark"]["color"] == "var(--pen-0)"
    assert [column for column, _ in added["usermeta"]["table"]["columns"]] == ["gate", "kept"]


def test_every_chart_has_its_own_text_alternative(plain: Page) -> None:
    charts = [attrs for tag, attrs in plain.tags if tag == "div" and attrs.get("class") == "chart"]
    assert len(charts) == len(specs_of(plain)) == 8
    labels = [str(attrs["aria-label"]) for attrs in charts]
    assert all(attrs["role"] == "img" for attrs in charts)
    assert len(set(labels)) == 8
    assert all(label.startswith(("Line chart", "Bar chart", "Histogram")) for label in labels)


def test_only_the_two_scripts_of_the_page_may_run_and_nothing_may_be_fetched(plain: Page) -> None:
    policy = next(str(attrs["content"]) for tag, attrs in plain.tags if "http-equiv" in attrs)
    runnable = plain.scripts[1:]
    assert len(runnable) == 2
    for script in runnable:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert re.findall(r"https?:", policy) == []
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_nothing_in_the_page_points_outside_it(hostile: Page) -> None:
    for tag, attrs in hostile.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert str(attrs.get(name) or "#").startswith(("#", "data:,")), (tag, name)
        assert tag not in ("iframe", "img", "object", "embed", "form", "base")


def test_foreign_names_are_literal_text_and_open_no_element(hostile: Page, plain: Page) -> None:
    kinds = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in hostile.tags} - kinds <= {"nav", "a", "h2"}
    assert len(hostile.scripts) == len(plain.scripts) == 3
    assert not any(name.startswith("on") for _, attrs in hostile.tags for name in attrs)
    for name in AWKWARD_MODELS:
        assert " ".join(name.split()) in hostile.text


def test_names_survive_inside_the_charts_data(hostile: Page) -> None:
    assert not set("<>&\u2028\u2029") & set(hostile.scripts[0])
    texts = {
        text
        for spec in specs_of(hostile)
        for table in spec["datasets"].values()
        for column in table["columns"]
        for text in (column[2] if len(column) > 2 else ())
    }
    assert set(AWKWARD_MODELS) <= texts


def test_several_series_have_a_table_of_contents_and_a_section_each(hostile: Page) -> None:
    anchors = [str(attrs["href"]) for tag, attrs in hostile.tags if tag == "a"]
    sections = [f"#{attrs['id']}" for tag, attrs in hostile.tags if tag == "section" and "id" in attrs]
    assert anchors == sections == ["#series-1", "#series-2"]
    assert len(specs_of(hostile)) == 16


def test_a_board_of_baselines_has_no_loss_chart_and_no_empty_section(tmp_path: Path) -> None:
    made = board()
    rows = []
    for row in made.rows[:2]:
        shown = replace(row.shown, free_run=None, free_scores=None, free_facts=None, coverage=(), losses=())
        rows.append(replace(row, runs=(shown,), shown=shown))
    path = report(replace(leaderboard(replace(made, rows=tuple(rows))), command=""), tmp_path / "r.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert len(specs_of(page)) == 4
    assert "Interval coverage" not in page.text
    assert "made from Python" in page.text


def test_a_run_of_the_notebooks_size_stays_small(tmp_path: Path) -> None:
    models = tuple(f"lstm:50x{layers}" for layers in range(1, 9))
    path = report(leaderboard(board(rows=(3000, 251), models=models)), tmp_path / "r.html")
    assert path.stat().st_size < 1_700_000
    assert path.read_text(encoding="utf-8").count("window.vegaEmbed=") == 1


def test_packing_keeps_every_cell() -> None:
    records = [{"model": "a", "y0": 1.0, "y1": None}, {"model": "b", "y0": 2.5, "y1": 3.0}]
    packet = packed(records)
    unpacked = [
        {name: texts[0][values[i]] if texts else values[i] for name, values, *texts in packet["columns"]}
        for i in range(packet["length"])
    ]
    assert unpacked == records
    assert packed([]) == {"length": 0, "columns": []}


def test_script_json_is_json_and_inert() -> None:
    value = {"a": "</script><!--&\u2028\u2029é"}
    text = script_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(GatecastError, match="at least one board"):
        report(Leaderboard((), "", (), ()), tmp_path / "r.html")
    with pytest.raises(GatecastError, match="cannot be written"):
        report(leaderboard(), tmp_path / "missing" / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("old", encoding="utf-8")
    assert report(leaderboard(), str(path)) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [each.name for each in tmp_path.iterdir()] == ["r.html"]
