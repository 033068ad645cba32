"""How time and memory of a panel grow: `python benchmarks/scale.py [COUNT ...]`, each count in a process of its own.

Synthetic monthly series of 60 values (level, trend, season, noise); fit for 12 steps and predict with intervals.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tables import table

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel

COUNTS = (1_250, 2_500, 5_000, 10_000, 20_000)
LENGTH, HORIZON = 60, 12


def panel(count: int) -> Panel:
    """`count` series of 60 months."""
    rng, t = np.random.default_rng(0), np.arange(LENGTH)
    level, slope, reach, turn = (rng.uniform(*each, (count, 1)) for each in ((10, 900), (-0.3, 0.6), (0, 0.4), (0, 12)))
    season: NDArray[np.float64] = 1 + reach * np.sin(2 * np.pi * (t + turn) / 12)
    values = level * (1 + slope * t / LENGTH) * season * np.exp(rng.normal(0, 0.08, (count, LENGTH)))
    months = np.arange("2015-01", "2020-01", dtype="datetime64[M]").astype("datetime64[ns]")
    ids = tuple(f"s{i:06d}" for i in range(count))
    pointers = np.arange(count + 1) * LENGTH
    return Panel(values.reshape(-1, 1), np.tile(months, count), pointers, ids, ("y",), Calendar("MS"))


def one(count: int) -> None:
    """Fit and predict, then print series, seconds of fit and of predict, and peak memory."""
    from gatecast.forecast.panels.direct import GlobalForecaster

    data = panel(count)
    clock = [time.perf_counter()]
    model = GlobalForecaster(HORIZON).fit(data)
    clock.append(time.perf_counter())
    frame = model.predict(level=[80, 95])
    clock.append(time.perf_counter())
    assert len(frame) == count * HORIZON
    seconds = np.diff(clock)
    print(count, seconds[0], seconds[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """The growth curve as a table."""
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
        return
    rows = []
    for count in [int(each) for each in sys.argv[1:]] or COUNTS:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(count)], stdout=subprocess.PIPE, text=True, check=True
        )
        found = [float(each) for each in done.stdout.split()]
        rows.append(found)
    cells = [[f"{int(n):,}", f"{fit:.1f}", f"{predict:.2f}", f"{memory:.0f}"] for n, fit, predict, memory in rows]
    print(table(("series", "fit, s", "predict, s", "peak MB"), cells))
    growth = [np.log(b[1] / a[1]) / np.log(b[0] / a[0]) for a, b in pairwise(rows)]
    if growth:
        print(f"fit grows with the power {median(growth):.2f} of the number of series (median of neighbours)")


if __name__ == "__main__":
    main()
