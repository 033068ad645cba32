"""The addresses of the server, and what they answer."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import Response

from gatecast.edge.cells import time_json
from gatecast.edge.serve import schemas
from gatecast.edge.serve.live import Live
from gatecast.edge.serve.rows import number
from gatecast.edge.serve.settings import Limits
from gatecast.forecast.streams.core import Columns

LISTED = 1_000
"""Names on one page of the list, at most."""
Name = Annotated[str, Path(description="The series' name, percent-encoded, slashes too (%2F).", examples=["IBM"])]
HORIZON = Query(ge=1, description="Steps to forecast; as many as the model was fitted for.", examples=[3])
LEVEL = Query(description="Intervals of so many per cent (repeatable).", examples=[[80]])

A = TypeVar("A", bound=schemas.Ask)

router = APIRouter(prefix="/v1")


@router.post("/forecast", summary="Forecast rows that come along")
def forecast_once(request: Request, ask: schemas.AskOnce) -> schemas.Forecast:
    """Forecast what follows `history`; nothing is kept."""
    live = _live(request)
    live.limits.check("rows", len(ask.history) + len(ask.ahead))
    return _forecast(live, None, *live.forecast_once(_sized(live.limits, ask)))


@router.get("/series", summary="List the live series")
def list_series(
    request: Request,
    after: Annotated[str, Query(max_length=200, description="The `next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=LISTED)] = 100,
) -> schemas.Listing:
    """Names in order, a page at a time."""
    live = _live(request)
    count, names, following = live.names(after, limit)
    return schemas.Listing(model=live.model.name, target=live.reader.target, count=count, series=names, next=following)


@router.post("/series/{id}/observe", summary="Take in rows of a series")
def observe(request: Request, id: Name, rows: schemas.Rows) -> schemas.Taken:
    """All rows are taken in, or none; the answer comes when they are on the disk.

    A series that is not live goes live with its first rows, which must be enough for a forecast. A row that is known
    changes nothing, so a request whose answer was lost can be sent again.
    """
    live, name = _live(request), _decoded(id)
    live.limits.check("rows", len(rows.rows))
    created, times, seen = live.observe(name, rows)
    request.app.state.metrics.took(each.outcome for each in seen)
    told = [
        schemas.Observed(time=_time(time), outcome=each.outcome, forecast=each.forecast, naive=each.naive)
        for time, each in zip(times, seen, strict=True)
    ]
    return schemas.Taken(series=name, created=created, last=_time(times[-1]), rows=told)


@router.get("/series/{id}/forecast", summary="Forecast a series")
def forecast(
    request: Request,
    id: Name,
    h: Annotated[int | None, HORIZON] = None,
    level: Annotated[list[schemas.Level], LEVEL] = [],  # noqa: B006  # FastAPI copies it
) -> schemas.Forecast:
    """Forecast what follows the newest row of a live series."""
    return forecast_ahead(request, id, schemas.Ask(h=h, level=level))


@router.post("/series/{id}/forecast", summary="Forecast a series, with what is known ahead")
def forecast_ahead(request: Request, id: Name, ask: schemas.Ask) -> schemas.Forecast:
    """Forecast what follows the newest row of a live series, given the columns that are known ahead."""
    live, name = _live(request), _decoded(id)
    live.limits.check("rows", len(ask.ahead))
    return _forecast(live, name, *live.forecast(name, _sized(live.limits, ask)))


@router.get("/series/{id}", summary="Look at a series")
def look(request: Request, id: Name) -> schemas.Series:
    """The newest time and rows of a live series, and how the model does on it."""
    live, name = _live(request), _decoded(id)
    last, rows, drift, shown = live.about(name)
    recent = [
        schemas.Recent(time=_time(live.reader.time_of(at)), value=value, forecast=ahead, naive=naive)
        for at, value, ahead, naive in shown
    ]
    return schemas.Series(series=name, last=_time(last), rows=rows, drift=_drift(drift), recent=recent)


@router.delete("/series/{id}", summary="Forget a series")
def forget(request: Request, id: Name) -> schemas.Gone:
    """Drop a live series with all its rows."""
    name = _decoded(id)
    _live(request).forget(name)
    return schemas.Gone(series=name, forgotten=True)


about = APIRouter()


@about.get("/health", summary="Whether the server lives")
def health() -> schemas.State:
    """Always ok, without a token."""
    return schemas.State(status="ok")


@about.get("/ready", summary="Whether the server takes work")
def ready(request: Request) -> schemas.State:
    """503 where the last write to the state failed."""
    live = _live(request)
    if live.trouble:
        raise HTTPException(503, f"the state cannot be written: {live.trouble}")
    return schemas.State(status="ok")


measures = APIRouter()


@measures.get("/metrics", summary="Counters for Prometheus", response_class=Response)
def measured(request: Request) -> Response:
    """Requests, seconds, rows and series in Prometheus' text format."""
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4")


def _live(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


def _decoded(id: str) -> str:
    """The name that an address holds."""
    try:
        return unquote(id, errors="strict")
    except UnicodeDecodeError as cause:
        raise HTTPException(404, "the name in the address is not UTF-8") from cause


def _sized(limits: Limits, ask: A) -> A:
    """The question, if it asks for no more than it may."""
    limits.check("horizon", ask.h or 1)
    limits.check("levels", len(ask.level))
    return ask


def _forecast(live: Live, name: str | None, last: Any, columns: Columns) -> schemas.Forecast:
    """The answer that columns of forecasts are."""
    model = live.model.name
    levels = [column.removeprefix(f"{model}-lo-") for column in columns if column.startswith(f"{model}-lo-")]
    steps = [
        schemas.Step(
            time=_time(columns["ds"][at]),
            value=number(columns[model][at]),
            intervals=[
                schemas.Interval(
                    level=float(level),
                    lo=number(columns[f"{model}-lo-{level}"][at]),
                    hi=number(columns[f"{model}-hi-{level}"][at]),
                )
                for level in levels
            ],
        )
        for at in range(len(columns["ds"]))
    ]
    return schemas.Forecast(series=name, model=model, target=live.reader.target, last=_time(last), forecast=steps)


def _time(time: Any) -> str | int:
    return time_json(time)


def _drift(frame: Any) -> schemas.Drift:
    """The one row of a frame of errors."""
    (row,) = frame.to_dict("records")
    errors = {name: number(row[name]) for name in ("model", "naive", "ratio")}
    return schemas.Drift(observed=int(row["observed"]), worse=bool(row["worse"]), **errors)
