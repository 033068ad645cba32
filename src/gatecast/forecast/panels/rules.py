"""What the global recurrent model derives from a panel: sizes by frequency, candidates by sign, steps by amount."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gatecast.data.panel import Panel
from gatecast.prepare.crops import Normal, Sizes
from gatecast.prepare.given import Given

UNITS = 64
FEWEST_STEPS, MOST_STEPS = 400, 1000
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
class Candidate:
    """One kind of network: its transform and normalisation, its cell, and the width of its ReLU head (0: none)."""

    name: str
    transform: Literal["log", "scale"]
    normal: Normal
    cell: Literal["gru", "lstm"]
    width: int


SCALE_GRU = Candidate("scale/gru", "scale", "spread", "gru", 64)
LOG_LSTM = Candidate("log/lstm", "log", "level", "lstm", 0)


def sizes_for(given: Given, horizon: int) -> tuple[Sizes, str]:
    """Look-back, anchors, stride, season and long lag, and why.

    The look-back spans three seasons of months or quarters, 16 weeks of days, 14 days of hours; a network of hours
    steps once a day, over four days. A year's lag is added for days and weeks if the median series has three years.
    """
    calendar, season = given.panel.calendar, given.panel.calendar.season
    lengths = np.diff(given.panel.indptr)
    if season >= DAY_LONG:
        lookback, anchors, stride = max(2 * season, min(14 * season, MOST_LOOKBACK)), 4, season
    elif season == 7:
        lookback, anchors, stride = 16 * season, 28, 1
    elif season > 1:
        lookback, anchors, stride = 3 * season, max(12, 2 * season), 1
    elif calendar.freq.startswith("W"):
        lookback, anchors, stride = 65, 26, 1
    else:
        lookback, anchors, stride = max(6, 2 * horizon), 12, 1
    year = {"W": 52, "D": 364}.get(calendar.freq[:1], 0) if calendar.every == 1 else 0
    long_lag = year * -(-horizon // year) if year else 0  # whole years, and never less than the horizon
    long_lag = long_lag if float(np.median(lengths)) >= long_lag + 2 * year else 0
    words = f"{calendar.label}: season {season}, reads {lookback} rows at each of {anchors} anchors"
    words += f", {stride} rows apart" if stride > 1 else ""
    words += f", and the rows of {long_lag} earlier" if long_lag else ""
    words += f"; {given.past} past and {given.known} known-future columns" if given.past + given.known else ""
    words += f"; {given.static.shape[1]} static numbers" if given.static.shape[1] else ""
    return Sizes(lookback, anchors, stride, season, long_lag, horizon, given.past, given.known), words


def candidates_for(panel: Panel) -> tuple[tuple[Candidate, ...], str]:
    """The networks that compete, and why."""
    target = panel.values[:, 0]
    known = target[np.isfinite(target)]
    share = float(np.mean(known <= 0))
    if (known < 0).any():
        return (SCALE_GRU,), "some values are negative: no logarithm"
    if share > NOT_POSITIVE:
        return (SCALE_GRU,), f"{100 * share:.0f} % of the values are not positive: no logarithm"
    return (SCALE_GRU, LOG_LSTM), "positive values: a logarithm competes with plain values"


def steps_for(panel: Panel) -> int:
    """Planned training steps: 1.35 times the root of the number of values, within limits."""
    return int(min(max(1.35 * math.sqrt(panel.rows), FEWEST_STEPS), MOST_STEPS))


def runs_free(given: Given, horizon: int) -> bool:
    """Whether a recursive network competes: without past columns, over one season or so, where its context is short."""
    season = given.panel.calendar.season
    return not given.past and horizon <= max(season, FREE_STEPS) and 2 * season + horizon <= MOST_FREE


def batch_for(sizes: Sizes) -> int:
    """Crops in a batch: more where they are short, fewer where horizons are long."""
    return max(32, 96 * 96 // max(96, sizes.horizon)) if sizes.stride > 1 else 32
