"""Devices: a network says there what it says on the CPU, comes back whole, and one that is not there is refused."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from away import AWAY, Away, elsewhere
from gatecast.edge.checkpoints import Checkpoints
from gatecast.edge.cli import main
from gatecast.edge.parquet import write_parquet
from gatecast.edge.save import load, save
from gatecast.errors import SpecError
from gatecast.explain.reading import readings
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels import sampling, sequence_nets
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.large import fit_large
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn import device
from gatecast.nn.device import available, check_device, find_device
from gatecast.train import together
from gatecast.train.loop import Watch
from gatecast.train.settings import Training
from laws.test_training import CrashError, DiesAfter
from models import prices
from panels import monthly, shorten

FRAME = monthly(series=3, years=4)
FRAME["ds"] = FRAME.groupby("unique_id").cumcount()
OTHERS = [AWAY, *(name for name in available() if name.startswith("cuda"))]
DRAWING = Drawing(paths=12, networks=2, noise=0.1, self_fed=2)
PANELS = {
    "direct": lambda **on: GlobalForecaster(3, season=4, without=("rival", "ensemble"), **on),
    "recursive": lambda **on: SamplingForecaster(3, season=4, drawing=DRAWING, **on),
    "sequence": lambda **on: SequenceForecaster(3, "lstm:6-gru:4", members=1, season=4, **on),
}


@contextmanager
def on(name):
    """Where a device is known; its arithmetic is that of float32."""
    with pytest.MonkeyPatch.context() as patch, elsewhere() if name == AWAY else nullcontext():
        shorten(patch, 2)
        patch.setattr(sampling, "FEWEST_AHEAD", 6)
        patch.setattr(sequence_nets, "LEAST_STRETCH", 8)
        patch.setattr(sequence_nets, "MOST_STRETCH", 8)
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield


def window(name, dropout=0.0):
    training = Training(epochs=2, patience=2, device=name)
    recipe = Recipe("standard", "keras", lags=2, training=training)
    return Forecaster("bilstm:4-gru:3", lookback=4, dropout=dropout, inputs=("Low",), recipe=recipe)


@pytest.mark.parametrize("name", OTHERS)
def test_a_window_model_trains_there_to_the_forecasts_of_the_cpu_and_comes_home(name):
    wanted = window("cpu").fit(prices(60))
    with on(name):
        found = window(name).fit(prices(60))
    np.testing.assert_allclose(found.predict(5).mean, wanted.predict(5).mean, rtol=1e-5)
    for mine, theirs in zip(found.curves_, wanted.curves_, strict=True):
        np.testing.assert_allclose([*mine.train, *mine.valid], [*theirs.train, *theirs.valid], rtol=1e-4)
    assert {p.device.type for network in found.networks_ for p in network.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", PANELS)
def test_a_panel_model_trains_and_forecasts_there_as_on_the_cpu(kind, name, tmp_path):
    with on("cpu"):
        wanted = PANELS[kind]().fit(FRAME).predict(level=80)
    with on(name):
        model = PANELS[kind](device=name).fit(FRAME)
        assert model.unfitted().device == name
        assert {str(p.device) for network in model.networks() for p in network.parameters()} == {name}
        there = model.predict(level=80)
        with pytest.raises(SpecError, match=f"streams run on the CPU, and the model is on {name}"):
            model.stream()
        explained = () if kind == "sequence" else readings(model, windows=2)
        path = save(model, tmp_path / "there.gatecast")
        home = model.to("cpu").predict(level=80)
        assert save(model, tmp_path / "home.gatecast").read_bytes() == path.read_bytes()
    for column in wanted.columns[2:]:
        np.testing.assert_allclose(there[column], wanted[column], rtol=1e-5)
        np.testing.assert_allclose(home[column], there[column], rtol=1e-5)
    assert all(torch.isfinite(each.network.forecast(each.x)).all() for each in explained)
    loaded = load(path)
    assert loaded.device == "cpu"
    np.testing.assert_array_equal(loaded.predict()[model.name], home[model.name])


def large(folder, name, **options):
    model = GlobalForecaster(3, season=4, without="ensemble", device=name)
    return fit_large(model, folder / "panel.parquet", steps=4, batch=32, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_large_fit_trains_there_as_on_the_cpu_and_goes_on_where_it_was_killed(name, tmp_path, monkeypatch):
    monkeypatch.setattr(together, "EVERY", 2)
    write_parquet([FRAME], tmp_path / "panel.parquet")
    store = Checkpoints(tmp_path)
    with on("cpu"):
        wanted = large(tmp_path, "cpu").predict(level=80)
    with on(name):
        model = large(tmp_path, name)
        assert {str(p.device) for network in model.networks() for p in network.parameters()} == {name}
        found = model.predict(level=80)
        with pytest.raises(CrashError):
            large(tmp_path, name, store=DiesAfter(store, 1))
        resumed = large(tmp_path, name, store=store).predict(level=80)
    for column in wanted.columns[2:]:
        np.testing.assert_allclose(found[column], wanted[column], rtol=1e-5)
        np.testing.assert_array_equal(resumed[column], found[column])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")  # the stand-in's numbers are copied
@pytest.mark.parametrize("name", OTHERS)
def test_a_fit_that_was_killed_there_goes_on_with_the_same_bits(name, tmp_path):
    panel, store = prices(60), Checkpoints(tmp_path)
    with on(name):
        whole = window(name, 0.3).fit(panel)
        with pytest.raises(CrashError):
            window(name, 0.3).fit(panel, watch=Watch(store=DiesAfter(store, 1)))
        resumed = window(name, 0.3).fit(panel, watch=Watch(store=store))
    assert resumed.curves_ == whole.curves_
    np.testing.assert_array_equal(resumed.predict(3).mean, whole.predict(3).mean)


def test_a_tensor_that_stayed_behind_is_found():
    """What the stand-in is for."""
    with elsewhere():
        there, here = torch.ones(3, device=AWAY), torch.ones(3)
        assert isinstance(there, Away) and (there.cpu() + here).tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="two devices"):
            there + here
        with pytest.raises(RuntimeError):
            there.numpy()
        with pytest.raises(TypeError, match="no float64"):
            there.double()


LACKING = {
    "window": lambda name: window(name).fit(prices(60)),
    "moved": lambda name: GlobalForecaster(3).fit(FRAME).to(name),
    **{kind: lambda name, kind=kind: PANELS[kind](device=name).fit(FRAME) for kind in PANELS},
}


@pytest.mark.parametrize("kind", LACKING)
def test_a_device_that_is_not_there_is_refused_where_it_is_needed(kind):
    with on("cpu"), pytest.raises(SpecError, match="there is no device 'cuda:99' here; there is cpu") as told:
        LACKING[kind]("cuda:99")
    assert "torch.cuda.device_count()" in told.value.hint


def test_names_of_devices(monkeypatch):
    monkeypatch.setattr(device, "available", lambda: ("cpu", "cuda:0", "cuda:1"))
    assert [str(find_device(name)) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    for name in ("cuda:2", "cuda:10", "mps"):
        assert check_device(name) == name, "it may be there on another machine"
        with pytest.raises(SpecError, match="there is cpu, cuda:0, cuda:1"):
            find_device(name)
    for make in (Training, PANELS["direct"], PANELS["sequence"]):
        with pytest.raises(SpecError, match="unknown device 'gpu'"):
            make(device="gpu")
    with pytest.raises(SpecError, match="no number after its colon"):
        check_device("cuda:one")


def test_a_panel_is_fitted_on_the_device_that_the_command_names(tmp_path, capsys):
    path = tmp_path / "panel.csv"
    FRAME.to_csv(path, index=False)
    with on("cpu"):
        for command in (["fit", "-o", str(tmp_path / "m.gatecast")], ["backtest"], ["run"]):
            assert main([command[0], str(path), *command[1:], "--device", "cuda:99"]) == 2
            assert "there is no device 'cuda:99'" in capsys.readouterr().err
        assert main(["fit", str(path), "--h", "3", "--device", "cpu", "-o", str(tmp_path / "m.gatecast")]) == 0
