"""The decay of information through time, side by side: the same task for an RNN, an LSTM and a GRU of one size, before
and after training. On the adding problem, and on a user's own series."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from gatecast.data.synthetic import adding_problem
from gatecast.explain.memory import Memory, memory, memory_of
from gatecast.explain.reading import WINDOWS, Reading, learned_rows
from gatecast.explain.unrolled import unroll
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS
from gatecast.nn.initial import initialise
from gatecast.nn.spec import parse
from gatecast.nn.stack import Network, Stack
from gatecast.prepare.fill import fill
from gatecast.train.settings import Training

UNITS = 32
BATCH = 64
RATE = 5e-3
CHANCE = 1 / 6
"""Mean squared error of the adding problem of always answering 1."""

Step = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Compared:
    """One kind of cell: its error on data it was not trained with, and its memory untrained and trained.

    The error is the mean squared error of the sums, or the RMSE of one-step forecasts in original units.
    """

    cell: str
    error: float
    untrained: Memory
    trained: Memory


@dataclass(frozen=True, eq=False)
class Decay:
    """The cells on one task; `yardstick`: the error of always answering 1, or of repeating the last value."""

    task: str
    measure: str
    yardstick: float
    rows: tuple[Compared, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for every kind of cell."""
        return tuple(map(self._sentence, self.rows))

    def _sentence(self, row: Compared) -> str:
        before, after = row.untrained.layers[0], row.trained.layers[0]
        return (
            f"{self.task}: {row.cell} {self.measure} {row.error:.4g} (yardstick {self.yardstick:.4g}); "
            f"untrained, {before.pace} ({before.verdict}); trained, {after.pace} ({after.verdict})."
        )


def adding_decay(
    length: int = 100,
    steps: int = 3000,
    units: int = UNITS,
    seed: int = 0,
    cells: Sequence[str] = tuple(CELLS),
    watch: Step | None = None,
) -> Decay:
    """Train every cell on the adding problem of T = `length`, for so many batches of 64 fresh samples.

    Adam at 5e-3, gradients clipped at norm 1, Keras' initial weights (orthogonal recurrence), the same samples for
    every cell; the error is that of 1000 samples that no cell has seen. `watch` is called after every batch.
    """
    rows = []
    for cell in cells:
        network = Network(Stack(parse(f"{cell}:{units}")[0], 2, 0.0, torch.Generator()), 2, (1, 1))
        initialise(network, "keras", torch.Generator().manual_seed(seed))
        unseen, answers = adding_problem(1000, length, seed=2**31 + seed)

        def seen(net: Network, x: Float64[np.ndarray, "N T D"] = unseen) -> Memory:
            reading = Reading(unroll(net), torch.from_numpy(x[:WINDOWS]), ())
            return memory_of((reading,), "adding problem")

        before = seen(network)
        _learn_sums(network, length, steps, seed, watch)
        with torch.no_grad():
            said = network(torch.from_numpy(unseen).float())[:, 0, 0].numpy()
        rows.append(Compared(cell, float(np.mean((said - answers) ** 2)), before, seen(network)))
    return Decay(f"adding problem, T = {length}", "MSE", CHANCE, tuple(rows))


def series_decay(
    model: Forecaster,
    data: Any,
    units: int = UNITS,
    seed: int = 0,
    cells: Sequence[str] = tuple(CELLS),
    watch: Step | None = None,
) -> Decay:
    """The same for the series that a window model was fitted to: each cell, one layer, the model's window and columns.

    Min-max scaled levels without a linear part, so that the recurrence has all to do. `data` hold newer rows, and those
    that a loaded model learned from; `watch` is called after every cell.
    """
    lookback, columns, rows = model.plan_.lookback, model.plan_.columns, []
    recipe = Recipe("minmax", lags=0, training=Training(learning_rate=RATE, batch=BATCH))
    _, panel, known = model.scaled(data)
    truth, learned = panel.values[known:, 0], learned_rows(model, data)
    naive = _rmse(fill(panel, known).values[known - 1 : -1, 0] - truth)
    for cell in cells:
        twin = Forecaster(f"{cell}:{units}", lookback=lookback, inputs=columns[1:], recipe=recipe)
        twin.fit(learned, seed=seed)
        one = twin.one_step(data)
        found = memory(twin, data)
        rows.append(Compared(cell, _rmse(one.mean - truth), memory(_untrained(twin, seed), data), found))
        if watch:
            watch()
    return Decay(f"{model.history_.target}, windows of {lookback} rows", "RMSE", naive, tuple(rows))


def _learn_sums(network: Network, length: int, steps: int, seed: int, watch: Step | None) -> None:
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    for step in range(steps):
        x, y = _samples(length, seed * steps + step)
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(x)[:, 0, 0], y).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if watch:
            watch()


def _samples(length: int, seed: int) -> tuple[Float32[Tensor, "B T 2"], Float32[Tensor, "B"]]:
    x, y = adding_problem(BATCH, length, seed)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()


def _untrained(model: Forecaster, seed: int) -> Forecaster:
    """The same model with weights as they were drawn."""
    twin = copy.copy(model)
    twin.networks_ = [copy.deepcopy(network) for network in model.networks_]
    for network in twin.networks_:
        initialise(network, model.plan_.recipe.initial, torch.Generator().manual_seed(seed))
    return twin


def _rmse(errors: Float64[np.ndarray, "N"]) -> float:
    return float(np.sqrt(np.nanmean(errors**2)))
