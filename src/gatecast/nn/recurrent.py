"""`LSTM`, `GRU` and `RNN`: torch.nn's layers on the native kernels.

Subclasses of torch.nn's with the same constructor, state_dict, outputs and gradients to round-off. What the kernels do
not cover (other devices and dtypes, packed sequences, `proj_size`, autocast, shapes where torch.nn is faster) takes
PyTorch's own path. Dropout between layers draws its seed from torch's generator, as torch does; the masks are those of
`dropout_factors`, the same for any number of threads, and so not the bits that PyTorch would draw.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gatecast.nn import native, ops
from gatecast.nn.choice import torch_is_faster
from gatecast.nn.device import on_kernels
from gatecast.nn.stream import Stream

State = Tensor | tuple[Tensor, Tensor]


class LSTM(nn.LSTM):
    """torch.nn.LSTM on the native kernels.

    i, f, o = sigmoid(W x + b + U h + b'), n = tanh(...), c' = f c + i n, h' = o tanh(c'). Shapes, arguments and errors
    are those of torch.nn.LSTM. Source: Hochreiter & Schmidhuber (1997), Gers et al. (2000).

    >>> layer = LSTM(3, 8, num_layers=2, batch_first=True)
    >>> y, (h, c) = layer(torch.zeros(5, 20, 3))
    >>> y.shape, h.shape
    (torch.Size([5, 20, 8]), torch.Size([2, 5, 8]))
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of the top layer and the final (h, c) of every layer and direction."""
        if not covered(self, input, hx):
            return super().forward(input, hx)
        y, h, c = scan(self, input, hx)
        return y, (h, c)

    def stream(self, hx: tuple[Tensor, Tensor] | None = None) -> Stream:
        """A stepper that reads one row at a time, from zero or from `hx`, with the layer's weights as they are now."""
        return Stream(self, description(self), weights_of(self), hx)


class GRU(nn.GRU):
    """torch.nn.GRU on the native kernels.

    r, z = sigmoid(W x + b + U h + b'), n = tanh(W x + b + r (U h + b')), h' = (1 - z) n + z h. Shapes, arguments and
    errors are those of torch.nn.GRU. Source: Cho et al. (2014), the reset gate after the product.

    >>> y, h = GRU(3, 8, bidirectional=True)(torch.zeros(20, 5, 3))
    >>> y.shape, h.shape
    (torch.Size([20, 5, 16]), torch.Size([2, 5, 8]))
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of the top layer and the final h of every layer and direction."""
        return super().forward(input, hx) if not covered(self, input, hx) else scan(self, input, hx)[:2]

    def stream(self, hx: Tensor | None = None) -> Stream:
        """A stepper that reads one row at a time, from zero or from `hx`, with the layer's weights as they are now."""
        return Stream(self, description(self), weights_of(self), hx)


class RNN(nn.RNN):
    """torch.nn.RNN on the native kernels: h' = tanh(W x + b + U h + b'), or relu. Source: Elman (1990).

    >>> y, h = RNN(3, 8, nonlinearity="relu")(torch.zeros(20, 5, 3))
    >>> y.shape
    torch.Size([20, 5, 8])
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Outputs of the top layer and the final h of every layer and direction."""
        return super().forward(input, hx) if not covered(self, input, hx) else scan(self, input, hx)[:2]

    def stream(self, hx: Tensor | None = None) -> Stream:
        """A stepper that reads one row at a time, from zero or from `hx`, with the layer's weights as they are now."""
        return Stream(self, description(self), weights_of(self), hx)


def covered(layer: nn.RNNBase, x: Any, hx: State | None) -> bool:
    """Whether a call takes the native kernels: plain tensors of the right shapes on the CPU, in float32 or float64.

    Anything else, mistakes included, goes to torch.nn, which runs it or says what is wrong.
    """
    if layer.proj_size or not isinstance(x, Tensor) or not on_kernels(x) or torch._C._get_tracing_state():
        return False
    if x.dim() not in (2, 3) or x.shape[-1] != layer.input_size or not x.numel():
        return False
    weight = layer.weight_ih_l0
    plain = x.dtype in native.DTYPES and x.layout == torch.strided
    if not plain or weight.device != x.device or weight.dtype != x.dtype or torch.is_autocast_enabled("cpu"):
        return False
    batch = 1 if x.dim() == 2 else x.shape[0 if layer.batch_first else 1]
    if hx is not None and not _fits(layer, x, hx, batch):
        return False
    return not torch_is_faster(layer.mode, layer.hidden_size, batch, torch.is_grad_enabled())


def scan(layer: nn.RNNBase, x: Tensor, hx: State | None) -> tuple[Tensor, Tensor, Tensor]:
    """y, h and c as torch.nn gives them, for a call that is `covered`."""
    batched, weights, starts = x.dim() == 3, weights_of(layer), flat_states(hx)
    rows = x if batched else x.unsqueeze(0 if layer.batch_first else 1)
    dropout = layer.dropout if layer.training and layer.num_layers > 1 else 0.0
    seed = torch.randint(2**63 - 1, ()) if dropout else None
    keep = needs_gradient(rows, *starts, *weights)
    facts = ops.Facts(description(layer), layer.batch_first, dropout)
    y, h, c, _ = ops.recurrent(rows, starts, weights, facts, seed, keep, True)
    shape = (layer.num_layers * (1 + layer.bidirectional), -1, layer.hidden_size)
    if batched:
        return y, h.view(shape), c.view(shape)
    return y.squeeze(0 if layer.batch_first else 1), h.view(shape).squeeze(1), c.view(shape).squeeze(1)


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether anything will ask for a gradient with respect to one of `tensors`."""
    return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)


def weights_of(layer: nn.RNNBase) -> list[Tensor]:
    """The layer's weights in torch's order."""
    return [getattr(layer, name) for name in layer._flat_weights_names]


def description(*layers: nn.RNNBase) -> list[int]:
    """What the operators need to know of a stack: cell, inputs, units and directions of every layer."""
    found: list[int] = []
    for layer in layers:
        directions = 2 if layer.bidirectional else 1
        for depth in range(layer.num_layers):
            inputs = layer.hidden_size * directions if depth else layer.input_size
            found += [native.CELLS[layer.mode], inputs, layer.hidden_size, directions]
    return found


def flat_states(hx: State | None) -> tuple[Tensor | None, Tensor | None]:
    """Initial h and c as the operators take them."""
    h, c = hx if isinstance(hx, tuple | list) else (hx, None)
    return None if h is None else h.reshape(-1), None if c is None else c.reshape(-1)


def _fits(layer: nn.RNNBase, x: Tensor, hx: State, batch: int) -> bool:
    lstm = layer.mode == "LSTM"
    if isinstance(hx, Tensor) == lstm:
        return False
    states: tuple[Any, ...] = tuple(hx) if lstm else (hx,)
    if len(states) != 1 + lstm or not all(isinstance(state, Tensor) for state in states):
        return False
    rows = layer.num_layers * (1 + layer.bidirectional)
    shape = (rows, batch, layer.hidden_size) if x.dim() == 3 else (rows, layer.hidden_size)
    return all(tuple(s.shape) == shape and s.dtype == x.dtype and s.device == x.device for s in states)
