"""`tune`: try settings on held-back origins, and say on later ones what that gained over the automatic recipe.

Trials are asked for in rounds and judged span by span; after each span those worse than the median of the finished
ones are given up. Spans hold original values, so trials of different transforms can be compared, which their training
losses cannot. A round is asked for with a seed of its own, and tasks go where joblib's backend says: the number of
processes does not change what is tried.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from gatecast.data.panel import Panel
from gatecast.data.read import as_panel
from gatecast.errors import DataError, GatecastError, SpecError, import_extra
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import counted
from gatecast.judge.backtest import Gain, gain_of
from gatecast.judge.spaces import Case, PanelSpace, Params, SeriesSpace, Space, Span
from gatecast.prepare.given import Given
from gatecast.train.farm import as_they_end
from gatecast.train.lockstep import Tick

ROUND = 4
"""Trials that are asked for at once, whatever runs them."""
MARGIN = 2.0
"""Per cent that the held-back error must be lower than the automatic recipe's to recommend anything else."""


@dataclass(frozen=True)
class Budget:
    """How many trials, on how many held-back spans; `windows` origins, a horizon apart, test what no trial has seen,
    and the spans before them have as many together, each at least one. `seed` decides every random draw."""

    trials: int = 20
    folds: int = 3
    windows: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("trials", "folds", "windows"):
            counted(name, getattr(self, name))
        if self.seed < 0:
            raise SpecError(f"seed={self.seed}, expected at least 0")


@dataclass(frozen=True)
class Tried:
    """A trial: its choice, its error on the held-back spans (MASE; infinite: it cannot be trained), and after how many
    of them it was given up (0: it was not)."""

    params: Params
    error: float
    given_up: int


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was tried, the best of it, and both models' errors on the test span.

    `held_back`: by how many per cent the best was better than the automatic recipe where it was chosen. `gain`: the
    same on origins that no trial has seen. `model`: the recommended one, not fitted.
    """

    trials: tuple[Tried, ...]
    best: Tried
    auto: Tried
    held_back: float
    errors: pd.DataFrame
    gain: Gain
    model: Any

    @property
    def recommended(self) -> str:
        """ "tuned" where the held-back error was lower by the margin, else "auto"."""
        return "tuned" if self.held_back > MARGIN else "auto"

    @property
    def verdict(self) -> str:
        """What tuning gained."""
        count = f"{len(self.trials)} trials"
        if self.best.params == self.auto.params:
            return f"gained nothing: of {count} the automatic recipe was the best; keep it"
        chosen = f"the best of {count} was {self.held_back:.1f} % better than the automatic recipe where it was chosen"
        advice = "" if self.recommended == "tuned" else f"; that is within {MARGIN:.0f} %: keep the automatic recipe"
        return f"{self._tested()}; {chosen}{advice}"

    def _tested(self) -> str:
        gain = self.gain
        if gain.percent is None:
            return "no comparison: the automatic recipe makes no error on the test span"
        said = f"MASE {abs(gain.percent):.1f} % {'lower' if gain.percent >= 0 else 'higher'} on the test span"
        if gain.low is None or gain.high is None:
            return f"{'gained' if gain.percent > 0 else 'gained nothing'}: {said} ({gain.how})"
        word = "gained" if gain.low > 0 else "lost" if gain.high < 0 else "gained nothing that is sure"
        return f"{word}: {said} (95 % interval of the gain {gain.low:.1f} to {gain.high:.1f} %; {gain.how})"


def tune(
    data: Any,
    h: int = 1,
    budget: Budget | None = None,
    *,
    space: Space | None = None,
    told: Mapping[str, Any] | None = None,
    storage: Any = None,
    watch: Tick | None = None,
) -> Tuned:
    """Try settings of the model of many series, or of one, and judge the best beside the automatic recipe.

    Every trial is scored on held-back origins before the test; the best and the automatic recipe then on the test,
    which no trial has seen. `space`: what may be tried (PanelSpace for many series, SeriesSpace for one). `told`: what
    every model is told, such as `season`. `storage`: an Optuna storage, from which a study of the same data and
    settings goes on. Needs `pip install 'gatecast[tune]'`. Source: Akiba et al. (2019), "Optuna", its TPE and median
    rule.
    """
    budget, watch, told = budget or Budget(), watch or Tick(), dict(told or {})
    panel = _panel(data, h, space, told)
    space = space or (SeriesSpace() if len(panel) == 1 else PanelSpace())
    case = Case(_given(panel, h, space, told), h, space, told)
    folds, test = case.spans(budget.folds, budget.windows)
    with _alone():
        trials = _search(case, folds, budget, storage, watch)
    auto = next(trial for trial in trials if trial.params == space.auto)
    if not math.isfinite(auto.error):
        raise DataError("the automatic recipe cannot be trained before every held-back span", "use fewer of them")
    best = min((trial for trial in trials if not trial.given_up), key=lambda trial: trial.error)
    pair = [best.params, auto.params]
    found = dict(as_they_end(partial(case.errors, span=test, seed=budget.seed), pair))
    errors = pd.concat([found[0]["error"], found[1]["error"]], axis=1, keys=["tuned", "auto"])
    held_back = 100 * (1 - best.error / auto.error) if auto.error > 0 else 0.0
    chosen = best if held_back > MARGIN else auto
    return Tuned(trials, best, auto, held_back, errors, gain_of(errors, 1), case.model(chosen.params))


def _panel(data: Any, h: int, space: Space | None, told: dict[str, Any]) -> Panel:
    """The data as the models of many series read them; of one series, and without a space for many, as one is read."""
    if isinstance(data, Panel):
        return data
    panel = GlobalForecaster(h, **told).covariates.panel(data, told.get("season"))
    return panel if len(panel) > 1 or isinstance(space, PanelSpace) else as_panel(data)


def _given(panel: Panel, h: int, space: Space, told: dict[str, Any]) -> Given:
    """What the data say, as the model of many series is told of it; of one series all columns."""
    if isinstance(space, PanelSpace):
        model = GlobalForecaster(h, **told)
        return model.given_of(panel, model.covariates.statics(None))
    one = panel.single().seasoned(told.pop("season", None))
    stray = next(iter(told), None)
    if stray is not None:
        raise SpecError(f"models of one series are not told {stray}", "leave it out, or tune a panel")
    return Given(one, np.zeros((1, h, 0)), np.zeros((1, 0)))


@contextmanager
def _alone() -> Iterator[None]:
    """SpecError where another process took this one's trials for those of a run that was cut."""
    taken = import_extra("optuna.exceptions", "tune").UpdateFinishedTrialError
    try:
        yield
    except taken as cause:
        raise SpecError("another process goes on with the same study", "let it end, or name another storage") from cause


def _search(case: Case, folds: tuple[Span, ...], budget: Budget, storage: Any, watch: Tick) -> tuple[Tried, ...]:
    """Rounds of trials until there are enough of them, those of an earlier run included."""
    optuna = import_extra("optuna", "tune")
    facts = f"{case.key()} {budget.folds} {budget.windows} {budget.seed} {version('gatecast')}"
    name = hashlib.sha256(facts.encode()).hexdigest()[:16]
    rule = optuna.pruners.MedianPruner(n_startup_trials=ROUND, n_warmup_steps=0)
    study = optuna.create_study(storage=storage, study_name=name, pruner=rule, load_if_exists=True)
    for trial in study.trials:
        if trial.state.name == "RUNNING":  # its round was cut
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    watch.begin("tuning", budget.trials * len(folds))
    _steps(watch, min(budget.trials, len(_whole(study))) * len(folds))
    while (done := len(_whole(study))) < budget.trials:
        seed = int(np.random.SeedSequence([budget.seed, done]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2 * ROUND, constant_liar=True)
        if not done and not any(trial.state.name == "WAITING" for trial in study.trials):
            study.enqueue_trial(case.space.auto)
        _round(case, folds, study, (min(ROUND, budget.trials - done), budget.seed), watch)
    return tuple(
        Tried(trial.params, float(trial.value), 0 if trial.state.name == "COMPLETE" else len(trial.intermediate_values))
        for trial in _whole(study)[: budget.trials]
    )


def _round(case: Case, folds: tuple[Span, ...], study: Any, size: tuple[int, int], watch: Tick) -> None:
    """Ask for some trials, judge them span by span, and tell what came of them; nothing is judged twice."""
    (count, seed), pruned = size, import_extra("optuna", "tune").trial.TrialState.PRUNED
    known = {(_text(t.params), n): mean for t in study.trials for n, mean in t.intermediate_values.items()}
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        case.space.suggest(trial)
    alive = trials
    for number, span in enumerate(folds):
        fresh = {_text(t.params): t.params for t in alive if (_text(t.params), number) not in known}
        names = list(fresh)
        for place, errors in as_they_end(partial(_errors, case, span, seed), list(fresh.values())):
            mean = math.nan if errors is None else float(errors["error"].mean())
            score = mean if math.isfinite(mean) else math.inf
            before = known.get((names[place], number - 1), 0.0)
            known[names[place], number] = (before * number + score) / (number + 1)
            watch.step()
        for trial in alive:
            trial.report(known[_text(trial.params), number], number)
        last = number + 1 == len(folds)
        going = alive if last else [trial for trial in alive if not trial.should_prune()]
        _steps(watch, len(alive) - len(fresh) + (len(alive) - len(going)) * (len(folds) - number - 1))
        alive = going
    for trial in trials:
        if trial in alive:
            study.tell(trial, known[_text(trial.params), len(folds) - 1])
        else:
            study.tell(trial, state=pruned)


def _text(params: Params) -> str:
    return json.dumps(params, sort_keys=True)


def _steps(watch: Tick, count: int) -> None:
    for _ in range(count):
        watch.step()


def _errors(case: Case, span: Span, seed: int, params: Params) -> pd.DataFrame | None:
    """The errors of a choice; None where it cannot be trained on these data."""
    try:
        return case.errors(params, span, seed)
    except GatecastError:
        return None


def _whole(study: Any) -> list[Any]:
    """Trials that ended by themselves."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
