"""The direct networks of a panel model as a graph: crops in, quantiles in original units out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped

from gatecast.edge.onnx.graph import BATCH, Graph
from gatecast.edge.onnx.layers import from_flat, numbers, read_by
from gatecast.errors import SpecError
from gatecast.forecast.panels.candidates import Part
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod, ahead_of
from gatecast.nn.correction import Corrections
from gatecast.train.lockstep import QUANTILES

Inputs = dict[str, Shaped[np.ndarray, "..."]]


def panel_graph(model: GlobalForecaster, graph: Graph) -> bytes:
    """For every kept candidate p what `crop_inputs` gives, to `quantiles` [N, K, Q] before calibration: the median over
    all networks. Raises SpecError where the recursive network was chosen, whose forecasts are random draws."""
    if model.free_:
        raise SpecError(
            "the recursive network was chosen, and its random draws are not exported", "fit without='rival'"
        )
    common = facts_for(model, "panel", crop_inputs)
    facts = {
        **common,
        "sizes": asdict(model.parts_[0].crops.sizes),
        "candidates": [asdict(part.candidate) for part in model.parts_],
    }
    middle = median(graph, [path for p, part in enumerate(model.parts_) for path in _paths(graph, part, p)])
    shape = (BATCH, model.h, len(QUANTILES))
    return graph.model([(middle, "quantiles", np.float64, shape)], facts)


def facts_for(model: GlobalMethod, kind: str, inputs: Callable[..., Inputs]) -> dict[str, Any]:
    """What the metadata of every model of many series say; `inputs` names the function that prepares its inputs."""
    panel = model.panel_
    return {
        "kind": kind,
        "model": model.name,
        "steps": model.h,
        "quantiles": list(QUANTILES),
        "moved": [model.scores_.moved(p).tolist() for p in QUANTILES],
        "target": panel.target,
        "covariates": {"past": list(model.covariates.past), "future": list(model.covariates.future)},
        "calendar": asdict(panel.calendar),
        "inputs": f"{inputs.__module__}.{inputs.__name__}",
    }


def crop_inputs(model: GlobalForecaster, data: Any = None, futr_df: Any = None, static_df: Any = None) -> Inputs:
    """What the graph reads for every series of `data` (of the panel that was learned from, without); the arguments are
    those of `predict`.

    Of every kept candidate p: `crop.p` [N, C, I]; `centre.p`, `scale.p` and `offset.p` [N]; `low.p` and `high.p`
    [N, K], between which forecasts stay; `unit.p` [N], of the logarithm or the division.
    """
    fitted = ahead_of(model, data, futr_df, static_df)
    series = torch.arange(len(fitted.panel_))
    found: Inputs = {}
    for p, part in enumerate(fitted.parts_):
        crops = part.crops
        ends = crops.stops - 1
        crop = crops.take(series, ends)
        low, high = crops.limits.at(series, ends, crops.sizes.horizon)
        tensors = {
            "crop": crop.read,
            "centre": crop.centre[:, -1],
            "scale": crop.scale[:, -1],
            "low": low,
            "high": high,
        }
        found |= {f"{name}.{p}": each.numpy() for name, each in tensors.items()}
        found |= {f"offset.{p}": crops.offset, f"unit.{p}": part.units.transform.unit}
    return found


def _paths(graph: Graph, part: Part, p: int) -> list[str]:
    """What every network of a candidate expects, [N, K, Q] in original units."""
    sizes, shape = part.crops.sizes, part.nets[0].shape
    crop = graph.input(f"crop.{p}", np.float32, (BATCH, sizes.anchors, shape.linear + shape.extra))
    kinds = {"centre": np.float32, "scale": np.float32, "offset": np.float64, "unit": np.float64}
    own = {}
    for name, kind in kinds.items():
        value = graph.input(f"{name}.{p}", kind, (BATCH,))
        own[name] = graph.add("Reshape", graph.cast(value, np.float64), graph.whole(-1, 1, 1))
    for name in ("low", "high"):
        value = graph.input(f"{name}.{p}", np.float64, (BATCH, sizes.horizon))
        own[name] = graph.add("Unsqueeze", value, graph.whole(2))
    newest = graph.add("Squeeze", graph.cut(crop, sizes.anchors - 1, sizes.anchors, 1), graph.whole(1))
    rows = graph.cut(newest, 0, shape.linear, 1)
    said = [_one(graph, crop, rows, nets, e) for nets in part.nets for e in range(len(nets.skip))]
    return [_original(graph, y, own, part.units.transform.log) for y in said]


def _one(graph: Graph, crop: str, rows: str, nets: Corrections, e: int) -> str:
    """One network's scaled forecast at the newest anchor, [N, K, Q] in rising order."""
    shape = nets.shape
    linear = graph.add("MatMul", rows, graph.constant(numbers(nets.skip[e])))
    read = []
    if shape.units:
        layer = nets.layer
        read.append(read_by(graph, crop, from_flat(nets.recurrent[e], layer), layer.mode))
    if shape.width:
        inner = graph.add("Concat", *read, rows, axis=1)
        weight, moved_by = (graph.constant(numbers(each[e])) for each in (nets.hidden, nets.hidden_bias))
        moved = graph.add("Add", graph.add("MatMul", inner, weight), moved_by)
        read = [graph.add("Relu", moved)]
    bias = graph.constant(numbers(nets.bias[e]))
    y = bias
    if read:
        y = graph.add("Add", graph.add("MatMul", read[0], graph.constant(numbers(nets.out[e]))), bias)
    y = graph.add("Reshape", y, graph.whole(-1, shape.steps, shape.quantiles))
    return risen(graph, graph.add("Add", y, graph.add("Unsqueeze", linear, graph.whole(2))), shape.quantiles, 2)


def _original(graph: Graph, y: str, own: dict[str, str], log: bool) -> str:
    """Scaled forecasts in original units, within the limits of their series."""
    z = graph.add("Add", graph.add("Mul", graph.cast(y, np.float64), own["scale"]), own["centre"])
    z = graph.add("Add", graph.add("Min", graph.add("Max", z, own["low"]), own["high"]), own["offset"])
    if not log:
        return graph.add("Mul", z, own["unit"])
    return graph.add("Max", graph.add("Sub", graph.add("Exp", z), own["unit"]), graph.constant(np.zeros(1)))


def median(graph: Graph, paths: list[str]) -> str:
    """The middle of all networks, or the mean of the middle two."""
    count = len(paths)
    axis = graph.whole(0)
    ordered = risen(
        graph, graph.add("Concat", *(graph.add("Unsqueeze", each, axis) for each in paths), axis=0), count, 0
    )
    low, high = (graph.cut(ordered, at, at + 1, 0) for at in ((count - 1) // 2, count // 2))
    half = graph.constant(np.array(2.0))
    return graph.add("Squeeze", graph.add("Div", graph.add("Add", low, high), half), axis)


def risen(graph: Graph, value: str, count: int, axis: int) -> str:
    """Sorted along an axis."""
    return graph.outputs("TopK", 2, value, graph.whole(count), axis=axis, largest=0, sorted=1)[0]
