"""What `tune` may try, and how a choice is scored: for a panel and for one series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from gatecast.errors import DataError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.kept import data_key
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.plan import AUTO, Recipe
from gatecast.prepare.given import Given
from gatecast.prepare.scale import error_scale
from gatecast.prepare.split import Cut, Origins, horizon_after, origins
from gatecast.train.settings import Training

Params = Mapping[str, Any]
DIRECT, SEQUENCE = "direct", "sequence"


@runtime_checkable
class Trial(Protocol):
    """What Optuna's trials are asked for."""

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        """One of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        """A number between two bounds."""


@dataclass(frozen=True)
class PanelSpace:
    """For many series: a direct model without some of its ingredients, or a sequence model of one of these stacks."""

    ingredients: tuple[str, ...] = ("recurrence", "smoothers", "calendar", "logarithm", "rival")
    sequence: tuple[str, ...] = ("gru:32", "lstm:32", "lstm:64")

    @property
    def auto(self) -> dict[str, Any]:
        """The automatic recipe."""
        return {"kind": DIRECT, **dict.fromkeys(self.ingredients, True)}

    def suggest(self, trial: Trial) -> None:
        """Choose."""
        if trial.suggest_categorical("kind", (DIRECT, SEQUENCE)[: 1 + bool(self.sequence)]) == SEQUENCE:
            trial.suggest_categorical("spec", self.sequence)
            return
        for name in self.ingredients:
            trial.suggest_categorical(name, (True, False))

    def model(self, params: Params, h: int, told: Params) -> GlobalMethod:
        """What was chosen."""
        if params["kind"] == SEQUENCE:
            return SequenceForecaster(h, params["spec"], **told)
        return GlobalForecaster(h, without=[name for name in self.ingredients if not params[name]], **told)


@dataclass(frozen=True)
class SeriesSpace:
    """For one series: the automatic model, or a stack with its look-back, dropout, transform and learning rate."""

    specs: tuple[str, ...] = ("gru:16", "gru:32", "lstm:32", "lstm:64")
    lookbacks: tuple[int, ...] = (10, 20, 40, 80)
    dropouts: tuple[float, ...] = (0.0, 0.1, 0.2)
    transforms: tuple[str, ...] = ("standard", "difference", "logreturn", "minmax")
    rates: tuple[float, float] = (3e-4, 1e-2)
    epochs: int = 50

    @property
    def auto(self) -> dict[str, Any]:
        """The automatic recipe."""
        return {"spec": AUTO}

    def suggest(self, trial: Trial) -> None:
        """Choose."""
        if trial.suggest_categorical("spec", (AUTO, *self.specs)) != AUTO:
            trial.suggest_categorical("lookback", self.lookbacks)
            trial.suggest_categorical("dropout", self.dropouts)
            trial.suggest_categorical("transform", self.transforms)
            trial.suggest_float("rate", *self.rates, log=True)

    def model(self, params: Params, h: int, told: Params) -> Forecaster:
        """What was chosen."""
        if params["spec"] == AUTO:
            return Forecaster(h=h)
        training = Training(learning_rate=params["rate"], epochs=self.epochs)
        recipe = Recipe(transform=params["transform"], training=training)
        return Forecaster(
            params["spec"], h=h, lookback=params["lookback"], dropout=params["dropout"], recipe=recipe, **told
        )


Space = PanelSpace | SeriesSpace
Span = tuple[Cut, ...]
"""Origins that are forecast from by what is learned before the first of them."""


class Case:
    """Data, a horizon and a space: spans to judge on, and the errors of a choice there. `told`: what is not tuned."""

    def __init__(self, given: Given, h: int, space: Space, told: Params) -> None:
        self.given, self.h, self.space, self.told = given, h, space, told

    def key(self) -> str:
        """A digest of the data, with horizon, space and what was told."""
        return f"{data_key(self.given)} h={self.h} {self.space} {dict(self.told)}"

    def spans(self, folds: int, windows: int) -> tuple[tuple[Span, ...], Span]:
        """The last `windows` origins, which test, and before them so many spans of as many together, which choose."""
        each = max(1, windows // folds)
        every = origins(self.given.panel, self.h, Origins(folds * each + windows))
        for cut in every:
            if not np.isfinite(horizon_after(self.given.panel, cut, self.h)).any():
                raise DataError(
                    f"no value is known in the {self.h} rows after one of the last {len(every)} origins",
                    "ask for fewer of them, or leave the rows at the end out",
                )
        return tuple(every[n * each : (n + 1) * each] for n in range(folds)), every[folds * each :]

    def model(self, params: Params) -> Any:
        """The model of a choice."""
        return self.space.model(params, self.h, self.told)

    def errors(self, params: Params, span: Span, seed: int) -> pd.DataFrame:
        """Mean absolute scaled errors (MASE), in the column `error`, by `unique_id` and `origin`."""
        model = self.model(params)
        rows = self._window(model, span, seed) if isinstance(model, Forecaster) else self._global(model, span)
        return rows.groupby(["unique_id", "origin"]).mean()

    def _global(self, model: GlobalMethod, span: Span) -> pd.DataFrame:
        tables = [
            pd.DataFrame(
                {
                    "unique_id": table["unique_id"],
                    "origin": table["cutoff"],
                    "error": np.abs(table["y"] - table[model.name]) / table["scale"],
                }
            )
            for table in model.once(self.given, span, {})
        ]
        return pd.concat(tables, ignore_index=True)

    def _window(self, model: Forecaster, span: Span, seed: int) -> pd.DataFrame:
        known, tables = self.given.cut(span[0].kept).panel, []
        model.fit(known, seed=seed)
        for cut in span:
            seen = self.given.cut(cut.kept).panel
            off = horizon_after(self.given.panel, cut, self.h)[0] - model.predict(self.h, seen).mean
            error = np.abs(off) / error_scale(known)[0]
            tables.append(pd.DataFrame({"unique_id": known.ids[0], "origin": seen.times[-1], "error": error}))
        return pd.concat(tables, ignore_index=True)
