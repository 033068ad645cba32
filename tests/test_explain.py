"""What a model used, which steps see which values, where free runs end, and how cells differ: against closed forms."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch

from gatecast.data.synthetic import sine
from gatecast.edge.save import load, save
from gatecast.errors import ForecastError, SpecError
from gatecast.explain.decay import CHANCE, adding_decay, series_decay
from gatecast.explain.explanation import explain
from gatecast.explain.flow import information_flow
from gatecast.explain.flows import model_flow
from gatecast.explain.freeruns import as_differences, free_runs, period_of
from gatecast.explain.influence import influence
from gatecast.explain.reading import readings
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.panels.baselines import SeasonalNaive
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn.recurrent import LSTM
from gatecast.show.explain_charts import explained
from gatecast.train.settings import Training
from models import NETWORKS, QUICK, network, prices
from panels import monthly, shorten

LEARNED = 0.02
"""Mean squared error below which a cell has learned to add."""
PANEL = prices(200)
TRAIN = PANEL.until(PANEL.times[119])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_window_model_sees_its_newest_value_at_every_step(name):
    flow = model_flow(NETWORKS[name]().fit(TRAIN))
    assert flow.complete, flow.verdict
    assert flow.moved.shape[1] >= 8


def test_every_panel_model_sees_its_newest_value_at_every_step(monkeypatch):
    shorten(monkeypatch)
    frame = monthly(3, 6)
    for model in (GlobalForecaster(h=4), SamplingForecaster(h=4, drawing=Drawing(paths=9, networks=1))):
        flow = model_flow(model.fit(frame))
        assert flow.complete, flow.verdict
        assert flow.moved.shape == (4, 48)
    naive = model_flow(SeasonalNaive(h=4).fit(frame))
    assert naive.ignored == (11, 10, 9, 8)
    assert naive.verdict == "4 of 4 steps ignore the newest value; step 1 ignores the newest 11"


def test_a_model_without_recurrence_has_nothing_to_explain(monkeypatch):
    shorten(monkeypatch)
    model = GlobalForecaster(h=4, without=("recurrence", "rival")).fit(monthly(2, 6))
    with pytest.raises(ForecastError, match="fitted without its recurrence"):
        explain(model)


class Aligned(torch.nn.Module):
    """Step k is read off the state after value L - K + k: what a decoder aligned with the window's end does."""

    def __init__(self, steps: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.steps, self.layer, self.head = steps, LSTM(1, 8, batch_first=True), torch.nn.Linear(8, 1)
        self.noise = torch.nn.Dropout(dropout)

    def forward(self, x):
        return self.head(self.noise(self.layer(x)[0]))[:, -self.steps :]


def test_a_decoder_that_is_aligned_with_the_end_of_the_window_is_found_out():
    torch.manual_seed(0)
    net = Aligned(5, dropout=0.5).train()
    flow = information_flow(net, np.random.default_rng(0).normal(size=20))
    assert flow.ignored == (4, 3, 2, 1, 0)
    assert not flow.complete
    assert net.training, "the module is left as it was"


def test_a_forecaster_that_is_not_a_function_of_its_window_is_refused():
    draw = np.random.default_rng(0)
    with pytest.raises(ForecastError, match="the same window gave two forecasts"):
        information_flow(lambda windows: draw.normal(size=(len(windows), 3)), np.arange(9.0))


def test_flow_is_zero_where_nothing_is_read_and_stays_positive_for_positive_windows():
    seen = []

    def last_of_positive(windows):
        seen.append(windows.min())
        return np.log(windows[:, -1:])

    flow = information_flow(last_of_positive, np.array([5.0, 0.1, 7.0, 90.0]))
    assert flow.ignored == (0,)
    assert (flow.moved[0] > 0).tolist() == [True, False, False, False]
    assert min(seen) > 0
    assert information_flow(lambda windows: np.zeros((len(windows), 2)), np.arange(4.0)).ignored == (4, 4)


def test_one_tiny_positive_value_does_not_hide_what_the_others_do():
    """In float32, a change of the size of the least value would vanish in the sum."""
    seen = []

    def total(windows):
        seen.append(windows.min())
        return windows.astype(np.float32).sum(axis=1, keepdims=True)

    assert (information_flow(total, np.array([50.0, 1e-9, 70.0, 90.0])).moved > 0).all()
    assert min(seen) > 0


def test_round_off_that_depends_on_the_place_in_a_batch_is_neither_a_change_nor_a_refusal():
    def blind(windows):
        return 1 + windows[:, :1] + 1e-15 * (np.arange(len(windows)) % 3)[:, None]

    assert information_flow(blind, np.arange(6.0)).ignored == (5,)


def test_a_forecast_that_is_no_number_is_not_taken_for_one_that_ignores_its_window():
    with pytest.raises(ForecastError, match="the forecast of the window has steps without a number"):
        information_flow(lambda windows: windows[:, -2:] * np.nan, np.arange(5.0))


def test_the_flow_of_a_window_model_is_measured_at_its_newest_window():
    model = network("gru:3", recipe=Recipe("standard", training=QUICK)).fit(TRAIN)
    found, net = model_flow(model, PANEL), readings(model, PANEL)[0].network
    window = torch.from_numpy(model.newest_window(PANEL)[0])
    spread = max(float(window.std(correction=0)), 1e-3 * float(window.abs().max()))
    changes = []
    for nudge in (0.37, -0.53):
        moved = window.repeat(8, 1, 1)
        moved[torch.arange(8), 7 - torch.arange(8), 0] += nudge * spread
        changes.append((net.run(moved).y - net.run(window[None]).y).abs().max(dim=1).values)
    np.testing.assert_allclose(found.moved[0], torch.stack(changes).amax(dim=0), rtol=1e-6, atol=1e-15)


def test_influence_of_a_linear_forecaster_is_its_weights():
    """Head at zero: the forecast is the linear skip, so gradient = |w| sd(x) and occlusion = mean |w (x - mean)|."""
    model = network("gru:3", inputs=("Low",), recipe=Recipe("standard", lags=3, training=QUICK)).fit(TRAIN)
    net = model.networks_[0]
    torch.nn.init.zeros_(net.head.weight)
    found, x = influence(model, PANEL, windows=9), readings(model, PANEL, 9)[0].x.numpy()
    weight = np.zeros((8, 2))
    weight[-3:] = np.abs(net.skip_weight[:, 0].double().numpy()).reshape(3, 2)
    np.testing.assert_allclose(found.gradient, (weight * x.std(axis=(0, 1)))[::-1], rtol=1e-9, atol=1e-12)
    away = np.abs(x - x.mean(axis=(0, 1))).mean(axis=0)
    np.testing.assert_allclose(found.occlusion, (weight * away)[::-1], rtol=1e-6, atol=1e-12)
    assert sum(found.by_column.values()) == pytest.approx(1)


def test_occlusion_does_not_depend_on_how_many_windows_are_read_at_once(monkeypatch):
    model = network("bilstm:3-gru:2", inputs=("Low",)).fit(TRAIN)
    whole = influence(model, PANEL, windows=5).occlusion
    monkeypatch.setattr(sys.modules[influence.__module__], "NUMBERS", 1)
    np.testing.assert_allclose(influence(model, PANEL, windows=5).occlusion, whole, rtol=1e-9, atol=1e-15)


def test_one_window_of_one_row_has_no_spread_and_no_warning():
    found = influence(network("rnn:3", lookback=1).fit(TRAIN), PANEL.until(PANEL.times[120]))
    assert (found.windows, found.gradient.tolist(), found.occlusion.tolist()) == (1, [[0.0]], [[0.0]])


def test_influence_is_not_offered_for_derived_inputs(monkeypatch):
    shorten(monkeypatch)
    with pytest.raises(ForecastError, match="reads derived numbers, not columns"):
        influence(GlobalForecaster(h=4).fit(monthly(2, 6)))


def frozen(bias: float) -> Forecaster:
    """A model whose every next value is its bias, in units of its scaler."""
    model = network("gru:3", recipe=Recipe("standard", training=QUICK)).fit(TRAIN.columns_as(("High",)))
    torch.nn.init.zeros_(model.networks_[0].head.weight)
    torch.nn.init.constant_(model.networks_[0].head.bias, bias)
    return model


def test_free_runs_of_a_constant_are_measured_as_what_they_are():
    model, steps = frozen(0.4), 30
    found = free_runs(model, PANEL, starts=11, steps=steps)
    level = model.transform_.offset[0] + 0.4 * model.transform_.size[0]
    truth = PANEL.values[120:, 0]
    origins = np.unique(np.linspace(0, len(truth) - steps, 11).round().astype(int))
    expected = np.abs(level - np.stack([truth[o : o + steps] for o in origins])).mean(axis=0)
    np.testing.assert_allclose(found.error, expected, rtol=1e-6)
    np.testing.assert_allclose(found.divergence, 0, atol=1e-5)
    np.testing.assert_allclose(found.one_step, found.error, rtol=1e-6)
    assert (found.starts, found.constant, found.cyclic, found.period) == (11, 1.0, 0.0, 0)


def test_free_runs_over_unknown_truth_are_compared_where_it_is_known():
    """Means over the starts whose truth is known at a step; where none is, there is no number and no warning."""
    panel = dataclasses.replace(PANEL.columns_as(("High",)), fill="last")
    values = panel.values.copy()
    values[140:170] = np.nan
    model, steps = frozen(0.4), 30
    found = free_runs(model, dataclasses.replace(panel, values=values), starts=11, steps=steps)
    level = model.transform_.offset[0] + 0.4 * model.transform_.size[0]
    origins = np.unique(np.linspace(0, 80 - steps, 11).round().astype(int))
    errors = np.abs(level - np.stack([values[120 + o : 120 + o + steps, 0] for o in origins]))
    expected = [np.mean(column[~np.isnan(column)]) for column in errors.T]
    np.testing.assert_allclose(found.error, expected, rtol=1e-6)
    alone = free_runs(model, dataclasses.replace(panel, values=values).until(PANEL.times[169]), starts=1, steps=40)
    assert np.isnan(alone.error[20:]).all() and np.isfinite(alone.error[:20]).all()
    over = np.flatnonzero(alone.error[:20] > 2 * np.mean(alone.one_step[:20])) + 1
    assert alone.doubled_at == (over[0] if len(over) else None)
    values = values.copy()
    values[120:] = np.nan
    with pytest.raises(ForecastError, match="no newer row has a value of 'High'"):
        free_runs(model, dataclasses.replace(panel, values=values), steps=30)


def test_a_loaded_model_is_explained_as_the_one_that_was_saved(tmp_path):
    """Also with a window of one row, of which the file keeps no more."""
    model = network("lstm:3", lookback=1).fit(TRAIN.columns_as(("High",)))
    save(model, tmp_path / "m.gatecast")
    assert explain(load(tmp_path / "m.gatecast"), PANEL).facts() == explain(model, PANEL).facts()


@pytest.mark.parametrize("lookback", [1, 2])
def test_the_shortest_windows_are_explained_and_drawn(lookback):
    found = explain(network("gru:3", lookback=lookback).fit(TRAIN), PANEL)
    json.dumps(found.facts(), allow_nan=False)
    assert "nan" not in " ".join(found.sentences)
    assert ("nothing to remember" in " ".join(found.sentences)) == (lookback == 1)
    titles = [title for title, _, chart in explained(found) if chart.to_dict()]
    assert ("One step's largest singular value" in titles) == (lookback == 2)


def test_every_heat_map_stands_with_the_sentence_of_its_own_direction():
    found = explain(network("bilstm:3", inputs=("Low",)).fit(TRAIN))
    maps = [(title, sentence) for title, sentence, _ in explained(found) if "through one window" in title]
    assert [title for title, _ in maps] == [
        "Layer 1 (lstm) through one window",
        "Layer 1 (lstm, backwards) through one window",
    ]
    assert all(sentence.startswith(f"{title.split(' through')[0]} keeps") for title, sentence in maps)


def test_periods():
    t = np.arange(80)
    assert period_of(np.sin(2 * np.pi * t / 8), 1e-9) == 8
    assert period_of(np.sin(2 * np.pi * t / 8) + 0.01 * t, 1e-3) == 0
    assert period_of(np.sin(2 * np.pi * t / 80), 1e-9) == 0


def test_free_runs_that_do_not_fit_or_cannot_be_are_refused():
    with pytest.raises(ForecastError, match="80 newer rows are too few for free runs of 90 steps"):
        free_runs(frozen(0.0), PANEL, steps=90)
    reader = network("gru:3", inputs=("Low",), recipe=Recipe("standard", predicts="target", training=QUICK)).fit(TRAIN)
    with pytest.raises(ForecastError, match="no free run"):
        free_runs(reader, PANEL, steps=9)


def test_as_differences_is_the_same_network_on_changes():
    model = network("gru:3", inputs=("Low",)).fit(TRAIN)
    twin = as_differences(model)
    assert twin.plan_.recipe.transform == "difference"
    assert (twin.spec, twin.plan_.columns, twin.plan_.lookback) == (model.spec, ("High", "Low"), 8)
    assert twin.parameters == model.parameters


def test_gates_learn_to_add_over_30_steps_and_the_plain_cell_does_not():
    """At the same budget; and the gradient tells why: within the window it halves often where learning failed."""
    found = {row.cell: row for row in adding_decay(length=30, steps=800).rows}
    assert found["lstm"].error < LEARNED
    assert found["gru"].error < LEARNED
    assert found["rnn"].error > 1.5 * LEARNED
    far = {cell: row.trained.layers[0].half_life for cell, row in found.items()}
    assert min(far["lstm"], far["gru"]) > 1.5 * far["rnn"]


@pytest.mark.slow
def test_gates_learn_to_add_over_100_steps_and_the_plain_cell_forgets():
    found = {row.cell: row for row in adding_decay(length=100).rows}
    assert found["lstm"].error < LEARNED
    assert found["gru"].error < LEARNED
    assert found["rnn"].error > 0.9 * CHANCE
    assert found["rnn"].trained.layers[0].verdict == "vanishing"
    assert found["lstm"].trained.layers[0].verdict == found["gru"].trained.layers[0].verdict == "healthy"


def test_cells_are_compared_on_the_users_series():
    short = Training(epochs=1)
    model = network("gru:3", inputs=("Low",), recipe=Recipe(training=short)).fit(TRAIN)
    found = series_decay(model, PANEL, units=4)
    truth = PANEL.values[120:, 0]
    naive = PANEL.values[119:-1, 0]
    assert found.yardstick == pytest.approx(np.sqrt(np.mean((truth - naive) ** 2)))
    assert [row.cell for row in found.rows] == ["rnn", "lstm", "gru"]
    for row in found.rows:
        assert not np.array_equal(row.untrained.inputs, row.trained.inputs)
        assert np.isfinite(row.error)
    assert len(found.sentences) == 3


def test_the_yardstick_repeats_the_last_known_value_over_the_rows_that_the_cells_forecast():
    panel = PANEL.columns_as(("High",))
    values = panel.values.copy()
    values[130:150] = np.nan
    panel = dataclasses.replace(panel, values=values, fill="last")
    model = network("gru:3", recipe=Recipe(training=Training(epochs=1))).fit(panel.until(PANEL.times[119]))
    errors, last = [], panel.values[119, 0]
    for value in panel.values[120:, 0]:
        errors.append(value - last)
        last = last if np.isnan(value) else value
    found = series_decay(model, panel, units=3, cells=("rnn",))
    assert found.yardstick == pytest.approx(np.sqrt(np.nanmean(np.square(errors))))


def test_an_explanation_says_everything_once_and_is_plain_json():
    panel = sine(300, period=12, noise=0.05)
    train = panel.until(199)
    model = Forecaster("lstm:4-gru:3", lookback=12, recipe=Recipe(training=QUICK)).fit(train)
    found = explain(model, panel, compare=True)
    text = " ".join(found.sentences)
    for part in ("Effective memory", "Layer 1 (lstm)", "Layer 2 (gru)", "Information flow", "Used", "Free runs from"):
        assert part in text
    assert "reading differences" in text
    assert text.count("y, windows of 12 rows:") == 3
    assert not found.left_out
    facts = json.loads(json.dumps(found.facts(), allow_nan=False))
    assert facts["memory"]["inputs"] == found.memory.inputs.tolist()
    assert facts["sentences"] == list(found.sentences)


def test_an_explanation_without_newer_rows_says_what_it_left_out():
    model = network("gru:3").fit(TRAIN.columns_as(("High",)))
    found = explain(model)
    assert found.runs is None
    assert found.left_out == ("free runs: 0 newer rows, expected at least 20",)
    with pytest.raises(ForecastError, match="0 newer rows, expected at least 20 to compare cells"):
        explain(model, compare=True)


def test_a_model_that_is_not_unrolled_is_refused():
    model = SequenceForecaster(2, spec="gru:4", members=1)
    model.fit(sine(60), seed=0)
    with pytest.raises(SpecError, match="a SequenceForecaster cannot be explained"):
        readings(model)
