"""One JSON request a line on stdin, one JSON answer a line on stdout: how a driver talks to a contender.

    {"do": "train_epoch", "args": {}}   ->   {"ok": true, "result": {"seconds": 1.5, "steps": 84, "loss": 0.09}}
    {"do": "no_such_thing"}             ->   {"ok": false, "error": "KeyError: 'no_such_thing'"}

A contender lives until its stdin closes, so a driver can keep several warm and interleave them. Importing this module
takes the real stdout away from everything else in the process: what a library prints, from Python or from C, lands on
stderr. Import it before the framework.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

Handler = Callable[..., dict[str, Any]]


def _private_stdout() -> TextIO:
    """Keep the real stdout for answers and point both file descriptor 1 and sys.stdout at stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


ANSWERS = _private_stdout()


def answer(handlers: dict[str, Handler], line: str) -> dict[str, Any]:
    """Run the handler that one request names; a failure becomes an answer, with its traceback on stderr."""
    try:
        request = json.loads(line)
        return {"ok": True, "result": handlers[request["do"]](**request.get("args", {}))}
    except Exception as error:
        traceback.print_exc()
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def serve(handlers: dict[str, Handler]) -> None:
    """Answer requests until stdin closes."""
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(handlers, line)), file=ANSWERS, flush=True)


def limit_threads(threads: int | None) -> None:
    """Confine every thread of this process to its first `threads` CPUs; None leaves them as they are.

    XLA, TensorFlow and BLAS libraries size their pools by the affinity mask when they first compute, so the first call
    in a process must come before that: a pool that exists already is confined but keeps its number of threads.
    """
    if threads is None:
        return
    allowed = sorted(os.sched_getaffinity(0))[:threads]
    if len(allowed) < threads:
        raise ValueError(f"{threads} threads asked for, {len(allowed)} CPUs allowed")
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), allowed)


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call, which must return only when its results are ready."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best_gflops(product: Callable[[], object], size: int, repeats: int = 12) -> float:
    """The best rate of several size x size matrix products, the first two of them a warm-up."""
    times = [seconds(product) for _ in range(repeats + 2)][2:]
    return 2 * size**3 / min(times) / 1e9
