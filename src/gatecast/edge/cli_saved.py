"""The commands on a saved model: `gatecast predict` and `gatecast explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatecast.edge.options import COMMAND_LINE, Layout, Session, expanded, option
from gatecast.edge.text import plain
from gatecast.errors import SpecError


@expanded
def predict(
    *,
    model: Annotated[Path, typer.Argument(help="A model file that `gatecast fit` or `run -o` wrote.")],
    h: Annotated[
        int | None, option("Steps to forecast; as many as the model's head has.", "--h", metavar="STEPS", least=1)
    ] = None,
    data: Annotated[
        str | None,
        option(
            "Newer data, to forecast from their end instead of the training span's; a folder of Parquet files is read "
            "a few series at a time.",
            metavar="FILE",
        ),
    ] = None,
    level: Annotated[
        str | None, option("Intervals of so many per cent, for a model of many series.", metavar="80,95")
    ] = None,
    quantiles: Annotated[str | None, option("Quantiles instead, between 0 and 1.", metavar="0.1,0.9")] = None,
    ahead: Annotated[
        str | None, option("File of the columns that are known ahead, for the rows to forecast.", metavar="FILE")
    ] = None,
    static: Annotated[str | None, option("File of one row of facts per series of --data.", metavar="FILE")] = None,
    output: Annotated[
        Path | None,
        option(
            "Write the CSV here instead of to stdout; of Parquet data a .parquet file.",
            "-o",
            "--output",
            metavar="FILE",
        ),
    ] = None,
    layout: Layout,
    session: Session,
) -> None:
    """Forecast the future with a saved model, as CSV: unique_id, ds, cutoff, mode and the forecast.

    A model of many series: unique_id, ds, Gatecast and, with --level, its bounds.
    """
    from gatecast.edge import exports, inputs, jobs, panel_jobs
    from gatecast.edge.cells import frame_csv
    from gatecast.edge.save import load_model
    from gatecast.forecast.panels.method import GlobalMethod
    from gatecast.show.files import write_atomic

    jobs.use_threads(session.threads)
    fitted = load_model(model)
    if isinstance(fitted, GlobalMethod):
        asked = panel_jobs.Asked(h, data, ahead, static, {"level": level, "quantiles": quantiles})
        if data and panel_jobs.on_disk(data, output) and output:
            panel_jobs.forecast_on_disk(fitted, asked, output)
            session.note([f"wrote {output}"])
            return
        frame = panel_jobs.panel_forecast(fitted, asked, layout)
        text, document = frame_csv(frame), exports.panel_json(fitted, frame)
    elif level or quantiles or ahead or static:
        given = {"level": level, "quantiles": quantiles, "ahead": ahead, "static": static}
        name = next(name for name, value in given.items() if value)
        raise SpecError(f"--{name} is for a model of many series", "`gatecast run` shows the intervals of one series")
    else:
        newer = inputs.newer_data(fitted.history_, data, layout) if data else None
        forecast = fitted.predict(h, newer)
        text, document = exports.forecast_csv(forecast), exports.forecast_json(forecast)
    if output and output.suffix.lower() == ".parquet":
        raise SpecError(
            f"'{output}' would hold CSV", "give Parquet --data to a model of many series, or name a .csv file"
        )
    if output:
        write_atomic(output, text.encode())
        session.note([f"wrote {output}"])
    if session.json:
        typer.echo(document, nl=False)
    elif not output:
        typer.echo(text, nl=False)


@expanded
def explain(
    *,
    model: Annotated[
        Path | None, typer.Argument(help="A model file that `gatecast fit` or `run -o` wrote.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, option("Data with rows after the training span, to explain the forecasts of.", metavar="FILE")
    ] = None,
    compare: Annotated[
        bool, option("Also train an RNN, an LSTM and a GRU on the series, and the model on differences.", "--compare")
    ] = False,
    adding: Annotated[
        int | None, option("Instead of a model: the three cells on the adding problem of so many steps.", least=2)
    ] = None,
    batches: Annotated[
        int | None, option("Batches that each learns from, with --adding; 3000.", metavar="N", least=1)
    ] = None,
    output: Annotated[Path | None, option("Write explain.html and explain.json here.", "-o", metavar="DIR")] = None,
    layout: Layout,
    session: Session,
) -> None:
    """Gates, gradients through time, effective memory, what the forecast used, information flow and free runs."""
    from gatecast.edge import explaining
    from gatecast.edge.jobs import use_threads

    use_threads(session.threads)
    if (model is None) == (adding is None):
        raise SpecError("expected a model file, or --adding STEPS", "`gatecast fit FILE -o model.gatecast` writes one")
    if adding and (data or compare):
        raise SpecError("--data and --compare are about a model", "leave them out beside --adding")
    if model and batches:
        raise SpecError("--batches is about the adding problem", "leave it out beside a model")
    found = (
        explaining.explain_file(model, data, layout, compare)
        if model
        else explaining.explain_adding(adding or 2, batches or 3000, session.quiet)
    )
    if output:
        explaining.write_explanation(found, output, COMMAND_LINE.get())
        session.note([f"wrote {output}/"])
    typer.echo(explaining.document(found) if session.json else plain("\n".join(found.sentences)), nl=not session.json)
