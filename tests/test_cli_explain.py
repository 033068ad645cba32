"""`gatecast explain`: what it says, what it writes, what it refuses."""

import json

import pytest

import gatecast as gc
from gatecast.edge.cli import main
from gatecast.explain.explanation import explain
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.show.explain_charts import explained
from models import network, prices
from panels import monthly, shorten

PANEL = prices(160)


@pytest.fixture
def saved(tmp_path):
    """A small model, and a file with its training rows and forty newer ones."""
    frame = PANEL.frame().rename(columns={"ds": "Date"}).drop(columns="unique_id")
    frame.to_csv(tmp_path / "prices.csv", index=False)
    train = PANEL.columns_as(("High",)).until(PANEL.times[119])
    gc.save(network("lstm:3-gru:2").fit(train), tmp_path / "m.gatecast")
    return tmp_path


def test_sentences_on_stdout_and_files_where_asked(saved, capsys):
    files = ["--data", str(saved / "prices.csv"), "-o", str(saved / "out"), "-q"]
    assert main(["explain", str(saved / "m.gatecast"), *files]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[0].startswith("Effective memory: 95 % of the sensitivity lies in the newest ")
    assert lines[-1].startswith("Free runs from ")
    facts = json.loads((saved / "out" / "explain.json").read_text())
    assert facts["sentences"] == lines
    page = (saved / "out" / "explain.html").read_text()
    assert "Gatecast explanation" in page and page.count('class="chart"') == 6
    assert len(page) < 3_000_000


def test_json_is_the_same_document_and_comparing_needs_the_rows_it_learned_from(saved, capsys):
    model = str(saved / "m.gatecast")
    assert main(["explain", model, "--data", str(saved / "prices.csv"), "--compare", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["cell"] for row in found["decay"]["rows"]] == ["rnn", "lstm", "gru"]
    assert found["differences"]["starts"] == found["runs"]["starts"] > 1
    assert main(["explain", model, "--compare", "-q"]) == 4
    assert "0 newer rows, expected at least 20 to compare cells" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["direct", "recursive"])
def test_saved_models_of_a_panel_are_explained(kind, tmp_path, capsys, monkeypatch):
    shorten(monkeypatch)
    recursive = SamplingForecaster(h=4, drawing=Drawing(paths=9, networks=1))
    model = gc.GlobalForecaster(h=4) if kind == "direct" else recursive
    gc.save(model.fit(monthly(2, 6)), tmp_path / "p.gatecast")
    assert main(["explain", str(tmp_path / "p.gatecast"), "-q"]) == 0
    assert "Information flow: every one of 4 steps moves when the newest value moves." in capsys.readouterr().out


def test_the_adding_problem_needs_no_model(tmp_path, capsys):
    assert main(["explain", "--adding", "6", "--batches", "3", "-o", str(tmp_path / "add"), "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("adding problem, T = 6: ") for line in lines)
    assert len(json.loads((tmp_path / "add" / "explain.json").read_text())["rows"]) == 3


@pytest.mark.parametrize("arguments", [[], ["m.gatecast", "--adding", "9"]])
def test_a_model_or_the_adding_problem_not_both(arguments, capsys):
    assert main(["explain", *arguments]) == 2
    assert "expected a model file, or --adding STEPS" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--compare"], ["--data", "prices.csv"]])
def test_what_is_asked_of_a_model_is_refused_with_the_adding_problem(option, capsys):
    assert main(["explain", "--adding", "6", *option]) == 2
    assert "--data and --compare are about a model" in capsys.readouterr().err


def test_every_chart_says_in_words_what_it_shows_and_holds_its_numbers():
    train = PANEL.columns_as(("High",)).until(PANEL.times[119])
    found = explain(network("bilstm:3-rnn:2", h=2).fit(train), PANEL)
    parts = list(explained(found))
    assert [title for title, _, _ in parts] == [
        "Gradient through time",
        "One step's largest singular value",
        "Layer 1 (lstm) through one window",
        "Layer 1 (lstm, backwards) through one window",
        "Layer 2 (rnn) through one window",
        "Information flow",
        "What the forecast used",
        "Free runs from many starts",
    ]
    for _, sentence, chart in parts:
        spec = chart.to_dict()
        assert sentence and spec["description"]
        assert any(records for records in spec["datasets"].values())
    (records,) = (each for each in parts[0][2].to_dict()["datasets"].values() if each and "y3" in each[0])
    lines = [*(layer.gradient for layer in found.memory.layers), found.memory.inputs]
    for number, line in enumerate(lines):
        assert [record[f"y{number}"] for record in records] == [float(f"{value:.6g}") for value in line]


def test_batches_go_with_the_adding_problem_alone(capsys):
    assert main(["explain", "m.gatecast", "--batches", "9"]) == 2
    assert "--batches is about the adding problem" in capsys.readouterr().err
