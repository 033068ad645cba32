"""Memory and time of a large fit by the size of the panel: `python benchmarks/large.py FOLDER [MB ...]`.

Writes synthetic monthly series of 60 values (as `benchmarks/scale.py` makes them) to FOLDER until its files have that
many megabytes (20, 200, 2000 by default; what is there already is used again), and fits them for 200 steps, each size
in a process of its own. Delete FOLDER afterwards.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from scale import HORIZON, panel
from tables import table

from gatecast.data.panel import Panel

SIZES = (20, 200, 2000)
STEPS = 200
AT_ONCE = 10_000
"""Series that are written at once."""
FILE_MB = 50


def pieces(first: int, count: int) -> Iterator[Panel]:
    """So many series, numbered from `first` on, some at a time."""
    plain = panel(AT_ONCE)
    rng = np.random.default_rng(first)
    for begin in range(first, first + count, AT_ONCE):
        noise = np.exp(rng.normal(0, 0.08, plain.values.shape))
        ids = tuple(f"s{i:09d}" for i in range(begin, begin + AT_ONCE))
        yield replace(plain, values=plain.values * noise, ids=ids)


def megabytes(folder: Path) -> float:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.glob("*.parquet")) / 1e6


def write(folder: Path, size: int) -> None:
    """Files of about `FILE_MB` until there are `size` megabytes of them."""
    from gatecast.edge.parquet import write_parquet

    folder.mkdir(parents=True, exist_ok=True)
    first = write_parquet(pieces(0, AT_ONCE), folder / "00000.parquet")
    per_piece = first.stat().st_size / 1e6
    count = AT_ONCE * max(1, round(min(size, FILE_MB) / per_piece))
    number = 0
    while megabytes(folder) < size - per_piece / 2 or number == 0:
        write_parquet(pieces(number * count, count), folder / f"{number:05d}.parquet")
        number += 1


def one(folder: Path) -> None:
    """Fit, then print megabytes, series, seconds to check all rows, per step and peak memory."""
    import gatecast as gc
    from gatecast.train.lockstep import Tick

    class Clock(Tick):
        def begin(self, what: str, total: int) -> None:
            self.begun = time.perf_counter()

    began = time.perf_counter()
    data = gc.ParquetPanel(folder)
    checked, clock = time.perf_counter() - began, Clock()
    gc.fit_large(gc.GlobalForecaster(HORIZON), data, steps=STEPS, watch=clock)
    per_step = (time.perf_counter() - clock.begun) / STEPS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(megabytes(folder), data.series, checked, 1000 * per_step, data.read, peak)


def main() -> None:
    """The growth curve as a table."""
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]))
        return
    base, rows = Path(sys.argv[1]), []
    for size in [int(each) for each in sys.argv[2:]] or SIZES:
        folder = base / f"{size}mb"
        if megabytes(folder) < 0.9 * size:
            write(folder, size)
        done = subprocess.run(
            [sys.executable, __file__, "--one", folder], stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append([float(each) for each in done.stdout.split()])
    cells = [
        [f"{mb:.0f}", f"{int(n):,}", f"{checked:.1f}", f"{step:.0f}", f"{int(read):,}", f"{peak:.0f}"]
        for mb, n, checked, step, read, peak in rows
    ]
    print(table(("MB", "series", "checking all rows, s", "a step, ms", "row groups read", "peak MB"), cells))


if __name__ == "__main__":
    main()
