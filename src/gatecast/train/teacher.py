"""Train a network to forecast the next value: on true values, on noisy ones, and for the last steps on its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.errors import DataError
from gatecast.nn.device import clip_gradients, device_of, placed
from gatecast.nn.student import StudentNet, draw, student_loss
from gatecast.prepare.stretches import CLIP, INSIDE, Stretch, Stretches
from gatecast.train.lockstep import Schedule, Tick

READ = ("z", "facts", "exists")
"""What goes to the device of a network; centre and scale, in float64, stay."""


def train_teacher(
    net: StudentNet,
    stretches: Stretches,
    schedule: Schedule,
    options: tuple[float, int],
    generator: torch.Generator,
    tick: Tick,
) -> None:
    """Minus the log likelihood of the rows after the context; leaves averaged weights.

    `options`: the standard deviation of noise on the values read, in their scale; and how many of the last rows are
    forecast from the network's own draws (Bengio et al. 2015, "Scheduled sampling", with a fixed share).
    """
    noise, self_fed = options
    optimiser = torch.optim.AdamW(net.parameters(), schedule.rate, weight_decay=schedule.decay, fused=True)
    moving: list[Tensor] = list(net.parameters())
    average = [p.detach().clone() for p in moving]
    series, ends = stretches.anchors()
    if not len(series):
        raise DataError("no series is long enough to learn its next row from", f"it takes more than {INSIDE} rows")
    for step in range(schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * schedule.factor(step)
        at = torch.randint(len(series), (schedule.batch,), generator=generator)
        batch = placed(stretches.take(series[at], ends[at], stretches.horizon), device_of(net), READ)
        optimiser.zero_grad()
        loss(net, batch, stretches, (noise, self_fed), generator).backward()
        clip_gradients(moving, schedule.clip)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, moving, 1 - min(schedule.average, (step + 1) / (step + 10)))
        tick.step()
    with torch.no_grad():
        torch._foreach_copy_(moving, average)


def loss(
    net: StudentNet, batch: Stretch, stretches: Stretches, options: tuple[float, int], generator: torch.Generator
) -> Float[Tensor, ""]:
    """Mean over the rows after the context that have a value."""
    noise, self_fed = options
    season, context = stretches.season, stretches.context
    x = batch.read(season)
    if noise:
        x[..., :2] += noise * torch.randn(x[..., :2].shape, generator=generator).to(x.device)
    rows = x.shape[1] - self_fed
    (location, width, degrees), state = net(x[:, :rows])
    parts = [(location, width, degrees)]
    values = batch.z.clone()
    for row in range(rows, x.shape[1]):
        with torch.no_grad():
            drawn = draw(location[:, -1], width[:, -1], degrees[:, -1], generator)
            values[:, season + row - 1] = drawn.clamp(-CLIP, CLIP)
        before = torch.stack([values[:, season + row - 1], values[:, row]], dim=1)
        (location, width, degrees), state = net(torch.cat([before, x[:, row, 2:]], dim=1)[:, None], state)
        parts.append((location, width, degrees))
    joined = [torch.cat(each, dim=1)[:, context:] for each in zip(*parts, strict=True)]
    scored = batch.exists[:, context:].float()
    off = student_loss(batch.z[:, season + context :], joined[0], joined[1], joined[2]) * scored
    return off.sum() / scored.sum().clamp(min=1)


@torch.inference_mode()
def sample(
    net: StudentNet,
    batch: Stretch,
    limits: tuple[Float[Tensor, "N K"], Float[Tensor, "N K"]],
    stretches: Stretches,
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "N n K"]:
    """Scaled paths: every step is a draw, moved to within its limits (transformed units), that the next step reads."""
    season, context, n, device = stretches.season, stretches.context, len(batch.z), device_of(net)
    batch = placed(batch, device, READ)
    steps = batch.facts.shape[1] - context
    found, state = net(batch.read(season)[:, : context + 1])
    last = [each[:, -1].repeat_interleave(count, 0) for each in found]
    many = [each.repeat_interleave(count, 1) for each in (state if isinstance(state, tuple) else (state,))]
    values = batch.z.repeat_interleave(count, 0)
    scaled = (((each - batch.centre[:, None]) / batch.scale[:, None]).float().to(device) for each in limits)
    lowest, highest = (each.repeat_interleave(count, 0) for each in scaled)
    for step in range(steps):
        row = context + step
        drawn = draw(last[0], last[1], last[2], generator)
        values[:, season + row] = drawn.clamp(lowest[:, step], highest[:, step])
        if step + 1 < steps:
            before = torch.stack([values[:, season + row], values[:, row + 1]], dim=1)
            facts = batch.facts[:, row + 1].repeat_interleave(count, 0)
            x = torch.cat([before, facts], dim=1)[:, None]
            found, state = net(x, tuple(many) if len(many) == 2 else many[0])
            many = list(state) if isinstance(state, tuple) else [state]
            last = [each[:, -1] for each in found]
    return values[:, season + context :].view(n, count, steps)
