"""Rolling origins and what is made of them: the cuts, the scores by hand, the bootstrap, the sentences."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from gatecast.data.read import read
from gatecast.data.synthetic import ramp, sine
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.baselines import METHODS, global_method
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.judge.backtest import Skill, backtest, block_bootstrap
from gatecast.judge.blocks import block_means, coverages_of
from gatecast.judge.panel_scores import GRID, PROBABILITIES, row_scores
from gatecast.prepare.split import Origins, kind_of_cut, origins
from gatecast.train.lockstep import QUANTILES
from panels import monthly, shorten

FRAME = monthly()


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch)


# -- origins ----------------------------------------------------------------------------------------------------------


def ragged():
    """Series of 30, 30 and 8 months; the second ends five months early."""
    dates = pd.date_range("2020-01-01", periods=30, freq="MS")
    pieces = {"a": dates, "b": dates[:25].union(pd.date_range("2019-08-01", periods=5, freq="MS")), "c": dates[-8:]}
    return read(pd.concat([pd.DataFrame({"unique_id": n, "ds": d, "y": 1.0}) for n, d in pieces.items()]))


def test_a_date_is_the_same_for_all_and_a_series_counts_its_own_rows():
    panel = ragged()
    dated = origins(panel, 6, Origins(2, 3, "date"))
    assert [cut.kept.tolist() for cut in dated] == [[21, 26, 0], [24, 29, 2]]
    assert [cut.judged.tolist() for cut in dated] == [[0, 1], [0, 1, 2]]
    own = origins(panel, 6, Origins(2, 3, "series"))
    assert [cut.kept.tolist() for cut in own] == [[21, 21, 0], [24, 24, 2]]
    chosen = origins(panel, 6, Origins(2, 3))
    assert all((cut.kept == other.kept).all() for cut, other in zip(chosen, dated, strict=True))


def test_counters_have_no_common_date_and_too_many_windows_are_an_error():
    counted = read(pd.DataFrame({"unique_id": [*"aaaaaabbb"], "ds": [*range(6), *range(3)], "y": 1.0}))
    assert origins(counted, 2, Origins())[0].kept.tolist() == [4, 1]
    with pytest.raises(DataError, match="9 rows to give away for 4 origins of 3"):
        origins(ramp(9), 3, Origins(4, 2))


def test_no_origin_and_no_step_are_refused():
    for wrong in ({"n_windows": 0}, {"step_size": 0}):
        with pytest.raises(SpecError, match="at least one window"):
            Origins(**wrong)


# -- scores -----------------------------------------------------------------------------------------------------------


def test_scores_of_rows_are_what_their_definitions_say():
    rng = np.random.default_rng(0)
    y, f, scale = rng.uniform(1, 9, 50), rng.uniform(1, 9, 50), rng.uniform(0.5, 2, 50)
    y[7] = np.nan
    bounds = {f"m-{name}": f + 4 * (p - 0.5) for name, p in PROBABILITIES.items()}
    found = row_scores(pd.DataFrame({"y": y, "scale": scale, "m": f, **bounds}), "m")
    for i in (0, 7, 20):
        crps = np.mean([2 * max(p * (y[i] - q), (p - 1) * (y[i] - q)) for p in GRID for q in [f[i] + 4 * (p - 0.5)]])
        inside = 100.0 * (abs(y[i] - f[i]) <= 1.6) if i != 7 else np.nan
        expected = [abs(y[i] - f[i]) / scale[i], crps / scale[i], 200 * abs(y[i] - f[i]) / (y[i] + f[i]), inside]
        names = ("MASE", "CRPS", "sMAPE", "coverage 80")
        np.testing.assert_allclose([found[name][i] for name in names], expected, rtol=1e-12)


def test_the_crps_of_quantiles_is_the_integral_between_the_outer_ones():
    y = np.linspace(-2, 2, 9)
    bounds = {f"m-{name}": np.full(9, stats.norm.ppf(p)) for name, p in PROBABILITIES.items()}
    found = row_scores(pd.DataFrame({"y": y, "scale": 1.0, "m": 0.0, **bounds}), "m")["CRPS"]

    def doubled(p, value):
        return 2 * max(p * (value - stats.norm.ppf(p)), (p - 1) * (value - stats.norm.ppf(p)))

    exact = [integrate.quad(doubled, 0.05, 0.95, args=(each,))[0] / 0.9 for each in y]
    np.testing.assert_allclose(found, exact, rtol=0.015)  # the midpoint rule on nine points


def test_tables_are_means_over_series_and_origins():
    found = backtest(global_method("drift", 4), FRAME, Origins(3, 2))
    table = found.scores().set_index("model")
    assert list(table.index) == ["drift", "seasonal_naive", "global_ridge"]
    mine = found.frame.assign(off=lambda f: (f["y"] - f["drift"]).abs())
    assert np.isclose(table.loc["drift", "MAE"], mine["off"].mean())
    assert np.isclose(table.loc["drift", "RMSE"], np.sqrt((mine["off"] ** 2).mean()))
    steps = found.scores(["step"])
    assert len(steps) == 3 * 4 and np.isclose(steps["MAE"].mean(), table["MAE"].mean())
    assert len(found.scores(["unique_id", "cutoff"])) == 3 * 5 * 3


# -- baselines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_to_the_frames_and_the_order_of_quantiles(name):
    frame = FRAME.copy()
    model = global_method(name, 4).fit(frame)
    found = model.predict(level=[80, 95])
    bounds = [f"{name}-{end}" for end in ("lo-95", "lo-80", "hi-80", "hi-95")]
    assert list(found.columns[:3]) == ["unique_id", "ds", name] and set(bounds) < set(found.columns)
    assert (np.diff(found[bounds].to_numpy(), axis=1) >= 0).all()
    pd.testing.assert_frame_equal(frame, FRAME, check_exact=True)
    once = model.cross_validation(FRAME, n_windows=2, step_size=3, refit=False)
    late = FRAME["ds"] >= FRAME["ds"].max() - pd.DateOffset(months=3)
    again = model.cross_validation(FRAME.assign(y=FRAME["y"].where(~late, 5.0)), n_windows=2, step_size=3, refit=False)
    pd.testing.assert_series_equal(once[name], again[name], check_exact=True)


def test_baselines_continue_what_they_are_made_for():
    assert np.allclose(global_method("drift", 5).fit(ramp(40)).predict()["drift"], np.arange(40.0, 45.0))
    season = sine(48, period=12)
    naive = global_method("seasonal_naive", 15, season=12).fit(season).predict()["seasonal_naive"].to_numpy()
    np.testing.assert_array_equal(naive, np.tile(season.values[-12:, 0], 2)[:15])


def test_a_classic_without_its_package_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "statsforecast", None)
    model = global_method("AutoETS", 3)
    with pytest.raises(SpecError, match="statsforecast") as told:
        model.fit(FRAME).predict()
    assert "gatecast[classics]" in told.value.hint
    with pytest.raises(SpecError, match="did you mean 'AutoETS'"):
        global_method("autoets", 3)


# -- what is concluded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "backend"), [("Gatecast", "threading"), ("global_ridge", "loky")])
def test_folds_at_once_give_the_same_numbers(name, backend):
    model = global_method(name, 4)
    alone = model.cross_validation(FRAME, n_windows=2)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        pd.testing.assert_frame_equal(model.cross_validation(FRAME, n_windows=2), alone, check_exact=True)


def test_the_bootstrap_draws_neighbours_together():
    pairs = np.column_stack([np.repeat([1.0, 3.0], 20), np.full(40, 2.0)])
    wide, narrow = (np.ptp(np.percentile(block_bootstrap(pairs, b), [2.5, 97.5])) for b in (10, 1))
    assert wide > 1.5 * narrow
    same = block_bootstrap(np.column_stack([np.arange(1.0, 31), 2 * np.arange(1.0, 31)]), 4)
    np.testing.assert_allclose(same, 50.0)


def test_a_skill_is_drawn_from_origins_or_series_or_not_at_all():
    many = backtest(global_method("drift", 2), monthly(series=3, years=10), Origins(20, 1))
    assert "moving blocks of 3 of 20 origins" in many.skills()[0].how
    wide = backtest(global_method("drift", 2), monthly(series=12), Origins(1, 1))
    assert "drawn from 12 series, as if they were independent" in wide.skills()[0].how
    assert wide.skills()[0].verdict.startswith("worse: MASE")
    few = backtest(global_method("drift", 2), FRAME)
    assert few.skills()[0].low is None and "too few" in few.skills()[0].verdict


class Normal(GlobalMethod):
    """Says the quantiles of a normal distribution of some width, whatever the data."""

    name = "normal"
    width = 1.0

    def _learn(self, given, seed, horizons, tick):
        return Scores(np.zeros((0, self.h, len(QUANTILES))))

    def _paths(self):
        return np.tile(self.width * stats.norm.ppf(QUANTILES), (len(self.panel_), self.h, 1))


class Overconfident(Normal):
    width = 0.5


class Timid(Normal):
    width = 3.0


@pytest.mark.parametrize(
    ("kind", "word"), [(Normal, "as wide as it says"), (Overconfident, "too narrow"), (Timid, "too wide")]
)
def test_the_band_around_coverage_holds_the_level_of_a_calibrated_model_and_of_no_other(kind, word):
    noise = np.random.default_rng(1).normal(size=300)
    one = pd.DataFrame({"unique_id": "a", "ds": np.arange(300), "y": noise})
    found = backtest(kind(2), one, Origins(100, 2), refit=False)
    own = found.coverages()[:2]
    z = stats.norm.ppf([0.9, 0.975]) * kind.width
    inside = np.abs(noise[100:, None]) <= z
    for coverage, hit in zip(own, inside.T, strict=True):
        assert coverage.held == pytest.approx(100 * hit.mean(), abs=1e-9)
        assert word in coverage.verdict and coverage.within == (word == "as wide as it says")
        assert coverage.how == "moving blocks of 5 of 100 origins"
    assert [each.level for each in own] == [80, 95] and len(found.coverages()) == 2 * len(found.models)


def test_only_a_single_series_with_enough_origins_has_a_band_around_its_coverage():
    one = pd.DataFrame({"unique_id": "a", "ds": np.arange(120), "y": np.random.default_rng(0).normal(size=120)})
    two = pd.concat([one, one.assign(unique_id="b")])
    bands = [backtest(Normal(1), data, Origins(n, 1), refit=False).coverages() for data, n in ((one, 49), (two, 50))]
    assert bands == [(), ()]
    holes = one.assign(y=one["y"].where(one.index != 100))
    assert "of 49 origins" in backtest(Normal(1), holes, Origins(50, 1), refit=False).coverages()[0].how


def test_bands_of_independent_hits_are_those_of_their_binomial_distribution():
    rng, n, p = np.random.default_rng(0), 400, 0.8
    widths, held = [], []
    for hits in rng.random((200, n)) < p:
        low, high = np.percentile(block_means(100.0 * hits[:, None], 1), [2.5, 97.5])
        widths.append(high - low)
        held.append(low <= 100 * p <= high)
    wanted = 100 * np.diff(stats.binom.ppf([0.025, 0.975], n, p) / n).item()
    assert np.mean(widths) == pytest.approx(wanted, rel=0.03)
    assert stats.binomtest(sum(held), 200, 0.95).pvalue > 0.01


def test_hits_that_come_in_runs_have_a_wider_band_than_the_same_hits_in_any_order():
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.random(20) < 0.8, 10)
    rows = pd.DataFrame({"unique_id": "a", "ds": np.arange(200), "origin": np.arange(200), "coverage 95": 100.0})
    spans = []
    for hits in (runs, rng.permutation(runs)):
        eighty = coverages_of("m", rows.assign(**{"coverage 80": 100.0 * hits}))[0]
        assert eighty.held == pytest.approx(100 * runs.mean())
        spans.append(eighty.high - eighty.low)
    assert spans[0] > 1.5 * spans[1]


def test_verdicts_say_what_the_interval_says():
    said = [Skill("m", 5.0, low, high, "x").verdict.split(":")[0] for low, high in ((1.0, 9.0), (-1.0, 9.0))]
    assert said == ["better", "not better"]
    assert Skill("m", -5.0, -9.0, -1.0, "x").verdict == (
        "worse: MASE 5.0 % higher than seasonal_naive (95 % interval of the gain -9.0 to -1.0 %; x)"
    )
    assert "no comparison" in Skill("m", None, None, None, "").verdict


def test_every_model_is_measured_by_the_same_scale_at_every_origin():
    rng = np.random.default_rng(3)
    growing = pd.DataFrame({"unique_id": "a", "ds": np.arange(90), "y": rng.normal(size=90) * np.linspace(1, 9, 90)})
    found = backtest(global_method("global_ridge", 3), growing, Origins(10), refit=False).rows
    scale = (found["MAE"] / found["MASE"]).groupby([found["origin"], found["model"]]).mean().unstack()
    assert scale.shape == (10, 3) and scale.iloc[-1].mean() > 1.2 * scale.iloc[0].mean()
    np.testing.assert_allclose(scale.to_numpy(), np.tile(scale.to_numpy()[:, :1], 3), rtol=1e-12)


def test_origins_that_nearly_all_share_a_truth_give_no_interval_and_no_band():
    one = pd.DataFrame({"unique_id": "a", "ds": np.arange(200), "y": np.random.default_rng(0).normal(size=200)})
    found = backtest(Normal(24), one, Origins(60, 1), refit=False)
    assert all("too few for an interval" in skill.how and skill.low is None for skill in found.skills())
    assert found.coverages() == ()


def test_a_kind_of_origins_that_there_is_not_is_refused():
    with pytest.raises(SpecError, match="unknown kind of cut-off 'serie'"):
        kind_of_cut("serie")
    untyped = object.__new__(Origins)
    object.__setattr__(untyped, "by", "serie")
    with pytest.raises(SpecError, match="unknown kind of cut-off 'serie'"):
        untyped.__post_init__()


def test_a_level_that_neither_the_networks_nor_the_held_back_errors_know_is_refused():
    few = Scores(np.random.default_rng(0).normal(size=(57, 1, len(QUANTILES))))
    assert np.isfinite(few.moved(0.975)).all()
    with pytest.raises(ForecastError, match=r"57 held-back errors are too few for a bound of probability 0\.995"):
        few.moved(0.995)
    many = Scores(np.random.default_rng(0).normal(size=(400, 1, len(QUANTILES))))
    assert many.moved(0.995) > many.moved(0.975)
