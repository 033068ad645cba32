"""The commands' work: from options to panels and models, from a leaderboard to files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from gatecast.data.datasets import DATASETS, SYNTHETIC, Dataset, dataset, dataset_path
from gatecast.data.panel import Fill, Panel
from gatecast.data.read import CsvFormat, read
from gatecast.edge.checkpoints import Checkpoints
from gatecast.edge.exports import forecasts_csv, metrics_json, panel_csv
from gatecast.edge.options import Layout, Network, Source
from gatecast.edge.progress import Follower, Uncut
from gatecast.edge.save import save
from gatecast.edge.text import file_names
from gatecast.errors import DataError, SpecError, check_choice, did_you_mean
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import AUTO, AUTO_TRAINING, PLAIN, Recipe
from gatecast.forecast.presets import preset
from gatecast.judge.board import Leaderboard
from gatecast.judge.leaderboard import findings, trial_of
from gatecast.show.files import write_atomic
from gatecast.show.report import report
from gatecast.train.loop import Watch
from gatecast.train.settings import Training

DEFAULT_MODELS = ("auto", "lstm:32", "gru:32")
DEFAULT_DATA = "ibm"
DEFAULT_SHARE = "20%"
CHECKPOINTS = "checkpoints"
MODELS = "models"
TAB = {"\\t": "\t", "tab": "\t"}
Decimal = Literal[".", ","]
TRAINING_OPTIONS = ("optimiser", "loss", "learning_rate", "batch", "epochs", "device")


def use_threads(threads: int | None) -> None:
    """Let torch use this many cores."""
    if threads is not None:
        torch.set_num_threads(threads)


def open_series(file: str, source: Source, layout: Layout) -> tuple[Panel, str]:
    """The panel in a file, or one of our data sets by name; and where its test span starts if nobody says."""
    test_from = DEFAULT_SHARE
    if Path(file).exists() or Path(file).name != file or Path(file).suffix:
        panel = _read(file, source.target, layout)
    elif file in DATASETS:
        panel, test_from = _bundled(DATASETS[file], source.target, layout), DATASETS[file].test_from
    elif file in SYNTHETIC:
        panel, test_from = _computed(file, source.target, layout), SYNTHETIC[file].test_from
    else:
        raise DataError(
            f"there is no file '{file}', and no data set of that name", did_you_mean(file, [*DATASETS, *SYNTHETIC])
        )
    return (panel if source.series is None else panel.series(source.series)), test_from


def newer_data(model: Forecaster, file: str, layout: Layout) -> Panel:
    """Newer rows of the series that a model was fitted to."""
    history = model.history_
    panel, _ = open_series(file, Source(target=history.target), layout)
    return panel.series(history.ids[0]) if len(panel) > 1 else panel


def _read(file: str, target: str | None, layout: Layout) -> Panel:
    """A file as a panel, with the options checked by name."""
    fill = check_choice(layout.fill or "error", get_args(Fill), "fill rule")
    decimal = layout.decimal and check_choice(layout.decimal, get_args(Decimal), "decimal sign")
    separator = TAB.get(layout.separator or "", layout.separator)
    form = CsvFormat(separator, cast(Decimal | None, decimal), layout.encoding, layout.date_format)
    join = tuple(layout.join or ())
    return read(file, target, date=layout.date, id=layout.id, join=join, fill=cast(Fill, fill), format=form)


def _bundled(known: Dataset, target: str | None, layout: Layout) -> Panel:
    """A bundled file, read as it should be wherever the options do not say otherwise."""
    asked = replace(layout, date=layout.date or known.date, id=layout.id or known.id, fill=layout.fill or known.fill)
    panel = _read(str(dataset_path(known.name)), target or known.target, asked)
    return replace(panel, source=known.name, ids=(known.series,) if known.series else panel.ids)


def _computed(name: str, target: str | None, layout: Layout) -> Panel:
    """A synthetic series, which has no file that options could describe."""
    if layout != Layout():
        raise SpecError(
            f"'{name}' is computed, not read: options on files do not apply to it",
            f"write it first: `gatecast datasets {name} -o {name}.csv`",
        )
    panel = dataset(name)
    return panel.columns_as((target or panel.target,))


def descriptions() -> list[tuple[str, str]]:
    """Name and description of every data set."""
    bundled = [(name, each.description) for name, each in DATASETS.items()]
    return [*bundled, *((name, each.description) for name, each in SYNTHETIC.items())]


def dataset_csv(name: str) -> bytes:
    """A data set as CSV: the bundled file itself, or the computed series."""
    if name in SYNTHETIC:
        return panel_csv(dataset(name)).encode()
    check_choice(name, [*DATASETS, *SYNTHETIC], "data set")
    return dataset_path(name).read_bytes()


def found(panel: Panel, test_from: str, season: int | None) -> list[str]:
    """What the data are, in sentences; raises DataError where the test span lies outside them."""
    trials = [trial_of(series, test_from, season) for series in panel]
    if len(trials) == 1:
        return list(findings(trials[0]))
    lines = [
        f"{trial.whole.ids[0]}: {'; '.join(line for line in findings(trial) if line not in panel.notes)}"
        for trial in trials
    ]
    return [f"{len(trials)} series", *lines, *panel.notes]


def one_series(panel: Panel) -> Panel:
    """The panel, if it holds one series."""
    if len(panel) != 1:
        raise DataError(
            f"{panel.source} holds {len(panel)} series; a model learns from one",
            f"pick one, as in --series {shlex.quote(panel.ids[0])}",
        )
    return panel


def watch(follower: Follower, folder: Path | None, resume: bool) -> Watch:
    """Who follows a run, and the checkpoints in its folder, if it has one: kept to resume, else cleared."""
    if folder is None:
        return Watch(follower)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    if not resume:
        checkpoints.clear()
    return Watch(follower, Uncut(checkpoints, follower))


def write_results(leaderboard: Leaderboard, folder: Path) -> dict[tuple[str, str], str]:
    """Write models, forecasts, metrics and the report into `folder`, then drop the checkpoints.

    Returns the model file of every (series, model), relative to the folder.
    """
    fitted = {
        (board.series, row.name): row.model
        for board in leaderboard.boards
        for row in board.rows
        if isinstance(row.model, Forecaster)
    }
    several = len(leaderboard.boards) > 1
    names = file_names({key: f"{key[0]} {key[1]}" if several else key[1] for key in fitted})
    files = {key: f"{MODELS}/{name}.gatecast" for key, name in names.items()}
    (folder / MODELS).mkdir(exist_ok=True)
    for key, file in files.items():
        save(fitted[key], folder / file)
    write_atomic(folder / "forecasts.csv", forecasts_csv(leaderboard).encode())
    write_atomic(folder / "metrics.json", metrics_json(leaderboard, files).encode())
    report(leaderboard, folder / "report.html")
    Checkpoints(folder / CHECKPOINTS).clear()
    return files


def forecasters(specs: list[str], preset_name: str | None, options: Network) -> list[Forecaster]:
    """The models asked for: those of a preset, then one for every spec, all with the options that were given."""
    if options.device is not None:
        _check_device(options.device)
    bases = [*(preset(preset_name) if preset_name else ()), *map(Forecaster, specs)]
    return [_with_options(base, options) for base in bases or map(Forecaster, DEFAULT_MODELS)]


def _with_options(base: Forecaster, options: Network) -> Forecaster:
    """The same model, with what was given in place of its own settings."""
    recipe = base.recipe or Recipe()
    return Forecaster(
        base.spec,
        lookback=base.lookback if options.lookback is None else options.lookback,
        dropout=base.dropout if options.dropout is None else options.dropout,
        inputs=base.inputs if options.inputs is None else [name.strip() for name in options.inputs.split(",")],
        members=base.members if options.members is None else options.members,
        recipe=replace(
            recipe,
            transform=options.transform or recipe.transform,
            initial=options.initial or recipe.initial,
            training=_training(base, options),
        ),
    )


def _training(base: Forecaster, options: Network) -> Training | tuple[Training, ...] | None:
    """The model's own training settings, changed where options say so; None leaves them to its rule."""
    given: dict[str, Any] = {name: getattr(options, name) for name in TRAINING_OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if options.patience is not None:
        given["patience"] = options.patience or None
    own = base.recipe.training if base.recipe else None
    if not given:
        return own
    if isinstance(own, tuple):
        return tuple(replace(part, **given) for part in own)
    return replace(own or (AUTO_TRAINING if base.spec == AUTO else PLAIN), **given)


def _check_device(name: str) -> None:
    """Raise SpecError unless torch can compute on this device."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as cause:
        reason = str(cause).splitlines()[0]
        raise SpecError(
            f"cannot compute on device '{name}': {reason}", "use cpu, or cuda or mps where present"
        ) from cause
