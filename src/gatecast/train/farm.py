"""Work that joblib may run in other processes or on other machines, handed back as it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS, get_active_backend

from gatecast.nn import native

T = TypeVar("T")
R = TypeVar("R")
_lock = threading.Lock()
_inside, _before = 0, 1


def elsewhere() -> bool:
    """Whether the caller chose a backend of joblib that reaches other machines, such as Dask's or Ray's."""
    backend, _ = get_active_backend()
    return not (getattr(backend, "uses_threads", False) or type(backend) is BACKENDS["loky"])


def as_they_end(work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
    """The place of every item and what `work` made of it, the first to end first, under joblib's active backend.

    `work` and the items must be picklable where the backend has other processes. One item is one task, so that a
    process that dies costs the engine no more than the item it was at. What is nested inside runs in threads there.
    PyTorch's own sums depend on its number of threads; it has one here, so every backend gives the same bits.

    >>> list(as_they_end(abs, [-1, 2]))
    [(0, 1), (1, 2)]
    """
    backend = _mended(get_active_backend()[0])
    how = "generator_unordered" if backend.supports_return_generator else "list"
    tasks = (delayed(_numbered)(work, number, item) for number, item in enumerate(items))
    yield from Parallel(return_as=how, batch_size=1)(tasks)


def _mended(backend: Any) -> Any:
    """Ray's pool calls back as tasks end, and does not say so; Dask's backend waits for a task that was given up."""
    kinds = {kind.__name__ for kind in type(backend).__mro__}
    if "RayBackend" in kinds:
        backend.supports_return_generator = True
    if "DaskDistributedBackend" in kinds and "submit" not in vars(backend):
        backend.submit = partial(_heard, backend.submit)
    return backend


def _heard(submit: Callable[..., Any], work: Any, callback: Callable[[Any], Any]) -> Any:
    """joblib's own `submit` of Dask, whose callback hears of an error of the cluster too."""

    def ended(future: Any) -> None:
        if future.exception():
            callback(future.exception())

    future = submit(work, callback)
    future.add_done_callback(ended)
    return future


def _numbered(work: Callable[[Any], Any], number: int, item: Any) -> tuple[int, Any]:
    with native.allow(native.threads()), one_core_for_torch(), parallel_config(backend="threading", n_jobs=1):
        return number, work(item)


@contextmanager
def one_core_for_torch() -> Iterator[None]:
    """PyTorch's own operations run on one core, until the last of the threads that asked for it has left."""
    global _inside, _before
    with _lock:
        if not _inside:
            _before = torch.get_num_threads()
        torch.set_num_threads(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.set_num_threads(_before)
