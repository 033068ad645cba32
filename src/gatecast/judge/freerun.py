"""Facts about a free run: its error by step, its distance from the one-step forecasts, where it settles or strays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from gatecast.judge.board import FreeRunFacts

Values = Float64[np.ndarray, "N"]
SETTLED = 0.05
"""Settled: all later values lie within this share of the training span's mean step from the last one."""
LEAST_REST = 0.25
"""... for at least this share of the run."""


def free_run_facts(truth: Values, path: Values, one_step: Values, train: Float64[np.ndarray, "T"]) -> FreeRunFacts:
    """Measure one trajectory, in original units; step numbers count from 1."""
    low, high = float(train.min()), float(train.max())
    return FreeRunFacts(
        error=np.abs(truth - path),
        divergence=np.abs(path - one_step),
        settled_at=_settled(path, float(np.abs(np.diff(train)).mean()) if len(train) > 1 else 0.0),
        left_range_at=_first((path < low) | (path > high)),
    )


def _settled(path: Values, usual_step: float) -> int | None:
    """The first step from which the path stays where it ends, if enough of the run is left."""
    moving = np.abs(path - path[-1]) > SETTLED * usual_step
    start = int(np.flatnonzero(moving)[-1]) + 1 if moving.any() else 0
    return start + 1 if len(path) - start >= max(2, LEAST_REST * len(path)) else None


def _first(flags: np.ndarray) -> int | None:
    return int(np.argmax(flags)) + 1 if flags.any() else None
