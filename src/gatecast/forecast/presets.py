"""Named line-ups of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gatecast.errors import check_choice
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.train.settings import Training

NOTEBOOK_LSTM = Training(optimiser="keras-rmsprop", learning_rate=1e-3, batch=32, epochs=50, patience=None, clip=None)
NOTEBOOK_GRU = Training(
    optimiser="keras-sgd", learning_rate=1e-2, momentum=0.9, batch=150, epochs=50, patience=None, clip=None
)


def notebook(epochs: int = 50) -> tuple[Forecaster, ...]:
    """The notebook's networks under Keras 3 semantics: min-max scaling, windows of 60, dropout 0.2, 50 epochs.

    LSTM 4x50 with RMSprop in batches of 32; GRU 4x50 (and its 100-unit variant) with SGD and momentum in batches of
    150; a bidirectional LSTM and an LSTM-GRU stack trained like the LSTM; the average of the LSTM and the GRU.
    """
    lstm, gru = (replace(training, epochs=epochs) for training in (NOTEBOOK_LSTM, NOTEBOOK_GRU))
    rows: tuple[tuple[str, Training | tuple[Training, ...]], ...] = (
        ("lstm:50x4", lstm),
        ("gru:50x4", gru),
        ("gru:100x4", gru),
        ("bilstm:32", lstm),
        ("lstm:50-gru:50", lstm),
        ("lstm:50x4+gru:50x4", (lstm, gru)),
    )
    return tuple(
        Forecaster(spec, lookback=60, dropout=0.2, recipe=Recipe("minmax", "keras", training=training))
        for spec, training in rows
    )


PRESETS: dict[str, Callable[[int], tuple[Forecaster, ...]]] = {"notebook": notebook}


def preset(name: str, epochs: int = 50) -> tuple[Forecaster, ...]:
    """The models of a preset, by name."""
    return PRESETS[check_choice(name, PRESETS, "preset")](epochs)
