"""`Forecaster`: a recurrent network, or several whose forecasts are averaged, behind one estimator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float64, Int64

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.errors import ForecastError, SpecError
from gatecast.forecast.build import held_rows, make_tasks, rows_needed
from gatecast.forecast.method import Held, Method, held_back_rows
from gatecast.forecast.modes import Rolling, direct, free_run, one_step
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.plan import AUTO, Plan, Recipe, auto_plan, spec_plan
from gatecast.forecast.result import Forecast
from gatecast.nn import feedback, native
from gatecast.nn.spec import parse
from gatecast.nn.stack import trainable
from gatecast.prepare.fill import begun, fill
from gatecast.prepare.scale import Equivariance, fit_transform
from gatecast.prepare.split import require_rows
from gatecast.train.loop import LossCurve, Watch
from gatecast.train.members import train_all

if TYPE_CHECKING:
    from gatecast.forecast.streams.stream import Stream


class Forecaster(Method):
    """A window model: every forecast reads the last `lookback` rows from a zero state.

    `spec`: layers such as "lstm:50x4" (see `nn.spec`), or "auto", the default model, whose rules decide everything
    that is not given here. `h`: steps of the head (1: one-step; more: a direct multi-step head). `inputs`: columns
    to read instead of the target alone (auto: instead of those on the target's scale). `members`: networks per
    stack, differing in their seeds, whose scaled forecasts are averaged. `recipe`: transform, training and the rest.

    After `fit`: `plan_`, `transform_`, `networks_`, `curves_`.

    >>> from gatecast.data.synthetic import sine
    >>> from gatecast.forecast.plan import Recipe
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
        inputs: str | tuple[str, ...] | list[str] | None = None,
        members: int | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        if spec != AUTO:
            parse(spec)
        if h < 1:
            raise SpecError(f"h={h}, expected at least 1 step")
        self.spec, self.lookback, self.h, self.dropout = spec, lookback, h, dropout
        self.inputs = (inputs,) if isinstance(inputs, str) else None if inputs is None else tuple(inputs)
        self.members, self.recipe = members, recipe
        self.name = spec

    @staticmethod
    def auto(freq: str | int, h: SupportsIndex, **settings: Any) -> GlobalForecaster:
        """The model of one or many series of this frequency, h steps ahead: see `GlobalForecaster.auto`."""
        return GlobalForecaster.auto(freq, h, **settings)

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
                f"fit it with h={h}",
            )
        panel, known = self._continue(data)
        mean = direct(self.rolling(), fill(panel, known).values, np.array([panel.rows - 1]))[0, :h]
        return self._written("direct", panel, mean, None)

    def stream(self, history: Any = None) -> Stream:
        """Live series that go on from `history` (a Panel, a path or a frame; without, from the model's own).

        `history` holds at least the rows that one forecast reads, from whenever. See `Stream`.
        """
        from gatecast.forecast.streams.opening import empty_stream  # streams know the models

        self._history()
        return empty_stream(self).begin(history)

    def tail(self) -> Panel:
        """The newest rows of history that one forecast needs, their gaps filled."""
        history = replace(self._history(), values=fill(self._history()).values)
        return history.where(np.arange(history.rows) >= history.rows - self.rolling().need)

    def newest_window(self, data: Any = None) -> tuple[Float64[np.ndarray, "L C"], Times]:
        """The scaled window that the next forecast reads, and its times."""
        scaled, panel, _ = self.scaled(data)
        return scaled[-self.plan_.lookback :], panel.times[-self.plan_.lookback :]

    def scaled(self, data: Any = None) -> tuple[Float64[np.ndarray, "T C"], Panel, int]:
        """The rows that forecasts read: the history and the newer rows of `data`, in scaled units; the same rows as a
        panel; and how many of them are history."""
        panel, known = self._continue(data)
        values = self.transform_.usable(fill(panel, known).values)
        return self.transform_.apply(values, self.plan_.columns), panel, known

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
        require_rows(panel, rows_needed(plan, self.h), f"a window of {plan.lookback} rows with {self.h} ahead")
        values = fill(panel, panel.rows - max(held_rows(t, panel.rows, self.h) for t in plan.trainings)).values
        self.transform_ = fit_transform(plan.recipe.transform, values, plan.columns)
        tasks = make_tasks(plan, self.transform_, values, self.h, seed)
        watch.monitor.begin(self.name, len(tasks))
        self.curves_: tuple[LossCurve, ...] = train_all(tasks, watch)
        self.networks_ = [task.network.cpu() for task in tasks]
        return panel

    def _plan(self, panel: Panel) -> Plan:
        """What was given, completed by the rules."""
        wanted = tuple(dict.fromkeys((panel.target, *(self.inputs or ()))))
        if self.spec == AUTO:
            columns = begun(panel) if self.inputs is None else wanted
            plan = auto_plan(fill(panel.columns_as(columns)).values, columns, panel.calendar.season)
        else:
            plan = spec_plan(self.spec, wanted)
        choices: dict[str, Any] = {"lookback": self.lookback, "dropout": self.dropout, "members": self.members}
        if self.inputs is not None:
            choices["columns"] = wanted
        return plan.given(choices, self.recipe)

    def rolling(self) -> Rolling:
        """All networks as one step: the mean of their scaled forecasts."""
        networks = self.networks_

        def step(window: Float64[np.ndarray, "B L C"]) -> Float64[np.ndarray, "B K P"]:
            x = torch.from_numpy(window.astype(np.float32))
            with torch.inference_mode():
                return torch.stack([network(x) for network in networks]).double().mean(dim=0).numpy()

        def feed(window: Float64[np.ndarray, "N L C"], steps: int) -> Float64[np.ndarray, "N steps C"]:
            readers = [network.reader() for network in networks]
            return feedback.free_run(readers, torch.from_numpy(window).float(), steps).numpy()

        return Rolling(step, self.transform_, self.plan_.lookback, feed if native.kernels is not None else None)

    def _ahead(self, values: Float64[np.ndarray, "T C"], anchors: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
        return one_step(self.rolling(), values, anchors)

    def _onward(
        self, values: Float64[np.ndarray, "T C"], origins: Int64[np.ndarray, "N"], steps: int
    ) -> Float64[np.ndarray, "N steps"]:
        return free_run(self.rolling(), values, origins, steps)

    def _held(self, panel: Panel) -> Held | None:
        held = min(held_rows(training, panel.rows, self.h) for training in self.plan_.trainings)
        if not held:
            return None
        values, at = held_back_rows(panel, held, self.plan_.lookback, self.transform_.lost)
        return values[at + 1, 0], self._ahead(values, at)

    def _ratio(self) -> bool:
        return self.transform_.multiplicative
