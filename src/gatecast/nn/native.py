"""The native kernels, if they were built: which instruction set runs, with how many threads, and for which shapes.

GATECAST_ISA=baseline|avx2|avx512 forces an instruction set. GATECAST_REQUIRE_NATIVE=1 turns a missing module into an
error. Without the module everything still works, on torch.nn.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from gatecast.errors import GatecastError

REQUIRED = os.environ.get("GATECAST_REQUIRE_NATIVE", "0") not in ("", "0")
CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "LSTM": 2, "GRU": 3}
GATES = (1, 1, 4, 3)
DTYPES = (torch.float32, torch.float64)
_allowance = threading.local()

kernels: Any
try:
    from gatecast.nn import _kernels as kernels  # type: ignore[attr-defined,no-redef]  # absent in a pure install
except ImportError as cause:
    if REQUIRED:
        raise GatecastError(
            f"GATECAST_REQUIRE_NATIVE is set, but the native kernels cannot be loaded: {cause}",
            "install again with a C++ compiler and CMake on the path",
        ) from cause
    kernels = None


@cache
def isa() -> str | None:
    """The instruction set in use; None where the kernels are absent."""
    if kernels is None:
        return None
    try:
        return str(kernels.isa())
    except ValueError as cause:
        raise GatecastError(str(cause), "unset GATECAST_ISA, or choose one that this processor has") from cause


def threads() -> int:
    """Threads of the next call: what `allow` says here, or else as many as torch uses; no more than processors."""
    wanted: int = getattr(_allowance, "threads", None) or torch.get_num_threads()
    return max(1, min(wanted, _processors()))


@contextmanager
def allow(count: int) -> Iterator[None]:
    """Give calls from this Python thread `count` threads, whatever torch uses."""
    before = getattr(_allowance, "threads", None)
    _allowance.threads = count
    try:
        yield
    finally:
        _allowance.threads = before


def describe() -> str:
    """What runs recurrent layers here, in one phrase.

    >>> "torch.nn" in describe() or "native" in describe()
    True
    """
    if kernels is None:
        return "torch.nn (the native kernels were not built)"
    return f"native kernels ({isa()}, {threads()} thread{'s' if threads() > 1 else ''})"


def stack_of(dtype: torch.dtype) -> Any:
    """The kernel's stack for numbers of `dtype`."""
    isa()  # a wrong GATECAST_ISA is answered here
    return kernels.StackFloat if dtype == torch.float32 else kernels.StackDouble


def _processors() -> int:
    return int(kernels.available_processors()) if kernels is not None else (os.cpu_count() or 1)
