"""Train networks in lockstep on crops of many series: pinball loss at all steps after a burn-in, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn

from gatecast.nn.correction import Corrections
from gatecast.nn.device import clip_gradients, device_of, placed
from gatecast.prepare.crops import Crop, Crops, Sampler, Sizes
from gatecast.train.ridge import solve_sums

QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""What every network forecasts of every horizon step."""
MEDIAN = QUANTILES.index(0.5)
TARGET_CLIP = 30.0
RIDGE_CLIP = 8.0
RIDGE_ANCHORS = 50_000
RIDGE_ROWS = 2000
"""The linear start learns from at most so many anchors, among the newest rows of every series."""
SPREAD_ANCHORS = 4096
"""The quantiles around it from at most so many of them."""
LEARNED = ("read", "target", "exists", "valid")
"""What a training step needs of its crops."""
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
    decay: float = 1.0
    clip: float = 1.0
    average: float = 0.99

    def factor(self, step: int) -> float:
        """What the rate is multiplied with at `step`, counted from 0."""
        if step < self.warm:
            return (step + 1) / self.warm
        done = (step - self.warm) / max(1, self.steps - self.warm)
        return self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def over(self, members: int) -> Schedule:
        """The same for so many networks whose losses are summed."""
        return replace(self, clip=self.clip * members)


class Linear(NamedTuple):
    """A forecast x A + b in normalised units, with a b for every quantile."""

    weight: Float32[Tensor, "D K"]
    bias: Float32[Tensor, "K Q"]


Examples = Iterator[tuple[Float32[Tensor, "n D"], Float32[Tensor, "n K"]]]
"""Linear inputs and targets, in chunks."""


class Tick:
    """Who is told about training steps; this one does nothing with it."""

    def begin(self, what: str, total: int) -> None:
        """A stage of `total` steps, over all its networks, begins."""

    def step(self) -> None:
        """One step is done, in any thread."""


def train_lockstep(
    nets: Corrections,
    crops: Crops,
    schedule: Schedule,
    generator: torch.Generator,
    looks: tuple[int, ...],
    tick: Tick | None = None,
) -> Iterator[int]:
    """Train up to the last of `looks` (numbers of steps, rising); yields each while `nets` hold averaged weights.

    Crops are gathered on the CPU, on another device while the networks there are still at the step before.
    """
    sampler, members, device = Sampler(crops, generator), len(nets.skip), device_of(nets)

    def step() -> Float[Tensor, ""]:
        batch = placed(crops.take(*sampler.draw(members * schedule.batch)), device, LEARNED)
        return loss(nets(batch.read.view(members, -1, *batch.read.shape[1:])), batch, crops.sizes)

    yield from descend(Learner(nets, nets.skip, schedule.over(members)), step, looks, tick)


def descend(
    learner: Learner, loss_of_step: Callable[[], Float[Tensor, ""]], looks: tuple[int, ...], tick: Tick | None = None
) -> Iterator[int]:
    """Learn up to the last of `looks`; yields each while the networks hold their averaged weights."""
    for step in range(looks[-1]):
        learner.begin(step)
        loss_of_step().backward()
        learner.end(step)
        if tick:
            tick.step()
        if step + 1 in looks:
            with _holding(learner.moving, learner.average):
                yield step + 1


class Learner:
    """The optimiser of networks whose linear part is `skip`, and the moving average of their weights.

    The average is exponential with a warm-up (Polyak & Juditsky 1992, and as Tarvainen & Valpola 2017 start it).
    """

    def __init__(self, nets: nn.Module, skip: Tensor, schedule: Schedule) -> None:
        groups = [
            {"params": [p for p in nets.parameters() if p is not skip], "share": 1.0},
            {"params": [skip], "share": schedule.skip},
        ]
        self.optimiser = torch.optim.AdamW(groups, schedule.rate, weight_decay=schedule.decay, fused=True)
        self.moving: list[Tensor] = list(nets.parameters())
        self.average = [p.detach().clone() for p in self.moving]
        self._schedule = schedule

    def begin(self, step: int) -> None:
        """The rate of this step, counted from 0, and no gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._schedule.rate * group["share"] * self._schedule.factor(step)
        self.optimiser.zero_grad()

    def end(self, step: int) -> None:
        """Move the weights along their gradients, and the average after them."""
        clip_gradients(self.moving, self._schedule.clip)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.moving, 1 - min(self._schedule.average, (step + 1) / (step + 10)))


def loss(y: Float[Tensor, "E B C K Q"], crop: Crop, sizes: Sizes) -> Float[Tensor, ""]:
    """Mean pinball loss in normalised units where a target exists, after the burn-in; summed over networks."""
    off, count = loss_sums(y, crop, sizes)
    return (off / count.clamp(min=1)).sum()


def loss_sums(y: Float[Tensor, "E B C K Q"], crop: Crop, sizes: Sizes) -> tuple[Float[Tensor, "E"], Float[Tensor, "E"]]:
    """Of every network the sum of its pinball losses, averaged over quantiles, and how many targets were scored.

    Twice max(q e, (q - 1) e) for an error e = target - y: the absolute error at the median (Koenker & Bassett 1978).
    """
    full = crop.valid >= sizes.least  # [E B, C]
    full[:, : sizes.anchors // 4] = False
    scored = (crop.exists & full[..., None]).view(y.shape[:-1]).float()
    target = crop.target.clamp(-TARGET_CLIP, TARGET_CLIP).view(y.shape[:-1])
    return pinball(y, target, scored).sum(dim=(1, 2, 3)).mean(dim=1), scored.sum(dim=(1, 2, 3))


def pinball(
    y: Float[Tensor, "*n K Q"], target: Float[Tensor, "*n K"], scored: Float[Tensor, "*n K"]
) -> Float[Tensor, "*n K Q"]:
    """The loss of every quantile where it is scored, else 0."""
    error = target[..., None] - y
    lean = 2 * torch.tensor(QUANTILES).to(y.device) - 1
    return (error.abs() + lean * error) * scored[..., None]


def forecast(
    groups: Sequence[Corrections], crops: Crops, series: Int64[Tensor, "S"], ends: Int64[Tensor, "S"] | None = None
) -> Float64[np.ndarray, "E S K Q"]:
    """The transformed forecasts of every network of some groups after the flat rows `ends` (the end of every series),
    quantiles in rising order and within the limits of their series."""
    found, size = [], max(1, CHUNK // crops.sizes.anchors)
    last = crops.stops[series] - 1 if ends is None else ends
    with torch.inference_mode():
        for part, end in zip(series.split(size), last.split(size), strict=True):
            crop = crops.take(part, end)
            scale, centre = (each[:, -1, None, None] for each in (crop.scale, crop.centre))
            read = crop.read.to(device_of(groups[0]))
            y = torch.cat([nets.newest(read.expand(len(nets.skip), *read.shape)) for nets in groups]).cpu()
            low, high = (each[..., None] for each in crops.limits.at(part, end, crops.sizes.horizon))
            found.append((y.sort(dim=3).values.double() * scale + centre).clamp(low, high))
    return torch.cat(found, dim=1).numpy() + crops.offset[series.numpy()][:, None, None]


def fit_start(crops: Crops) -> Linear:
    """The closed-form ridge of the linear inputs to the whole horizon, penalty 1e-4 per anchor plus 1, and the
    quantiles of what it leaves."""
    start = linear_start(lambda: _examples(crops, RIDGE_ANCHORS), lambda: _examples(crops, SPREAD_ANCHORS))
    return start or flat_start(crops)


def linear_start(many: Callable[[], Examples], few: Callable[[], Examples]) -> Linear | None:
    """The ridge of many examples, with the quantiles of what it leaves of a few; None without any example."""
    total: list[Tensor] = []
    anchors = 0
    for x, y in many():
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
        sums = [x.T @ x, x.T @ y.double()]
        total = sums if not total else [a + b for a, b in zip(total, sums, strict=True)]
        anchors += len(x)
    if not anchors:
        return None
    weight, bias = map(torch.from_numpy, solve_sums(total[0].numpy(), total[1].numpy(), 1e-4 * anchors + 1))
    weight, bias = weight.float(), bias.float()
    left = torch.cat([y - x @ weight for x, y in few()]) - bias  # [n, K]
    around = torch.quantile(left, torch.tensor(QUANTILES), dim=0).T if len(left) else torch.zeros(1)
    return Linear(weight, bias[:, None] + around)


def flat_start(crops: Crops) -> Linear:
    """No linear forecast: weights of zero, and the median of all targets for every quantile."""
    targets = [y for _, y in _examples(crops, SPREAD_ANCHORS)]
    middle = torch.cat(targets).median().item() if sum(map(len, targets)) else 0.0
    sizes = crops.sizes
    return Linear(torch.zeros(sizes.linear, sizes.horizon), torch.full((sizes.horizon, len(QUANTILES)), middle))


def _examples(crops: Crops, most: int) -> Examples:
    """Linear inputs and targets of anchors with a usable window and a whole horizon, in chunks."""
    alone = crops.single()
    for series, ends in zip(*(each.split(CHUNK) for each in crops.whole(RIDGE_ROWS, most)), strict=True):
        crop = alone.take(series, ends)
        use = crop.exists[:, 0].all(dim=1) & (crop.valid[:, 0] >= crops.sizes.least)
        yield crop.linear[use, 0], crop.target[use, 0].clamp(-RIDGE_CLIP, RIDGE_CLIP)


@contextmanager
def _holding(parameters: list[Tensor], values: list[Tensor]) -> Iterator[None]:
    """`parameters` have these values inside the block."""
    with torch.no_grad():
        kept = [p.clone() for p in parameters]
        torch._foreach_copy_(parameters, values)
    yield
    with torch.no_grad():
        torch._foreach_copy_(parameters, kept)
