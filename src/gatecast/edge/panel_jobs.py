"""The commands' work on files of many series: models, backtests and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from gatecast.data.datasets import SYNTHETIC
from gatecast.data.frames import read_frame_file
from gatecast.data.panel import Panel
from gatecast.edge.cells import frame_csv
from gatecast.edge.engines import working
from gatecast.edge.exports import backtest_json
from gatecast.edge.folds import Folds
from gatecast.edge.inputs import open_series
from gatecast.edge.options import Engine, Layout, Network, Source
from gatecast.edge.parquet import forecast_parquet
from gatecast.edge.progress import counting
from gatecast.errors import SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.kept import Following
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sequence import MEMBERS, SEQUENCE, SequenceForecaster
from gatecast.forecast.plan import AUTO
from gatecast.judge.backtest import Backtest, backtest
from gatecast.prepare.split import Origins
from gatecast.show.files import write_atomic
from gatecast.show.panel_report import panel_report

FOLDS = "folds"


class Job(NamedTuple):
    """A backtest to run: `settings` of the model, `options`: rivals and facts, where its tasks run, and which model."""

    panel: Panel
    settings: dict[str, Any]
    origins: Origins
    refit: bool = True
    options: Mapping[str, Any] = MappingProxyType({})
    engine: Engine = Engine()
    model: str = AUTO


class Asked(NamedTuple):
    """A forecast that was asked for: files, and `level` and `quantiles` as they were typed."""

    h: int | None
    data: str | None
    ahead: str | None
    static: str | None
    bounds: dict[str, str | None]


def open_panel(file: str, source: Source, layout: Layout) -> tuple[Panel, str]:
    """A file whose missing targets are masked where it holds several series; those of one need a fill rule."""
    if file in SYNTHETIC or layout.fill:
        return open_series(file, source, layout)
    panel, start = open_series(file, source, replace(layout, fill="last"))
    return (panel, start) if len(panel) > 1 else open_series(file, source, layout)


def sequence_spec(spec: str) -> str | None:
    """The stack of a sequence model, written `sequence` or `sequence:lstm:32`; None where another is meant.

    >>> sequence_spec("sequence:gru:16"), sequence_spec("sequence"), sequence_spec("gru:16")
    ('gru:16', 'lstm:32', None)
    """
    kind, _, stack = spec.partition(":")
    return (stack or SEQUENCE) if kind == "sequence" else None


def global_forecaster(spec: str, options: Network, settings: dict[str, Any]) -> GlobalForecaster | SequenceForecaster:
    """The model of a file with many series; SpecError for options that it has no use for."""
    stack = sequence_spec(spec)
    taken = ("device", "members") if stack else ("device",)
    given = [name for name, value in asdict(options).items() if value is not None and name not in taken]
    if given or not (stack or spec == AUTO):
        what = f"--{given[0].replace('_', '-')}" if given else f"--model {spec}"
        raise SpecError(
            f"{what} is for one series, and the file holds several; their model is derived by rule",
            "leave it out, take --model sequence, or pick a series with --series",
        )
    settings = {"device": options.device or "cpu", **settings}
    if stack:
        return SequenceForecaster(spec=stack, members=options.members or MEMBERS, **settings)
    return GlobalForecaster(**settings)


def panel_forecast(model: GlobalMethod, asked: Asked, layout: Layout) -> pd.DataFrame:
    """The forecasts of many series, with the bounds that were asked for."""
    wanted = {name: _figures(name, text) for name, text in asked.bounds.items() if text}
    newer = open_panel(asked.data, Source(target=model.panel_.target), layout)[0] if asked.data else None
    ahead, facts = frame_of(asked.ahead), frame_of(asked.static)
    frame: pd.DataFrame = model.predict(newer, h=asked.h, futr_df=ahead, static_df=facts, **wanted)
    return frame


def on_disk(data: str, output: Path | None) -> bool:
    """Whether data are read, and forecasts written, some series at a time; SpecError for a folder and no such file."""
    parquet = output is not None and output.suffix.lower() == ".parquet"
    if Path(data).is_dir() and not parquet:
        raise SpecError(f"the forecasts of the folder '{data}' go into a Parquet file", "add -o forecasts.parquet")
    return parquet


def forecast_on_disk(model: GlobalMethod, asked: Asked, output: Path) -> None:
    """The forecasts of all series of a folder or a Parquet file, as a Parquet file."""
    wanted = {name: _figures(name, text) for name, text in asked.bounds.items() if text}
    if asked.ahead or asked.static:
        raise SpecError("a panel on disk has no columns beside the target", "leave --ahead and --static out")
    source, target = Path(str(asked.data)).resolve(), output.resolve()
    if source in (target, target.parent):
        raise SpecError(f"'{output}' would be read as data the next time", "write the forecasts elsewhere")
    forecast_parquet(model, str(asked.data), output, asked.h, wanted)


def frame_of(file: str | None) -> pd.DataFrame | None:
    """A file of plain rows, such as facts or what is known ahead."""
    return read_frame_file(Path(file)) if file else None


def run_backtest(job: Job, quiet: bool, folder: Path | None = None, resume: bool = False) -> Backtest:
    """A backtest with a bar on stderr; finished origins are kept in the folder, if there is one, until all is written.

    With `resume` those of a run that was cut are taken as they are.
    """
    model = global_forecaster(job.model, Network(), job.settings)
    store = Folds(folder / FOLDS) if folder else None
    with working(job.engine), counting(quiet) as tick:
        if store and not resume:
            store.clear()
        watch = Following(tick, store) if store else Following(tick)
        return backtest(model, job.panel, job.origins, refit=job.refit, watch=watch, **job.options)


def write_backtest(found: Backtest, folder: Path, command: str) -> None:
    """forecasts.csv, scores.csv, metrics.json and report.html; then the finished origins are dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "forecasts.csv", frame_csv(found.frame).encode())
    write_atomic(folder / "scores.csv", frame_csv(found.scores(["unique_id", "cutoff"])).encode())
    write_atomic(folder / "metrics.json", backtest_json(found).encode())
    panel_report(found, folder / "report.html", command)
    Folds(folder / FOLDS).clear()


def _figures(name: str, text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError as cause:
        example = "80,95" if name == "level" else "0.1,0.9"
        raise SpecError(f"--{name} {text} is no list of numbers", f"write it like {example}") from cause
