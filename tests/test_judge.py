"""Scores, significance, facts about free runs and the sentences made of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gatecast.data.calendar import Calendar
from gatecast.data.synthetic import ramp, random_walk
from gatecast.errors import DataError, SpecError
from gatecast.forecast.plan import Recipe
from gatecast.forecast.result import Band
from gatecast.judge.board import Comparison
from gatecast.judge.freerun import free_run_facts
from gatecast.judge.leaderboard import leaderboard
from gatecast.judge.metrics import coverage, score
from gatecast.judge.significance import diebold_mariano, holm
from gatecast.judge.verdict import one_step_verdict
from models import network, prices, waves

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("season", [1, 7])
def test_scores_follow_their_definitions(season):
    y, f, train = RNG.normal(5, 2, 40), RNG.normal(5, 2, 40), RNG.normal(5, 2, 90)
    found = score(y, f, train, season)
    assert found.rmse == pytest.approx(math.sqrt(np.mean((y - f) ** 2)))
    assert found.mae == pytest.approx(np.mean(np.abs(y - f)))
    assert found.mase == pytest.approx(np.mean(np.abs(y - f)) / np.mean(np.abs(train[season:] - train[:-season])))
    assert found.smape == pytest.approx(np.mean(200 * np.abs(y - f) / (np.abs(y) + np.abs(f))))
    assert found.count == 40


def test_mase_is_undefined_on_a_constant_or_too_short_training_span():
    y = np.arange(3.0)
    assert score(y, y, np.full(20, 4.0), 1).mase is None
    assert score(y, y, np.arange(5.0), 7).mase is None


def test_coverage_counts_scored_truths_inside():
    band = Band(80.0, np.zeros(4), np.ones(4))
    scored = np.array([True, True, True, False])
    assert coverage(np.array([0.5, 1.0, 1.1, 0.5]), (band,), scored) == ((80.0, pytest.approx(200 / 3)),)


def test_diebold_mariano_at_horizon_one_is_a_t_test_of_the_loss_difference():
    """Outside witness: for h = 1 the corrected statistic equals scipy's one-sample t of e^2 - r^2."""
    e, r = RNG.normal(0, 1, 60), RNG.normal(0, 1.3, 60)
    found = diebold_mariano(e, r)
    witness = stats.ttest_1samp(e**2 - r**2, 0.0)
    assert found == pytest.approx((witness.statistic, witness.pvalue))
    assert diebold_mariano(r, e)[0] == pytest.approx(-found[0])


def test_diebold_mariano_holds_its_size():
    rng = np.random.default_rng(0)
    rejected = [diebold_mariano(*rng.normal(0, 1, (2, 50)))[1] < 0.05 for _ in range(2000)]
    assert 0.03 < np.mean(rejected) < 0.07


def test_diebold_mariano_is_undefined_where_the_difference_is_constant():
    ones = np.ones(9)
    assert diebold_mariano(ones, ones) is None
    assert diebold_mariano(2 * ones, ones) is None
    assert diebold_mariano(np.ones(1), np.zeros(1)) is None


def test_holm_by_hand():
    assert holm([0.04, 0.01, None, 0.03]) == [pytest.approx(0.06), pytest.approx(0.03), None, pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_free_run_facts():
    train = np.array([0.0, 10.0])
    path = np.concatenate([[1.0, 12.0, 3.0], np.full(27, 5.0)])
    facts = free_run_facts(np.zeros(30), path, np.ones(30), train)
    assert (facts.settled_at, facts.left_range_at) == (4, 2)
    np.testing.assert_array_equal(facts.error, np.abs(path))
    np.testing.assert_array_equal(facts.divergence, np.abs(path - 1))
    wave = 5 + np.sin(np.arange(30.0))
    restless = free_run_facts(np.zeros(30), wave, wave, train)
    assert (restless.settled_at, restless.left_range_at) == (None, None)


DAILY = Calendar("D")


@pytest.mark.parametrize(
    ("comparison", "calendar", "expected"),
    [
        (Comparison(12.0, -3.0, 0.01), DAILY, "better than repeating yesterday's value, p = 0.01: RMSE 12.0 % lower"),
        (
            Comparison(-5.0, 3.0, 0.0001),
            Calendar("MS"),
            "worse than repeating the last value, p < 0.001: RMSE 5.0 % higher",
        ),
        (
            Comparison(5.0, -1.0, 0.3),
            DAILY,
            "not better than repeating yesterday's value: RMSE 5.0 % lower, which may be chance (p = 0.3)",
        ),
        (Comparison(0.0, None, None), DAILY, "same as repeating yesterday's value"),
        (Comparison(40.0, None, None), DAILY, "RMSE 40.0 % lower than repeating yesterday's value; test undefined"),
        (Comparison(None, None, None), DAILY, "no comparison: repeating yesterday's value makes no error at all here"),
    ],
)
def test_verdicts_are_true_to_the_numbers(comparison, calendar, expected):
    assert one_step_verdict(comparison, calendar) == expected


def test_a_leaderboard_of_a_ramp_is_won_by_who_extrapolates():
    board = leaderboard(ramp(80), "20 rows", []).boards[0]
    assert board.rows[0].name in ("drift", "ridge")
    assert board.row("naive").shown.scores.rmse == pytest.approx(1.0)
    assert board.row("moving_average").shown.scores.rmse == pytest.approx(3.0)
    assert board.row("naive").verdict == "the yardstick"
    assert "test undefined" in board.row("drift").verdict
    assert board.row("naive").shown.free_scores.rmse == pytest.approx(math.sqrt(np.mean(np.arange(1, 21) ** 2)))
    assert board.row("naive").shown.free_facts.settled_at == 1


def test_a_constant_series_is_judged_without_an_error():
    flat = replace(ramp(80), values=np.full((80, 1), 3.0))
    board = leaderboard(flat, "20 rows", [network("gru:2"), network("lstm:2", recipe=Recipe("logreturn"))]).boards[0]
    assert board.row("naive").shown.scores.rmse == 0
    assert board.row("gru:2").verdict.startswith("no comparison")


def test_nothing_is_found_in_a_random_walk():
    board = leaderboard(random_walk(600, seed=5), "200 rows", []).boards[0]
    assert board.row("ridge").verdict.startswith("not better than repeating the last value")


def test_filled_test_rows_are_inputs_and_never_scored():
    values = prices().values.copy()
    values[130:133, 0] = np.nan
    board = leaderboard(replace(prices(), values=values, fill="last"), "30 rows", []).boards[0]
    assert board.scored.sum() == 27
    row = board.row("naive").shown
    truth = values[120:, 0]
    filled = np.concatenate([values[119:130, 0], np.repeat(values[129, 0], 3), values[133:-1, 0]])
    assert row.scores.count == 27
    assert row.scores.rmse == pytest.approx(math.sqrt(np.nanmean((truth - filled) ** 2)))


def various():
    specs = {"inputs": ("Low",)}, {"recipe": Recipe("logreturn")}
    return ["auto", network("gru:3", **specs[0]), network("lstm:3", **specs[1])]


def test_poisoned_test_rows_change_no_decision_and_no_free_run():
    """The whole pipeline: scaler, transform rule, columns, season, penalty, weights, calibration, free runs."""
    for series in (prices(), waves()):
        poisoned = series.values.copy()
        poisoned[120:] = 1e6 * np.random.default_rng(0).uniform(1, 2, poisoned[120:].shape)
        clean = leaderboard(series, "30 rows", various()).boards[0]
        dirty = leaderboard(replace(series, values=poisoned), "30 rows", various()).boards[0]
        for row in clean.rows:
            other = dirty.row(row.name)
            np.testing.assert_array_equal(row.shown.free_run.mean, other.shown.free_run.mean)
            assert row.shown.one_step.mean[0] == other.shown.one_step.mean[0]
            assert row.summary == other.summary
            assert row.shown.losses == other.shown.losses


def test_early_start_begins_one_row_before_the_test_span():
    panel = ramp(60)
    plain, early = (
        leaderboard(panel, "10 rows", [], early_start=e).boards[0].row("drift").shown for e in (False, True)
    )
    np.testing.assert_allclose(plain.free_run.mean, np.arange(50.0, 60))
    np.testing.assert_allclose(early.free_run.mean, np.arange(49.0, 59))
    np.testing.assert_array_equal(early.free_run.times, plain.free_run.times)


def test_seeds_are_kept_apart_and_the_median_is_shown():
    board = leaderboard(waves(), "30 rows", [network("gru:3")], seeds=3).boards[0]
    row = board.row("gru:3")
    values = sorted(run.scores.rmse for run in row.runs)
    assert len(set(values)) == 3
    assert [run.seed for run in row.runs] == [0, 1, 2]
    assert row.shown.scores.rmse == values[1]
    assert row.spread() == (values[1], values[0], values[2])


def test_a_refused_free_run_is_a_row_with_its_reason():
    model = network("gru:3", inputs=("Low",), recipe=Recipe(predicts="target"))
    row = leaderboard(waves(), "30 rows", [model]).boards[0].row("gru:3")
    assert row.shown.free_run is None
    assert row.free_verdict == "no free run: the model reads 2 columns and predicts 1 of them"
    assert row.spread(free=True) is None


def test_bad_questions_are_refused_before_anything_is_trained():
    with pytest.raises(DataError, match="leaves 0 rows"):
        leaderboard(prices(), "1999-01-01")
    with pytest.raises(DataError, match="0 to test in"):
        leaderboard(prices(), "2030-01-01")
    with pytest.raises(SpecError, match="two models are called gru:3"):
        leaderboard(prices(), "20%", ["gru:3", "gru:3"])
    with pytest.raises(SpecError, match="did you mean 'lstm'"):
        leaderboard(prices(), "20%", ["lstn:3"])
    with pytest.raises(DataError, match=r"has 120 rows .* needs \d+"):
        leaderboard(prices(), "30 rows", [network("gru:3", lookback=200)])


def test_free_run_verdicts_count_every_seed():
    board = leaderboard(waves(), "30 rows", [network("gru:3")], seeds=3).boards[0]
    row, flat = board.row("gru:3"), board.row("naive").shown.free_scores.rmse
    errors = [run.free_scores.rmse for run in row.runs]
    nearer = sum(error < 0.99 * flat for error in errors)
    assert row.free_verdict.startswith(f"nearer to the truth than a flat line with {nearer} of 3 seeds")
    assert f"{min(errors):.4g} to {max(errors):.4g} against {flat:.4g}" in row.free_verdict
    assert "one trajectory" in board.row("ridge").free_verdict
