"""A recurrent stack with a linear head: windows in, K steps of P columns out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.nn import ops
from gatecast.nn.feedback import Reader
from gatecast.nn.recurrent import GRU, LSTM, RNN, covered, description, needs_gradient, weights_of
from gatecast.nn.spec import StackSpec

MODULES: dict[str, Callable[..., nn.RNNBase]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class Stack(nn.Module):
    """Recurrent layers of any cells on top of each other, with dropout after every layer.

    Reads x [B, T, D] from a zero state and returns the newest state of the top layer, [B, F]; for a bidirectional
    top layer the final states of both directions. The native kernels run all layers in one call; where they do not
    cover one, torch.nn runs layer by layer. Dropout masks come from `generator`, never from the global one. `joined`
    holds all weights in one tensor while `gatecast.nn.joined` is at work.
    """

    def __init__(self, spec: StackSpec, inputs: int, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        widths = [inputs, *(layer.width for layer in spec.layers)]
        self.layers = nn.ModuleList(
            MODULES[layer.cell](width, layer.units, batch_first=True, bidirectional=layer.bidirectional)
            for layer, width in zip(spec.layers, widths, strict=False)
        )
        self.spec = spec
        self.dropout = dropout
        self.generator = generator
        self.joined: Tensor | None = None

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B F"]:
        """The newest state of the top layer."""
        if covered(self.recurrent()[0], x, None):
            return self._drop(self._on_kernels(x))
        for layer in self.layers[:-1]:
            x = self._drop(layer(x)[0])
        x = self.layers[-1](x)[0]
        newest, top = x[:, -1], self.spec.layers[-1]
        if top.bidirectional:
            newest = torch.cat([newest[:, : top.units], x[:, 0, top.units :]], dim=1)  # [B, 2H]
        return self._drop(newest)

    def _on_kernels(self, x: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        seed = torch.randint(2**63 - 1, (), generator=self.generator) if dropout else None
        weights = self.weights() if self.joined is None else [self.joined]
        facts = ops.Facts(description(*self.recurrent()), True, dropout)
        states = ops.recurrent(x, (None, None), weights, facts, seed, needs_gradient(x, *weights), False)[1]
        top = self.spec.layers[-1]
        newest = states[-top.width * len(x) :].view(-1, len(x), top.units)  # [1 or 2, B, H]
        return newest[0] if len(newest) == 1 else torch.cat(newest.unbind(), dim=1)  # [B, F]

    def recurrent(self) -> list[nn.RNNBase]:
        """The layers, from the input up."""
        return [layer for layer in self.layers if isinstance(layer, nn.RNNBase)]

    def weights(self) -> list[Tensor]:
        """The weights of all layers in torch's order."""
        return [weight for layer in self.recurrent() for weight in weights_of(layer)]

    def _drop(self, x: Tensor) -> Tensor:
        if not self.training or self.dropout == 0:
            return x
        keep = 1 - self.dropout
        mask = torch.empty(x.shape, dtype=x.dtype).bernoulli_(keep, generator=self.generator).div_(keep)
        return x * mask.to(x.device)


class Network(nn.Module):
    """y = head(stack(x)) + skip(x): K steps of P columns from a window of D columns, [B, L, D] -> [B, K, P].

    The skip is an optional fixed linear map of the newest `lags` rows, given by `set_skip`; with it the head starts
    at zero, so that training starts from the linear forecast.
    """

    skip_weight: Tensor
    skip_bias: Tensor

    def __init__(self, stack: Stack, inputs: int, outputs: tuple[int, int], lags: int = 0) -> None:
        super().__init__()
        self.stack = stack
        self.outputs = outputs
        self.lags = lags
        size = outputs[0] * outputs[1]
        self.head = nn.Linear(stack.spec.layers[-1].width, size)
        self.register_buffer("skip_weight", torch.zeros(lags * inputs, size))
        self.register_buffer("skip_bias", torch.zeros(size if lags else 0))

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B K P"]:
        """Scaled forecasts."""
        y = self.head(self.stack(x))
        if self.lags:
            y = y + x[:, -self.lags :].flatten(1) @ self.skip_weight + self.skip_bias
        return y.view(-1, *self.outputs)  # [B, K, P]

    def reader(self) -> Reader:
        """The network's first step as a free run reads it."""
        first = self.outputs[1]
        head = (self.head.weight[:first], self.head.bias[:first])
        if not self.lags:
            return Reader(self.stack.recurrent(), *head)
        return Reader(self.stack.recurrent(), *head, self.skip_weight[:, :first], self.skip_bias[:first], self.lags)

    def set_skip(self, weight: Float[Tensor, "LD KP"], bias: Float[Tensor, "KP"]) -> None:
        """Fix the linear part and start its correction at zero."""
        with torch.no_grad():
            self.skip_weight.copy_(weight)
            self.skip_bias.copy_(bias)
            self.head.weight.zero_()
            self.head.bias.zero_()

    def summary(self) -> str:
        """Layers, output shapes and trainable parameter counts, as a small table."""
        rows = [("layer", "output", "parameters")]
        for layer, module in zip(self.stack.spec.layers, self.stack.layers, strict=True):
            name = f"{'bi' if layer.bidirectional else ''}{layer.cell}"
            rows.append((name, f"[B, L, {layer.width}]", f"{trainable(module):,}"))
        rows.append(("head", f"[B, {self.outputs[0]}, {self.outputs[1]}]", f"{trainable(self.head):,}"))
        if self.lags:
            rows.append((f"linear skip, {self.lags} lags", "added", f"{self.skip_weight.numel():,} fixed"))
        rows.append(("total", "", f"{trainable(self):,}"))
        return "\n".join(f"{a:<24}{b:<14}{c:>14}" for a, b, c in rows)


def trainable(module: nn.Module) -> int:
    """Number of parameters that training changes."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
