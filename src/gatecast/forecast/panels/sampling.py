"""`SamplingForecaster`: one recurrent model of all series that forecasts one step, and runs free on its own draws."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import nn

from gatecast.errors import SpecError, check_choice
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.folds import Fold, Quantiles, Series, held_back_folds
from gatecast.forecast.panels.networks import NetworkMethod
from gatecast.forecast.panels.rules import UNITS, candidates_for, steps_for
from gatecast.nn.device import find_device
from gatecast.nn.student import StudentNet
from gatecast.prepare.given import Given
from gatecast.prepare.stretches import Stretches
from gatecast.prepare.units import check_sign, fit_units
from gatecast.train.lockstep import QUANTILES, Schedule, Tick
from gatecast.train.members import in_parallel
from gatecast.train.teacher import sample, train_teacher

FEWEST_CONTEXT, MOST_CONTEXT = 20, 336
FEWEST_AHEAD = 24
"""Training stretches reach at least so many rows past their context."""
BATCH = 64
FEW_PATHS = 100
"""Paths that are drawn to judge."""
AT_ONCE = 16_384
"""Paths that are drawn at once: bounds memory."""


Ranges = Float64[np.ndarray, "rows 2"]


@dataclass(frozen=True)
class Drawing:
    """How a `SamplingForecaster` is trained and how many paths it draws.

    `networks` of different seeds share the paths. `noise`: on the values read in training, in units of their spread.
    `self_fed`: the last rows of every training stretch that are forecast from own draws. Both are for long
    free runs; 0 is DeepAR.
    """

    cell: Literal["gru", "lstm"] = "lstm"
    paths: int = 200
    networks: int = 4
    noise: float = 0.0
    self_fed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.cell, ("gru", "lstm"), "cell")
        if not 1 <= self.networks <= self.paths or self.noise < 0 or self.self_fed < 0:
            raise SpecError(f"{self}: expected a path for every network, and no negative noise or step")


class SamplingForecaster(NetworkMethod):
    """Sample paths of `h` steps for every series: recursive, where `GlobalForecaster` is direct.

    The network reads the value before each row, that of a season before and what is known of the row, and forecasts a
    Student t distribution; a forecast feeds it with its own draws, so that uncertainty grows along the path and sums,
    maxima or first passages over the horizon can be read off the paths. For the forecasts of single steps the direct
    model is usually the more accurate one. Source: Salinas et al. (2020), "DeepAR", with two deviations: scaling as in
    `prepare.stretches`, and draws that stay within its `limits`, because under a logarithm a single draw of a heavy
    tail outweighs every other path.

    >>> from gatecast.data.synthetic import sine
    >>> model = SamplingForecaster(h=4, drawing=Drawing(paths=20, networks=1)).fit(sine(60, period=12))
    >>> list(model.sample().columns), len(model.sample())
    (['unique_id', 'ds', 'path', 'Gatecast-sampling'], 80)
    """

    name = "Gatecast-sampling"

    def __init__(self, h: SupportsIndex, *, drawing: Drawing | None = None, **settings: Any) -> None:
        super().__init__(h, **settings)
        self.drawing = drawing or Drawing()
        if self.covariates.past:
            raise SpecError("past columns end where a free run begins", "give them to a GlobalForecaster")

    def settings(self) -> dict[str, Any]:
        """What the model was told, beside its horizon."""
        return {"drawing": self.drawing, **super().settings()}

    def networks(self) -> list[nn.Module]:
        """What was trained."""
        return list(self.nets_)

    def sample(self, data: Any = None, *, futr_df: Any = None, static_df: Any = None) -> Any:
        """Every path as rows `unique_id, ds, path, Gatecast-sampling`, in a frame of the caller's kind."""
        given, kind = self._asked(data, futr_df, static_df, self.h)
        model = self if given is self.given_ else self._onto(given)
        paths, places = model._drawn(), model._places()
        count = paths.shape[1]
        columns = model.columns_of(np.zeros((len(paths), self.h, len(QUANTILES))), places, {})
        shown = np.arange(len(paths) * self.h).reshape(len(paths), 1, self.h).repeat(count, 1).reshape(-1)
        found = {name: columns[name][shown] for name in ("unique_id", "ds")}
        number = np.tile(np.repeat(np.arange(count), self.h), len(paths))
        return self._frame({**found, "path": number, self.name: paths.reshape(-1)}, kind)

    def judged(self, folds: tuple[Fold, ...], seed: int, tick: Tick) -> tuple[Quantiles, float]:
        """Scaled errors and MASE on held-back rows, after learning what precedes all of them."""
        trial = self.unfitted()
        trial.drawing = replace(self.drawing, paths=min(self.drawing.paths, FEW_PATHS), networks=1)
        trial.train(folds[-1].known, seed, tick)
        trial.given_ = folds[0].given  # later origins read the whole panel in place, in the units of the first
        pairs = [(fold, trial.quantiles(fold.places)) for fold in folds]
        mase = float(np.mean([fold.mase(paths) for fold, paths in pairs]))
        return np.concatenate([fold.errors(paths) for fold, paths in pairs]), mase

    def _learn(self, given: Given, seed: int, horizons: int, tick: Tick) -> Scores:
        errors, _ = self.judged(held_back_folds(given, self.h, seed, horizons), seed, tick)
        self.train(given, seed, tick)
        return Scores(errors)

    @property
    def log(self) -> bool:
        """Whether values are read as logarithms."""
        return self.units_.transform.log

    def train(self, given: Given, seed: int, tick: Tick) -> None:
        """Learn, without any calibration."""
        tick.begin("training", self.drawing.networks * steps_for(given.panel))
        self.given_, self.seed_ = given, seed
        log = candidates_for(given.panel)[0][-1].transform == "log"
        season = given.panel.calendar.season
        context = min(max(2 * season, self.h, FEWEST_CONTEXT), MOST_CONTEXT)
        self.units_ = fit_units(given, log)
        stretches = Stretches(given, self.units_, context, max(self.h, FEWEST_AHEAD))
        self.context_ = context
        options = (self.drawing.noise, min(self.drawing.self_fed, self.h))
        schedule, device = Schedule(steps_for(given.panel), BATCH), find_device(self.device)

        def one(number: int) -> StudentNet:
            drawn = int(np.random.SeedSequence([seed, 4, number]).generate_state(1)[0])
            generator = torch.Generator().manual_seed(drawn)
            net = StudentNet(self.drawing.cell, stretches.inputs, UNITS, generator).to(device)
            train_teacher(net, stretches, schedule, options, generator, tick)
            return net

        self.nets_ = in_parallel(one, range(self.drawing.networks))

    def onto(self, given: Given) -> SamplingForecaster:
        """A copy over other data; DataError for negative values where it learned logarithms."""
        check_sign(given.panel.values[:, 0], self.log, given.panel.source)
        model = super()._onto(given)
        model.units_ = fit_units(given, self.units_.transform.log)
        return model

    def _onto(self, given: Given) -> SamplingForecaster:
        return self.onto(given)

    def _paths(self) -> Float64[np.ndarray, "S K Q"]:
        return self.quantiles()

    def quantiles(
        self, places: tuple[Series, Series] | None = None, ranges: Ranges | None = None
    ) -> Float64[np.ndarray, "V K Q"]:
        """The quantiles of the paths from some places (series and flat rows), or from the end of every series.

        `ranges`: of the transformed values up to every row, where these are not all rows that there were."""
        return np.quantile(self._drawn(places, ranges), QUANTILES, axis=1).transpose(1, 2, 0)

    def expected(self, ranges: Ranges) -> Float64[np.ndarray, "S"]:
        """The next value of every series without a draw: the mean of the networks' locations, within its limits."""
        stretches = Stretches(self.given_, self.units_, self.context_, self.h, ranges)
        series, ends = torch.arange(len(self.panel_)), stretches.stops - 1
        batch = stretches.take(series, ends, 1)
        low, high = (each[:, 0] for each in stretches.limits.at(series, ends, 1))
        with torch.inference_mode():
            read = batch.read(stretches.season)[:, : self.context_ + 1]
            middle = torch.stack([net(read)[0][0][:, -1] for net in self.nets_]).double().mean(dim=0)
        z = (middle * batch.scale + batch.centre).clamp(low, high).numpy()
        return self.units_.transform.invert(z[None, :, None, None])[0, :, 0, 0]

    def read(self, series: Series, ends: Series) -> Float32[torch.Tensor, "N T I"]:
        """What the network reads for the next value after each of these rows, its context included."""
        stretches = Stretches(self.given_, self.units_, self.context_, self.h)
        batch = stretches.take(torch.from_numpy(series), torch.from_numpy(ends), self.h)
        return batch.read(stretches.season)[:, : self.context_ + 1]

    def _drawn(
        self, places: tuple[Series, Series] | None = None, ranges: Ranges | None = None
    ) -> Float64[np.ndarray, "V n K"]:
        """Paths from these places, in original units."""
        stretches = Stretches(self.given_, self.units_, self.context_, self.h, ranges)
        generator, found = torch.Generator().manual_seed(self.seed_), []
        indptr, size = self.panel_.indptr, max(1, AT_ONCE // self.drawing.paths)
        series, ends = map(torch.from_numpy, places or (np.arange(len(self.panel_)), indptr[1:] - 1))
        shares = [len(each) for each in np.array_split(np.arange(self.drawing.paths), len(self.nets_))]
        for part, rows in zip(series.split(size), ends.split(size), strict=True):
            batch = stretches.take(part, rows, self.h)
            limits = stretches.limits.at(part, rows, self.h)
            drawn = [
                sample(net, batch, limits, stretches, count, generator)
                for net, count in zip(self.nets_, shares, strict=True)
            ]
            z = torch.cat(drawn, dim=1).cpu().double()
            whole = z * batch.scale[:, None, None] + batch.centre[:, None, None]
            transform = self.units_.transform.of(part.numpy())
            found.append(transform.invert(whole.transpose(0, 1).numpy()[..., None])[..., 0].transpose(1, 0, 2))
        return np.concatenate(found)
