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
from gatecast.data.read import read
from gatecast.edge.cli import main
from gatecast.edge.onnx import graph
from gatecast.edge.onnx.export import EXPORTERS, export_onnx
from gatecast.edge.onnx.layers import recurrent
from gatecast.edge.onnx.panels import crop_inputs
from gatecast.edge.onnx.sequences import sequence_inputs
from gatecast.edge.save import save
from gatecast.edge.save_global import PACKERS
from gatecast.errors import ForecastError, GatecastError, SpecError
from gatecast.forecast.panels import candidates, sequence_nets
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import make_parts
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import INGREDIENTS, LOG_LSTM, SCALE_GRU, Candidate, ingredients_without, sizes_for
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.panels.sequence_nets import reading_for
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS
from gatecast.prepare.given import bare
from gatecast.prepare.scale import TRANSFORMS
from gatecast.prepare.sequences import Sequences
from gatecast.prepare.window import past_matrix
from gatecast.train.lockstep import QUANTILES
from gatecast.train.settings import Training
from models import network, prices, waves
from panels import monthly, shorten

BATCHES = 1, 2, 7, 64
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


# -- panels -----------------------------------------------------------------------------------------------------------

FRAME = monthly(series=9, years=5)
H = 4
GIVEN = bare(read(FRAME), H)


def panel_model(kinds, frame=FRAME, **settings):
    """A model of these candidates whose networks have learned nothing."""
    model = GlobalForecaster(H, **settings)
    model.static_ = model.covariates.statics(None)
    model.given_ = GIVEN if frame is FRAME else model.given_of(frame, model.static_)
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
    inputs = crop_inputs(model) if isinstance(model, GlobalForecaster) else sequence_inputs(model)
    wanted = model._paths()
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


def with_columns(frame, seed=3):
    """One column that is known up to the end, and one that is known ahead too."""
    rng = np.random.default_rng(seed)
    return frame.assign(weather=rng.normal(size=len(frame)), holiday=rng.integers(0, 2, len(frame)))


def test_covariates_and_newer_rows_are_read_as_predict_reads_them(few_units, tmp_path):
    frame = with_columns(FRAME)
    frame.loc[frame.index % 11 == 5, "y"] = np.nan
    cut = frame["ds"] < "2014-06-01"
    model = panel_model([SCALE_GRU, LOG_LSTM], frame[cut], past=["weather"], future=["holiday"])
    newer, ahead = frame[frame["ds"] < "2014-09-01"], frame.loc[frame["ds"] >= "2014-09-01"]
    [found] = runtime(model, tmp_path).run(None, crop_inputs(model, newer, ahead))
    wanted = model.predict(newer, futr_df=ahead, quantiles=[0.1])
    size = frame["y"].std()
    assert np.abs(found[..., QUANTILES.index(0.5)].ravel() - wanted["Gatecast"]).max() <= 1e-5 * size
    moved = facts_of(onnxruntime.InferenceSession(tmp_path / "m.onnx"))["moved"][QUANTILES.index(0.1)]
    season = [y.diff(12).abs().mean() for _, y in newer.groupby("unique_id")["y"]]
    width = found[..., QUANTILES.index(0.9)] - found[..., QUANTILES.index(0.1)]
    width = np.maximum(width, 0.1 * np.array(season)[:, None])
    low = found[..., QUANTILES.index(0.1)] + width * moved
    assert np.abs(low.ravel() - wanted["Gatecast-q-0.1"]).max() <= 1e-4 * size
    with pytest.raises(ForecastError, match="holiday of the 4 rows"):
        crop_inputs(model, newer)


def sequence_model(spec, log, frame=FRAME, **settings):
    """A sequence model whose networks have learned nothing."""
    model = SequenceForecaster(H, spec, members=1, **settings)
    model.static_ = model.covariates.statics(None)
    model.given_ = GIVEN if frame is FRAME else model.given_of(frame, model.static_)
    model.reading_ = reading_for(model.given_, H, log)
    sequences = Sequences(model.given_, model.reading_)
    model.nets_ = tuple(sequence_nets.untrained(stack, sequences, (n,)) for n, stack in enumerate(model.stacks))
    stirred(model.nets_)
    model.scores_ = Scores(np.zeros((9, H, len(QUANTILES))))
    return model


SEQUENCES = [*(f"{cell}:3x{depth}" for cell, depth in product(CELLS, (1, 2))), "lstm:3-gru:2-rnn:2", "lstm:2+gru:3"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("spec", SEQUENCES)
def test_every_stack_of_a_sequence_model(spec, log, tmp_path):
    model = sequence_model(spec, log)
    assert_same_quantiles(model, runtime(model, tmp_path))


def test_a_sequence_without_a_logarithm_and_columns_known_ahead(tmp_path):
    frame = with_columns(FRAME)
    frame.loc[frame["unique_id"] == "s1", "y"] = 0.0
    cut = frame["ds"] < "2014-06-01"
    model = sequence_model("gru:3", True, frame[cut], past=["weather"], future=["holiday"])
    ahead = frame[~cut]
    [found] = runtime(model, tmp_path).run(None, sequence_inputs(model, futr_df=ahead))
    wanted = model.predict(futr_df=ahead)
    middle = found[..., QUANTILES.index(0.5)].ravel()
    assert np.abs(middle - wanted["Gatecast-sequence"]).max() <= 1e-5 * frame["y"].std()
    assert (middle[wanted["unique_id"] == "s1"] == 0).all()


@pytest.mark.slow
def test_a_panel_model_that_was_learned_and_saved(monkeypatch, tmp_path, capsys):
    shorten(monkeypatch)
    model = GlobalForecaster(H, without=["rival"]).fit(FRAME)
    assert main(["export", str(save(model, tmp_path / "m.gatecast")), str(tmp_path / "m.onnx")]) == 0
    assert capsys.readouterr().out == ""
    assert_same_quantiles(model, onnxruntime.InferenceSession(tmp_path / "m.onnx"))


# -- what is refused --------------------------------------------------------------------------------------------------

REFUSED = {"SamplingForecaster": SamplingForecaster(H)}


def test_every_model_that_has_a_file_is_exported_or_refused():
    saved = {kind.__name__ for kind in PACKERS} | {"Forecaster"}
    assert saved == {kind.__name__ for kind in EXPORTERS} | set(REFUSED)
    for name, model in REFUSED.items():
        with pytest.raises(SpecError, match=f"a {name} is not exported to ONNX"):
            export_onnx(model, "nowhere.onnx")


def test_a_model_whose_forecasts_are_draws_is_refused():
    model = GlobalForecaster(H)
    model.given_, model.free_ = GIVEN, SamplingForecaster(H)
    with pytest.raises(SpecError, match="recursive network was chosen") as caught:
        export_onnx(model, "nowhere.onnx")
    assert "rival" in caught.value.hint


@pytest.mark.parametrize("model", [network("gru:3"), GlobalForecaster(H), SequenceForecaster(H)])
def test_a_model_that_has_not_learned_is_refused(model):
    with pytest.raises(ForecastError, match="has not learned anything yet"):
        export_onnx(model, "nowhere.onnx")


def test_an_opset_that_is_too_old_or_too_new_is_named(tmp_path):
    newest = onnx.defs.onnx_opset_version()
    for opset, hint in ((graph.OLDEST - 1, "use 17"), (newest + 1, "install a newer onnx")):
        with pytest.raises(SpecError, match=f"opset {opset}, expected 14 to {newest}") as caught:
            graph.Graph(opset)
        assert hint in caught.value.hint


def test_a_layer_that_has_no_operator_here_is_named():
    layer = torch.nn.RNN(1, 2, nonlinearity="relu", batch_first=True)
    with pytest.raises(SpecError, match="layer of kind RNN_RELU"):
        recurrent(graph.Graph(17), "x", [layer])


def test_weights_that_do_not_fit_into_a_file_are_refused_and_the_old_file_stays(monkeypatch, tmp_path):
    model = window_model("gru:3")
    before = export_onnx(model, tmp_path / "m.onnx").read_bytes()
    monkeypatch.setattr(graph, "MOST_BYTES", 100)
    with pytest.raises(SpecError, match="2 GB"):
        export_onnx(model, tmp_path / "m.onnx")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before]
    monkeypatch.undo()
    with pytest.raises(GatecastError, match="cannot be written"):
        export_onnx(model, tmp_path / "absent" / "m.onnx")


def test_without_the_package_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SpecError, match="needs onnx") as caught:
        graph.Graph(17)
    assert caught.value.hint == "pip install 'gatecast[onnx]'"


# -- the metadata and the example -------------------------------------------------------------------------------------


def example():
    spec = importlib.util.spec_from_file_location("onnx_numpy", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gappy(panel, positive):
    """Rows with gaps after the first, and where there are logarithms a value that has none."""
    values = panel.values.copy()
    values[-5, 1:] = values[-3, 0] = np.nan
    if positive:
        values[-4, 0] = 0.0
    return replace(panel, values=values, fill="last")


FED = {
    "relative, fed back": ({"transform": "relative", "inputs": ("Low", "Open"), "recipe": {"lags": 3}}, 9),
    "differences, fed back": ({"transform": "difference"}, 9),
    "direct": ({"h": 3, "inputs": ("Low",)}, 2),
}


@pytest.mark.parametrize(("options", "steps"), FED.values(), ids=FED)
def test_the_metadata_and_raw_rows_are_enough(options, steps, tmp_path):
    panel = prices(90)
    model = window_model("gru:3", panel.where(np.arange(90) < 80), **options)
    session, later = runtime(model, tmp_path), gappy(panel, model.transform_.multiplicative)
    facts = facts_of(session)
    columns = [later.columns.index(name) for name in facts["columns"]]
    rows = later.values[:, columns]
    found = example().forecast(session, rows[-facts["rows"] - 2 :], steps)
    wanted = model.predict(steps, later).mean
    assert found.shape == (steps, len(facts["predicted"]))
    assert np.abs(found[:, 0] - wanted).max() <= 1e-5 * rows[:70, 0].std()


def test_the_metadata_hold_the_held_back_errors_and_the_calendar(tmp_path):
    model = network("gru:3").fit(prices(90))
    facts = facts_of(runtime(model, tmp_path))
    assert facts["scores"] == model.calibration_.scores.tolist() and not facts["ratio"]
    assert facts["calendar"] == {"freq": "B", "every": 1, "period": None}
    assert (facts["schema"], facts["rows"], facts["lookback"]) == (1, 8, 8)


def test_the_example_asks_for_enough_rows_and_for_no_more_steps_than_there_are(tmp_path):
    session = runtime(window_model("gru:3", h=2), tmp_path)
    with pytest.raises(SystemExit, match="at least 8 rows"):
        example().forecast(session, np.ones((7, 1)), 1)
    with pytest.raises(SystemExit, match="forecasts 2 steps"):
        example().forecast(session, np.ones((8, 1)), 3)


def test_the_example_in_a_process_of_its_own_says_what_gatecast_predict_says(tmp_path, capsys):
    tree = ast.parse(EXAMPLE.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {getattr(node, "module", None) or node.names[0].name for node in nodes}
    assert imported == {"argparse", "csv", "json", "sys", "pathlib", "numpy", "onnxruntime"}
    panel = prices(90)
    model = window_model("lstm:3", panel.where(np.arange(90) < 80), transform="relative", inputs=("Low",))
    saved, written, rows = (str(tmp_path / name) for name in ("m.gatecast", "m.onnx", "rows.csv"))
    pd.DataFrame(panel.values, columns=panel.columns).assign(ds=panel.times).to_csv(rows, index=False)
    assert main(["export", str(save(model, saved)), written]) == 0
    assert capsys.readouterr().err == f"wrote {written}\n"
    assert main(["predict", saved, "--data", rows, "--h", "5"]) == 0
    wanted = [float(row[model.name]) for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    command = [sys.executable, str(EXAMPLE), written, rows, "--h", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["step"] for row in found] == ["1", "2", "3", "4", "5"]
    assert np.abs(np.array([float(row["High"]) for row in found]) - wanted).max() <= 1e-5 * panel.values[:, 0].std()


def test_export_complains_of_an_opset_in_one_line(tmp_path, capsys):
    saved = save(window_model("gru:3"), tmp_path / "m.gatecast")
    assert main(["export", str(saved), str(tmp_path / "m.onnx"), "--opset", "9"]) == 2
    assert capsys.readouterr().err.splitlines()[0].startswith("error: opset 9, expected 14 to ")
    assert not (tmp_path / "m.onnx").exists()
