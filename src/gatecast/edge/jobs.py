"""The commands' work: from options to models, from a leaderboard to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gatecast.data.panel import Panel
from gatecast.edge.checkpoints import Checkpoints
from gatecast.edge.exports import forecasts_csv, metrics_json
from gatecast.edge.options import Network
from gatecast.edge.progress import Follower, Uncut
from gatecast.edge.save import save
from gatecast.edge.text import file_names
from gatecast.explain.explanation import explain
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import AUTO, AUTO_TRAINING, PLAIN, Recipe
from gatecast.forecast.presets import preset
from gatecast.judge.board import Leaderboard
from gatecast.judge.leaderboard import findings, trial_of
from gatecast.nn.device import find_device
from gatecast.show.explain_charts import explained
from gatecast.show.figures import Explained
from gatecast.show.files import write_atomic
from gatecast.show.report import report
from gatecast.train.loop import Watch
from gatecast.train.settings import Training

DEFAULT_MODELS = ("auto", "lstm:32", "gru:32")
CHECKPOINTS = "checkpoints"
MODELS = "models"
TRAINING_OPTIONS = ("optimiser", "loss", "learning_rate", "batch", "epochs", "device")


def use_threads(threads: int | None) -> None:
    """Let torch use this many cores."""
    if threads is not None:
        torch.set_num_threads(threads)


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
    report(leaderboard, folder / "report.html", _explained(leaderboard))
    Checkpoints(folder / CHECKPOINTS).clear()
    return files


def _explained(leaderboard: Leaderboard) -> list[Explained]:
    """What the best network of the first series did, for the report."""
    board = leaderboard.boards[0]
    best = next((row.model for row in board.rows if isinstance(row.model, Forecaster)), None)
    if best is None:
        return []
    return [(f"{best.name}: {title}", text, chart) for title, text, chart in explained(explain(best, board.test))]


def forecasters(specs: list[str], preset_name: str | None, options: Network, h: int = 1) -> list[Forecaster]:
    """The models asked for: those of a preset, then one for every spec, all with the options that were given."""
    if options.device is not None:
        find_device(options.device)
    bases = [*(preset(preset_name) if preset_name else ()), *map(Forecaster, specs)]
    return [_with_options(base, options, h) for base in bases or map(Forecaster, DEFAULT_MODELS)]


def _with_options(base: Forecaster, options: Network, h: int) -> Forecaster:
    """The same model, with what was given in place of its own settings."""
    recipe = base.recipe or Recipe()
    return Forecaster(
        base.spec,
        h=h,
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
