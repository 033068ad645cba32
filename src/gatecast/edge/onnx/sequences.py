"""The networks of a sequence model as a graph: whole series in, quantiles in original units out."""

from __future__ import annotations

from typing import Any

import numpy as np

from gatecast.edge.onnx.graph import BATCH, Graph
from gatecast.edge.onnx.layers import numbers, recurrent
from gatecast.edge.onnx.panels import Inputs, facts_for, median, risen
from gatecast.forecast.panels.method import ahead_of
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.nn.sequence import SequenceNet
from gatecast.prepare.sequences import Sequences
from gatecast.train.lockstep import QUANTILES


def sequence_graph(model: SequenceForecaster, graph: Graph) -> bytes:
    """What `sequence_inputs` gives, to `quantiles` [N, K, Q] before calibration: the median over all networks."""
    facts = facts_for(model, "sequence", sequence_inputs)
    reading, shape = model.reading_, model.nets_[0].shape
    rows = graph.input("rows", np.float32, (BATCH, "T", shape.inputs))
    lengths = graph.input("lengths", np.int32, (BATCH,))
    last = graph.add("Unsqueeze", graph.add("Sub", graph.cast(lengths, np.int64), graph.whole(1)), graph.whole(1))
    read = graph.add("GatherND", rows, last, batch_dims=1)
    if shape.more:
        read = graph.add("Concat", read, graph.input("ahead", np.float32, (BATCH, shape.more)), axis=1)
    anchor, scale = (
        graph.add("Reshape", graph.input(name, np.float64, (BATCH,)), graph.whole(-1, 1, 1))
        for name in ("newest", "scale")
    )
    low, high = (
        graph.add("Unsqueeze", graph.input(name, np.float64, (BATCH, shape.steps)), graph.whole(2))
        for name in ("low", "high")
    )

    def original(net: SequenceNet) -> str:
        top = recurrent(graph, rows, net.recurrent(), lengths)
        z = graph.add("Mul", graph.cast(_said(graph, net, top, read), np.float64), scale)
        z = graph.add("Min", graph.add("Max", graph.add("Add", z, anchor), low), high)
        zero = graph.constant(np.zeros(1))
        return graph.add("Where", graph.add("IsNaN", z), zero, graph.add("Exp", z) if reading.log else z)

    middle = median(graph, [original(net) for net in model.nets_])
    return graph.model([(middle, "quantiles", np.float64, (BATCH, shape.steps, shape.quantiles))], facts)


def sequence_inputs(model: SequenceForecaster, data: Any = None, futr_df: Any = None, static_df: Any = None) -> Inputs:
    """What the graph reads for every series of `data` (of the panel that was learned from, without); the arguments are
    those of `predict`.

    `rows` [N, T, I] from the first row of each series, of which the graph reads the first `lengths` [N]; `ahead` [N, A]
    where columns are known ahead; `newest` and `scale` [N], which undo the scaling; `low` and `high` [N, K], between
    which forecasts stay.
    """
    fitted = ahead_of(model, data, futr_df, static_df)
    sequences = Sequences(fitted.fitted(), fitted.reading_)
    ends = sequences.stops - 1
    now, (rows, lengths) = sequences.now(ends), sequences.whole()
    low, high = fitted.reading_.limits(now, sequences.season)
    found: Inputs = {"rows": rows.numpy(), "lengths": lengths.astype(np.int32), "newest": now.newest}
    if sequences.more:
        found["ahead"] = sequences.ahead(ends).numpy()
    return found | {"scale": now.scale, "low": low, "high": high}


def _said(graph: Graph, net: SequenceNet, top: str, read: str) -> str:
    """One network's scaled forecast, [N, K, Q] in rising order."""
    out, skip, bias = (graph.constant(numbers(each)) for each in (net.out, net.skip, net.bias))
    own = graph.add("Add", graph.add("MatMul", top, out), bias)
    own = graph.add("Reshape", own, graph.whole(-1, net.shape.steps, net.shape.quantiles))
    linear = graph.add("Unsqueeze", graph.add("MatMul", read, skip), graph.whole(2))
    return risen(graph, graph.add("Add", own, linear), len(QUANTILES), 2)
