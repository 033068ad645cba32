"""The kernels as PyTorch operators: gatecast::recurrent and its backward, with autograd and shapes for tracing.

A stack is described by `layers`: four numbers each, (cell, inputs, units, directions), cells numbered as in
`native.CELLS`. Weights stand as in torch.nn: for every layer and direction W_ih [G H, D], W_hh [G H, H] and, with
biases, b_ih and b_hh [G H]; or all of them in one tensor, one after another. States are flat: blocks [B, H] for every
layer and direction, one after another.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.nn import native

TWICE = (
    "the native recurrent kernels have no second derivative; take it on torch.nn "
    "(gatecast.nn.accelerate(model).undo(), or torch.nn's own layer)"
)
MAPPED = (
    "the native recurrent kernels cannot be mapped by torch.func.vmap; use a batch dimension or torch.nn's own layer"
)


State = Tensor | None
Four = tuple[Tensor, Tensor, Tensor, Tensor]

torch.library.define(
    "gatecast::recurrent",
    "(Tensor x, Tensor? h0, Tensor? c0, Tensor[] weights, int[] layers, bool batch_first, float dropout, "
    "Tensor? seed, bool keep, bool outputs) -> (Tensor y, Tensor hn, Tensor cn, Tensor reserve)",
)
torch.library.define(
    "gatecast::recurrent_backward",
    "(Tensor? dy, Tensor? dhn, Tensor? dcn, Tensor[] weights, Tensor reserve, SymInt[] shape, int[] layers, "
    "bool batch_first, float dropout, Tensor? seed, bool[] needs) -> (Tensor dx, Tensor dh0, Tensor dc0, Tensor flat)",
)


class Facts(NamedTuple):
    """What a call is told beside its tensors."""

    layers: list[int]
    batch_first: bool
    dropout: float


def recurrent(
    x: Tensor, starts: tuple[State, State], weights: list[Tensor], facts: Facts, seed: State, keep: bool, outputs: bool
) -> Four:
    """y [B, T, F] ([T, B, F] unless batch_first; empty unless `outputs`), flat final h and c, and, if `keep`, the
    reserve that backward needs."""
    if _plain(x):
        return _with_gradient(x, *starts, weights, *facts, seed, keep, outputs)
    found: Four = torch.ops.gatecast.recurrent.default(x, *starts, weights, *facts, seed, keep, outputs)
    return found


def _plain(x: Tensor) -> bool:
    """Whether nothing watches or transforms this call, so that the dispatcher, some 0.1 ms a step, may be left out."""
    return (
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
    )


def _forward(x: Tensor, h0: State, c0: State, weights: list[Tensor], *rest: Any) -> Four:
    layers, batch_first, dropout, seed, keep, outputs = rest
    x = x if x.stride(2) == 1 else x.contiguous()
    y, hn, cn = _results(x, layers, batch_first, outputs)
    reserve = native.kernels.workspace(_kept_bytes(x, layers, batch_first, dropout) if keep else 0)
    held = [weight.contiguous() for weight in weights]
    call = describe_call(x.shape, Facts(layers, batch_first, dropout), seed)
    call.x, (call.x_batch, call.x_time) = x.data_ptr(), _strides(x, batch_first)
    starts = [None if state is None else state.contiguous() for state in (h0, c0)]
    call.h0, call.c0 = (0 if state is None else state.data_ptr() for state in starts)
    call.hn, call.cn, call.reserve = hn.data_ptr(), cn.data_ptr(), reserve.data_ptr()
    if outputs:
        call.y, (call.y_batch, call.y_time) = y.data_ptr(), _strides(y, batch_first)
    kernel_stack(layers, held).forward(call)
    return y, hn, cn, reserve


@torch.library.register_fake("gatecast::recurrent")  # type: ignore[untyped-decorator]  # torch leaves it so
def _forward_shapes(x: Tensor, h0: State, c0: State, weights: list[Tensor], *rest: Any) -> Four:
    layers, batch_first, dropout, _, keep, outputs = rest
    kept = _kept_bytes(x, layers, batch_first, dropout) if keep else 0
    return *_results(x, layers, batch_first, outputs), x.new_empty(kept, dtype=torch.uint8)


def _backward(
    dy: State,
    dhn: State,
    dcn: State,
    weights: list[Tensor],
    reserve: Tensor,
    *rest: Any,
) -> Four:
    shape, layers, batch_first, dropout, seed, needs = rest
    dx, dh0, dc0, flat = _gradients(weights, shape, layers, batch_first, needs)
    held = [weight.contiguous() for weight in weights]
    call = describe_call(shape, Facts(layers, batch_first, dropout), seed)
    call.reserve = reserve.data_ptr()
    if dy is not None and dy.numel():  # tracing may hand zeros of y's empty shape
        dy = dy if dy.stride(2) == 1 else dy.contiguous()
        call.dy, (call.dy_batch, call.dy_time) = dy.data_ptr(), _strides(dy, batch_first)
    ends = [None if state is None else state.contiguous() for state in (dhn, dcn)]
    call.dhn, call.dcn = (0 if state is None else state.data_ptr() for state in ends)
    call.dx, call.dh0, call.dc0, call.weights = (g.data_ptr() for g in (dx, dh0, dc0, flat))
    call.dx_batch, call.dx_time = _strides(dx, batch_first) if needs[0] else (0, 0)
    kernel_stack(layers, held).backward(call)
    return dx, dh0, dc0, flat


@torch.library.register_fake("gatecast::recurrent_backward")  # type: ignore[untyped-decorator]  # torch leaves it so
def _backward_shapes(
    dy: State,
    dhn: State,
    dcn: State,
    weights: list[Tensor],
    reserve: Tensor,
    *rest: Any,
) -> Four:
    shape, layers, batch_first, _, _, needs = rest
    return _gradients(weights, shape, layers, batch_first, needs)


class _Recurrent(torch.autograd.Function):
    """The operator with its gradient. Weights are separate arguments, as autograd wants them."""

    @staticmethod
    def forward(
        x: Tensor, h0: State, c0: State, facts: Facts, seed: State, flags: tuple[bool, bool], *weights: Tensor
    ) -> Four:
        return _below(x, h0, c0, list(weights), *facts, seed, *flags)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Four) -> None:
        x, _, _, ctx.facts, seed, _, *weights = inputs
        ctx.shape = list(x.shape)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(output[3])
        ctx.save_for_backward(output[3], seed, *weights)

    @staticmethod
    def backward(ctx: Any, dy: State, dhn: State, dcn: State, _: State) -> Any:
        reserve, seed, *weights = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        needs = [*wanted[:3], any(wanted[6:])]
        plain = _plain(reserve) and not torch.is_grad_enabled()
        call = _backward if plain else torch.ops.gatecast.recurrent_backward.default
        found = call(dy, dhn, dcn, weights, reserve, ctx.shape, *ctx.facts, seed, needs)
        given = [gradient if need else None for gradient, need in zip(found, needs, strict=True)]
        parts = [None] * len(weights) if given[3] is None else _parts(given[3], weights)
        return *given[:3], None, None, None, *parts


def _with_gradient(x: Tensor, h0: State, c0: State, weights: list[Tensor], *rest: Any) -> Four:
    layers, batch_first, dropout, seed, keep, outputs = rest
    facts, flags = Facts(layers, batch_first, dropout), (keep, outputs)
    if not keep:
        return _below(x, h0, c0, weights, *rest)
    if not _plain(x):
        found: Four = _Recurrent.apply(x, h0, c0, facts, seed, flags, *weights)  # type: ignore[no-untyped-call]  # torch
        return found
    # torch.autograd.Function's own `apply` would first bind every argument by its name, at each step
    direct = super(torch.autograd.Function, _Recurrent)
    quick: Four = direct.apply(x, h0, c0, facts, seed, flags, *weights)  # type: ignore[attr-defined]  # C base
    return quick


def _below(x: Tensor, h0: State, c0: State, weights: list[Tensor], *rest: Any) -> Four:
    """The call without its gradient."""
    if _plain(x):
        return _forward(x, h0, c0, weights, *rest)
    with torch._C._AutoDispatchBelowAutograd():
        found: Four = torch.ops.gatecast.recurrent.default(x, h0, c0, weights, *rest)
        return found


def _refuse(ctx: Any, *gradients: Any) -> Any:
    raise RuntimeError(TWICE)


def _refuse_map(info: Any, in_dims: Any, *args: Any) -> Any:
    raise RuntimeError(MAPPED)


torch.library.impl("gatecast::recurrent", "CPU", _forward)
torch.library.impl("gatecast::recurrent", "Autograd", _with_gradient)
torch.library.impl("gatecast::recurrent_backward", "CPU", _backward)
torch.library.register_autograd("gatecast::recurrent_backward", _refuse)
torch.library.register_vmap("gatecast::recurrent", _refuse_map)
torch.library.register_vmap("gatecast::recurrent_backward", _refuse_map)


def _parts(flat: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """The flat gradient as one tensor per weight."""
    if len(weights) == 1:
        return [flat]
    sizes = [weight.numel() for weight in weights]
    return [part.view(w.shape) for part, w in zip(flat.split(sizes), weights, strict=True)]


def _results(x: Tensor, layers: list[int], batch_first: bool, outputs: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y, hn and cn, not yet filled."""
    states = _states(layers) * x.shape[0 if batch_first else 1]
    y = x.new_empty((x.shape[0], x.shape[1], layers[-2] * layers[-1]) if outputs else (0,))
    return y, x.new_empty(states), x.new_empty(states if native.CELLS["LSTM"] in layers[::4] else 0)


def _gradients(
    weights: list[Tensor], shape: list[Any], layers: list[int], batch_first: bool, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, h0, c0 and the flat weights, not yet filled; empty where nobody needs them."""
    states = _states(layers) * shape[0 if batch_first else 1]
    parameters = sum(weight.numel() for weight in weights)
    sizes = (shape, [states], [states], [parameters])
    dx, dh0, dc0, flat = (weights[0].new_empty(n if need else 0) for n, need in zip(sizes, needs, strict=True))
    return dx, dh0, dc0, flat


def _states(layers: list[int]) -> int:
    return sum(units * directions for units, directions in zip(layers[2::4], layers[3::4], strict=True))


def _kept_bytes(x: Tensor, layers: list[int], batch_first: bool, dropout: float) -> int:
    """Bytes that forward keeps for backward."""
    batch, time = (x.shape[0], x.shape[1]) if batch_first else (x.shape[1], x.shape[0])
    nothing = [0] * (4 * sum(layers[3::4]))
    stack = native.stack_of(x.dtype)(_rows(layers), nothing)
    return int(stack.reserve_bytes(int(batch), int(time), dropout > 0))


def _rows(layers: list[int]) -> list[list[int]]:
    return [layers[i : i + 4] for i in range(0, len(layers), 4)]


def kernel_stack(layers: list[int], weights: list[Tensor]) -> Any:
    """The kernel's stack over weights of torch.nn's layout (contiguous)."""
    addresses = [weight.data_ptr() for weight in weights] if len(weights) > 1 else _inside(layers, weights[0])
    if len(addresses) == 2 * sum(layers[3::4]):  # no biases
        addresses = [a for i in range(0, len(addresses), 2) for a in (addresses[i], addresses[i + 1], 0, 0)]
    return native.stack_of(weights[0].dtype)(_rows(layers), addresses)


def _inside(layers: list[int], joined: Tensor) -> list[int]:
    """The address of every weight in one tensor of all, with biases or without."""
    sizes: list[int] = []
    for cell, inputs, units, directions in _rows(layers):
        gates = native.GATES[cell] * units
        sizes += [gates * inputs, gates * units, gates, gates] * directions
    if sum(sizes) != joined.numel():
        sizes = [size for i, size in enumerate(sizes) if i % 4 < 2]
    begin, width = joined.data_ptr(), joined.element_size()
    return [begin + width * at for at in accumulate([0, *sizes[:-1]])]


def _strides(tensor: Tensor, batch_first: bool) -> tuple[int, int]:
    """Strides over batch and over time."""
    first, second, _ = tensor.stride()
    return (first, second) if batch_first else (second, first)


def describe_call(shape: list[int] | torch.Size, facts: Facts, seed: Tensor | None) -> Any:
    """A kernel call's description with everything but addresses."""
    call = native.kernels.Tensors()
    call.batch, call.time = (shape[0], shape[1]) if facts.batch_first else (shape[1], shape[0])
    call.dropout, call.seed, call.threads = facts.dropout, 0 if seed is None else int(seed), native.threads()
    return call


def dropout_factors(dropout: float, seed: int, layer: int, shape: tuple[int, int, int]) -> Float[Tensor, "B T F"]:
    """What the outputs of `layer` (from 0) are multiplied with before the next one reads them: 0, or 1 / (1 - dropout).

    Philox4x32-7 (Salmon et al., 2011) of (seed, layer, time, unit, batch index): the same for any threads, batch and
    instruction set.

    >>> dropout_factors(0.5, seed=1, layer=0, shape=(2, 3, 4)).unique()
    tensor([0., 2.])
    """
    factors = torch.empty(shape)
    native.kernels.dropout_factors(dropout, seed, layer, *shape, factors.data_ptr())
    return factors
