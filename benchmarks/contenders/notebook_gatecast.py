"""The whole notebook job on Gatecast: both networks, 50 epochs, one-step forecasts of 2017 and a 251-step free run.

    python notebook_gatecast.py prices.csv [EPOCHS]

The same work as notebook_keras.py; prints the RMSEs as one line of JSON.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import gatecast as gc

TEST_FROM = "2017-01-01"


def main() -> None:
    """Fit, forecast, score."""
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    panel = gc.read(sys.argv[1], target="High")
    train = panel.until("2016-12-31")
    scores = {}
    for model in gc.preset("notebook", epochs)[:2]:
        model.fit(train)
        one = model.one_step(panel)
        truth = panel.values[-len(one) :, 0]
        free = model.free_run(len(one))
        scores[model.name] = {
            "one_step": float(np.sqrt(np.nanmean((one.mean - truth) ** 2))),
            "free_run": float(np.sqrt(np.nanmean((free.mean - truth) ** 2))),
        }
    sys.stdout.write(json.dumps(scores) + "\n")


if __name__ == "__main__":
    main()
