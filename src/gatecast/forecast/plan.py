"""What a forecaster will build and how it will learn: given by the user, or derived from the data by stated rules."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from gatecast.errors import SpecError, check_choice
from gatecast.forecast.nature import find_nature
from gatecast.nn.initial import INITIALS
from gatecast.nn.spec import StackSpec, parse
from gatecast.prepare.scale import TRANSFORMS
from gatecast.train.settings import Training

AUTO = "auto"
PLAIN = Training()
LOOKBACK = 60
AUTO_SPEC = "gru:16"
AUTO_MEMBERS = 3
AUTO_TRAINING = Training(
    loss="huber", optimiser="adamw", learning_rate=2e-3, weight_decay=1e-3, batch=64, epochs=40, patience=6
)
# season m -> look-back of the automatic model on levels: a few seasons, at least what a season's shape needs
AUTO_LOOKBACK = {4: 16, 7: 56, 12: 36, 24: 72, 48: 96}
WALK_LOOKBACK = 20
WALK_LAGS = 5


@dataclass(frozen=True)
class Recipe:
    """How data become scaled windows and windows a trained network; None leaves a choice to the model's own rule.

    `transform`: none, minmax, standard, log, difference, logreturn or relative. `initial`: torch or keras weights.
    `predicts`: "all" columns that are read (needed for a free run) or the "target" alone. `lags`: rows of the fixed
    linear skip (0: none). `training`: one setting, or one per "+" part of the spec.
    """

    transform: str | None = None
    initial: str | None = None
    predicts: Literal["all", "target"] | None = None
    lags: int | None = None
    training: Training | tuple[Training, ...] | None = None

    def __post_init__(self) -> None:
        _check_names(self)


@dataclass(frozen=True)
class Settled:
    """A recipe with every choice made."""

    transform: str = "minmax"
    initial: str = "torch"
    predicts: str = "all"
    lags: int = 0
    training: Training | tuple[Training, ...] = PLAIN

    def __post_init__(self) -> None:
        _check_names(self)


@dataclass(frozen=True)
class Plan:
    """A resolved model: its stacks, sizes, columns (the target first), settled recipe and the reasons of its rules.

    `reasons`: why this transform, then why these columns.
    """

    stacks: tuple[StackSpec, ...]
    lookback: int
    columns: tuple[str, ...]
    members: int
    dropout: float
    recipe: Settled
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise SpecError(f"dropout={self.dropout}, expected at least 0 and below 1")
        if self.lookback < 1 or self.members < 1:
            raise SpecError(f"lookback={self.lookback} and members={self.members}, expected at least 1 of each")
        if len(set(self.stacks)) < len(self.stacks):
            raise SpecError("a stack is named twice, and would be the same network twice", "ask for members instead")
        if not 0 <= self.recipe.lags <= self.lookback:
            raise SpecError(f"lags={self.recipe.lags}, expected 0 to the lookback, {self.lookback}")
        if isinstance(self.recipe.training, tuple) and len(self.recipe.training) != len(self.stacks):
            raise SpecError(f"{len(self.recipe.training)} training settings for {len(self.stacks)} stacks")

    @property
    def trainings(self) -> tuple[Training, ...]:
        """The training settings of each stack."""
        given = self.recipe.training
        return given if isinstance(given, tuple) else (given,) * len(self.stacks)

    def given(self, choices: dict[str, Any], recipe: Recipe | None) -> Plan:
        """This plan with the caller's own choices in place of the rules' (None: the rule's choice stays)."""
        made = {name: value for name, value in choices.items() if value is not None}
        chosen = {f.name: getattr(recipe, f.name) for f in fields(Recipe)} if recipe else {}
        settled = {name: value for name, value in chosen.items() if value is not None}
        settled.setdefault("lags", min(self.recipe.lags, made.get("lookback", self.lookback)))
        overruled = ("transform" in settled, "columns" in made)
        reasons = tuple(reason for reason, over in zip(self.reasons, overruled, strict=False) if not over)
        return replace(self, recipe=replace(self.recipe, **settled), reasons=reasons, **made)


def _check_names(recipe: Recipe | Settled) -> None:
    for value, known, what in (
        (recipe.transform, TRANSFORMS, "transform"),
        (recipe.initial, INITIALS, "initialisation"),
        (recipe.predicts, ("all", "target"), "value of predicts"),
    ):
        if value is not None:
            check_choice(value, known, what)


def spec_plan(spec: str, columns: tuple[str, ...]) -> Plan:
    """The plan of a spec model: a window of 60 rows, min-max scaled, one network per stack."""
    return Plan(parse(spec), LOOKBACK, columns, 1, 0.0, Settled())


def auto_plan(values: Float64[np.ndarray, "T C"], columns: tuple[str, ...], season: int) -> Plan:
    """The default model's rules, applied to filled training values (original units, target in column 0).

    A GRU of 16 units corrects a closed-form ridge on the columns of the target's own scale; three seeds vote. On a
    random walk it models returns or differences, reads 20 rows, and the ridge reads 5; otherwise levels, and the
    ridge reads the whole look-back.
    """
    nature = find_nature(values, columns, season)
    if nature.walks:
        lookback, lags = WALK_LOOKBACK, WALK_LAGS
    else:
        usual = AUTO_LOOKBACK.get(season, max(24, min(2 * season, 96)))
        lookback = lags = max(2, min(usual, len(values) // 5))
    reasons = (
        nature.reason,
        f"reads {', '.join(nature.columns)}: the columns on the target's own scale",
    )
    recipe = Settled(transform=nature.transform, lags=lags, training=AUTO_TRAINING)
    return Plan(parse(AUTO_SPEC), lookback, nature.columns, AUTO_MEMBERS, 0.0, recipe, reasons)
