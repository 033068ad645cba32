"""Train several groups of networks side by side, in one process or in many, and go on where a killed run was."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gatecast.errors import FitError
from gatecast.nn.correction import Corrections
from gatecast.prepare.crops import Crop, Sizes
from gatecast.train.lockstep import Learner, Schedule, Tick, loss_sums
from gatecast.train.loop import LossCurve, State, Store, named, part_of
from gatecast.train.optimisers import flatten, unflatten
from gatecast.train.team import Team

EVERY = 50
"""Steps from checkpoint to checkpoint."""


class Course(NamedTuple):
    """What the groups have in common, the processes that train them, and who is told of every step."""

    sizes: Sizes
    schedule: Schedule
    team: Team
    tick: Tick


@dataclass(frozen=True, eq=False)
class Kept:
    """Where the state goes and under which key, the state to go on from, and tensors that it carries along."""

    store: Store
    key: str
    state: State | None
    carried: dict[str, Tensor]


class _SideBySide(nn.Module):
    """Groups of networks as one module, so that their gradients are shared at once."""

    def __init__(self, groups: Sequence[Corrections]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(groups)
        self._members = [len(group.skip) for group in groups]

    def forward(self, reads: list[Tensor]) -> list[Tensor]:
        """What each group says to what it reads."""
        return [
            group(read.view(members, -1, *read.shape[1:]))
            for group, members, read in zip(self.groups, self._members, reads, strict=True)
        ]


def train_together(
    groups: Sequence[Corrections], draw: Callable[[int], Sequence[Crop]], course: Course, kept: Kept
) -> LossCurve:
    """Train for `course.schedule.steps` steps and leave every network with its averaged weights; returns the loss.

    `draw(step)` gives this process's crops, for every group those of one network after another. A network's loss is
    the sum over its crops in all processes over the number of their targets, so that it does not depend on how many
    processes there are, but for rounding; the curve is the mean over the networks. A state that was kept and goes on
    gives the same bits as an uninterrupted run with as many processes.
    """
    team, schedule = course.team, course.schedule
    together = _SideBySide(groups).to(team.device)
    module = team.joined(together)
    learners = [Learner(group, group.skip, schedule.over(len(group.skip))) for group in groups]
    curve = list(kept.state.curve.train) if kept.state else []
    _agree(team, len(curve))
    if kept.state:
        _restore(kept.state, learners)
    for step in range(len(curve), schedule.steps):
        for learner in learners:
            learner.begin(step)
        curve.append(_descend(module, draw(step), course))
        if not math.isfinite(curve[-1]):
            raise FitError(f"the loss became {curve[-1]} at step {step + 1}", "look for extreme values in the data")
        for learner in learners:
            learner.end(step)
        course.tick.step()
        if team.leads and ((step + 1) % EVERY == 0 or step + 1 == schedule.steps):
            kept.store.write(kept.key, _state(learners, curve, kept.carried, schedule.steps))
    with torch.no_grad():
        for learner in learners:
            torch._foreach_copy_(learner.moving, learner.average)
    together.to("cpu")
    return LossCurve("all series", tuple(curve))


def _descend(module: nn.Module, crops: Sequence[Crop], course: Course) -> float:
    """The gradients of one step; returns the mean loss over all networks and processes."""
    team = course.team
    said = module([crop.read.to(team.device) for crop in crops])
    sums = [loss_sums(y.to("cpu"), crop, course.sizes) for y, crop in zip(said, crops, strict=True)]
    off, count = (torch.cat(each) for each in zip(*sums, strict=True))
    whole_off, whole_count = team.sum(torch.stack([off.detach(), count]))
    whole_count = whole_count.clamp(min=1)
    ((off / whole_count).sum() * team.size).backward()  # the gradient is a mean over the processes
    return float((whole_off / whole_count).mean())


def _agree(team: Team, done: int) -> None:
    """Raise FitError where the processes do not go on from the same step."""
    if int(team.from_first(torch.tensor(done))) != done:
        raise FitError(
            f"process {team.rank} does not find the checkpoint of process 0", "name a folder that all machines see"
        )


def _state(learners: list[Learner], curve: list[float], carried: dict[str, Tensor], steps: int) -> State:
    """Everything that training needs to go on."""
    tensors = dict(carried)
    for i, learner in enumerate(learners):
        tensors |= named(_numbered(learner.moving), f"{i}/now")
        tensors |= named(_numbered(learner.average), f"{i}/average")
        tensors |= named(flatten(learner.optimiser), f"{i}/optimiser")
    return State(tensors, LossCurve("all series", tuple(curve)), finished=len(curve) == steps)


def _restore(state: State, learners: list[Learner]) -> None:
    """Put back what `_state` took."""
    with torch.no_grad():
        for i, learner in enumerate(learners):
            for name, own in (("now", learner.moving), ("average", learner.average)):
                kept = part_of(state.tensors, f"{i}/{name}")
                for n, tensor in enumerate(own):
                    tensor.copy_(kept[str(n)])  # from the CPU to wherever it is
            unflatten(learner.optimiser, part_of(state.tensors, f"{i}/optimiser"))


def _numbered(tensors: list[Tensor]) -> dict[str, Tensor]:
    return {str(n): tensor for n, tensor in enumerate(tensors)}
