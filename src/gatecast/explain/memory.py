"""How far back a fitted network remembers: gradients through time, one-step Jacobians, and what its inputs are worth.

Write s_t for a layer's state after step t (h, and for an LSTM [h; c]) and y for a forecast. What reaches s_t through
the layer's own recurrence is

    g_t = g_T  J_T J_(T-1) ... J_(t+1),     J_t = ds_t / ds_(t-1),     g_T = dy/ds_T

so the gradient at lag k = T - t has passed k Jacobians. A step whose largest singular value is below 1 shrinks it;
only one above 1 can let it grow. In the top layer g_t is all of dy/ds_t; a layer below also hands its states upward at
every step, which is the memory of the layers above and is not counted as its own. The gradient of a squared error is
g_t times the error: the same decay. Sources: Bengio, Simard & Frasconi (1994), "Learning long-term dependencies with
gradient descent is difficult"; Pascanu, Mikolov & Bengio (2013), "On the difficulty of training recurrent neural
networks", section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gatecast.errors import SpecError
from gatecast.explain.reading import WINDOWS, Model, Reading, readings
from gatecast.explain.unrolled import Trace, Walk

FADED = 1e-3
"""Below this share of the newest step's gradient what was read first no longer teaches; above its inverse it shouts.
The papers define vanishing and exploding as limits; the number is ours."""
JACOBIANS = 4
"""Windows whose one-step Jacobians are averaged; fewer where a state has more than 128 numbers."""
NUMBERS = 2**22
"""Numbers of Jacobians that are worked out at once: bounds memory."""

Verdict = Literal["vanishing", "exploding", "healthy", "silent"]


@dataclass(frozen=True, eq=False)
class LayerMemory:
    """One layer in one direction: means over networks and windows, by lag, the last step read first.

    `gradient` [T]: the norm of g_t. `singular` [T - 1]: the largest singular value of J_t.
    """

    layer: int
    cell: str
    reverse: bool
    gradient: Float64[np.ndarray, "T"]
    singular: Float64[np.ndarray, "J"]

    @property
    def decay(self) -> float:
        """The factor by which the gradient shrinks or grows per step: least squares of its logarithm against the lag.

        0 where one step takes all of it; NaN where there is no gradient at all, or only one step.
        """
        there = np.flatnonzero(self.gradient > 0)
        if not len(there) or len(self.gradient) < 2:
            return math.nan
        return float(np.exp(np.polyfit(there, np.log(self.gradient[there]), 1)[0])) if len(there) > 1 else 0.0

    @property
    def half_life(self) -> float:
        """Steps in which the gradient halves; infinite where it does not shrink, NaN where `decay` is."""
        if not 0 < self.decay < 1:
            return 0.0 if self.decay == 0 else self.decay * math.inf
        return math.log(0.5) / math.log(self.decay)

    @property
    def silent(self) -> bool:
        """Whether nothing of this layer reaches the forecast."""
        return not self.gradient.any()

    @property
    def reaches(self) -> float:
        """The share of the last step's gradient that is left at the first, by the fitted decay."""
        return math.nan if self.silent else self.decay ** (len(self.gradient) - 1)

    @property
    def verdict(self) -> Verdict:
        """Vanishing below 1/1000 of the gradient at the far end of the window, exploding above 1000 times it."""
        if self.silent:
            return "silent"
        return "vanishing" if self.reaches < FADED else "exploding" if self.reaches > 1 / FADED else "healthy"

    @property
    def pace(self) -> str:
        """The decay in words: a gradient halves or doubles every so many steps, or hardly changes."""
        if math.isnan(self.decay):
            return "its gradient passes no step"
        if self.decay == 0:
            return "its gradient does not outlive one step"
        steps = math.log(2) / max(abs(math.log(self.decay)), 1e-300)
        if steps > 1000:
            return "its gradient hardly changes from step to step"
        return f"its gradient {'halves' if self.decay < 1 else 'doubles'} every {steps:.1f} steps"


@dataclass(frozen=True, eq=False)
class Memory:
    """What one step of the forecast owes to the past. `inputs` [T]: the mean norm of dy/dx_t by lag, newest first.

    A step of the network is `stride` rows; `step` is the forecast's, from 1.
    """

    model: str
    step: int
    stride: int
    windows: int
    layers: tuple[LayerMemory, ...]
    inputs: Float64[np.ndarray, "T"]

    def spent(self, share: float = 0.95) -> int:
        """The fewest newest rows that hold this share of the sensitivity to the inputs.

        0.95 gives the effective memory. A row counts where the network reads it.

        >>> Memory("m", 1, 1, 1, (), np.array([0.5, 0.3, 0.1, 0.1])).spent(0.8)
        2
        """
        total = self.inputs.sum()
        if total == 0:
            return 0
        return int(np.argmax(np.cumsum(self.inputs) >= share * total * (1 - 1e-12)) + 1) * self.stride


def memory(model: Model, data: Any = None, step: int = 1, windows: int = WINDOWS) -> Memory:
    """The memory of a fitted model behind one step of its forecast, averaged over networks and windows.

    Windows as in `readings`. SpecError for a step that the model does not forecast in one pass.
    """
    return memory_of(readings(model, data, windows), model.name, step)


def memory_of(found: tuple[Reading, ...], name: str, step: int = 1) -> Memory:
    """The memory of networks of one kind over the windows they were given; those whose windows are not of the first
    one's length and stride are left out, for their lags cannot be averaged with its own."""
    first = found[0]
    layers: dict[tuple[int, str, bool], list[tuple[np.ndarray, np.ndarray]]] = {}
    inputs = []
    for reading in found:
        if (reading.x.shape[1], reading.stride) != (first.x.shape[1], first.stride):
            continue
        x, trace = _traced(reading, step)
        walks = [(depth, walk) for depth, layer in enumerate(trace.walks) for walk in layer]
        last = [part for _, walk in walks for part in walk.states[-1]]
        into, *arrived = _gradients([trace.y[:, step - 1].sum()], [x, *last])
        inputs.append(_norm([into]).flip(1).mean(dim=0).numpy())
        ends = iter(arrived)
        for depth, walk in walks:
            gradient = _back(walk, [next(ends), next(ends)])
            key = (depth, walk.direction.name, walk.direction.reverse)
            layers.setdefault(key, []).append((gradient, _singular(walk)))
    mean = tuple(LayerMemory(*key, *map(_mean, zip(*pairs, strict=True))) for key, pairs in sorted(layers.items()))
    return Memory(name, step, first.stride, len(first.x), mean, _mean(inputs))


def _traced(reading: Reading, step: int) -> tuple[Tensor, Trace]:
    x = reading.x.clone().requires_grad_()
    trace = reading.network.run(x)
    if not 1 <= step <= trace.y.shape[1]:
        raise SpecError(f"step {step} of {trace.y.shape[1]} that are forecast in one pass", "steps count from 1")
    return x, trace


def _back(walk: Walk, end: list[Tensor]) -> Float64[np.ndarray, "T"]:
    """The gradient `end` at a walk's last state (h, c), carried back through the walk's own steps."""
    parts = _gradients(walk.states[-1], [part for state in walk.states for part in state], end)
    h, c = (torch.stack(parts[part::2], dim=1) for part in (0, 1))
    return _norm([h, c]).flip(1).mean(dim=0).numpy()


def _gradients(of: Iterable[Tensor], at: list[Tensor], arriving: list[Tensor] | None = None) -> tuple[Tensor, ...]:
    """The graph is kept, and a node without influence has the gradient 0."""
    return torch.autograd.grad([*of], at, arriving, retain_graph=True, allow_unused=True, materialize_grads=True)


def _norm(parts: Iterable[Tensor]) -> Float64[Tensor, "B T"]:
    """Euclidean over the numbers of a step, of all parts together."""
    return torch.cat(list(parts), dim=2).norm(dim=2)


def _singular(walk: Walk) -> Float64[np.ndarray, "J"]:
    """The mean over a few windows of the largest singular value of every one-step Jacobian, the last step first."""
    if len(walk.states) < 2:
        return np.zeros(0)
    size = walk.direction.size
    few = max(1, min(JACOBIANS, 128 * JACOBIANS // size))
    rows, h, c = (
        torch.stack([each[:few].detach() for each in steps])  # [J, N, ...]
        for steps in (walk.inputs[1:], *zip(*walk.states[:-1], strict=True))
    )
    chunk = max(1, NUMBERS // size**2)
    parts = zip(*(each.flatten(0, 1).split(chunk) for each in (rows, h, c)), strict=True)
    norms = [torch.linalg.matrix_norm(walk.direction.jacobians(*part), ord=2) for part in parts]
    return torch.cat(norms).view(len(rows), -1).mean(dim=1).flip(0).numpy()


def _mean(arrays: Iterable[np.ndarray]) -> Float64[np.ndarray, "n"]:
    return np.mean(list(arrays), axis=0)
