"""Reading: formats, column roles, joins and notes; the same data give the same panel from every source."""

import time

import numpy as np
import pandas as pd
import polars as pl
import pytest

import gatecast as gc
from gatecast.data.read import CsvFormat, as_panel
from gatecast.errors import DataError

DAYS = pd.date_range("2024-01-01", periods=60, freq="D")


def frame(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Days, a target with awkward digits, another column."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"ds": DAYS[:rows], "y": rng.normal(0, 1e3, rows), "Größe": rng.uniform(0.1, 9, rows)})


def csv(data: pd.DataFrame, **options) -> str:
    return data.to_csv(index=False, **options)


def write(tmp_path, text: str, name: str = "prices.csv", encoding: str = "utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def same(left: gc.Panel, right: gc.Panel) -> None:
    np.testing.assert_array_equal(left.values, right.values)
    np.testing.assert_array_equal(left.times, right.times)
    np.testing.assert_array_equal(left.indptr, right.indptr)
    assert (left.columns, left.calendar) == (right.columns, right.calendar)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize(
    ("separator", "decimal"), [(s, d) for s in (",", ";", "\t", "|") for d in (".", ",") if s != d]
)
def test_text_round_trip(tmp_path, encoding, separator, decimal):
    path = write(tmp_path, csv(frame(), sep=separator, decimal=decimal), encoding=encoding)
    panel = gc.read(path)
    np.testing.assert_array_equal(panel.values, frame()[["y", "Größe"]].to_numpy())
    np.testing.assert_array_equal(panel.times, DAYS.to_numpy())
    assert panel.columns == ("y", "Größe")
    assert (panel.ids, panel.source, panel.calendar.alias) == (("prices",), "prices.csv", "D")
    notes = {
        "the separator is the": separator != ",",
        f"the encoding is {encoding}": encoding in ("cp1252", "utf-16"),
        "the decimal mark is the comma": decimal == ",",
    }
    for note, expected in notes.items():
        assert any(each.startswith(note) for each in panel.notes) == expected


def test_utf_16_of_either_byte_order(tmp_path):
    for codec, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        path = tmp_path / f"{codec}.csv"
        path.write_bytes(mark + csv(frame()).encode(codec))
        same(gc.read(path), gc.read(frame()))


def test_format_given_instead_of_detected(tmp_path):
    text = "d:v\n03.04.20:1,5\n04.04.20:2,5\n05.04.20:-3,25\n"
    panel = gc.read(write(tmp_path, text, encoding="utf-16-le"), format=CsvFormat(":", ",", "utf-16-le", "%d.%m.%y"))
    assert panel.values[:, 0].tolist() == [1.5, 2.5, -3.25]
    assert panel.span == "2020-04-03 to 2020-04-05"


def test_frames_parquet_and_csv_agree(tmp_path):
    data = frame()
    data.to_parquet(tmp_path / "a.parquet")
    data.set_index("ds").to_parquet(tmp_path / "indexed.parquet")
    expected = gc.read(data)
    strings = data.assign(ds=data.ds.dt.strftime("%Y-%m-%d"))
    sources = [
        *(tmp_path / "a.parquet", tmp_path / "indexed.parquet", write(tmp_path, csv(data)), data.set_index("ds")),
        *(pl.from_pandas(data), pl.from_pandas(data).with_columns(pl.col("ds").cast(pl.Date)), strings),
        data.assign(ds=data.ds.dt.date),
    ]
    for source in sources:
        same(gc.read(source), expected)


def test_missing_cells_agree_between_sources(tmp_path):
    data = frame(6)
    data.loc[[2, 4], "y"] = np.nan
    text = csv(data)
    sources = [write(tmp_path, text), data, pl.from_pandas(data), data.astype({"y": "Float64"})]
    for source in sources:
        assert np.flatnonzero(np.isnan(gc.read(source, fill="last").values[:, 0])).tolist() == [2, 4]


def test_a_frame_stays_as_it_is():
    data = frame().iloc[::-1]
    before = data.copy()
    panel = gc.read(data)
    pd.testing.assert_frame_equal(data, before)
    values = panel.values.copy()
    data["y"] += 1.0
    data.loc[:, "ds"] += pd.Timedelta("1D")
    np.testing.assert_array_equal(panel.values, values)
    np.testing.assert_array_equal(panel.times, DAYS.to_numpy())


def test_series_of_pandas_with_a_date_index():
    panel = gc.read(frame().set_index("ds")["y"])
    assert (panel.columns, panel.calendar.alias) == (("y",), "D")
    periods = pd.Series(np.arange(8.0), pd.period_range("2020Q1", periods=8, freq="Q"), name="gdp")
    assert (gc.read(periods).columns, gc.read(periods).calendar.alias) == (("gdp",), "QS-JAN")


def test_as_panel_passes_a_panel_and_reads_the_rest():
    panel = as_panel(frame())
    assert as_panel(panel) is panel


def test_long_equals_wide():
    rng = np.random.default_rng(3)
    wide = {
        name: pd.DataFrame({"ds": DAYS[start:], "y": rng.normal(size=60 - start)})
        for name, start in (("b", 0), ("a", 7))
    }
    long = pd.concat([each.assign(unique_id=name) for name, each in wide.items()])
    for data in (long, long.sort_values("ds", kind="stable"), pl.from_pandas(long)):
        panel = gc.read(data)
        assert (panel.ids, panel.columns) == (("b", "a"), ("y",))
        assert panel.notes == ()
        for name, each in wide.items():
            same(panel.series(name), gc.read(each))


@pytest.mark.parametrize(
    ("cells", "first", "note"),
    [
        (["2024-02-03", "2024-02-04", "2024-02-05"], "2024-02-03", None),
        (["2024-2-3", "2024-2-4", "2024-2-5"], "2024-02-03", "%Y-%m-%d"),
        (["2024/02/03", "2024/02/04", "2024/02/05"], "2024-02-03", "%Y/%m/%d"),
        (["12/02/2024", "13/02/2024", "14/02/2024"], "2024-02-12", "%d/%m/%Y"),
        (["2/12/2024", "2/13/2024", "2/14/2024"], "2024-02-12", "%m/%d/%Y"),
        (["12-02-2024 10:30", "13-02-2024 10:30", "14-02-2024 10:30"], "2024-02-12 10:30:00", "%d-%m-%Y %H:%M"),
        (["1/31/2024 1:05 PM", "2/1/2024 1:05 PM", "2/2/2024 1:05 PM"], "2024-01-31 13:05:00", "%m/%d/%Y %I:%M %p"),
        (["12/12/2021", "12/12/2022", "12/12/2023"], "2021-12-12", "/%Y"),  # either order reads the same
        (["03.02.2024", "04.02.2024", "05.02.2024"], "2024-02-03", "%d.%m.%Y"),
        (["3 Feb 2024", "4 Feb 2024", "5 Feb 2024"], "2024-02-03", "%d %b %Y"),
        (["Feb 3, 2024", "Feb 4, 2024", "Feb 5, 2024"], "2024-02-03", "%b %d, %Y"),
        (["Feb 2024", "Mar 2024", "Apr 2024"], "2024-02-01", "%b %Y"),
        (["02.2024", "03.2024", "04.2024"], "2024-02-01", "%m.%Y"),
        (["2024-02", "2024-03", "2024-04"], "2024-02-01", None),
        (["20240203", "20240204", "20240205"], "2024-02-03", "%Y%m%d"),
        (["2024Q2", "2024Q3", "2024Q4"], "2024-04-01", "quarters"),
        (["Q2 2024", "Q3 2024", "Q4 2024"], "2024-04-01", "quarters"),
        (["2001", "2002", "2003"], "2001-01-01", "years"),
        (["2024-02-03T10:00+02:00", "2024-02-03T11:00+02:00", "2024-02-03T12:00+02:00"], "2024-02-03 08:00:00", "UTC"),
        (["2024-02-03 10:00:00Z", "2024-02-03 11:00:00Z", "2024-02-03 12:00:00Z"], "2024-02-03 10:00:00", "UTC"),
    ],
)  # fmt: skip
def test_date_formats(tmp_path, cells, first, note):
    text = csv(pd.DataFrame({"date": cells, "y": [1.5, 2.5, 3.5]}), sep=";")
    panel = gc.read(write(tmp_path, text))
    assert panel.span.split(" to ")[0] == first
    said = [each for each in panel.notes if "separator" not in each]
    assert (note is None and not said) or (len(said) == 1 and note in said[0])


def test_integer_time(tmp_path):
    panel = gc.read(write(tmp_path, '"Y"\n5\n7\n\n9\n', "load.csv"), fill="last")
    assert panel.times.tolist() == [0, 1, 2, 3]
    assert np.isnan(panel.values[2, 0])
    assert (panel.ids, panel.calendar.alias) == (("load",), "step")
    assert "no date column: time is the row number 0, 1, 2, ..." in panel.notes
    counted = gc.read(pd.DataFrame({"ds": [1990, 1992, 1994, 1996], "y": [1.0, 2, 3, 4]}))
    assert (counted.times.tolist(), counted.calendar.alias) == ([1990, 1992, 1994, 1996], "2step")
    assert counted.notes == ("ds is a counter, not a date",)


def test_years_are_dates_only_in_a_column_of_that_name():
    years = list(range(1990, 1996))
    assert gc.read(pd.DataFrame({"Year": years, "y": np.arange(6.0)})).calendar.alias == "YS-JAN"
    assert gc.read(pd.DataFrame({"Date": years, "y": np.arange(6.0)})).calendar.alias == "YS-JAN"
    assert gc.read(pd.DataFrame({"ds": years, "y": np.arange(6.0)})).calendar.alias == "step"
    assert gc.read(pd.DataFrame({"date": np.arange(6), "y": np.arange(6.0)})).calendar.alias == "step"


def test_columns_by_common_names(tmp_path):
    text = "Name,Month,Date,Open,Close,Note\n" + "".join(f"IBM,{m},2024-0{m}-01,{m}.5,{m},x{m}\n" for m in range(1, 7))
    panel = gc.read(write(tmp_path, text))
    assert (panel.ids, panel.columns) == (("IBM",), ("Close", "Month", "Open"))
    assert panel.notes == ("ignored text columns: Note",)
    assert gc.read(write(tmp_path, text), target="Open").columns == ("Open", "Month", "Close")


def test_a_date_column_without_a_common_name_is_found_by_its_cells():
    panel = gc.read(pd.DataFrame({"n": np.arange(60.0), "when": DAYS.strftime("%d.%m.%Y")}))
    assert (panel.columns, panel.calendar.alias) == (("n",), "D")


def test_a_constant_text_column_is_the_id_and_a_distinct_one_is_not():
    data = frame().assign(station="Oslo", id=np.arange(60), remark=[f"r{k}" for k in range(60)])
    panel = gc.read(data)
    assert (panel.ids, panel.columns) == (("Oslo",), ("y", "Größe"))
    assert set(panel.notes) == {"ignored text columns: remark", "ignored row counter columns: id"}


def test_given_columns_come_first():
    data = pd.DataFrame({"ds": range(6), "when": [1, 2, 3] * 2, "y": range(6), "v": range(6), "shop": list("aaabbb")})
    panel = gc.read(data, target="v", date="when", id="shop")
    assert (panel.ids, panel.columns, panel.times.tolist()) == (("a", "b"), ("v", "ds", "y"), [1, 2, 3] * 2)


def test_an_index_column_of_a_written_frame_is_no_input(tmp_path):
    panel = gc.read(write(tmp_path, frame().to_csv()))
    assert panel.columns == ("y", "Größe")
    assert "ignored row counter columns: column 1" in panel.notes


def test_separators_at_the_end_of_every_line_are_no_column(tmp_path):
    text = "".join(line + ";\n" for line in csv(frame(), sep=";").splitlines())
    same(gc.read(write(tmp_path, text)), gc.read(frame()))


def test_every_spelling_of_a_missing_cell(tmp_path):
    spellings = ["", "NA", "N/A", "NaN", "null", "None", "?", "-", "nan"]
    text = "ds,y,x\n2024-01-01,1,1\n" + "".join(f"2024-01-{k:02d},{k},{s}\n" for k, s in enumerate(spellings, start=2))
    panel = gc.read(write(tmp_path, text))
    assert np.isnan(panel.values[1:, 1]).all()
    assert panel.notes == ("x: 9 missing cells (first 2024-01-02), filled with the last value", "x is constant at 1")


def test_notes_say_what_was_found():
    data = frame(20)
    data["Größe"] = 5.0
    data.loc[4, "Größe"] = np.nan
    data = data.drop(index=[7, 8, 12]).iloc[::-1]
    assert gc.read(data).notes == (
        "rows were not in time order: sorted",
        "Größe: 1 missing cell (2024-01-05), filled with the last value",
        "Größe is constant at 5",
        "3 missing rows by the calendar (daily)",
    )


@pytest.mark.parametrize("fill", ["error", "last", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_every_series_begins_at_its_first_target_and_the_rows_before_it_are_told(fill, seed):
    rng = np.random.default_rng(seed)
    late = rng.integers(1, 9, 3)
    whole = [frame(20).assign(unique_id=name, y=rng.normal(size=20)) for name in "abc"]
    data = pd.concat([each.assign(y=each["y"].where(each.index >= n)) for each, n in zip(whole, late, strict=True)])
    panel = gc.read(data, fill=fill)
    wanted = pd.concat([each[n:] for each, n in zip(whole, late, strict=True)])
    np.testing.assert_array_equal(panel.values, wanted[["y", "Größe"]])
    np.testing.assert_array_equal(panel.times, wanted["ds"])
    assert f"y: {late.sum()} rows before the first values of 3 series left out" in panel.notes
    one = data[data["unique_id"] == "a"]
    alone = gc.read(one.drop(columns="unique_id"), fill=fill)
    assert alone.rows == 20 - late[0] and f"y: {late[0]} row" in alone.notes[0] and "first value left" in alone.notes[0]
    two = gc.read(pd.concat([one, whole[1]]), fill=fill)
    assert "before the first value of a left out" in two.notes[0]


@pytest.mark.parametrize("fill", ["error", "last", "linear"])
def test_a_column_that_begins_late_keeps_its_gap_and_is_told(fill):
    data = frame(30)
    data["late"] = data["y"].rolling(20).mean()
    data.loc[25, "late"] = np.nan
    later = pd.DataFrame({"Date": DAYS[3:30], "Close": np.arange(27.0), "Name": "AAPL"})
    panel = gc.read(data, join=later, fill=fill)
    np.testing.assert_array_equal(np.isnan(panel.values).sum(axis=0), [0, 0, 20, 3])
    assert "late: no value before 2024-01-20; models that read it are refused" in panel.notes
    assert "AAPL.Close: no value before 2024-01-04; models that read it are refused" in panel.notes
    assert sum(note.startswith("late: 1 missing cell (2024-01-26), filled") for note in panel.notes) == 1
    assert not any(note.startswith("AAPL.Close: 3 missing") for note in panel.notes)


def test_columns_of_several_series_that_begin_late():
    data = pd.concat([frame(9).assign(unique_id=name) for name in "abcdefgh"], ignore_index=True)
    data.loc[data.unique_id == "b", "Größe"] = np.nan
    data.loc[data.index[18:20], "Größe"] = np.nan
    notes = gc.read(data).notes
    assert notes == (
        "Größe of b: no value at all; models that read it are refused",
        "Größe of c: no value before 2024-01-03; models that read it are refused",
    )
    data.loc[data.ds == DAYS[0], "Größe"] = np.nan
    notes = gc.read(data).notes
    assert (len(notes), notes[-1]) == (6, "3 more columns begin late")


def test_missing_weekdays_are_told_when_they_are_too_many_for_holidays():
    data = pd.DataFrame({"ds": pd.bdate_range("2018-01-01", periods=1500), "y": np.arange(1500.0) ** 2})
    one = data.drop(index=[*range(50, 55), *range(700, 765)])
    first, last = (str(data.ds[k].date()) for k in (700, 764))
    assert gc.read(one).notes == (f"no rows from {first} to {last} (65 weekdays)",)
    two = one.drop(index=range(900, 906))
    longest = f"no rows from {first} to {last} (65 weekdays), the longest of 2 gaps of more than 5 weekdays"
    assert gc.read(two).notes == (longest,)
    both = pd.concat([data.assign(unique_id="whole"), two.assign(unique_id="torn")])
    assert gc.read(both).notes == (f"torn: {longest}",)


def test_hours_of_an_exchange_have_missing_rows_by_the_calendar():
    hours = [day + pd.Timedelta(hours=9.5 + k) for day in pd.bdate_range("2024-01-01", periods=20) for k in range(7)]
    panel = gc.read(pd.DataFrame({"ds": hours, "y": np.arange(140.0)}))
    assert (panel.calendar.alias, panel.notes) == ("h", ("467 missing rows by the calendar (hourly)",))


@pytest.mark.parametrize("dtype", ["string", "object"])
def test_missing_text_of_pandas(dtype):
    data = frame(6).assign(
        remark=pd.Series(["a", pd.NA, "b", "c", "d", "e"], dtype=dtype),
        x=pd.Series(["1", "2", pd.NA, "4", "5", "6"], dtype=dtype),
    )
    panel = gc.read(data)
    assert panel.columns == ("y", "Größe", "x")
    np.testing.assert_array_equal(panel.values[:, 2], [1, 2, np.nan, 4, 5, 6])
    assert "ignored text columns: remark" in panel.notes


def test_a_file_with_its_lines_shuffled_is_the_same_panel(tmp_path):
    shuffled = frame().sample(frac=1, random_state=0)
    same(gc.read(write(tmp_path, csv(shuffled))), gc.read(frame()))


def test_join_adds_columns_by_date(tmp_path):
    main = frame(10)
    other = pd.DataFrame({"Date": DAYS[[0, 1, 2, 4, 20]], "Close": [10.0, 11, 12, 14, 99], "Name": "AAPL"})
    shifted = frame(10, seed=1).iloc[::-1]
    path = write(tmp_path, csv(shifted), "weather.csv")
    panel = gc.read(main, join=[other, path])
    assert panel.columns == ("y", "Größe", "AAPL.Close", "weather.y", "weather.Größe")
    np.testing.assert_array_equal(panel.values[:, :2], main[["y", "Größe"]].to_numpy())
    np.testing.assert_array_equal(panel.values[:, 2], [10, 11, 12, np.nan, 14] + 5 * [np.nan])
    np.testing.assert_array_equal(panel.values[:, 3], shifted["y"].to_numpy()[::-1])
    assert "joined AAPL.Close of frame; 6 of 10 rows have no match there" in panel.notes
    assert "weather.csv: rows were not in time order: sorted" in panel.notes
    assert gc.read(main, join=path).columns == ("y", "Größe", "weather.y", "weather.Größe")


TSF = """# a comment
@relation Demo
@attribute series_name string
@attribute start_timestamp date
@attribute horizon numeric
@frequency {frequency}
@missing true
@data
T1:{start}:6:1,2.5,?,4
T2:{start}:6:5,6
"""


@pytest.mark.parametrize(
    ("frequency", "start", "alias", "last"),
    [
        ("yearly", "1990-07-01 00-00-00", "YS-JUL", "1993-07-01"),
        ("quarterly", "1990-03-31 00-00-00", "QE-DEC", "1990-12-31"),
        ("monthly", "1990-11-01 12-00-00", "MS", "1991-02-01 12:00:00"),
        ("weekly", "1990-01-03 00-00-00", "W-WED", "1990-01-24"),
        ("daily", "1990-02-27", "D", "1990-03-02"),
        ("hourly", "1990-01-01 22-00-00", "h", "1990-01-02 01:00:00"),
        ("half_hourly", "1990-01-01 00-00-00", "30min", "1990-01-01 01:30:00"),
        ("10_minutes", "1990-01-01 00-00-00", "10min", "1990-01-01 00:30:00"),
        ("minutely", "1990-01-01 00-00-00", "min", "1990-01-01 00:03:00"),
    ],
)
def test_tsf(tmp_path, frequency, start, alias, last):
    panel = gc.read(write(tmp_path, TSF.format(frequency=frequency, start=start), "demo.tsf"), fill="last")
    assert (panel.ids, panel.columns, panel.indptr.tolist()) == (("T1", "T2"), ("y",), [0, 4, 6])
    np.testing.assert_array_equal(panel.values[:, 0], [1, 2.5, np.nan, 4, 5, 6])
    assert panel.calendar.alias == alias
    assert panel.series("T1").span.split(" to ")[1] == last
    assert "ignored attributes: horizon" in panel.notes


def test_tsf_without_start_times_counts(tmp_path):
    text = "@attribute series_name string\n@frequency monthly\n@data\r\nT1:1,2,3\r\n"
    panel = gc.read(write(tmp_path, text, "demo.tsf"))
    assert (panel.times.tolist(), panel.calendar.alias) == ([0, 1, 2], "step")


def test_a_large_file_is_read_quickly(tmp_path):
    values = np.random.default_rng(0).normal(size=(17_000, 16))
    data = pd.DataFrame(values, columns=["y", *(f"x{k}" for k in range(15))])
    data.insert(0, "ds", pd.date_range("2020-01-01", periods=17_000, freq="h"))
    path = write(tmp_path, csv(data))
    start = time.perf_counter()
    same(gc.read(path), gc.read(data))
    assert time.perf_counter() - start < 3  # about 0.4 s on an idle core


def test_a_wide_table_is_read_as_long_series_of_their_own_length(tmp_path):
    path = tmp_path / "m4.csv"
    path.write_text('"V1","V2","V3","V4"\n"H1",1,2,3\n"H2",4,,\n"H3",5,,6\n')
    panel = gc.read(path, fill="last")
    assert panel.ids == ("H1", "H2", "H3") and np.diff(panel.indptr).tolist() == [3, 1, 3]
    np.testing.assert_array_equal(panel.values[:, 0], [1, 2, 3, 4, 5, np.nan, 6])
    assert panel.times.tolist() == [0, 1, 2, 0, 0, 1, 2]
    assert any("one series to a row" in note for note in panel.notes)
    frame = pd.read_csv(path)
    assert gc.read(frame, fill="last").ids == panel.ids
    path.write_text('"V1","V2","V3","V4"\n"H1",1,2,3\n"H2",,4,5\n')
    assert gc.read(path).times.tolist() == [0, 1, 2, 1, 2]
    path.write_text("name,height,x2,x3\na,1,2,3\nb,2,3,4\n")
    with pytest.raises(DataError, match="which column to forecast"):
        gc.read(path)


def test_a_unique_id_names_the_series_even_where_each_has_one_row():
    data = pd.DataFrame({"unique_id": ["a", "b", "c"], "ds": ["2020-01-01"] * 3, "y": [1.0, 2.0, 3.0]})
    assert gc.read(data).ids == ("a", "b", "c")
