"""Train several networks at once: one thread each, one core each, the same bits as one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from gatecast.train.loop import LossCurve, Task, Watch, train

T = TypeVar("T")
R = TypeVar("R")


def train_all(tasks: list[Task], watch: Watch) -> tuple[LossCurve, ...]:
    """Train every task's network in place."""
    return in_parallel(lambda task: train(task, watch), tasks)


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> tuple[R, ...]:
    """`work` on every item, as many at once as torch may use cores.

    Every network trains on one core: at these sizes a second one costs more in waiting than it brings, and results do
    not depend on the number of cores. Nested calls run one after another, on the core of the outer call.
    """
    waiting = list(items)
    workers = min(len(waiting), torch.get_num_threads())
    with _one_core_each(), ThreadPoolExecutor(max(1, workers)) as pool:
        return tuple(pool.map(work, waiting))


@contextmanager
def _one_core_each() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
