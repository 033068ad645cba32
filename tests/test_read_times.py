"""Times given as cut-offs, and times with a zone."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

import gatecast as gc
from gatecast.data.panel import as_time
from gatecast.prepare.split import split

DAYS = pd.date_range("2024-03-20", periods=30, freq="D")
PANEL = gc.read(pd.DataFrame({"ds": DAYS, "y": np.arange(30.0)}))
COUNTED = gc.read(pd.DataFrame({"ds": np.arange(30), "y": np.arange(30.0)}))
KEPT = ("ds has a time zone: its times are all midnight there, so its dates are kept and the zone is dropped",)
IN_UTC = ("ds has a time zone: its times are in UTC here",)


@pytest.mark.parametrize(
    "when", ["2024-03-25", datetime.date(2024, 3, 25), np.datetime64("2024-03-25"), pd.Timestamp("2024-03-25")]
)
def test_a_date_may_be_given_in_many_types(when):
    assert (PANEL.until(when).rows, PANEL.after(when).rows) == (6, 24)


@pytest.mark.parametrize("when", ["9999-12-31", "3000-01-01", "2262-04-12", np.datetime64("3000-01-01")])
def test_dates_beyond_nanoseconds_are_later_than_every_row(when):
    assert (PANEL.until(when).rows, PANEL.after(when).rows) == (30, 0)
    with pytest.raises(gc.DataError, match="leaves 30 rows to train on and 0 to test"):
        split(PANEL, when)


@pytest.mark.parametrize("when", ["0001-01-01", "1500-01-01", "1677-09-21", datetime.date(1066, 10, 14)])
def test_dates_before_nanoseconds_are_earlier_than_every_row(when):
    assert (PANEL.until(when).rows, PANEL.after(when).rows) == (0, 30)


@pytest.mark.parametrize("when", [2015, 0.2, np.int64(20150101), np.float64(0.5), True, "NaT", "", "soon", "251", None])
def test_what_is_no_date_is_refused_where_times_are_dates(when):
    with pytest.raises(gc.DataError) as caught:
        as_time(when, PANEL.times)
    assert f"'{when}' is not a time of this series; expected a date such as '2017-01-01'" in caught.value.message
    assert "'20%' or '251 rows'" in caught.value.message


def test_a_year_given_as_a_number_is_no_cut_off_of_dates():
    for use in (PANEL.until, PANEL.after, lambda when: split(PANEL, when)):
        with pytest.raises(gc.DataError, match="'2015' is not a time of this series"):
            use(2015)


@pytest.mark.parametrize("when", [0.2, 5.5, "0.2", "2017-01-01", pd.Timestamp("2017-01-01"), 10**30, None])
def test_what_is_no_whole_number_is_refused_where_time_is_a_counter(when):
    with pytest.raises(gc.DataError, match="expected a whole number, because time is a counter here"):
        as_time(when, COUNTED.times)


@pytest.mark.parametrize("when", [5, "5", np.int32(5)])
def test_a_counter_may_be_given_in_many_types(when):
    assert COUNTED.until(when).rows == 6


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Asia/Tokyo", "UTC"])
def test_midnights_of_a_zone_stay_the_dates_they_are(tmp_path, zone):
    """The days go over the start of summer time in Paris, those of a second frame in New York too."""
    for days in (DAYS, pd.date_range("2024-03-01", periods=60), pd.bdate_range("2023-01-02", periods=500)):
        zoned = pd.DataFrame({"ds": days.tz_localize(zone), "y": np.arange(float(len(days)))})
        plain = gc.read(pd.DataFrame({"ds": days, "y": zoned.y}))
        text = tmp_path / "zoned.csv"
        text.write_text(zoned.assign(ds=[stamp.isoformat() for stamp in zoned.ds]).to_csv(index=False))
        objects = zoned.assign(ds=zoned.ds.astype(object))
        for source in (zoned, zoned.set_index("ds"), pl.from_pandas(zoned), objects, text):
            panel = gc.read(source)
            np.testing.assert_array_equal(panel.times, plain.times)
            assert (panel.calendar, panel.notes) == (plain.calendar, KEPT)


def test_months_of_a_zone_stay_months():
    months = pd.date_range("2023-01-01", periods=24, freq="MS", tz="Europe/Paris")
    panel = gc.read(pd.DataFrame({"ds": months, "y": np.arange(24.0)}))
    assert (panel.calendar.alias, panel.span) == ("MS", "2023-01-01 to 2024-12-01")


def test_other_times_of_a_zone_become_utc(tmp_path):
    hours = pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Paris")
    zoned = pd.DataFrame({"ds": hours, "y": np.arange(60.0)})
    text = tmp_path / "zoned.csv"
    text.write_text(zoned.assign(ds=[stamp.isoformat() for stamp in hours]).to_csv(index=False))
    for source in (zoned, zoned.set_index("ds"), pl.from_pandas(zoned), text):
        panel = gc.read(source)
        np.testing.assert_array_equal(panel.times, hours.tz_convert(None).to_numpy())
        assert (panel.calendar.alias, panel.notes) == ("h", IN_UTC)


def test_a_zoned_midnight_without_a_date_is_named():
    days = DAYS.tz_localize("Asia/Tokyo").to_series(index=range(30))
    days[4] = pd.NaT
    with pytest.raises(gc.DataError, match="row 4, column 'ds': no date"):
        gc.read(pd.DataFrame({"ds": days, "y": np.arange(30.0)}))


def test_a_zoned_cut_off_is_taken_as_zoned_columns_are():
    hours = pd.date_range("2024-03-30", periods=60, freq="h").to_numpy().astype("datetime64[ns]")
    midnight = pd.Timestamp("2024-03-31", tz="Asia/Tokyo")
    assert as_time(midnight, PANEL.times) == np.datetime64("2024-03-31", "ns")
    assert as_time(midnight, hours) == np.datetime64("2024-03-30T15", "ns")
    assert as_time("2024-03-31T09:00+09:00", PANEL.times) == np.datetime64("2024-03-31", "ns")
