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
from torch import Tensor, nn

RHO = 0.9
KERAS_EPSILON = 1e-7
KERAS_DECAY = 1e-7


class KerasOptimiser(torch.optim.Optimizer, ABC):
    """An update rule applied to every parameter that has a gradient."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure: plain gradient steps
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, p.grad, self.state[p], group)

    @abstractmethod
    def _update(self, p: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """Move `p` in place; `state` is its memory, empty at first."""


class KerasRMSprop(KerasOptimiser):
    """RMSprop with epsilon inside the square root."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def _update(self, p: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        if not state:
            state["square"] = torch.zeros_like(p)
        square = state["square"].mul_(RHO).addcmul_(gradient, gradient, value=1 - RHO)
        p.addcdiv_(gradient, (square + KERAS_EPSILON).sqrt_(), value=-group["lr"])


class KerasSGD(KerasOptimiser):
    """Momentum whose velocity carries the learning rate, which decays with every batch."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def _update(self, p: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        if not state:
            state["velocity"], state["batches"] = torch.zeros_like(p), torch.tensor(0)
        rate = group["lr"] / (1 + KERAS_DECAY * int(state["batches"]))
        p.add_(state["velocity"].mul_(group["momentum"]).sub_(gradient, alpha=rate))
        state["batches"] += 1


class Rates(NamedTuple):
    """What an optimiser may be told."""

    learning_rate: float
    momentum: float
    weight_decay: float


Make = Callable[[list[nn.Parameter], Rates], torch.optim.Optimizer]

OPTIMISERS: dict[str, Make] = {
    "sgd": lambda p, r: torch.optim.SGD(p, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay),
    "rmsprop": lambda p, r: torch.optim.RMSprop(p, r.learning_rate, momentum=r.momentum, weight_decay=r.weight_decay),
    "adam": lambda p, r: torch.optim.Adam(p, r.learning_rate, weight_decay=r.weight_decay),
    "adamw": lambda p, r: torch.optim.AdamW(p, r.learning_rate, weight_decay=r.weight_decay),
    "keras-rmsprop": lambda p, r: KerasRMSprop(p, r.learning_rate),
    "keras-sgd": lambda p, r: KerasSGD(p, r.learning_rate, r.momentum),
}


def make_optimiser(name: str, network: nn.Module, rates: Rates) -> torch.optim.Optimizer:
    """The optimiser called `name`, over the parameters that may change."""
    return OPTIMISERS[name]([p for p in network.parameters() if p.requires_grad], rates)


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
