"""forecasts.csv and metrics.json: complete, strict, exact, and as documented."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import boards
from gatecast.edge.exports import COLUMNS, forecast_csv, forecast_json, forecasts_csv, metrics_json
from gatecast.edge.text import file_names, plain

FORMATS = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")


def rows_of(leaderboard):
    return list(csv.DictReader(io.StringIO(forecasts_csv(leaderboard), newline="")))


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def test_every_forecast_is_there_once_and_in_full_precision():
    board = boards.board()
    rows = rows_of(boards.leaderboard(board))
    expected = {
        (row.name, str(run.seed), forecast.mode): forecast
        for row in board.rows
        for run in row.runs
        for forecast in (run.one_step, run.free_run)
        if forecast
    }
    assert len(rows) == sum(map(len, expected.values()))
    for key, forecast in expected.items():
        lines = [row for row in rows if (row["model"], row["seed"], row["mode"]) == key]
        assert [float(line["mean"]) for line in lines] == list(forecast.mean)
        assert [line["ds"] for line in lines] == [str(day)[:10] for day in forecast.times]
        assert [line["cutoff"] for line in lines] == [str(day)[:10] for day in forecast.origins]
        steps = range(1, len(forecast) + 1) if forecast.mode == "free_run" else [1] * len(forecast)
        assert [int(line["step"]) for line in lines] == list(steps)


def test_bands_truth_and_scored_are_empty_where_absent():
    board = boards.board()
    test = replace(board.test, values=np.where(np.arange(board.test.rows)[:, None] == 5, np.nan, board.test.values))
    rows = rows_of(boards.leaderboard(replace(board, test=test)))
    one, free = (next(row for row in rows if row["mode"] == mode) for mode in ("one_step", "free_run"))
    assert float(one["lo_95"]) < float(one["lo_80"]) < float(one["mean"]) < float(one["hi_80"]) < float(one["hi_95"])
    assert (free["lo_80"], free["hi_95"]) == ("", "")
    hidden = [row for row in rows if row["ds"] == str(test.times[5])[:10]]
    assert {(row["truth"], row["scored"]) for row in hidden} == {("", "false")}
    assert {row["scored"] for row in rows if row not in hidden} == {"true"}


def test_counters_and_clocks_are_written_as_documented():
    counted = rows_of(boards.leaderboard(boards.board(times="counter")))
    assert (counted[0]["ds"], counted[0]["cutoff"]) == ("121", "120")
    board = boards.board()
    hours = pd.date_range("2024-01-01", periods=len(board.rows[0].shown.one_step), freq="h").to_numpy()
    shown = board.rows[0].shown
    row = replace(board.rows[0], runs=(replace(shown, one_step=replace(shown.one_step, times=hours.astype("M8[ns]"))),))
    written = rows_of(boards.leaderboard(replace(board, rows=(row,))))
    assert [line["ds"] for line in written[:2]] == ["2024-01-01", "2024-01-01T01:00:00"]


def test_awkward_names_survive_csv_and_json():
    board = boards.awkward()
    leaderboard = boards.leaderboard(board)
    assert {row["unique_id"] for row in rows_of(leaderboard)} == {board.series}
    series = strict(metrics_json(leaderboard, {}))["series"][0]
    assert (series["name"], series["target"]) == (board.series, boards.AWKWARD_TARGET)
    assert {row["model"] for row in rows_of(leaderboard)} == {model["name"] for model in series["models"]}


def test_metrics_hold_the_numbers_of_the_board():
    board = boards.board()
    name = board.rows[-1].name
    document = strict(metrics_json(boards.leaderboard(board), {(board.series, name): "models/x.gatecast"}))
    assert (document["schema"], document["gatecast"]) == (1, "0.1.0")
    assert document["command"].startswith("gatecast run")
    series = document["series"][0]
    assert series["test"] == {"rows": 40, "from": "2016-11-16", "to": "2017-01-10", "scored": 39}
    for row, model in zip(board.rows, series["models"], strict=True):
        assert model["file"] == ("models/x.gatecast" if row.name == name else None)
        assert [run["one_step"]["scores"]["rmse"] for run in model["runs"]] == [run.scores.rmse for run in row.runs]
        assert [run["free_run"] is None for run in model["runs"]] == [run.free_run is None for run in row.runs]
        assert all((run["refusal"] is None) == (run["free_run"] is not None) for run in model["runs"])
        assert model["comparison"]["p"] == row.comparison.p
        assert len(model["runs"][0]["losses"]) == len(row.runs[0].losses)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_become_null(bad):
    board = boards.board()
    row = board.rows[0]
    run = replace(row.shown, scores=replace(row.shown.scores, rmse=bad), coverage=((80.0, bad),))
    curve = replace(board.row("gru:50x4").shown.losses[0], train=(0.5, bad))
    row = replace(row, runs=(replace(run, losses=(curve,)),), comparison=replace(row.comparison, skill=bad, p=bad))
    document = strict(metrics_json(boards.leaderboard(replace(board, rows=(row,))), {}))
    model = document["series"][0]["models"][0]
    assert model["runs"][0]["one_step"]["scores"]["rmse"] is None
    assert model["runs"][0]["coverage"] == [{"level": 80.0, "share": None}]
    assert model["runs"][0]["losses"][0]["train"] == [0.5, None]
    assert (model["comparison"]["skill"], model["comparison"]["p"]) == (None, None)


def keys_in(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


def test_every_field_is_documented():
    documented = set(re.findall(r'["`](\w+)["`]', FORMATS))
    assert set(COLUMNS) <= documented
    document = strict(metrics_json(boards.leaderboard(), {}))
    settings, versions = document.pop("settings"), document.pop("versions")
    assert settings and versions
    assert keys_in(document) <= documented
    forecast = strict(forecast_json(boards.board().rows[0].shown.free_run))
    assert keys_in(forecast) <= documented


def test_a_prediction_keeps_the_columns_of_its_frame():
    forecast = boards.board().row("naive").shown.one_step
    lines = list(csv.DictReader(io.StringIO(forecast_csv(forecast), newline="")))
    frame = forecast.frame()
    assert list(lines[0]) == list(frame.columns)
    for name in ("naive", "naive-lo-80", "naive-hi-95"):
        assert [float(line[name]) for line in lines] == frame[name].tolist()
    assert [line["ds"] for line in lines] == frame["ds"].dt.strftime("%Y-%m-%d").tolist()
    assert {line["mode"] for line in lines} == {"one_step"}
    document = strict(forecast_json(forecast))
    assert [each["mean"] for each in document["forecast"]] == list(forecast.mean)
    assert document["forecast"][0]["lo_80"] == forecast.bands[0].lo[0]


NAMES = ["lstm:50x4", "lstm-50x4", "LSTM:50x4", "../../etc/passwd", "/abs", "..", "", ".hidden", "a" * 300, "a\0b", "ü"]


def test_file_names_are_safe_and_differ():
    files = file_names(dict(enumerate(NAMES))).values()
    assert len({file.lower() for file in files}) == len(NAMES)
    assert all(re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,90}", file) for file in files)


def test_control_characters_are_shown_not_obeyed():
    assert plain("a\x1b[2Jb\r\x07") == "a\\x1b[2Jb\\r\\x07"
    assert plain("über\nzwei") == "über\nzwei"
