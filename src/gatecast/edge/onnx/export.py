"""`export_onnx`: a fitted model as one ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gatecast.edge.onnx.graph import USUAL, Graph
from gatecast.edge.onnx.panels import panel_graph
from gatecast.edge.onnx.windows import window_graph
from gatecast.errors import SpecError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.show.files import write_atomic

EXPORTERS: dict[type, Callable[[Any, Graph], tuple[bytes, dict[str, Any]]]] = {
    Forecaster: window_graph,
    GlobalForecaster: panel_graph,
}


def export_onnx(model: Any, path: str | Path, opset: int = USUAL) -> Path:
    """Write the networks of a fitted model, the transforms around them and what else a forecast needs, as metadata.

    A `Forecaster`: `window` [N, rows, C] in original units to `forecast` [N, K, P]; a `GlobalForecaster`: what
    `gatecast.edge.onnx.panels.crop_inputs` gives to `quantiles` [N, K, Q]. N is free. Needs
    `pip install 'gatecast[onnx]'`. Raises SpecError for another model, or an opset that is too old or too new.
    """
    exporter = EXPORTERS.get(type(model))
    if exporter is None:
        known = ", ".join(kind.__name__ for kind in EXPORTERS)
        raise SpecError(f"a {type(model).__name__} is not exported", f"expected one of {known}")
    return write_atomic(Path(path), exporter(model, Graph(opset))[0])
