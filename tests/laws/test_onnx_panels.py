"""Models of many series under onnxruntime say what the library says: every kind of direct and of sequence network."""

from dataclasses import replace
from itertools import product

import numpy as np
import onnxruntime
import pytest

from away import AWAY, Away, elsewhere
from gatecast.data.read import read
from gatecast.edge.cli import main
from gatecast.edge.onnx.export import export_onnx
from gatecast.edge.onnx.panels import crop_inputs
from gatecast.edge.onnx.sequences import sequence_inputs
from gatecast.edge.save import save
from gatecast.errors import ForecastError
from gatecast.forecast.panels import candidates, sequence_nets
from gatecast.forecast.panels.bands import Scores
from gatecast.forecast.panels.candidates import make_parts
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.rules import INGREDIENTS, LOG_LSTM, SCALE_GRU, Candidate, ingredients_without, sizes_for
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.panels.sequence_nets import reading_for
from gatecast.nn.cells import CELLS
from gatecast.prepare.given import bare
from gatecast.prepare.sequences import Sequences
from gatecast.train.lockstep import QUANTILES
from graphs import BATCHES, facts_of, runtime, stirred
from panels import monthly, shorten

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


@pytest.mark.parametrize("kind", ["direct", "sequence"])
def test_networks_on_another_device_make_the_same_file(kind, few_units, tmp_path):
    model = panel_model([SCALE_GRU, LOG_LSTM]) if kind == "direct" else sequence_model("lstm:3", True)
    before = export_onnx(model, tmp_path / "m.onnx").read_bytes()
    with elsewhere():
        model.to(AWAY)
        assert isinstance(next(model.networks()[0].parameters()).data, Away)
        assert export_onnx(model, tmp_path / "m.onnx").read_bytes() == before


def test_rows_after_the_end_of_a_series_are_not_read(tmp_path):
    model = sequence_model("lstm:3-gru:2", False)
    session, inputs = runtime(model, tmp_path), sequence_inputs(model)
    [before] = session.run(None, inputs)
    after = np.arange(inputs["rows"].shape[1]) >= inputs["lengths"][:, None]
    assert after.any()
    inputs["rows"][after] = 1e6
    np.testing.assert_array_equal(session.run(None, inputs)[0], before)


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
