"""Everything that can be wrong with data is refused with file, line, column and what to do."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import gatecast as gc
from gatecast.data.read import CsvFormat

GOOD = "Date,High,Low\n2024-01-01,1,0.5\n2024-01-02,2,1.5\n2024-01-03,3,2.5\n2024-01-04,4,3.5\n"


def fails(source, *parts: str, **options) -> gc.DataError:
    """Reading fails with an error whose text holds every part."""
    options.setdefault("target", "High")
    with pytest.raises(gc.DataError) as caught:
        gc.read(source, **options)
    text = str(caught.value)
    for part in parts:
        assert part in text, text
    return caught.value


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes, name: str = "prices.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("2024-01-03,3", "2024-01-33,3", ("prices.csv, line 4, column 'Date'", "'2024-01-33'", "ISO 8601")),
        ("2024-01-03,3", "soon,3", ("line 4, column 'Date'", "'soon'")),
        ("2024-01-03,3", ",3", ("prices.csv, line 4, column 'Date': no date", "leave the row out")),
        ("2024-01-03,3", "2024-01-02,3", ("line 4 (2024-01-02), column 'Date'", "twice, first in line 3", "id")),
        ("2024-01-03,3", "2024-01-03,many", ("prices.csv, line 4, column 'High'", "'many' is not a number")),
        ("2024-01-03,3,2.5", "2024-01-03,3,x", ("line 4, column 'Low'", "'x' is not a number", "plain numbers")),
        ("2024-01-03,3", '2024-01-03,"1,234.5"', ("line 4, column 'High'", "'1,234.5'", "thousands separators")),
        ("2024-01-03,3", "2024-01-03,$3", ("line 4, column 'High'", "'$3'", "currency")),
        ("2024-01-03,3", "2024-01-03,1_000", ("line 4, column 'High'", "'1_000'")),
        ("2024-01-03,3", "2024-01-03,-inf", ("prices.csv, line 4, column 'High'", "'-inf' is infinite")),
        ("2024-01-03,3,2.5", "2024-01-03,3,1e999", ("line 4, column 'Low'", "'1e999' is infinite")),
        ("2024-01-03,3,2.5", "2024-01-03,3,2.5,9", ("prices.csv, line 4: 4 fields, expected 3", "separator")),
        ("2024-01-03,3,2.5", "2024-01-03,3", ("prices.csv, line 4: 2 fields, expected 3",)),
        ("2024-01-03,3", "2024-01-03,", ("line 4 (2024-01-03), column 'High': no value (1 missing", "--fill last or")),
        ("High,Low", "Low,Low", ("prices.csv: two columns are called 'Low'",)),
        ("2024-01-03,3", '2024-01-03,"3', ("prices.csv, line 4", "check the quotes")),
    ],
)  # fmt: skip
def test_one_bad_cell(file, old, new, parts):
    fails(file(GOOD.replace(old, new, 1)), *parts)


@pytest.mark.parametrize("fill", ["error", "last", "linear"])
def test_a_series_without_any_target_is_refused_by_every_fill_rule(fill):
    days = [*pd.date_range("2024-01-01", periods=4), *pd.date_range("2024-01-01", periods=2)]
    two = pd.DataFrame({"ds": days, "High": [np.nan, 2, 3, 4, np.nan, np.nan], "id": list("aaaabb")})
    fails(two, "row 4 (2024-01-01, series 'b'), column 'High'", "no value, nor in any later row", "leave", fill=fill)


def test_the_good_file_is_good(file):
    assert gc.read(file(GOOD), "High").rows == 4


def test_lines_are_those_of_an_editor(file):
    text = 'Date,High,Remark\n\n2024-01-01,1,"two\nlines"\r\n\n2024-01-02,x,b\n2024-01-03,3,c\n'
    fails(file(text), "line 6, column 'High'")


def test_sorting_keeps_line_numbers(file):
    head, *lines = GOOD.splitlines()
    lines[2] = "2024-01-03,,2.5"
    fails(file("\n".join([head, *reversed(lines)])), "line 3 (2024-01-03), column 'High'")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_frames_name_rows_from_0(make):
    days = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    fails(make({"ds": days, "High": [1.0, 2.0, np.inf, 4.0]}), "frame, row 2, column 'High'", "infinite")
    fails(make({"ds": days, "High": ["1", "2", "x", "4"]}), "frame, row 2, column 'High'", "'x'")
    fails(make({"ds": [*days[:3], days[1]], "High": [1.0, 2, 3, 4]}), "row 3 (2024-01-02)", "first in row 1")
    fails(make({"ds": [*days[:3], None], "High": [1.0, 2, 3, 4]}), "row 3, column 'ds': no date")
    fails(make({"ds": [], "High": []}), "frame has no rows")


def test_no_such_column(file):
    for options in ({"target": "Hihg"}, {"date": "Dat"}, {"id": "Nme"}):
        (name,) = options.values()
        fails(file(GOOD), f"prices.csv has no column '{name}'", "Known: Date, High, Low", **options)
    assert "did you mean 'High'?" in fails(file(GOOD), target="Hihg").hint
    fails(file(GOOD), "expected different columns", target="High", date="High")


def test_the_target_must_be_clear_and_numeric(file):
    fails(file(GOOD), "the columns of numbers are High, Low", "--target High", target=None)
    fails(
        file("Date,Mood\n2024-01-01,good\n2024-01-02,bad\n"),
        "prices.csv, line 2, column 'Mood'",
        "'good'",
        target="Mood",
    )
    fails(file("Date,Mood\n2024-01-01,good\n2024-01-02,bad\n"), "no column of numbers", "Date, Mood", target=None)
    fails(file("Date,High,Low\n2024-01-01,,1\n2024-01-02,,2\n"), "column 'High' has no values")


def test_files_that_are_no_tables(file, tmp_path):
    fails(tmp_path / "nope.csv", "there is no file", "nope.csv")
    fails(tmp_path, "there is no file")
    fails(file(""), "prices.csv is empty")
    fails(file(" \n\n"), "prices.csv is empty")
    fails(file("Date,High,Low\n"), "prices.csv has a header and no rows")
    fails(file("2024-01-01,1\n2024-01-02,2\n"), "first line (2024-01-01, 1) holds data", "column names")
    fails(file(b"PK\x03\x04\x00\x00\x00", "book.xlsx"), "book.xlsx holds zero bytes", "export it as CSV")
    fails(file(GOOD, "prices.parquet"), "prices.parquet is not a Parquet file")
    fails({"ds": [1], "y": [2]}, "cannot read a dict", "pandas or polars")


def test_bytes_that_are_no_text(file):
    raw = GOOD.encode().replace(b"2024-01-03,3", b"2024-01-03,\x81")
    fails(file(raw), "prices.csv, line 4: byte 0x81 is not utf-8 or cp1252 text", "give the encoding")
    fails(
        file(raw.replace(b"\x81", b"\xe4")), "line 4: byte 0xe4 is not utf-8 text", format=CsvFormat(encoding="utf-8")
    )


@pytest.mark.parametrize("cells", [["03/04/2024", "04/04/2024"], ["3-4-2024 10:00", "4-4-2024 10:00"]])
def test_dates_that_may_be_read_in_two_ways(file, cells):
    text = "Date,High\n" + "".join(f"{cell},1\n" for cell in cells)
    fails(file(text), "prices.csv, line 2, column 'Date'", f"'{cells[0]}' may be day/month or month/day", "%d/%m/%Y")


def test_the_day_settled_by_one_row_binds_the_others(file):
    text = "Date,High\n03/04/2024,1\n13/04/2024,2\n04/14/2024,3\n"
    fails(file(text), "prices.csv, line 4, column 'Date'", "'04/14/2024'", "%d/%m/%Y")
    given = gc.read(file("Date,High\n03/04/2024,1\n04/04/2024,2\n"), "High", format=CsvFormat(date_format="%d/%m/%Y"))
    assert given.span == "2024-04-03 to 2024-04-04"


@pytest.mark.parametrize("cell", ["1/3/06", "next week", "2024-W05", "32.01.2024"])
def test_dates_in_no_known_format(file, cell):
    fails(file(f"Date,High\n{cell},1\n{cell},2\n"), "line 2, column 'Date'", f"'{cell}'", "give the date format")


def test_months_that_are_no_dates_are_not_passed_over(file):
    text = "Month,Sales\n1-01,266\n1-02,145\n"
    fails(file(text), "prices.csv, line 2, column 'Month': '1-01' is not a date", "give the date format", target=None)


def test_dates_out_of_range_and_half_zoned(file):
    fails(file(GOOD.replace("2024-01-03", "1066-10-14")), "line 4, column 'Date'", "outside the years 1678 to 2261")
    fails(
        pl.DataFrame({"ds": [pd.Timestamp("2024-01-01").date(), pd.Timestamp("3024-01-01").date()], "High": [1, 2]}),
        "row 1",
    )
    zoned = GOOD.replace("-01,1", "-01 10:00Z,1").replace("-02,2", "-02 10:00,2")
    fails(file(zoned), "line 3, column 'Date'", "without a time zone")
    fails(file(GOOD), "date format '%Q' is not valid", format=CsvFormat(date_format="%Q"))


def test_a_counter_holds_whole_numbers(file):
    fails(file("time,High\n1,1\n2,2\n2.5,3\n4,4\n"), "line 4, column 'time'", "'2.5' is not a whole number", "--date")
    fails(pd.DataFrame({"time": [1, 2.5], "High": [1, 2]}), "row 1, column 'time'", "2.5 is neither")


def test_points_that_may_stand_for_thousands(file):
    text = "Date;High\n01.01.2024;950\n02.01.2024;1.007\n03.01.2024;1.112\n"
    fails(file(text), "prices.csv: '1.007' may be 1.007 or 1007", "decimal mark")
    assert gc.read(file(text), format=CsvFormat(decimal=".")).values[1, 0] == 1.007
    for other in ("0.007", "1.5", "2950"):
        assert gc.read(file(f"{text}04.01.2024;{other}\n")).values[3, 0] == float(other)


def test_a_decimal_mark_that_may_be_a_thousands_mark(file):
    text = "Date;High\n2024-01-01;1,234\n2024-01-02;5,678\n"
    fails(file(text), "prices.csv: '1,234' may be 1.234 or 1234", "decimal mark")
    assert gc.read(file(text), format=CsvFormat(decimal=",")).values[0, 0] == 1.234
    fails(file(text + "2024-01-03;0,5\n2024-01-04;7.5\n"), "line 5, column 'High'", "'7.5' is not a number")


def test_a_separator_that_cannot_be_told(file):
    text = "ds;a, b\n2024-01-01;1,5\n2024-01-02;2,5\n"
    fails(
        file(text), "prices.csv: the comma and the semicolon both split every line into 2 fields", "give the separator"
    )
    assert gc.read(file(text), format=CsvFormat(separator=";")).values[:, 0].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"separator": "::"}, "one character"),
        ({"decimal": "x"}, "expected '.' or ','"),
        ({"encoding": "utf-99"}, "utf-99"),
    ],
)
def test_a_format_that_is_none(options, part):
    with pytest.raises(gc.SpecError, match=part.replace(".", "[.]")):
        CsvFormat(**options)


def test_a_fill_rule_that_is_none(file):
    with pytest.raises(gc.SpecError, match=r"unknown fill rule 'lats'\nhint: did you mean 'last'\?"):
        gc.read(file(GOOD), "High", fill="lats")


def test_several_series():
    days = pd.date_range("2024-01-01", periods=4)
    data = pd.DataFrame({"ds": [*days, *days], "High": np.arange(8.0), "shop": list("aaaabbbb")})
    fails(data, "row 4 (2024-01-01), column 'ds'", "twice, first in row 0", "as id (shop)")
    data.loc[6, "High"] = np.nan
    fails(data, "row 6 (2024-01-03, series 'b'), column 'High'", id="shop")
    data.loc[5, "shop"] = None
    fails(data, "row 5, column 'shop': no series name", id="shop")


def test_a_series_with_another_rule_is_named():
    days, weeks = pd.date_range("2024-01-01", periods=9), pd.date_range("2024-01-01 06:00", periods=9, freq="W")
    data = pd.DataFrame({"ds": [*days, *days, *weeks], "High": np.arange(27.0), "id": [*"a" * 9, *"b" * 9, *"c" * 9]})
    panel = gc.read(data.iloc[:18])
    assert panel.ids == ("a", "b")
    data.loc[20, "ds"] += pd.Timedelta("1h")
    fails(data, "frame: series 'c'", "daily (D)")


def test_joined_files(file):
    other = file("Date,Close\n2024-01-01,5\n2024-01-02,x\n2024-01-03,4\n", "other.csv")
    fails(file(GOOD), "other.csv, line 3, column 'Close'", join=[other])
    twice = file("Date,Close\n2024-01-01,5\n2024-01-01,6\n", "twice.csv")
    fails(file(GOOD), "twice.csv, line 3 (2024-01-01)", "twice, first in line 2", join=[twice])
    strange = file("time,Close\n1,5\n2,6\n", "strange.csv")
    fails(file(GOOD), "strange.csv shares no time with prices.csv", join=[strange])
    many = file("Date,id,Close\n2024-01-01,a,5\n2024-01-02,a,6\n2024-01-01,b,6\n", "many.csv")
    fails(file(GOOD), "many.csv holds 2 series", join=[many])
    good = file(GOOD, "good.csv")
    fails(file(GOOD), "good.csv: a column 'good.High' is there already", join=[good, good])


TSF = "@attribute series_name string\n@attribute start_timestamp date\n@frequency daily\n@data\nT1:2024-01-01:1,2,3\n"


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("1,2,3", "1,x,3", ("demo.tsf, line 5, value 2: 'x'", "?")),
        ("1,2,3", "1,inf,3", ("demo.tsf, line 5, value 2: 'inf'",)),
        ("1,2,3", "1,?,3", ("demo.tsf, line 5 (2024-01-02), column 'y': no value",)),
        ("T1:", "", ("demo.tsf, line 5: 1 attributes", "series_name:start_timestamp:v1,v2,...")),
        ("2024-01-01:", "yesterday:", ("demo.tsf, line 5: 'yesterday'", "1969-01-31")),
        ("daily", "dayly", ("demo.tsf, line 3: unknown frequency 'dayly'", "did you mean 'daily'?")),
        ("@frequency daily\n", "", ("no @frequency",)),
        ("T1:2024-01-01:1,2,3\n", "", ("demo.tsf has no series",)),
        ("@data", "data", ("demo.tsf, line 4: 'data' stands before @data",)),
        ("3\n", "3\nT1:2024-01-01:4\n", ("demo.tsf, line 6: series 'T1' is there twice",)),
        ("daily\n@data\nT1:2024-01-01", "monthly\n@data\nT1:2024-01-15", ("line 5: a monthly series", "2024-01-15")),
        ("daily\n@data\nT1:2024-01-01:1", "weekly\n@data\nT0:2024-01-02:1\nT1:2024-01-01:1", ("line 6", "W-TUE")),
        ("daily\n@data\nT1:2024-01-01:1", "yearly\n@data\nT1:2024-01-01:" + "1," * 300 + "1", ("line 5", "year 2261")),
    ],
)  # fmt: skip
def test_tsf(file, old, new, parts):
    fails(file(TSF.replace(old, new, 1), "demo.tsf"), *parts, target=None)


def test_a_tsf_file_has_no_columns_to_choose(file):
    fails(file(TSF, "demo.tsf"), "a single column, y", target="High")
    assert gc.read(file(TSF, "demo.tsf"), "y").rows == 3
