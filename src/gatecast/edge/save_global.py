"""A fitted global model as tensors and facts, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.edge.container import Tensors
from gatecast.forecast.bands import Scores
from gatecast.forecast.candidates import Choice, Part, crops_of, members_for, untrained
from gatecast.forecast.global_forecaster import GlobalForecaster
from gatecast.forecast.rules import Candidate, sizes_for
from gatecast.prepare.scale import SeriesTransform


def pack(model: GlobalForecaster) -> tuple[Tensors, dict[str, Any]]:
    """Everything that a forecast needs."""
    panel = model.fitted()
    tensors: Tensors = {
        "panel.values": panel.values,
        "panel.times": panel.times.astype(np.int64),
        "panel.indptr": panel.indptr,
        "scores": model.scores_.values,
    }
    for p, part in enumerate(model.parts_):
        tensors[f"part.{p}.unit"] = part.transform.unit
        for g, net in enumerate(part.nets):
            tensors |= {f"part.{p}.{g}.{name}": weight.numpy() for name, weight in net.state_dict().items()}
    facts = {
        "h": model.h,
        "season": model.season,
        "series": list(panel.ids),
        "target": panel.target,
        "calendar": asdict(panel.calendar),
        "integer_time": panel.times.dtype.kind == "i",
        "candidates": [asdict(choice) for choice in model.choices_],
        "rules": list(model.rules_),
    }
    return tensors, facts


def unpack(tensors: Tensors, facts: dict[str, Any]) -> GlobalForecaster:
    """The model that was packed; ValueError, KeyError or RuntimeError where names or shapes do not agree."""
    model = GlobalForecaster(facts["h"], season=facts["season"])
    times = tensors["panel.times"]
    model.panel_ = Panel(
        values=tensors["panel.values"],
        times=times if facts["integer_time"] else times.astype("datetime64[ns]"),
        indptr=tensors["panel.indptr"],
        ids=tuple(map(str, facts["series"])),
        columns=(str(facts["target"]),),
        calendar=Calendar(**facts["calendar"]),
        fill="last",
        source="the saved model",
    )
    model.choices_ = tuple(
        Choice(**{**each, "candidate": Candidate(**each["candidate"])}) for each in facts["candidates"]
    )
    sizes, candidates, choices = map(str, facts["rules"])
    model.rules_ = (sizes, candidates, choices)
    model.scores_ = Scores(tensors["scores"])
    kept = [choice.candidate for choice in model.choices_ if choice.kept]
    model.parts_ = tuple(_part(model, candidate, f"part.{p}.", tensors) for p, candidate in enumerate(kept))
    return model


def _part(model: GlobalForecaster, candidate: Candidate, prefix: str, tensors: Tensors) -> Part:
    """One candidate's networks with the file's weights, over the file's panel."""
    transform = SeriesTransform(candidate.transform == "log", tensors[f"{prefix}unit"])
    crops = crops_of(model.panel_, sizes_for(model.panel_, model.h)[0], candidate, transform)
    members = members_for(sum(choice.kept for choice in model.choices_))
    part = Part(candidate, transform, crops, untrained(candidate, crops, members))
    for g, net in enumerate(part.nets):
        own = f"{prefix}{g}."
        net.load_state_dict({n.removeprefix(own): torch.from_numpy(t) for n, t in tensors.items() if n.startswith(own)})
    return part
