"""The numbers every contender computes with: random windows, cut into equal batches, the same in every framework."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def random_windows(count: int, time: int, inputs: int) -> Array:
    """`count` windows of uniform float32 numbers in 0..1, seed 0, of shape (count, time, inputs)."""
    return np.random.default_rng(0).random((count, time, inputs), dtype=np.float32)


def training_batches(windows: int, batch: int, time: int, inputs: int) -> tuple[Array, Array]:
    """Inputs (steps, batch, time, inputs) and targets (steps, batch, 1); the last, partial batch is left out."""
    steps = windows // batch
    if steps == 0:
        raise ValueError(f"{windows} windows do not fill one batch of {batch}")
    x = random_windows(windows, time, inputs)[: steps * batch]
    y = np.random.default_rng(1).random((steps * batch, 1), dtype=np.float32)
    return x.reshape(steps, batch, time, inputs), y.reshape(steps, batch, 1)
