"""What may be known at a cut-off: the rows up to it, the known-future columns of the rows after it, and facts that
never change. Cutting it again gives what was known earlier."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from gatecast.data.panel import Panel


@dataclass(frozen=True, eq=False)
class Given:
    """A panel on its calendar whose columns are the target, the past ones and the known-future ones.

    `ahead`: the known-future columns of the K rows after every series, NaN where they are not known; `static`: numbers
    of every series.
    """

    panel: Panel
    ahead: Float64[np.ndarray, "S K F"]
    static: Float64[np.ndarray, "S G"]

    @property
    def known(self) -> int:
        """How many columns are known ahead."""
        return self.ahead.shape[2]

    @property
    def past(self) -> int:
        """How many columns beside the target are known up to the cut-off only."""
        return len(self.panel.columns) - 1 - self.known

    def cut(self, kept: Int64[np.ndarray, "S"]) -> Given:
        """The first `kept` rows of every series; the known-future columns of the rows after them stay known."""
        panel, lengths = self.panel, np.diff(self.panel.indptr)
        row = np.arange(panel.rows) - np.repeat(panel.indptr[:-1], lengths)
        steps, count = self.ahead.shape[1], len(panel.columns)
        at = kept[:, None] + np.arange(steps)  # [S, K], rows of the series and then of what was ahead of it
        inside = np.minimum(panel.indptr[:-1, None] + at, max(panel.rows - 1, 0))
        beyond = np.clip(at - lengths[:, None], 0, max(steps - 1, 0))
        later = np.take_along_axis(self.ahead, beyond[..., None], axis=1)
        here = panel.values[inside][..., count - self.known :]
        unknown = at - lengths[:, None] >= steps
        ahead = np.where((at < lengths[:, None])[..., None], here, np.where(unknown[..., None], np.nan, later))
        return replace(self, panel=panel.where(row < np.repeat(kept, lengths)), ahead=ahead)

    def without_empty(self) -> Given:
        """The series that have a row."""
        full = np.diff(self.panel.indptr) > 0
        return Given(self.panel.without_empty(), self.ahead[full], self.static[full])

    def copies(self, s: int, targets: Float64[np.ndarray, "B T"]) -> Given:
        """Series s as many times as there are rows of `targets`, each with its newest T targets in place of its own."""
        panel, count = self.panel, len(targets)
        rows = slice(int(panel.indptr[s]), int(panel.indptr[s + 1]))
        values = np.tile(panel.values[rows], (count, 1, 1))  # [B, rows, C]
        values[:, values.shape[1] - targets.shape[1] :, 0] = targets
        many = replace(
            panel,
            values=values.reshape(-1, values.shape[2]),
            times=np.tile(panel.times[rows], count),
            indptr=np.arange(count + 1) * values.shape[1],
            ids=tuple(f"{number:06d}" for number in range(count)),
        )
        return Given(many, np.repeat(self.ahead[s : s + 1], count, 0), np.repeat(self.static[s : s + 1], count, 0))


def bare(panel: Panel, steps: int) -> Given:
    """A panel of targets alone."""
    series = len(panel)
    return Given(panel.columns_as((panel.target,)), np.zeros((series, steps, 0)), np.zeros((series, 0)))
