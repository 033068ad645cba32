"""Awkward but honest data: gaps at every edge, prices below zero, short series, other people's data."""

import os
from dataclasses import replace

import numpy as np
import pytest

from gatecast.data.calendar import Calendar
from gatecast.data.panel import series_panel
from gatecast.edge.save import load, save
from gatecast.errors import DataError, ForecastError, GatecastError, SpecError
from gatecast.forecast.baselines import Baseline
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.forecast.ridge import Ridge
from gatecast.judge.leaderboard import leaderboard
from gatecast.show.files import write_atomic
from gatecast.train.settings import Training
from models import network, prices, waves

QUICK = Recipe(training=Training(epochs=1))


def changed(panel, rows, value, column=0, fill="last"):
    values = panel.values.copy()
    values[rows, column] = value
    return replace(panel, values=values, fill=fill)


def test_a_model_whose_tail_begins_in_a_gap_is_saved(tmp_path):
    panel = changed(prices(), slice(141, 143), np.nan)
    model = network("gru:2", lookback=8, recipe=QUICK).fit(panel)
    again = load(save(model, tmp_path / "m.gatecast"))
    np.testing.assert_array_equal(again.predict(3).mean, model.predict(3).mean)


@pytest.mark.parametrize("value", [0.0, -37.6])
def test_a_price_that_is_not_positive_in_the_test_span_ends_no_run(value):
    board = leaderboard(changed(prices(), 140, value), "30 rows", ["auto"]).boards[0]
    clean = leaderboard(prices(), "30 rows", ["auto"]).boards[0]
    for name in ("auto", "ridge"):
        mine, theirs = (b.row(name).shown.one_step.mean for b in (board, clean))
        np.testing.assert_array_equal(mine[:21], theirs[:21])
        assert np.isfinite(mine).all() and (mine > 0).all()
    assert board.row("naive").shown.scores.count == 30


def test_a_logarithm_of_training_values_below_zero_is_refused_by_name():
    with pytest.raises(DataError, match="column 'High' has -1 in row 40"):
        network("gru:2", recipe=Recipe("logreturn")).fit(changed(prices(), 40, -1.0))


@pytest.mark.parametrize("lookback", [2, 10, 30])
def test_auto_takes_any_lookback(lookback):
    model = Forecaster(lookback=lookback, members=1, recipe=QUICK).fit(waves())
    assert model.plan_.lookback == lookback
    assert model.plan_.recipe.lags <= lookback


def test_rules_that_were_overruled_give_no_reason():
    summary = Forecaster(inputs="Low", members=1, recipe=replace(QUICK, transform="log")).fit(prices()).summary()
    assert "random walk" not in summary and "target's own scale" not in summary
    assert "High, Low; log" in summary


def test_a_loaded_model_is_fitted_again_by_the_same_plan(tmp_path):
    for model in (
        network("gru:3", lookback=9, inputs=("Low",), members=2, dropout=0.1, recipe=replace(QUICK, transform="log")),
        Forecaster(lookback=11, members=1, recipe=QUICK),
    ):
        model.fit(prices())
        again = load(save(model, tmp_path / "m.gatecast")).fit(prices())
        np.testing.assert_array_equal(again.predict(4).mean, model.predict(4).mean)


def test_gaps_in_newer_data_are_filled_by_the_rule_they_come_with():
    model = network("gru:2", recipe=QUICK).fit(prices())
    newer = changed(prices(170), slice(160, 162), np.nan)
    assert np.isfinite(model.one_step(newer).mean).all()
    with pytest.raises(DataError, match="has no value at"):
        model.one_step(replace(newer, fill="error"))


@pytest.mark.parametrize("method", [Baseline("naive"), Ridge(), network("gru:2", recipe=QUICK)])
def test_calibration_uses_observed_truths_and_no_later_value(method):
    rng = np.random.default_rng(0)
    gappy = changed(prices(400), rng.choice(np.arange(5, 399), 120, replace=False), np.nan, fill="linear")
    held = np.isfinite(gappy.values[360:, 0]).sum()
    assert len(method.fit(gappy).calibration_.scores) == held
    assert held < 40


def test_the_last_value_reaches_the_calibration_of_its_own_row_alone():
    gaps = changed(prices(400), [380, 381, 385, 398], np.nan, fill="linear")
    scores = [
        np.round(Baseline("naive").fit(changed(gaps, 399, value, fill="linear")).calibration_.scores, 12)
        for value in (50.0, 60.0)
    ]
    assert len(set(scores[0]) - set(scores[1])) == 1
    assert len(set(scores[1]) - set(scores[0])) == 1


def test_columns_that_begin_late_are_left_to_whoever_asks_for_them():
    late = changed(prices(), slice(0, 20), np.nan, column=1)
    assert "Low" not in Forecaster(members=1, recipe=QUICK).fit(late).plan_.columns
    assert leaderboard(late, "30 rows", []).boards[0].row("ridge")
    with pytest.raises(DataError, match=r"'Low' has no value at .* nothing precedes it"):
        network("gru:2", inputs="Low").fit(late)


def test_the_season_asked_for_reaches_every_rule():
    board = leaderboard(waves(), "30 rows", ["auto"], season=14).boards[0]
    assert board.season == 14
    assert board.train.calendar.season == 14
    assert board.row("auto").model.plan_.lookback == 24  # max(24, min(2 * 14, 96)) is 28, cut to a fifth of 120 rows


def test_baselines_that_lack_rows_are_left_out():
    short = series_panel(np.arange(24.0)[:, None], np.arange(24), ("y",), Calendar("step"))
    names = {row.name for row in leaderboard(short, "6 rows", []).boards[0].rows}
    assert names == {"naive", "drift", "moving_average"}
    names = {row.name for row in leaderboard(waves(), "30 rows", [], season=364).boards[0].rows}
    assert "seasonal_naive" not in names


def test_data_of_another_series_are_refused():
    model = network("gru:2", recipe=QUICK).fit(prices())
    with pytest.raises(DataError, match="another series, or a revised one"):
        model.one_step(prices(170, seed=9))
    with pytest.raises(DataError, match="before the model's history"):
        model.predict(3, prices(100))
    counted = series_panel(prices(170).values, np.arange(170), prices().columns, Calendar("step"))
    with pytest.raises(DataError, match="no rows on the time axis"):
        model.predict(3, counted)


def test_a_test_span_without_any_truth_is_refused():
    with pytest.raises(DataError, match="no value of 'High' is known in the test span"):
        leaderboard(changed(prices(), slice(145, 150), np.nan), "5 rows", [])


def test_a_day_in_the_test_span_does_not_change_the_calendar_of_the_training_span():
    times = np.append(prices().times[:-1], prices().times[-2] + np.timedelta64(1, "D"))
    times[-1] = np.datetime64("2020-07-25", "ns") if times[-1] < np.datetime64("2020-07-25", "ns") else times[-1]
    panel = replace(prices(), times=times, calendar=Calendar("D"))
    assert leaderboard(panel, "20 rows", []).boards[0].season == 1


def test_an_even_number_of_seeds_shows_the_higher_middle():
    board = leaderboard(waves(), "30 rows", [network("gru:2", recipe=QUICK)], seeds=(0, 1)).boards[0]
    row = board.row("gru:2")
    assert row.shown.scores.rmse == row.spread()[0] == max(run.scores.rmse for run in row.runs)


def test_settings_that_nothing_would_read_are_refused():
    for wrong in ({"optimiser": "adam", "momentum": 0.9}, {"optimiser": "keras-sgd", "weight_decay": 0.1}):
        with pytest.raises(SpecError, match="expected 0"):
            Training(**wrong)
    for wrong in ({"clip": -1.0}, {"weight_decay": -1.0}, {"holdout": 1.0}, {"epochs": 0}):
        with pytest.raises(SpecError, match="expected"):
            Training(**wrong)
    with pytest.raises(SpecError, match="baselines are always on the leaderboard"):
        leaderboard(waves(), "30 rows", [Baseline("naive")])
    with pytest.raises(ForecastError, match="0 steps asked for"):
        network("gru:2", recipe=QUICK).fit(waves()).free_run(0)


def test_a_free_run_from_before_the_first_whole_window_is_refused():
    model = Baseline("seasonal_naive", 12).fit(waves(50))
    with pytest.raises(ForecastError, match="12 rows up to every origin are read; the first has 4"):
        model.free_runs(None, np.array([3]), 1)


def test_the_same_stack_twice_is_refused():
    with pytest.raises(SpecError, match="a stack is named twice"):
        network("gru:4+gru:4").fit(waves(60))


def test_what_is_no_file_is_not_replaced_and_a_link_stays_one(tmp_path):
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    file.write_bytes(b"old")
    with pytest.raises(GatecastError, match="pipe' cannot be written: it is no file"):
        write_atomic(pipe, b"new")
    with pytest.raises(GatecastError, match="there is no such folder"):
        write_atomic(tmp_path / "no" / "file", b"new")
    write_atomic(link, b"new")
    assert pipe.is_fifo() and link.is_symlink() and file.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 3
