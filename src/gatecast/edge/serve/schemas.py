"""What goes in and comes out, as JSON, with an example of each; a number is finite, and null where it is missing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e30, le=1e30)]
"""A value that goes in: no text, no NaN and no infinity."""
Time = Annotated[str, Field(max_length=40)] | Annotated[int, Field(strict=True)]
"""ISO 8601, or a whole number where time is a counter."""
Facts = dict[str, Number | Annotated[str, Field(max_length=200)] | None]
"""Facts of a series by name: numbers or words."""
Steps = Annotated[int, Field(ge=1, description="Steps to forecast; as many as the model was fitted for.")]
Level = Annotated[float, Field(gt=0, lt=100, allow_inf_nan=False)]


def example(**fields: Any) -> ConfigDict:
    """Refuse unknown fields, and show this."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


ROW: dict[str, Any] = {"time": "2013-03-04", "value": {"High": 206.9, "Low": 201.5}}
STEP: dict[str, Any] = {"time": "2013-03-05", "value": 206.1, "intervals": [{"level": 80.0, "lo": 203.9, "hi": 208.3}]}
DRIFT: dict[str, Any] = {"observed": 250, "model": 1.1, "naive": 1.3, "ratio": 0.85, "worse": False}


class Row(BaseModel):
    """One row: the target alone, or every column that the model reads by its name. A missing value is null."""

    model_config = example(**ROW)
    time: Time
    value: Number | dict[str, Number | None] | None


class Rows(BaseModel):
    """Rows of one series, the newest last; of a new series as many as one forecast needs, with its facts that never
    change (`static`) where the model reads such facts."""

    model_config = example(rows=[ROW])
    rows: Annotated[list[Row], Field(min_length=1)]
    static: Facts = {}


class Ask(BaseModel):
    """A forecast. `ahead`: the columns that are known ahead, row by row, where the model reads such columns."""

    model_config = example(h=3, level=[80])
    h: Steps | None = None
    level: list[Level] = []
    ahead: list[Row] = []


class AskOnce(Ask):
    """A forecast of rows that come with the question; `static` as in `Rows`."""

    model_config = example(history=[{"time": "2013-03-01", "value": 203.0}, ROW], h=3, level=[80])
    history: Annotated[list[Row], Field(min_length=1)]
    static: Facts = {}


class Observed(BaseModel):
    """What became of a row: `new`, `missing` (taken in, the target is missing) or `known` (nothing changed); and what
    was forecast for it one step before, by the model and by the naive forecast."""

    model_config = example(time="2013-03-04", outcome="new", forecast=205.2, naive=203.0)
    time: str | int
    outcome: str
    forecast: float | None
    naive: float | None


class Taken(BaseModel):
    """What became of the rows of a series, once they are on the disk; the first rows of a series have no forecast."""

    series: str
    created: bool
    last: str | int
    rows: list[Observed]
    model_config = example(
        series="IBM",
        created=False,
        last="2013-03-04",
        rows=[{"time": "2013-03-04", "outcome": "new", "forecast": 205.2, "naive": 203.0}],
    )


class Interval(BaseModel):
    """Bounds between which the value is expected with this probability, in per cent."""

    level: float
    lo: float | None
    hi: float | None


class Step(BaseModel):
    """The forecast of one time."""

    model_config = example(**STEP)
    time: str | int
    value: float | None
    intervals: list[Interval]


class Forecast(BaseModel):
    """The next times of a series, from its `last` on."""

    model_config = example(series="IBM", model="auto", target="High", last="2013-03-04", forecast=[STEP])
    series: str | None
    model: str
    target: str
    last: str | int
    forecast: list[Step]


class Drift(BaseModel):
    """Mean absolute one-step errors of late, of the model and of the naive forecast; `worse`: the model has become
    worse than naive beyond chance."""

    model_config = example(**DRIFT)
    observed: int
    model: float | None
    naive: float | None
    ratio: float | None
    worse: bool


class Recent(BaseModel):
    """A row that was observed, with the forecasts made one step before."""

    time: str | int
    value: float | None
    forecast: float | None
    naive: float | None


class Series(BaseModel):
    """A live series: its newest time, how many rows came in, its newest rows, and how the model does."""

    model_config = example(
        series="IBM",
        last="2013-03-04",
        rows=250,
        drift=DRIFT,
        recent=[{"time": "2013-03-04", "value": 206.9, "forecast": 205.2, "naive": 203.0}],
    )
    series: str
    last: str | int
    rows: int
    drift: Drift
    recent: list[Recent]


class Listing(BaseModel):
    """A page of live series in the order of their names; `next` is the `after` of the next page, null on the last."""

    model_config = example(model="auto", target="High", count=5, series=["AAPL", "IBM"], next="IBM")
    model: str
    target: str
    count: int
    series: list[str]
    next: str | None


class Gone(BaseModel):
    """A series that is no longer live."""

    model_config = example(series="IBM", forgotten=True)
    series: str
    forgotten: bool


class State(BaseModel):
    """Whether the server lives, or takes work."""

    model_config = example(status="ok")
    status: str


class Problem(BaseModel):
    """What happened and what was expected, and what to do."""

    model_config = example(error="no series 'IMB' is live", hint="did you mean 'IBM'?")
    error: str
    hint: str
