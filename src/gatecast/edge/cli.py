"""The command line: `gatecast run`, `fit`, `fit-large`, `predict`, `backtest`, `tune`, `explain`, `export`, `serve`
and `datasets`.

Only typer, the standard library and the error tree are imported here; everything heavy waits for its command.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatecast.edge import cli_export, cli_large, cli_saved, cli_serve, cli_tune
from gatecast.edge.options import COMMAND_LINE, Beside, Engine, Layout, Network, Session, Source, expanded, option
from gatecast.edge.text import plain
from gatecast.errors import DataError, FitError, ForecastError, GatecastError, ModelFileError, SpecError

if TYPE_CHECKING:
    from gatecast.edge import panel_jobs
    from gatecast.forecast.forecaster import Forecaster
    from gatecast.forecast.panels.direct import GlobalForecaster
    from gatecast.forecast.panels.sequence import SequenceForecaster

INTERRUPTED = 130
NO_LIMIT = 10_000
# error -> exit code; every other failure, such as output that cannot be written, is 1
EXIT_CODES: dict[type[GatecastError], int] = {
    SpecError: 2,
    DataError: 3,
    FitError: 4,
    ForecastError: 4,
    ModelFileError: 5,
}
EPILOG = """Exit codes:

\b
  0    done
  1    the output cannot be written
  2    an option, a model or a name is not understood
  3    the data cannot be used as they are
  4    training or forecasting failed
  5    a model file is damaged, edited or too new
  130  interrupted (Ctrl-C: the first ends the model in training, the second the run)
"""

GOES_ON = (
    "with --resume, `run` and `backtest` go on from -o DIR and `fit-large` from --checkpoint DIR; `tune` from --storage"
)

app = typer.Typer(
    name="gatecast",
    help="Forecast time series with recurrent networks, honestly, beside naive baselines.",
    epilog=EPILOG,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line with `arguments` (sys.argv's by default); returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    COMMAND_LINE.set(shlex.join(["gatecast", *given]))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=given or ["--help"], prog_name="gatecast", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message().partition(" (Possible options:")[0]
        return _complain(message[:1].lower() + message[1:], _usage_hint(error), 2)
    except GatecastError as error:
        code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)
        return _complain(error.message, error.hint, code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        reason = error.strerror or str(error)
        return _complain(f"'{error.filename}': {reason}" if error.filename else reason, "check path and rights", 1)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        return _complain("interrupted", GOES_ON, INTERRUPTED)
    return code or 0


def _complain(message: str, hint: str, code: int) -> int:
    """One line of error and one of hint on stderr."""
    lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
    sys.stderr.writelines(f"{plain(' '.join(line.split()))}\n" for line in lines)
    return code


def _show_version(wanted: bool) -> bool:
    """Print the version and end, before a command is asked for."""
    if not wanted:
        return False
    from importlib.metadata import version

    typer.echo(f"gatecast {version('gatecast')}")
    raise typer.Exit()


def _usage_hint(error: typer.TyperException) -> str:
    """The nearest option, or where to read about all of them."""
    near = getattr(error, "possibilities", None)
    if near:
        return f"did you mean {' or '.join(near)}?"
    context = getattr(error, "ctx", None)
    return f"see `{context.command_path if context else 'gatecast'} --help`"


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of every command."""


File = Annotated[
    str | None,
    typer.Argument(help="A CSV, .tsf or Parquet file, or a data set of `gatecast datasets`.", show_default=False),
]
Seed = Annotated[int, typer.Option(help="Decides every random draw.", metavar="N", min=0)]


@app.command(short_help="Judge models beside naive baselines.")
@expanded
def run(
    *,
    file: File = None,
    source: Source,
    test_from: Annotated[
        str | None,
        option("Start of the test span: a date, '251 rows' or '20%' (the default for a file).", metavar="WHEN"),
    ] = None,
    season: Annotated[int | None, option("Rows in a season, in place of the calendar's.", metavar="M", least=1)] = None,
    model: Annotated[
        list[str] | None,
        option("auto, or layers such as lstm:50x4, bigru:32, lstm:50-gru:50 (repeatable).", metavar="SPEC"),
    ] = None,
    preset: Annotated[str | None, option("A line-up of models: notebook.", metavar="NAME")] = None,
    seeds: Annotated[int, typer.Option(help="Train every network with so many seeds.", metavar="N", min=1)] = 1,
    seed: Seed = 0,
    notebook_alignment: Annotated[
        bool, option("Start free runs one row early, as the original notebook did.", "--notebook-alignment")
    ] = False,
    output: Annotated[
        Path | None, option("Write report.html, forecasts.csv, metrics.json and the models here.", "-o", metavar="DIR")
    ] = None,
    resume: Annotated[bool, option("Go on from the checkpoints in DIR of a run that was cut.", "--resume")] = False,
    network: Network,
    layout: Layout,
    session: Session,
) -> None:
    """Judge models beside baselines on the end of a series: leaderboard, verdicts and, with -o, a report.

    Without a FILE: the bundled IBM prices. Without models: auto, lstm:32 and gru:32. A file of several series is
    judged by one model of them all, as `gatecast backtest` does it, unless models are named.
    """
    _check_resume(resume, output)
    from gatecast.edge import console, exports, inputs, jobs, panel_jobs
    from gatecast.edge.progress import following
    from gatecast.judge.leaderboard import leaderboard
    from gatecast.prepare.split import Origins, horizon_from

    jobs.use_threads(session.threads)
    models = jobs.forecasters(model or [], preset, network)
    panel, usual = panel_jobs.open_panel(file or inputs.DEFAULT_DATA, source, layout)
    if len(panel) > 1 and not model and not preset:
        settings = {"h": horizon_from(panel, test_from), "season": season, "device": network.device or "cpu"}
        job = panel_jobs.Job(panel, settings, Origins())
        _judge_panel(job, output, session, resume)
        return
    start = test_from or usual
    findings = jobs.found(panel, start, season)
    if session.json:
        session.note(findings)
    else:
        typer.echo(plain("\n".join(findings)))
    with following(seeds, session.quiet) as follower:
        board = leaderboard(
            panel,
            start,
            models,
            seeds=range(seed, seed + seeds),
            season=season,
            early_start=notebook_alignment,
            watch=jobs.watch(follower, output, resume),
        )
    board = replace(board, command=COMMAND_LINE.get())
    files = jobs.write_results(board, output) if output else {}
    session.note([f"wrote {output}/"] if output else [])
    if session.json:
        typer.echo(exports.metrics_json(board, files), nl=False)
    else:
        console.print_leaderboard(board)


@app.command()
@expanded
def fit(
    *,
    file: File = None,
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file to write.", metavar="FILE")],
    model: Annotated[
        str, typer.Option(help="auto, layers such as lstm:50x4, or sequence:lstm:32.", metavar="SPEC")
    ] = "auto",
    h: Annotated[int, typer.Option("--h", help="Steps that the head forecasts at once.", metavar="STEPS", min=1)] = 1,
    season: Annotated[int | None, option("Rows in a season, in place of the calendar's.", metavar="M", least=1)] = None,
    seed: Seed = 0,
    beside: Beside,
    network: Network,
    layout: Layout,
    session: Session,
) -> None:
    """Fit one model to a whole series, or to all series of a file, and save it."""
    from gatecast.edge import inputs, jobs, panel_jobs
    from gatecast.edge.exports import model_json
    from gatecast.edge.progress import counting, following
    from gatecast.edge.save import save
    from gatecast.train.loop import Watch

    jobs.use_threads(session.threads)
    carried = panel_jobs.sequence_spec(model) is not None
    (forecaster,) = jobs.forecasters(["auto" if carried else model], None, network, h)
    panel, _ = panel_jobs.open_panel(file or inputs.DEFAULT_DATA, source, layout)
    fitted: Forecaster | GlobalForecaster | SequenceForecaster
    if carried or len(panel) > 1 or any(beside.columns.values()) or beside.static:
        settings = {"h": h, "season": season, **beside.columns}
        with counting(session.quiet) as watch:
            facts = panel_jobs.frame_of(beside.static)
            fitted = panel_jobs.global_forecaster(model, network, settings)
            fitted.fit(panel, static_df=facts, seed=seed, watch=watch)
    else:
        with following(quiet=session.quiet) as follower:
            fitted = forecaster.fit(panel.seasoned(season), seed=seed, watch=Watch(follower))
    save(fitted, output)
    session.note([*panel.notes, f"wrote {output}"])
    typer.echo(model_json(fitted) if session.json else plain(fitted.summary()), nl=not session.json)


@app.command(short_help="Judge a model of many series at rolling origins.")
@expanded
def backtest(
    *,
    file: Annotated[str, typer.Argument(help="A CSV, .tsf or Parquet file, or a data set of `gatecast datasets`.")],
    source: Source,
    model: Annotated[str, typer.Option(help="auto, sequence or sequence:lstm:32.", metavar="SPEC")] = "auto",
    h: Annotated[int | None, option("Steps to forecast; a season or so.", "--h", metavar="STEPS", least=1)] = None,
    windows: Annotated[int, typer.Option(help="Origins.", metavar="N", min=1)] = 1,
    step: Annotated[int | None, option("Rows from origin to origin; h.", metavar="ROWS", least=1)] = None,
    by: Annotated[str, typer.Option(help="What an origin is: auto, date or series.", metavar="KIND")] = "auto",
    no_refit: Annotated[bool, option("Learn once, before the first origin.", "--no-refit")] = False,
    rivals: Annotated[str | None, option("More models: AutoETS, AutoTheta, AutoARIMA.", metavar="A,B")] = None,
    season: Annotated[int | None, option("Rows in a season, in place of the calendar's.", metavar="M", least=1)] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1 or mps.", metavar="NAME")] = "cpu",
    beside: Beside,
    engine: Engine,
    output: Annotated[
        Path | None, option("Write report.html, forecasts.csv, scores.csv and metrics.json here.", "-o", metavar="DIR")
    ] = None,
    resume: Annotated[
        bool, option("Go on from the finished origins in DIR of a run that was cut.", "--resume")
    ] = False,
    layout: Layout,
    session: Session,
) -> None:
    """Forecast from rolling origins and score the global model beside baselines: MASE, CRPS, coverage, and verdicts."""
    _check_resume(resume, output)
    from gatecast.edge import panel_jobs
    from gatecast.edge.jobs import use_threads
    from gatecast.edge.options import names
    from gatecast.prepare.split import Origins, horizon_from, kind_of_cut

    use_threads(session.threads)
    panel, _ = panel_jobs.open_panel(file, source, layout)
    settings = {"h": h or horizon_from(panel, None), "season": season, "device": device, **beside.columns}
    options = {"beside": names(rivals), "static_df": panel_jobs.frame_of(beside.static)}
    judged = Origins(windows, step, kind_of_cut(by))
    job = panel_jobs.Job(panel, settings, judged, not no_refit, options, engine, model)
    _judge_panel(job, output, session, resume)


def _check_resume(resume: bool, output: Path | None) -> None:
    if resume and output is None:
        raise SpecError("--resume needs the folder of the run that was cut", "add -o DIR")


def _judge_panel(job: panel_jobs.Job, output: Path | None, session: Session, resume: bool) -> None:
    """Run a backtest and show what was found."""
    from gatecast.edge import console, panel_jobs
    from gatecast.edge.exports import backtest_json

    found = panel_jobs.run_backtest(job, session.quiet, output, resume)
    if session.json:
        session.note(list(found.told))
    else:
        typer.echo(plain("\n".join(found.told)))
    if output:
        panel_jobs.write_backtest(found, output, COMMAND_LINE.get())
        session.note([f"wrote {output}/"])
    if session.json:
        typer.echo(backtest_json(found), nl=False)
    else:
        console.print_backtest(found)


@app.command(short_help="List the bundled data sets, or write one.")
def datasets(
    name: Annotated[str | None, typer.Argument(help="Write this data set instead.", show_default=False)] = None,
    output: Annotated[
        Path | None, option("Write the CSV here instead of to stdout.", "-o", "--output", metavar="FILE")
    ] = None,
) -> None:
    """List the data sets that come with Gatecast, or write one of them as CSV."""
    from gatecast.edge import inputs
    from gatecast.show.files import write_atomic

    if name is None:
        typer.echo(_listing(inputs.descriptions()))
    elif output:
        write_atomic(output, inputs.dataset_csv(name))
    else:
        typer.echo(inputs.dataset_csv(name), nl=False)


def _listing(rows: list[tuple[str, str]]) -> str:
    """Names and what they are, side by side; wrapped on a terminal only."""
    left = max(len(name) for name, _ in rows) + 2
    width = max(left + 30, shutil.get_terminal_size().columns) if sys.stdout.isatty() else NO_LIMIT
    return "\n".join(
        textwrap.fill(text, width, initial_indent=name.ljust(left), subsequent_indent=" " * left) for name, text in rows
    )


app.command(short_help="Forecast the future with a saved model.")(cli_saved.predict)
app.command(short_help="Explain what a saved model remembers and uses.")(cli_saved.explain)
app.command("fit-large", short_help="Fit one model to a panel larger than memory.")(cli_large.fit_large)
app.command(short_help="Write a saved model as ONNX.")(cli_export.export)
app.command(short_help="Serve forecasts of live series over HTTP.")(cli_serve.serve)
app.command(short_help="Try settings, and say what that gained.")(cli_tune.tune)
