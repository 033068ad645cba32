"""Initial weights, drawn from an explicit generator.

torch  uniform in +-1/sqrt(H) for every tensor of a layer (the default of torch.nn), for the head +-1/sqrt(inputs).
keras  Glorot uniform input weights (Glorot & Bengio 2010), orthogonal recurrent weights (Saxe et al. 2014), zero
       biases except the LSTM's forget bias 1 (Jozefowicz et al. 2015). As in Keras 3, fans and orthogonality are
       those of the joint matrix of all gates. The LSTM keeps one effective bias: the second stays zero and frozen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gatecast.errors import check_choice

INITIALS = ("torch", "keras")


def initialise(network: nn.Module, how: str, generator: torch.Generator) -> None:
    """Draw all weights of the recurrent layers and linear heads in `network`, in place."""
    check_choice(how, INITIALS, "initialisation")
    draw = _torch if how == "torch" else _keras
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.RNNBase | nn.Linear):
                draw(module, generator)


def freeze(network: nn.Module, how: str) -> None:
    """Under `keras`, keep the second bias of every LSTM and RNN out of training: one effective bias, as there."""
    for module in network.modules():
        if how == "keras" and isinstance(module, nn.LSTM | nn.RNN):
            for name, weight in module.named_parameters():
                weight.requires_grad_("bias_hh" not in name)


def _torch(module: nn.RNNBase | nn.Linear, generator: torch.Generator) -> None:
    fan = module.hidden_size if isinstance(module, nn.RNNBase) else module.in_features
    bound = 1 / math.sqrt(fan)
    for weight in module.parameters():
        weight.uniform_(-bound, bound, generator=generator)


def _keras(module: nn.RNNBase | nn.Linear, generator: torch.Generator) -> None:
    for name, weight in module.named_parameters():
        if "bias" in name:
            weight.zero_()
        elif "weight_hh" in name:
            weight.copy_(_orthogonal(weight.shape[0], weight.shape[1], generator))
        else:
            bound = math.sqrt(6 / (weight.shape[0] + weight.shape[1]))
            weight.uniform_(-bound, bound, generator=generator)
        if isinstance(module, nn.LSTM) and "bias_ih" in name:
            weight[module.hidden_size : 2 * module.hidden_size] = 1.0


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A [rows, columns] matrix, rows >= columns, with orthonormal columns, uniformly distributed."""
    q, r = torch.linalg.qr(torch.randn(rows, columns, generator=generator))
    return q * torch.sign(torch.diagonal(r))
