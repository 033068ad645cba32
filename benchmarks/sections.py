"""What is measured: the notebook's training, a sweep of shapes, inference, whole jobs, accelerated libraries."""

from __future__ import annotations

import json
import sys
from itertools import product
from statistics import median
from typing import Any

from fleet import HERE, Contender, python_of, spent

TIME, WINDOWS = 60, 2709
NETS: dict[str, dict[str, Any]] = {
    "lstm": {"cell": "lstm", "batch": 32, "units": 50, "layers": 4, "optimiser": "rmsprop"},
    "gru": {"cell": "gru", "batch": 150, "units": 50, "layers": 4, "optimiser": "sgd"},
}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
UNITS, BATCHES, LAYERS = (16, 32, 50, 64, 128, 256), (1, 8, 32, 150, 256, 1024), (1, 4)
SWEEP_INPUTS = 8
STEPS = 251


def gflop(cell: str, units: int, layers: int, inputs: int, sequences: int, backward: bool = True) -> float:
    """Billions of operations of forward (and backward) through the layers; the first needs no input gradient."""
    forward = sum(2 * GATES[cell] * units * ((units if depth else inputs) + units) for depth in range(layers))
    total = 3 * forward - 2 * GATES[cell] * units * inputs if backward else forward
    return total * TIME * sequences / 1e9


def notebook(fleet: dict[str, Contender], net: str, rounds: int) -> dict[str, Any]:
    """Seconds per epoch of every contender, interleaved, the first round dropped."""
    setting = NETS[net]
    ready = {}
    for name, contender in fleet.items():
        threads = {"torch-1": 1, "torch-2": 2}.get(name)
        contender.ask("prepare_training", **setting, **({} if threads is None else {"threads": threads}))
        ready[name] = contender
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in ready}
    for _ in range(rounds + 1):
        for name, contender in ready.items():
            seen[name].append(contender.ask("train_epoch"))
    steps = WINDOWS // setting["batch"]
    work = gflop(setting["cell"], setting["units"], setting["layers"], 1, steps * setting["batch"])
    seconds = {name: median(epoch["seconds"] for epoch in epochs[1:]) for name, epochs in seen.items()}
    return {
        "seconds": seconds,
        "all": {name: [round(epoch["seconds"], 4) for epoch in epochs] for name, epochs in seen.items()},
        "loss": {name: epochs[-1]["loss"] for name, epochs in seen.items()},
        "steps": steps,
        "gflop": work,
    }


def kernel_alone(gatecast: Contender, net: str) -> dict[str, Any]:
    """The kernels' forward and backward of one batch, without PyTorch around them, on two threads and on one."""
    s = NETS[net]
    work = gflop(s["cell"], s["units"], s["layers"], 1, s["batch"])
    shape = {name: s[name] for name in ("cell", "batch", "units", "layers")}
    pairs = [[gatecast.ask("kernel_step", threads=t, **shape)["seconds"] for t in (1, 2)] for _ in range(5)]
    one, two = (median(pair[i] for pair in pairs) for i in (0, 1))
    return {"gflop": work, "seconds-1": one, "seconds-2": two}


def sweep(fleet: dict[str, Contender]) -> list[dict[str, Any]]:
    """Gatecast against PyTorch's better thread setting for every shape; cells below 1 are measured again five times."""
    _set_threads(fleet)
    rows = []
    for cell, layers, units, batch, train in product(GATES, LAYERS, UNITS, BATCHES, (True, False)):
        shape = {"cell": cell, "batch": batch, "units": units, "layers": layers, "train": train}
        work = gflop(cell, units, layers, SWEEP_INPUTS, batch, train)
        row = {**shape, **compare(fleet, shape, 1 if work > 100 else 3)}
        if row["ratio"] < 1:
            row = measured_again(fleet, shape)
        rows.append(row)
        print(
            f"{cell} H={units} B={batch} L={layers} {'train' if train else 'infer'}: {row['ratio']:.2f}",
            file=sys.stderr,
        )
    return rows


def measured_again(fleet: dict[str, Contender], shape: dict[str, Any]) -> dict[str, Any]:
    """The median of five interleaved measurements of a shape."""
    again = [compare(fleet, shape, 1) for _ in range(5)]
    return {**shape, **sorted(again, key=lambda each: each["ratio"])[2], "again": True}


def slow_cells(fleet: dict[str, Contender], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An earlier sweep with every shape that was below 1 measured again."""
    _set_threads(fleet)
    names = ("cell", "batch", "units", "layers", "train")
    return [measured_again(fleet, {n: row[n] for n in names}) if row["ratio"] < 1 else row for row in rows]


def _set_threads(fleet: dict[str, Contender]) -> None:
    fleet["torch-1"].ask("set_threads", threads=1)
    fleet["torch-2"].ask("set_threads", threads=2)


def compare(fleet: dict[str, Contender], shape: dict[str, Any], repeats: int) -> dict[str, Any]:
    """One shape on all; both sides at their better thread setting (Gatecast's own path hands some shapes to torch)."""
    found = {}
    for name in ("torch-1", "torch-2"):
        found[name] = fleet[name].ask("layer_step", **shape, repeats=repeats)["seconds"]
        fleet["gatecast"].ask("set_threads", threads=int(name[-1]))
        found[f"gatecast-{name[-1]}"] = fleet["gatecast"].ask("layer_step", **shape, repeats=repeats)["seconds"]
    best = {who: min(found[f"{who}-1"], found[f"{who}-2"]) for who in ("torch", "gatecast")}
    return {**found, "ratio": best["torch"] / best["gatecast"]}


def inference(fleet: dict[str, Contender], rounds: int) -> dict[str, Any]:
    """251 windows at once, a 251-step free run of the GRU, and one streamed value of the LSTM."""
    found: dict[str, Any] = {}
    for net, what in (("lstm", "predict_windows"), ("gru", "free_run")):
        for name, contender in fleet.items():
            threads = {"torch-1": 1, "torch-2": 2}.get(name)
            contender.ask("prepare_training", **NETS[net], **({} if threads is None else {"threads": threads}))
        times: dict[str, list[float]] = {name: [] for name in fleet}
        for _ in range(rounds):
            for name, contender in fleet.items():
                times[name].append(contender.ask(what)["seconds"])
        found[f"{net} {what}"] = {name: median(each) for name, each in times.items()}
    found["lstm stream"] = {name: fleet[name].ask("stream")["seconds"] for name in ("gatecast", "torch-1")}
    return found


def jobs(data: str) -> dict[str, Any]:
    """The whole notebook job as one process each: seconds, peak memory and what it printed."""
    found = {}
    for name, environment, script, variables in (
        ("gatecast", None, "notebook_gatecast.py", {"GATECAST_REQUIRE_NATIVE": "1"}),
        ("keras-jax", "jax", "notebook_keras.py", {"KERAS_BACKEND": "jax"}),
        ("keras-tensorflow", "tensorflow", "notebook_keras.py", {"KERAS_BACKEND": "tensorflow"}),
    ):
        command = [python_of(environment), str(HERE / script), data]
        try:
            seconds, memory, text = spent(command, variables)
        except RuntimeError as cause:
            print(f"missing: {name}: {cause}", file=sys.stderr)
            continue
        found[name] = {"seconds": seconds, "memory": memory, "scores": json.loads(text.strip().splitlines()[-1])}
    return found


def accelerated() -> dict[str, Any]:
    """NeuralForecast's LSTM and GRU, and a plain PyTorch model, before and after `accelerate`."""
    found = {}
    for name, script in (("neuralforecast", "neuralforecast_contender.py"), ("plain", "plain_model.py")):
        environment = "neuralforecast" if name == "neuralforecast" else None
        _, _, text = spent([python_of(environment), str(HERE / script)], {"GATECAST_REQUIRE_NATIVE": "1"})
        found[name] = json.loads(text.strip().splitlines()[-1])
    return found


def losses(data: str) -> dict[str, Any]:
    """How closely training on the kernels follows PyTorch's, beside PyTorch from start weights moved by 1e-7."""
    _, _, text = spent([python_of(None), str(HERE / "loss_paths.py"), data], {"GATECAST_REQUIRE_NATIVE": "1"})
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found
