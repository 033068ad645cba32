"""Networks that feed on their own outputs, in one native call: the window slides, or the state is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from gatecast.errors import ForecastError
from gatecast.nn import native
from gatecast.nn.recurrent import description, weights_of
from gatecast.nn.stream import frozen_stack


@dataclass(frozen=True, eq=False)
class Reader:
    """Recurrent layers on top of each other, and the linear readout of the top layer's newest state.

    head [C, F] and head_bias [C] give the next row of all C columns; skip [lags C, C] and skip_bias [C], where lags
    > 0, add a linear map of the newest `lags` rows of the window.
    """

    layers: Sequence[nn.RNNBase]
    head: Float[Tensor, "C F"]
    head_bias: Float[Tensor, "C"]
    skip: Float[Tensor, "LC C"] | None = None
    skip_bias: Float[Tensor, "C"] | None = None
    lags: int = 0


def free_run(
    readers: Sequence[Reader], windows: Float[Tensor, "N L C"], steps: int, *, carry: bool = False
) -> Float64[Tensor, "N steps C"]:
    """Rows that the readers write on from each window, their mean fed back; scaled units, nothing is changed.

    Sliding (the default), every step rescans its window from a zero state; with `carry` the window is read once and
    each row written is read as one more step of the same state. States have the bits of the layers over the same rows.
    Raises ForecastError for readers that do not predict every column, and for a carried bidirectional layer.

    >>> from gatecast.nn import GRU
    >>> gru, head = GRU(1, 4, batch_first=True), nn.Linear(4, 1)
    >>> free_run([Reader([gru], head.weight, head.bias)], torch.zeros(2, 10, 1), steps=5).shape
    torch.Size([2, 5, 1])
    """
    origins, look_back, columns = windows.shape
    for reader in readers:
        if len(reader.head) != columns or reader.layers[0].input_size != columns:
            raise ForecastError(
                f"no free run: the model reads {columns} columns and predicts {len(reader.head)} of them",
                "fit it with predicts='all', or let it read the target alone",
            )
        if carry and any(layer.bidirectional for layer in reader.layers):
            raise ForecastError("no carried state: a bidirectional layer reads the future", "slide the window instead")
    window, path = windows.detach().clone(), torch.empty(origins, steps, columns, dtype=torch.float64)
    held = [_readout(reader) for reader in readers]
    stacks = [
        frozen_stack(description(*r.layers), [w for layer in r.layers for w in weights_of(layer)]) for r in readers
    ]
    addresses = [[0 if t is None else t.data_ptr() for t in each] for each in held]
    readouts = [[*row, reader.lags] for row, reader in zip(addresses, readers, strict=True)]
    shape = [origins, look_back, columns, steps]
    native.kernels.free_run(stacks, readouts, shape, window.data_ptr(), carry, path.data_ptr(), native.threads())
    return path


def _readout(reader: Reader) -> list[Tensor | None]:
    """The readout's tensors, each in one piece."""
    tensors = (reader.head, reader.head_bias, reader.skip, reader.skip_bias)
    return [None if tensor is None else tensor.detach().contiguous() for tensor in tensors]
