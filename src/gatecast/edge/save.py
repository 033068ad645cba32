"""One fitted forecaster in one safe file: weights, plan, transform, calendar and the history it needs to go on."""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.edge import container
from gatecast.edge.save_global import pack, unpack
from gatecast.errors import GatecastError, ModelFileError, SpecError
from gatecast.forecast.build import empty_network
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.intervals import Calibration
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.forecast.plan import Plan, Recipe, Settled
from gatecast.forecast.streams.opening import empty_stream
from gatecast.forecast.streams.stream import Stream
from gatecast.nn.spec import parse
from gatecast.nn.stack import Network
from gatecast.prepare.scale import Transform
from gatecast.train.loop import LossCurve
from gatecast.train.settings import Training

KIND = "model"
STREAM = "stream."
"""How the tensors of live series begin."""
T = TypeVar("T")


def save(model: Forecaster | GlobalMethod | Stream, path: str | Path) -> Path:
    """Write a fitted forecaster to `path`, atomically. `load` gives back a model that forecasts the same bits,
    and that learns by the same plan if it is fitted again.

    The file keeps as many rows of history as one forecast needs, with their gaps filled; of a panel all rows. A stream
    is written with its model, and goes on after `load` as if it had never stopped.

    >>> import tempfile, gatecast as gc
    >>> from gatecast.data.synthetic import sine
    >>> model = gc.Forecaster("gru:4", lookback=8, recipe=gc.Recipe(training=gc.Training(epochs=1)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = gc.save(model.fit(sine(80, period=8)), f"{folder}/m.gatecast")
    ...     again = gc.load(path)
    >>> bool((again.predict(3).mean == model.predict(3).mean).all())
    True
    """
    return container.write(Path(path), KIND, *_parts(model))


def dumped(model: Forecaster | GlobalMethod | Stream) -> bytes:
    """The content of the file that `save` writes."""
    return container.content(KIND, *_parts(model))


def _parts(model: Forecaster | GlobalMethod | Stream) -> tuple[container.Tensors, dict[str, Any]]:
    """Tensors and facts of a model, or of a stream with its model."""
    if isinstance(model, Stream):
        tensors, facts = _packed(model.model)
        tensors |= {f"{STREAM}{name}": array for name, array in model.kept().items()}
        facts["stream"] = list(model.ids)
    else:
        tensors, facts = _packed(model)
    return tensors, {"version": version("gatecast"), **facts}


def _packed(model: Forecaster | GlobalMethod) -> tuple[container.Tensors, dict[str, Any]]:
    """A model as tensors and facts."""
    if isinstance(model, GlobalMethod):
        return pack(model)
    history = model.tail()
    tensors = {
        "transform.offset": model.transform_.offset,
        "transform.size": model.transform_.size,
        "history.values": history.values,
        "history.times": history.times.astype(np.int64),
        "calibration": model.calibration_.scores if model.calibration_ else np.empty(0),
    }
    for i, network in enumerate(model.networks_):
        tensors |= {f"network.{i}.{name}": weight.numpy() for name, weight in network.state_dict().items()}
    plan = model.plan_
    facts = {
        "spec": model.spec,
        "h": model.h,
        "plan": {**asdict(plan), "stacks": [stack.text for stack in plan.stacks]},
        "ratio": bool(model.calibration_ and model.calibration_.ratio),
        "series": history.ids[0],
        "columns": list(history.columns),
        "calendar": asdict(history.calendar),
        "integer_time": history.times.dtype.kind == "i",
        "fill": history.fill,
        "curves": [asdict(curve) for curve in model.curves_],
    }
    return tensors, facts


def load(path: str | Path) -> Any:
    """The forecaster or the stream that `save` wrote. ModelFileError for a truncated, edited, foreign or newer file.

    Shapes are compared with the file's own tensors before any memory is taken for the networks.
    """
    tensors, facts = container.read(Path(path), KIND)
    try:
        model = unpack(tensors, facts) if "panel_model" in facts else _model(tensors, facts)
        if "stream" not in facts:
            return model
        kept = {name.removeprefix(STREAM): array for name, array in tensors.items() if name.startswith(STREAM)}
        return empty_stream(model).put(kept, tuple(map(str, facts["stream"])))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, GatecastError) as cause:
        raise ModelFileError(f"'{path}' does not describe a model: {cause}", "save it again") from cause


def load_model(path: str | Path) -> Any:
    """The forecaster of a file; SpecError for one that holds a stream."""
    found = load(path)
    if isinstance(found, Stream):
        raise SpecError(f"'{path}' holds the live series of a model", "read it with gatecast.load in Python")
    return found


def _model(tensors: container.Tensors, facts: dict[str, Any]) -> Forecaster:
    plan = _plan(facts["plan"])
    model = Forecaster(
        facts["spec"],
        lookback=plan.lookback,
        h=facts["h"],
        dropout=plan.dropout,
        inputs=plan.columns,
        members=plan.members,
        recipe=Recipe(**{field.name: getattr(plan.recipe, field.name) for field in fields(Recipe)}),
    )
    model.plan_ = plan
    model.transform_ = Transform(plan.recipe.transform, tensors["transform.offset"], tensors["transform.size"])
    model.curves_ = tuple(_tuples(LossCurve, curve) for curve in facts["curves"])
    model.history_ = _history(tensors, facts)
    scores = tensors["calibration"]
    model.calibration_ = Calibration(scores, facts["ratio"]) if len(scores) else None
    model.networks_ = _networks(plan, facts["h"], tensors)
    return model


def _history(tensors: container.Tensors, facts: dict[str, Any]) -> Panel:
    times = tensors["history.times"]
    values = tensors["history.values"]
    return Panel(
        values=values,
        times=times if facts["integer_time"] else times.astype("datetime64[ns]"),
        indptr=np.array([0, len(values)], dtype=np.int64),
        ids=(str(facts["series"]),),
        columns=tuple(map(str, facts["columns"])),
        calendar=_tuples(Calendar, facts["calendar"]),
        fill=facts["fill"],
        source="the saved model",
    )


def _networks(plan: Plan, h: int, tensors: container.Tensors) -> list[Network]:
    """Networks that take the file's tensors as their weights, once every name and shape agrees."""
    stored = {name.split(".")[1] for name in tensors if name.startswith("network.")}
    if len(stored) != plan.members * len(plan.stacks):
        raise ValueError(f"{len(stored)} networks stored, {plan.members} x {len(plan.stacks)} described")
    networks = []
    for i in range(len(stored)):
        network = empty_network(plan, plan.stacks[i // plan.members], h, torch.Generator())
        part = f"network.{i}."
        weights = {n.removeprefix(part): torch.from_numpy(t) for n, t in tensors.items() if n.startswith(part)}
        network.load_state_dict(weights, strict=True, assign=True)
        networks.append(network.eval())
    return networks


def _plan(facts: dict[str, Any]) -> Plan:
    recipe = dict(facts["recipe"])
    training = recipe["training"]
    recipe["training"] = (
        tuple(_tuples(Training, each) for each in training)
        if isinstance(training, list)
        else _tuples(Training, training)
    )
    stacks = tuple(parse(text)[0] for text in facts["stacks"])
    return _tuples(Plan, {**facts, "stacks": stacks, "recipe": _tuples(Settled, recipe)})


def _tuples(kind: type[T], facts: dict[str, Any]) -> T:
    """A dataclass from JSON: exactly its fields, lists as tuples."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every `kind` here is a dataclass
    if set(facts) != names:
        raise ValueError(f"{kind.__name__} has {sorted(names)}, the file {sorted(facts)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()})
