"""From a plan and filled training values to networks that are ready to train."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float64, Int64

from gatecast.forecast.plan import Plan
from gatecast.forecast.ridge import fit_linear
from gatecast.nn.device import find_device
from gatecast.nn.initial import freeze, initialise
from gatecast.nn.spec import StackSpec
from gatecast.nn.stack import Network, Stack
from gatecast.prepare.scale import Transform, lost_rows
from gatecast.prepare.split import held_back
from gatecast.prepare.window import Windows, anchors, future_matrix, past_matrix
from gatecast.train.loop import Task
from gatecast.train.settings import Training

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridge penalties that the linear skip chooses from, on the held-back rows."""

Values = Float64[np.ndarray, "T C"]


def rows_needed(plan: Plan, h: int) -> int:
    """Rows of history that leave one window to learn from, beside the rows that are held back."""
    window = plan.lookback + lost_rows(plan.recipe.transform) + h
    share = max((t.holdout for t in plan.trainings if t.patience is not None), default=0.0)
    return math.ceil((window + h + 1) / (1 - share))


def held_rows(training: Training, rows: int, h: int) -> int:
    """Rows at the end of the training span that this training holds back."""
    return held_back(rows, training.holdout, h) if training.patience is not None else 0


def make_tasks(plan: Plan, transform: Transform, values: Values, h: int, seed: int) -> list[Task]:
    """One task for every stack and member; `values` in original units."""
    return [
        _task(plan, (stack, training), transform, values, h, (seed, member))
        for stack, training in zip(plan.stacks, plan.trainings, strict=True)
        for member in range(plan.members)
    ]


def empty_network(plan: Plan, stack: StackSpec, h: int, dropout: torch.Generator) -> Network:
    """A network of the right shape without any memory (on torch's meta device), so that nothing is drawn for it."""
    columns = len(plan.columns)
    predicted = columns if plan.recipe.predicts == "all" else 1
    with torch.device("meta"):
        network = Network(Stack(stack, columns, plan.dropout, dropout), columns, (h, predicted), plan.recipe.lags)
    freeze(network, plan.recipe.initial)
    return network


def _task(
    plan: Plan,
    part: tuple[StackSpec, Training],
    transform: Transform,
    values: Values,
    h: int,
    draw: tuple[int, int],
) -> Task:
    """One network with its data, its generators and the key under which its state is kept."""
    stack, training = part
    first = len(values) - held_rows(training, len(values), h)
    rows = (range(first), range(first, len(values)))
    learn, valid = (anchors(each, plan.lookback, h, transform.lost) for each in rows)
    seeds = np.random.SeedSequence([*draw, zlib.crc32(stack.text.encode())]).generate_state(3)
    weights, dropout, shuffle = (torch.Generator().manual_seed(int(each)) for each in seeds)
    network = empty_network(plan, stack, h, dropout).to_empty(device="cpu")
    initialise(network, plan.recipe.initial, weights)
    if plan.recipe.lags:
        network.set_skip(*_skip(plan, transform, values, valid, network.outputs))
    device = find_device(training.device)
    z = torch.from_numpy(transform.apply(values).astype(np.float32)).to(device)
    windows = Windows(z, plan.lookback, h, network.outputs[1])
    learn_at, valid_at = (torch.from_numpy(each).to(device) for each in (learn, valid))
    name = stack.text if plan.members == 1 else f"{stack.text} #{draw[1] + 1}"
    key = _key(plan, part, values, h, draw)
    return Task(network.to(device), windows, learn_at, valid_at, training, shuffle, name, key)


def _skip(
    plan: Plan, transform: Transform, values: Values, valid: Int64[np.ndarray, "V"], outputs: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The closed-form ridge; its penalty is chosen by the target's first step on the held-back rows."""
    lags, h = plan.recipe.lags, outputs[0]
    earlier = values[: valid[0] + 1] if len(valid) else values
    fits = [fit_linear(transform, earlier, lags, penalty, h) for penalty in PENALTIES]
    weight, bias = fits[0]
    if len(valid):
        z = transform.apply(values)
        past, truth = past_matrix(z, valid, lags).reshape(len(valid), -1), future_matrix(z, valid, 1)[:, 0, 0]
        errors = [float(np.mean((past @ w[:, 0] + b[0] - truth) ** 2)) for w, b in fits]
        weight, bias = fits[int(np.argmin(errors))]
    kept = (np.arange(len(bias)) % len(plan.columns)) < outputs[1]
    return torch.from_numpy(weight[:, kept]).float(), torch.from_numpy(bias[kept]).float()


def _key(plan: Plan, part: tuple[StackSpec, Training], values: Values, h: int, draw: tuple[int, int]) -> str:
    """Names a trained network by everything it depends on."""
    stack, training = part
    recipe = {**asdict(plan.recipe), "training": asdict(training)}
    data = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    facts = [stack.text, recipe, plan.lookback, plan.dropout, h, draw, values.shape, data, torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
