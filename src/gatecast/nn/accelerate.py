"""Put the native layers into a PyTorch model that exists: one line, undone by another."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from gatecast.nn import native
from gatecast.nn.recurrent import GRU, LSTM, RNN

SWAPS: dict[type[nn.Module], type[nn.Module]] = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}


@dataclass(frozen=True, eq=False)
class Acceleration:
    """What `accelerate` did: the layers it swapped by name, and those it left alone with the reason.

    A shared module is swapped once and listed under its first name.
    """

    swapped: dict[str, nn.Module]
    skipped: dict[str, str]

    def undo(self) -> None:
        """Turn every swapped layer back into torch.nn's, in place."""
        for module in self.swapped.values():
            module.__class__ = next(old for old, new in SWAPS.items() if type(module) is new)

    def __str__(self) -> str:
        done = ", ".join(f"{name or 'the model'} ({type(m).__name__})" for name, m in self.swapped.items()) or "nothing"
        left = "".join(f"\nleft alone: {name or 'the model'}: {why}" for name, why in self.skipped.items())
        return f"accelerated: {done}{left}"


def accelerate(model: nn.Module) -> Acceleration:
    """Run every torch.nn.LSTM, GRU and RNN inside `model` on the native kernels, in place.

    Layers change their class and nothing else: parameters keep their identity, so optimisers, hooks, state_dicts and
    shared modules go on as before. A module is swapped where its type is exactly nn.LSTM, nn.GRU or nn.RNN; subclasses,
    scripted, parametrised and sharded modules are left alone and reported. Without the native kernels nothing is
    swapped, and the report says so.

    >>> from torch import nn
    >>> model = nn.ModuleDict({"encoder": nn.LSTM(3, 8), "head": nn.Linear(8, 1)})
    >>> print(done := accelerate(model))
    accelerated: encoder (LSTM)
    >>> done.undo(), type(model["encoder"]) is nn.LSTM
    (None, True)
    """
    swapped: dict[str, nn.Module] = {}
    skipped: dict[str, str] = {}
    for name, module in model.named_modules():
        reason = _reason(module)
        if reason is None:
            module.__class__ = SWAPS[type(module)]
            swapped[name] = module
        elif reason:
            skipped[name] = reason
    return Acceleration(swapped, skipped)


def _reason(module: nn.Module) -> str | None:
    """Why a module stays as it is: None if it is swapped, nothing where it has no recurrence."""
    original = getattr(module, "original_name", "")
    if original in ("LSTM", "GRU", "RNN"):
        return "scripted by torch.jit"
    if not isinstance(module, nn.RNNBase) or type(module) in SWAPS.values():
        return ""
    if native.kernels is None:
        return "the native kernels were not built"
    if parametrize.is_parametrized(module):
        return "its weights are parametrised"
    if type(module) not in SWAPS:
        return f"{type(module).__name__} is a subclass of its own"
    if any(type(weight).__name__ != "Parameter" for weight in module.parameters()):
        return "its weights are sharded or of a tensor class of their own"
    if module.proj_size:
        return "proj_size is torch.nn's alone"
    return None
