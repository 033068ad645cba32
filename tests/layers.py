"""Small native layers, and everything that comes out of one, for the tests of operators."""

import torch

from gatecast.nn import GRU, LSTM, RNN, native

LAYERS = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


def make(cell="LSTM", **options):
    torch.manual_seed(1)
    return LAYERS[cell](3, 5, **{"num_layers": 2, "batch_first": True, **options})


def flat(found):
    y, last = found
    return [y, *(last if isinstance(last, tuple) else (last,))]


def backward(module, x):
    """Outputs and the gradients of x and of the weights, with a pull that differs from output to output."""
    outputs = flat(module(x))
    total = sum((each * torch.linspace(-1, 1, each.numel()).view_as(each)).sum() for each in outputs)
    return [*(each.detach() for each in outputs), *torch.autograd.grad(total, [x, *module.parameters()])]


def all_equal(ones, others):
    return all(torch.equal(*pair) for pair in zip(ones, others, strict=True))


def litter(fill):
    """Leave memory that `fill` has filled for the kernels to find: they keep eight blocks for the next calls."""
    for block in [native.kernels.workspace(megabytes * 2**20) for megabytes in (2, 2, 2, 4, 4, 8, 16, 32)]:
        fill(block)
