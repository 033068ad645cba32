"""The three ways to forecast, as three functions of one fitted step.

one_step  every forecast from its own true window                 N anchors -> N values
free_run  the window slides over the model's own outputs           N origins -> N x K values
direct    one pass of a K-step head                                N origins -> N x K values
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.errors import ForecastError
from gatecast.prepare.scale import Transform
from gatecast.prepare.window import past_matrix

Step = Callable[[Float64[np.ndarray, "B L C"]], Float64[np.ndarray, "B K P"]]
Feed = Callable[[Float64[np.ndarray, "N L C"], int], Float64[np.ndarray, "N K C"]]
CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Rolling:
    """A fitted map from a scaled window of C columns to the next K rows of its first P columns (the target first).

    `feed`, where there is one, is the feedback loop over `step` in one native call.
    """

    step: Step
    transform: Transform
    lookback: int
    feed: Feed | None = None

    @property
    def need(self) -> int:
        """Rows of history that one forecast needs."""
        return self.lookback + self.transform.lost


def one_step(
    model: Rolling, values: Float64[np.ndarray, "T C"], anchors: Int64[np.ndarray, "N"]
) -> Float64[np.ndarray, "N"]:
    """The target one row after each anchor, from the true window up to it; original units."""
    return direct(model, values, anchors)[:, 0]


def direct(
    model: Rolling, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"]
) -> Float64[np.ndarray, "N K"]:
    """The target at all steps of the head after each origin; original units."""
    values = model.transform.usable(values)
    z = model.transform.apply(values)
    chunks = np.array_split(origins, max(1, -(-len(origins) // CHUNK)))
    ahead = np.concatenate([model.step(past_matrix(z, part, model.lookback)) for part in chunks])  # [N, K, P]
    return model.transform.target_only().invert(ahead[..., :1], values[origins, :1])[..., 0]  # [N, K]


def free_run(
    model: Rolling, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"], steps: int
) -> Float64[np.ndarray, "N steps"]:
    """The target at `steps` steps after each origin, the model fed with its own outputs; original units.

    Raises ForecastError unless the model predicts every column that it reads.
    """
    values = model.transform.usable(values)
    window = past_matrix(model.transform.apply(values), origins, model.lookback)
    path = model.feed(window, steps) if model.feed else _fed_back(model.step, window, steps)
    return model.transform.invert(path, values[origins])[..., 0]  # [N, steps]


def _fed_back(step: Step, window: Float64[np.ndarray, "N L C"], steps: int) -> Float64[np.ndarray, "N steps C"]:
    """Scaled rows, each forecast from a window that ends with the ones before it."""
    columns = window.shape[2]
    path = np.empty((len(window), steps, columns))
    for k in range(steps):
        ahead = step(window)[:, 0]  # [N, P]
        if ahead.shape[1] != columns:
            raise ForecastError(
                f"no free run: the model reads {columns} columns and predicts {ahead.shape[1]} of them",
                "fit it with predicts='all', or let it read the target alone",
            )
        path[:, k] = ahead
        window = np.concatenate([window[:, 1:], ahead[:, None]], axis=1)  # [N, L, C]
    return path
