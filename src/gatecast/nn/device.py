"""Devices: which there are, who runs a recurrent layer there, and what goes where.

The native kernels run on the CPU. On any other device recurrent layers are torch.nn's own (on CUDA cuDNN's), with the
same weights behind the same interface. A network and what its training step reads are on the device; panels stay in the
CPU's memory, which is the larger one, and every batch is gathered there and moved. Random numbers are drawn on the CPU
too: a seed means the same everywhere, and no generator of a device has a state to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gatecast.errors import SpecError, check_choice
from gatecast.nn import native

CPU = torch.device("cpu")
DEVICES = ("cpu", "cuda", "mps")
ADVICE = (
    'take one of these; for CUDA `python -c "import torch; print(torch.version.cuda, torch.cuda.device_count())"` must '
    "print a version (None: a build of PyTorch for the CPU alone) and more than 0 devices"
)
B = TypeVar("B", bound=tuple[Any, ...])


def check_device(name: str) -> str:
    """The name of a device, whether it is there or not: cpu, cuda, cuda:1, mps; SpecError for anything else.

    >>> check_device("cuda:1")
    'cuda:1'
    """
    kind, colon, number = name.partition(":")
    check_choice(kind, DEVICES, "device")
    if colon and not number.isdecimal():
        raise SpecError(f"device '{name}' has no number after its colon", f"write it like {kind}:0, or {kind}")
    return name


def available() -> tuple[str, ...]:
    """The devices that are there.

    >>> available()[0]
    'cpu'
    """
    others = ("mps",) if torch.backends.mps.is_available() else ()
    return ("cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count())), *others)


def find_device(name: str) -> torch.device:
    """The device of this name; SpecError where there is none.

    >>> find_device("cpu")
    device(type='cpu')
    """
    kind, _, number = check_device(name).partition(":")
    there = available()
    if name not in there and (number or not any(each.startswith(f"{kind}:") for each in there)):
        raise SpecError(f"there is no device '{name}' here; there is {', '.join(there)}", ADVICE)
    return torch.device(name)


def device_of(module: nn.Module) -> torch.device:
    """Where the weights of a network are."""
    return next(module.parameters()).device


def on_kernels(x: Tensor) -> bool:
    """Whether the native kernels are there and reach this tensor."""
    return native.kernels is not None and x.device.type == "cpu"


def placed(batch: B, device: torch.device, names: Iterable[str]) -> B:
    """A named tuple whose tensors of these names are on the device; the others stay where they are."""
    moved: B = batch._replace(**{name: getattr(batch, name).to(device) for name in names})  # type: ignore[attr-defined]
    return moved


def clip_gradients(parameters: Sequence[Tensor], most: float) -> None:
    """Bound the norm of all gradients together; in few calls wherever PyTorch can."""
    together = True if parameters[0].device.type == "cpu" else None  # None: torch decides, which it does not on the CPU
    torch.nn.utils.clip_grad_norm_(parameters, most, foreach=together)
