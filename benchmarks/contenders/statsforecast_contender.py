"""AutoETS or AutoTheta on a long frame: `python statsforecast_contender.py MODEL H SEASON in.parquet out.npy`.

Writes quantiles [series, H, 7] (0.025, 0.1, 0.25, the forecast, 0.75, 0.9, 0.975) in the order of the series' numbers
and prints the seconds of fitting and forecasting.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pandas as pd
from statsforecast import StatsForecast, models

LEVELS = (95, 80, 50)


def main() -> None:
    """Fit and forecast on two processes, after a small run that compiles."""
    name, h, season, given, found = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    frame = pd.read_parquet(given)
    forecaster = StatsForecast([getattr(models, name)(season_length=season)], freq=1, n_jobs=2)
    few = frame[frame["unique_id"] < 2]
    forecaster.forecast(df=few, h=h)
    start = time.perf_counter()
    out = forecaster.forecast(df=frame, h=h, level=list(LEVELS)).sort_values(["unique_id", "ds"])
    spent = time.perf_counter() - start
    lower, upper = ([f"{name}-{end}-{level}" for level in LEVELS] for end in ("lo", "hi"))
    np.save(found, out[[*lower, name, *reversed(upper)]].to_numpy().reshape(-1, h, 7))
    sys.stdout.write(json.dumps({"seconds": spent}) + "\n")


if __name__ == "__main__":
    main()
