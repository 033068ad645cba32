"""What the global recurrent model derives from a panel: sizes by frequency, candidates by sign, steps by amount.

The same rules are told before there are any data: then they say what decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple

import numpy as np

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.errors import check_choice
from gatecast.prepare.crops import Normal, Sizes
from gatecast.prepare.given import Given
from gatecast.prepare.waves import turns

UNITS = 64
GROUPS = 2
"""Networks of a candidate are trained in so many groups, side by side; those of a group in lockstep."""
VOTES = 8
"""Networks of all kept candidates together."""
FEWEST_STEPS, MOST_STEPS = 400, 1000
STEPS_PER_ROOT = 1.35
LOOKS = (1, 100, 200, 400)
NOT_POSITIVE = 0.02
"""Above this share of values that are not positive, no logarithm is taken."""
MOST_LOOKBACK = 1344
"""Rows that a network of long seasons reads, unless two seasons are longer."""
MOST_FREE = 64
"""Two seasons and a horizon of no more rows than this are walked row by row for a second opinion."""
FREE_STEPS = 13
"""Without a season, free runs of at most so many steps are tried."""
DAY_LONG = 24
"""From this season on, the network steps from season to season and not from row to row."""


@dataclass(frozen=True)
class Ingredients:
    """What a direct model is made of; False: switched off, to see what it is worth.

    Recurrence: a state over the anchors, without it each anchor is read alone. Linear start: the ridge, without it
    weights of zero. Smoothers, calendar: whether their numbers are read. Averaging: of the weights along training.
    Logarithm: whether a candidate takes it. Rival: whether a recursive network competes. Ensemble: several networks
    in each group, or one.
    """

    recurrence: bool = True
    linear_start: bool = True
    smoothers: bool = True
    calendar: bool = True
    averaging: bool = True
    logarithm: bool = True
    rival: bool = True
    ensemble: bool = True

    @property
    def off(self) -> tuple[str, ...]:
        """The names of those that are switched off."""
        return tuple(name for name in INGREDIENTS if not getattr(self, name.replace(" ", "_")))

    def told(self) -> str:
        """What is switched off, as the end of a line; empty where nothing is."""
        return f"; switched off: {', '.join(self.off)}" if self.off else ""


EVERYTHING = Ingredients()
INGREDIENTS = tuple(field.name.replace("_", " ") for field in fields(Ingredients))


def ingredients_without(names: Sequence[str]) -> Ingredients:
    """All ingredients but these; SpecError with the nearest name for one that there is not.

    >>> ingredients_without(["linear start"]).off
    ('linear start',)
    """
    for name in names:
        check_choice(name, INGREDIENTS, "ingredient")
    return Ingredients(**{name.replace(" ", "_"): False for name in names})


@dataclass(frozen=True)
class Candidate:
    """One kind of network: its transform and normalisation, its cell, and the width of its ReLU head (0: none)."""

    name: str
    transform: Literal["log", "scale"]
    normal: Normal
    cell: Literal["gru", "lstm"]
    width: int
    ingredients: Ingredients = EVERYTHING


SCALE_GRU = Candidate("scale/gru", "scale", "spread", "gru", 64)
LOG_LSTM = Candidate("log/lstm", "log", "level", "lstm", 0)


class Window(NamedTuple):
    """Rows of the look-back, anchors, rows from one anchor to the next; and why."""

    lookback: int
    anchors: int
    stride: int
    why: str


def rules_for(calendar: Calendar, horizon: int, past: int, ingredients: Ingredients = EVERYTHING) -> tuple[str, ...]:
    """The rules of a calendar and a horizon before any data are seen, one to a line; `past` counts past columns."""
    sizes, window = _largest(calendar, horizon), _window(calendar, horizon)
    no_rival = against_rival(calendar.season, horizon, past)
    lines = {
        "sizes": _told(calendar, sizes),
        "window": f"window: {window.why}",
        "long lag": f"long lag: the rows of {sizes.long_lag} earlier, if the median series has "
        f"{_enough(calendar, sizes)} rows",
        "smoothers": f"smoothers: what {len(sizes.bank)} exponential smoothers expect",
        "linear start": "start: a closed-form ridge on all of these, which the networks correct",
        "calendar": f"calendar: sines and cosines of the {' and the '.join(turns(calendar))}",
        "logarithm": "logarithm: competes with plain values where none is negative and at most "
        f"{100 * NOT_POSITIVE:.0f} % are zero",
        "rival": f"rival: {'no recursive network, ' + no_rival if no_rival else 'a recursive network competes'}",
        "training": f"steps: {STEPS_PER_ROOT} sqrt(rows) within {FEWEST_STEPS}..{MOST_STEPS}, in batches of "
        f"{batch_for(sizes)}; fewer where much better",
        "choice": "choice: by the MASE on the last two horizons of every series, one where series are short",
        "ensemble": f"ensemble: {VOTES} networks of the kept candidates, and the median of their forecasts",
    }
    absent = {*ingredients.off, *([] if sizes.long_lag else ["long lag"]), *([] if turns(calendar) else ["calendar"])}
    off = (f"switched off: {', '.join(ingredients.off)}",) if ingredients.off else ()
    return (*(line for name, line in lines.items() if name not in absent), *off)


def sizes_for(given: Given, horizon: int, ingredients: Ingredients = EVERYTHING) -> tuple[Sizes, str]:
    """Look-back, anchors, stride, season and long lag, and why.

    The look-back spans three seasons of months or quarters, 16 weeks of days, 14 days of hours; a network of hours
    steps once a day, over four days. A year's lag is added for days and weeks if the median series has three years.
    """
    calendar, lengths = given.panel.calendar, np.diff(given.panel.indptr)
    largest = _largest(calendar, horizon)
    long_lag = largest.long_lag if float(np.median(lengths)) >= _enough(calendar, largest) else 0
    words = _told(calendar, largest)
    words += f", and the rows of {long_lag} earlier" if long_lag else ""
    words += f"; {given.past} past and {given.known} known-future columns" if given.past + given.known else ""
    words += f"; {given.static.shape[1]} static numbers" if given.static.shape[1] else ""
    covered = replace(largest, long_lag=long_lag, past=given.past, known=given.known)
    return replace(covered, smoothers=ingredients.smoothers), words


def _largest(calendar: Calendar, horizon: int) -> Sizes:
    """The sizes where series are long, without covariates."""
    lookback, anchors, stride, _ = _window(calendar, horizon)
    year = _year(calendar)
    long_lag = year * -(-horizon // year) if year else 0  # whole years, and never less than the horizon
    return Sizes(lookback, anchors, stride, calendar.season, long_lag, horizon)


def _year(calendar: Calendar) -> int:
    """Rows of a year of whole weeks; 0 where none is read."""
    return {"W": 52, "D": 364}.get(calendar.freq[:1], 0) if calendar.every == 1 else 0


def _enough(calendar: Calendar, sizes: Sizes) -> int:
    """Rows of a series from which its long lag can be learned."""
    return sizes.long_lag + 2 * _year(calendar)


def _window(calendar: Calendar, horizon: int) -> Window:
    season = calendar.season
    if season >= DAY_LONG:
        rows = max(2 * season, min(14 * season, MOST_LOOKBACK))
        return Window(rows, 4, season, f"14 seasons, or {MOST_LOOKBACK} rows, or two seasons; a state over four")
    if season == 7:
        return Window(16 * season, 28, 1, "16 weeks, and a state over four")
    if season > 1:
        return Window(3 * season, max(12, 2 * season), 1, "three seasons, and a state over two (12 rows at least)")
    if calendar.freq.startswith("W"):
        return Window(65, 26, 1, "a year and a quarter, and a state over half a year")
    return Window(max(6, 2 * horizon), 12, 1, "no season: two horizons, at least 6 rows")


def _told(calendar: Calendar, sizes: Sizes) -> str:
    words = f"{calendar.label}: season {sizes.season}, reads {sizes.lookback} rows at each of {sizes.anchors} anchors"
    return words + (f", {sizes.stride} rows apart" if sizes.stride > 1 else "")


def candidates_for(panel: Panel, ingredients: Ingredients = EVERYTHING) -> tuple[tuple[Candidate, ...], str]:
    """The networks that compete, and why."""
    found, why = _candidates(panel) if ingredients.logarithm else ((SCALE_GRU,), "plain values alone")
    return tuple(replace(each, ingredients=ingredients) for each in found), why + ingredients.told()


def _candidates(panel: Panel) -> tuple[tuple[Candidate, ...], str]:
    """Those of these signs."""
    target = panel.values[:, 0]
    known = target[np.isfinite(target)]
    share = float(np.mean(known <= 0))
    if (known < 0).any():
        return (SCALE_GRU,), "some values are negative: no logarithm"
    if share > NOT_POSITIVE:
        return (SCALE_GRU,), f"{100 * share:.0f} % of the values are not positive: no logarithm"
    return (SCALE_GRU, LOG_LSTM), "positive values: a logarithm competes with plain values"


def steps_for(panel: Panel) -> int:
    """Planned training steps: a multiple of the root of the number of values, within limits."""
    return int(min(max(STEPS_PER_ROOT * math.sqrt(panel.rows), FEWEST_STEPS), MOST_STEPS))


def members_for(kept: int, ingredients: Ingredients = EVERYTHING) -> int:
    """Networks in a group of each of `kept` candidates."""
    return VOTES // GROUPS // kept if ingredients.ensemble else 1


def against_rival(season: int, horizon: int, past: int) -> str:
    """Why no recursive network competes with so many past columns; empty where one does: over one season or so, where
    its context is short."""
    reasons = {
        "which past columns would end before": past > 0,
        f"{horizon} steps are more than a season and than {FREE_STEPS}": horizon > max(season, FREE_STEPS),
        f"two seasons and the horizon are more than {MOST_FREE} rows": 2 * season + horizon > MOST_FREE,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def batch_for(sizes: Sizes) -> int:
    """Crops in a batch: more where they are short, fewer where horizons are long."""
    return max(32, 96 * 96 // max(96, sizes.horizon)) if sizes.stride > 1 else 32
