"""Cases for the law table of the native kernels: an axis for everything a call can vary in, and seeded samples.

A sample takes every value of every axis equally often and mixes the axes at random. A `Problem` is a case with random
numbers in it: weights, input, initial state and the pulls on the outputs, the same for torch.nn and for the kernels.
"""

import random
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gatecast.nn import recurrent

CELLS: dict[str, tuple[type, type, dict]] = {
    "LSTM": (nn.LSTM, recurrent.LSTM, {}),
    "GRU": (nn.GRU, recurrent.GRU, {}),
    "RNN_TANH": (nn.RNN, recurrent.RNN, {"nonlinearity": "tanh"}),
    "RNN_RELU": (nn.RNN, recurrent.RNN, {"nonlinearity": "relu"}),
}
AXES = {
    "cell": tuple(CELLS),
    "layers": (1, 2, 3),
    "directions": (1, 2),
    "batch": (1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 150),  # a slice holds 16 sequences in float32 and 8 in float64
    "units": (1, 2, 5, 16, 25, 50, 64),
    "inputs": (1, 3, 7),
    "time": (1, 2, 9),
    "bias": (True, False),
    "batch_first": (True, False),
    "dtype": (torch.float32, torch.float64),
    "start": (True, False),  # an initial state, or zeros
    "pulls": ("yhc", "y", "h", "c", "hc", "yc"),  # outputs that have a gradient; c is h where a cell has no c
    "wanted": ("all", "weights", "x h0 c0"),  # what asks for a gradient
}


class Case(NamedTuple):
    """One value of every axis."""

    cell: str
    layers: int
    directions: int
    batch: int
    units: int
    inputs: int
    time: int
    bias: bool
    batch_first: bool
    dtype: torch.dtype
    start: bool
    pulls: str
    wanted: str
    seed: int


SMALL = Case("LSTM", 2, 1, 5, 4, 3, 6, True, True, torch.float64, True, "yhc", "all", 77)
BOTH = [torch.float32, torch.float64]


class Problem(NamedTuple):
    """The numbers of a case."""

    weights: dict[str, Tensor]
    x: Tensor
    state: tuple[Tensor, ...]  # h, for an LSTM h and c; empty: zeros
    pulls: dict[str, Tensor]

    def double(self) -> "Problem":
        weights, pulls = ({k: v.double() for k, v in group.items()} for group in (self.weights, self.pulls))
        return Problem(weights, self.x.double(), tuple(s.double() for s in self.state), pulls)


class Ran(NamedTuple):
    """What came out: y, h and c, and the gradients by name."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]


def sample(count: int, seed: int) -> list[Case]:
    """`count` cases in which every value of an axis occurs equally often, give or take one."""
    rng = random.Random(seed)
    columns = []
    for values in AXES.values():
        column = [values[i % len(values)] for i in range(count)]
        rng.shuffle(column)
        columns.append(column)
    return [Case(*values, seed=seed + i) for i, values in enumerate(zip(*columns, strict=True))]


THIN = sample(60, seed=11)
WHOLE = sample(1500, seed=1000)


def name(case: Case) -> str:
    shape = f"{case.layers}x{case.directions}-B{case.batch}-T{case.time}-I{case.inputs}-H{case.units}"
    flags = "".join(f for f, on in {"b": case.bias, "f": case.batch_first, "s": case.start}.items() if on)
    return f"{case.cell}-{shape}-{str(case.dtype)[6:]}-{flags}-{case.pulls}-{case.wanted}"


def layer(case: Case, native: bool) -> nn.RNNBase:
    """The case's layer of torch.nn, or of gatecast.nn, with torch's initial weights."""
    torchs, ours, options = CELLS[case.cell]
    return (ours if native else torchs)(
        case.inputs,
        case.units,
        case.layers,
        bias=case.bias,
        batch_first=case.batch_first,
        bidirectional=case.directions == 2,
        dtype=case.dtype,
        **options,
    )


def problem(case: Case) -> Problem:
    """Random numbers: products of unit variance, biases and states of the size that gates work at."""
    generator = torch.Generator().manual_seed(case.seed)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return std * torch.randn(*shape, generator=generator, dtype=case.dtype)

    shapes = {k: v.shape for k, v in layer(case, native=False).state_dict().items()}
    weights = {k: normal(*shape, std=0.5 if len(shape) == 1 else shape[1] ** -0.5) for k, shape in shapes.items()}
    size = (case.layers * case.directions, case.batch, case.units)
    state = tuple(normal(*size) for _ in range(1 + (case.cell == "LSTM"))) if case.start else ()
    order = (case.batch, case.time) if case.batch_first else (case.time, case.batch)
    tops = {"y": (*order, case.units * case.directions), "h": size, "c": size}
    return Problem(weights, normal(*order, case.inputs), state, {k: normal(*tops[k]) for k in case.pulls})


def neighbour(numbers: Problem, seed: int) -> Problem:
    """The problem with every number moved by a thousandth."""
    generator = torch.Generator().manual_seed(seed)

    def moved(number: Tensor) -> Tensor:
        return number * (1 + 1e-3 * torch.randn(number.shape, generator=generator, dtype=number.dtype))

    weights = {k: moved(v) for k, v in numbers.weights.items()}
    return Problem(weights, moved(numbers.x), tuple(map(moved, numbers.state)), numbers.pulls)


def loaded(case: Case, numbers: Problem, native: bool) -> nn.RNNBase:
    """The case's layer with the problem's weights, in the problem's precision."""
    module = layer(case, native).to(numbers.x.dtype)
    module.load_state_dict(numbers.weights)
    return module


def call(module: nn.RNNBase, x: Tensor, state: tuple[Tensor, ...] = ()) -> dict[str, Tensor]:
    """y, h and c (h once more for a cell without c); `state` as (h,) or (h, c)."""
    hx = (state if module.mode == "LSTM" else state[0]) if state else None
    y, last = module(x, hx)
    h, c = last if module.mode == "LSTM" else (last, last)
    return {"y": y, "h": h, "c": c}


def run(case: Case, numbers: Problem, native: bool) -> Ran:
    """Forward, and backward to whatever the case wants."""
    module = loaded(case, numbers, native)
    module.requires_grad_(case.wanted != "x h0 c0")
    starts = {"x": numbers.x, **dict(zip(("h0", "c0"), numbers.state, strict=False))}
    inputs = {k: v.clone().requires_grad_(case.wanted != "weights") for k, v in starts.items()}
    leaves = {k: v for k, v in {**inputs, **dict(module.named_parameters())}.items() if v.requires_grad}
    outputs = call(module, inputs["x"], tuple(inputs.values())[1:])
    total = sum((outputs[k] * pull).sum() for k, pull in numbers.pulls.items())
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return Ran({k: v.detach() for k, v in outputs.items()}, dict(zip(leaves, found, strict=True)))


def named(ran: Ran) -> dict[str, Tensor]:
    """Everything that came out, by name."""
    return {**ran.outputs, **{f"d{k}": v for k, v in ran.gradients.items()}}


def error(found: Tensor, reference: Tensor) -> float:
    """The largest difference, as a share of the reference's largest number."""
    found, reference = found.detach().double(), reference.detach().double()
    scale = float(reference.abs().max())
    return float((found - reference).abs().max()) / (scale or 1.0)


def same_bits(one: Tensor, other: Tensor) -> bool:
    whole = {torch.float32: torch.int32, torch.float64: torch.int64}[one.dtype]
    return one.dtype == other.dtype and torch.equal(one.contiguous().view(whole), other.contiguous().view(whole))


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names under which the bits differ."""
    assert one.keys() == other.keys()
    return [k for k in one if not same_bits(one[k], other[k])]


def rows(case: Case, x: Tensor, batch: slice = slice(None), time: slice = slice(None)) -> Tensor:
    """Part of an x or y, along batch and time."""
    return x[batch, time] if case.batch_first else x[time, batch]


def chunks(cases: list[Case], size: int) -> list[list[Case]]:
    left = iter(cases)
    return list(iter(lambda: list(islice(left, size)), []))
