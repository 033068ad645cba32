"""The notebook preset follows Keras 3: optimisers, initial weights, biases, dropout, and what it trains on."""

import math

import numpy as np
import torch

from gatecast.forecast.build import make_tasks
from gatecast.forecast.presets import notebook
from gatecast.nn.joined import joined
from gatecast.prepare.scale import fit_transform
from gatecast.train.optimisers import make_optimiser
from gatecast.train.settings import Training
from models import prices


def descend(training, gradients, start):
    weight = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimiser = make_optimiser(training.optimiser, [weight], training.rates)
    path = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        path.append(weight.item())
    return path


GRADIENTS = np.random.default_rng(0).normal(0, 1e-3, 30)


def test_rmsprop_adds_epsilon_inside_the_square_root():
    v, w, expected = 0.0, 0.5, []
    for g in GRADIENTS:
        v = 0.9 * v + 0.1 * g * g
        w -= 1e-3 * g / math.sqrt(v + 1e-7)
        expected.append(w)
    np.testing.assert_allclose(descend(Training(optimiser="keras-rmsprop"), GRADIENTS, 0.5), expected, rtol=1e-12)


def test_sgd_carries_a_decaying_rate_in_its_velocity():
    m, w, expected = 0.0, 0.5, []
    for t, g in enumerate(GRADIENTS):
        m = 0.9 * m - 0.01 / (1 + 1e-7 * t) * g
        w += m
        expected.append(w)
    training = Training(optimiser="keras-sgd", learning_rate=0.01, momentum=0.9)
    np.testing.assert_allclose(descend(training, GRADIENTS, 0.5), expected, rtol=1e-12)


def tasks_of(spec):
    model = next(m for m in notebook() if m.name == spec)
    values = prices(100).values[:, :1]
    plan = model._plan(prices(100))
    return model, make_tasks(plan, fit_transform("minmax", values), values, 1, seed=7)


def test_initial_weights_are_glorot_orthogonal_and_one_forget_bias():
    _, (task,) = tasks_of("lstm:50x4")
    for depth, layer in enumerate(task.network.stack.layers):
        inputs = 1 if depth == 0 else 50
        bound = math.sqrt(6 / (inputs + 200))
        assert 0.9 * bound < layer.weight_ih_l0.abs().max().item() <= bound
        recurrent = layer.weight_hh_l0.detach()
        torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(50), atol=1e-5, rtol=0)
        bias = torch.zeros(200)
        bias[50:100] = 1
        assert torch.equal(layer.bias_ih_l0, bias)
        assert torch.equal(layer.bias_hh_l0, torch.zeros(200))
        assert not layer.bias_hh_l0.requires_grad
    assert task.network.head.weight.abs().max().item() <= math.sqrt(6 / 51)


def test_parameter_counts_are_those_keras_prints():
    """LSTM: 4 (50 (1 + 50) + 50) = 10,400, then 3 x 20,200, and 51; GRU with two biases: 7,950, 3 x 15,300, 51."""
    expected = {"lstm:50x4": 10_400 + 3 * 20_200 + 51, "gru:50x4": 7_950 + 3 * 15_300 + 51}
    for spec, count in expected.items():
        _, (task,) = tasks_of(spec)
        assert sum(p.numel() for p in task.network.parameters() if p.requires_grad) == count


def test_dropout_after_every_layer_keeps_the_mean():
    _, (task,) = tasks_of("lstm:50x4")
    task.network.train()
    ones = torch.ones(400, 50)
    dropped = task.network.stack._drop(ones)
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert abs(float((dropped == 0).float().mean()) - 0.2) < 0.02
    task.network.eval()
    assert task.network.stack._drop(ones) is ones


def test_it_holds_nothing_back_and_keeps_the_last_partial_batch():
    model, (task,) = tasks_of("lstm:50x4")
    assert len(task.valid) == 0
    assert len(task.learn) == 100 - 60
    assert (model.lookback, model.dropout, task.training.epochs, task.training.batch) == (60, 0.2, 50, 32)
    seen = []
    forward = task.windows.inputs
    object.__setattr__(
        task,
        "windows",
        type("Spy", (), {"inputs": lambda _, at: seen.append(at) or forward(at), "targets": task.windows.targets})(),
    )
    from gatecast.train.loop import Unwatched, _one_epoch

    with joined(task.network) as weights:
        optimiser = make_optimiser(task.training.optimiser, weights.parameters, task.training.rates)
        _one_epoch(task, weights, optimiser, Unwatched())
    assert [len(batch) for batch in seen] == [32, 8]
    assert sorted(torch.cat(seen).tolist()) == task.learn.tolist()
    assert torch.cat(seen).tolist() != task.learn.tolist(), "not shuffled"
