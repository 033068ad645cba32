"""`gatecast tune`: try settings on held-back rows, and say on later ones what that gained."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gatecast.edge.options import Engine, Layout, Session, Source, expanded, option
from gatecast.edge.text import plain
from gatecast.errors import SpecError, import_extra

if TYPE_CHECKING:
    from gatecast.data.panel import Panel
    from gatecast.judge.tuning import Tried, Tuned

SHARE = "20%"
"""The test span of one series."""


@expanded
def tune(
    *,
    file: Annotated[str, typer.Argument(help="A CSV, .tsf or Parquet file, or a data set of `gatecast datasets`.")],
    source: Source,
    h: Annotated[
        int | None, option("Steps to forecast; a season or so, of one series 1.", "--h", metavar="STEPS", least=1)
    ] = None,
    test_from: Annotated[
        str | None,
        option("Start of the test, which no trial sees: a date, '24 rows' or '20%'; whole horizons.", metavar="WHEN"),
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings to try, earlier ones of --storage included.", min=1)] = 20,
    folds: Annotated[int, typer.Option(help="Held-back spans that a trial is judged on, one by one.", min=1)] = 3,
    season: Annotated[int | None, option("Rows in a season, in place of the calendar's.", metavar="M", least=1)] = None,
    seed: Annotated[int, typer.Option(help="Decides every random draw.", metavar="N", min=0)] = 0,
    storage: Annotated[
        Path | None, option("Keep the trials in this SQLite file, and go on from those in it.", metavar="FILE")
    ] = None,
    output: Annotated[
        Path | None,
        option("Fit the recommended model to all rows; write it here.", "-o", "--output", metavar="FILE"),
    ] = None,
    engine: Engine,
    layout: Layout,
    session: Session,
) -> None:
    """Try settings on held-back rows, then score the best and the automatic recipe on a test that no trial has seen."""
    from gatecast.edge import panel_jobs
    from gatecast.edge.engines import working
    from gatecast.edge.exports import tuned_json
    from gatecast.edge.jobs import use_threads
    from gatecast.edge.progress import counting
    from gatecast.edge.save import save
    from gatecast.judge.tuning import Budget
    from gatecast.judge.tuning import tune as search
    from gatecast.show.files import writable

    if output:
        writable(output)
    optuna = import_extra("optuna", "tune")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    use_threads(session.threads)
    panel, _ = panel_jobs.open_panel(file, source, layout)
    steps, windows = _span(panel, h, test_from)
    budget, told = Budget(trials, folds, windows, seed), {} if season is None else {"season": season}
    with working(engine), counting(session.quiet) as tick:
        found = search(panel, steps, budget, told=told, storage=_opened(storage), watch=tick)
    typer.echo(tuned_json(found) if session.json else plain(_text(found)), nl=not session.json)
    if output:
        save(found.model.fit(panel.seasoned(season), seed=seed), output)
        session.note([f"wrote {output}"])


def _span(panel: Panel, h: int | None, test_from: str | None) -> tuple[int, int]:
    """The horizon, and the number of origins in the test."""
    from gatecast.prepare.split import horizon_from

    one = len(panel) == 1
    steps = h or (1 if one else horizon_from(panel, None))
    if not one and test_from is None:
        return steps, 1
    rows = horizon_from(panel, test_from or SHARE)
    if rows < steps:
        raise SpecError(f"a test of {rows} rows is shorter than the horizon of {steps}", "start it earlier")
    return steps, -(-rows // steps)


def _opened(storage: Path | None) -> Any:
    """A study file; SpecError where it cannot be used, or holds something else."""
    if storage is None:
        return None
    errors, storages = import_extra("sqlalchemy.exc", "tune"), import_extra("optuna.storages", "tune")
    try:
        if storage.exists() and not _is_study(storage):
            raise SpecError(f"--storage {storage} holds something else than trials", "name another file")
        connect = partial(sqlite3.connect, storage, check_same_thread=False)
        return storages.RDBStorage("sqlite:///trials", engine_kwargs={"creator": connect})  # any name of a file
    except (errors.SQLAlchemyError, sqlite3.Error, RuntimeError) as cause:
        what = f"--storage {storage} cannot be used: {str(cause).splitlines()[0]}"
        raise SpecError(what, "name a new file in a folder that is there") from cause


def _is_study(storage: Path) -> bool:
    """Whether a file is an empty database, or one of trials."""
    with closing(sqlite3.connect(storage)) as base:
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
    return not tables or "studies" in tables


def _text(found: Tuned) -> str:
    """The trials, the best first, and the verdict."""
    ranked = sorted(found.trials, key=lambda trial: (trial.given_up > 0, trial.error))
    return "\n".join(["held-back MASE of every trial:", *map(_line, ranked), "", found.verdict])


def _line(trial: Tried) -> str:
    choice = ", ".join(f"{name}={value}" for name, value in trial.params.items())
    given_up = f"  (given up after {trial.given_up})" if trial.given_up else ""
    return f"{trial.error:8.4f}  {choice}{given_up}"
