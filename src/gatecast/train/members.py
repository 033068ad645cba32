"""Train several networks at once: each on its share of the cores, the same bits as one after another or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gatecast.nn import native
from gatecast.train.farm import as_they_end, elsewhere, one_core_for_torch
from gatecast.train.loop import LossCurve, Task, Watch, train

T = TypeVar("T")
R = TypeVar("R")


def train_all(tasks: list[Task], watch: Watch) -> tuple[LossCurve, ...]:
    """Train every task's network in place."""
    done = in_parallel(lambda task: (train(task, watch), task.network.state_dict()), tasks)
    for task, (_, weights) in zip(tasks, done, strict=True):
        task.network.load_state_dict(weights)
        task.network.eval()
    return tuple(curve for curve, _ in done)


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> tuple[R, ...]:
    """`work` on every item, as many at once as there are threads to use; each gets an equal share for the kernels.

    PyTorch's own operations run on one core: at these sizes a second one costs more in waiting than it brings. The
    kernels give the same bits for any number of threads, so results do not depend on the number of cores. Nested calls
    divide the share of the outer call. Where the caller chose a backend of joblib that reaches other machines, they
    run there: then `work` says all that it made in what it returns, and nobody here sees it on its way.
    """
    waiting, threads = list(items), native.threads()
    if elsewhere():
        found = dict(as_they_end(work, waiting))
        return tuple(found[place] for place in range(len(waiting)))
    workers = max(1, min(len(waiting), threads))

    def shared(item: T) -> R:
        with native.allow(threads // workers):
            return work(item)

    with one_core_for_torch(), ThreadPoolExecutor(workers) as pool:
        return tuple(pool.map(shared, waiting))
