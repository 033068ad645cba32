"""One training loop, in named steps: shuffle, batch, step, validate, keep the best, remember enough to go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from gatecast.errors import FitError
from gatecast.nn.device import clip_gradients
from gatecast.nn.joined import Apart, Joined, joined
from gatecast.nn.stack import Network
from gatecast.prepare.window import Windows
from gatecast.train.losses import LOSSES
from gatecast.train.optimisers import flatten, make_optimiser, unflatten
from gatecast.train.settings import Training

CHUNK = 1024
"""Windows per forward pass outside training: bounds memory."""


@dataclass(frozen=True)
class LossCurve:
    """Loss by epoch of one network, in scaled units; `valid` is empty where nothing was held back.

    `kept_epoch` counts from 1 (0: the untrained network was the best); `ending` says in words why training ended.
    """

    name: str
    train: tuple[float, ...] = ()
    valid: tuple[float, ...] = ()
    kept_epoch: int = 0
    ending: str = ""


@dataclass(frozen=True, eq=False)
class State:
    """All that training needs to go on as if it had never stopped: named tensors and plain facts."""

    tensors: dict[str, Tensor]
    curve: LossCurve
    best: float = math.inf
    finished: bool = False


@runtime_checkable
class Store(Protocol):
    """Where states are kept between epochs."""

    def read(self, key: str) -> State | None:
        """The state last written under `key`, or None."""

    def write(self, key: str, state: State) -> None:
        """Keep `state` under `key` in place of the one before."""


@runtime_checkable
class Monitor(Protocol):
    """Who watches training, and may end it."""

    def begin(self, name: str, networks: int) -> None:
        """Called before the networks of a model are trained."""

    def epoch(self, curve: LossCurve, epochs: int) -> None:
        """Called after every epoch of every network."""

    def stopped(self) -> bool:
        """Whether to end here, with the best weights so far."""


class Memory:
    """A store that lasts as long as the process: networks with the same key are trained once."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def read(self, key: str) -> State | None:
        """The state last written under `key`, or None."""
        return self._states.get(key)

    def write(self, key: str, state: State) -> None:
        """Keep a finished state (an unfinished one is of no use in memory)."""
        if state.finished:
            self._states[key] = state


class Unwatched:
    """A monitor that says nothing and lets training run to its end."""

    def begin(self, name: str, networks: int) -> None:
        """Nothing."""

    def epoch(self, curve: LossCurve, epochs: int) -> None:
        """Nothing."""

    def stopped(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, eq=False)
class Task:
    """One network to train: its windows, the anchors to learn from and to hold back, its generator and its key."""

    network: Network
    windows: Windows
    learn: Int64[Tensor, "N"]
    valid: Int64[Tensor, "V"]
    training: Training
    generator: torch.Generator
    name: str
    key: str


@dataclass
class Watch:
    """What surrounds a fit: who watches it and where its checkpoints go."""

    monitor: Monitor = field(default_factory=Unwatched)
    store: Store = field(default_factory=Memory)


def train(task: Task, watch: Watch) -> LossCurve:
    """Train `task.network` in place, from its checkpoint if there is one; returns the loss curve.

    The network's own generator draws dropout, `task.generator` shuffles: with both, the optimiser and the best
    weights in every checkpoint, a resumed run equals an uninterrupted one bit for bit. Raises FitError when the loss
    is no longer finite.
    """
    state = watch.store.read(task.key) or _first_state(task)
    with joined(task.network) as weights:
        optimiser = make_optimiser(task.training.optimiser, weights.parameters, task.training.rates)
        _restore(state, task, optimiser)
        while not state.finished:
            loss = _one_epoch(task, weights, optimiser, watch.monitor)
            state = _after_epoch(state, loss, task, optimiser, watch.monitor.stopped())
            watch.store.write(task.key, state)
            watch.monitor.epoch(state.curve, task.training.epochs)
    task.network.load_state_dict(part_of(state.tensors, "best"))
    task.network.eval()
    return state.curve


def mean_loss(task: Task, anchors: Int64[Tensor, "N"]) -> float:
    """The network's loss over `anchors`, without dropout."""
    task.network.eval()
    loss = LOSSES[task.training.loss]
    with torch.no_grad():
        total = sum(
            float(loss(task.network(task.windows.inputs(part)), task.windows.targets(part))) * len(part)
            for part in anchors.split(CHUNK)
        )
    return total / len(anchors)


def _one_epoch(task: Task, weights: Joined | Apart, optimiser: torch.optim.Optimizer, monitor: Monitor) -> float:
    """One pass over the training anchors in a new order; the last partial batch is kept."""
    task.network.train()
    loss_of, clip = LOSSES[task.training.loss], task.training.clip
    order = task.learn[torch.randperm(len(task.learn), generator=task.generator).to(task.learn.device)]
    total, seen = torch.zeros((), device=order.device), 0
    for batch in order.split(task.training.batch):
        loss = loss_of(task.network(task.windows.inputs(batch)), task.windows.targets(batch))
        optimiser.zero_grad()
        loss.backward()
        weights.collect()
        if clip is not None:
            clip_gradients(weights.parameters, clip)
        optimiser.step()
        total += loss.detach() * len(batch)
        seen += len(batch)
        if monitor.stopped():
            break
    return float(total) / seen


def _after_epoch(state: State, loss: float, task: Task, optimiser: torch.optim.Optimizer, stopped: bool) -> State:
    """The state after one more epoch: curve, best weights so far, and whether training has ended."""
    held = mean_loss(task, task.valid) if len(task.valid) else None
    epoch = len(state.curve.train) + 1
    if not math.isfinite(loss) or (held is not None and not math.isfinite(held)):
        raise FitError(
            f"the loss of {task.name} became {loss} in epoch {epoch}",
            "try a smaller learning rate, clip=1.0, or transform='standard'",
        )
    better = held is None or held < state.best
    curve = replace(
        state.curve,
        train=(*state.curve.train, loss),
        valid=state.curve.valid if held is None else (*state.curve.valid, held),
        kept_epoch=epoch if better else state.curve.kept_epoch,
    )
    ending = _ending(curve, task.training, stopped)
    best = named(task.network.state_dict(), "best") if better else named(part_of(state.tensors, "best"), "best")
    tensors = {**_running(task, optimiser), **best}
    best_loss = held if better and held is not None else state.best
    return State(tensors, replace(curve, ending=ending), best_loss, finished=bool(ending))


def _ending(curve: LossCurve, training: Training, stopped: bool) -> str:
    """Why training ends after this epoch, or nothing."""
    epoch = len(curve.train)
    if stopped:
        return f"stopped by hand in epoch {epoch}"
    if training.patience is not None and curve.valid and epoch - curve.kept_epoch >= training.patience:
        return f"no better epoch in {training.patience}; epoch {curve.kept_epoch} kept"
    return f"all {epoch} epochs; epoch {curve.kept_epoch} kept" if epoch >= training.epochs else ""


def _first_state(task: Task) -> State:
    """Before training: where a linear skip gives a first forecast, the untrained network may turn out the best."""
    best = mean_loss(task, task.valid) if len(task.valid) and task.network.lags else math.inf
    return State(named(task.network.state_dict(), "best"), LossCurve(task.name), best)


def _running(task: Task, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights, optimiser and both generators, as they are now."""
    generators = {"shuffle": task.generator.get_state(), "dropout": task.network.stack.generator.get_state()}
    return {
        **named(task.network.state_dict(), "now"),
        **named(flatten(optimiser), "optimiser"),
        **named(generators, "generator"),
    }


def _restore(state: State, task: Task, optimiser: torch.optim.Optimizer) -> None:
    """Put weights, optimiser and generators back as `_running` took them (a first or finished state has none)."""
    now = part_of(state.tensors, "now")
    if not now:
        return
    task.network.load_state_dict(now)
    unflatten(optimiser, part_of(state.tensors, "optimiser"))
    task.generator.set_state(state.tensors["generator/shuffle"].cpu())
    task.network.stack.generator.set_state(state.tensors["generator/dropout"].cpu())


def named(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Copies of tensors, as one part of a state."""
    return {f"{part}/{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def part_of(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """One part of a state, under its own names."""
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
