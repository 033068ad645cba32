"""One row at a time: a stepper over a layer's weights, with the bits of the whole sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gatecast.errors import ForecastError
from gatecast.nn import native
from gatecast.nn.ops import kernel_stack


class Stream:
    """Reads rows [D] one by one, oldest first, and carries the state; made by `layer.stream(hx)`.

    The weights are a frozen copy: later training does not reach a stream. Same bits as the layer over the sequence so
    far, in evaluation mode and where the kernels run it. Raises ForecastError for a bidirectional layer, which would
    have to see the future.

    >>> from gatecast.nn import GRU
    >>> layer, x = GRU(2, 4, batch_first=True), torch.randn(1, 6, 2)
    >>> stream = layer.stream()
    >>> rows = torch.stack([stream.step(row) for row in x[0]])
    >>> bool(torch.equal(rows, layer(x)[0][0].detach()))
    True
    """

    def __init__(
        self, layer: nn.RNNBase, layers: list[int], weights: list[Tensor], hx: Tensor | tuple[Tensor, Tensor] | None
    ) -> None:
        if layer.bidirectional or layer.proj_size:
            raise ForecastError(
                "no stream: a bidirectional layer reads the future, and one with proj_size is torch.nn's alone",
                "use a layer in one direction, without proj_size",
            )
        self.layer = layer
        self.inputs, self.units = layer.input_size, layer.hidden_size
        self._dtype = weights[0].dtype
        h, c = hx if isinstance(hx, tuple | list) else (hx, None)
        self._h, self._c = (self._own(state) for state in (h, c))
        self._stack = frozen_stack(layers, weights)
        self._at = (self._h.data_ptr(), self._c.data_ptr())

    def _own(self, state: Tensor | None) -> Tensor:
        """A copy of an initial state [L, H] (or [L, 1, H]) in the layer's dtype, zero where there is none."""
        shape = (self.layer.num_layers, self.units)
        if state is None:
            return torch.zeros(shape, dtype=self._dtype)
        if state.numel() != shape[0] * shape[1] or state.shape[-1] != self.units:
            raise ValueError(f"a state of shape {tuple(state.shape)}, expected {shape}")
        return torch.empty(shape, dtype=self._dtype).copy_(state.detach().reshape(shape))

    @property
    def state(self) -> Tensor | tuple[Tensor, Tensor]:
        """The state now, as the layer takes it for an unbatched sequence: h [L, H], for an LSTM (h, c)."""
        h, c = self._h.clone(), self._c.clone()
        return (h, c) if self.layer.mode == "LSTM" else h

    def step(self, x: Any) -> Tensor:
        """The top layer's output [H] for one more row x [D] (a tensor, array or list in scaled units)."""
        if not isinstance(x, Tensor):
            x = torch.as_tensor(x)
        if x.dtype != self._dtype or not x.is_contiguous():
            x = x.to(self._dtype).contiguous()
        if x.numel() != self.inputs:
            raise ValueError(f"a row of shape {tuple(x.shape)}, expected ({self.inputs},)")
        y = torch.empty(self.units, dtype=self._dtype)
        self._stack.step(x.data_ptr(), *self._at, y.data_ptr())
        return y


def frozen_stack(layers: list[int], weights: list[Tensor]) -> Any:
    """The kernels' own copy of a stack's weights, packed for scans and for steps."""
    held = [weight.detach().contiguous() for weight in weights]
    stack = kernel_stack(layers, held)
    stack.freeze(native.threads())
    return stack
