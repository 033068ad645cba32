"""benchmarks/results.json as Markdown: every bar with its figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

AVX2_TITLE = "AVX2 forced (JAX's thread pool keeps AVX-512 in places, so its ratios here do not count)"
WAITS = (
    "Keras' `predict` on TensorFlow spends most of a free run waiting for its data pipeline's tuner, not computing; "
    "compare with Keras on JAX.\n"
)
CONTENDERS = ("torch-1", "torch-2", "keras-jax", "keras-tensorflow", "jax-scan")


def table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def markdown(found: dict[str, Any]) -> str:
    """The whole page."""
    parts = ["# Benchmarks\n\nMade by `make bench`; the figures are those of one machine on one day.\n"]
    cpu = found["machine"]["cpu"]
    parts.append(
        f"Processor: {cpu.get('model name', '?')}, {cpu.get('cpu cores', '?')} cores; {found['machine']['system']}.\n"
    )
    for label, title in (("best", "the processor's best instruction set"), ("avx2", AVX2_TITLE)):
        if f"training-{label}" in found:
            parts.append(_training(found[f"training-{label}"], title))
    if "sweep" in found:
        parts.append(_sweep(found["sweep"]))
    if "inference" in found:
        parts.append(_inference(found["inference"]))
    if "jobs" in found:
        parts.append(_jobs(found["jobs"]))
    if "losses" in found:
        parts.append(_losses(found["losses"]))
    if "accelerate" in found:
        parts.append(_accelerate(found["accelerate"]))
    if "streams" in found:
        parts.append(_streams(found["streams"]))
    if "serving" in found:
        parts.append(_serving(found["serving"]))
    return "\n".join(parts)


def _training(part: dict[str, Any], title: str) -> str:
    lines = [f"## Training the notebook's networks, {title}\n"]
    versions = "; ".join(", ".join(f"{k} {v}" for k, v in facts.items()) for facts in part["versions"].values())
    lines.append(f"Contenders: {versions}.\n")
    lines.append(
        f"Fused multiply-adds measured in this run: {part['peak']:.0f} GFLOP/s on two threads, "
        f"{part['peak-1']:.0f} on one. "
        f"Matrix products: {', '.join(f'{name} {rate:.0f}' for name, rate in part['sgemm'].items())} GFLOP/s.\n"
    )
    missing = [name for name in CONTENDERS if name not in part["versions"]]
    if missing:
        lines.append(f"Missing in this run: {', '.join(missing)}; so nothing here is called the fastest.\n")
    for net, name in (("lstm", "LSTM 4x50, batch 32"), ("gru", "GRU 4x50, batch 150")):
        lines.append(_net(part, net, name))
    return "\n".join(lines)


def _net(part: dict[str, Any], net: str, name: str) -> str:
    data, kernel = part[net], part[f"{net}-kernel"]
    ours = data["seconds"]["gatecast"]
    rows = [
        (
            who,
            f"{s:.3f}",
            f"{s / ours:.2f}x",
            f"{data['gflop'] / s:.0f}",
            f"{100 * data['gflop'] / s / part['peak']:.0f} %",
        )
        for who, s in sorted(data["seconds"].items(), key=lambda item: item[1])
    ]
    two, one = kernel["seconds-2"], kernel["seconds-1"]
    alone = (
        f"Kernel alone: {1e3 * two:.2f} ms a batch on two threads, {kernel['gflop'] / two:.0f} GFLOP/s, "
        f"{100 * kernel['gflop'] / two / part['peak']:.0f} % of the peak; one thread {1e3 * one:.2f} ms, "
        f"{100 * kernel['gflop'] / one / part['peak-1']:.0f} %; two against one {one / two:.2f}x.\n"
    )
    heading = (f"{name}", "seconds per epoch", "against Gatecast", "GFLOP/s", "of peak")
    return table(heading, rows) + "\n" + alone


def _sweep(rows: list[dict[str, Any]]) -> str:
    lines = ["## Sweep against torch.nn (its better thread setting), T = 60, 8 inputs\n"]
    worst = min(rows, key=lambda row: row["ratio"])
    lines.append(
        f"{len(rows)} shapes; worst {worst['ratio']:.2f}x ({_shape(worst)}); "
        f"median {median(row['ratio'] for row in rows):.2f}x; {sum(row['ratio'] < 1 for row in rows)} below 1.\n"
    )
    batches = sorted({row["batch"] for row in rows})
    for train in (True, False):
        body = []
        for cell, layers, units in dict.fromkeys((r["cell"], r["layers"], r["units"]) for r in rows):
            at = {
                r["batch"]: r["ratio"]
                for r in rows
                if (r["cell"], r["layers"], r["units"], r["train"]) == (cell, layers, units, train)
            }
            body.append([f"{cell.upper()} {layers}x{units}", *(f"{at[b]:.2f}" for b in batches)])
        heading = ["training" if train else "inference", *(f"B={b}" for b in batches)]
        lines.append(table(heading, body))
    return "\n".join(lines)


def _shape(row: dict[str, Any]) -> str:
    what = "training" if row["train"] else "inference"
    return f"{row['cell'].upper()} {row['layers']}x{row['units']}, B={row['batch']}, {what}"


def _inference(part: dict[str, Any]) -> str:
    names = ("gatecast", *CONTENDERS)
    rows = [
        (what, *(f"{1e3 * times[name]:.3g} ms" if name in times else "-" for name in names))
        for what, times in part.items()
    ]
    return "## Inference, 4x50\n\n" + table(("", *names), rows) + "\n" + WAITS


def _jobs(part: dict[str, Any]) -> str:
    ours = part["gatecast"]["seconds"]
    rows = [
        (name, f"{job['seconds']:.1f}", f"{job['seconds'] / ours:.2f}x", f"{job['memory']:.0f}", _scores(job["scores"]))
        for name, job in part.items()
    ]
    heading = ("whole notebook job", "seconds", "against Gatecast", "peak MB", "RMSE one-step / free run")
    return "## The notebook as one process\n\n" + table(heading, rows)


def _scores(scores: dict[str, Any]) -> str:
    """Every RMSE that a job printed, whatever it calls it."""
    return "; ".join(
        f"{name} " + " / ".join(f"{value:.2f}" for key, value in each.items() if "one_step" in key or "free_run" in key)
        for name, each in scores.items()
        if isinstance(each, dict)
    )


def _losses(part: dict[str, Any]) -> str:
    moved = {name: run for name, run in part.items() if name.startswith("perturbed")}
    first = {name: run["first_epoch_max_rel_diff"] for name, run in part.items()}
    epochs = list(zip(*(run["epochs"] for name, run in part.items() if name != "gatecast"), strict=True))
    gaps = [abs(ours - theirs[0]) for ours, theirs in zip(part["gatecast"]["epochs"], epochs, strict=True)]
    spreads = [max(theirs) - min(theirs) for theirs in epochs]
    inside = sum(gap <= 3 * spread for gap, spread in zip(gaps, spreads, strict=True))
    return (
        "## The loss follows PyTorch's\n\nLSTM 4x50 without dropout on IBM's High, batch 32, RMSprop, same weights and "
        f"batches. Largest relative difference of a batch's loss from PyTorch's in the first epoch: kernels "
        f"{first['gatecast']:.1e}; PyTorch from weights moved by 1e-7: "
        f"{', '.join(f'{first[name]:.1e}' for name in moved)}.\n\n"
        f"Over {len(epochs)} epochs the kernels' mean loss is within 3 times the spread of PyTorch's {len(epochs[0])} "
        f"runs in {inside}; median difference {median(gaps):.1e}, median spread {median(spreads):.1e}, last loss "
        f"{part['gatecast']['epochs'][-1]:.2e} against {epochs[-1][0]:.2e}.\n"
    )


def _accelerate(part: dict[str, Any]) -> str:
    rows = [
        (
            f"{who} {model}",
            f"{f['seconds_torch']:.2f}",
            f"{f['seconds_native']:.2f}",
            f"{f['ratio']:.2f}x",
            f"{f['losses_max_rel_diff']:.1e}",
        )
        for who, models in part.items()
        for model, f in models.items()
        if isinstance(f, dict)
    ]
    heading = ("100 steps", "torch.nn, s", "accelerated, s", "speed-up", "largest relative difference of losses")
    return "## `gatecast.nn.accelerate`\n\n" + table(heading, rows)


def streams_table(part: dict[str, list[float]]) -> str:
    """Milliseconds by kind of model and length of the past."""
    rows = [
        (name, *(f"{each:.2f} ms" for each in took), f"{took[-1] / took[0]:.2f}x")
        for name, took in part.items()
        if name != "rows"
    ]
    return table(("rows before", *(f"{rows:,.0f}" for rows in part["rows"]), "longest / shortest"), rows)


def _streams(part: dict[str, list[float]]) -> str:
    return (
        "## Streams: one value observed and all steps forecast\n\n"
        + streams_table(part)
        + "\nPrinted by `python benchmarks/streams.py`, too.\n"
    )


def serving_table(part: list[list[Any]]) -> str:
    """Requests per second and their times, by kind and connections."""
    rows = [(kind, many, f"{rate:.0f}", f"{p50:.1f}", f"{p99:.1f}") for kind, many, rate, p50, p99 in part]
    return table(("request", "connections", "requests/s", "p50 ms", "p99 ms"), rows)


def _serving(part: list[list[Any]]) -> str:
    return (
        "## The server, client and server on the same cores\n\n"
        + serving_table(part)
        + "\nPrinted by `python benchmarks/serving.py load`, too.\n"
    )
