"""`export_onnx`: a fitted model as one ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gatecast.edge.onnx.graph import USUAL, Graph
from gatecast.edge.onnx.panels import panel_graph
from gatecast.edge.onnx.sequences import sequence_graph
from gatecast.edge.onnx.windows import window_graph
from gatecast.errors import SpecError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.show.files import write_atomic

EXPORTERS: dict[type, Callable[[Any, Graph], bytes]] = {
    Forecaster: window_graph,
    GlobalForecaster: panel_graph,
    SequenceForecaster: sequence_graph,
}


def export_onnx(model: Any, path: str | Path, opset: int = USUAL) -> Path:
    """Write a fitted model's networks and transforms as ONNX, and as metadata (JSON, under "gatecast") what else a
    forecast needs. Needs `pip install 'gatecast[onnx]'`.

    A `Forecaster` reads `window` [N, rows, C] and says `forecast` [N, K, P], the next K rows of its first P columns.
    A `GlobalForecaster` reads what `gatecast.edge.onnx.panels.crop_inputs` gives, a `SequenceForecaster` what
    `gatecast.edge.onnx.sequences.sequence_inputs` gives; both say `quantiles` [N, K, Q] before calibration. All are in
    original units; N is free. Raises SpecError for another model, for one whose forecasts are random draws, and for an
    opset that is too old or too new.

    >>> import tempfile, gatecast as gc, onnxruntime
    >>> from gatecast.data.synthetic import sine
    >>> model = gc.Forecaster("gru:4", lookback=8, recipe=gc.Recipe(training=gc.Training(epochs=1)))
    >>> series = sine(80, period=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = gc.export_onnx(model.fit(series), f"{folder}/m.onnx")
    ...     session = onnxruntime.InferenceSession(path)
    >>> [ahead] = session.run(None, {"window": series.values[None, -8:]})
    >>> bool(abs(ahead[0, 0, 0] - model.predict(1).mean[0]) < 1e-5)
    True
    """
    exporter = EXPORTERS.get(type(model))
    if exporter is None:
        known = ", ".join(kind.__name__ for kind in EXPORTERS)
        raise SpecError(f"a {type(model).__name__} is not exported to ONNX", f"expected one of {known}")
    return write_atomic(Path(path), exporter(model, Graph(opset)))
