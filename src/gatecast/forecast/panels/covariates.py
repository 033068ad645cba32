"""Which columns of a frame are what, and frames as what is `Given` at a cut-off."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import ENOUGH_TO_TELL, Calendar, Times
from gatecast.data.panel import Panel, time_text
from gatecast.data.read import read
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.panels.statics import Statics, fit_statics
from gatecast.prepare.fill import regular
from gatecast.prepare.given import Given


@dataclass(frozen=True)
class Covariates:
    """Columns known up to the cut-off (`past`) and beyond it (`future`); and names that are not the usual ones.

    Weather that was observed is known up to the cut-off only: beyond it there is a weather forecast at best, and a
    model that was fitted to observations should not be given one in their place. Holidays and prices that are set in
    advance are known.
    """

    past: tuple[str, ...]
    future: tuple[str, ...]
    id: str | None
    date: str | None
    target: str | None

    def __post_init__(self) -> None:
        both = sorted(set(self.past) & set(self.future))
        if both:
            raise SpecError(f"'{both[0]}' is named as past and as future", "a column is one of them")

    def named(self) -> dict[str, Any]:
        """The settings that made this."""
        return asdict(self)

    def statics(self, static_df: Any) -> Statics:
        """The facts of a frame of one row per series."""
        return fit_statics(static_df, self.id or "unique_id")

    def panel(self, data: Any, season: int | None) -> Panel:
        """The columns that are read of `data`, series in the order of their names."""
        panel = data if isinstance(data, Panel) else read(data, self.target, date=self.date, id=self.id, fill="last")
        return panel.by_name().columns_as((panel.target, *self.past, *self.future)).seasoned(season)

    def given(self, panel: Panel, h: int, static: Statics | None) -> Given:
        """What is given in a panel that stands on its calendar."""
        panel = regular(panel)
        facts = static.of(panel.ids) if static else np.zeros((len(panel), 0))
        return Given(panel, np.full((len(panel), h, len(self.future)), np.nan), facts)

    def ahead(self, given: Given, futr_df: Any, h: int) -> Given:
        """With the known-future columns of the next `h` rows of every series; DataError naming a missing row."""
        if not self.future and futr_df is None:
            return given
        if not self.future:
            raise ForecastError("futr_df was given, and the model reads no known-future column", "name them in future=")
        if futr_df is None:
            raise ForecastError(
                f"the model reads {', '.join(self.future)} of the {h} rows to forecast", "give them as futr_df"
            )
        later = read(futr_df, self.future[0], date=self.date, id=self.id, fill="last").columns_as(self.future)
        rows = given.ahead.copy()
        for s, name in enumerate(given.panel.ids):
            times = given.panel.calendar.future(given.panel.times[given.panel.indptr[s + 1] - 1], h)
            rows[s, :h] = _rows_at(later, name, times, len(given.panel) == 1)
        return replace(given, ahead=rows)


def _rows_at(later: Panel, name: str, times: Times, alone: bool) -> Float64[np.ndarray, "K F"]:
    """The rows of one series at these times."""
    if name not in later.ids and not (alone and len(later) == 1):
        raise DataError(f"futr_df has no rows of series '{name}'", f"it needs {len(times)} from {time_text(times[0])}")
    own = later.single() if alone and len(later) == 1 else later.series(name)
    at = np.searchsorted(own.times, times).clip(max=own.rows - 1)
    there = own.times[at] == times
    values = np.where(there[:, None], own.values[at], np.nan)
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        row, column = missing[0]
        what = f"column '{own.columns[column]}' at" if there[row] else "row at"
        raise DataError(
            f"futr_df, series '{name}': no {what} {time_text(times[row])} ({int((~there).sum())} of {len(times)} rows "
            "are missing)",
            "give a value for every row to forecast",
        )
    return values


def agreeing(panel: Panel, calendar: Calendar) -> Panel:
    """The panel, if its calendar is of this frequency; DataError if not. Series that are too short to tell get it."""
    found = panel.calendar
    if calendar.matches(found):
        return panel
    untold = int(np.diff(panel.indptr).max()) < ENOUGH_TO_TELL
    if untold and all(calendar.fits(series.times) for series in panel):
        return replace(panel, calendar=replace(calendar, period=found.period))
    raise DataError(
        f"{panel.source} is {found.label} ({found.alias}), and the model is for {calendar.label} ({calendar.alias})",
        "give the frequency of the data as freq, or leave it out",
    )


def on_calendar(panel: Panel, calendar: Calendar) -> Panel:
    """The panel on a model's own calendar; DataError naming a series that does not follow it."""
    stray = next((s for s in panel if not calendar.fits(s.times)), None)
    if stray is not None:
        raise DataError(
            f"series '{stray.ids[0]}' of {panel.source} does not follow the model's calendar: {calendar.label} "
            f"({calendar.alias})",
            "pass data of the same frequency",
        )
    return replace(panel, calendar=calendar)
