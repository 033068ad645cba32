"""Several networks of the same shape in lockstep, each a linear forecast that a recurrent network corrects.

At every step of a crop, y = x A + b + correction(h, x), h being the state of one recurrent layer that has read all
steps so far, its input the numbers x of this step and a few more. With Q quantiles, A is common to them and b and the
correction are each one's own. The correction starts at zero, so that training starts from the linear forecast. With a
head of `width` ReLUs it is W2 relu(W1 [h; x] + b1), else Wo h. Without units there is no h.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from gatecast.nn import ops
from gatecast.nn.device import on_kernels
from gatecast.nn.recurrent import GRU, LSTM, description

MODULES: dict[str, type[GRU] | type[LSTM]] = {"gru": GRU, "lstm": LSTM}
INPUT_STD = 0.6
"""Input weights are uniform with a standard deviation of this over the square root of the inputs."""


class Shape(NamedTuple):
    """Cell, units (0: no layer), width of a ReLU head (0: none), linear and extra inputs, horizon steps, quantiles."""

    cell: Literal["gru", "lstm"]
    units: int
    width: int
    linear: int
    extra: int
    steps: int
    quantiles: int


class Corrections(nn.Module):
    """E networks whose parameters stand side by side, first axis E.

    >>> shape = Shape("gru", 8, 4, linear=5, extra=2, steps=3, quantiles=1)
    >>> nets = Corrections(shape, [torch.Generator() for _ in range(2)])
    >>> nets(torch.zeros(2, 7, 6, 5 + 2)).shape
    torch.Size([2, 7, 6, 3, 1])
    """

    def __init__(self, shape: Shape, generators: list[torch.Generator]) -> None:
        super().__init__()
        self.shape = shape
        members, read = len(generators), shape.width or shape.units
        if shape.units:
            with torch.device("meta"):
                layer = MODULES[shape.cell](shape.linear + shape.extra, shape.units, batch_first=True)
            self._layer = (layer,)  # its shape alone; a tuple, so that it is no part of this module
            self.recurrent = nn.Parameter(torch.stack([self._recurrent_weights(each) for each in generators]))
        if shape.width:
            self.hidden = nn.Parameter(
                torch.stack([_uniform((shape.units + shape.linear, shape.width), each) for each in generators])
            )
            self.hidden_bias = nn.Parameter(torch.zeros(members, 1, shape.width))
        self.out = nn.Parameter(torch.zeros(members, read, shape.steps * shape.quantiles))
        self.skip = nn.Parameter(torch.zeros(members, shape.linear, shape.steps))
        self.bias = nn.Parameter(torch.zeros(members, 1, shape.steps * shape.quantiles))

    @property
    def layer(self) -> nn.RNNBase:
        """The recurrent layer of each network, without weights."""
        return self._layer[0]

    def start_at(self, weight: Float32[Tensor, "D K"], bias: Float32[Tensor, "K Q"]) -> None:
        """Let every network start as this linear forecast."""
        with torch.no_grad():
            self.skip.copy_(weight.expand_as(self.skip))
            self.bias.copy_(bias.flatten().expand_as(self.bias))

    def forward(self, x: Float[Tensor, "E B C I"]) -> Float[Tensor, "E B C K Q"]:
        """The normalised forecasts of every network at every step; its first D numbers are those of the linear part."""
        return self._read(x, self._states(x))

    def newest(self, x: Float[Tensor, "E B C I"]) -> Float[Tensor, "E B K Q"]:
        """The same after the last step alone."""
        return self._read(x[:, :, -1:], self._states(x)[:, :, -1:])[:, :, 0]

    def _read(self, x: Float[Tensor, "E B C I"], states: Float[Tensor, "E B C H"]) -> Float[Tensor, "E B C K Q"]:
        """The linear part and its correction from the states."""
        shape = self.shape
        rows = x.flatten(1, 2)[..., : shape.linear]  # [E, B C, D]
        h = states.flatten(1, 2)  # [E, B C, H]
        if shape.width:
            from_h, from_rows = self.hidden.split([shape.units, shape.linear], dim=1)
            both = torch.bmm(rows, torch.cat([self.skip, from_rows], dim=2))  # [E, B C, K + width]
            linear, inner = both.split([shape.steps, shape.width], dim=2)
            h = torch.relu(torch.baddbmm(inner + self.hidden_bias, h, from_h))
        else:
            linear = torch.bmm(rows, self.skip)
        own = torch.baddbmm(self.bias, h, self.out).view(*x.shape[:3], shape.steps, shape.quantiles)
        return own + linear.view(*x.shape[:3], shape.steps, 1)

    def _states(self, x: Float[Tensor, "E B C I"]) -> Float[Tensor, "E B C H"]:
        """The state of every network after every step, from zero."""
        if not self.shape.units:
            return x[..., :0]
        weights = self.recurrent.unbind()
        if not on_kernels(x):
            return torch.stack([self._on_torch(part, flat) for part, flat in zip(x, weights, strict=True)])
        facts, keep = ops.Facts(description(self.layer), True, 0.0), torch.is_grad_enabled()
        return torch.stack(
            [
                ops.recurrent(part, (None, None), [flat], facts, None, keep, True)[0]
                for part, flat in zip(x, weights, strict=True)
            ]
        )

    def _on_torch(self, x: Float[Tensor, "B C I"], flat: Float[Tensor, "P"]) -> Float[Tensor, "B C H"]:
        layer = self.layer
        named = dict(layer.named_parameters())
        parts = flat.clone().split([weight.numel() for weight in named.values()])  # cuDNN wants them alone in memory
        given = {name: part.view(w.shape) for (name, w), part in zip(named.items(), parts, strict=True)}
        y: Tensor = torch.func.functional_call(layer, given, (x,))[0]
        return y

    def _recurrent_weights(self, generator: torch.Generator) -> Tensor:
        """One network's recurrent layer in one tensor: orthogonal recurrent blocks, one forget bias of 1, else zero."""
        units, parts = self.shape.units, []
        for name, like in self.layer.named_parameters():
            weight = torch.zeros(like.shape)
            if name.startswith("weight_ih"):
                weight = _uniform((like.shape[1], like.shape[0]), generator).T
            elif name.startswith("weight_hh"):
                for block in weight.split(units):
                    nn.init.orthogonal_(block, generator=generator)
            elif self.shape.cell == "lstm" and name.startswith("bias_ih"):
                weight[units : 2 * units] = 1.0
            parts.append(weight.flatten())
        return torch.cat(parts)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform weights of `shape` (inputs first)."""
    reach = INPUT_STD * math.sqrt(3 / shape[0])
    return torch.empty(shape).uniform_(-reach, reach, generator=generator)
