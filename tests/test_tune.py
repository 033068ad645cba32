"""Tuning: what is tried, what is never looked at, what is said of the gain, and how a study goes on."""

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import optuna
import pandas as pd
import pytest

from gatecast.data.read import read
from gatecast.data.synthetic import sine
from gatecast.edge.cli import main
from gatecast.edge.cli_tune import _span
from gatecast.edge.save import load
from gatecast.errors import DataError, SpecError
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.judge import tuning
from gatecast.judge.backtest import Gain
from gatecast.judge.spaces import Case, PanelSpace, SeriesSpace
from gatecast.judge.tuning import Budget, Tried, tune
from gatecast.prepare.split import Origins
from panels import monthly, shorten

optuna.logging.set_verbosity(optuna.logging.ERROR)
BUDGET = Budget(trials=8, folds=3, windows=3)


class Lean(GlobalMethod):
    """Forecasts a constant that is told, and counts how often it learned."""

    name = "lean"
    fits = 0

    def __init__(self, h, value=0.0, **settings):
        super().__init__(h, **settings)
        self.value = value

    def settings(self):
        return {"value": self.value, **super().settings()}

    def _learn(self, given, seed, horizons, tick):
        Lean.fits += 1
        return Scores(np.zeros((0, self.h, 7)))

    def _paths(self):
        return np.full((len(self.panel_), self.h, 7), self.value)


class Constants(PanelSpace):
    """What is tried: the constant; the automatic recipe says 2."""

    @property
    def auto(self):
        return {"value": 2.0}

    def suggest(self, trial):
        trial.suggest_categorical("value", (0.0, 1.0, 2.0, 3.0, 5.0, 8.0))

    def model(self, params, h, told):
        return Lean(h, params["value"])


def near(value, seed=0, rows=60, series=4):
    """Noise around a value."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{n}" for n in range(series)], rows),
            "ds": np.tile(np.arange(rows), series),
            "y": value + rng.normal(0, 0.1, series * rows),
        }
    )


def test_the_best_constant_is_found_and_recommended_and_its_gain_is_that_of_the_test_span():
    found = tune(near(3.0, rows=120), 2, replace(BUDGET, windows=20), space=Constants())
    assert found.best.params == {"value": 3.0} and found.auto.params == {"value": 2.0}
    assert found.recommended == "tuned" and found.model.value == 3.0
    last = near(3.0, rows=120).groupby("unique_id")["y"].apply(lambda y: y.to_numpy()[-40:].reshape(20, 2))
    error = [np.mean([np.abs(y - value).mean() for y in last]) for value in (3.0, 2.0)]
    assert found.gain.percent == pytest.approx(100 * (1 - error[0] / error[1]), abs=3)  # series weigh by their scale
    assert found.gain.low > 0 and found.verdict.startswith("gained: MASE")


def test_no_trial_sees_the_test_span():
    frame = near(3.0)
    late = frame["ds"] >= frame["ds"].max() - 2 * BUDGET.windows + 1
    other = frame.assign(y=frame["y"].where(~late, 1e6))
    one, two = (tune(data, 2, BUDGET, space=Constants()) for data in (frame, other))
    assert sorted(map(str, one.trials)) == sorted(map(str, two.trials))
    assert one.held_back == two.held_back and one.gain.percent != two.gain.percent


def test_where_the_automatic_recipe_is_best_or_nearly_so_it_is_kept():
    found = tune(near(2.0), 2, BUDGET, space=Constants())
    assert found.recommended == "auto" and found.model.value == 2.0
    assert found.verdict == "gained nothing: of 8 trials the automatic recipe was the best; keep it"
    close = replace(found, best=Tried({"value": 3.0}, 1.0, 0), held_back=1.9, gain=Gain(1.0, -2.0, 4.0, "drawn"))
    assert close.recommended == "auto" and close.verdict.endswith("within 2 %: keep the automatic recipe")
    assert close.verdict.startswith("gained nothing that is sure: MASE 1.0 % lower on the test span")
    worse = replace(close, gain=Gain(-3.0, -5.0, -1.0, "drawn"))
    assert worse.verdict.startswith("lost: MASE 3.0 % higher on the test span")


def test_nothing_is_judged_twice_and_the_hopeless_are_given_up_early():
    Lean.fits = 0
    found = tune(near(3.0), 2, replace(BUDGET, trials=16), space=Constants())
    values = {trial.params["value"] for trial in found.trials}
    assert len(found.trials) == 16 and Lean.fits <= 3 * len(values) + 2
    given_up = [trial for trial in found.trials if trial.given_up]
    assert given_up and all(trial.error > found.best.error for trial in given_up)


def test_a_study_goes_on_where_it_was_cut_and_ends_as_if_it_had_not_been(monkeypatch):
    budget, kept = replace(BUDGET, trials=12), optuna.storages.InMemoryStorage()
    whole = tune(near(3.0), 2, budget, space=Constants())
    real, seen, ends = tuning._errors, [], [6]

    def cut(*given):
        seen.append(given[-1])
        if len(seen) in ends:
            raise RuntimeError
        return real(*given)

    monkeypatch.setattr(tuning, "_errors", cut)
    with pytest.raises(RuntimeError):
        tune(near(3.0), 2, budget, space=Constants(), storage=kept)
    ends.clear()
    again = tune(near(3.0), 2, budget, space=Constants(), storage=kept)
    assert list(map(str, again.trials)) == list(map(str, whole.trials))
    seen.clear()
    tune(near(3.0), 2, budget, space=Constants(), storage=kept)
    assert not seen
    tune(near(3.0, seed=1), 2, replace(budget, trials=4), space=Constants(), storage=kept)
    assert seen  # other data are another study


def test_a_study_that_another_process_took_over_ends_in_an_error(monkeypatch):
    kept, real = optuna.storages.InMemoryStorage(), tuning._errors

    def slow(*given):
        monkeypatch.setattr(tuning, "_errors", real)
        tune(near(3.0), 2, BUDGET, space=Constants(), storage=kept)
        return real(*given)

    monkeypatch.setattr(tuning, "_errors", slow)
    with pytest.raises(SpecError, match="another process goes on with the same study"):
        tune(near(3.0), 2, BUDGET, space=Constants(), storage=kept)


def test_every_choice_of_the_spaces_is_a_model_that_can_be_made():
    class Fixed:
        def __init__(self, seed):
            self.rng, self.params = np.random.default_rng(seed), {}

        def suggest_categorical(self, name, choices):
            self.params[name] = choices[self.rng.integers(len(choices))]
            return self.params[name]

        def suggest_float(self, name, low, high, log):
            self.params[name] = float(np.exp(self.rng.uniform(np.log(low), np.log(high))))
            return self.params[name]

    for space in (PanelSpace(), SeriesSpace()):
        names = set()
        for seed in range(30):
            trial = Fixed(seed)
            space.suggest(trial)
            model = space.model(trial.params, 3, {})
            assert model.h == 3
            names.add(str(sorted(trial.params.items())))
        assert len(names) >= 10
        space.model(space.auto, 3, {})


def test_spans_that_choose_end_before_the_test_and_the_test_at_the_end():
    given = Constants().model(Constants().auto, 2, {}).origins_of(near(1.0), Origins())[0]
    folds, test = Case(given, 2, Constants(), {}).spans(3, 6)
    ends = [[int(cut.kept[0]) for cut in span] for span in (*folds, test)]
    assert ends == [[36, 38], [40, 42], [44, 46], [48, 50, 52, 54, 56, 58]]


@pytest.mark.parametrize(("h", "start", "windows"), [(7, "10 rows", 2), (5, "10 rows", 2), (4, "9 rows", 3)])
def test_the_test_is_whole_horizons_and_holds_every_row_that_was_named(h, start, windows):
    assert _span(read(monthly(3, 5)), h, start) == (h, windows)
    with pytest.raises(SpecError, match=f"is shorter than the horizon of {h}"):
        _span(read(monthly(3, 5)), h, f"{h - 1} rows")


@pytest.mark.parametrize("empty", [slice(48, 52), slice(56, 60)])
def test_a_span_of_which_nothing_is_known_is_refused(empty):
    frame = monthly(3, 5)
    rows = frame.groupby("unique_id")["y"].transform("size") - frame.groupby("unique_id").cumcount()
    gone = rows.between(60 - empty.stop + 1, 60 - empty.start)
    with pytest.raises(DataError, match="no value is known in the 4 rows after one of the last"):
        tune(frame.assign(y=frame["y"].where(~gone)), 4, BUDGET, space=Constants())


def test_data_are_read_as_the_models_read_them():
    frame = near(3.0)
    wanted = tune(frame, 2, BUDGET, space=Constants())
    other = frame.rename(columns={"unique_id": "shop", "ds": "week"})
    found = tune(other, 2, BUDGET, space=Constants(), told={"id": "shop", "date": "week"})
    assert [trial.error for trial in found.trials] == [trial.error for trial in wanted.trials]
    with_a_gap = frame.assign(y=frame["y"].where(frame.index != 5))
    assert np.isfinite(tune(with_a_gap, 2, BUDGET, space=Constants()).best.error)


def test_a_budget_and_what_a_series_cannot_be_told_are_refused():
    for name in ("trials", "folds", "windows"):
        with pytest.raises(SpecError, match=f"{name}=0, expected at least 1"):
            Budget(**{name: 0})
    with pytest.raises(SpecError, match="models of one series are not told members"):
        tune(sine(60), 1, Budget(trials=1), told={"members": 3})


def test_a_study_file_that_cannot_be_and_a_package_that_is_not_there(tmp_path, capsys, monkeypatch):
    nowhere = tmp_path / "no" / "study.sqlite"
    assert main(["tune", "sine", "--storage", str(nowhere)]) == 2
    assert "cannot be used" in capsys.readouterr().err
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as base:
        base.execute("CREATE TABLE prices (price)")
    before = other.read_bytes()
    assert main(["tune", "sine", "--storage", str(other)]) == 2
    assert "holds something else than trials" in capsys.readouterr().err and other.read_bytes() == before
    assert main(["tune", "sine", "-o", str(tmp_path / "no" / "m.gatecast")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SpecError, match="this needs optuna") as told:
        tune(sine(60), 1, Budget(trials=1))
    assert told.value.hint == "pip install 'gatecast[tune]'"


@pytest.mark.slow
def test_the_command_tunes_one_series_and_many_and_writes_the_recommended_model(tmp_path, capsys, monkeypatch):
    shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monthly(3, 5).to_csv("panel.csv", index=False)
    told = ["--h", "4", "--trials", "4", "--folds", "1", "-q"]
    assert main(["tune", "panel.csv", *told, "--storage", "what? {s}.sqlite", "-o", "m.gatecast", "--json"]) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert len(found["trials"]) == 4 and found["auto"]["params"]["kind"] == "direct" and found["verdict"]
    assert len(load("m.gatecast").predict()) == 3 * 4
    assert main(["tune", "panel.csv", *told, "--storage", "what? {s}.sqlite", "--json"]) == 0
    assert capsys.readouterr().out == first
    monkeypatch.setattr(tuning, "SeriesSpace", partial(SeriesSpace, specs=("gru:16",), epochs=1))
    assert main(["tune", "sine", "--trials", "4", "--folds", "2", "--test-from", "12 rows", "-q"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("held-back MASE of every trial:") and "spec=auto" in out and "gained" in out
