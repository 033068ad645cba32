"""Window models under onnxruntime say what the library says: every cell, depth, direction, transform and head."""

from itertools import product

import numpy as np
import onnx
import pytest

import gatecast as gc
from gatecast.edge.onnx import graph
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS
from gatecast.prepare.scale import TRANSFORMS
from gatecast.prepare.window import past_matrix
from graphs import BATCHES, ONCE, facts_of, runtime, stirred, window_model
from models import prices, waves


def said_by(model, values, ends):
    """What the model itself says of all its columns, [N, K, P] in original units."""
    rolling = model.rolling()
    ahead = rolling.step(past_matrix(rolling.transform.apply(values), ends, rolling.lookback))
    columns = ahead.shape[2]
    own = rolling.transform if columns == values.shape[1] else rolling.transform.target_only()
    return own.invert(ahead, values[ends, :columns])


def assert_parity(model, session):
    values, rows = model.history_.values, facts_of(session)["rows"]
    ends = np.arange(len(values) - max(BATCHES), len(values))
    windows, wanted = np.stack([values[end - rows + 1 : end + 1] for end in ends]), said_by(model, values, ends)
    size = values.std(axis=0)[: wanted.shape[2]]
    for batch in BATCHES:
        [found] = session.run(None, {"window": windows[:batch]})
        assert found.shape == wanted[:batch].shape
        assert (np.abs(found - wanted[:batch]) <= 1e-5 * size).all()


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


SLOW = "the target of three columns"
HEAD_CASES = [
    pytest.param(head, id=name, marks=pytest.mark.slow if name == SLOW else ()) for name, head in HEADS.items()
]


@pytest.mark.parametrize("head", HEAD_CASES)
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
