"""A window model as a graph: rows in original units in, rows in original units out."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from gatecast.edge.onnx.graph import BATCH, Graph
from gatecast.edge.onnx.layers import numbers, recurrent
from gatecast.forecast.forecaster import Forecaster
from gatecast.nn.stack import Network
from gatecast.prepare.scale import Transform


def window_graph(model: Forecaster, graph: Graph) -> bytes:
    """`window` [N, rows, C] to `forecast` [N, K, P]: the newest rows that a forecast needs, to the next K rows of the
    first P columns."""
    history = model.tail()
    plan, transform = model.plan_, model.transform_
    rows, columns = plan.lookback + transform.lost, len(plan.columns)
    steps, predicted = model.networks_[0].outputs
    window = graph.input("window", np.float64, (BATCH, rows, columns))
    scaled = graph.cast(_apply(graph, window, transform, rows), np.float32)
    said = [graph.cast(_network(graph, scaled, each, plan.lookback), np.float64) for each in model.networks_]
    total = said[0]
    for each in said[1:]:
        total = graph.add("Add", total, each)
    mean = graph.add("Div", total, graph.constant(np.array(float(len(said)))))
    last = graph.cut(window, rows - 1, rows, 1)  # [N, 1, C]
    own = transform if predicted == columns else transform.target_only()
    forecast = _invert(graph, mean, graph.cut(last, 0, predicted, 2), own)
    facts = {
        "kind": "window",
        "model": model.name,
        "series": history.ids[0],
        "columns": list(plan.columns),
        "rows": rows,
        "lookback": plan.lookback,
        "steps": steps,
        "predicted": list(plan.columns[:predicted]),
        "feeds_back": steps == 1 and predicted == columns,
        "positive": transform.multiplicative,
        "transform": transform.name,
        "fill": "last",
        "calendar": asdict(history.calendar),
        "scores": model.calibration_.scores.tolist() if model.calibration_ else [],
        "ratio": bool(model.calibration_ and model.calibration_.ratio),
    }
    return graph.model([(forecast, "forecast", np.float64, (BATCH, steps, predicted))], facts)


def _network(graph: Graph, x: str, network: Network, lookback: int) -> str:
    """head(stack(x)) + skip(x), [N, L, C] to [N, K, P]."""
    state = recurrent(graph, x, network.stack.recurrent())
    weight, bias = (numbers(each) for each in (network.head.weight, network.head.bias))
    y = graph.add("Add", graph.add("MatMul", state, graph.constant(weight.T)), graph.constant(bias))
    if network.lags:
        newest = graph.add("Flatten", graph.cut(x, lookback - network.lags, lookback, 1), axis=1)
        linear = graph.add("MatMul", newest, graph.constant(numbers(network.skip_weight)))
        y = graph.add("Add", y, graph.add("Add", linear, graph.constant(numbers(network.skip_bias))))
    return graph.add("Reshape", y, graph.whole(-1, *network.outputs))


def _apply(graph: Graph, x: str, transform: Transform, rows: int) -> str:
    """Original to scaled rows, without those that are lost."""
    if transform.multiplicative:
        x = graph.add("Log", x)
    if transform.lost:
        before, after = graph.cut(x, 0, rows - 1, 1), graph.cut(x, 1, rows, 1)
        change = graph.add("Sub", after, before)
        if transform.shape == "relative":
            target, others = graph.cut(after, 0, 1, 2), graph.cut(after, 1, len(transform.offset), 2)
            beside = [graph.add("Sub", others, target)] if len(transform.offset) > 1 else []
            change = graph.add("Concat", graph.cut(change, 0, 1, 2), *beside, axis=2)
        x = change
    return graph.add("Div", graph.add("Sub", x, graph.constant(transform.offset)), graph.constant(transform.size))


def _invert(graph: Graph, z: str, level: str, transform: Transform) -> str:
    """Scaled [N, K, P] to original; `level` [N, 1, P] is the last true row."""
    offset, size = graph.constant(transform.offset), graph.constant(transform.size)
    moved = graph.add("Add", graph.add("Mul", z, size), offset)
    if transform.shape == "level":
        return moved
    if transform.shape == "log":
        return graph.add("Exp", moved)
    axis = graph.constant(np.array(1, dtype=np.int64))
    if transform.shape == "difference":
        return graph.add("Add", level, graph.add("CumSum", moved, axis))
    if transform.shape == "logreturn":
        return graph.add("Mul", level, graph.add("Exp", graph.add("CumSum", moved, axis)))
    gone = graph.add("Exp", graph.add("CumSum", graph.cut(moved, 0, 1, 2), axis))
    target = graph.add("Mul", graph.cut(level, 0, 1, 2), gone)
    if len(transform.offset) == 1:
        return target
    others = graph.add("Exp", graph.cut(moved, 1, len(transform.offset), 2))
    return graph.add("Concat", target, graph.add("Mul", target, others), axis=2)
