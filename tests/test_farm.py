"""Tasks in other processes: the same numbers as here, whoever runs them and whatever dies on the way."""

import os
import re
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from gatecast.edge.engines import working
from gatecast.edge.options import Engine
from gatecast.forecast.panels.baselines import global_method
from gatecast.forecast.panels.kept import Following
from gatecast.judge.backtest import backtest
from gatecast.prepare.split import Origins
from gatecast.train.farm import as_they_end
from gatecast.train.lockstep import Tick
from panels import monthly, shorten

AT_WORK = re.compile("spawn_main|ray::PoolActor")
"""The command of a process that works, of Dask and of Ray."""
CLUSTERS = ["dask", "ray"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_task_whose_process_is_killed_runs_again_and_no_other_does(name, tmp_path):
    folder = str(tmp_path)

    def work(item: int) -> int:
        tries = [f for f in os.listdir(folder) if f.startswith(f"{item}.")]
        Path(folder, f"{item}.{len(tries)}.{os.getpid()}").touch()
        if item == 3 and not tries:
            time.sleep(1)  # what ended here is collected by now; a result that is not yet costs its task too
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    with working(Engine(jobs=2, engine=name)):
        found = dict(as_they_end(work, range(6)))
    assert found == {n: n * n for n in range(6)}
    tries = sorted(path.name.split(".") for path in tmp_path.iterdir())
    assert [(n, k) for n, k, _ in tries] == [*((str(n), "0") for n in range(4)), ("3", "1"), ("4", "0"), ("5", "0")]
    assert str(os.getpid()) not in {pid for _, _, pid in tries}


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
