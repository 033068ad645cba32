"""Which steps of NeuralForecast's default LSTM and GRU depend on which values: `python benchmarks/flow.py [H]`.

Every model is fitted for a few steps on a seasonal series; the check changes one value of its window at a time and asks
for the forecast again. `identity` switches off the scaling of windows, through which any value can move every step.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from neural import QUIET, hush
from neuralforecast import NeuralForecast, models

from gatecast.explain import information_flow

ROWS, STEPS = 400, 50


def main() -> None:
    """One line for every model and scaling."""
    hush()
    h = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    y = 50 + 10 * np.sin(2 * np.pi * t / 12) + rng.normal(0, 1, ROWS)
    for kind in ("LSTM", "GRU"):
        for scaler in (None, "identity"):
            options = {} if scaler is None else {"scaler_type": scaler}
            model = getattr(models, kind)(h=h, input_size=3 * h, max_steps=STEPS, **options, **QUIET)
            forecaster = NeuralForecast(models=[model], freq=1)
            forecaster.fit(pd.DataFrame({"unique_id": "s", "ds": t, "y": y}))

            def ask(windows: np.ndarray, forecaster: NeuralForecast = forecaster, kind: str = kind) -> np.ndarray:
                count, size = windows.shape
                ids = np.repeat(np.arange(count), size)
                frame = pd.DataFrame({"unique_id": ids, "ds": np.tile(np.arange(size), count), "y": windows.ravel()})
                found = forecaster.predict(df=frame).sort_values(["unique_id", "ds"])
                return found[kind].to_numpy().reshape(count, -1)

            flow = information_flow(ask, y[-3 * h :])
            shown = model.hparams.scaler_type if scaler is None else scaler
            default = " (default)" if scaler is None else ""
            sys.stdout.write(f"{kind}, h={h}, scaler {shown}{default}: newest values ignored by step: {flow.ignored}\n")


if __name__ == "__main__":
    main()
