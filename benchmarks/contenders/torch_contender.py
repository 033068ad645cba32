"""PyTorch's own layers, or Gatecast's: `python torch_contender.py torch` or `python torch_contender.py gatecast`.

Both train the notebook's network with PyTorch's autograd, the same head, loss and data; PyTorch with torch.nn's layers
and its own optimisers, Gatecast as its training loop does it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from protocol import best_gflops, seconds, serve

# isort: split
import torch
from torch import Tensor, nn
from workload import random_windows, training_batches

GATECAST = sys.argv[1] == "gatecast"
OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, alpha=0.9, eps=1e-7, foreach=True),
    "sgd": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, fused=True),
}


class TorchNetwork(nn.Module):
    """torch.nn's stack, dropout after every layer, and a dense head on the last state."""

    def __init__(self, cell: str, inputs: int, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell]
        self.stack = kind(inputs, units, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The forecast of the row after each window."""
        out: Tensor = self.head(self.drop(self.stack(x)[0][:, -1]))
        return out


@dataclass
class Job:
    """A network with its data and optimiser, ready to train."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    collect: Callable[[], None]
    x: Tensor
    y: Tensor


JOB: list[Job] = []


def versions() -> dict[str, Any]:
    """Who this is."""
    found = {"name": sys.argv[1], "python": platform.python_version(), "torch": torch.__version__}
    if GATECAST:
        from importlib.metadata import version

        from gatecast.nn.native import describe

        found |= {"gatecast": version("gatecast"), "layers": describe()}
    return found


def _network(cell: str, inputs: int, units: int, layers: int, dropout: float) -> nn.Module:
    if not GATECAST:
        return TorchNetwork(cell, inputs, units, layers, dropout)
    from gatecast.nn.spec import parse
    from gatecast.nn.stack import Network, Stack

    stack = Stack(parse(f"{cell}:{units}x{layers}")[0], inputs, dropout, torch.Generator().manual_seed(0))
    return Network(stack, inputs, (1, 1))


def _optimiser(network: Any, name: str) -> tuple[torch.optim.Optimizer, Callable[[], None]]:
    """The optimiser, and what has to happen between backward and its step."""
    if not GATECAST:
        return OPTIMISERS[name](network.parameters()), lambda: None
    from gatecast.nn.joined import Joined
    from gatecast.train.optimisers import Rates, make_optimiser

    rates = {"rmsprop": Rates(1e-3, 0.0, 0.0), "sgd": Rates(1e-2, 0.9, 0.0)}[name]
    weights = Joined(network)
    return make_optimiser(f"keras-{name}", weights.parameters, rates), weights.collect


def prepare_training(
    cell: str,
    batch: int,
    units: int,
    layers: int,
    time: int = 60,
    inputs: int = 1,
    windows: int = 2709,
    dropout: float = 0.2,
    threads: int | None = None,
    optimiser: str = "rmsprop",
) -> dict[str, Any]:
    """Build the network and its batches and train a few steps to warm up."""
    JOB.clear()
    torch.set_flush_denormal(True)
    if threads is not None:
        torch.set_num_threads(threads)
    if GATECAST:  # as its training loop: the kernels on all cores, PyTorch's small operations on one
        torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = (torch.from_numpy(part) for part in training_batches(windows, batch, time, inputs))
    network = _network(cell, inputs, units, layers, dropout)
    JOB.append(Job(network, *_optimiser(network, optimiser), x, y))
    warm_up = seconds(lambda: _train(3))
    return {"seconds": warm_up, "steps": len(x), "parameters": sum(p.numel() for p in network.parameters())}


def _train(steps: int | None = None) -> float:
    job = JOB[0]
    job.network.train()
    total = torch.zeros(())
    for x, y in zip(job.x[:steps], job.y[:steps], strict=True):
        loss = nn.functional.mse_loss(job.network(x).flatten(), y.flatten())
        job.optimiser.zero_grad()
        loss.backward()
        job.collect()
        job.optimiser.step()
        total += loss.detach()
    return float(total) / len(job.x[:steps])


def train_epoch() -> dict[str, Any]:
    """One pass over all batches, timed."""
    losses: list[float] = []
    taken = seconds(lambda: losses.append(_train()))
    return {"seconds": taken, "steps": len(JOB[0].x), "loss": losses[0]}


def predict_windows(count: int = 251) -> dict[str, Any]:
    """One-step forecasts of `count` windows in one call, after one that warms up."""
    network = JOB[0].network.eval()
    windows = torch.from_numpy(random_windows(count, *JOB[0].x.shape[2:]))
    with torch.inference_mode():
        network(windows)
        return {"seconds": seconds(lambda: network(windows))}


def free_run(steps: int = 251) -> dict[str, Any]:
    """The window slides over the network's own outputs."""
    network = JOB[0].network.eval()
    window = torch.from_numpy(random_windows(1, *JOB[0].x.shape[2:]))
    if GATECAST:
        from gatecast.nn import free_run as native_free_run
        from gatecast.nn.stack import Network

        assert isinstance(network, Network)
        path = native_free_run([network.reader()], window, 3)
        return {
            "seconds": seconds(lambda: native_free_run([network.reader()], window, steps)),
            "last": float(path[0, -1, 0]),
        }

    def loop() -> None:
        nonlocal window
        for _ in range(steps):
            ahead = network(window)
            window = torch.cat([window[:, 1:], ahead[:, None]], dim=1)

    with torch.inference_mode():
        return {"seconds": seconds(loop), "last": float(window[0, -1, 0])}


def stream(values: int = 2000) -> dict[str, Any]:
    """Seconds per value of a 4x50 LSTM fed one value at a time."""
    layer: Any
    row = torch.rand(1)
    if GATECAST:
        from gatecast.nn import LSTM

        layer = LSTM(1, 50, 4).stream()
        return _middle(lambda: layer.step(row), values)
    layer, state = nn.LSTM(1, 50, 4), None

    def step() -> None:
        nonlocal state
        _, state = layer(row[None], state)

    with torch.inference_mode():
        return _middle(step, values)


def fma_peak(threads: int) -> dict[str, Any]:
    """The measured rate of the fused multiply-add units under the instruction set in use."""
    from gatecast.nn.native import kernels

    return {"gflops": max(kernels.peak_gflops(threads, 0.3) for _ in range(3))}


def sgemm_peak(size: int = 1024) -> dict[str, Any]:
    """The best rate of a float32 matrix product in PyTorch."""
    left = torch.from_numpy(random_windows(1, size, size)[0])
    return {"gflops": best_gflops(lambda: left @ left, size)}


def set_threads(threads: int) -> dict[str, Any]:
    """Let PyTorch use so many threads."""
    torch.set_num_threads(threads)
    return {"threads": torch.get_num_threads()}


def _middle(work: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Median seconds of a call, after one that warms up."""
    work()
    return {"seconds": median(seconds(work) for _ in range(repeats))}


def layer_step(
    cell: str, batch: int, units: int, layers: int, train: bool = True, inputs: int = 8, repeats: int = 3
) -> dict[str, Any]:
    """The layers alone: forward and backward from a gradient of y, or inference."""
    import gatecast.nn

    home = gatecast.nn if GATECAST else nn
    layer = getattr(home, cell.upper())(inputs, units, layers, batch_first=True)
    x, pull = torch.rand(batch, 60, inputs), torch.rand(batch, 60, units)

    def once() -> None:
        if train:
            layer.zero_grad()
            layer(x)[0].backward(pull)
        else:
            with torch.inference_mode():
                layer(x)

    quick = seconds(once) < 0.02  # the first call warms up; short ones are repeated more often
    return {"seconds": median(seconds(once) for _ in range(repeats * (7 if quick else 1)))}


def kernel_step(cell: str, batch: int, units: int, layers: int, threads: int) -> dict[str, Any]:
    """The kernels' forward and backward alone, packing included, for a gradient of the final states."""
    from gatecast.nn import GRU, LSTM, RNN, native, ops
    from gatecast.nn.recurrent import description, weights_of

    layer = {"lstm": LSTM, "gru": GRU, "rnn": RNN}[cell](1, units, layers)
    layout, weights, x = description(layer), [w.detach() for w in weights_of(layer)], torch.rand(batch, 60, 1)
    facts = ops.Facts(layout, True, 0.0)
    pull = torch.rand(layers * batch * units)
    rest = (*facts, None, [False, False, False, True])

    def once() -> None:
        reserve = ops.recurrent(x, (None, None), weights, facts, None, True, False)[3]
        torch.ops.gatecast.recurrent_backward.default(None, pull, None, weights, reserve, list(x.shape), *rest)

    with torch.no_grad(), native.allow(threads):
        return _middle(once, 15)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    handlers = (
        versions,
        prepare_training,
        train_epoch,
        predict_windows,
        free_run,
        stream,
        fma_peak,
        sgemm_peak,
        set_threads,
        layer_step,
        kernel_step,
    )
    named = {handler.__name__: handler for handler in handlers}
    if GATECAST:
        from gatecast.nn import native

        with native.allow(os.cpu_count() or 1):
            serve(named)
    else:
        serve(named)
