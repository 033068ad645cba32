"""The recurrent weights of a network in one tensor while it trains: one gradient and one update in place of dozens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gatecast.nn.device import device_of
from gatecast.nn.stack import Network


class Joined:
    """A network whose recurrent weights look into one leaf tensor, in torch's order.

    `parameters` is what an optimiser moves: that tensor and the rest of the network. A frozen weight gets a gradient
    of zero; under weight decay it must be zero itself, as the frozen biases of Keras' layout are.
    """

    def __init__(self, network: Network) -> None:
        self._stack, self._weights = network.stack, network.stack.weights()
        self._flat = torch.cat([w.detach().flatten() for w in self._weights]).requires_grad_()
        self._moves = torch.cat([torch.full_like(w, w.requires_grad).flatten() for w in self._weights])
        self._frozen = not all(w.requires_grad for w in self._weights)
        joined = set(self._weights)
        rest = [p for p in network.parameters() if p.requires_grad and p not in joined]
        self.parameters: list[Tensor] = [self._flat, *rest]
        self._look_at(self._pieces())
        self._stack.joined = self._flat

    def collect(self) -> None:
        """After backward: put the stack's gradient where the optimiser finds it.

        Where the kernels do not run, the gradients went to the single weights.
        """
        if self._flat.grad is None:
            found = [torch.zeros_like(w) if w.grad is None else w.grad for w in self._weights]
            self._flat.grad = torch.cat([gradient.flatten() for gradient in found])
            for weight in self._weights:
                weight.grad = None
        if self._frozen:
            self._flat.grad.mul_(self._moves)

    def part(self) -> None:
        """Give every weight its own memory again."""
        self._look_at([piece.clone() for piece in self._pieces()])
        self._stack.joined = None

    def _pieces(self) -> list[Tensor]:
        parts = self._flat.detach().split([w.numel() for w in self._weights])
        return [part.view(w.shape) for part, w in zip(parts, self._weights, strict=True)]

    def _look_at(self, pieces: list[Tensor]) -> None:
        for weight, piece in zip(self._weights, pieces, strict=True):
            weight.data = piece


class Apart:
    """The same of a network on another device: every weight by itself, as the layers there want it."""

    def __init__(self, network: Network) -> None:
        self.parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]

    def collect(self) -> None:
        """Every gradient is where the optimiser finds it."""


@contextmanager
def joined(network: Network) -> Iterator[Joined | Apart]:
    """Join the recurrent weights of `network` inside the block; they change there and keep their values after it.

    On a device other than the CPU nothing is joined.

    >>> from gatecast.nn.spec import parse
    >>> from gatecast.nn.stack import Stack
    >>> network = Network(Stack(parse("lstm:8x2")[0], 1, 0.0, torch.Generator()), 1, (1, 1))
    >>> with joined(network) as weights:
    ...     [p.numel() for p in weights.parameters]
    [928, 8, 1]
    """
    if device_of(network).type != "cpu":
        yield Apart(network)
        return
    weights = Joined(network)
    try:
        yield weights
    finally:
        weights.part()
