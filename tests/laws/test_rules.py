"""The rules told by frequency before any data: those that data of that frequency get, and no other frequency."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import gatecast as gc
from gatecast.data.calendar import calendar_of
from gatecast.data.read import read
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import sizes_for
from gatecast.prepare.given import bare
from gatecast.prepare.split import Origins

H = 7
# frequency -> label, season, look-back, anchors; rows that a long lag needs (0: there is none); what turns in the
# calendar; whether a recursive network competes
TOLD = {
    "h": ("hourly", 24, 336, 4, 0, "hour and the week", True),
    "30min": ("every 30 minutes", 48, 672, 4, 0, "hour and the week", False),
    "D": ("daily", 7, 112, 28, 1092, "weekday and the year", True),
    "B": ("business days", 1, 14, 12, 0, "weekday and the year", True),
    "W-SUN": ("weekly", 1, 65, 26, 156, "year", True),
    "MS": ("monthly", 12, 36, 24, 0, "month", True),
    "QS": ("quarterly", 4, 12, 12, 0, "month", True),
    "YS": ("yearly", 1, 14, 12, 0, "", True),
    "step": ("integer steps", 1, 14, 12, 0, "", True),
}


def frame(freq, rows=200):
    """One series of random positive values."""
    times = np.arange(rows) if freq == "step" else pd.date_range("1970-01-01", periods=rows, freq=freq)
    return pd.DataFrame({"unique_id": "a", "ds": times, "y": np.random.default_rng(0).uniform(1, 2, rows)})


def read_by(model, data):
    """What the model would learn from."""
    return model.origins_of(data, Origins())[0].panel


@pytest.mark.parametrize(("freq", "told"), TOLD.items(), ids=TOLD)
def test_rules_are_told_before_there_are_data(freq, told):
    label, season, lookback, anchors, lag_rows, calendar, free = told
    lines = gc.Forecaster.auto(freq=freq, h=H).rules().splitlines()
    assert lines[0].startswith(f"{label}: season {season}, reads {lookback} rows at each of {anchors} anchors")
    assert [line for line in lines if line.startswith("long lag")] == (
        [f"long lag: the rows of {lag_rows // 3} earlier, if the median series has {lag_rows} rows"] if lag_rows else []
    )
    assert [line for line in lines if line.startswith("calendar")] == (
        [f"calendar: sines and cosines of the {calendar}"] if calendar else []
    )
    assert ("rival: a recursive network competes" in lines) == free
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("freq", TOLD)
def test_data_of_the_frequency_get_the_sizes_that_were_told(freq):
    model = GlobalForecaster.auto(freq, H)
    panel = read_by(model, frame(freq))
    assert model.calendar.matches(panel.calendar)
    _, why = sizes_for(bare(panel, H), H)
    assert why.startswith(model.rules().splitlines()[0])
    seasoned = GlobalForecaster.auto(freq, H, season=5)
    assert "season 5, reads 15 rows" in seasoned.rules() and read_by(seasoned, frame(freq)).calendar.season == 5


@pytest.mark.parametrize("rows", [1091, 1092])
def test_the_long_lag_comes_with_as_many_rows_as_were_told(rows):
    assert sizes_for(bare(read(frame("D", rows)), H), H)[0].long_lag == (364 if rows == 1092 else 0)


@pytest.mark.parametrize(("freq", "other"), list(permutations(TOLD, 2)))
def test_data_of_another_frequency_are_refused_by_both_names(freq, other):
    model, data = GlobalForecaster.auto(freq, H), frame(other)
    found = read(data).calendar
    with pytest.raises(DataError) as caught:
        model.fit(data)
    for calendar in (found, calendar_of(freq)):
        assert f"{calendar.label} ({calendar.alias})" in str(caught.value)


def test_an_anchor_counts_where_it_is_named():
    mondays = frame("W-MON")
    assert read_by(GlobalForecaster.auto("W", H), mondays).calendar.alias == "W-MON"
    assert read_by(GlobalForecaster.auto("W-MON", H), mondays).calendar.alias == "W-MON"
    with pytest.raises(DataError, match=r"weekly \(W-MON\), and the model is for weekly \(W-SUN\)"):
        GlobalForecaster.auto("W-SUN", H).fit(mondays)


def test_series_that_are_too_short_to_tell_get_the_frequency_that_was_said():
    days = pd.to_datetime(["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10"])
    five = pd.DataFrame({"unique_id": "a", "ds": days, "y": 1.0})
    found = read_by(GlobalForecaster.auto("B", 1), five)
    assert (found.calendar.alias, found.rows) == ("B", 5)
    assert (read_by(GlobalForecaster(1), five).calendar.alias, read_by(GlobalForecaster(1), five).rows) == ("D", 7)
    with pytest.raises(DataError, match=r"daily \(D\).*monthly \(MS\)"):
        GlobalForecaster.auto("MS", 1).fit(five)


@pytest.mark.parametrize(
    ("freq", "alias"),
    {"60min": "h", "24h": "D", "7D": "W", "14D": "2W", "3MS": "QS", "12MS": "YS", "2W-MON": "2W-MON"}.items(),
)
def test_a_frequency_is_the_one_that_its_times_are_found_to_have(freq, alias):
    assert calendar_of(freq).alias == alias
    assert calendar_of(freq).matches(read(frame(freq)).calendar)


@pytest.mark.parametrize(("freq", "nearest"), {"M": "MS", "H": "h", "2B": "B", "WS": "W"}.items())
def test_a_frequency_that_there_is_not_is_answered_with_the_nearest(freq, nearest):
    with pytest.raises(SpecError, match=f"'{freq}'\nhint: did you mean '{nearest}'"):
        GlobalForecaster.auto(freq, H)


def test_integer_time_has_a_step():
    tens = frame("step").assign(ds=lambda f: 10 * f["ds"])
    assert read_by(GlobalForecaster.auto(10, H), tens).calendar.alias == "10step"
    with pytest.raises(DataError, match="10step"):
        GlobalForecaster.auto(1, H).fit(tens)
    with pytest.raises(SpecError, match="freq=0"):
        GlobalForecaster.auto(0, H)


def test_the_model_keeps_its_frequency_and_has_rules_only_with_one():
    model = GlobalForecaster.auto("MS", H)
    assert model.unfitted().freq == model.freq == "MS" and model.unfitted().rules() == model.rules()
    assert GlobalForecaster(H, freq="MS").rules() == model.rules()
    with pytest.raises(ForecastError, match="not learned anything"):
        GlobalForecaster(H).rules()
