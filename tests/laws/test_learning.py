"""Learning: networks beat naive on a sine and an AR(3) within a small budget; gates cure the vanishing gradient."""

import numpy as np
import pytest
import torch

from gatecast.data.synthetic import adding_problem, ar, sine
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.judge.leaderboard import leaderboard
from gatecast.nn.cells import CELLS
from gatecast.nn.initial import initialise
from gatecast.nn.spec import parse
from gatecast.nn.stack import Network, Stack
from gatecast.train.settings import Training

BUDGET = Training(epochs=25, patience=6, learning_rate=5e-3)


@pytest.mark.parametrize("cell", [*CELLS, "bigru"])
def test_a_sine_is_learned(cell):
    model = Forecaster(f"{cell}:16", lookback=20, recipe=Recipe(training=BUDGET))
    board = leaderboard(sine(500, period=25, noise=0.02, seed=1), "100 rows", [model]).boards[0]
    row = board.row(model.name)
    assert row.comparison.skill > 60, row.comparison
    assert row.verdict.startswith("better than")


@pytest.mark.parametrize("cell", CELLS)
def test_an_ar3_is_learned_nearly_to_its_noise(cell):
    model = Forecaster(f"{cell}:16", lookback=10, recipe=Recipe("standard", training=BUDGET))
    board = leaderboard(ar((0.6, -0.5, 0.3), 1500, seed=2, scale=1.0), "300 rows", [model]).boards[0]
    row = board.row(model.name)
    assert row.shown.scores.rmse < board.row("naive").shown.scores.rmse
    assert row.shown.scores.rmse < 1.12
    assert row.verdict.startswith("better than")


def test_the_automatic_model_takes_waves_and_walks_by_their_rules():
    board = leaderboard(sine(500, period=25, noise=0.02, seed=1), "100 rows").boards[0]
    assert board.row("auto").comparison.skill > 60
    assert "not a random walk" in board.row("auto").summary


def adding_loss(cell: str, length: int, steps: int) -> float:
    """Mean squared error on fresh samples of the adding problem after `steps` batches of 64."""
    generators = [torch.Generator().manual_seed(s) for s in range(2)]
    network = Network(Stack(parse(f"{cell}:32")[0], 2, 0.0, generators[0]), 2, (1, 1))
    initialise(network, "keras", generators[1])
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(steps):
        x, y = (torch.from_numpy(each).float() for each in adding_problem(64, length, seed=step))
        loss = torch.nn.functional.mse_loss(network(x)[:, 0, 0], y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    x, y = adding_problem(1000, length, seed=10**6)
    with torch.no_grad():
        return float(np.mean((network(torch.from_numpy(x).float())[:, 0, 0].numpy() - y) ** 2))


@pytest.mark.slow
def test_gates_learn_the_adding_problem_and_the_plain_cell_does_not():
    """Always answering 1 scores 1/6. At length 60 and the same budget, LSTM and GRU learn it; the plain RNN forgets."""
    losses = {cell: adding_loss(cell, length=60, steps=1500) for cell in CELLS}
    assert losses["lstm"] < 0.05, losses
    assert losses["gru"] < 0.05, losses
    assert losses["rnn"] > 0.12, losses
