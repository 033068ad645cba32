"""A recurrent network that forecasts the next value as a Student t distribution, and runs free on draws from it."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.nn.recurrent import GRU, LSTM

FEWEST_DEGREES = 2.0
"""Degrees of freedom are above this, so that there is a variance."""
LEAST_WIDTH = 1e-3


class StudentNet(nn.Module):
    """One recurrent layer and, after every row, location, width and degrees of freedom of the next value.

    >>> net = StudentNet("lstm", inputs=3, units=8, generator=torch.Generator().manual_seed(0))
    >>> [each.shape for each in net(torch.zeros(2, 5, 3))[0]]
    [torch.Size([2, 5]), torch.Size([2, 5]), torch.Size([2, 5])]
    """

    def __init__(self, cell: Literal["gru", "lstm"], inputs: int, units: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = {"gru": GRU, "lstm": LSTM}[cell](inputs, units, batch_first=True)
        self.head = nn.Linear(units, 3)
        bound = 1 / math.sqrt(units)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Float[Tensor, "B T I"], state: Any = None) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        """Location, width and degrees of freedom [B, T] after every row, and the state."""
        h, state = self.layer(x, state)
        location, width, degrees = self.head(h).unbind(dim=2)
        soft = nn.functional.softplus
        return (location, soft(width) + LEAST_WIDTH, FEWEST_DEGREES + soft(degrees)), state


def student_loss(
    y: Float[Tensor, "*n"], location: Float[Tensor, "*n"], width: Float[Tensor, "*n"], degrees: Float[Tensor, "*n"]
) -> Float[Tensor, "*n"]:
    """Minus the log density of Student's t.

    >>> zero = torch.zeros(1)
    >>> wanted = -torch.distributions.StudentT(3.0).log_prob(zero)
    >>> torch.allclose(student_loss(zero, zero, zero + 1, zero + 3), wanted)
    True
    """
    z = (y - location) / width
    half = 0.5 * degrees
    constant = torch.lgamma(half + 0.5) - torch.lgamma(half) - 0.5 * torch.log(math.pi * degrees)
    return torch.log(width) - constant + (half + 0.5) * torch.log1p(z * z / degrees)


def draw(
    location: Float[Tensor, "*n"], width: Float[Tensor, "*n"], degrees: Float[Tensor, "*n"], generator: torch.Generator
) -> Float[Tensor, "*n"]:
    """A draw: a normal number over the root of a chi-squared one per degree of freedom."""
    normal = torch.randn(location.shape, generator=generator).to(location.device)
    gamma = torch._standard_gamma(0.5 * degrees.cpu(), generator=generator).to(location.device)
    chi = gamma / (0.5 * degrees)
    return location + width * normal / chi.clamp(min=1e-6).sqrt()
