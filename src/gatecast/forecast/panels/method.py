"""What every model of a whole panel has in common: frames in, frames out, intervals, and rolling origins."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeVar

import narwhals as nw
import numpy as np
from jaxtyping import Float64, Shaped

from gatecast.data.calendar import Calendar, Times
from gatecast.data.panel import Panel
from gatecast.errors import ForecastError, SpecError
from gatecast.forecast.panels.bands import Scores, probabilities
from gatecast.forecast.panels.covariates import Covariates, agreeing, on_calendar
from gatecast.forecast.panels.kept import Columns, Following, Nowhere, data_key, part_key
from gatecast.forecast.panels.statics import Statics
from gatecast.prepare.given import Given
from gatecast.prepare.scale import error_scale
from gatecast.prepare.split import By, Cut, Origins, horizon_after, origins
from gatecast.train.farm import as_they_end
from gatecast.train.lockstep import MEDIAN, Tick

if TYPE_CHECKING:
    from gatecast.forecast.streams.stream import Stream

Numbers = Sequence[float | int] | float | int
Scale = Float64[np.ndarray, "V"]
M = TypeVar("M", bound="GlobalMethod")


class Places(NamedTuple):
    """Where forecasts start: the series, their last known times, and what their errors are measured by."""

    ids: Shaped[np.ndarray, "V"]
    ends: Times
    scale: Scale


PANDAS = (nw.Implementation.PANDAS, False)


class GlobalMethod:
    """Forecasts `h` steps of every series at once. Subclasses learn and say quantiles.

    `past`, `future`: numeric columns known up to the cut-off, and known ahead too. `id`, `date` and `target` name the
    columns of frames where the usual names are not used.
    """

    name = ""
    calendar: Calendar | None = None
    """What the data must follow; None: whatever they do."""

    def __init__(
        self,
        h: SupportsIndex,
        *,
        season: SupportsIndex | None = None,
        past: Sequence[str] = (),
        future: Sequence[str] = (),
        id: str | None = None,
        date: str | None = None,
        target: str | None = None,
    ) -> None:
        self.h = counted("h", h)
        self.season = None if season is None else counted("season", season)
        self.covariates = Covariates(tuple(past), tuple(future), id, date, target)
        self._kind: tuple[Any, bool] = PANDAS

    def fit(
        self: M,
        data: Any,
        *,
        static_df: Any = None,
        seed: int = 0,
        val_size: int | None = None,
        watch: Tick | None = None,
    ) -> M:
        """Learn from a Panel, a path or a long frame; forgets any earlier fit and returns self.

        Columns: a series name, a time, the target and the covariates that the model was told of; other columns are
        left out. `static_df`: one row per series, numbers or words. Missing values are masked, never filled. `seed`
        decides every random draw; the order of the series does not matter. `val_size`: rows held back to choose by and
        to calibrate intervals, h or 2h (the rule: 2h, where the series are long enough). `watch` is told how far
        training is. Raises DataError for a series without any value.
        """
        if val_size not in (None, self.h, 2 * self.h):
            raise SpecError(f"val_size={val_size}, expected {self.h} or {2 * self.h}: one horizon or two")
        self.static_ = self.covariates.statics(static_df)
        given = self.given_of(data, self.static_)
        self._kind = _kind(data, self.covariates.id or "unique_id")
        self._learn_all(given, seed, 2 if val_size is None else val_size // self.h, watch or Tick())
        return self

    def predict(
        self,
        data: Any = None,
        *,
        h: SupportsIndex | None = None,
        futr_df: Any = None,
        static_df: Any = None,
        level: Numbers = (),
        quantiles: Numbers = (),
    ) -> Any:
        """The next `h` times (all, or fewer) of every series, or of the series in `data`, as a frame of that kind.

        Columns `unique_id`, `ds`, `Gatecast`; for every level of per cent `Gatecast-lo-90` and `Gatecast-hi-90`, or for
        every quantile in 0..1 `Gatecast-q-0.9`. `data` may be newer rows or other series on the same calendar (with
        `static_df` where the model reads such facts of new series); nothing is learned from them. `futr_df` holds the
        known-future columns of all h rows ahead. Raises ForecastError for more steps than were fitted, DataError
        where a row of `futr_df` is missing.
        """
        h = self.h if h is None else counted("h", h)
        if h > self.h:
            raise ForecastError(
                f"{self.name} was fitted to forecast {self.h} steps at once, {h} asked for", f"fit it with h={h}"
            )
        wanted = probabilities(_numbers(level), _numbers(quantiles))
        given, kind = self._asked(data, futr_df, static_df, h)
        model = self if given is self.given_ else self._onto(given)
        shown = np.tile(np.arange(self.h) < h, len(given.panel))
        columns = model.columns_of(model._paths(), model._places(), wanted)
        return self._frame({name: c[shown] for name, c in columns.items()}, kind)

    def stream(self, history: Any = None, *, static_df: Any = None) -> Stream:
        """Live series that go on from `history` (read as by `predict`; without, from what was fitted): see `Stream`."""
        from gatecast.forecast.streams.opening import empty_stream  # streams know the models

        return empty_stream(self).begin(history, static_df=static_df)

    def over(self: M, data: Any, static_df: Any = None) -> M:
        """The same model over newer rows or other series, as `predict(data)` reads them; nothing is learned."""
        return self._onto(self.reading(data, static_df))

    def medians(self, given: Given) -> Float64[np.ndarray, "S K"]:
        """The forecasts of every series of what is given, in original units."""
        return self._onto(given)._paths()[..., MEDIAN]

    def cross_validation(
        self,
        data: Any,
        *,
        n_windows: SupportsIndex = 1,
        step_size: SupportsIndex | None = None,
        refit: bool = True,
        by: By = "auto",
        static_df: Any = None,
        level: Numbers = (),
    ) -> Any:
        """Forecast `h` steps from each of `n_windows` origins, `step_size` rows apart (h), the last with h rows after.

        Columns as in `predict`, with `cutoff`, the last known time, and `y`, the truth (NaN where there is none). With
        `refit` everything is learned anew at every origin, else once, at the first, scales included. `by` says what an
        origin is: a date for all series, or a row counted back in each (see `prepare.split.origins`). Folds run in
        parallel under `joblib.parallel_config(n_jobs=...)`. Nothing of this model changes.
        """
        wanted = probabilities(_numbers(level), ())
        step = None if step_size is None else counted("step_size", step_size)
        given, cuts = self.origins_of(data, Origins(counted("n_windows", n_windows), step, by), static_df)
        (tables,) = over_origins([self], given, cuts, wanted, refit)
        joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0] if name != "scale"}
        return self._frame(joined, _kind(data, self.covariates.id or "unique_id"))

    def origins_of(self, data: Any, wanted: Origins, static_df: Any = None) -> tuple[Given, tuple[Cut, ...]]:
        """What `data` say, and the origins that were asked for."""
        given = self.given_of(data, self.covariates.statics(static_df))
        return given, origins(given.panel, self.h, wanted)

    def once(self, given: Given, cuts: Sequence[Cut], wanted: dict[str, float]) -> Iterator[Columns]:
        """Learn at the first origin, and forecast from each: judged series, `cutoff`, `y`, and what errors are
        measured by, `scale`."""
        self._learn_all(given.cut(cuts[0].kept).without_empty(), 0, 2, Tick())
        for cut, paths in zip(cuts, self._later(given, cuts), strict=True):
            scale = _scale_at(given, cut)
            ids = np.array(given.panel.ids)[cut.judged]
            ends = given.panel.times[(given.panel.indptr[:-1] + cut.kept - 1)[cut.judged]]
            yield {
                **self.columns_of(paths, Places(ids, ends, scale), wanted),
                "cutoff": np.repeat(ends, self.h),
                "y": horizon_after(given.panel, cut, self.h).reshape(-1),
                "scale": np.repeat(scale, self.h),
            }

    def fitted(self) -> Given:
        """What was learned from; ForecastError before `fit`."""
        if not hasattr(self, "given_"):
            raise ForecastError(f"{self.name} has not learned anything yet", "call fit(panel) first")
        return self.given_

    @property
    def panel_(self) -> Panel:
        """The rows that were learned from."""
        return self.fitted().panel

    def settings(self) -> dict[str, Any]:
        """What the model was told, beside its horizon: plain values and dataclasses of them."""
        return {"season": self.season, **self.covariates.named()}

    def unfitted(self: M) -> M:
        """A model of the same settings that has not learned anything."""
        return type(self)(self.h, **self.settings())

    # -- what subclasses do -------------------------------------------------------------------------------------------

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        """Learn; returns the held-back scores of at most so many horizons."""
        raise NotImplementedError

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        """The quantiles of every step after `given_`, in rising order, before calibration."""
        raise NotImplementedError

    def _onto(self: M, given: Given) -> M:
        """A copy over other data."""
        model = copy.copy(self)
        model.given_ = given
        return model

    def _later(self, given: Given, cuts: Sequence[Cut]) -> Iterator[Float64[np.ndarray, "V K Q"]]:
        """The quantiles of the judged series at every origin, from what was learned."""
        for cut in cuts:
            known = given.cut(cut.kept).without_empty()
            places = (np.cumsum(cut.kept > 0) - 1)[cut.judged]  # of the judged series among those with a row
            yield self._onto(known)._paths()[places]

    def _learn_all(self, given: Given, seed: int, horizons: int, tick: Tick) -> None:
        self.given_ = given
        self.scores_ = self._learn(given, seed, horizons, tick)

    def given_of(self, data: Any, static: Statics) -> Given:
        """What `data` say to learn from."""
        panel = self.covariates.panel(data, self.season)
        return self.covariates.given(agreeing(panel, self.calendar) if self.calendar else panel, self.h, static)

    def reading(self, data: Any, static_df: Any = None) -> Given:
        """What `data` of fitted or other series say to go on from."""
        static = self.static_ if static_df is None else self.static_.others(static_df)
        panel = on_calendar(self.covariates.panel(data, self.season), self.fitted().panel.calendar)
        return self.covariates.given(panel, self.h, static)

    def _asked(self, data: Any, futr_df: Any, static_df: Any, h: int) -> tuple[Given, tuple[Any, bool]]:
        """What a forecast is asked from (what was learned from, without data), and the caller's kind of frame."""
        given, kind = self.fitted(), self._kind
        if data is not None:
            given, kind = self.reading(data, static_df), _kind(data, self.covariates.id or "unique_id")
        elif static_df is not None:
            raise ForecastError("static_df goes with data of new series", "the model keeps what it was fitted with")
        return self.covariates.ahead(given, futr_df, h), kind

    def _places(self) -> Places:
        panel = self.panel_
        return Places(np.array(panel.ids), panel.times[panel.indptr[1:] - 1], error_scale(panel))

    def columns_of(self, paths: Float64[np.ndarray, "V K Q"], places: Places, wanted: dict[str, float]) -> Columns:
        """Forecasts and bounds from some places on."""
        rising = sorted(wanted, key=lambda suffix: wanted[suffix])
        bounds = self.scores_.bounds(paths, places.scale, list(wanted.values()))
        found = dict(zip(rising, bounds, strict=True))
        last, of = np.unique(places.ends, return_inverse=True)
        ahead = np.stack([self.panel_.calendar.future(each, self.h) for each in last])  # [distinct ends, K]
        return {
            "unique_id": np.repeat(places.ids, self.h),
            "ds": ahead[of].reshape(-1),
            self.name: paths[..., MEDIAN].reshape(-1),
            **{f"{self.name}-{suffix}": found[suffix].reshape(-1) for suffix in wanted},
        }

    def _frame(self, columns: Columns, kind: tuple[Any, bool]) -> Any:
        """A frame of the caller's kind, under the caller's names."""
        backend, numbered = kind
        names = {"unique_id": self.covariates.id or "unique_id", "ds": self.covariates.date or "ds"}
        columns = {names.get(name, name): column for name, column in columns.items()}
        if numbered:
            columns[names["unique_id"]] = columns[names["unique_id"]].astype(np.int64)
        return nw.from_dict(columns, backend=backend).to_native()


def ahead_of(model: M, data: Any, futr_df: Any, static_df: Any) -> M:
    """The same model over all that `predict` with these arguments reads for its whole horizon."""
    return model._onto(model._asked(data, futr_df, static_df, model.h)[0])


class Share(NamedTuple):
    """A model's share of a backtest: the origins that it learns once for, the first of them."""

    method: GlobalMethod
    cuts: tuple[Cut, ...]

    def key(self, data: str, wanted: dict[str, float]) -> str:
        """What this share depends on."""
        method = self.method
        kind = f"{type(method).__module__}.{type(method).__qualname__} {method.name}"
        return part_key((kind, method.h, method.settings()), data, self.cuts, wanted)


def over_origins(
    methods: Sequence[GlobalMethod],
    given: Given,
    cuts: Sequence[Cut],
    wanted: dict[str, float],
    refit: bool,
    watch: Following | None = None,
) -> list[list[Columns]]:
    """For every method one table for every origin; the methods stay as they are.

    With `refit` each origin of each method is a task of its own for joblib, else each method is one. A task that is
    kept from an earlier run is not run again.
    """
    watch = watch or Following()
    groups = [(cut,) for cut in cuts] if refit else [tuple(cuts)]
    shares = [Share(method.unfitted(), group) for method in methods for group in groups]
    keeps = not isinstance(watch.kept, Nowhere)
    data = data_key(given) if keeps else ""
    keys = [share.key(data, wanted) if keeps else "" for share in shares]
    found = {n: tables for n, key in enumerate(keys) if (tables := watch.kept.read(key)) is not None}
    for tables in found.values():
        _count(watch.tick, len(tables))
    left = [n for n in range(len(shares)) if n not in found]
    for place, tables in as_they_end(partial(_learned, given, wanted), [shares[n] for n in left]):
        watch.kept.write(keys[left[place]], tables)
        found[left[place]] = tables
        _count(watch.tick, len(tables))
    of = len(groups)
    return [[table for n in range(m * of, (m + 1) * of) for table in found[n]] for m in range(len(methods))]


def _scale_at(given: Given, cut: Cut) -> Scale:
    """The error scale of the judged series by what is known at an origin: the same for every model."""
    places = (np.cumsum(cut.kept > 0) - 1)[cut.judged]
    return error_scale(given.cut(cut.kept).without_empty().panel)[places]


def _learned(given: Given, wanted: dict[str, float], share: Share) -> list[Columns]:
    return list(share.method.unfitted().once(given, share.cuts, wanted))


def _count(tick: Tick, steps: int) -> None:
    for _ in range(steps):
        tick.step()


def counted(name: str, value: Any) -> int:
    """A count of at least 1; SpecError naming what is none."""
    try:
        count = operator.index(value)
    except TypeError as cause:
        raise SpecError(f"{name}={value!r}, expected a whole number") from cause
    if count < 1:
        raise SpecError(f"{name}={count}, expected at least 1")
    return count


def _numbers(given: Numbers) -> tuple[float, ...]:
    return tuple(map(float, [given] if isinstance(given, int | float) else given))


def _kind(data: Any, id_: str) -> tuple[Any, bool]:
    """The frame library of `data` (pandas for a Panel or a path), and whether its series are numbered, not named."""
    frame = nw.from_native(data, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return PANDAS
    return frame.implementation, id_ in frame.columns and frame.schema[id_].is_integer()
