"""Checkpoints in a folder: one file per network, replaced at every epoch's end."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import torch

from gatecast.edge import container
from gatecast.train.loop import LossCurve, State

KIND = "checkpoint"


class Checkpoints:
    """A store for `Watch` that survives the process; safe to use from several threads (each key is one thread's)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self, key: str) -> State | None:
        """The state last written under `key`, or None; raises ModelFileError where the file is damaged."""
        path = self._path(key)
        if not path.exists():
            return None
        tensors, facts = container.read(path, KIND)
        curve = facts["curve"]
        return State(
            {name: torch.from_numpy(tensor) for name, tensor in tensors.items()},
            LossCurve(**{**curve, "train": tuple(curve["train"]), "valid": tuple(curve["valid"])}),
            math.inf if facts["best"] is None else facts["best"],
            facts["finished"],
        )

    def write(self, key: str, state: State) -> None:
        """Keep `state` on disk in place of the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        best = state.best if math.isfinite(state.best) else None
        facts = {"curve": asdict(state.curve), "best": best, "finished": state.finished}
        container.write(self._path(key), KIND, {n: t.cpu().numpy() for n, t in state.tensors.items()}, facts)

    def clear(self) -> None:
        """Remove every checkpoint, and the folder if nothing else is in it; drafts of a killed process too."""
        container.clear(self.folder, KIND)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.{KIND}"
