"""Everything that can be said about a fitted model in one value: numbers, and the sentences that they make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from gatecast.data.read import as_panel
from gatecast.errors import ForecastError
from gatecast.explain.decay import Decay, series_decay
from gatecast.explain.flow import Flow
from gatecast.explain.flows import model_flow
from gatecast.explain.freeruns import STEPS, FreeRuns, as_differences, free_runs
from gatecast.explain.gates import CLOSED, OPEN, GateRecord, LayerGates, gates
from gatecast.explain.influence import Influence, influence
from gatecast.explain.memory import FADED, LayerMemory, Memory, memory
from gatecast.explain.reading import Model
from gatecast.forecast.forecaster import Forecaster

FEWEST_FREE = 20
"""Newer rows below which no free runs are tried."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a fitted model keeps, how far back it reaches, what it used, and how its free runs end; None: not asked, or
    not to be had (`left_out` says why)."""

    model: str
    gates: GateRecord
    memory: Memory
    flow: Flow
    influence: Influence | None = None
    runs: FreeRuns | None = None
    differences: FreeRuns | None = None
    decay: Decay | None = None
    left_out: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The numbers in words, in the order of the parts."""
        return tuple(_sentences(self))

    def facts(self) -> dict[str, Any]:
        """All numbers as plain lists and dictionaries, ready for JSON (no number: null)."""
        return plain_facts(self)


def explain(model: Model, data: Any = None, *, compare: bool = False) -> Explanation:
    """Explain a fitted model over the rows of `data` after its history (without data, over its recent history).

    `compare` also trains an RNN, an LSTM and a GRU of one size on the same series, and the model itself on differences:
    minutes on a long series; it needs newer rows of one series. Everything else is seconds, and minutes for
    hundreds of units in several layers.

    >>> from gatecast.data.synthetic import sine
    >>> from gatecast.forecast.plan import Recipe
    >>> from gatecast.train.settings import Training
    >>> model = Forecaster("gru:4", lookback=12, recipe=Recipe(training=Training(epochs=1)))
    >>> explain(model.fit(sine(90, period=12))).flow.complete
    True
    """
    found: dict[str, Any] = {
        "gates": gates(model, data),
        "memory": memory(model, data),
        "flow": model_flow(model, data),
    }
    left_out: list[str] = []
    if isinstance(model, Forecaster):
        found["influence"] = influence(model, data)
        newer = as_panel(data).single().after(model.history_.times[-1]).rows if data is not None else 0
        if newer >= FEWEST_FREE:
            try:
                steps = min(STEPS, newer // 2)
                found["runs"] = free_runs(model, data, steps=steps)
                if compare:
                    found["differences"] = free_runs(as_differences(model, data), data, steps=steps)
            except ForecastError as cause:
                left_out.append(f"free runs: {cause.message}")
        elif compare:
            raise ForecastError(f"{newer} newer rows, expected at least {FEWEST_FREE} to compare cells", "pass data")
        else:
            left_out.append(f"free runs: {newer} newer rows, expected at least {FEWEST_FREE}")
        if compare:
            found["decay"] = series_decay(model, data)
    elif compare:
        raise ForecastError("cells are compared on one series", "fit a Forecaster to it")
    return Explanation(model.name, **found, left_out=tuple(left_out))


def _sentences(found: Explanation) -> Iterator[str]:
    yield _reach_sentence(found.memory, derived=found.influence is None)
    yield from map(_memory_sentence, found.memory.layers)
    yield from _gate_sentences(found.gates)
    yield f"Information flow: {found.flow.verdict}."
    if found.influence:
        shares = sorted(found.influence.by_column.items(), key=lambda pair: -pair[1])
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
        yield f"Used (share of what taking a value away changes): {words}."
    if found.runs:
        yield _run_sentence(found.runs, "")
    if found.differences:
        yield _run_sentence(found.differences, ", reading differences")
    if found.decay:
        yield from found.decay.sentences
    yield from (f"Left out: {each}." for each in found.left_out)


def _reach_sentence(seen: Memory, derived: bool) -> str:
    """`derived`: whether a step carries numbers of older rows too, so that what it reads reaches further back."""
    reach = seen.spent()
    rows = ("row" if reach == 1 else "rows") + (f" ({seen.stride} to a step)" if seen.stride > 1 else "")
    said = f"Effective memory: 95 % of the sensitivity lies in the newest {reach} {rows}, "
    said += f"half of it in the newest {seen.spent(0.5)}"
    return f"{said}; a row counts where it is read, with what is derived from older ones." if derived else f"{said}."


def _memory_sentence(layer: LayerMemory) -> str:
    name = layer_name(layer.layer, layer.cell, layer.reverse)
    if layer.silent:
        return f"{name}: nothing of it reaches the forecast."
    steps = len(layer.gradient) - 1
    if not steps:
        return f"{name}: it reads one step from nothing, so there is nothing to remember."
    return (
        f"{name}: {layer.verdict}; {layer.pace}, so {100 * layer.reaches:.2g} % of it is left after {steps} "
        f"step{'s' if steps > 1 else ''} (vanishing: below {100 * FADED:g} %, our threshold for what Bengio et al. "
        f"1994 define as a limit); the largest singular value of one step is {layer.singular.mean():.3g} on average "
        "(every step below 1 shrinks the gradient: Pascanu et al. 2013)."
    )


def _gate_sentences(record: GateRecord) -> Iterator[str]:
    kinds: dict[tuple[int, str, bool], list[LayerGates]] = {}
    for layer in record.layers:
        kinds.setdefault((layer.layer, layer.cell, layer.reverse), []).append(layer)
    for kind, same in sorted(kinds.items()):
        name, units = layer_name(*kind), sum(layer.h.shape[1] for layer in same)
        dead = f"{sum(layer.dead for layer in same)} of {units} units are dead"
        kept = same[0].kept
        if not kept:
            yield f"{name} has no gate that keeps its past; {dead}."
            continue
        shares, constants = (np.concatenate(parts) for parts in zip(*map(_keeping, same), strict=True))
        gate = np.concatenate([layer.gates[kept].ravel() for layer in same])
        closed, opened = float(np.mean(gate < CLOSED)), float(np.mean(gate > OPEN))
        yield (
            f"{name} keeps {100 * np.median(shares):.0f} % of its state per step (median unit; time constants "
            f"{constants.min():.1f} to {constants.max():.1f} steps); its {kept} gate is closed in "
            f"{100 * closed:.0f} % and open in {100 * opened:.0f} % of all steps (below 0.1, above 0.9: Karpathy et "
            f"al. 2015); {dead}, {sum(layer.always_open for layer in same)} always open."
        )


def _keeping(layer: LayerGates) -> tuple[Any, Any]:
    return layer.kept_fraction, layer.time_constant


def layer_name(depth: int, cell: str, reverse: bool) -> str:
    """How sentences and charts call a layer.

    >>> layer_name(0, "lstm", True)
    'Layer 1 (lstm, backwards)'
    """
    return f"Layer {depth + 1} ({cell}{', backwards' if reverse else ''})"


def _run_sentence(runs: FreeRuns, how: str) -> str:
    at = runs.doubled_at
    twice = f"twice the one-step error from step {at}" if at else "never twice the one-step error"
    ends = f"{100 * runs.constant:.0f} % end on a constant, {100 * runs.cyclic:.0f} % in a cycle"
    ends += f" of {runs.period} steps" if runs.period else ""
    return f"Free runs{how} from {runs.starts} starts over {len(runs.error)} steps: {twice}; {ends}."


def plain_facts(found: Any) -> dict[str, Any]:
    """The numbers of a frozen result and its sentences."""
    return {**_plain(found), "sentences": list(found.sentences)}


def _plain(value: Any) -> Any:
    """Frozen results as JSON knows them."""
    if isinstance(value, np.ndarray):
        return _plain(value.astype("datetime64[s]").astype(str).tolist() if value.dtype.kind == "M" else value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
