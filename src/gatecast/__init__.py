"""Gatecast forecasts time series with recurrent networks, honestly, beside naive baselines.

Every public name is imported when it is first used, so that `import gatecast` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gatecast.errors import ConflictError, DataError, FitError, ForecastError, GatecastError, ModelFileError, SpecError

if TYPE_CHECKING:
    from gatecast.data.datasets import dataset
    from gatecast.data.panel import Panel
    from gatecast.data.read import read
    from gatecast.data.store import ParquetPanel
    from gatecast.edge.onnx.export import export_onnx
    from gatecast.edge.parquet import write_parquet
    from gatecast.edge.save import load, save
    from gatecast.explain.gates import gates
    from gatecast.forecast.baselines import Baseline
    from gatecast.forecast.forecaster import Forecaster
    from gatecast.forecast.panels.direct import GlobalForecaster
    from gatecast.forecast.panels.large import fit_large
    from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
    from gatecast.forecast.panels.sequence import SequenceForecaster
    from gatecast.forecast.plan import Recipe
    from gatecast.forecast.presets import preset
    from gatecast.forecast.result import Forecast
    from gatecast.forecast.ridge import Ridge
    from gatecast.forecast.streams.stream import Stream
    from gatecast.judge.backtest import backtest
    from gatecast.judge.leaderboard import leaderboard
    from gatecast.judge.spaces import PanelSpace, SeriesSpace
    from gatecast.judge.tuning import Budget, tune
    from gatecast.prepare.split import Origins
    from gatecast.show.report import report
    from gatecast.train.settings import Training

__all__ = [
    "Baseline",
    "Budget",
    "ConflictError",
    "DataError",
    "Drawing",
    "FitError",
    "Forecast",
    "ForecastError",
    "Forecaster",
    "GatecastError",
    "GlobalForecaster",
    "ModelFileError",
    "Origins",
    "Panel",
    "PanelSpace",
    "ParquetPanel",
    "Recipe",
    "Ridge",
    "SamplingForecaster",
    "SequenceForecaster",
    "SeriesSpace",
    "SpecError",
    "Stream",
    "Training",
    "backtest",
    "dataset",
    "export_onnx",
    "fit_large",
    "gates",
    "leaderboard",
    "load",
    "preset",
    "read",
    "report",
    "save",
    "tune",
    "write_parquet",
]

_HOMES = {
    "Panel": "data.panel",
    "ParquetPanel": "data.store",
    "read": "data.read",
    "dataset": "data.datasets",
    "Training": "train.settings",
    "Recipe": "forecast.plan",
    "Baseline": "forecast.baselines",
    "Ridge": "forecast.ridge",
    "Forecaster": "forecast.forecaster",
    "GlobalForecaster": "forecast.panels.direct",
    "fit_large": "forecast.panels.large",
    "SamplingForecaster": "forecast.panels.sampling",
    "Drawing": "forecast.panels.sampling",
    "SequenceForecaster": "forecast.panels.sequence",
    "Forecast": "forecast.result",
    "Stream": "forecast.streams.stream",
    "preset": "forecast.presets",
    "leaderboard": "judge.leaderboard",
    "backtest": "judge.backtest",
    "tune": "judge.tuning",
    "Budget": "judge.tuning",
    "PanelSpace": "judge.spaces",
    "SeriesSpace": "judge.spaces",
    "Origins": "prepare.split",
    "gates": "explain.gates",
    "report": "show.report",
    "save": "edge.save",
    "load": "edge.save",
    "write_parquet": "edge.parquet",
    "export_onnx": "edge.onnx.export",
}

_PACKAGES = ("explain", "nn")
"""Packages with public names of their own."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"gatecast.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'gatecast' has no attribute '{name}'")
    value = getattr(import_module(f"gatecast.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
