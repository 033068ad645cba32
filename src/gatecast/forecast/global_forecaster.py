"""`GlobalForecaster`: one recurrent model for all series of a panel, a correction of a closed-form linear forecast."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, SupportsIndex

import narwhals as nw
import numpy as np
from jaxtyping import Float64

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.data.read import read
from gatecast.errors import DataError, ForecastError, SpecError
from gatecast.forecast.bands import Scores, probabilities
from gatecast.forecast.candidates import GROUPS, Choice, judge, train_parts
from gatecast.forecast.rules import candidates_for, sizes_for
from gatecast.prepare.fill import regular
from gatecast.prepare.scale import error_scale
from gatecast.prepare.split import horizon_after, without_last

Numbers = Sequence[float | int]


class GlobalForecaster:
    """Direct forecasts of `h` steps for every series of a panel, from one global model.

    At each anchor the model reads the whole look-back window of a series, relative to its newest level, and the paths
    of a bank of exponential smoothers. A ridge on them gives the first forecast; a GRU or LSTM over the anchors
    learns its correction under absolute error. Candidates (logarithm or not, GRU or LSTM) and the number of training
    steps are chosen on the last two horizons of every series (one, where series are short); then the kept ones are
    trained again on everything, and the forecast is the median over all networks. Intervals come from the errors there.

    `season`: the seasonal period in rows, where it is not the calendar's (integer time has none). After `fit`:
    `panel_`; `rules_`, what was derived from the data, and why; `choices_`, `parts_`, `scores_`.

    >>> from gatecast.data.synthetic import sine
    >>> model = GlobalForecaster(h=12).fit(sine(200, period=12))
    >>> list(model.predict().columns)
    ['unique_id', 'ds', 'Gatecast']
    """

    name = "Gatecast"
    _backend: Any = nw.Implementation.PANDAS
    _numbered = False

    def __init__(self, h: SupportsIndex, *, season: SupportsIndex | None = None) -> None:
        self.h = _whole("h", h)
        self.season = None if season is None else _whole("season", season)

    def fit(self, data: Any, *, seed: int = 0) -> GlobalForecaster:
        """Learn from a Panel or a long frame `unique_id, ds, y`; forgets any earlier fit and returns self.

        Missing values are masked, never filled. `seed` decides every random draw; the order of the series does not
        matter. Raises DataError for a series without any value.
        """
        panel = _panel(data, self.season)
        sizes, why_sizes = sizes_for(panel, self.h)
        candidates, why_candidates = candidates_for(panel)
        choices, errors, horizons = judge(panel, sizes, candidates, seed)
        self.parts_ = train_parts(panel, sizes, choices, seed)
        self.panel_, self.choices_, self.scores_ = panel, choices, Scores(errors)
        self.rules_ = (why_sizes, why_candidates, _told(choices, self.h, horizons))
        self._backend, self._numbered = _kind(data)
        return self

    def predict(
        self,
        data: Any = None,
        *,
        h: int | None = None,
        level: Numbers | float | int = (),
        quantiles: Numbers | float | int = (),
    ) -> Any:
        """The next `h` times (all, or fewer) of every series, or of the series in `data`, as a frame of that kind.

        Columns `unique_id`, `ds`, `Gatecast`; for every level of per cent `Gatecast-lo-90` and `Gatecast-hi-90`, or for
        every quantile in 0..1 `Gatecast-q-0.9`. `data` may be newer rows or other series on the same calendar; the
        networks stay as they are. Raises ForecastError for more steps than were fitted, or where too few values were
        held back for a level.
        """
        self.fitted()
        h = self.h if h is None else h
        if not 1 <= h <= self.h:
            raise ForecastError(
                f"{self.name} was fitted to forecast {self.h} steps at once, {h} asked for", f"fit it with h={h}"
            )
        wanted = probabilities(_numbers(level), _numbers(quantiles))
        model = self if data is None else self._over(data)
        columns = model._columns(wanted)
        shown = np.tile(np.arange(self.h) < h, len(model.panel_))
        return nw.from_dict({name: c[shown] for name, c in columns.items()}, backend=model._backend).to_native()

    def cross_validation(self, data: Any, *, windows: int = 1, level: Numbers | float | int = (), seed: int = 0) -> Any:
        """Forecast each of the last `windows` horizons of every series from what precedes it, fitted anew each time.

        Columns as in `predict`, with `cutoff`, the last known time, and `y`, the truth. Series without as many rows are
        left out where they are too short. Nothing of this model changes.
        """
        panel, wanted, tables = _panel(data, self.season), probabilities(_numbers(level), ()), []
        for window in range(_whole("windows", windows), 0, -1):
            known, judged = without_last(panel, self.h, 1, window)
            known = known.where(np.repeat(np.isin(np.arange(len(known)), judged), np.diff(known.indptr)))
            known = known.without_empty()
            if not len(known):
                raise DataError(f"no series of {panel.source} has {window} horizons of {self.h} rows to give away")
            fold = GlobalForecaster(self.h, season=self.season).fit(known, seed=seed)
            fold._numbered = _kind(data)[1]
            columns = fold._columns(wanted)
            cutoffs = np.repeat(known.times[known.indptr[1:] - 1], self.h)
            truth = horizon_after(panel, judged, self.h, window).reshape(-1)
            tables.append({**columns, "cutoff": cutoffs, "y": truth})
        whole = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return nw.from_dict(whole, backend=_kind(data)[0]).to_native()

    def fitted(self) -> Panel:
        """The panel that was learned from; ForecastError before `fit`."""
        if not hasattr(self, "panel_"):
            raise ForecastError(f"{self.name} has not learned anything yet", "call fit(panel) first")
        return self.panel_

    def summary(self) -> str:
        """What was derived from the data, and what was trained."""
        networks = [net for part in self.parts_ for net in part.nets]
        count = sum(len(net.skip) for net in networks)
        weights = sum(p.numel() for net in networks for p in net.parameters())
        return "\n".join(
            [
                f"{len(self.fitted())} series, {self.h} steps ahead",
                *self.rules_,
                f"{count} networks, {weights:,} weights",
            ]
        )

    def _over(self, data: Any) -> GlobalForecaster:
        """This model over other data."""
        panel = _panel(data, self.season, self.panel_.calendar)
        if all(part.transform.log for part in self.parts_) and (panel.values < 0).any():
            raise DataError(f"{panel.source} has negative values, and the model learned positive ones", "fit again")
        model = copy.copy(self)
        model.panel_ = panel
        model._backend, model._numbered = _kind(data)
        model.parts_ = tuple(part.over(panel) for part in self.parts_)
        return model

    def _columns(self, wanted: dict[str, float]) -> dict[str, Any]:
        panel = self.fitted()
        bounds = self.scores_.quantiles(list(wanted.values()))
        if np.isnan(bounds).any():
            count = int(np.isfinite(self.scores_.values).sum())
            raise ForecastError(
                f"{count} errors were held back, too few for {', '.join(wanted)}",
                "ask for a lower level, or for none; longer or more series give more errors",
            )
        middle = self._middle()
        scale = error_scale(panel)[:, None]
        last, of = np.unique(panel.times[panel.indptr[1:] - 1], return_inverse=True)
        ahead = np.stack([panel.calendar.future(each, self.h) for each in last])  # [distinct ends, K]
        return {
            "unique_id": np.repeat(np.array(panel.ids, dtype=np.int64 if self._numbered else None), self.h),
            "ds": ahead[of].reshape(-1),
            self.name: middle.reshape(-1),
            **{
                f"{self.name}-{suffix}": (middle + scale * q).reshape(-1)
                for suffix, q in zip(wanted, bounds, strict=True)
            },
        }

    def _middle(self) -> Float64[np.ndarray, "S K"]:
        """The median over all networks."""
        everyone = np.arange(len(self.panel_))
        paths = [part.paths(group, everyone) for part in self.parts_ for group in range(GROUPS)]
        return np.median(np.concatenate(paths), axis=0)


def _panel(data: Any, season: int | None, calendar: Calendar | None = None) -> Panel:
    """The target of every series on the calendar (a model's own, if given), in the order of their names."""
    panel = (data if isinstance(data, Panel) else read(data, fill="last")).by_name()
    panel = panel.columns_as((panel.target,)).seasoned(season)
    if calendar is not None:
        stray = next((s for s in panel if not calendar.fits(s.times)), None)
        if stray is not None:
            raise DataError(
                f"series '{stray.ids[0]}' of {panel.source} does not follow the model's calendar: {calendar.label} "
                f"({calendar.alias})",
                "pass data of the same frequency",
            )
        panel = replace(panel, calendar=calendar)
    return regular(panel)


def _whole(name: str, value: Any) -> int:
    """A count of at least 1."""
    try:
        count = operator.index(value)
    except TypeError as cause:
        raise SpecError(f"{name}={value!r}, expected a whole number") from cause
    if count < 1:
        raise SpecError(f"{name}={count}, expected at least 1")
    return count


def _numbers(given: Numbers | float | int) -> tuple[float, ...]:
    return tuple(map(float, [given] if isinstance(given, int | float) else given))


def _kind(data: Any) -> tuple[Any, bool]:
    """The frame library of `data` (pandas for a Panel or a path), and whether its series are numbered, not named."""
    frame = nw.from_native(data, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return nw.Implementation.PANDAS, False
    return frame.implementation, "unique_id" in frame.columns and frame.schema["unique_id"].is_integer()


def _told(choices: tuple[Choice, ...], h: int, horizons: int) -> str:
    found = ", ".join(
        f"{c.candidate.name} {c.mase:.3f} after {c.steps} steps{'' if c.kept else ' (left out)'}" for c in choices
    )
    return f"MASE on the last {f'{horizons} times ' if horizons > 1 else ''}{h} rows of every series: {found}"
