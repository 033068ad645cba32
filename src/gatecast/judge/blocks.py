"""The moving-block bootstrap over origins, and what it says of the coverage of intervals.

Neighbouring origins share truths and moods of their series, so they are drawn in blocks. Source: Kunsch (1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

DRAWS = 2000
LEVELS = (80, 95)
FEWEST_BLOCKS = 5
"""With fewer of them every draw is nearly the same, and looks surer than it is."""


def block_length(origins: int, overlap: int) -> int:
    """The cube root of the number of origins, and at least as many of them as share a truth.

    >>> block_length(251, 1), block_length(50, 24)
    (7, 24)
    """
    return max(math.ceil(origins ** (1 / 3)), overlap)


def enough_blocks(origins: int, block: int) -> bool:
    """Whether drawing blocks of so many origins says anything of the spread.

    >>> enough_blocks(251, 7), enough_blocks(50, 24)
    (True, False)
    """
    return origins >= FEWEST_BLOCKS * block


def block_means(values: Float64[np.ndarray, "n C"], block: int) -> Float64[np.ndarray, "draws C"]:
    """Column means of rows that are drawn in blocks of neighbours.

    >>> float(block_means(np.full((20, 1), 3.0), 3).max())
    3.0
    """
    n = len(values)
    blocks = -(-n // block)
    first = np.random.default_rng(0).integers(0, n - block + 1, (DRAWS, blocks))
    rows = (first[..., None] + np.arange(block)).reshape(DRAWS, -1)[:, :n]
    return np.asarray(values[rows].mean(axis=1))


def overlap_of(rows: pd.DataFrame) -> int:
    """How many origins in a row share a truth; `rows` of one model: `unique_id, ds`."""
    return int(rows.groupby(["unique_id", "ds"], sort=False).size().max())


@dataclass(frozen=True)
class Coverage:
    """The per cent of truths that a model's intervals of `level` per cent held, its 95 % bounds over origins, and how
    they were found."""

    model: str
    level: int
    held: float
    low: float
    high: float
    how: str

    @property
    def within(self) -> bool:
        """Whether the bounds hold the level."""
        return self.low <= self.level <= self.high

    @property
    def verdict(self) -> str:
        """The same as a sentence."""
        word = "as wide as it says" if self.within else "too narrow" if self.high < self.level else "too wide"
        return (
            f"{self.level} % interval {word}: held {self.held:.1f} % of the truths (95 % band {self.low:.1f} to "
            f"{self.high:.1f} %; {self.how})"
        )


def coverages_of(model: str, rows: pd.DataFrame) -> tuple[Coverage, ...]:
    """The coverage of every level, from one series' `unique_id, ds, origin, coverage 80, coverage 95` of one model.

    An origin counts once, however many of its truths are known; one without any is left out. Empty where
    the origins are too few for bounds.
    """
    by_origin = rows.groupby("origin")[[f"coverage {level}" for level in LEVELS]].mean().dropna().to_numpy()
    count = len(by_origin)
    block = block_length(count, overlap_of(rows))
    if not enough_blocks(count, block):
        return ()
    how = f"moving blocks of {block} of {count} origins"
    low, high = np.percentile(block_means(by_origin, block), [2.5, 97.5], axis=0)
    facts = zip(LEVELS, by_origin.mean(axis=0), low, high, strict=True)
    return tuple(Coverage(model, level, float(held), float(a), float(b), how) for level, held, a, b in facts)
