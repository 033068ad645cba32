"""Gates and states of a call, as the kernels kept them for backward: no second code path."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.nn import native, ops
from gatecast.nn.recurrent import State, description, flat_states, weights_of


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer in one direction, in time order: gates [B, T, G H] in torch's order (after their nonlinearity), states
    h [B, T, H] and, for an LSTM, c [B, T, H]."""

    layer: int
    reverse: bool
    gates: Float[Tensor, "B T GH"]
    h: Float[Tensor, "B T H"]
    c: Float[Tensor, "B T H"] | None


def record(layer: nn.RNNBase, x: Float[Tensor, "B T D"], hx: State | None = None) -> tuple[LayerRecord, ...]:
    """Run a batch-first sequence through a layer of `gatecast.nn` and hand out what it did, in evaluation mode.

    Raises what the layer would raise for a wrong shape. Needs the native kernels; the reference cells
    (`gatecast.nn.cells.scan`) record the same anywhere.

    >>> from gatecast.nn import GRU
    >>> gates = record(GRU(3, 8, batch_first=True), torch.zeros(5, 20, 3))[0].gates
    >>> gates.shape
    torch.Size([5, 20, 24])
    """
    weights, layers = [weight.detach() for weight in weights_of(layer)], description(layer)
    facts = ops.Facts(layers, True, 0.0)
    with torch.no_grad():
        reserve = ops.recurrent(x, flat_states(hx), weights, facts, None, True, False)[3]
    batch, time = x.shape[:2]
    stack, call = ops.kernel_stack(layers, weights), ops.describe_call(x.shape, facts, None)
    call.reserve = reserve.data_ptr()
    found = []
    for depth in range(layer.num_layers):
        for direction in range(1 + layer.bidirectional):
            cell, _, units, _ = layers[4 * depth : 4 * depth + 4]
            gates = x.new_empty(batch, time, native.GATES[cell] * units)
            h, c = x.new_empty(batch, time, units), x.new_empty(batch, time, units)
            stack.record(call, depth, direction, gates.data_ptr(), h.data_ptr(), c.data_ptr())
            found.append(LayerRecord(depth, direction == 1, gates, h, c if layer.mode == "LSTM" else None))
    return tuple(found)
