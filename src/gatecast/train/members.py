"""Train several networks at once: each on its share of the cores, the same bits as one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from gatecast.nn import native
from gatecast.train.loop import LossCurve, Task, Watch, train

T = TypeVar("T")
R = TypeVar("R")


def train_all(tasks: list[Task], watch: Watch) -> tuple[LossCurve, ...]:
    """Train every task's network in place."""
    return in_parallel(lambda task: train(task, watch), tasks)


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> tuple[R, ...]:
    """`work` on every item, as many at once as there are threads to use; each gets an equal share for the kernels.

    PyTorch's own operations run on one core: at these sizes a second one costs more in waiting than it brings. The
    kernels give the same bits for any number of threads, so results do not depend on the number of cores. Nested calls
    divide the share of the outer call.
    """
    waiting, threads = list(items), native.threads()
    workers = max(1, min(len(waiting), threads))

    def shared(item: T) -> R:
        with native.allow(threads // workers):
            return work(item)

    with _one_core_for_torch(), ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(shared, waiting))


@contextmanager
def _one_core_for_torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
