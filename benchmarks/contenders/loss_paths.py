"""Whether training on the kernels follows PyTorch's: the notebook's LSTM without dropout, from the same weights.

    python loss_paths.py prices.csv [EPOCHS]

Trains gatecast.nn.LSTM, torch.nn.LSTM, and torch.nn.LSTM from start weights perturbed by 1e-7, on the same batches of
IBM's High before 2017. Prints as one line of JSON, for the kernels and for every perturbed run: the largest relative
difference of a batch's loss from PyTorch's in the first epoch, and the mean loss of every epoch.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gatecast.nn import accelerate

Array = NDArray[np.float32]
WINDOW, BATCH, UNITS, LAYERS = 60, 32, 50, 4
PERTURBED, SIZE = 4, 1e-7


class Model(nn.Module):
    """Four LSTM layers and a head on the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, UNITS, LAYERS, batch_first=True)
        self.head = nn.Linear(UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The next value, [B, 1]."""
        y: Tensor = self.head(self.lstm(x)[0][:, -1])
        return y


def read_high(path: Path) -> Array:
    """The column High before 2017."""
    with path.open(newline="") as file:
        return np.array([row["High"] for row in csv.DictReader(file) if row["Date"] < "2017"], np.float32)


def fresh(perturbation: int = 0) -> Model:
    """The model at its start; perturbed by noise number `perturbation`, if it is not 0."""
    torch.manual_seed(0)
    model = Model()
    torch.manual_seed(perturbation)
    with torch.no_grad():
        for p in model.parameters() if perturbation else ():
            p.mul_(1 + SIZE * torch.randn_like(p))
    return model


def train(model: Model, x: Tensor, y: Tensor, epochs: int) -> list[list[float]]:
    """The loss of every batch of every epoch."""
    optimiser = torch.optim.RMSprop(model.parameters(), 1e-3, alpha=0.9, eps=1e-7, foreach=True)
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(epochs):
        losses.append([])
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            loss = nn.functional.mse_loss(model(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[-1].append(float(loss.detach()))
    return losses


def main() -> None:
    """Train all, compare, print."""
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    past = read_high(Path(sys.argv[1]))
    scaled = (past - past.min()) / (past.max() - past.min())
    x, y = torch.from_numpy(scaled).unfold(0, WINDOW, 1)[:-1, :, None], torch.from_numpy(scaled[WINDOW:, None])
    torch.set_flush_denormal(True)
    native = fresh()
    accelerate(native)
    runs = {"torch": train(fresh(), x, y, epochs), "gatecast": train(native, x, y, epochs)}
    runs |= {f"perturbed {i}": train(fresh(i), x, y, epochs) for i in range(1, PERTURBED + 1)}
    base = np.array(runs["torch"][0])
    found = {
        name: {
            "first_epoch_max_rel_diff": float(np.abs(np.array(run[0]) / base - 1).max()),
            "epochs": [float(np.mean(losses)) for losses in run],
        }
        for name, run in runs.items()
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
