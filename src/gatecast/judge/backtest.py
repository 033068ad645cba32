"""`backtest`: models of a whole panel beside baselines at rolling origins, with a bootstrap of skill and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64

from gatecast.data.panel import Panel
from gatecast.forecast.panels.baselines import global_method
from gatecast.forecast.panels.kept import Following
from gatecast.forecast.panels.method import GlobalMethod, over_origins
from gatecast.judge.blocks import Coverage, block_length, block_means, coverages_of, enough_blocks, overlap_of
from gatecast.judge.panel_scores import PROBABILITIES, SCORES, row_scores
from gatecast.prepare.split import Origins

BASELINES = ("seasonal_naive", "drift", "global_ridge")
YARDSTICK = "seasonal_naive"
ORIGINS_ENOUGH = 20
"""From so many origins on, the bootstrap draws origins; below, series."""
SERIES_ENOUGH = 10
COVERAGE_ENOUGH = 50
"""From so many origins of a single series on, its coverage has bounds."""
KEYS = ("unique_id", "ds", "cutoff", "origin", "step")


@dataclass(frozen=True)
class Skill:
    """How much lower the mean MASE is than seasonal naive's, in per cent, its 95 % bounds, and how they were found."""

    model: str
    skill: float | None
    low: float | None
    high: float | None
    how: str

    @property
    def verdict(self) -> str:
        """The same as a sentence."""
        if self.skill is None:
            return f"no comparison: {YARDSTICK} makes no error here"
        said = f"MASE {abs(self.skill):.1f} % {'lower' if self.skill >= 0 else 'higher'} than {YARDSTICK}"
        if self.low is None or self.high is None:
            return f"{said} ({self.how})"
        word = "better: " if self.low > 0 else "worse: " if self.high < 0 else "not better: "
        return f"{word}{said} (95 % interval of the gain {self.low:.1f} to {self.high:.1f} %; {self.how})"


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts of every model at every origin, and their scores; `models` in the order they were given.

    `panel`: the rows that were judged on. `frame`: one row per series, origin and step: `unique_id, ds, cutoff, origin,
    step, y` and for every model its forecast and its bounds of 80 and 95 per cent. `rows`: the same with the scores of
    every model.
    """

    frame: pd.DataFrame
    rows: pd.DataFrame
    models: tuple[str, ...]
    h: int
    panel: Panel
    told: tuple[str, ...]

    def scores(self, by: Sequence[str] = ()) -> pd.DataFrame:
        """Mean scores of every model, or of every model and each value of some of `unique_id, cutoff, step`.

        MASE, CRPS (the mean pinball loss of nine quantiles, doubled) in units of the series' seasonal naive error
        before the origin; sMAPE in 0..200; MAE and RMSE in the series' own unit; the per cent of truths inside the
        intervals. A series at an origin counts once, however many of its truths are known.
        """
        keys = ["model", *by]
        one = self.rows.groupby([*keys, *(k for k in ("unique_id", "origin") if k not in keys)], sort=False)
        means = one[list(SCORES)].mean().groupby(keys, sort=False).mean()
        means["RMSE"] = np.sqrt(means["RMSE"])
        return means.reset_index()

    def skills(self) -> tuple[Skill, ...]:
        """Every model but seasonal naive against it."""
        mase = self.rows.pivot_table(index=["unique_id", "origin"], columns="model", values="MASE", aggfunc="mean")
        return tuple(self._skill(name, mase) for name in self.models if name != YARDSTICK)

    def _skill(self, name: str, mase: pd.DataFrame) -> Skill:
        return Skill(name, *gain_of(mase[[name, YARDSTICK]], overlap_of(self.frame)))

    def coverages(self) -> tuple[Coverage, ...]:
        """Bounds around the coverage of a single series at 50 origins or more, by model and level; else none.

        Source: `judge.blocks`, drawn as the skill is.
        """
        if len(self.panel) > 1 or self.frame["origin"].nunique() < COVERAGE_ENOUGH:
            return ()
        groups = self.rows.groupby("model")
        return tuple(each for name in self.models for each in coverages_of(name, groups.get_group(name)))

    def conclusions(self) -> tuple[Skill | Coverage, ...]:
        """Every skill, and then every coverage that has bounds."""
        return (*self.skills(), *self.coverages())


def backtest(
    model: GlobalMethod,
    data: Any,
    origins: Origins | None = None,
    *,
    beside: Sequence[str] = (),
    refit: bool = True,
    static_df: Any = None,
    watch: Following | None = None,
) -> Backtest:
    """Judge a model of a panel at rolling origins beside seasonal naive, drift and the global ridge.

    `beside`: more models, such as "AutoETS", "AutoTheta" or "AutoARIMA" (`pip install gatecast[classics]`). All take
    horizon, season and columns from `model`, which stays as it is. With `refit` everything that is learned or decided
    is learned anew at every origin, and every origin of every model is a task of its own for joblib: in parallel under
    `joblib.parallel_config(n_jobs=...)`, on other machines with a backend such as "dask" or "ray". `watch` says who
    follows, and where finished origins are kept.

    >>> from gatecast.data.synthetic import sine
    >>> found = backtest(global_method("drift", 4), sine(80, period=8), Origins(3))
    >>> list(found.models), found.frame["origin"].nunique()
    (['drift', 'seasonal_naive', 'global_ridge'], 3)
    """
    chosen, watch = origins or Origins(), watch or Following()
    names = dict.fromkeys([*beside, *BASELINES])
    settings = {"season": model.season, **model.covariates.named()}
    methods = [model, *(global_method(name, model.h, **settings) for name in names if name != model.name)]
    given, cuts = model.origins_of(data, chosen, static_df)
    watch.tick.begin("backtest", len(methods) * len(cuts))
    tables = [
        pd.concat([pd.DataFrame(table).assign(origin=o) for o, table in enumerate(found)], ignore_index=True)
        for found in over_origins(methods, given, cuts, PROBABILITIES, refit, watch)
    ]
    step = np.arange(len(tables[0])) % model.h + 1
    models = tuple(method.name for method in methods)
    frame = tables[0][["unique_id", "ds", "cutoff", "origin"]].assign(step=step, y=tables[0]["y"])
    scores = []
    for name, table in zip(models, tables, strict=True):
        bounds = [f"{name}-{end}-{level}" for level in (80, 95) for end in ("lo", "hi")]
        frame = frame.assign(**{column: table[column] for column in (name, *bounds)})
        scores.append(frame[list(KEYS)].assign(model=name, **row_scores(table, name)))
    rows = pd.concat(scores, ignore_index=True)
    return Backtest(frame, rows, models, model.h, given.panel, _told(frame, given.panel.notes))


class Gain(NamedTuple):
    """How much lower the mean error is, in per cent, its 95 % bounds where there are any, and how they were found."""

    percent: float | None
    low: float | None
    high: float | None
    how: str


def gain_of(errors: pd.DataFrame, overlap: int) -> Gain:
    """The gain of the first column over the second, by `unique_id` and `origin`; `overlap` origins share a truth."""
    both = errors.dropna()
    mine, other = both.mean()
    if not other > 0:
        return Gain(None, None, None, "")
    gain = float(100 * (1 - mine / other))
    origins, series = (both.groupby(level=level).mean().to_numpy() for level in ("origin", "unique_id"))
    count = f"{len(origins)} origin{'s' if len(origins) > 1 else ''}"
    block = block_length(len(origins), overlap)
    if len(origins) >= ORIGINS_ENOUGH and enough_blocks(len(origins), block):
        how = f"moving blocks of {block} of {count}"
    elif len(series) >= SERIES_ENOUGH:
        origins, block = series, 1
        how = f"drawn from {len(series)} series, as if they were independent; {count}"
    else:
        return Gain(gain, None, None, f"{count} and {len(series)} series: too few for an interval")
    low, high = np.percentile(block_bootstrap(origins, block), [2.5, 97.5])
    return Gain(gain, float(low), float(high), how)


def block_bootstrap(pairs: Float64[np.ndarray, "n 2"], block: int) -> Float64[np.ndarray, "draws"]:
    """The skill in per cent of resampled (model, yardstick) errors, drawn in blocks of neighbours.

    >>> float(block_bootstrap(np.tile([1.0, 2.0], (20, 1)), 3).mean())
    50.0
    """
    means = block_means(pairs, block)
    return np.asarray(100 * (1 - means[:, 0] / means[:, 1]))


def _told(frame: pd.DataFrame, notes: tuple[str, ...]) -> tuple[str, ...]:
    """What was judged, in sentences."""
    cutoffs = frame.groupby("origin")["cutoff"].agg(["min", "max"])
    same = bool((cutoffs["min"] == cutoffs["max"]).all())
    kind = "one cut-off for all series" if same else "every series has cut-offs of its own"
    series, count = frame["unique_id"].nunique(), len(cutoffs)
    return (f"{series} series, {count} origin{'s' if count > 1 else ''}, {frame['step'].max()} steps; {kind}", *notes)
