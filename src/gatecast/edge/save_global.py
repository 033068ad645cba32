"""A fitted global model as tensors and facts, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.edge.container import Tensors
from gatecast.errors import SpecError
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import Choice, Part, crops_of, untrained
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.panels.rules import Candidate, Ingredients
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.panels.statics import Fact, Statics
from gatecast.nn.sequence import SequenceNet, Shape
from gatecast.nn.spec import StackSpec
from gatecast.nn.student import StudentNet
from gatecast.prepare.crops import Sizes
from gatecast.prepare.given import Given
from gatecast.prepare.sequences import Reading
from gatecast.prepare.units import fit_units
from gatecast.train.lockstep import QUANTILES

MOST = 100_000
"""A file that asks for a longer season or for more anchors is not believed."""


def pack(model: GlobalMethod) -> tuple[Tensors, dict[str, Any]]:
    """Everything that a forecast needs; SpecError for a model that has no file."""
    own = next((part for kind, part in PACKERS.items() if type(model) is kind), None)
    given = model.fitted()
    if own is None:
        raise SpecError(f"{model.name} is not saved: it is fitted in a moment", "fit it where it is needed")
    panel, static = given.panel, model.static_
    tensors: Tensors = {
        "panel.values": panel.values,
        "panel.times": panel.times.astype(np.int64),
        "panel.indptr": panel.indptr,
        "scores": model.scores_.values,
        "static": given.static,
    }
    facts = {
        "panel_model": type(model).__name__,
        "h": model.h,
        "season": model.season,
        "series": list(panel.ids),
        "columns": list(panel.columns),
        "names": model.covariates.named(),
        "static": {"id": static.id, "facts": [asdict(fact) for fact in static.facts]},
        "calendar": asdict(panel.calendar),
        "integer_time": panel.times.dtype.kind == "i",
    }
    more_tensors, more_facts = own(model)
    return {**tensors, **more_tensors}, {**facts, **more_facts}


def _pack_networks(model: GlobalForecaster) -> tuple[Tensors, dict[str, Any]]:
    tensors: Tensors = {}
    for p, part in enumerate(model.parts_):
        for g, net in enumerate(part.nets):
            tensors |= {f"part.{p}.{g}.{name}": weight.cpu().numpy() for name, weight in net.state_dict().items()}
    choices = [asdict(choice) for choice in model.choices_]
    facts: dict[str, Any] = {"candidates": choices, "rules": list(model.rules_), "freq": model.freq}
    if model.free_:
        tensors, own = _pack_sampling(model.free_)
        return tensors, {**facts, "recursive": own}
    return tensors, {**facts, "sizes": asdict(model.parts_[0].crops.sizes)}


def _pack_sampling(model: SamplingForecaster) -> tuple[Tensors, dict[str, Any]]:
    tensors = _weights(model.nets_)
    drawing, log = asdict(model.drawing), model.units_.transform.log
    return tensors, {"drawing": drawing, "log": log, "context": model.context_, "seed": model.seed_}


def _weights(nets: Sequence[nn.Module]) -> Tensors:
    named = [(f"net.{n}.{name}", weight) for n, net in enumerate(nets) for name, weight in net.state_dict().items()]
    return {name: weight.cpu().numpy() for name, weight in named}


def _pack_sequence(model: SequenceForecaster) -> tuple[Tensors, dict[str, Any]]:
    reading = model.reading_
    facts = {"spec": model.spec, "members": model.members, "log": reading.log, "lags": list(reading.lags)}
    return {**_weights(model.nets_), "spread": reading.spread}, {**facts, "rules": list(model.rules_)}


def unpack(tensors: Tensors, facts: dict[str, Any]) -> GlobalMethod:
    """The model that was packed; ValueError, KeyError or RuntimeError where names or shapes do not agree."""
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
    settings = {"season": facts["season"], **facts["names"]}
    known = len(facts["names"]["future"])
    given = Given(panel, np.full((len(panel), facts["h"], known), np.nan), static)
    model = UNPACKERS[facts["panel_model"]](given, settings, tensors, facts)
    model.given_ = given
    found = tuple(Fact(**{**each, "words": tuple(each["words"])}) for each in facts["static"]["facts"])
    model.static_ = Statics(facts["static"]["id"], found, dict(zip(panel.ids, static, strict=True)))
    model.scores_ = Scores(tensors["scores"])
    return model


def _networks(given: Given, settings: dict[str, Any], tensors: Tensors, facts: dict[str, Any]) -> GlobalForecaster:
    choices = tuple(_choice(each) for each in facts["candidates"])
    off = choices[0].candidate.ingredients.off
    model = GlobalForecaster(facts["h"], without=off, freq=facts.get("freq"), **settings)
    model.choices_ = choices
    sizes, candidates, chosen, intervals = map(str, facts["rules"])
    model.rules_ = (sizes, candidates, chosen, intervals)
    if "recursive" in facts:
        model.parts_ = ()
        model.free_ = _sampling(given, settings, tensors, {"h": facts["h"], **facts["recursive"]})
        model.free_.given_ = given
        return model
    kept = [choice.candidate for choice in model.choices_ if choice.kept]
    shapes = Sizes(**facts["sizes"])
    model.parts_ = tuple(_part(given, shapes, each, f"part.{p}.", tensors) for p, each in enumerate(kept))
    return model


def _choice(facts: dict[str, Any]) -> Choice:
    """A choice; a file that says nothing of ingredients has them all."""
    candidate = {**facts["candidate"], "ingredients": Ingredients(**facts["candidate"].get("ingredients", {}))}
    return Choice(**{**facts, "candidate": Candidate(**candidate)})


def _sampling(given: Given, settings: dict[str, Any], tensors: Tensors, facts: dict[str, Any]) -> SamplingForecaster:
    model = SamplingForecaster(facts["h"], drawing=Drawing(**facts["drawing"]), **settings)
    if facts["context"] > MOST or model.drawing.networks > MOST:
        raise ValueError(f"a context of {facts['context']} rows, {model.drawing.networks} networks")
    model.units_, model.context_ = fit_units(given, facts["log"]), int(facts["context"])
    model.seed_ = int(facts["seed"])
    model.nets_ = tuple(_student(model.drawing.cell, tensors, f"net.{n}.") for n in range(model.drawing.networks))
    return model


def _sequence(given: Given, settings: dict[str, Any], tensors: Tensors, facts: dict[str, Any]) -> SequenceForecaster:
    model = SequenceForecaster(facts["h"], facts["spec"], members=facts["members"], **settings)
    lags, spread = tuple(map(int, facts["lags"])), tensors["spread"]
    if len(spread) != given.past + given.known or not 0 < min(lags) <= max(lags) <= MOST or model.members > MOST:
        raise ValueError(f"lags {lags}, {len(spread)} covariates, {model.members} members")
    model.reading_ = Reading(bool(facts["log"]), lags, model.h, given.past, given.known, spread)
    read, chosen, looked, intervals = map(str, facts["rules"])
    model.rules_ = (read, chosen, looked, intervals)
    stacks = model.stacks * model.members
    model.nets_ = tuple(_forked(stack, tensors, f"net.{n}.", given) for n, stack in enumerate(stacks))
    return model


def _forked(stack: StackSpec, tensors: Tensors, prefix: str, given: Given) -> SequenceNet:
    """A sequence network whose shape is that of the file's own tensors."""
    own = {name.removeprefix(prefix): torch.from_numpy(t) for name, t in tensors.items() if name.startswith(prefix)}
    inputs, units = own["layers.0.weight_ih_l0"].shape[1], own["out"].shape[0]
    steps, more = own["skip"].shape[1], own["skip"].shape[0] - inputs
    if units != stack.layers[-1].units or more != given.known * steps or steps != given.ahead.shape[1]:
        raise ValueError(f"'{stack.text}' for {steps} steps does not fit the weights of '{prefix}'")
    with torch.device("meta"):
        net = SequenceNet(stack, Shape(inputs, more, steps, len(QUANTILES)), None)
    net.load_state_dict(own, assign=True)
    return net


def _student(cell: str, tensors: Tensors, prefix: str) -> StudentNet:
    own = {name.removeprefix(prefix): torch.from_numpy(t) for name, t in tensors.items() if name.startswith(prefix)}
    units, inputs = own["head.weight"].shape[1], own["layer.weight_ih_l0"].shape[1]
    net = StudentNet("gru" if cell == "gru" else "lstm", inputs, units, torch.Generator())
    net.load_state_dict(own)
    return net


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


PACKERS: dict[type[GlobalMethod], Callable[[Any], tuple[Tensors, dict[str, Any]]]] = {
    GlobalForecaster: _pack_networks,
    SamplingForecaster: _pack_sampling,
    SequenceForecaster: _pack_sequence,
}
UNPACKERS: dict[str, Callable[..., GlobalMethod]] = {
    "GlobalForecaster": _networks,
    "SamplingForecaster": _sampling,
    "SequenceForecaster": _sequence,
}
