"""The command line: what it prints where, what it writes, how it takes Ctrl-C."""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gatecast as gc
from gatecast.edge.cli import main

QUICK = ["--model", "gru:4", "--lookback", "8", "--epochs", "2"]
RUNNING = 60
"""Seconds that a process may need to get going on a busy machine."""


def write_prices(path, rows=120, ids=()):
    """A random walk of business-day prices, for every id in `ids` if there are any."""
    rng = np.random.default_rng(3)
    lines = ["Date,High,Low" + (",unique_id" if ids else "")]
    for name in ids or ("",):
        high = 100 + np.cumsum(rng.normal(0, 1, rows))
        days = np.busday_offset("2020-01-01", np.arange(rows), roll="forward")
        tail = f",{name}" if name else ""
        lines += [f"{day},{value!r},{value - 1!r}{tail}" for day, value in zip(days, map(float, high), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def prices(tmp_path):
    return write_prices(tmp_path / "prices.csv")


def gatecast(*arguments, **options):
    """Start `python -m gatecast` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(gc.__file__).parent.parent)} | options.pop("env", {})
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", "gatecast", *arguments], env=environment, text=True, **pipes, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["run", "--tarjet", "x"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from gatecast.edge.cli import main\n"
        f"main({arguments!r})\n"
        "heavy = {'torch', 'pandas', 'altair', 'numpy', 'rich', 'jaxtyping', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=RUNNING)
    assert done.returncode == 0, done.stderr


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"gatecast \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("run", "fit", "predict", "datasets"))
    assert all(f"\n    {code:<5}" in text for code in (0, 1, 2, 3, 4, 5, 130))


def test_help_names_every_choice(capsys):
    from gatecast.forecast.presets import PRESETS
    from gatecast.nn.initial import INITIALS
    from gatecast.prepare.scale import TRANSFORMS
    from gatecast.train.losses import LOSSES
    from gatecast.train.optimisers import OPTIMISERS

    main(["run", "--help"])
    words = set(re.findall(r"[\w-]+", capsys.readouterr().out))
    assert {*TRANSFORMS, *OPTIMISERS, *LOSSES, *INITIALS, *PRESETS, "error", "last", "linear"} <= words


def test_every_option_has_a_help_sentence():
    import typer

    from gatecast.edge.cli import app

    for command in typer.main.get_command(app).commands.values():
        assert command.help
        for parameter in command.params:
            assert parameter.name == "help" or parameter.help, (command.name, parameter.name)
            assert parameter.name == "help" or parameter.help.endswith("."), (command.name, parameter.name)


def test_a_run_prints_findings_then_table_then_verdicts_and_writes_nothing(prices, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", prices, "--target", "High", "--test-from", "20 rows", *QUICK]) == 0
    out, err = capsys.readouterr()
    found, table, verdict = (
        out.index("120 rows of High, Low"),
        out.index("free-run RMSE"),
        out.index("naive: the yardstick"),
    )
    assert found < table < verdict
    names = {"naive", "drift", "moving_average", "ridge", "gru:4"}
    assert names <= {line.split()[0] for line in out[table:verdict].splitlines() if line}
    assert names <= {line.split(": ")[0] for line in out[table:].splitlines() if ". Free run: " in line}
    assert "gru:4: training 1 network" in err and "gru:4: trained in" in err
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_naive_on_a_known_walk_is_printed_with_four_decimals(tmp_path, capsys):
    steps = np.r_[np.tile([1.0, -1.0], 40), np.full(20, 1.539014)]
    lines = [f"{i},{value!r}" for i, value in enumerate(map(float, 50 + np.cumsum(steps)))]
    (tmp_path / "walk.csv").write_text("\n".join(["ds,y", *lines]))
    assert main(["run", str(tmp_path / "walk.csv"), "--test-from", "20 rows", "-q", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^naive +1\.5390 +1\.539 ", out, re.MULTILINE)
    assert err == ""


def test_json_is_all_there_is_on_stdout(prices, capsys):
    options = ["--test-from", "20 rows", "--target", "High", "--seeds", "2", "--seed", "7", "--json"]
    assert main(["run", prices, *options, *QUICK]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    (network,) = (model for model in document["series"][0]["models"] if model["kind"] == "network")
    assert [run["seed"] for run in network["runs"]] == [7, 8]
    assert "120 rows of High, Low" in err
    assert "gru:4: training 2 networks" in err


def test_o_writes_report_forecasts_metrics_and_models(prices, tmp_path, capsys):
    folder = tmp_path / "deep" / "out"
    arguments = ["run", prices, "--target", "High", "--test-from", "20 rows", "-o", str(folder), *QUICK]
    assert main(arguments) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["forecasts.csv", "metrics.json", "models", "report.html"]
    document = json.loads((folder / "metrics.json").read_text())
    assert document["command"] == shlex.join(["gatecast", *arguments])
    (network,) = (model for model in document["series"][0]["models"] if model["kind"] == "network")
    assert network["file"] == "models/gru-4.gatecast"
    model = gc.load(folder / network["file"])
    with (folder / "forecasts.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["model"], r["mode"]) == ("gru:4", "free_run")]
    assert [float(row["mean"]) for row in rows] == list(model.free_run(20).mean)
    assert f"wrote {folder}/" in capsys.readouterr().err
    assert main(arguments) == 0


def test_several_series_have_a_table_each_and_can_be_picked(tmp_path, capsys):
    file = write_prices(tmp_path / "many.csv", rows=80, ids=("A/B", "A:B"))
    options = ["--target", "High", "--test-from", "10 rows", "-q", *QUICK]
    assert main(["run", file, *options, "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 series") and out.count("free-run RMSE") == 2
    assert len(list((tmp_path / "out" / "models").iterdir())) == 2
    assert main(["run", file, *options, "--series", "A:B", "--json"]) == 0
    assert [series["name"] for series in json.loads(capsys.readouterr().out)["series"]] == ["A:B"]


def test_the_notebook_alignment_starts_free_runs_a_row_early(prices, capsys):
    options = ["--target", "High", "--test-from", "20 rows", "--json", "-q", *QUICK]
    errors = []
    for extra in ([], ["--notebook-alignment"]):
        assert main(["run", prices, *options, *extra]) == 0
        models = json.loads(capsys.readouterr().out)["series"][0]["models"]
        errors.append({m["name"]: m["runs"][0]["free_run"]["scores"]["rmse"] for m in models})
    assert errors[0]["naive"] != errors[1]["naive"]


def test_options_reach_the_models(prices, tmp_path, capsys):
    file = str(tmp_path / "m.gatecast")
    options = "--lookback 9 --dropout 0.25 --members 2 --transform standard --initial keras --optimiser sgd --loss mae"
    more = "--learning-rate 0.5 --batch 7 --epochs 3 --patience 0 --inputs Low --device cpu"
    arguments = ["fit", prices, "--target", "High", "--model", "gru:3", *options.split(), *more.split(), "-o", file]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "window of 9 rows of High, Low; standard" in out
    plan = gc.load(file).plan_
    training = plan.recipe.training
    assert (plan.dropout, plan.members, plan.recipe.initial) == (0.25, 2, "keras")
    assert (training.optimiser, training.loss, training.learning_rate) == ("sgd", "mae", 0.5)
    assert (training.batch, training.epochs, training.patience) == (7, 3, None)


def test_options_change_only_what_they_name():
    from gatecast.edge.jobs import forecasters
    from gatecast.edge.options import Network
    from gatecast.forecast.plan import AUTO_TRAINING
    from gatecast.forecast.presets import preset

    (auto,) = forecasters(["auto"], None, Network(epochs=3))
    assert (auto.recipe.training.epochs, auto.recipe.training.loss) == (3, AUTO_TRAINING.loss)
    lines = forecasters(["rnn:2"], "notebook", Network(epochs=1))
    assert [model.spec for model in lines] == [*(model.spec for model in preset("notebook")), "rnn:2"]
    assert lines[0].dropout == 0.2 and lines[0].recipe.training.optimiser == "keras-rmsprop"
    assert [part.optimiser for part in lines[5].recipe.training] == ["keras-rmsprop", "keras-sgd"]
    assert [model.spec for model in forecasters([], None, Network())] == ["auto", "lstm:32", "gru:32"]


def test_fit_and_predict_go_on_from_newer_data(tmp_path, capsys):
    whole = Path(write_prices(tmp_path / "whole.csv"))
    old = tmp_path / "old.csv"
    old.write_text("".join(whole.read_text().splitlines(keepends=True)[:101]))
    model = str(tmp_path / "m.gatecast")
    assert main(["fit", str(old), "--target", "High", "-o", model, "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] > 0
    assert main(["predict", model, "--h", "3"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [*rows[0]] == ["unique_id", "ds", "cutoff", "mode", "gru:4"]
    assert {row["cutoff"] for row in rows} == {old.read_text().splitlines()[-1][:10]}
    loaded = gc.load(model)
    assert [float(row["gru:4"]) for row in rows] == list(loaded.predict(3).mean)
    assert main(["predict", model, "--h", "3", "--data", str(whole), "-o", str(tmp_path / "fc.csv")]) == 0
    assert capsys.readouterr().out == ""
    newer = list(csv.DictReader(io.StringIO((tmp_path / "fc.csv").read_text())))
    assert {row["cutoff"] for row in newer} == {whole.read_text().splitlines()[-1][:10]}
    assert main(["predict", model, "--h", "2", "--json"]) == 0
    assert [each["mean"] for each in json.loads(capsys.readouterr().out)["forecast"]] == list(loaded.predict(2).mean)


def test_the_bundled_data_sets_are_listed_and_written(tmp_path, capsys):
    assert main(["datasets"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"ibm", "air_passengers", "ramp", "sine"} <= set(names)
    for name in ("air_passengers", "sine"):
        file = tmp_path / f"{name}.csv"
        assert main(["datasets", name, "-o", str(file)]) == 0
        assert main(["datasets", name]) == 0
        assert capsys.readouterr().out == file.read_text()
        ours, again = gc.dataset(name), gc.read(file)
        assert np.array_equal(ours.values[:, 0], again.values[:, 0])


def test_a_run_on_a_data_set_uses_its_own_test_span(capsys):
    assert main(["run", "air_passengers", "-q", *QUICK]) == 0
    assert "144 rows" in capsys.readouterr().out
    assert main(["run", "sine", "-q", *QUICK]) == 0


def test_colours_only_where_they_are_wanted():
    """A pipe gets no escape codes, nor does anybody under NO_COLOR."""
    process = gatecast("datasets", env={"NO_COLOR": "1"})
    out, err = process.communicate(timeout=RUNNING)
    assert process.returncode == 0, err
    assert "\x1b" not in out + err


def test_a_reader_that_goes_away_ends_it_quietly():
    with gatecast("datasets", "ibm") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=RUNNING) == 1


class Job:
    """A run that would train for ever, on its own process."""

    def __init__(self, *options):
        common = ["run", "sine", "--model", "gru:4", "--lookback", "8", "--epochs", "1000000", "--patience", "0"]
        self.process = gatecast(*common, *options)
        self.err = ""
        self.wait_for("training")

    def wait_for(self, words):
        end = time.monotonic() + RUNNING
        while words not in self.err:
            assert time.monotonic() < end and self.process.poll() is None, self.err
            self.err += self.process.stderr.readline()

    def interrupt(self):
        time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)

    def end(self):
        out, err = self.process.communicate(timeout=RUNNING)
        return self.process.returncode, out, self.err + err


def test_the_first_interrupt_keeps_the_best_weights_and_goes_on(tmp_path):
    job = Job("--seeds", "2", "-o", str(tmp_path))
    job.interrupt()
    code, out, err = job.end()
    assert code == 0, err
    assert err.count("best weights") == 1
    assert "gru:4:" in out
    runs = json.loads((tmp_path / "metrics.json").read_text())["series"][0]["models"]
    endings = [curve["ending"] for model in runs for run in model["runs"] for curve in run["losses"]]
    assert len(endings) == 2 and all("stopped by hand" in ending for ending in endings)


def test_the_second_interrupt_ends_the_run_and_keeps_the_checkpoints(tmp_path):
    job = Job("--seeds", "2", "--model", "lstm:4", "-o", str(tmp_path))
    job.interrupt()
    job.wait_for("best weights")
    job.wait_for("lstm:4: training")
    job.interrupt()
    code, out, err = job.end()
    assert code == 130, err
    assert "error: interrupted\nhint: " in err and "Traceback" not in err
    assert "free-run RMSE" not in out
    assert list((tmp_path / "checkpoints").iterdir())


def test_a_killed_run_resumes_to_the_same_numbers(prices, tmp_path, capsys, monkeypatch):
    from gatecast.edge.checkpoints import Checkpoints

    options = ["run", prices, "--target", "High", "--test-from", "20 rows", "--model", "gru:4", "--lookback", "8"]
    options += ["--epochs", "4", "--dropout", "0.2", "-q"]
    assert main([*options, "-o", str(tmp_path / "whole")]) == 0
    write, written = Checkpoints.write, []

    def dying(self, key, state):
        write(self, key, state)
        written.append(key)
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", dying)
        assert main([*options, "-o", str(tmp_path / "cut")]) == 130
    assert main([*options, "-o", str(tmp_path / "cut"), "--resume"]) == 0
    same = [(tmp_path / name / "forecasts.csv").read_bytes() for name in ("whole", "cut")]
    assert same[0] == same[1]
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_a_multi_step_head_forecasts_in_one_pass(prices, tmp_path, capsys):
    path = str(tmp_path / "m.gatecast")
    options = ["--target", "High", "--model", "gru:3", "--lookback", "8", "--epochs", "1", "--h", "4", "-q"]
    assert main(["fit", prices, *options, "-o", path]) == 0
    capsys.readouterr()
    assert main(["predict", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(",direct," in line for line in lines[1:])


def test_fit_and_predict_many_series(tmp_path, capsys, monkeypatch):
    from gatecast.forecast.panels import rules

    monkeypatch.setattr(rules, "FEWEST_STEPS", 5)
    monkeypatch.setattr(rules, "MOST_STEPS", 5)
    rows = [f"{name},{i},{10 + k + i % 4}" for k, name in enumerate("bac") for i in range(60)]
    file, model, out = tmp_path / "panel.csv", tmp_path / "m.gatecast", tmp_path / "fc.csv"
    file.write_text("\n".join(["unique_id,ds,y", *rows]))
    assert main(["fit", str(file), "--h", "8", "--season", "4", "-o", str(model)]) == 0
    assert "3 series, 8 steps ahead" in capsys.readouterr().out
    assert main(["predict", str(model), "--level", "50", "-o", str(out)]) == 0
    found = pd.read_csv(out)
    assert list(found.columns) == ["unique_id", "ds", "Gatecast", "Gatecast-lo-50", "Gatecast-hi-50"]
    assert found["unique_id"].tolist() == [name for name in "abc" for _ in range(8)]
    assert found["ds"].tolist() == [*range(60, 68)] * 3
    capsys.readouterr()
    newer = tmp_path / "newer.csv"
    newer.write_text("\n".join(["unique_id,ds,y", *(row for row in rows if row.startswith("b")), "b,60,11"]))
    assert main(["predict", str(model), "--h", "2", "--data", str(newer), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(each["unique_id"], each["ds"]) for each in document["forecast"]] == [("b", 61), ("b", 62)]
    assert main(["predict", str(model), "--h", "9"]) == 4
    assert main(["predict", str(model), "--level", "eighty"]) == 2
    assert main(["predict", str(model), "--level", "120"]) == 4
    assert main(["predict", str(model), "--quantiles", "0.5,0.9", "-o", str(out)]) == 0
    assert list(pd.read_csv(out).columns[3:]) == ["Gatecast-q-0.5", "Gatecast-q-0.9"]


def test_a_recursive_model_is_predicted_with_too(tmp_path, capsys, monkeypatch):
    from gatecast.forecast.panels import rules

    monkeypatch.setattr(rules, "FEWEST_STEPS", 5)
    monkeypatch.setattr(rules, "MOST_STEPS", 5)
    write_panel(tmp_path)
    model = gc.SamplingForecaster(2, target="y", drawing=gc.Drawing(paths=8)).fit(tmp_path / "panel.csv")
    gc.save(model, tmp_path / "m.gatecast")
    assert main(["predict", str(tmp_path / "m.gatecast"), "--level", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "unique_id,ds,Gatecast-sampling,Gatecast-sampling-lo-50,Gatecast-sampling-hi-50"
    assert len(lines) == 1 + 3 * 2


def write_panel(folder):
    """A panel file with a past and a known-future column, what is known ahead, and facts."""
    rows = [f"{n},{i},{10 + k + i % 4},{i % 3},{i % 2}" for k, n in enumerate("bac") for i in range(60)]
    (folder / "panel.csv").write_text("\n".join(["unique_id,ds,y,rain,sale", *rows]))
    ahead = [f"{n},{i},1" for n in "abc" for i in range(60, 64)]
    (folder / "ahead.csv").write_text("\n".join(["unique_id,ds,sale", *ahead]))
    (folder / "facts.csv").write_text("unique_id,kind\na,x\nb,y\nc,x\n")


def test_covariates_from_files(tmp_path, capsys, monkeypatch):
    from gatecast.forecast.panels import rules

    monkeypatch.setattr(rules, "FEWEST_STEPS", 5)
    monkeypatch.setattr(rules, "MOST_STEPS", 5)
    monkeypatch.chdir(tmp_path)
    write_panel(tmp_path)
    told = ["--past", "rain", "--future", "sale", "--static", "facts.csv"]
    assert main(["fit", "panel.csv", "--h", "4", *told, "-o", "m.gatecast"]) == 0
    assert "1 past and 1 known-future columns; 2 static numbers" in capsys.readouterr().out
    assert main(["predict", "m.gatecast", "--ahead", "ahead.csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 13
    assert main(["predict", "m.gatecast"]) == 4
    assert "sale of the 4 rows" in capsys.readouterr().err
    assert main(["predict", "m.gatecast", "--ahead", "none.csv"]) == 3
    assert "there is no file 'none.csv'" in capsys.readouterr().err


def test_a_backtest_and_a_run_of_many_series(tmp_path, capsys, monkeypatch):
    from gatecast.forecast.panels import rules

    monkeypatch.setattr(rules, "FEWEST_STEPS", 5)
    monkeypatch.setattr(rules, "MOST_STEPS", 5)
    monkeypatch.chdir(tmp_path)
    write_panel(tmp_path)
    options = ["--season", "4", "--target", "y"]
    told = ["--h", "3", "--windows", "2", "--step", "2", "--no-refit", "--past", "rain"]
    assert main(["backtest", "panel.csv", *options, *told, "-o", "out", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [each["model"] for each in document["models"]] == ["Gatecast", "seasonal_naive", "drift", "global_ridge"]
    assert document["h"] == 3 and len(document["steps"]) == 12 and len(document["skills"]) == 3
    assert "3 series, 2 origins, 3 steps" in captured.err and "wrote out/" in captured.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("forecasts.csv", "metrics.json", "report.html", "scores.csv"),
    ]
    assert len(pd.read_csv("out/forecasts.csv")) == 3 * 2 * 3 and len(pd.read_csv("out/scores.csv")) == 4 * 3 * 2
    assert main(["run", "panel.csv", *options, "--test-from", "10%"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 series, 1 origin, 6 steps") and "95 % holds" in out and "drift: no comparison" in out
    assert main(["backtest", "panel.csv", *options, "--h", "3", "--no-refit", "--model", "sequence:gru:4"]) == 0
    assert "Gatecast-sequence  " in capsys.readouterr().out
    assert main(["backtest", "panel.csv", *options, "--model", "gru:4"]) == 2
    assert "take --model sequence" in capsys.readouterr().err
    assert main(["backtest", "panel.csv", *options, "--by", "year"]) == 2
    assert "kind of cut-off" in capsys.readouterr().err
