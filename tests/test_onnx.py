"""ONNX files: what is refused, and that the metadata and raw rows are enough for a forecast."""

import ast
import csv
import importlib.util
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from gatecast.data.read import read
from gatecast.edge.cli import main
from gatecast.edge.onnx import graph
from gatecast.edge.onnx.export import EXPORTERS, export_onnx
from gatecast.edge.onnx.layers import recurrent
from gatecast.edge.save import save
from gatecast.edge.save_global import PACKERS
from gatecast.errors import ForecastError, GatecastError, SpecError
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.sampling import SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.prepare.given import bare
from graphs import facts_of, runtime, window_model
from models import network, prices
from panels import monthly

EXAMPLE = Path(__file__).parent.parent / "examples" / "onnx_numpy.py"
H = 4
REFUSED = {"SamplingForecaster": SamplingForecaster(H)}


def test_every_model_that_has_a_file_is_exported_or_refused():
    saved = {kind.__name__ for kind in PACKERS} | {"Forecaster"}
    assert saved == {kind.__name__ for kind in EXPORTERS} | set(REFUSED)
    for name, model in REFUSED.items():
        with pytest.raises(SpecError, match=f"a {name} is not exported to ONNX"):
            export_onnx(model, "nowhere.onnx")


def test_a_model_whose_forecasts_are_draws_is_refused():
    model = GlobalForecaster(H)
    model.given_, model.free_ = bare(read(monthly(series=1)), H), SamplingForecaster(H)
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
