"""The global model: what decides its forecasts and what may not, on a small panel of seasonal series."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gatecast.data.calendar import Calendar
from gatecast.data.read import read
from gatecast.edge import container
from gatecast.edge.save import KIND, load, save
from gatecast.errors import DataError, ForecastError, ModelFileError, SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import against_rival, batch_for, candidates_for, sizes_for, steps_for
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.prepare.given import bare
from gatecast.train.lockstep import QUANTILES
from panels import monthly, shorten


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch)


FRAME = monthly()


def fitted(frame=FRAME, h=6, **options):
    return GlobalForecaster(h).fit(frame, **options)


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return fitted()


@pytest.fixture(scope="module")
def forecasts(model):
    return model.predict()


def test_the_same_seed_gives_the_same_bits_and_the_input_stays_as_it_is(forecasts):
    frame = FRAME.copy()
    again = fitted(frame)
    pd.testing.assert_frame_equal(again.predict(), forecasts, check_exact=True)
    pd.testing.assert_frame_equal(again.predict(), forecasts, check_exact=True)
    pd.testing.assert_frame_equal(frame, FRAME, check_exact=True)
    assert not np.array_equal(fitted(seed=1).predict()["Gatecast"], forecasts["Gatecast"])


def test_the_order_of_rows_and_series_changes_nothing(forecasts):
    shuffled = FRAME.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(fitted(shuffled).predict(), forecasts, check_exact=True)


def test_a_change_of_unit_changes_the_unit_of_the_forecast(forecasts):
    scaled = fitted(FRAME.assign(y=64 * FRAME["y"])).predict()
    np.testing.assert_allclose(scaled["Gatecast"], 64 * forecasts["Gatecast"], rtol=1e-3)


def test_forecasts_follow_the_last_row_of_every_series(forecasts):
    assert list(forecasts.columns) == ["unique_id", "ds", "Gatecast"]
    assert forecasts["unique_id"].tolist() == [f"s{s}" for s in range(5) for _ in range(6)]
    dates = pd.date_range(FRAME["ds"].max(), periods=7, freq="MS")[1:]
    assert forecasts["ds"].tolist() == [*dates] * 5


@pytest.mark.parametrize(("poison", "by"), [(1e9, "date"), (-1e9, "series")])
def test_no_fold_of_a_backtest_sees_what_it_is_judged_by(poison, by):
    model = GlobalForecaster(6)
    honest = model.cross_validation(FRAME, n_windows=2, level=[80], by=by)
    late = FRAME.copy()
    late.loc[FRAME["ds"] >= FRAME["ds"].max() - pd.DateOffset(months=5), "y"] = poison
    poisoned = model.cross_validation(late, n_windows=2, level=[80], by=by)
    columns = ["unique_id", "ds", "cutoff", "Gatecast", "Gatecast-lo-80", "Gatecast-hi-80"]
    pd.testing.assert_frame_equal(poisoned[columns], honest[columns], check_exact=True)
    assert honest.groupby("cutoff").size().tolist() == [30, 30]
    merged = honest.merge(FRAME, on=["unique_id", "ds"])
    assert len(merged) == 60 and (merged["y_x"] == merged["y_y"]).all() and (merged["ds"] > merged["cutoff"]).all()
    assert not hasattr(model, "given_"), "a backtest leaves its model alone"


def test_the_newest_value_of_a_series_moves_every_step_of_its_forecast(model):
    panel = model.panel_
    moved = panel.values.copy()
    moved[panel.indptr[1:] - 1] *= 1.1
    for part in model.parts_:
        after = part.over(bare(replace(panel, values=moved), 6), part.units)
        for group in range(len(part.nets)):
            assert (part.paths(np.arange(5), group=group) != after.paths(np.arange(5), group=group)).all()


def test_a_model_without_a_season_is_loaded_too(tmp_path):
    yearly = FRAME.assign(ds=FRAME.groupby("unique_id").cumcount())
    model = fitted(yearly, h=2)
    again = load(save(model, tmp_path / "yearly.gatecast"))
    pd.testing.assert_frame_equal(again.predict(), model.predict(), check_exact=True)


def test_a_loaded_model_forecasts_the_same_bits_and_a_damaged_one_is_refused(model, tmp_path):
    path = save(model, tmp_path / "panel.gatecast")
    again = load(path)
    pd.testing.assert_frame_equal(again.predict(level=[80]), model.predict(level=[80]), check_exact=True)
    assert again.rules_ == model.rules_ and again.choices_ == model.choices_
    assert save(again, tmp_path / "twin.gatecast").read_bytes() == path.read_bytes()
    tensors, facts = container.read(path, KIND)
    huge = {**facts, "sizes": {**facts["sizes"], "lookback": 10**9}}
    with pytest.raises(ModelFileError, match="do not fit weights"):
        load(container.write(tmp_path / "huge.gatecast", KIND, tensors, huge))
    for name in ("part.0.0.out", "static", "panel.indptr"):
        lies = {**tensors, name: tensors[name][:1]}
        with pytest.raises(ModelFileError, match="does not describe a model"):
            load(container.write(tmp_path / "lie.gatecast", KIND, lies, facts))


def test_missing_values_are_masked_and_only_missing_ones_are_an_error(forecasts):
    holes = FRAME.copy()
    holes.loc[holes.index % 17 == 3, "y"] = np.nan
    found = fitted(holes).predict()["Gatecast"]
    assert np.isfinite(found).all() and not np.array_equal(found, forecasts["Gatecast"])
    np.testing.assert_allclose(found, forecasts["Gatecast"], rtol=0.25)
    empty = pd.concat([FRAME, pd.DataFrame({"unique_id": "empty", "ds": FRAME["ds"][:9], "y": np.nan})])
    with pytest.raises(DataError, match="empty"):
        fitted(empty)


def test_targets_missing_at_the_start_of_every_series_are_left_out_and_at_the_end_masked(forecasts):
    row, back = FRAME.groupby("unique_id").cumcount(), FRAME.groupby("unique_id").cumcount(ascending=False)
    late = FRAME[row >= 5]
    found = fitted(FRAME.assign(y=FRAME["y"].where(row >= 5))).predict()
    pd.testing.assert_frame_equal(found, fitted(late).predict(), check_exact=True)
    ended = fitted(FRAME.assign(y=FRAME["y"].where(back >= 2))).predict()
    pd.testing.assert_series_equal(ended["ds"], forecasts["ds"])
    assert np.isfinite(ended["Gatecast"]).all()


def test_series_shorter_than_the_window_are_forecast_too():
    short = pd.concat([FRAME, FRAME[FRAME["unique_id"] == "s0"].tail(4).assign(unique_id="short")])
    found = fitted(short).predict()
    ahead = found[found["unique_id"] == "short"]["Gatecast"]
    assert len(ahead) == 6 and np.isfinite(ahead).all()


@pytest.mark.parametrize(("rows", "h"), [(12, 4), (7, 3), (6, 2)])
def test_a_panel_too_short_for_the_recursive_rival_is_learned_without_it(rows, h):
    short = FRAME.groupby("unique_id").head(rows)
    assert np.isfinite(fitted(short, h).predict()["Gatecast"]).all()
    with pytest.raises(DataError, match="no series is long enough"):
        SamplingForecaster(h).fit(short)


def test_polars_in_polars_out(forecasts):
    found = fitted(pl.from_pandas(FRAME)).predict(level=[80])
    assert isinstance(found, pl.DataFrame)
    np.testing.assert_array_equal(found["Gatecast"].to_numpy(), forecasts["Gatecast"])


def test_bounds_lie_around_the_forecast_and_wider_levels_outside(model):
    found = model.predict(level=[50, 80])
    columns = [f"Gatecast{end}" for end in ("-lo-80", "-lo-50", "-hi-50", "-hi-80")]
    assert set(columns) < set(found.columns)
    assert (np.diff(found[columns].to_numpy(), axis=1) >= 0).all()
    quantiles = model.predict(quantiles=(0.1, 0.9))
    np.testing.assert_array_equal(quantiles["Gatecast-q-0.1"], found["Gatecast-lo-80"])
    with pytest.raises(ForecastError, match="one of them"):
        model.predict(level=[80], quantiles=(0.5,))
    with pytest.raises(ForecastError, match="no level"):
        model.predict(level=[0.9, 120])


def test_it_says_what_it_decided_and_refuses_what_it_cannot_do(model):
    text = " ".join(model.rules_)
    assert "season 12" in text and "log/lstm" in text and "MASE" in text
    with pytest.raises(ForecastError, match="fit"):
        GlobalForecaster(3).predict()
    with pytest.raises(SpecError, match="h=0"):
        GlobalForecaster(0)


# -- data as they come ------------------------------------------------------------------------------------------------


def test_rows_that_are_not_there_count_as_missing_values():
    holes = FRAME.index % 17 == 3
    masked = fitted(FRAME.assign(y=FRAME["y"].where(~holes))).predict()
    pd.testing.assert_frame_equal(fitted(FRAME[~holes]).predict(), masked, check_exact=True)


def test_a_series_below_zero_keeps_its_sign(model):
    below = pd.concat([FRAME, FRAME[FRAME["unique_id"] == "s0"].assign(unique_id="below", y=lambda f: -f["y"])])
    signed = fitted(below)
    found = signed.predict()
    assert (found[found["unique_id"] == "below"]["Gatecast"] < -5).all()
    assert "negative" in signed.rules_[1]
    with pytest.raises(DataError, match="negative"):
        model.predict(below[below["unique_id"] == "below"])


@pytest.mark.parametrize("rows", [14, 40])
def test_an_error_counts_once_whether_one_horizon_judges_or_two(rows):
    few = FRAME.groupby("unique_id").tail(rows)
    model = fitted(few)
    horizons = 2 if rows >= 36 else 1
    assert model.scores_.values.shape == (5 * horizons, 6, len(QUANTILES))
    assert ("2 times 6 rows" in model.rules_[2]) == (horizons == 2)


@pytest.mark.parametrize("rows", [7, 13, 20, 30])
def test_few_rows_are_enough_and_too_few_are_an_error_that_says_so(rows):
    few = FRAME.groupby("unique_id").tail(rows)
    if rows < 6 + 4:
        with pytest.raises(DataError, match=f"{rows} rows, too few to hold back 6"):
            fitted(few)
    else:
        assert np.isfinite(fitted(few).predict()["Gatecast"]).all()


def test_a_series_that_hardly_moves_does_not_decide():
    still = FRAME[FRAME["unique_id"] == "s1"].assign(unique_id="still", y=0.3)
    still.iloc[20, 2] = 0.1 + 0.2
    model = fitted(pd.concat([FRAME, still]))
    assert all(choice.mase < 10 for choice in model.choices_)
    found = model.predict(level=[50])
    np.testing.assert_allclose(found[found["unique_id"] == "still"]["Gatecast"], 0.3, atol=0.01)


def test_newer_rows_and_other_series_follow_the_models_calendar():
    model = fitted(FRAME, h=3)
    two = FRAME[FRAME["unique_id"] == "s2"].tail(2).assign(unique_id="new")
    assert len(model.predict(two)) == 3
    daily = pd.DataFrame({"unique_id": "d", "ds": pd.date_range("2020-01-02", periods=50), "y": 1.0})
    with pytest.raises(DataError, match=r"'d'.*calendar: monthly"):
        model.predict(daily)


def test_series_that_are_numbered_come_back_as_numbers():
    numbered = FRAME.assign(unique_id=FRAME["unique_id"].str[1:].astype(int))
    found = fitted(numbered).predict()
    assert len(found.merge(numbered, on="unique_id")) == 6 * len(FRAME)


def test_arguments_that_are_no_counts_are_refused_before_any_work():
    assert GlobalForecaster(np.int64(6)).h == 6
    with pytest.raises(SpecError, match="season=-1"):
        GlobalForecaster(6, season=-1)
    with pytest.raises(SpecError, match="n_windows=0"):
        GlobalForecaster(6).cross_validation(FRAME, n_windows=0)
    with pytest.raises(ForecastError, match="no level"):
        GlobalForecaster(6).cross_validation(FRAME, level=120)
    with pytest.raises(DataError, match="give away"):
        GlobalForecaster(60).cross_validation(FRAME, n_windows=2)


# -- rules ------------------------------------------------------------------------------------------------------------

# frequency -> (season, look-back, anchors, stride, long lag) of 1200 rows and a horizon of 7
RULES = {
    "YS": (1, 14, 12, 1, 0),
    "QS": (4, 12, 12, 1, 0),
    "MS": (12, 36, 24, 1, 0),
    "W-SUN": (1, 65, 26, 1, 52),
    "B": (1, 14, 12, 1, 0),
    "D": (7, 112, 28, 1, 364),
    "h": (24, 336, 4, 24, 0),
    "30min": (48, 672, 4, 48, 0),
    "min": (1440, 2880, 4, 1440, 0),
    "step": (1, 14, 12, 1, 0),
}


@pytest.mark.parametrize("h", [1, 52, 53, 105])
def test_the_long_lag_is_whole_years_and_reaches_back_over_the_horizon(h):
    times = pd.date_range("1990-01-07", periods=600, freq="W")
    sizes, _ = sizes_for(bare(read(pd.DataFrame({"ds": times, "y": np.arange(600.0)})), h), h)
    assert sizes.long_lag % 52 == 0 and sizes.long_lag >= h


@pytest.mark.parametrize(("freq", "expected"), RULES.items(), ids=RULES)
def test_sizes_follow_the_frequency(freq, expected):
    rows = 200 if freq == "YS" else 1200 if freq != "QS" else 800
    times = np.arange(rows) if freq == "step" else pd.date_range("1900-01-01", periods=rows, freq=freq)
    panel = read(pd.DataFrame({"ds": times, "y": np.arange(1.0, rows + 1)}))
    sizes, why = sizes_for(bare(panel, 7), 7)
    assert (sizes.season, sizes.lookback, sizes.anchors, sizes.stride, sizes.long_lag) == expected
    assert f"season {sizes.season}" in why
    assert batch_for(sizes) == (96 if sizes.stride > 1 else 32)


def test_candidates_follow_the_sign_and_steps_the_amount(monkeypatch):
    monkeypatch.undo()
    assert len(candidates_for(read(FRAME))[0]) == 2
    dry = FRAME.assign(y=FRAME["y"].where(FRAME.index % 20 > 0, 0.0))
    chosen, why = candidates_for(read(dry))
    assert [each.transform for each in chosen] == ["scale"] and "5 %" in why
    assert "negative" in candidates_for(read(FRAME.assign(y=FRAME["y"].where(FRAME.index > 0, -1.0))))[1]
    panel = read(FRAME)
    assert steps_for(panel) == 400
    assert panel.calendar == Calendar("MS")


# -- later origins ----------------------------------------------------------------------------------------------------


def test_origins_without_refit_read_the_whole_panel_and_give_what_each_would_give_alone():
    model = GlobalForecaster(6)
    found = model.cross_validation(FRAME, n_windows=3, step_size=2, refit=False, level=80)
    first = found["cutoff"].min()
    alone = fitted(FRAME[FRAME["ds"] <= first])
    columns = ["Gatecast", "Gatecast-lo-80", "Gatecast-hi-80"]
    block = found[found["cutoff"] == first].reset_index(drop=True)
    np.testing.assert_allclose(block[columns], alone.predict(level=80)[columns], rtol=2e-6)
    late = FRAME["ds"] > FRAME["ds"].max() - pd.DateOffset(months=6)
    wild = model.cross_validation(FRAME.assign(y=FRAME["y"].where(~late, 1e9)), n_windows=3, step_size=2, refit=False)
    assert (wild.loc[found["cutoff"] == first, "Gatecast"] == found.loc[found["cutoff"] == first, "Gatecast"]).all()
    assert (wild.loc[wild.index >= 60, "Gatecast"] == found.loc[found.index >= 60, "Gatecast"]).all()
    assert found["cutoff"].nunique() == 3 and len(found) == 90


# season, horizon, past columns -> whether the recursive network competes
FREE = {
    (12, 13, 0): True,
    (12, 14, 0): False,
    (1, 13, 0): True,
    (24, 16, 0): True,
    (24, 17, 0): False,
    (12, 6, 1): False,
}


@pytest.mark.parametrize(("given", "free"), FREE.items())
def test_a_recursive_network_competes_over_a_season_or_so(given, free):
    assert (against_rival(*given) == "") == free


def test_the_recursive_network_forecasts_where_it_was_better_and_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("gatecast.forecast.panels.direct.RIVAL_SHARE", np.inf)
    model = fitted(h=3)
    assert "(chosen)" in model.rules_[2] and not model.parts_
    found = model.predict(level=80)
    pd.testing.assert_frame_equal(load(save(model, tmp_path / "m.gatecast")).predict(level=80), found, check_exact=True)
    newest = FRAME.assign(y=FRAME["y"].where(FRAME.duplicated("unique_id", keep="last"), 2 * FRAME["y"]))
    assert (model.predict(newest)["Gatecast"] != found["Gatecast"]).all()
    once = model.cross_validation(FRAME, n_windows=2, step_size=2, refit=False)
    assert len(once) == 30 and np.isfinite(once["Gatecast"]).all()
