"""How far a forecast may leave what is known of its series, so that no wild network or draw outweighs all others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

FAR = 5.0
"""A forecast may leave the known range by so many deviations of a random walk, beside a steady slope."""


class Limits:
    """Of many series, whose `ranges` at every row are known; `usual`: the mean seasonal difference of every series."""

    def __init__(self, ranges: Float64[np.ndarray, "rows 2"], usual: Float64[np.ndarray, "S"], season: int) -> None:
        self._range, self._usual, self._season = torch.from_numpy(ranges), torch.from_numpy(usual), season

    def at(
        self, series: Int64[Tensor, "N"], ends: Int64[Tensor, "N"], horizon: int
    ) -> tuple[Float64[Tensor, "N K"], Float64[Tensor, "N K"]]:
        """The lowest and the highest value that a forecast of every step after the flat rows `ends` may take.

        n seasons ahead that is the range up to `ends`, widened by n + 5 sqrt(n) mean seasonal differences: as steep a
        slope as the series has on average, and five deviations of a random walk of such steps.
        """
        reach = self._usual[series][:, None] * torch.from_numpy(room(horizon, self._season))
        low, high = self._range[ends].split(1, dim=1)
        return low - reach, high + reach


def room(horizon: int, season: int) -> Float64[np.ndarray, "K"]:
    """How far every step may leave the known range, in mean seasonal differences.

    >>> room(3, season=2).tolist() == [6.0, 6.0, 2 + 5 * 2**0.5]
    True
    """
    seasons = np.ceil(np.arange(1, horizon + 1) / season)
    return seasons + FAR * np.sqrt(seasons)


def ranges_of(z: Float64[np.ndarray, "rows"], indptr: Int64[np.ndarray, "pointers"]) -> Float64[np.ndarray, "rows 2"]:
    """The lowest and the highest value of every series up to every row, of values z that are NaN where one is missing;
    0 before its first."""
    found = np.empty((len(z), 2))
    for start, stop in pairwise(indptr.tolist()):
        for side, keep in enumerate((np.fmin, np.fmax)):
            keep.accumulate(z[start:stop], out=found[start:stop, side])
    return np.nan_to_num(found)
