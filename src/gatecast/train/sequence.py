"""Train a sequence network: pinball loss at every row, truncated backpropagation through time, averaged weights.

B walks go through the series in stretches of some rows. Each stretch starts from the state that the walk's last one
ended with, and the gradient stops there (Williams & Peng 1990, "truncated backpropagation through time"), so a network
learns to use a state that is older than a stretch without the cost of going back further. A series begins at zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gatecast.nn.device import device_of
from gatecast.nn.sequence import Carried, SequenceNet
from gatecast.prepare.sequences import Sequences, Stretch, Walks
from gatecast.train.lockstep import (
    CHUNK,
    QUANTILES,
    RIDGE_ANCHORS,
    RIDGE_CLIP,
    SPREAD_ANCHORS,
    TARGET_CLIP,
    Learner,
    Linear,
    Schedule,
    Tick,
    descend,
    linear_start,
    pinball,
)


class Course(NamedTuple):
    """Rows of a stretch, the schedule, whose batch is a number of walks, the steps after which to look, and what draws
    the order of the series."""

    length: int
    schedule: Schedule
    looks: tuple[int, ...]
    generator: torch.Generator


def train_sequence(net: SequenceNet, sequences: Sequences, course: Course, tick: Tick | None = None) -> Iterator[int]:
    """Train up to the last look; yields each while `net` holds its averaged weights."""
    walks = Walks(sequences, course.schedule.batch, course.length, course.generator)
    state = net.begin(course.schedule.batch)

    def step() -> Float[Tensor, ""]:
        nonlocal state
        off, state = loss(net, sequences, walks.next(), state)
        return off

    yield from descend(Learner(net, net.skip, course.schedule), step, course.looks, tick)


def loss(net: SequenceNet, sequences: Sequences, stretch: Stretch, state: Carried) -> tuple[Float[Tensor, ""], Carried]:
    """Mean pinball loss of a stretch where a target is there, and the state after it, cut off from its gradient."""
    device, flat = device_of(net), stretch.rows.flatten().numpy()
    going = (~stretch.begins).float()[:, None].to(device)
    read = (each.to(device) for each in (sequences.take(flat), sequences.ahead(flat)))
    x, ahead = (each.view(*stretch.rows.shape, -1) for each in read)
    y, state = net(x, ahead, Carried(state.h * going, state.c * going))
    target, exists = (each.to(device).view(y.shape[:-1]) for each in sequences.targets(flat))
    scored = exists & stretch.inside[..., None].to(device)
    off = pinball(y, target.clamp(-TARGET_CLIP, TARGET_CLIP), scored.float())
    return off.sum() / scored.sum().clamp(min=1), Carried(state.h.detach(), state.c.detach())


def fit_start(sequences: Sequences) -> Linear:
    """The closed-form ridge of what is read to the whole horizon, as `train.lockstep` fits it."""
    rows = np.concatenate(
        [np.arange(start, stop) for start, stop in zip(sequences.starts, sequences.stops, strict=True)]
    )

    def examples(most: int) -> Iterator[tuple[Float32[Tensor, "n D"], Float32[Tensor, "n K"]]]:
        chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
        for part in np.array_split(chosen, -(-len(chosen) // CHUNK)):
            y, exists = sequences.targets(part)
            use = exists.all(dim=1)
            x = torch.cat([sequences.take(part), sequences.ahead(part)], dim=1)
            yield x[use], y[use].clamp(-RIDGE_CLIP, RIDGE_CLIP)

    width = sequences.inputs + sequences.more
    flat = Linear(torch.zeros(width, sequences.reading.horizon), torch.zeros(sequences.reading.horizon, len(QUANTILES)))
    return linear_start(lambda: examples(RIDGE_ANCHORS), lambda: examples(SPREAD_ANCHORS)) or flat
