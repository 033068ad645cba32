"""A plain PyTorch model before and after `gatecast.nn.accelerate`: the losses of 100 steps, and the speed-up."""

from __future__ import annotations

import copy
import json
import sys
import time
from statistics import median

import torch
from torch import Tensor, nn

from gatecast.nn import accelerate

STEPS, ROUNDS = 100, 3


class Model(nn.Module):
    """An encoder of two LSTM layers, a GRU on top, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(4, 64, num_layers=2, batch_first=True)
        self.decoder = nn.GRU(64, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One value per sequence."""
        out: Tensor = self.head(self.decoder(self.encoder(x)[0])[0][:, -1])
        return out


def train(model: nn.Module) -> tuple[list[float], float]:
    """Losses of every step and the seconds they took."""
    optimiser, losses = torch.optim.Adam(model.parameters(), 1e-3, fused=True), []
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(STEPS, 32, 48, 4, generator=generator)
    start = time.perf_counter()
    for batch in x:
        loss = (model(batch)[:, 0] - batch.mean(dim=(1, 2))).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses, time.perf_counter() - start


def main() -> None:
    """Alternate both, print medians and the largest relative difference of losses."""
    torch.manual_seed(0)
    start, seconds = Model(), {"torch": [], "native": []}
    for _ in range(ROUNDS):
        theirs, ours = copy.deepcopy(start), copy.deepcopy(start)
        accelerate(ours)
        wanted, spent = train(theirs)
        seconds["torch"].append(spent)
        found, spent = train(ours)
        seconds["native"].append(spent)
    worst = max(abs(a - b) / abs(b) for a, b in zip(found, wanted, strict=True))
    slow, fast = median(seconds["torch"]), median(seconds["native"])
    line = {"losses_max_rel_diff": worst, "seconds_torch": slow, "seconds_native": fast, "ratio": slow / fast}
    sys.stdout.write(json.dumps({"lstm-gru": line}) + "\n")


if __name__ == "__main__":
    main()
