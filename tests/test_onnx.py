"""ONNX files: onnxruntime says what the model says, whatever the model is made of, and from the metadata alone."""

import ast
import csv
import importlib.util
import io
import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

import gatecast as gc
from gatecast.edge.cli import main
from gatecast.edge.onnx import graph
from gatecast.edge.onnx.export import EXPORTERS, export_onnx
from gatecast.edge.onnx.layers import recurrent
from gatecast.edge.onnx.panels import crop_inputs
from gatecast.edge.save import save
from gatecast.edge.save_global import PACKERS
from gatecast.errors import ForecastError, GatecastError, SpecError
from gatecast.forecast.panels import candidates
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import make_parts
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import INGREDIENTS, LOG_LSTM, SCALE_GRU, Candidate, ingredients_without, sizes_for
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS
from gatecast.prepare.scale import TRANSFORMS
from gatecast.prepare.window import past_matrix
from gatecast.train.lockstep import QUANTILES
from gatecast.train.settings import Training
from models import network, prices, waves
from panels import monthly, shorten

BATCHES = (1, 2, 7, 64)
EXAMPLE = Path(__file__).parent.parent / "examples" / "onnx_numpy.py"
ONCE = Training(epochs=1, patience=None)


def runtime(model, folder, **options):
    return onnxruntime.InferenceSession(export_onnx(model, folder / "m.onnx", **options))


def facts_of(session):
    return json.loads(session.get_modelmeta().custom_metadata_map["gatecast"])


def stirred(networks, seed=0):
    """No weight is zero, as some are before much was learned."""
    generator = torch.Generator().manual_seed(seed)
    for each in networks:
        for weight in each.state_dict().values():
            weight += torch.empty_like(weight).normal_(0, 0.2, generator=generator)


def window_model(spec, panel=None, **options):
    recipe = Recipe(options.pop("transform", "standard"), training=ONCE, **options.pop("recipe", {}))
    model = network(spec, recipe=recipe, **options).fit(prices(90) if panel is None else panel)
    stirred(model.networks_)
    return model


def said_by(model, values, ends):
    """What the model itself says of all its columns, [N, K, P] in original units."""
    rolling = model._rolling()
    ahead = rolling.step(past_matrix(rolling.transform.apply(values), ends, rolling.lookback))
    columns = ahead.shape[2]
    own = rolling.transform if columns == values.shape[1] else rolling.transform.target_only()
    return own.invert(ahead, values[ends, :columns])


def assert_parity(model, session, values=None):
    values = model.history_.values if values is None else values
    rows = facts_of(session)["rows"]
    size = values.std(axis=0)
    for batch in BATCHES:
        ends = np.arange(len(values) - batch, len(values))
        windows = np.stack([values[end - rows + 1 : end + 1] for end in ends])
        [found] = session.run(None, {"window": windows})
        wanted = said_by(model, values, ends)
        assert found.shape == wanted.shape
        assert (np.abs(found - wanted) <= 1e-5 * size[: found.shape[2]]).all()


STACKS = [f"{bi}{cell}:3x{depth}" for bi, cell, depth in product(("", "bi"), CELLS, (1, 2))]
MIXED = ["lstm:4-bigru:3-rnn:2", "bilstm:2-gru:3", "gru:3+bilstm:2", "lstm:2x2+gru:2x2+rnn:3"]


@pytest.mark.parametrize("spec", STACKS + MIXED)
def test_every_cell_depth_direction_and_mixture(spec, tmp_path):
    model = window_model(spec)
    assert_parity(model, runtime(model, tmp_path))


HEADS = {
    "one step": {},
    "columns and lags": {"inputs": ("Low", "Open"), "recipe": {"lags": 3}},
    "the target of three columns": {"inputs": ("Low", "Open"), "recipe": {"predicts": "target"}},
    "direct, of members": {"h": 3, "inputs": ("Low",), "members": 2, "recipe": {"lags": 2}},
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_under_every_head(transform, head, tmp_path):
    model = window_model("gru:3", transform=transform, **head)
    assert_parity(model, runtime(model, tmp_path))


@pytest.mark.parametrize("panel", [prices(150), waves(150)], ids=["walk", "level"])
def test_the_automatic_model_of_walks_and_of_levels(panel, tmp_path):
    model = gc.Forecaster(members=2, recipe=Recipe(training=ONCE)).fit(panel)
    stirred(model.networks_)
    assert_parity(model, runtime(model, tmp_path))


@pytest.mark.parametrize("opset", [graph.OLDEST, 15, 21])
def test_opsets(opset, tmp_path):
    model = window_model("lstm:3-bigru:2", transform="relative", inputs=("Low",))
    session = runtime(model, tmp_path, opset=opset)
    assert [each.version for each in onnx.load(tmp_path / "m.onnx").opset_import] == [opset]
    assert_parity(model, session)


# -- panels -----------------------------------------------------------------------------------------------------------

FRAME = monthly(series=9, years=5)
H = 4


def panel_model(kinds, frame=FRAME, **settings):
    """A model of these candidates whose networks have learned nothing."""
    model = GlobalForecaster(H, **settings)
    model.static_ = model.covariates.statics(None)
    model.given_ = model.given_of(frame, model.static_)
    sizes, _ = sizes_for(model.given_, H, kinds[0].ingredients)
    model.parts_ = make_parts(model.given_, sizes, kinds, 2, seed=1)
    for p, part in enumerate(model.parts_):
        stirred(part.nets, seed=p)
    model.scores_ = Scores(np.random.default_rng(2).normal(size=(9, H, len(QUANTILES))))
    return model


@pytest.fixture
def few_units(monkeypatch):
    monkeypatch.setattr(candidates, "UNITS", 5)


def assert_same_quantiles(model, session):
    inputs, wanted = crop_inputs(model), model._paths()
    size = np.array([each.values[:, 0].std() for each in model.panel_])
    for batch in BATCHES:
        series = np.arange(batch) % len(size)
        [found] = session.run(None, {name: each[series] for name, each in inputs.items()})
        assert found.shape == (batch, H, len(QUANTILES))
        assert (np.abs(found - wanted[series]) <= 1e-5 * size[series, None, None]).all()


KINDS = [Candidate("one", *kind) for kind in product(("log", "scale"), ("level", "spread"), ("gru", "lstm"), (0, 6))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.transform}-{kind.normal}-{kind.cell}-{kind.width}")
def test_every_kind_of_panel_network(kind, few_units, tmp_path):
    model = panel_model([kind])
    assert_same_quantiles(model, runtime(model, tmp_path))


@pytest.mark.parametrize("off", INGREDIENTS)
def test_every_ingredient_switched_off(off, few_units, tmp_path):
    ingredients = ingredients_without([off])
    model = panel_model([replace(each, ingredients=ingredients) for each in (SCALE_GRU, LOG_LSTM)])
    assert_same_quantiles(model, runtime(model, tmp_path))


def test_the_median_of_an_odd_number_of_networks(few_units, tmp_path):
    model = panel_model([SCALE_GRU, LOG_LSTM])
    short = model.parts_[1]
    stirred(alone := candidates.untrained(short.candidate, short.crops, 1)[:1])
    model.parts_ = (model.parts_[0], short._replace(nets=alone))
    assert_same_quantiles(model, runtime(model, tmp_path))
