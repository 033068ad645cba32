"""Memory: gradients through time and one-step Jacobians agree with closed forms and with finite differences."""

import numpy as np
import pytest
import torch

from gatecast.errors import SpecError
from gatecast.explain.memory import memory, memory_of
from gatecast.explain.reading import RECENT, Reading, readings
from gatecast.explain.unrolled import Direction, Unrolled, unroll
from gatecast.forecast.panels.direct import GlobalForecaster
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn.cells import CELLS, Cell, State, Weights
from gatecast.train.lockstep import MEDIAN
from models import NETWORKS, QUICK, network, prices
from panels import monthly, shorten

PANEL = prices(150)
TRAIN = PANEL.until(PANEL.times[119])
LINEAR = Cell(("candidate",), None, lambda a, r, state: (State(a[0] + r[0], a[0] + r[0]), (a[0] + r[0],)))
"""A reference cell with identity activation: h' = W x + U h."""


def drawn(cell, inputs, units, seed=0):
    """Random weights of a cell, float64."""
    generator, rows = torch.Generator().manual_seed(seed), len(cell.gates) * units
    shapes = [(rows, inputs), (rows, units), (rows,), (rows,)]
    return Weights(*(0.8 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))


def fitted(name):
    return NETWORKS[name]().fit(TRAIN)


def linear(a, length):
    """h_t = a h_(t-1) + x_t, read out as it is: the AR(1)."""
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    layer = Direction(LINEAR, Weights(one, a * one, zero, zero))
    x = torch.randn(3, length, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Reading(Unrolled(((layer,),), lambda state, x: state), x, ("y",))


@pytest.mark.parametrize("a", [0.9, 0.5, -0.8, 1.0, 1.1])
def test_an_ar1_forgets_by_its_coefficient(a):
    found = memory_of((linear(a, 60),), "ar1")
    expected = np.abs(a) ** np.arange(60)
    np.testing.assert_allclose(found.layers[0].gradient, expected, rtol=1e-6)
    np.testing.assert_allclose(found.inputs, expected, rtol=1e-6)
    np.testing.assert_allclose(found.layers[0].singular, np.abs(a), rtol=1e-6)
    assert found.layers[0].decay == pytest.approx(np.abs(a), rel=1e-9)
    if np.abs(a) < 1:
        assert found.layers[0].half_life == pytest.approx(np.log(0.5) / np.log(np.abs(a)))
        shares = np.cumsum(expected) / expected.sum()
        assert found.spent(0.95) == np.searchsorted(shares, 0.95) + 1


@pytest.mark.parametrize(
    ("a", "verdict"), [(0.5, "vanishing"), (0.97, "healthy"), (1.0, "healthy"), (1.2, "exploding"), (0.0, "vanishing")]
)
def test_verdicts(a, verdict):
    assert memory_of((linear(a, 60),), "ar1").layers[0].verdict == verdict


@pytest.mark.parametrize("name", CELLS)
def test_jacobians_agree_with_finite_differences(name):
    cell, units = CELLS[name], 3
    way = Direction(cell, drawn(cell, 2, units))
    x, h, c = (torch.randn(4, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (2, 3, 3))
    found = way.jacobians(x, h, c).numpy()
    size, step = way.size, 1e-6
    for column in range(size):
        moved = []
        for sign in (1, -1):
            state = torch.cat([h, c], dim=1)[:, :size].clone()
            state[:, column] += sign * step
            parts = state.split(units, dim=1)
            moved.append(torch.cat(cell.step(way.weights, x, State(parts[0], parts[-1]))[0][: way.parts], dim=1))
        np.testing.assert_allclose(found[:, :, column], (moved[0] - moved[1]).numpy() / (2 * step), atol=1e-8)


def test_a_jacobian_of_two_units_by_hand():
    """The plain cell: J = diag(1 - h'^2) W_hh. The GRU with open reset: J = diag(z) + ..., checked unit by unit."""
    rnn = Direction(CELLS["rnn"], drawn(CELLS["rnn"], 1, 2))
    x, h = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[0.2, -0.4]], dtype=torch.float64)
    w = rnn.weights
    after = torch.tanh(w.weight_ih @ x[0] + w.bias_ih + w.weight_hh @ h[0] + w.bias_hh)
    np.testing.assert_allclose(rnn.jacobians(x, h, h)[0], (1 - after[:, None] ** 2) * w.weight_hh, atol=1e-12)
    zero = torch.zeros(6, 2, dtype=torch.float64)
    bias = torch.tensor([0.0, 0.0, 1.5, -0.5, 0.0, 0.0], dtype=torch.float64)
    gru = Direction(CELLS["gru"], Weights(zero[:, :1], zero, bias, zero[:, 0]))
    np.testing.assert_allclose(gru.jacobians(x, h, h)[0], torch.sigmoid(bias[2:4]).diag(), atol=1e-12)
    rows = torch.zeros(8, dtype=torch.float64)
    rows[2:4] = torch.tensor([1.5, -0.5])  # forget
    lstm = Direction(CELLS["lstm"], Weights(zero.new_zeros(8, 1), zero.new_zeros(8, 2), rows, zero.new_zeros(8)))
    f = torch.sigmoid(rows[2:4])
    dh = 0.5 * (1 - torch.tanh(f * h[0]) ** 2) * f  # h' = o tanh(f c), o = 1/2
    expected = np.block([[np.zeros((2, 2)), np.diag(dh)], [np.zeros((2, 2)), np.diag(f)]])
    np.testing.assert_allclose(lstm.jacobians(x, h, h)[0], expected, atol=1e-12)


def test_a_forget_bias_moves_only_the_forget_gate_of_the_first_step():
    cell, units = CELLS["lstm"], 3
    weights = drawn(cell, 2, units)
    biased = weights._replace(bias_ih=weights.bias_ih.clone())
    biased.bias_ih[units : 2 * units] += 10
    x = torch.randn(1, 2, dtype=torch.float64)
    state = State(torch.randn(1, units, dtype=torch.float64), torch.randn(1, units, dtype=torch.float64))
    plain, moved = (dict(zip(cell.gates, cell.step(each, x, state)[1], strict=True)) for each in (weights, biased))
    for name in cell.gates:
        same = torch.equal(plain[name], moved[name])
        assert same == (name != "forget"), name
    assert (moved["forget"] > plain["forget"]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_an_unrolled_network_forecasts_as_the_model_does(name):
    model = fitted(name)
    found = readings(model, windows=7)
    assert len(found) == len(model.networks_)
    for reading, net in zip(found, model.networks_, strict=True):
        with torch.no_grad():
            expected = net(reading.x.float())[..., 0].double()
        trace = reading.network.run(reading.x)
        np.testing.assert_allclose(trace.y, expected, atol=2e-6)
        assert torch.equal(reading.network.forecast(reading.x), trace.y)


@pytest.mark.parametrize("name", ["lstm", "mixed", "bilstm", "direct", "linear"])
def test_gradients_agree_with_finite_differences_of_the_forecast(name):
    """At the inputs, of every network as it is used: float64 central differences through the unrolled network."""
    reading = readings(fitted(name), windows=3)[0]
    found, step = memory_of((reading,), name), 1e-6
    norms = []
    for lag in range(reading.x.shape[1]):
        slopes = []
        for column in range(reading.x.shape[2]):
            ends = []
            for sign in (1, -1):
                x = reading.x.clone()
                x[:, -1 - lag, column] += sign * step
                ends.append(reading.network.run(x).y[:, 0])
            slopes.append((ends[0] - ends[1]) / (2 * step))
        norms.append(torch.stack(slopes).norm(dim=0).mean())
    np.testing.assert_allclose(found.inputs, norms, rtol=1e-5, atol=1e-9)


def test_state_gradients_agree_with_a_run_that_goes_on_from_a_nudged_state():
    """dy/ds_t by pushing every number of (h_t, c_t) and reading the rest of the window from there."""
    reading = readings(network("lstm:3", recipe=Recipe("standard", training=QUICK)).fit(TRAIN), windows=1)[0]
    found, (direction,) = memory_of((reading,), "lstm").layers[0].gradient, reading.network.layers[0]
    trace, step = reading.network.run(reading.x), 1e-6
    states = trace.walks[0][0].states
    for lag in range(len(states)):
        slopes = []
        for part in range(2):
            for unit in range(3):
                ends = []
                for sign in (1, -1):
                    state = State(*(each.clone() for each in states[-1 - lag]))
                    state[part][0, unit] += sign * step
                    for row in reading.x[:, reading.x.shape[1] - lag :].unbind(dim=1):
                        state = direction.cell.step(direction.weights, row, state)[0]
                    ends.append(reading.network.readout(state.h, reading.x)[0, 0])
                slopes.append((ends[0] - ends[1]) / (2 * step))
        assert found[lag] == pytest.approx(float(torch.stack(slopes).norm()), rel=1e-5, abs=1e-9)


def test_panel_models_are_unrolled_as_they_forecast(monkeypatch):
    shorten(monkeypatch)
    frame = monthly(3, 6)
    direct = GlobalForecaster(h=4).fit(frame)
    assert direct.free_ is None, "the rival won: choose another frame"
    nets = iter(readings(direct, windows=3))
    for part in direct.parts_:
        series, ends = part.crops.whole(RECENT, 3)
        read = part.crops.take(series, ends).read
        for group in part.nets:
            with torch.no_grad():
                expected = group(read.expand(len(group.skip), *read.shape))[:, :, -1, :, MEDIAN].double()
            for number in range(len(group.skip)):
                found = next(nets).network.run(read.double()).y
                np.testing.assert_allclose(found, expected[number], rtol=1e-5, atol=1e-5)
    assert next(nets, None) is None
    free = SamplingForecaster(h=4, drawing=Drawing(paths=8, networks=1)).fit(frame)
    reading = readings(free, windows=3)[0]
    with torch.no_grad():
        location = free.nets_[0](reading.x.float())[0][0][:, -1].double()
    np.testing.assert_allclose(reading.network.run(reading.x).y[:, 0], location, atol=1e-5)
    assert memory(free).spent() >= 1


def test_the_memory_of_a_direct_model_is_about_the_step_that_was_asked_for():
    model = fitted("direct")
    first, last = memory(model, step=1), memory(model, step=3)
    assert not np.array_equal(first.inputs, last.inputs)
    with pytest.raises(SpecError, match="step 4 of 3"):
        memory(model, step=4)


def test_a_network_whose_head_is_zero_is_silent():
    model = fitted("gru")
    torch.nn.init.zeros_(model.networks_[0].head.weight)
    found = memory_of((Reading(unroll(model.networks_[0]), readings(model)[0].x, ("High",)),), "gru")
    assert found.layers[0].verdict == "silent"
    assert found.spent() == 0


def test_one_step_takes_all_of_a_memoryless_ar1():
    layer = memory_of((linear(0.0, 9),), "ar1").layers[0]
    assert (layer.decay, layer.half_life, layer.reaches) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("a", "says"), [(0.9, "halves"), (1.1, "doubles"), (1.0, "hardly changes")])
def test_a_growing_gradient_is_not_said_to_halve(a, says):
    pace = memory_of((linear(a, 40),), "ar1").layers[0].pace
    assert says in pace
    if a != 1:
        assert f"{np.log(2) / np.abs(np.log(a)):.1f} steps" in pace


@pytest.mark.parametrize("spec", ["bilstm:3-gru:2", "lstm:3-rnn:2", "birnn:3"])
def test_every_layers_gradient_has_passed_its_own_jacobians(spec):
    """g_t is g_T times the one-step Jacobians since, also in a layer whose states other layers read at every step; so
    it never grows beyond the product of their largest singular values."""
    reading = readings(network(spec).fit(TRAIN), windows=1)[0]
    found, trace = memory_of((reading,), spec), reading.network.run(reading.x.requires_grad_())
    walks = {(depth, walk.direction.reverse): walk for depth, layer in enumerate(trace.walks) for walk in layer}
    assert len(found.layers) == len(walks)
    for layer in found.layers:
        walk = walks[layer.layer, layer.reverse]
        ends = torch.autograd.grad(
            trace.y.sum(), walk.states[-1], retain_graph=True, materialize_grads=True, allow_unused=True
        )
        g = torch.cat(ends[: walk.direction.parts], dim=1)
        expected = [float(g.norm())]
        for row, before in zip(walk.inputs[:0:-1], walk.states[-2::-1], strict=True):
            g = g @ walk.direction.jacobians(row, *before)[0]
            expected.append(float(g.norm()))
        np.testing.assert_allclose(layer.gradient, expected, rtol=1e-9, atol=1e-300)
        bound = layer.gradient[0] * np.cumprod(np.append(1.0, layer.singular))
        assert (layer.gradient <= bound * (1 + 1e-9)).all()


def test_networks_that_read_windows_of_other_lengths_are_not_averaged_with_the_first():
    first = memory_of((linear(0.9, 30),), "ar1")
    found = memory_of((linear(0.9, 30), linear(0.5, 20)), "ar1")
    np.testing.assert_array_equal(found.layers[0].gradient, first.layers[0].gradient)
    np.testing.assert_array_equal(found.inputs, first.inputs)


def test_a_window_of_one_row_has_a_layer_that_is_read_and_nothing_to_remember():
    layer = memory_of((linear(0.9, 1),), "ar1").layers[0]
    assert not layer.silent
    assert layer.gradient.tolist() == [1.0]
    assert np.isnan([layer.decay, layer.half_life]).all()


def test_averages_are_over_networks_and_layers_stand_apart():
    model = network("lstm:3-gru:2", members=2).fit(TRAIN)
    found, alone = memory(model), [memory_of((each,), "one") for each in readings(model)]
    assert [(layer.layer, layer.cell) for layer in found.layers] == [(0, "lstm"), (1, "gru")]
    assert not np.array_equal(alone[0].inputs, alone[1].inputs)
    np.testing.assert_allclose(found.inputs, (alone[0].inputs + alone[1].inputs) / 2)
    for number, layer in enumerate(found.layers):
        for name in ("gradient", "singular"):
            expected = np.mean([getattr(each.layers[number], name) for each in alone], axis=0)
            np.testing.assert_allclose(getattr(layer, name), expected)
