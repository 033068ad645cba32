"""Draws from a panel on disk, stratified: part k of a batch comes from part k of the series.

The series stand in a row, each as wide as its chance, which is cut into as many parts as a batch has crops. A round of
steps reads some series of every part and takes its crops from them. All numbers are drawn from the seed, the number of
the round or step and the part: they are the same however many processes share the parts, and after a pause.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from gatecast.data.store import MOST_ROWS, Block, ParquetPanel, together
from gatecast.prepare.crops import Crop, Crops, anchors_at

ROUND = 16
"""Steps that take their crops from the same series."""
ROUND_ROWS = 250_000
"""Rows, about, that a round reads: bounds memory."""


class Strata(NamedTuple):
    """A panel in parts, and the seed of all draws; `each`: series that a round reads of every part."""

    store: ParquetPanel
    parts: int
    each: int
    seed: int

    def round(self, number: int, own: range) -> Block:
        """The series of a round in these parts, `each` of every part, one part after another.

        A part's series are of one block, which is drawn by its weight, and they by theirs: the chance of a series is
        its share of all weight.
        """
        return together([self._series(number, part) for part in own])

    def _series(self, number: int, part: int) -> Block:
        draw = np.random.default_rng([self.seed, 5, number, part])
        block = self.store.block(self.store.at_share((part + draw.random()) / self.parts))
        mass = np.cumsum(block.weights)
        at = np.searchsorted(mass, draw.random(self.each) * mass[-1], side="right")
        return block.take(np.minimum(at, len(block) - 1))

    def places(
        self, step: int, shape: tuple[int, int], own: range
    ) -> tuple[Int64[Tensor, "G E B"], Float64[Tensor, "G E B"]]:
        """What G groups of E networks read at a step, a crop for every part of theirs: which series of the round, and
        where in it, from 0 to 1."""
        groups, members = shape
        drawn = np.random.default_rng([self.seed, 6, step]).random((2, groups, members, self.parts))
        which, where = torch.from_numpy(drawn[..., own.start : own.stop].copy())
        return torch.arange(len(own)) * self.each + (which * self.each).long(), where


def strata(store: ParquetPanel, parts: int, members: int, seed: int) -> Strata:
    """As many series to a round as its steps have crops, or as there is room for."""
    usual = min(store.rows // store.series, MOST_ROWS)
    each = max(1, min(ROUND * members, ROUND_ROWS // (parts * usual)))
    return Strata(store, parts, each, seed)


def crops_at(crops: Crops, which: Int64[Tensor, "E B"], where: Float64[Tensor, "E B"]) -> Crop:
    """The crops of one group, those of a network one after another."""
    series = which.flatten()
    return crops.take(series, anchors_at(crops, series, where.flatten()))
