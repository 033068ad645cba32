"""`Forecaster`: a recurrent network, or several whose forecasts are averaged, behind one estimator."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel
from gatecast.errors import ForecastError, SpecError
from gatecast.forecast.method import Held, Method
from gatecast.forecast.modes import Rolling, direct, free_run, one_step
from gatecast.forecast.plan import AUTO, Plan, Recipe, auto_plan, spec_plan
from gatecast.forecast.result import Forecast
from gatecast.forecast.ridge import fit_linear
from gatecast.nn.initial import initialise
from gatecast.nn.spec import StackSpec, parse
from gatecast.nn.stack import Network, Stack, trainable
from gatecast.prepare.fill import fill
from gatecast.prepare.scale import Equivariance, fit_transform, lost_rows
from gatecast.prepare.split import held_back, require_rows
from gatecast.prepare.window import Windows, anchors, past_matrix
from gatecast.train.loop import LossCurve, Task, Watch
from gatecast.train.members import train_all
from gatecast.train.settings import Training

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridge penalties that the linear skip chooses from, on the held-back rows."""


class Forecaster(Method):
    """A window model: every forecast reads the last `lookback` rows from a zero state.

    `spec`: layers such as "lstm:50x4" (see `nn.spec`), or "auto", the default model, whose rules decide everything
    that is not given here. `h`: steps of the head (1: one-step; more: a direct multi-step head). `inputs`: columns
    to read instead of the target alone (auto: instead of those on the target's scale). `members`: networks per
    stack, differing in their seeds, whose scaled forecasts are averaged. `recipe`: transform, training and the rest.

    After `fit`: `plan_`, `transform_`, `networks_`, `curves_`.

    >>> from gatecast.data.synthetic import sine
    >>> from gatecast.train.settings import Training
    >>> model = Forecaster("gru:8", lookback=12, recipe=Recipe(training=Training(epochs=2)))
    >>> model.fit(sine(200, period=12)).predict(h=3).mean.shape
    (3,)
    """

    kind: ClassVar[Literal["baseline", "network"]] = "network"

    def __init__(
        self,
        spec: str = AUTO,
        *,
        lookback: int | None = None,
        h: int = 1,
        dropout: float | None = None,
        inputs: tuple[str, ...] | list[str] | None = None,
        members: int | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        if spec != AUTO:
            parse(spec)
        if h < 1:
            raise SpecError(f"h={h}, expected at least 1 step")
        self.spec, self.lookback, self.h, self.dropout = spec, lookback, h, dropout
        self.inputs = None if inputs is None else tuple(inputs)
        self.members, self.recipe = members, recipe
        self.name = spec

    @property
    def equivariance(self) -> Equivariance:
        """Follows the unit of its transform."""
        return self.transform_.equivariance

    @property
    def parameters(self) -> int:
        """Trainable parameters of all networks together."""
        return sum(trainable(network) for network in self.networks_)

    def predict(self, h: int | None = None, data: Any = None) -> Forecast:
        """Forecast the next `h` times: in one pass where the head has that many steps, by a free run where h was 1.

        Raises ForecastError for more steps than a multi-step head has.
        """
        h = self.h if h is None else h
        if self.h == 1:
            return self.free_run(h, data)
        if not 1 <= h <= self.h:
            raise ForecastError(
                f"{self.name} was fitted to forecast {self.h} steps at once, {h} asked for",
                f"fit it with h={h}, or let it run free with free_run({h})",
            )
        panel, known = self._continue(data)
        mean = direct(self._rolling(), fill(panel, known).values, np.array([panel.rows - 1]))[0, :h]
        return self._written("direct", panel, mean, None)

    def summary(self) -> str:
        """Layers, shapes and parameter counts, and the rules that were applied."""
        self._history()
        plan = self.plan_
        head = f"{self.name}: window of {plan.lookback} rows of {', '.join(plan.columns)}; {plan.recipe.transform}"
        stacks = [self.networks_[p * plan.members].summary() for p in range(len(plan.stacks))]
        votes = f"{len(self.networks_)} networks, averaged" if len(self.networks_) > 1 else ""
        return "\n".join(part for part in (head, *plan.reasons, *stacks, votes) if part)

    def _learn(self, panel: Panel, seed: int, watch: Watch) -> Panel:
        plan = self.plan_ = self._plan(panel)
        panel = panel.columns_as(plan.columns)
        trainings = [plan.recipe.training_of(p) for p in range(len(plan.stacks))]
        self._require(panel, max(t.holdout if t.patience is not None else 0.0 for t in trainings))
        values = fill(panel).values
        self.transform_ = fit_transform(plan.recipe.transform, values, plan.columns)
        tasks = [
            self._task(values, stack, training, (seed, member))
            for stack, training in zip(plan.stacks, trainings, strict=True)
            for member in range(plan.members)
        ]
        watch.monitor.begin(self.name, len(tasks))
        self.curves_: tuple[LossCurve, ...] = train_all(tasks, watch)
        self.networks_ = [task.network.cpu() for task in tasks]
        return panel

    def _plan(self, panel: Panel) -> Plan:
        """What was given, completed by the rules."""
        wanted = tuple(dict.fromkeys((panel.target, *(self.inputs or ()))))
        if self.spec == AUTO:
            columns = panel.columns if self.inputs is None else wanted
            plan = auto_plan(fill(panel.columns_as(columns)).values, columns, panel.calendar.season)
        else:
            plan = spec_plan(self.spec, wanted)
        choices = {"lookback": self.lookback, "dropout": self.dropout, "members": self.members}
        if self.inputs is not None:
            choices["columns"] = wanted
        return plan.given(choices, self.recipe)

    def _require(self, panel: Panel, holdout: float) -> None:
        """Enough rows for one window to learn from, beside those that are held back."""
        rows = self.plan_.lookback + lost_rows(self.plan_.recipe.transform) + self.h + 1
        need = math.ceil((rows + self.h) / (1 - holdout)) if holdout else rows
        require_rows(panel, need, f"a window of {self.plan_.lookback} rows with {self.h} ahead")

    def _task(self, values: Float64[np.ndarray, "T C"], stack: StackSpec, training: Training, draw: tuple[int, int]) -> Task:
        """One network with its data, its generators and the key under which its state is kept."""
        plan, recipe = self.plan_, self.plan_.recipe
        learn, valid = self._anchors(len(values), training)
        seeds = np.random.SeedSequence([*draw, zlib.crc32(stack.text.encode())]).generate_state(3)
        first, dropout, shuffle = (torch.Generator().manual_seed(int(seed)) for seed in seeds)
        predicted = len(plan.columns) if recipe.predicts == "all" else 1
        recurrent = Stack(stack, len(plan.columns), plan.dropout, dropout)
        network = Network(recurrent, len(plan.columns), (self.h, predicted), recipe.lags)
        initialise(network, recipe.initial, first)
        if recipe.lags:
            network.set_skip(*self._skip(values, len(valid), predicted))
        reads = tuple(range(len(plan.columns)))
        z = torch.from_numpy(self.transform_.apply(values).astype(np.float32))
        windows = Windows(z.to(training.device), plan.lookback, self.h, reads, reads[:predicted])
        on_device = [torch.from_numpy(each).to(training.device) for each in (learn, valid)]
        key = self._key(stack, training, draw, values)
        name = stack.text if plan.members == 1 else f"{stack.text} #{draw[1] + 1}"
        return Task(network.to(training.device), windows, on_device[0], on_device[1], training, shuffle, name, key)

    def _anchors(
        self, rows: int, training: Training
    ) -> tuple[Int64[np.ndarray, "N"], Int64[np.ndarray, "V"]]:
        """Anchors to learn from, and those whose targets lie in the held-back rows."""
        held = held_back(rows, training.holdout, self.h) if training.patience is not None else 0
        first, lost = rows - held, self.transform_.lost
        return tuple(anchors(part, self.plan_.lookback, self.h, lost) for part in (range(first), range(first, rows)))

    def _skip(
        self, values: Float64[np.ndarray, "T C"], held: int, predicted: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The closed-form ridge, its penalty chosen on the held-back rows."""
        lags, earlier = self.plan_.recipe.lags, values[: len(values) - held]
        z = self.transform_.apply(values)
        valid = np.arange(len(z) - held - 1, len(z) - self.h)
        fits = [fit_linear(self.transform_, earlier, lags, penalty, self.h) for penalty in PENALTIES]
        errors = [_linear_error(z, valid, fit, lags) for fit in fits] if held else [0.0]
        weight, bias = fits[int(np.argmin(errors))]
        columns = len(self.plan_.columns)
        keep = (np.arange(len(bias)) % columns) < predicted
        return torch.from_numpy(weight[:, keep]).float(), torch.from_numpy(bias[keep]).float()

    def _key(self, stack: StackSpec, training: Training, draw: tuple[int, int], values: Float64[np.ndarray, "T C"]) -> str:
        """Names the trained network by everything it depends on."""
        recipe = replace(self.plan_.recipe, training=training)
        facts = [stack.text, asdict(recipe), draw, self.plan_.lookback, self.plan_.dropout, self.h]
        text = json.dumps([*facts, torch.__version__, hashlib.sha256(values.tobytes()).hexdigest()])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _rolling(self) -> Rolling:
        """All networks as one step: the mean of their scaled forecasts."""
        networks = self.networks_

        def step(window: Float64[np.ndarray, "B L C"]) -> Float64[np.ndarray, "B K P"]:
            x = torch.from_numpy(window.astype(np.float32))
            with torch.inference_mode():
                return torch.stack([network(x) for network in networks]).double().mean(dim=0).numpy()

        return Rolling(step, self.transform_, self.plan_.lookback)

    def _ahead(self, values: Float64[np.ndarray, "T C"], anchors: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
        return one_step(self._rolling(), values, anchors)

    def _onward(
        self, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"], steps: int
    ) -> Float64[np.ndarray, "N steps"]:
        return free_run(self._rolling(), values, origins, steps)

    def _held(self, values: Float64[np.ndarray, "T C"]) -> Held | None:
        trainings = [self.plan_.recipe.training_of(p) for p in range(len(self.plan_.stacks))]
        if any(training.patience is None for training in trainings):
            return None
        held = min(held_back(len(values), training.holdout) for training in trainings)
        at = anchors(range(len(values) - held, len(values)), self.plan_.lookback, 1, self.transform_.lost)
        return values[at + 1, 0], self._ahead(values, at)

    def _ratio(self) -> bool:
        return self.transform_.multiplicative


def _linear_error(
    z: Float64[np.ndarray, "T C"],
    at: Int64[np.ndarray, "V"],
    fit: tuple[Float64[np.ndarray, "lags*C K*C"], Float64[np.ndarray, "K*C"]],
    lags: int,
) -> float:
    """Mean squared error of the target's first step, in scaled units."""
    forecast = past_matrix(z, at, lags).reshape(len(at), -1) @ fit[0][:, :1] + fit[1][:1]
    return float(np.mean((forecast[:, 0] - z[at + 1, 0]) ** 2))
