"""Train networks in lockstep on crops of many series: absolute error at all steps after a burn-in, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from gatecast.nn.correction import Corrections
from gatecast.prepare.crops import Crop, Crops, Sampler, Sizes
from gatecast.train.ridge import solve_sums

TARGET_CLIP = 30.0
RIDGE_CLIP = 8.0
RIDGE_ANCHORS = 50_000
RIDGE_ROWS = 2000
"""The linear start learns from at most so many anchors, among the newest rows of every series."""
CHUNK = 2048
"""Anchors, or crops' anchors, that are gathered at once outside training: bounds memory."""


@dataclass(frozen=True)
class Schedule:
    """AdamW with a warm-up and a cosine; `skip`: the linear part's share of the rate; `average`: memory of weights."""

    steps: int
    batch: int = 32
    rate: float = 3e-3
    skip: float = 0.3
    warm: int = 30
    last: float = 0.02
    decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.99

    def factor(self, step: int) -> float:
        """What the rate is multiplied with at `step`, counted from 0."""
        if step < self.warm:
            return (step + 1) / self.warm
        done = (step - self.warm) / max(1, self.steps - self.warm)
        return self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Linear(NamedTuple):
    """A forecast x A + b in normalised units."""

    weight: Float32[Tensor, "D K"]
    bias: Float32[Tensor, "K"]


def train_lockstep(
    nets: Corrections, crops: Crops, schedule: Schedule, generator: torch.Generator, looks: tuple[int, ...]
) -> Iterator[int]:
    """Train up to the last of `looks` (numbers of steps, rising); yields each while `nets` hold their averaged weights.

    The average is exponential with a warm-up (Polyak & Juditsky 1992, and as Tarvainen & Valpola 2017 start it).
    """
    slow = {nets.skip, nets.skip_bias}
    groups = [
        {"params": [p for p in nets.parameters() if p not in slow], "share": 1.0},
        {"params": [p for p in nets.parameters() if p in slow], "share": schedule.skip},
    ]
    optimiser = torch.optim.AdamW(groups, schedule.rate, weight_decay=schedule.decay, fused=True)
    moving: list[Tensor] = list(nets.parameters())
    average = [p.detach().clone() for p in moving]
    sampler, members = Sampler(crops, generator), len(nets.skip)
    for step in range(looks[-1]):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * group["share"] * schedule.factor(step)
        optimiser.zero_grad()
        batch = crops.take(*sampler.draw(members * schedule.batch))
        loss(nets(batch.read.view(members, -1, *batch.read.shape[1:])), batch, crops.sizes).backward()
        torch.nn.utils.clip_grad_norm_(moving, schedule.clip * members, foreach=True)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, moving, 1 - min(schedule.average, (step + 1) / (step + 10)))
        if step + 1 in looks:
            with _holding(moving, average):
                yield step + 1


def loss(y: Float[Tensor, "E B C K"], crop: Crop, sizes: Sizes) -> Float[Tensor, ""]:
    """Mean absolute error in normalised units where a target exists, after the burn-in; summed over networks."""
    full = crop.valid >= sizes.least  # [E B, C]
    full[:, : sizes.anchors // 4] = False
    scored = (crop.exists & full[..., None]).view_as(y).float()
    target = crop.target.clamp(-TARGET_CLIP, TARGET_CLIP).view_as(y)
    off = ((y - target).abs() * scored).sum(dim=(1, 2, 3))
    return (off / scored.sum(dim=(1, 2, 3)).clamp(min=1)).sum()


def forecast(nets: Corrections, crops: Crops, series: Int64[Tensor, "S"]) -> Float64[np.ndarray, "E S K"]:
    """The transformed forecasts of every network from the end of every series."""
    found = []
    with torch.inference_mode():
        for part in series.split(max(1, CHUNK // crops.sizes.anchors)):
            crop = crops.newest(part)
            x = crop.read.expand(len(nets.skip), *crop.read.shape)
            found.append(nets(x)[:, :, -1].double() * crop.scale[:, -1:] + crop.centre[:, -1:])
    return torch.cat(found, dim=1).numpy() + crops.offset[series.numpy()][:, None]


def fit_start(crops: Crops) -> Linear:
    """The closed-form ridge of the linear inputs to the whole horizon, penalty 1e-4 per anchor plus 1."""
    alone = crops.single()
    total: list[Tensor] = []
    anchors = 0
    for series, ends in zip(*(each.split(CHUNK) for each in crops.whole(RIDGE_ROWS, RIDGE_ANCHORS)), strict=True):
        crop = alone.take(series, ends)
        use = crop.exists[:, 0].all(dim=1) & (crop.valid[:, 0] >= crops.sizes.least)
        x = torch.cat([crop.linear[use, 0], torch.ones(int(use.sum()), 1)], dim=1).double()
        y = crop.target[use, 0].clamp(-RIDGE_CLIP, RIDGE_CLIP).double()
        sums = [x.T @ x, x.T @ y]
        total = sums if not total else [a + b for a, b in zip(total, sums, strict=True)]
        anchors += len(x)
    if not anchors:
        return Linear(torch.zeros(crops.sizes.linear, crops.sizes.horizon), torch.zeros(crops.sizes.horizon))
    weight, bias = solve_sums(total[0].numpy(), total[1].numpy(), 1e-4 * anchors + 1)
    return Linear(torch.from_numpy(weight).float(), torch.from_numpy(bias).float())


@contextmanager
def _holding(parameters: list[Tensor], values: list[Tensor]) -> Iterator[None]:
    """`parameters` have these values inside the block."""
    with torch.no_grad():
        kept = [p.clone() for p in parameters]
        torch._foreach_copy_(parameters, values)
    yield
    with torch.no_grad():
        torch._foreach_copy_(parameters, kept)
