"""Which models can go on with live series, and how each keeps them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from gatecast.errors import SpecError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.networks import NetworkMethod
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.streams.carried import Carry
from gatecast.forecast.streams.core import Core
from gatecast.forecast.streams.crops import Direct, Draws
from gatecast.forecast.streams.stream import Stream
from gatecast.forecast.streams.windows import Windows


def _of_panel(model: GlobalForecaster) -> Core:
    return Draws(model, model.free_) if model.free_ else Direct(model)


CORES: dict[type, Callable[[Any], Core]] = {
    Forecaster: Windows,
    GlobalForecaster: _of_panel,
    SequenceForecaster: Carry,
    SamplingForecaster: lambda model: Draws(model, model),
}


def empty_stream(model: Any) -> Stream:
    """A stream of a fitted model without any series; SpecError for a model that has none."""
    if type(model) not in CORES:
        raise SpecError(
            f"{model.name} has no stream: it is fitted in a moment",
            f"call predict(data) with the newest rows, or take one of {', '.join(kind.__name__ for kind in CORES)}",
        )
    if isinstance(model, NetworkMethod):
        model.fitted()
        if model.device != "cpu":
            raise SpecError(f"streams run on the CPU, and the model is on {model.device}", 'call model.to("cpu") first')
    own = copy.copy(model)  # what a later fit of the model learns is not the stream's
    return Stream(own, CORES[type(own)](own))
