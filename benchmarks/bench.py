"""`make bench`: Gatecast's kernels beside PyTorch, Keras and hand-written JAX, all in one run, interleaved.

    python benchmarks/bench.py [--only PART,PART...] [--data prices.csv] [--rounds 5]

Parts: training, sweep, inference, jobs, losses, accelerate, streams, serving; `slow-cells` measures again what the last
sweep found below 1. Writes benchmarks/results.json and benchmarks/RESULTS.md. Every figure is a median; a step includes
head, loss, optimiser and dropout. Contenders run in environments of their own under build/bench, made on the first run.
A contender that is missing is named, and voids the word "fastest".
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import sections
import streams
from fleet import AVX2_ONLY, ROOT, start
from tables import markdown

import serving

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "benchmarks" / "RESULTS.md"
PARTS = ("training", "sweep", "inference", "jobs", "losses", "accelerate", "streams", "serving")


def machine() -> dict[str, Any]:
    """The processor, as the system names it."""
    facts = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, text = line.partition(":")
        if name.strip() in ("model name", "siblings", "cpu cores", "cpu family", "model"):
            facts[name.strip()] = text.strip()
    return {"cpu": facts, "system": platform.platform(), "python": platform.python_version()}


def main() -> int:
    """Run the parts that were asked for, and keep the figures of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument(
        "--data", help="CSV with Date and High (IBM 2006-2017); without it jobs and losses are left out"
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    wanted = options.only.split(",")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found["machine"] = machine()
    if "training" in wanted:
        for label, limits in (("best", {}), ("avx2", AVX2_ONLY)):
            found[f"training-{label}"] = training(limits, options.rounds)
    if "sweep" in wanted:
        fleet = start({}, ("gatecast", "torch-1", "torch-2"))
        found["sweep"] = sections.sweep(fleet)
        close(fleet)
    if "slow-cells" in wanted:
        fleet = start({}, ("gatecast", "torch-1", "torch-2"))
        found["sweep"] = sections.slow_cells(fleet, found["sweep"])
        close(fleet)
    if "inference" in wanted:
        fleet = start({})
        found["inference"] = sections.inference(fleet, options.rounds)
        close(fleet)
    if "jobs" in wanted and options.data:
        found["jobs"] = sections.jobs(options.data)
    if "losses" in wanted and options.data:
        found["losses"] = sections.losses(options.data)
    if "accelerate" in wanted:
        found["accelerate"] = sections.accelerated()
    if "streams" in wanted:
        found["streams"] = streams.measure()
    if "serving" in wanted:
        found["serving"] = serving.load()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(markdown(found))
    print(PAGE.read_text())
    return 0


def training(limits: dict[str, str], rounds: int) -> dict[str, Any]:
    """The notebook's two trainings under one set of instructions, with the peak measured before and after."""
    fleet = start(limits)
    result: dict[str, Any] = {"versions": {name: each.ask("versions") for name, each in fleet.items()}}
    peaks = [fleet["gatecast"].ask("fma_peak", threads=2)["gflops"]]
    for net in sections.NETS:
        result[net] = sections.notebook(fleet, net, rounds)
        result[f"{net}-kernel"] = sections.kernel_alone(fleet["gatecast"], net)
    peaks.append(fleet["gatecast"].ask("fma_peak", threads=2)["gflops"])
    result["peak"] = max(peaks)
    result["peak-1"] = fleet["gatecast"].ask("fma_peak", threads=1)["gflops"]
    result["sgemm"] = {name: each.ask("sgemm_peak")["gflops"] for name, each in fleet.items()}
    close(fleet)
    return result


def close(fleet: dict[str, Any]) -> None:
    """End every process."""
    for contender in fleet.values():
        contender.close()


if __name__ == "__main__":
    sys.exit(main())
