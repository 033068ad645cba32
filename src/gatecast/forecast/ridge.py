"""The linear yardstick: a closed-form ridge on the last 5 rows of the columns on the target's own scale."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel
from gatecast.forecast.baselines import HOLDOUT
from gatecast.forecast.method import Held, Method, held_back_rows
from gatecast.forecast.modes import Rolling, free_run, one_step
from gatecast.forecast.nature import find_nature
from gatecast.prepare.fill import begun, fill
from gatecast.prepare.scale import Equivariance, Transform, fit_transform
from gatecast.prepare.split import held_back, require_rows
from gatecast.prepare.window import anchors, future_matrix, past_matrix
from gatecast.train.loop import Watch
from gatecast.train.ridge import solve_ridge

LAGS = 5
PENALTY = 1e-4
NEED = 4 * LAGS


class Ridge(Method):
    """Linear regression of the next row on the last 5 rows, all columns at once, so that it can run free.

    The scaled row z[t+1] = sum over k < 5 of z[t-k] A_k + b, with a ridge penalty of 1e-4 per row. Where the target
    is a positive random walk, z is its log return and the other columns' log ratios to it; otherwise levels.
    `inputs` replaces the columns that the rule chooses.
    """

    kind: ClassVar[Literal["baseline", "network"]] = "baseline"
    name = "ridge"

    def __init__(self, inputs: tuple[str, ...] | None = None) -> None:
        self.inputs = inputs

    @property
    def equivariance(self) -> Equivariance:
        """Follows the unit of its transform."""
        return self.rolling_.transform.equivariance

    def _learn(self, panel: Panel, seed: int, watch: Watch) -> Panel:
        require_rows(panel, NEED, "the ridge on 5 lags")
        if self.inputs is not None:
            panel = panel.columns_as(tuple(dict.fromkeys((panel.target, *self.inputs))))
        else:
            panel = panel.columns_as(begun(panel))
        self.nature_ = find_nature(fill(panel).values, panel.columns, panel.calendar.season)
        panel = panel.columns_as(self.nature_.columns if self.inputs is None else panel.columns)
        self.rolling_ = _fit(fill(panel).values, self.nature_.transform, panel.columns)
        return panel

    def _ahead(self, values: Float64[np.ndarray, "T C"], anchors: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
        return one_step(self.rolling_, values, anchors)

    def _onward(
        self, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"], steps: int
    ) -> Float64[np.ndarray, "N steps"]:
        return free_run(self.rolling_, values, origins, steps)

    def _held(self, panel: Panel) -> Held | None:
        held = held_back(panel.rows, HOLDOUT)
        if panel.rows - held < NEED:
            return None
        values, at = held_back_rows(panel, held, LAGS)
        earlier = _fit(values[: panel.rows - held], self.nature_.transform, panel.columns)
        return values[at + 1, 0], one_step(earlier, values, at)

    def _ratio(self) -> bool:
        return self.rolling_.transform.multiplicative


def _fit(values: Float64[np.ndarray, "T C"], name: str, columns: tuple[str, ...]) -> Rolling:
    """Fit transform and regression on these rows."""
    transform = fit_transform(name, values, columns)
    weight, bias = fit_linear(transform, values, LAGS, PENALTY)

    def step(window: Float64[np.ndarray, "B L C"]) -> Float64[np.ndarray, "B 1 C"]:
        return (window.reshape(len(window), -1) @ weight + bias)[:, None]

    return Rolling(step, transform, LAGS)


def fit_linear(
    transform: Transform, values: Float64[np.ndarray, "T C"], lags: int, penalty: float, horizon: int = 1
) -> tuple[Float64[np.ndarray, "LC KC"], Float64[np.ndarray, "KC"]]:
    """Ridge from the last `lags` scaled rows to the next `horizon` scaled rows."""
    z = transform.apply(values)
    at = anchors(range(len(z)), lags, horizon, transform.lost)
    x = past_matrix(z, at, lags).reshape(len(at), -1)
    y = future_matrix(z, at, horizon).reshape(len(at), -1)
    return solve_ridge(x, y, penalty)
