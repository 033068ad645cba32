"""The calendar finds its rule from dates and goes on by it exactly; pandas is the outside witness."""

import numpy as np
import pandas as pd
import pytest

from gatecast.data.calendar import Calendar, infer_calendar, panel_calendar
from gatecast.errors import DataError

ALIASES = (
    *("B", "D", "3D", "W-SUN", "W-WED", "2W-MON", "MS", "ME", "6MS", "QS-JAN", "QS-FEB", "QE-NOV", "QE-DEC"),
    *("BMS", "BME", "2BME", "BQS-FEB", "BQE-DEC", "BYS-JUL", "BYE-DEC"),
    *("YS-JAN", "YS-JUL", "2YS-JAN", "YE-DEC", "YE-FEB", "h", "6h", "min", "30min", "10min", "s", "4s"),
)


def grid(alias: str, rows: int, seed: int = 0, clock: str = "0h") -> np.ndarray:
    """`rows` times of a pandas frequency from a random start between 1980 and 2007."""
    start = pd.Timestamp("1980-01-01") + pd.Timedelta(days=int(np.random.default_rng(seed).integers(10_000)))
    times = pd.date_range(start, periods=rows, freq=alias) + pd.Timedelta(clock)
    return times.to_numpy().astype("datetime64[ns]")


def long(times: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(times), np.cumsum([0, *map(len, times)]).astype(np.int64)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alias", ALIASES)
def test_the_rule_is_found_and_goes_on_as_pandas_does(alias, seed):
    times = grid(alias, 60, seed)
    calendar = infer_calendar(times[:40])
    assert calendar.alias == alias
    np.testing.assert_array_equal(calendar.future(times[39], 20), times[40:])
    assert calendar.steps_between(times[3], times[50]) == 47
    assert calendar.fits(times)


@pytest.mark.parametrize("alias", [each for each in ALIASES if each != "B"])
def test_missing_rows_are_counted_and_do_not_change_the_rule(alias):
    times = np.delete(grid(alias, 60, 5), [3, 4, 31])
    calendar = infer_calendar(times)
    assert (calendar.alias, calendar.missing(times)) == (alias, 3)


@pytest.mark.parametrize("alias", ["B", "D", "W-FRI", "MS", "ME", "QE-DEC", "YE-DEC", "BMS", "BME"])
def test_a_time_of_day_is_kept(alias):
    times = grid(alias, 40, 2, clock="16h")
    calendar = infer_calendar(times[:30])
    assert calendar.alias == alias
    np.testing.assert_array_equal(calendar.future(times[29], 10), times[30:])


def test_holidays_leave_business_days_and_are_not_missing_rows():
    times = np.delete(grid("B", 260, 1), [10, 60, 61, 200])
    calendar = infer_calendar(times)
    assert calendar.alias == "B"
    assert calendar.missing(times) == 0


def test_steps_to_a_day_before_the_end_of_its_month_are_those_to_the_last_month_end():
    for alias, end in (("ME", "2024-03-31"), ("BME", "2024-03-29")):
        start, day = np.datetime64("2023-12-29" if alias == "BME" else "2023-12-31"), np.datetime64(end)
        assert Calendar(alias).steps_between(start, day) == 3
        assert Calendar(alias).steps_between(start, day - np.timedelta64(1, "D")) == 2


def test_runs_of_weekdays_without_a_row_are_found_beyond_the_length_of_holidays():
    times = pd.bdate_range("2024-01-01 16:00", periods=300).to_numpy().astype("datetime64[ns]")
    keep = np.ones(300, dtype=bool)
    keep[20:25] = keep[60:66] = keep[100:165] = False
    calendar = Calendar("B")
    found = [(str(hole.first), str(hole.last), hole.weekdays) for hole in calendar.holes(times[keep])]
    expected = [(times[k], times[k + rows - 1], rows) for k, rows in ((60, 6), (100, 65))]
    assert found == [(str(a)[:10], str(b)[:10], rows) for a, b, rows in expected]
    assert Calendar("D").holes(times[keep]) == ()


def test_days_with_a_weekend_among_them_or_too_few_weekdays_are_plain_days():
    with_saturday = np.sort(np.append(grid("B", 30), grid("W-SAT", 1)))
    assert infer_calendar(with_saturday).alias == "D"
    some_missing = np.delete(
        np.arange("2024-01-01", "2024-01-27", dtype="datetime64[D]"), [5, 6, 12, 13, 19, 20, 2, 9, 10]
    )
    assert infer_calendar(some_missing.astype("datetime64[ns]")).alias == "D"


@pytest.mark.parametrize("every", [1, 2, 7])
def test_integer_time(every):
    times = -3 + every * np.arange(30, dtype=np.int64)
    calendar = infer_calendar(np.delete(times, 4))
    assert calendar == Calendar("step", every)
    np.testing.assert_array_equal(calendar.future(times[19], 10), times[20:])
    assert calendar.missing(np.delete(times, 4)) == 1
    assert calendar.steps_between(times[0], times[29]) == 29


@pytest.mark.parametrize("unit", ["h", "D"])
def test_irregular_times_have_no_rule(unit):
    gaps = np.random.default_rng(0).integers(5, 400, 50)
    times = np.datetime64("2020-01-01", "ns") + np.cumsum(gaps) * np.timedelta64(1, unit)
    with pytest.raises(DataError, match="no frequency fits the 50 times from 2020") as caught:
        infer_calendar(times)
    assert "plain counter" in caught.value.hint


def test_fractions_of_a_second_have_no_rule():
    times = np.datetime64("2020-01-01", "ns") + np.arange(50) * np.timedelta64(100, "ms")
    with pytest.raises(DataError, match="no frequency fits"):
        infer_calendar(times)


@pytest.mark.parametrize(
    ("alias", "season", "label"),
    [
        ("h", 24, "hourly"),
        ("30min", 48, "every 30 minutes"),
        ("D", 7, "daily"),
        ("B", 1, "business days"),
        ("W-SUN", 1, "weekly"),
        ("2W-MON", 1, "every 2 weeks"),
        ("MS", 12, "monthly"),
        ("BMS", 12, "monthly on the first weekday"),
        ("BME", 12, "monthly on the last weekday"),
        ("2BME", 1, "every 2 months, on the last weekday"),
        ("QE-DEC", 4, "quarterly"),
        ("BQE-DEC", 4, "quarterly on the last weekday"),
        ("YS-JAN", 1, "yearly"),
    ],
)
def test_season_and_label(alias, season, label):
    calendar = infer_calendar(grid(alias, 40))
    assert (calendar.season, calendar.label) == (season, label)


def test_a_panel_takes_the_most_common_rule_and_short_series_follow_it():
    series = [grid("MS", 24), grid("MS", 30, 1), grid("QS-JAN", 8, 2), grid("MS", 2, 3), grid("MS", 1, 4)]
    assert panel_calendar(*long(series), list("abcde")).alias == "MS"


def test_quarters_that_start_at_different_months_of_one_cycle_agree():
    quarters = [np.sort(grid("QS-JAN", 12))[k:] for k in range(3)]
    assert panel_calendar(*long(quarters), list("abc")).alias == "QS-JAN"


def test_a_series_that_disagrees_is_named():
    series = [grid("W-MON", 20), grid("W-MON", 20, 1), grid("W-TUE", 20)]
    with pytest.raises(DataError, match=r"series 'stray' \(20 times from .*others: weekly \(W-MON\)"):
        panel_calendar(*long(series), ["a", "b", "stray"])


def test_votes_count_series_not_distinct_dates():
    series = [grid("D", 20)] * 3 + [grid("h", 20), grid("h", 30)]
    with pytest.raises(DataError, match=r"series 'd'.*\(D\)"):
        panel_calendar(*long(series), list("abcde"))
