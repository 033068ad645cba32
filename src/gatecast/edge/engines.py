"""Where tasks run: processes of joblib on this machine, or a cluster of Dask or Ray, ours or a running one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from joblib import parallel_config

from gatecast.edge.options import Engine
from gatecast.errors import FitError, SpecError, check_choice, import_extra

LOCAL = "local"
PATIENCE = 20
"""Seconds to wait for a running cluster."""
RETRIES = {"max_restarts": -1, "max_task_retries": 3}
"""A process of Ray that dies is replaced, and its task tried again; Dask does both on its own."""

QUIET_DASK = {"dashboard_address": ":0", "scheduler_kwargs": {"dashboard": False}}
"""No dashboard, and any port that is free."""


@contextmanager
def working(engine: Engine) -> Iterator[None]:
    """Tasks of joblib run where `engine` says, while the context lasts; a cluster of ours ends with it.

    Raises SpecError for an engine that there is not, that is not installed, or whose cluster does not answer.
    """
    name = check_choice(engine.engine or LOCAL, ENGINES, "engine")
    if engine.address and name == LOCAL:
        raise SpecError(f"--address {engine.address} is for a cluster", "add --engine dask or --engine ray")
    if engine.address and engine.jobs:
        raise SpecError("--jobs is for a cluster on this machine, --address for one that runs", "leave one out")
    with ENGINES[name](engine):
        yield


@contextmanager
def _local(engine: Engine) -> Iterator[None]:
    with parallel_config(n_jobs=engine.jobs or 1):
        yield


@contextmanager
def _dask(engine: Engine) -> Iterator[None]:
    distributed = import_extra("distributed", "dask")
    if engine.address:
        try:
            client = distributed.Client(engine.address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as cause:
            raise _unreachable(engine, cause) from cause
        with client, parallel_config("dask", client=client), _giving_up(distributed.KilledWorker):
            yield
        return
    workers = _processes(engine)
    with (
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, **QUIET_DASK) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        parallel_config("dask", client=client),
        _giving_up(distributed.KilledWorker),
    ):
        yield


@contextmanager
def _ray(engine: Engine) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_extra("ray", "ray")
    backend = _ray_backend()
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if engine.address:
            ray.init(address=engine.address, **quiet)
        else:
            ray.init(num_cpus=_processes(engine), include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError) as cause:
        raise _unreachable(engine, cause) from cause
    lost = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
    try:
        with parallel_config(backend, n_jobs=-1 if engine.address else _processes(engine)), _giving_up(*lost):
            yield
    finally:
        ray.shutdown()


def _ray_backend() -> Any:
    """Ray's own, whose processes are ended for good: asked to end, those that are restarted would be restarted."""
    ray, ours = import_extra("ray", "ray"), import_extra("ray.util.joblib.ray_backend", "ray")

    class Backend(ours.RayBackend):  # type: ignore[misc,name-defined]  # known only where Ray is
        def terminate(self) -> None:
            if self._pool:
                for actor, _ in self._pool._actor_pool:
                    ray.kill(actor)
                self._pool._actor_pool = []
            super().terminate()

    return Backend(ray_remote_args=RETRIES)


@contextmanager
def _giving_up(*lost: type[Exception]) -> Iterator[None]:
    """A task whose process died time and again ends in an error of ours."""
    try:
        yield
    except lost as cause:
        raise FitError(
            "a task was given up: every process that ran it died", "perhaps for want of memory: use fewer at once"
        ) from cause


def _processes(engine: Engine) -> int:
    return engine.jobs or os.cpu_count() or 1


def _unreachable(engine: Engine, cause: Exception) -> SpecError:
    where = f"at {engine.address}" if engine.address else "on this machine"
    return SpecError(
        f"no {engine.engine} cluster {where}: {str(cause).splitlines()[0]}", "start it, or check --address"
    )


ENGINES: dict[str, Callable[[Engine], AbstractContextManager[None]]] = {LOCAL: _local, "dask": _dask, "ray": _ray}
