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
from gatecast.forecast.candidates import Choice, Part, crops_of, untrained
from gatecast.forecast.global_forecaster import GlobalForecaster
from gatecast.forecast.rules import Candidate
from gatecast.forecast.statics import Fact, Statics
from gatecast.prepare.crops import Sizes
from gatecast.prepare.given import Given
from gatecast.prepare.units import fit_units

MOST = 100_000
"""A file that asks for a longer season or for more anchors is not believed."""


def pack(model: GlobalForecaster) -> tuple[Tensors, dict[str, Any]]:
    """Everything that a forecast needs."""
    given, names, static = model.fitted(), model.covariates, model.static_
    panel = given.panel
    tensors: Tensors = {
        "panel.values": panel.values,
        "panel.times": panel.times.astype(np.int64),
        "panel.indptr": panel.indptr,
        "scores": model.scores_.values,
        "static": given.static,
    }
    for p, part in enumerate(model.parts_):
        for g, net in enumerate(part.nets):
            tensors |= {f"part.{p}.{g}.{name}": weight.numpy() for name, weight in net.state_dict().items()}
    facts = {
        "h": model.h,
        "season": model.season,
        "series": list(panel.ids),
        "columns": list(panel.columns),
        "names": names.named(),
        "static": {"id": static.id, "facts": [asdict(fact) for fact in static.facts]},
        "calendar": asdict(panel.calendar),
        "integer_time": panel.times.dtype.kind == "i",
        "sizes": asdict(model.parts_[0].crops.sizes),
        "candidates": [asdict(choice) for choice in model.choices_],
        "rules": list(model.rules_),
    }
    return tensors, facts


def unpack(tensors: Tensors, facts: dict[str, Any]) -> GlobalForecaster:
    """The model that was packed; ValueError, KeyError or RuntimeError where names or shapes do not agree."""
    model = GlobalForecaster(facts["h"], season=facts["season"], **facts["names"])
    times, static = tensors["panel.times"], tensors["static"]
    panel = Panel(
        values=tensors["panel.values"],
        times=times if facts["integer_time"] else times.astype("datetime64[ns]"),
        indptr=tensors["panel.indptr"],
        ids=tuple(map(str, facts["series"])),
        columns=tuple(map(str, facts["columns"])),
        calendar=Calendar(**facts["calendar"]),
        fill="last",
        source="the saved model",
    )
    known = len(model.covariates.future)
    model.given_ = Given(panel, np.full((len(panel), model.h, known), np.nan), static)
    found = tuple(Fact(**{**each, "words": tuple(each["words"])}) for each in facts["static"]["facts"])
    model.static_ = Statics(facts["static"]["id"], found, dict(zip(panel.ids, static, strict=True)))
    model.choices_ = tuple(
        Choice(**{**each, "candidate": Candidate(**each["candidate"])}) for each in facts["candidates"]
    )
    sizes, candidates, choices, intervals = map(str, facts["rules"])
    model.rules_ = (sizes, candidates, choices, intervals)
    model.scores_ = Scores(tensors["scores"])
    kept = [choice.candidate for choice in model.choices_ if choice.kept]
    shapes = Sizes(**facts["sizes"])
    model.parts_ = tuple(_part(model.given_, shapes, each, f"part.{p}.", tensors) for p, each in enumerate(kept))
    return model


def _part(given: Given, sizes: Sizes, candidate: Candidate, prefix: str, tensors: Tensors) -> Part:
    """One candidate's networks with the file's weights, over the file's panel.

    Sizes are compared with the file's own tensors before any memory is taken for them.
    """
    members, linear, horizon = tensors[f"{prefix}0.skip"].shape
    if (linear, horizon) != (sizes.linear, sizes.horizon) or max(sizes.season, sizes.anchors) > MOST:
        raise ValueError(f"{sizes} do not fit weights of {linear} x {horizon}")
    units = fit_units(given, candidate.transform == "log")
    crops = crops_of(given, sizes, candidate, units)
    part = Part(candidate, units, crops, untrained(candidate, crops, members))
    for g, net in enumerate(part.nets):
        own = f"{prefix}{g}."
        net.load_state_dict({n.removeprefix(own): torch.from_numpy(t) for n, t in tensors.items() if n.startswith(own)})
    return part
