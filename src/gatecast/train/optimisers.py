"""Optimisers by name: PyTorch's, and Keras 3's RMSprop and SGD where their arithmetic differs.

keras-rmsprop  v <- 0.9 v + 0.1 g^2;  w <- w - lr g / sqrt(v + 1e-7).  (torch: / (sqrt(v) + eps))
keras-sgd      m <- momentum m - lr_t g;  w <- w + m, with lr_t = lr / (1 + 1e-7 t) at batch t = 0, 1, ...

Source: keras/src/optimizers/rmsprop.py and sgd.py of Keras 3; the decay is Keras' InverseTimeDecay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

RHO = 0.9
KERAS_EPSILON = 1e-7
KERAS_DECAY = 1e-7

Tensors = list[Tensor]
Memory = dict[str, Tensor]


class KerasOptimiser(torch.optim.Optimizer, ABC):
    """An update rule applied to all parameters that have a gradient, each operation for all of them at once."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: plain gradient steps
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            if moving:
                self._update(moving, [p.grad for p in moving], [self.state[p] for p in moving], group)

    @abstractmethod
    def _update(self, moving: Tensors, gradients: Tensors, states: list[Memory], group: dict[str, Any]) -> None:
        """Move the parameters in place; each state is a parameter's memory, empty at first."""


class KerasRMSprop(KerasOptimiser):
    """RMSprop with epsilon inside the square root."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def _update(self, moving: Tensors, gradients: Tensors, states: list[Memory], group: dict[str, Any]) -> None:
        for state, p in zip(states, moving, strict=True):
            if not state:
                state["square"] = torch.zeros_like(p)
        squares = [state["square"] for state in states]
        torch._foreach_mul_(squares, RHO)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - RHO)
        roots = torch._foreach_add(squares, KERAS_EPSILON)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(moving, gradients, roots, value=-group["lr"])


class KerasSGD(KerasOptimiser):
    """Momentum whose velocity carries the learning rate, which decays with every batch."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def _update(self, moving: Tensors, gradients: Tensors, states: list[Memory], group: dict[str, Any]) -> None:
        for state, p in zip(states, moving, strict=True):
            if not state:
                state["velocity"], state["batches"] = torch.zeros_like(p), torch.tensor(0)
        velocities = [state["velocity"] for state in states]
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, gradients, alpha=-group["lr"] / (1 + KERAS_DECAY * int(states[0]["batches"])))
        torch._foreach_add_(moving, velocities)
        torch._foreach_add_([state["batches"] for state in states], 1)


class Rates(NamedTuple):
    """What an optimiser may be told."""

    learning_rate: float
    momentum: float
    weight_decay: float


Make = Callable[[list[Tensor], Rates], torch.optim.Optimizer]

OPTIMISERS: dict[str, Make] = {
    "sgd": lambda p, r: torch.optim.SGD(
        p, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay, foreach=True
    ),
    "rmsprop": lambda p, r: torch.optim.RMSprop(
        p, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay, foreach=True
    ),
    "adam": lambda p, r: torch.optim.Adam(p, r.learning_rate, weight_decay=r.weight_decay, fused=True),
    "adamw": lambda p, r: torch.optim.AdamW(p, r.learning_rate, weight_decay=r.weight_decay, fused=True),
    "keras-rmsprop": lambda p, r: KerasRMSprop(p, r.learning_rate),
    "keras-sgd": lambda p, r: KerasSGD(p, r.learning_rate, r.momentum),
}


def make_optimiser(name: str, parameters: list[Tensor], rates: Rates) -> torch.optim.Optimizer:
    """The optimiser called `name`, over `parameters`."""
    return OPTIMISERS[name](parameters, rates)


def flatten(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, entry in state.items() for name, value in entry.items()}


def unflatten(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `flatten` took out."""
    whole = optimiser.state_dict()
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        whole["state"].setdefault(int(index), {})[name] = value
    optimiser.load_state_dict(whole)
