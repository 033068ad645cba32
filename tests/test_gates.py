"""Gates: the forecast can be worked out again from the recorded gates alone, with the equations of the cells."""

import numpy as np
import pytest
import torch

from gatecast.errors import ForecastError
from gatecast.explain.gates import LayerGates, gates
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS, State
from gatecast.nn.stack import MODULES
from gatecast.train.settings import Training
from models import network, prices

ONCE = Training(epochs=1, batch=64, learning_rate=1e-2)
L = 8
PANEL = prices(90)
TRAIN = PANEL.until(PANEL.times[79])
SPECS = {
    "rnn": ("rnn:3", {}),
    "lstm": ("lstm:3", {}),
    "gru": ("gru:3", {}),
    "deep": ("lstm:4x2", {"inputs": ("Low",)}),
    "mixed": ("bigru:2-lstm:3", {}),
    "bilstm": ("bilstm:3", {"inputs": ("Low", "Open")}),
    "birnn": ("gru:3-birnn:2", {}),
    "average": ("lstm:3+bigru:2", {"members": 2}),
    "lags": ("gru:3", {"lags": 2, "inputs": ("Low",)}),
}
ALL = pytest.mark.parametrize("name", SPECS)


@pytest.fixture(scope="module")
def fitted():
    def fit(spec, options):
        options = dict(options)
        recipe = Recipe("standard", lags=options.pop("lags", None), training=ONCE)
        model = network(spec, lookback=L, recipe=recipe, **options).fit(TRAIN)
        draw = torch.Generator().manual_seed(7)
        for each in model.networks_:  # weights that open and close gates: after one epoch all stand near one half
            for weight in each.parameters():
                torch.nn.init.normal_(weight.data, std=0.8, generator=draw)
        return model

    return {name: fit(*each) for name, each in SPECS.items()}


def states(layer: LayerGates) -> np.ndarray:
    """The layer's states h [T, H], from its gates alone, in time order."""
    g = {name: gate[::-1] if layer.reverse else gate for name, gate in layer.gates.items()}
    h = c = np.zeros(g["candidate"].shape[1])
    found = []
    for t in range(len(g["candidate"])):
        n = g["candidate"][t]
        if layer.cell == "rnn":
            h = n
        elif layer.cell == "gru":
            h = (1 - g["update"][t]) * n + g["update"][t] * h
        else:
            c = g["forget"][t] * c + g["input"][t] * n
            h = g["output"][t] * np.tanh(c)
        found.append(h)
    return np.array(found[::-1] if layer.reverse else found)


def layers_of(record, number, depth):
    return [layer for layer in record.layers if (layer.network, layer.layer) == (number, depth)]


def forecast_by_hand(model, record, number):
    """One network's scaled forecast: head on the final states of its top layer, plus the linear skip."""
    net = model.networks_[number]
    top = layers_of(record, number, len(net.stack.layers) - 1)
    final = np.concatenate([states(layer)[0 if layer.reverse else -1] for layer in top])
    head = {name: weight.detach().double().numpy() for name, weight in net.head.named_parameters()}
    y = head["weight"] @ final + head["bias"]
    if net.lags:
        newest = model.newest_window()[0][-net.lags :].ravel()
        y = y + newest @ net.skip_weight.double().numpy() + net.skip_bias.double().numpy()
    return y[0]


@ALL
def test_the_forecast_follows_from_the_recorded_gates(fitted, name):
    model = fitted[name]
    record = gates(model)
    assert {layer.network for layer in record.layers} == set(range(len(model.networks_)))
    scaled = np.mean([forecast_by_hand(model, record, n) for n in range(len(model.networks_))])
    expected = scaled * model.transform_.size[0] + model.transform_.offset[0]
    assert expected == pytest.approx(model.predict(1).mean[0], rel=1e-5)


@ALL
def test_every_layer_is_torchs_layer_on_the_states_of_the_one_below(fitted, name):
    model = fitted[name]
    record = gates(model)
    for number, net in enumerate(model.networks_):
        x = torch.from_numpy(model.newest_window()[0][None]).float()
        for depth, module in enumerate(net.stack.layers):
            with torch.no_grad():
                x = module(x)[0]
            found = np.concatenate([states(layer) for layer in layers_of(record, number, depth)], axis=1)
            np.testing.assert_allclose(found, x[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(("name", "depth"), [("bilstm", 0), ("mixed", 0), ("birnn", 1)])
def test_a_reverse_layer_is_a_forward_run_over_the_reversed_window_turned_back(fitted, name, depth):
    model = fitted[name]
    net = model.networks_[0]
    x = torch.from_numpy(model.newest_window()[0][None]).float()
    forward, backward = layers_of(gates(model), 0, depth)
    assert (forward.reverse, backward.reverse) == (False, True)
    with torch.no_grad():
        for module in net.stack.layers[:depth]:
            x = module(x)[0]
        twin = MODULES[backward.cell](x.shape[2], net.stack.spec.layers[depth].units, batch_first=True)
        for part, weight in twin.named_parameters():
            weight.copy_(getattr(net.stack.layers[depth], f"{part}_reverse"))
        expected = twin(x.flip(1))[0].flip(1)[0].numpy()
    np.testing.assert_allclose(states(backward), expected, atol=1e-5)


def test_gates_of_the_lstm_are_where_their_equations_put_them(fitted):
    """Each gate by name, from PyTorch's documented weight order i, f, g, o."""
    net = fitted["lstm"].networks_[0].stack.layers[0]
    (layer,) = gates(fitted["lstm"]).layers
    x, h = fitted["lstm"].newest_window()[0], np.vstack([np.zeros(3), states(layer)[:-1]])
    w_ih, w_hh, b_ih, b_hh = (weight.detach().double().numpy() for weight in net.parameters())
    for k, name in enumerate(("input", "forget", "candidate", "output")):
        rows = slice(3 * k, 3 * k + 3)
        a = x @ w_ih[rows].T + h @ w_hh[rows].T + b_ih[rows] + b_hh[rows]
        expected = np.tanh(a) if name == "candidate" else 1 / (1 + np.exp(-a))
        np.testing.assert_allclose(layer.gates[name], expected, atol=1e-5, err_msg=name)


def test_kept_fraction_and_time_constant_by_hand():
    forget = np.array([[0.5, 0.9], [0.7, 0.7], [0.6, 0.8]])
    other = np.full((3, 2), 0.1)
    h = np.zeros((3, 2))
    lstm = LayerGates(0, 0, "lstm", False, {"input": other, "forget": forget}, "forget", h, h)
    np.testing.assert_allclose(lstm.kept_fraction, [0.6, 0.8])
    np.testing.assert_allclose(np.array([0.6, 0.8]) ** lstm.time_constant, 1 / np.e)
    np.testing.assert_allclose(lstm.time_constant, [1.957615, 4.481420], rtol=1e-6)
    gru = LayerGates(0, 0, "gru", False, {"reset": other, "update": forget}, "update", h, None)
    np.testing.assert_allclose(gru.kept_fraction, [0.6, 0.8])


@ALL
def test_each_cell_names_the_gate_that_keeps_and_the_plain_rnn_has_none(fitted, name):
    for layer in gates(fitted[name]).layers:
        kept = {"lstm": "forget", "gru": "update", "rnn": None}[layer.cell]
        assert layer.kept == kept
        if kept is None:
            assert layer.kept_fraction is None
            assert layer.time_constant is None
        else:
            np.testing.assert_allclose(layer.kept_fraction, sum(layer.gates[kept]) / L)
            assert (layer.time_constant > 0).all()


def test_the_record_is_of_the_newest_window_and_dated_so(fitted):
    model = fitted["lstm"]
    record, newer = gates(model), gates(model, PANEL)
    assert record.model == model.name
    np.testing.assert_array_equal(record.times, TRAIN.times[-L:])
    np.testing.assert_array_equal(newer.times, PANEL.times[-L:])
    assert all(gate.shape == (L, 3) for gate in record.layers[0].gates.values())
    assert newer.layers[0].gates["input"][-1] != pytest.approx(record.layers[0].gates["input"][-1])
    expected = model.free_runs(PANEL, np.array([PANEL.rows - 1]), 1)[0, 0]
    found = forecast_by_hand(model, newer, 0) * model.transform_.size[0] + model.transform_.offset[0]
    assert found == pytest.approx(expected, rel=1e-5)


def test_saturated_dead_and_always_open_units_by_hand():
    keep = np.array([[0.95, 0.05, 0.5], [0.92, 0.5, 0.5]])
    h = np.array([[0.3, 0.1, 0.2], [0.3004, 0.5, -0.2]])
    layer = LayerGates(0, 0, "gru", False, {"update": keep}, "update", h, None)
    assert layer.saturated("update") == pytest.approx((1 / 6, 2 / 6))
    assert (layer.dead, layer.always_open) == (1, 1)


def test_a_gate_that_never_moves_from_its_end_has_a_time_constant_and_no_warning():
    keep, h = np.array([[1.0, 0.0], [1.0, 0.0]]), np.zeros((2, 2))
    assert LayerGates(0, 0, "gru", False, {"update": keep}, "update", h, None).time_constant.tolist() == [np.inf, 0.0]


def test_one_row_cannot_show_a_dead_unit():
    keep = np.full((1, 2), 0.5)
    assert LayerGates(0, 0, "gru", False, {"update": keep}, "update", keep, None).dead == 0


@ALL
def test_recorded_states_are_those_that_the_gates_make(fitted, name):
    for layer in gates(fitted[name]).layers:
        np.testing.assert_allclose(layer.h, states(layer), atol=1e-12)
        assert (layer.c is not None) == (layer.cell == "lstm")


def test_any_window_can_be_asked_for(fitted):
    model, when = fitted["lstm"], PANEL.times[40]
    record = gates(model, at=when)
    assert record.times[-1] == when
    np.testing.assert_array_equal(record.times, PANEL.times[33:41])
    alone = gates(model, at=str(TRAIN.times[-1])[:10])
    np.testing.assert_array_equal(alone.layers[0].h, gates(model).layers[0].h)
    with pytest.raises(ForecastError, match="no whole window of 8 rows ends at"):
        gates(model, at=PANEL.times[3])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_kept_fraction_is_how_much_of_the_old_state_is_in_the_new(cell):
    """Central differences of the memory by its own old value, all that feeds the gates held still."""
    generator, units, step = torch.Generator().manual_seed(4), 3, 1e-6
    gates_of = CELLS[cell].gates
    a, r = (torch.randn(len(gates_of), 1, units, generator=generator, dtype=torch.float64) for _ in range(2))
    memory = torch.randn(1, units, generator=generator, dtype=torch.float64)
    ends = [CELLS[cell].update(tuple(a), tuple(r), State(m, m)) for m in (memory + step, memory - step)]
    slope = (ends[0][0].c - ends[1][0].c) / (2 * step)
    opened = dict(zip(gates_of, ends[0][1], strict=True))
    np.testing.assert_allclose(slope, opened[CELLS[cell].kept], atol=1e-9)
