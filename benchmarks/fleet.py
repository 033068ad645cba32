"""Contender processes: each framework in an environment of its own, driven one request at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks" / "contenders"
BUILD = ROOT / "build" / "bench"
WITH_GATECAST = ("neuralforecast",)
AVX2_ONLY = {
    "GATECAST_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}


@dataclass(frozen=True)
class Kind:
    """How a contender is started: its environment (None: the project's own), its script, arguments and variables."""

    name: str
    script: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


KINDS = (
    Kind("gatecast", "torch_contender.py", None, ("gatecast",), {"GATECAST_REQUIRE_NATIVE": "1"}),
    Kind("torch-1", "torch_contender.py", None, ("torch",)),
    Kind("torch-2", "torch_contender.py", None, ("torch",)),
    Kind("keras-jax", "keras_contender.py", "jax", (), {"KERAS_BACKEND": "jax"}),
    Kind("keras-tensorflow", "keras_contender.py", "tensorflow", (), {"KERAS_BACKEND": "tensorflow"}),
    Kind("jax-scan", "jax_scan.py", "jax"),
)


class Contender:
    """A running contender; `ask` raises RuntimeError with its own words if it cannot answer."""

    def __init__(self, kind: Kind, limits: dict[str, str]) -> None:
        self.name = kind.name
        self._process = subprocess.Popen(
            [python_of(kind.environment), str(HERE / kind.script), *kind.arguments],
            cwd=HERE,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **kind.variables, **limits},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """One request and its answer."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, "args": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"ok": False, "error": "the process ended"}
        if not answer["ok"]:
            raise RuntimeError(f"{self.name} cannot {what}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def python_of(environment: str | None) -> str:
    """The interpreter of an environment, which is made and filled first if it is not there."""
    if environment is None:
        return sys.executable
    folder = BUILD / environment
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        wanted = HERE / f"requirements-{environment}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], check=True)
        if environment in WITH_GATECAST:
            native = {**os.environ, "GATECAST_REQUIRE_NATIVE": "1"}
            subprocess.run([python, "-m", "pip", "install", "-q", ROOT], check=True, env=native)
    return str(python)


def start(limits: dict[str, str], names: tuple[str, ...] = tuple(kind.name for kind in KINDS)) -> dict[str, Contender]:
    """Contenders by name; one that does not start is left out and named on stderr."""
    found = {}
    for kind in KINDS:
        if kind.name not in names:
            continue
        try:
            contender = Contender(kind, limits)
            contender.ask("versions")
            found[kind.name] = contender
        except (RuntimeError, OSError, subprocess.CalledProcessError) as cause:
            print(f"missing: {kind.name}: {cause}", file=sys.stderr)
    return found


def spent(command: list[str], variables: dict[str, str]) -> tuple[float, float, str]:
    """Wall seconds, peak memory in MB and standard output of a whole process."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024, text
