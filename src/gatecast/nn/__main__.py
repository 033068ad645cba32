"""`python -m gatecast.nn`: what runs recurrent layers here, and a one-second check that it is right."""

from __future__ import annotations

import sys

import torch

from gatecast.nn import GRU, LSTM, RNN, native
from gatecast.nn.accelerate import SWAPS

TOLERANCE = 1e-5


def self_check() -> float:
    """The largest difference from torch.nn, relative to the largest value, over outputs and gradients of every cell."""
    worst, generator = 0.0, torch.Generator().manual_seed(0)
    for layer_class in (LSTM, GRU, RNN):
        layer: torch.nn.Module = layer_class(3, 50, num_layers=2, bidirectional=True, batch_first=True)
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, std=0.1, generator=generator)
        x = torch.randn(19, 30, 3, generator=generator)
        mine = _run(layer, x)
        layer.__class__ = next(old for old, new in SWAPS.items() if new is layer_class)
        theirs = _run(layer, x)
        worst = max(worst, *(float((a - b).abs().max() / b.abs().max()) for a, b in zip(mine, theirs, strict=True)))
    return worst


def _run(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output and weight gradients."""
    y = layer(x)[0]
    return [y.detach(), *torch.autograd.grad(y.square().sum(), list(layer.parameters()))]


def main() -> int:
    """Print what is active; 0 if the kernels are active and agree with torch.nn, 1 otherwise."""
    write = sys.stdout.write
    write(f"recurrent layers run on {native.describe()}\n")
    if native.kernels is None:
        return 1
    write(f"instruction sets here: {', '.join(native.kernels.available_isas())}\n")
    worst = self_check()
    verdict = "agree" if worst < TOLERANCE else "DISAGREE"
    write(f"self-check: kernels and torch.nn {verdict}, largest difference {worst:.1e}\n")
    write(f"fused multiply-adds: {native.kernels.peak_gflops(native.threads(), 0.3):.0f} GFLOP/s\n")
    return 0 if worst < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
