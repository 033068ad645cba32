"""Where the finished parts of a backtest are kept, so that one that was cut goes on; the caller says where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped

from gatecast.nn import native
from gatecast.prepare.given import Given
from gatecast.prepare.split import Cut
from gatecast.train.lockstep import Tick

Columns = dict[str, Shaped[np.ndarray, "_"]]
"""A table: columns of the same length, which another table need not have."""


@runtime_checkable
class Kept(Protocol):
    """A store of tables; a key says everything that they depend on."""

    def read(self, key: str) -> list[Columns] | None:
        """The tables that were written under `key`, or None."""

    def write(self, key: str, tables: list[Columns]) -> None:
        """Keep `tables` under `key`."""


RIVALS = ("statsforecast",)
"""Packages whose models may be judged, where they are installed."""


class Nowhere:
    """A store that keeps nothing."""

    def read(self, key: str) -> list[Columns] | None:
        """None."""
        return None

    def write(self, key: str, tables: list[Columns]) -> None:
        """Nothing."""


@dataclass
class Following:
    """What surrounds a backtest: who is told how far it is, and where its finished origins are kept."""

    tick: Tick = field(default_factory=Tick)
    kept: Kept = field(default_factory=Nowhere)


def data_key(given: Given) -> str:
    """A digest of everything that is given; not of where it came from."""
    panel = given.panel
    digest = hashlib.sha256(repr((panel.ids, panel.columns, panel.calendar, str(panel.times.dtype))).encode())
    for array in (panel.values, panel.times, panel.indptr, given.ahead, given.static):
        digest.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def part_key(model: tuple[str, int, dict[str, Any]], data: str, cuts: Sequence[Cut], wanted: dict[str, float]) -> str:
    """A digest of the model's kind, horizon and settings, its data, its origins, what is asked of it, and the versions
    that decide the bits."""
    release = (version("gatecast"), torch.__version__, np.__version__, native.isa(), *map(_release, RIVALS))
    rows = [(cut.kept.tolist(), cut.judged.tolist()) for cut in cuts]
    facts = json.dumps([*model, data, rows, wanted, *release], default=asdict)
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _release(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
