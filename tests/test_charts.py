"""Charts read a board and draw it: fixed field names, one look per model, and files that are written whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest

from boards import ATTACK, AWKWARD_MODELS, AWKWARD_TARGET, awkward, board
from gatecast.errors import GatecastError, SpecError
from gatecast.judge.board import Board
from gatecast.show import (
    divergence_chart,
    error_by_step_chart,
    forecast_chart,
    free_run_chart,
    loss_chart,
    save_chart,
    split_chart,
)
from gatecast.show.layers import aligned
from gatecast.show.pens import COLOURS, DARK, MUTED, OBSERVED, pens
from gatecast.show.residual_charts import autocorrelation_chart, error_histogram

CHARTS = (
    *(split_chart, forecast_chart, free_run_chart, loss_chart, error_by_step_chart, divergence_chart),
    *(autocorrelation_chart, error_histogram),
)
FIELDS = {"time", "value", "model", "key", "step", "epoch", "part", "curve", "low", "high", "lag", "count", "zero"}


def strings_under(spec: Any, key: str) -> set[str]:
    """Every string that a specification holds under `key`, at any depth outside its data."""
    if isinstance(spec, dict):
        own = {spec[key]} if isinstance(spec.get(key), str) else set()
        return own.union(*(strings_under(value, key) for name, value in spec.items() if name != "datasets"))
    if isinstance(spec, list):
        return set().union(*(strings_under(value, key) for value in spec))
    return set()


def column(chart: alt.LayerChart, model: str) -> list[float | None]:
    """The values of one model's line, found through the titles that the chart's table has."""
    spec = chart.to_dict()
    field = next(field for field, title in spec["usermeta"]["columns"] if title == model)
    values = next(table for table in spec["datasets"].values() if field in table[0])
    return [row[field] for row in values]


@pytest.mark.parametrize("draw", CHARTS)
@pytest.mark.parametrize("times", ["days", "counter"])
def test_every_chart_is_a_valid_described_specification(draw: Any, times: Any) -> None:
    spec = draw(board(times=times)).to_dict(validate=True)
    assert "High" in spec["description"] or "loss" in spec["description"]
    assert spec["title"]
    assert {layer["mark"]["type"] for layer in spec["layer"]} & {"line", "bar", "rect"}
    columns = [field for field, _ in spec["usermeta"]["columns"]]
    assert any(set(columns) <= set(table[0]) for table in spec["datasets"].values())


@pytest.mark.parametrize("draw", CHARTS)
def test_awkward_names_never_become_field_names_or_expressions(draw: Any) -> None:
    spec = draw(awkward()).to_dict()
    fields = {field for field in strings_under(spec, "field") if not field.startswith("y")}
    assert fields <= FIELDS
    for key in ("expr", "calculate", "filter", "test", "signal"):
        assert not any(name in text for name in AWKWARD_MODELS for text in strings_under(spec, key))
    titles = strings_under(spec, "title")
    assert all(sign not in title for title in titles for sign in "\u2028\n")


def test_the_axis_of_an_awkward_target_is_its_literal_name() -> None:
    titles = strings_under(split_chart(awkward()).to_dict(), "title")
    assert AWKWARD_TARGET.rstrip() in titles


def test_forecasts_are_drawn_as_they_are_with_six_digits_and_a_gap_where_nothing_was_observed() -> None:
    made = board()
    chart = forecast_chart(made)
    drawn = column(chart, "gru:50x4")
    np.testing.assert_allclose(np.array(drawn, float), made.row("gru:50x4").shown.one_step.mean, rtol=1e-5)
    assert all(len(f"{value:g}".replace(".", "").lstrip("-0")) <= 6 for value in drawn if value is not None)
    observed = column(chart, OBSERVED)
    assert observed[5] is None
    assert observed[4] == pytest.approx(made.test.values[4, 0], rel=1e-5)


def test_dates_do_not_depend_on_the_readers_time_zone() -> None:
    spec = split_chart(board()).to_dict()
    first = min(row["time"] for table in spec["datasets"].values() for row in table)
    assert first == int(np.datetime64("2016-06-01", "ms").astype(int))
    assert spec["layer"][1]["encoding"]["x"]["scale"]["type"] == "utc"


def test_counters_stay_counters() -> None:
    spec = free_run_chart(board(times="counter")).to_dict()
    line = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "line")
    assert line["encoding"]["x"]["type"] == "quantitative"
    assert max(row.get("time", 0) for table in spec["datasets"].values() for row in table) == 160


def test_only_the_leaders_are_switched_on_at_first_and_named_models_always() -> None:
    made = board()
    switched = [param["value"] for param in forecast_chart(made).to_dict()["params"] if param["name"] == "models"]
    names = {each["model"] for each in switched[0]}
    best_network = next(row.name for row in made.rows if row.kind == "network")
    assert names == {OBSERVED, made.rows[0].name, best_network, "naive"}
    chosen = forecast_chart(made, ["lstm:50x4", "ridge"]).to_dict()["params"]
    names = {each["model"] for param in chosen if param["name"] == "models" for each in param["value"]}
    assert names == {OBSERVED, "lstm:50x4", "ridge"}


def test_both_bands_of_the_best_model_are_drawn_the_wide_one_below() -> None:
    made = board()
    chart = forecast_chart(made)
    spec, best = chart.to_dict(), made.rows[0]
    areas = [layer for layer in spec["layer"] if layer["mark"]["type"] == "area"]
    drawn = [(area["transform"][0]["fold"][0], area["encoding"]["y2"]["field"]) for area in areas]
    titles = dict(spec["usermeta"]["columns"])
    assert [(titles[low], titles[high]) for low, high in drawn] == [
        (f"{best.name}, {level} % from", f"{best.name}, {level} % to") for level in (95, 80)
    ]
    for band in best.shown.one_step.bands:
        for edge, side in ((band.lo, "from"), (band.hi, "to")):
            name = f"{best.name}, {band.level:g} % {side}"
            np.testing.assert_allclose(np.array(column(chart, name), float), edge, rtol=1e-5)


def test_three_switches_say_what_of_a_model_is_drawn_and_free_runs_are_off_at_first() -> None:
    made = board()
    chart = forecast_chart(made)
    spec = chart.to_dict()
    switches = {param["name"]: param["value"] for param in spec["params"] if "input" in (param.get("bind") or {})}
    assert switches == {"one_step": True, "free_run": False, "intervals": True}
    filters = [step["filter"] for layer in spec["layer"] for step in layer.get("transform", ()) if "filter" in step]
    assert {name for name in filters if isinstance(name, str)} == set(switches)
    free = made.row("ridge").shown.free_run
    assert free is not None
    np.testing.assert_allclose(np.array(column(chart, "ridge, free run"), float), free.mean, rtol=1e-5)
    bare = [replace(row, shown=replace(row.shown, free_run=None)) for row in made.rows]
    left = {param["name"] for param in forecast_chart(replace(made, rows=tuple(bare))).to_dict()["params"]}
    assert "free_run" not in left and "intervals" in left


def test_errors_are_drawn_as_they_were_measured() -> None:
    made = board()
    found = made.row("ridge").shown.residuals
    spec = autocorrelation_chart(made, "ridge").to_dict()
    assert [param["value"] for param in spec["params"] if param["name"] == "chosen"] == ["ridge"]
    bars, band = ([row for table in spec["datasets"].values() for row in table if key in row] for key in ("lag", "low"))
    own = [row["value"] for row in bars if row["model"] == "ridge"]
    np.testing.assert_allclose(own, found.autocorrelation, rtol=1e-5)
    assert [-row["low"] for row in band] == [row["high"] for row in band] == [pytest.approx(found.band, rel=1e-5)]
    bins = [row for table in error_histogram(made).to_dict()["datasets"].values() for row in table if "count" in row]
    own = [row for row in bins if row["model"] == "ridge"]
    assert [row["count"] for row in own] == found.counts.tolist()
    np.testing.assert_allclose([own[0]["low"], *(row["high"] for row in own)], found.edges, rtol=1e-5)


def test_a_free_run_starts_after_the_end_of_the_training_span_and_the_refused_one_is_absent() -> None:
    made = board()
    chart = free_run_chart(made)
    naive = column(chart, "naive")
    assert naive[:60] == [None] * 60
    assert len(naive) == 100
    assert None not in naive[60:]
    assert "lstm:50-gru:50" not in chart.to_dict()["description"]


def test_the_error_by_step_is_the_measured_one() -> None:
    made = board()
    facts = made.row("ridge").shown.free_facts
    assert facts is not None
    np.testing.assert_allclose(np.array(column(error_by_step_chart(made), "ridge"), float), facts.error, rtol=1e-5)
    np.testing.assert_allclose(np.array(column(divergence_chart(made), "ridge"), float), facts.divergence, rtol=1e-5)


def test_losses_keep_their_epoch_and_skip_what_is_not_finite() -> None:
    made = board()
    rows = []
    for row in made.rows:
        losses = tuple(replace(each, train=(float("nan"), *each.train[1:])) for each in row.shown.losses)
        rows.append(replace(row, shown=replace(row.shown, losses=losses)))
    spec = loss_chart(replace(made, rows=tuple(rows))).to_dict()
    tables = sorted(spec["datasets"].values(), key=len)
    assert {row["epoch"] for row in tables[0]} == {44}
    assert len(tables[1]) == 4 * (49 + 50)


def test_naive_is_grey_and_no_two_models_look_alike() -> None:
    drawn = pens(board(models=tuple(f"lstm:{units}" for units in range(1, 21))))
    assert drawn["naive"].colour == MUTED
    assert len({(pen.colour, pen.dash) for pen in drawn.values()}) == 22
    assert drawn["lstm:1"].dash != drawn["ridge"].dash
    assert len(set(COLOURS)) == len(COLOURS)


def luminance(colour: str) -> tuple[float, np.ndarray]:
    """Relative luminance (WCAG 2.2) and linear red, green and blue."""
    signs = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(signs <= 0.04045, signs / 12.92, ((signs + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722]), linear


# Machado, Oliveira & Fernandes (2009): full protanopia and deuteranopia on linear colours
EYES = {
    "all cones": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(linear: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of linear sRGB under D65."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = to_xyz @ np.clip(linear, 0, 1) / [0.95047, 1, 1.08883]
    f = [np.cbrt(v) if v > (6 / 29) ** 3 else v / (3 * (6 / 29) ** 2) + 4 / 29 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(("colours", "paper", "contrast"), [(COLOURS, "#ffffff", 2.2), (DARK, "#14171b", 3.0)])
def test_colours_differ_for_every_eye_and_stand_out_from_their_paper(colours: Any, paper: str, contrast: float) -> None:
    for colour in (*colours, MUTED):
        low, high = sorted((luminance(colour)[0], luminance(paper)[0]))
        assert (high + 0.05) / (low + 0.05) >= contrast
    for eye in EYES.values():
        seen = [lab(np.array(eye) @ luminance(colour)[1]) for colour in colours]
        apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(apart) > 9.5


def test_an_unknown_model_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'gru:50x4'"):
        forecast_chart(board(), ["gru:50x5"])


def _without_networks() -> Board:
    made = board()
    return replace(made, rows=tuple(row for row in made.rows if row.kind == "baseline"))


def test_a_chart_without_anything_to_draw_says_so() -> None:
    with pytest.raises(GatecastError, match="no loss curve"):
        loss_chart(_without_networks())
    with pytest.raises(GatecastError, match="no free run"):
        free_run_chart(board(), ["lstm:50-gru:50"])
    with pytest.raises(GatecastError, match="no free run"):
        error_by_step_chart(board(), ["lstm:50-gru:50"])


def test_values_land_on_their_own_times() -> None:
    times, onto = np.array([2, 4]), np.array([1, 2, 3, 4, 5])
    found = aligned(np.array([20.0, 40.0]), times, onto)
    np.testing.assert_array_equal(found, [np.nan, 20.0, np.nan, 40.0, np.nan])


def test_a_chart_is_saved_as_png_and_svg_without_leftovers(tmp_path: Path) -> None:
    chart = split_chart(awkward())
    png, svg = save_chart(chart, tmp_path / "split.png"), save_chart(chart, tmp_path / "split.SVG")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert ATTACK not in svg.read_text(encoding="utf-8")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["split.SVG", "split.png"]


def test_other_suffixes_and_missing_folders_are_refused(tmp_path: Path) -> None:
    chart = split_chart(board())
    with pytest.raises(GatecastError, match=r"split\.pdf") as refusal:
        save_chart(chart, tmp_path / "split.pdf")
    assert ".svg" in refusal.value.hint
    with pytest.raises(GatecastError, match="cannot be written"):
        save_chart(chart, tmp_path / "missing" / "split.png")
    assert list(tmp_path.iterdir()) == []


def test_many_rows_are_no_obstacle() -> None:
    spec = split_chart(board(rows=(6000, 10))).to_dict()
    assert max(len(table) for table in spec["datasets"].values()) == 6010
    assert json.dumps(spec, allow_nan=False)
