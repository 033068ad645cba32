"""Recurrent layers as ONNX operators: torch's weights with their gates in ONNX's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from gatecast.edge.onnx.graph import Graph
from gatecast.errors import SpecError


class Operator(NamedTuple):
    """An ONNX operator, where in torch's order its gates stand, and its attributes."""

    name: str
    gates: tuple[int, ...]
    attributes: dict[str, Any]


# torch: LSTM i f g o, GRU r z n; ONNX: LSTM i o f c, GRU z r h
OPERATORS = {
    "LSTM": Operator("LSTM", (0, 3, 1, 2), {}),
    "GRU": Operator("GRU", (1, 0, 2), {"linear_before_reset": 1}),
    "RNN_TANH": Operator("RNN", (0,), {}),
}


def numbers(weight: Tensor) -> np.ndarray:
    """A weight, wherever it is, as numbers."""
    return weight.detach().cpu().numpy()


def recurrent(graph: Graph, x: str, layers: Sequence[nn.RNNBase], lengths: str = "") -> str:
    """The newest state [N, F] of the top layer after reading x [N, T, D], or the first `lengths` [N] rows of it, from a
    zero state."""
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    newest = ""
    for layer in layers:
        for depth in range(layer.num_layers):
            x, newest = _layer(graph, x, _directions(layer, depth), layer.mode, lengths)
    return newest


def from_flat(flat: Tensor, shape: nn.RNNBase) -> list[list[np.ndarray]]:
    """The weights of a one-layer, one-direction stack that are kept in one tensor."""
    named = [like.shape for like in shape.parameters()]
    parts = flat.split([size.numel() for size in named])
    return [[numbers(part.view(size)) for part, size in zip(parts, named, strict=True)]]


def read_by(graph: Graph, x: str, weights: list[list[np.ndarray]], mode: str) -> str:
    """The newest state of a layer with these weights (of each direction: input, recurrent, and both biases)."""
    return _layer(graph, graph.add("Transpose", x, perm=[1, 0, 2]), weights, mode)[1]


def _layer(graph: Graph, x: str, weights: list[list[np.ndarray]], mode: str, lengths: str = "") -> tuple[str, str]:
    """All states [T, N, F] and the newest [N, F], of a layer that reads x [T, N, D]."""
    if mode not in OPERATORS:
        raise SpecError(f"a layer of kind {mode} is not exported", f"expected one of {', '.join(OPERATORS)}")
    operator, units = OPERATORS[mode], weights[0][1].shape[1]
    ordered = [[_ordered(each, operator.gates) for each in direction] for direction in weights]
    w, r = (np.stack([direction[i] for direction in ordered]) for i in (0, 1))
    b = np.stack([np.concatenate(direction[2:]) for direction in ordered])
    direction = "bidirectional" if len(weights) > 1 else "forward"
    attributes = {"hidden_size": units, "direction": direction, **operator.attributes}
    y, newest = graph.outputs(operator.name, 2, x, *map(graph.constant, (w, r, b)), lengths, **attributes)
    states = graph.add("Reshape", graph.add("Transpose", y, perm=[0, 2, 1, 3]), graph.whole(0, 0, -1))
    flat = graph.add("Reshape", graph.add("Transpose", newest, perm=[1, 0, 2]), graph.whole(0, -1))
    return states, flat


def _directions(layer: nn.RNNBase, depth: int) -> list[list[np.ndarray]]:
    """Of each direction: input and recurrent weights and both biases, as torch names them."""
    parts, ends = ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ("", "_reverse")[: 1 + layer.bidirectional]
    return [[numbers(getattr(layer, f"{part}_l{depth}{end}")) for part in parts] for end in ends]


def _ordered(weight: np.ndarray, gates: tuple[int, ...]) -> np.ndarray:
    """Blocks of rows in ONNX's order of gates."""
    blocks = np.split(weight, len(gates))
    return np.concatenate([blocks[gate] for gate in gates])
