"""Work that joblib may run in other processes or on other machines, handed back as it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BACKENDS, get_active_backend

T = TypeVar("T")
R = TypeVar("R")


def elsewhere() -> bool:
    """Whether the caller chose a backend of joblib that reaches other machines, such as Dask's or Ray's."""
    backend, _ = get_active_backend()
    return not (getattr(backend, "uses_threads", False) or type(backend) is BACKENDS["loky"])


def as_they_end(work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
    """The place of every item and what `work` made of it, the first to end first, under joblib's active backend.

    `work` and the items must be picklable where the backend has other processes. One item is one task, so that a
    process that dies costs the engine no more than the item it was at. What is nested inside runs in threads there.

    >>> list(as_they_end(abs, [-1, 2]))
    [(0, 1), (1, 2)]
    """
    backend: Any = get_active_backend()[0]
    if type(backend).__name__ == "RayBackend":
        backend.supports_return_generator = True  # its pool calls back as tasks end, but it does not say so
    how = "generator_unordered" if backend.supports_return_generator else "list"
    tasks = (delayed(_numbered)(work, number, item) for number, item in enumerate(items))
    yield from Parallel(return_as=how, batch_size=1)(tasks)


def _numbered(work: Callable[[Any], Any], number: int, item: Any) -> tuple[int, Any]:
    with parallel_config(backend="threading", n_jobs=1):
        return number, work(item)
