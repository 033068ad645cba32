"""Tasks in other processes: the same numbers as here, whoever runs them and whatever dies on the way."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from gatecast.edge import engines, panel_jobs
from gatecast.edge.cli import main
from gatecast.edge.engines import working
from gatecast.edge.folds import Folds
from gatecast.edge.options import Engine
from gatecast.errors import FitError, SpecError
from gatecast.forecast.panels import method, rules
from gatecast.forecast.panels.baselines import global_method
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.kept import Following, data_key
from gatecast.forecast.panels.method import Share
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.judge.backtest import backtest
from gatecast.prepare.split import Origins
from gatecast.train.farm import as_they_end
from gatecast.train.lockstep import Tick
from panels import monthly, shorten

AT_WORK = re.compile("spawn_main|ray::PoolActor")
"""The command of a process that works, of Dask and of Ray."""
CLUSTERS = ["dask", "ray"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_task_whose_process_is_killed_runs_again_and_none_of_another_process(name, tmp_path):
    folder = str(tmp_path)

    def work(item: int) -> int:
        tries = list(Path(folder).glob(f"{item}.*"))
        Path(folder, f"{item}.{len(tries)}.{os.getpid()}").touch()
        if item == 3 and not tries:
            mine = {path.name.split(".")[0] for path in Path(folder).glob(f"*.{os.getpid()}")} - {"3"}
            while not all(Path(folder, f"{name} is collected").exists() for name in mine):
                time.sleep(0.01)  # a result that is not collected yet costs its task too
            time.sleep(1)  # and until the cluster knows that it was
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    with working(Engine(jobs=2, engine=name)):
        found = {}
        for item, square in as_they_end(work, range(6)):
            found[item] = square
            (tmp_path / f"{item} is collected").touch()
    assert found == {n: n * n for n in range(6)}
    tries = sorted(path.name.split(".") for path in tmp_path.glob("*.*"))
    again = [int(item) for item, number, _ in tries if number != "0"]
    assert again.count(3) == 1 and len(tries) == 6 + len(again)
    assert len(again) <= (2 if name == "dask" else 1)  # joblib holds on to the result that Dask gave it last
    (killed,) = {pid for item, number, pid in tries if (item, number) == ("3", "0")}
    assert all(pid == killed for item, number, pid in tries if int(item) in again and number == "0")
    assert str(os.getpid()) not in {pid for _, _, pid in tries}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_task_that_kills_every_process_is_given_up_with_an_error(name):
    def work(item: int) -> int:
        if item == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(FitError, match="every process that ran it died"), working(Engine(jobs=2, engine=name)):
        list(as_they_end(work, range(3)))


class Killer(Tick):
    """At the first finished origin one process that works is killed."""

    def __init__(self):
        self.killed = 0

    def step(self):
        if not self.killed:
            workers = [p for p in psutil.Process().children(recursive=True) if AT_WORK.search(" ".join(p.cmdline()))]
            self.killed = workers[0].pid
            workers[0].kill()


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_gives_the_bits_of_one_process_though_a_worker_is_killed(name, monkeypatch):
    shorten(monkeypatch)
    model, killer = global_method("global_ridge", 4), Killer()
    alone = backtest(model, monthly(), Origins(3))
    with working(Engine(jobs=2, engine=name)):
        found = backtest(model, monthly(), Origins(3), watch=Following(killer))
    pd.testing.assert_frame_equal(found.frame, alone.frame, check_exact=True)
    assert killer.killed


MEMBERS = """
import hashlib, sys
import gatecast as gc
from gatecast.data.synthetic import sine
from gatecast.edge.engines import working
from gatecast.edge.options import Engine
from gatecast.forecast.panels import rules

rules.FEWEST_STEPS = rules.MOST_STEPS = 20
if __name__ == "__main__":
    recipe = gc.Recipe(training=gc.Training(epochs=2))
    for engine in ("local", sys.argv[1]):
        with working(Engine(jobs=2, engine=engine)):
            networks = list(gc.Forecaster("lstm:4", lookback=8, members=2, recipe=recipe).fit(sine(60)).networks_)
            parts = gc.GlobalForecaster(4, without=["rival"]).fit(sine(60)).parts_
        networks += [network for part in parts for network in part.nets]
        weights = [weight.numpy().tobytes() for network in networks for weight in network.state_dict().values()]
        print(len(weights), hashlib.sha256(b"".join(weights)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_members_of_an_ensemble_are_the_same_networks_wherever_they_are_trained(name, tmp_path):
    script = tmp_path / "members.py"
    script.write_text(MEMBERS)
    done = subprocess.run([sys.executable, str(script), name], capture_output=True, text=True, timeout=120)
    here, there = done.stdout.splitlines()
    assert here == there and int(here.split()[0]) > 20, done.stderr


# -- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "message", "hint"),
    [
        (Engine(engine="spark"), "unknown engine 'spark'", "Known: local, dask, ray"),
        (Engine(address="tcp://a:1"), "--address tcp://a:1 is for a cluster", "add --engine dask"),
        (Engine(jobs=2, engine="ray", address="a:1"), "--jobs is for a cluster on this machine", "leave one out"),
        (Engine(engine="dask", address="tcp://127.0.0.1:9"), "no dask cluster at tcp://127.0.0.1:9", "start it"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(engine, message, hint, monkeypatch):
    monkeypatch.setattr(engines, "PATIENCE", 0.3)
    with pytest.raises(SpecError, match=re.escape(message)) as told, working(engine):
        pytest.fail("it works")
    assert hint in told.value.hint


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_names_the_command(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SpecError, match=f"this needs {module}") as told, working(Engine(engine=name)):
        pytest.fail("it works")
    assert told.value.hint == f"pip install 'gatecast[{name}]'"


# -- finished folds ---------------------------------------------------------------------------------------------------


def test_a_table_comes_back_from_its_file_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    tables = [
        {
            "unique_id": rng.choice(["a", "älter", ""], rows),
            "ds": rng.integers(0, 9**9, rows).astype(kind),
            "y": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        }
        for rows, kind in ((7, "datetime64[ns]"), (4, "int64"))
    ]
    store = Folds(tmp_path / "folds")
    assert store.read("k") is None
    store.write("k", tables)
    found = store.read("k")
    for table, other in zip(tables, found, strict=True):
        assert list(table) == list(other)
        for name, column in table.items():
            assert column.dtype == other[name].dtype
            np.testing.assert_array_equal(column, other[name])
    store.write("other", tables)
    folder = tmp_path / "folds"
    (folder / "k.fold").write_bytes((folder / "other.fold").read_bytes())
    (folder / "other.fold").write_bytes(b"cut off")
    assert store.read("k") is store.read("other") is None, "a file of another key, and a damaged one"
    store.clear()
    assert not folder.exists()


def test_the_key_of_a_fold_changes_with_everything_that_it_depends_on():
    frame = monthly()
    worse = frame.assign(y=frame["y"].where(frame.index != 3, 1.0))

    def keys(model, data=frame, count=2, **wanted):
        given, cuts = model.origins_of(data, Origins(count, 1))
        return {Share(model, (cut,)).key(data_key(given), wanted or {"lo-80": 0.1}) for cut in cuts}

    usual = keys(GlobalForecaster(4))
    assert keys(GlobalForecaster(4)) == usual and len(usual) == 2
    assert len(keys(GlobalForecaster(4), count=3) & usual) == 2  # one more origin: the others are kept
    others = [
        keys(GlobalForecaster(3)),
        keys(GlobalForecaster(4, season=6)),
        keys(GlobalForecaster(4, without=["rival"])),
        keys(SamplingForecaster(4)),
        keys(SamplingForecaster(4, drawing=Drawing(paths=10))),
        keys(SequenceForecaster(4)),
        keys(SequenceForecaster(4, members=2)),
        keys(GlobalForecaster(4), worse),
        keys(GlobalForecaster(4), frame.replace({"unique_id": {"s0": "s9"}})),
        keys(GlobalForecaster(4), **{"lo-80": 0.2}),
    ]
    every = [usual, *others]
    assert len(set().union(*every)) == sum(map(len, every))


OPTIONS = ["backtest", "panel.csv", "--h", "4", "--windows", "2", "--quiet"]


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A panel in the working folder, and a list of the folds that were learned."""
    shorten(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monthly(3, 5).to_csv("panel.csv", index=False)
    learned, real = [], method._learned
    monkeypatch.setattr(method, "_learned", lambda *given: learned.append(given[-1]) or real(*given))
    return learned


def drift(_spec, _options, settings):
    """A model that learns in no time, in the place of the global one."""
    return global_method("drift", **{name: told for name, told in settings.items() if name != "device"})


def test_a_backtest_that_was_cut_goes_on_from_its_finished_folds(counted, monkeypatch):
    monkeypatch.setattr(panel_jobs, "global_forecaster", drift)
    real = Folds.write

    def write(store, key, tables):
        if len(counted) > 4:
            raise KeyboardInterrupt
        real(store, key, tables)

    monkeypatch.setattr(Folds, "write", write)
    assert main([*OPTIONS, "-o", "cut"]) == 130
    assert main([*OPTIONS, "-o", "cut", "--engine", "spark"]) == 2
    assert len(list(Path("cut/folds").iterdir())) == 4
    monkeypatch.setattr(Folds, "write", real)
    counted.clear()
    assert main([*OPTIONS, "-o", "cut", "--resume", "--season", "6"]) == 0  # nothing of another season is taken
    assert len(counted) == 6 and not Path("cut/folds").exists()


@pytest.mark.slow
def test_a_backtest_that_was_killed_and_resumed_writes_the_same_bytes(counted):
    assert main([*OPTIONS, "-o", "whole"]) == 0
    script = "from gatecast.forecast.panels import rules\n"
    script += f"rules.FEWEST_STEPS = rules.MOST_STEPS = {rules.MOST_STEPS}\n"
    script += f"from gatecast.edge.cli import main; main({[*OPTIONS, '-o', 'cut']})"
    victim, end = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL), time.monotonic() + 120
    while len(list(Path("cut").glob("folds/*.fold"))) < 3:
        assert time.monotonic() < end and victim.poll() is None
        time.sleep(0.01)
    victim.kill()
    assert victim.wait(120) == -signal.SIGKILL and not Path("cut/forecasts.csv").exists()
    finished = len(list(Path("cut").glob("folds/*.fold")))
    counted.clear()
    assert main([*OPTIONS, "-o", "cut", "--resume"]) == 0
    assert len(counted) == 8 - finished
    assert Path("cut/forecasts.csv").read_bytes() == Path("whole/forecasts.csv").read_bytes()
    assert not Path("cut/folds").exists()
