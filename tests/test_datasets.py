"""Bundled data sets hold what their descriptions say; synthetic ones have the answers they promise."""

import csv
from pathlib import Path

import numpy as np
import pytest

import gatecast as gc
from gatecast.data.datasets import BUNDLED, DATASETS, SYNTHETIC, dataset, dataset_path
from gatecast.data.synthetic import adding_problem, ar, ramp, random_walk, sine
from gatecast.errors import SpecError
from gatecast.prepare.fill import fill
from gatecast.prepare.split import split

ROOT = Path(__file__).parents[1]
OHLCV = {"Open", "High", "Low", "Close", "Volume"}
TARGETS = {"ibm": "High", "stocks": "High", "seattle_weather": "temp_max", "co2": "co2", "air_passengers": "passengers"}
# name -> rows of each series, span, columns, frequency
FACTS = {
    "ibm": ([3270], "2000-03-01 to 2013-03-01", OHLCV, "B"),
    "stocks": ([3270, 3270, 3270, 2148], "2000-03-01 to 2013-03-01", OHLCV, "B"),
    "seattle_weather": ([1461], "2012-01-01 to 2015-12-31", {"precipitation", "temp_max", "temp_min", "wind"}, "D"),
    "co2": ([2284], "1958-03-29 to 2001-12-29", {"co2"}, "W-SAT"),
    "air_passengers": ([144], "1949-01-01 to 1960-12-01", {"passengers"}, "MS"),
}
REAL_CRASHES = {"AAPL": ["2000-09-29"]}
"""Days on which a price truly moved by more than 0.6 in logs: Apple fell by 52 % after a profit warning."""


def column(panel, name):
    return panel.values[:, panel.columns.index(name)]


@pytest.mark.parametrize("name", DATASETS)
def test_a_bundled_set_has_the_rows_span_and_columns_it_promises(name):
    rows, span, columns, alias = FACTS[name]
    panel = gc.dataset(name)
    assert list(np.diff(panel.indptr)) == rows
    assert panel.span == span
    assert set(panel.columns) == columns
    assert panel.calendar.alias == alias
    assert (panel.source, panel.target) == (name, TARGETS[name])
    assert panel.fill == ("linear" if name == "co2" else "error")
    assert span[:7] in DATASETS[name].description
    assert span[-10:][:7] in DATASETS[name].description
    assert all(str(count) in DATASETS[name].description for count in rows)


def test_series_have_their_names():
    assert dataset("ibm").ids == ("IBM",)
    assert dataset("stocks").ids == ("AAPL", "IBM", "MSFT", "GOOG")
    assert dataset("co2").ids == ("co2",)


@pytest.mark.parametrize("name", DATASETS)
def test_only_co2_has_gaps_and_no_row_is_missing(name):
    panel = dataset(name)
    gaps = np.isnan(panel.values)
    assert gaps.sum() == (59 if name == "co2" else 0)
    assert all(panel.calendar.missing(series.times) == 0 for series in panel)


def test_gaps_of_co2_are_filled_by_a_line_before_the_cut_off_and_by_the_last_value_after_it():
    panel = dataset("co2")
    y = panel.values[:, 0]
    alone = np.flatnonzero(np.isnan(y[1:-1]) & ~np.isnan(y[:-2]) & ~np.isnan(y[2:])) + 1
    gap = alone[y[alone + 1] != y[alone - 1]][-1]
    assert fill(panel).values[gap, 0] == pytest.approx((y[gap - 1] + y[gap + 1]) / 2)
    assert fill(panel, known=int(gap)).values[gap, 0] == y[gap - 1]


def test_business_days_without_a_price_are_holidays_only():
    """A holiday lasts a day. Longer: September 2001, President Ford's mourning after New Year 2007, a storm in 2012."""
    for series in dataset("stocks"):
        days = series.times.astype("datetime64[D]")
        closed = np.busday_count(days[:-1], days[1:]) - 1
        long = {str(day): int(count) for day, count in zip(days[:-1], closed, strict=True) if count > 1}
        early = {"2001-09-10": 4} if series.ids[0] != "GOOG" else {}
        assert long == {**early, "2006-12-29": 2, "2012-10-26": 2}


@pytest.mark.parametrize("name", ["ibm", "stocks"])
def test_prices_are_ordered_and_positive(name):
    panel = dataset(name)
    opening, high, low, close, volume = (column(panel, each) for each in ("Open", "High", "Low", "Close", "Volume"))
    rounding = 1e-4
    assert (high >= np.maximum(opening, close) - rounding).all()
    assert (low <= np.minimum(opening, close) + rounding).all()
    assert low.min() > 0
    assert volume.min() > 0


@pytest.mark.parametrize("series", [*dataset("stocks"), dataset("ibm")], ids=lambda panel: panel.source + panel.ids[0])
def test_no_split_is_left_in_the_prices(series):
    moves = np.abs(np.diff(np.log(column(series, "Close"))))
    large = series.times[1:][moves >= 0.6].astype("datetime64[D]").astype(str)
    assert list(large) == REAL_CRASHES.get(series.ids[0], [])
    assert moves.max() < 0.74


def test_adjusting_keeps_the_shape_of_a_day():
    """High / close of a day is the same in quoted and in adjusted prices, up to the rounding to 4 decimals."""
    quoted, adjusted = dataset("ibm"), dataset("stocks").series("IBM")
    np.testing.assert_array_equal(column(quoted, "Volume"), column(adjusted, "Volume"))
    ratios = [column(panel, "High") / column(panel, "Close") for panel in (quoted, adjusted)]
    np.testing.assert_allclose(*ratios, atol=1e-5)
    factor = column(adjusted, "Close") / column(quoted, "Close")
    assert (np.diff(factor) > -1e-5).all(), "dividends only ever lower the past"
    assert 0.73 < factor[0] < 0.74


def test_values_published_elsewhere():
    passengers = dataset("air_passengers").values[:, 0]
    assert list(passengers[:3]) == [112, 118, 132]
    assert (passengers[-1], passengers.max(), passengers.sum()) == (432, 622, 40363)
    assert column(dataset("ibm"), "Close")[-1] == 202.91
    assert (dataset("co2").values[0, 0], dataset("co2").values[-1, 0]) == (316.1, 371.5)


def test_temperatures_are_in_order():
    panel = dataset("seattle_weather")
    assert (column(panel, "temp_max") >= column(panel, "temp_min")).all()
    assert column(panel, "precipitation").min() == 0


@pytest.mark.parametrize("name", DATASETS)
def test_a_file_is_small_and_its_cells_are_plain(name):
    path = dataset_path(name)
    assert path.stat().st_size < 2**20
    assert b"\r" not in path.read_bytes()
    with path.open(encoding="ascii", newline="") as file:
        widths = {len(row) for row in csv.reader(file)}
    assert len(widths) == 1


def test_every_bundled_file_is_in_the_table_and_in_the_notice():
    files = {path.name for path in BUNDLED.iterdir()}
    assert files == {each.file for each in DATASETS.values()}
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all(file in notice for file in files)
    assert all(each.source and each.licence for each in DATASETS.values())


@pytest.mark.parametrize("name", [*DATASETS, *SYNTHETIC])
def test_the_default_test_span_lies_inside_the_data(name):
    test_from = (DATASETS.get(name) or SYNTHETIC[name]).test_from
    for series in dataset(name):
        train, test = split(series, test_from)
        assert len(train.times) > 3 * len(test.times) > 60


@pytest.mark.parametrize("name", [*DATASETS, *SYNTHETIC])
def test_a_set_cannot_be_changed(name):
    panel = dataset(name)
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0, 0] = 1.0
    assert np.array_equal(panel.values, dataset(name).values, equal_nan=True)


def test_unknown_names_get_the_nearest_one():
    with pytest.raises(SpecError, match=r"unknown data set 'air_pasengers'") as caught:
        dataset("air_pasengers")
    assert "did you mean 'air_passengers'?" in caught.value.hint
    assert "random_walk" in caught.value.hint
    with pytest.raises(SpecError, match="unknown data set 'imb'"):
        dataset_path("imb")
    with pytest.raises(SpecError, match="has no file"):
        dataset_path("sine")


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_synthetic_set_is_found_by_name(name):
    panel = dataset(name)
    assert (panel.source, panel.ids, panel.columns) == (name, (name,), ("y",))
    assert panel.calendar.alias == "step"
    assert f"{panel.rows} rows" in SYNTHETIC[name].description
    np.testing.assert_array_equal(panel.times, np.arange(panel.rows))


def test_the_ramp_rises_by_one():
    assert (np.diff(ramp(50).values[:, 0]) == 1).all()


@pytest.mark.parametrize("period", [20, 12.5])
def test_the_sine_follows_its_two_term_recurrence(period):
    y = sine(300, period=period).values[:, 0]
    np.testing.assert_allclose(y[2:], 2 * np.cos(2 * np.pi / period) * y[1:-1] - y[:-2], atol=1e-12)


def test_the_noise_of_a_sine_has_its_size():
    noise = sine(5000, noise=0.3, seed=4).values - sine(5000).values
    assert abs(noise.std() - 0.3) < 0.01


@pytest.mark.parametrize("coefficients", [(0.6, -0.3, 0.2), (0.6, -0.5, 0.3), (0.9,)])
def test_least_squares_recovers_an_autoregression(coefficients):
    y, order = ar(coefficients, rows=20_000, seed=3, scale=2.0).values[:, 0], len(coefficients)
    lags = np.column_stack([y[order - i : -i] for i in range(1, order + 1)])
    fitted, *_ = np.linalg.lstsq(lags, y[order:], rcond=None)
    np.testing.assert_allclose(fitted, coefficients, atol=0.03)
    assert abs((y[order:] - lags @ fitted).std() - 2.0) < 0.04


def test_an_autoregression_starts_in_its_stationary_state():
    """Of an AR(1) with coefficient a the variance is 1 / (1 - a^2), from the first row on."""
    firsts = [ar((0.9,), rows=1, seed=seed).values[0, 0] for seed in range(400)]
    assert abs(np.var(firsts) * (1 - 0.9**2) - 1) < 0.25


def test_an_explosive_autoregression_is_refused():
    with pytest.raises(SpecError, match=r"\(0.5, 0.5\) is not stationary"):
        ar((0.5, 0.5))


def test_the_steps_of_a_random_walk_are_independent():
    steps = np.diff(random_walk(20_000, seed=6).values[:, 0])
    assert abs(steps.std() - 1) < 0.02
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("length", [2, 7, 60])
def test_the_adding_problem_has_one_marker_in_each_half(length):
    x, y = adding_problem(4000, length, seed=1)
    values, markers = x[..., 0], x[..., 1]
    assert set(np.unique(markers)) <= {0.0, 1.0}
    assert (markers[:, : length // 2].sum(axis=1) == 1).all()
    assert (markers[:, length // 2 :].sum(axis=1) == 1).all()
    assert (markers.sum(axis=0) > 0).all(), "every place is marked at times"
    assert (values >= 0).all()
    assert (values < 1).all()
    np.testing.assert_allclose((values * markers).sum(axis=1), y)
    assert abs(np.mean((y - 1) ** 2) - 1 / 6) < 0.015


@pytest.mark.parametrize("make", [sine, ar, random_walk])
def test_a_seed_decides_a_series_and_no_global_generator_moves(make):
    options = {"noise": 0.1} if make is sine else {}
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator must stay as it was
    first, again, other = (make(rows=50, seed=seed, **options).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002 - read only, as above


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ramp(0), "0 rows, expected at least 1"),
        (lambda: adding_problem(1, 1, 0), "1 steps, expected at least 2"),
        (lambda: adding_problem(0, 5, 0), "0 samples, expected at least 1"),
        (lambda: sine(period=0), "period 0, expected a period above 0"),
    ],
)
def test_impossible_sizes_are_refused(call, message):
    with pytest.raises(SpecError, match=message):
        call()
