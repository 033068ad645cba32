"""Networks in lockstep: the linear start, the kernels beside torch.nn, together beside alone, and what they learn."""

import numpy as np
import pytest
import torch

from gatecast.forecast.panels.candidates import median
from gatecast.nn import native
from gatecast.nn.correction import Corrections, Shape
from gatecast.prepare.crops import Crops, Sizes
from gatecast.prepare.scale import seasonal_differences
from gatecast.train.lockstep import QUANTILES, Schedule, fit_start, forecast, loss, train_lockstep

SHAPES = {
    "gru with a head": Shape("gru", 6, 5, linear=4, extra=2, steps=3, quantiles=2),
    "lstm without": Shape("lstm", 6, 0, linear=4, extra=2, steps=3, quantiles=2),
}
SIZES = Sizes(lookback=8, anchors=6, stride=1, season=4, long_lag=0, horizon=5)


def nets(shape, seeds=(1, 2)):
    return Corrections(shape, [torch.Generator().manual_seed(each) for each in seeds])


def inputs(shape, members=2):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(members, 20, 7, shape.linear + shape.extra, generator=generator)


def seasons(series=6, rows=60, seed=0):
    """Noisy seasons of several series as crops."""
    rng = np.random.default_rng(seed)
    cycle = np.tile([0.0, 1.0, 3.0, 1.0], rows // 4)
    z = np.concatenate(
        [rng.normal(0, 2) + rng.uniform(0.5, 2) * cycle + rng.normal(0, 0.2, rows) for _ in range(series)]
    )
    return Crops(z, np.arange(series + 1) * rows, np.zeros((len(z), 0), dtype=np.float32), SIZES, "level")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_they_start_at_the_linear_forecast(shape):
    found, x = nets(shape), inputs(shape)
    weight, bias = torch.randn(4, 3), torch.randn(3, 2)
    found.start_at(weight, bias)
    torch.testing.assert_close(found(x), (x[..., : shape.linear] @ weight)[..., None] + bias)


def moved(shape, seeds=(1, 2)):
    """Networks whose correction is not zero."""
    found = nets(shape, seeds)
    torch.nn.init.normal_(found.out, generator=torch.Generator().manual_seed(3))
    return found


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_kernels_and_torch_give_the_same_values_and_gradients(shape, monkeypatch):
    found, x = moved(shape), inputs(shape)
    results = []
    for kernels in (native.kernels, None):
        monkeypatch.setattr(native, "kernels", kernels)
        y = found(x)
        results.append([y.detach(), *torch.autograd.grad(y.square().sum(), list(found.parameters()))])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_network_among_others_is_the_network_alone(shape):
    together, x = nets(shape), inputs(shape)
    alone = nets(shape, seeds=(2,))
    for mine, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine[1:], theirs)
        with torch.no_grad():
            theirs.copy_(mine.normal_(generator=torch.Generator().manual_seed(4))[1:])
    torch.testing.assert_close(together(x)[1:], alone(x[1:]))


def test_recurrent_weights_start_orthogonal_with_one_forget_bias():
    flat = nets(SHAPES["lstm without"]).recurrent[0].detach()
    read, hidden, bias, second = flat.split([24 * 6, 24 * 6, 24, 24])
    assert abs(read.std().item() - 0.6 / 6**0.5) < 0.03
    for block in hidden.view(4, 6, 6):
        torch.testing.assert_close(block @ block.T, torch.eye(6))
    assert bias.tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12 and not second.any()


def test_the_linear_start_is_the_ridge_on_every_whole_anchor():
    crops = seasons()
    weight, bias = fit_start(crops)
    crop = crops.single().take(*crops.whole(10_000, 10_000))
    x, y = crop.linear[:, 0].double(), crop.target[:, 0].clamp(-8, 8).double()
    penalty = 1e-4 * len(x) + 1
    total = torch.cat([x - x.mean(0), penalty**0.5 * torch.eye(x.shape[1])])
    wanted = torch.linalg.lstsq(total, torch.cat([y - y.mean(0), torch.zeros(x.shape[1], y.shape[1])])).solution
    torch.testing.assert_close(weight.double(), wanted, rtol=1e-4, atol=1e-5)
    left = y - y.mean(0) - (x - x.mean(0)) @ wanted
    around = torch.quantile(left, torch.tensor(QUANTILES, dtype=torch.float64), dim=0).T
    middle = y.mean(0) - x.mean(0) @ wanted
    torch.testing.assert_close(bias.double(), middle[:, None] + around, rtol=1e-4, atol=1e-5)


def test_the_loss_counts_what_exists_after_the_burn_in():
    crops = seasons(series=2, rows=20)
    crop = crops.take(torch.tensor([0, 1]), torch.tensor([6, 38]))
    y = torch.zeros(1, 2, 6, 5, len(QUANTILES))
    total, count = 0.0, 0
    for n in range(2):
        for c in range(1, 6):  # the first quarter of six anchors is burnt in
            if crop.valid[n, c] < 5:
                continue
            there = crop.target[n, c][crop.exists[n, c]].clamp(-30, 30)
            pinball = [2 * torch.maximum(q * there, (q - 1) * there).sum().item() for q in QUANTILES]
            total, count = total + np.mean(pinball), count + len(there)
    assert 0 < count < 50
    assert abs(loss(y, crop, SIZES).item() - total / count) < 1e-5


def trained(crops, steps=40, seeds=(1, 2)):
    shape = Shape("gru", 8, 8, SIZES.linear, crops.extra, SIZES.horizon, len(QUANTILES))
    found = nets(shape, seeds)
    found.start_at(*fit_start(crops))
    looks = []
    for look in train_lockstep(found, crops, Schedule(steps), torch.Generator().manual_seed(9), (10, steps)):
        looks.append((look, forecast([found], crops, torch.arange(len(crops.starts)))))
    return found, looks


def test_training_looks_at_averaged_weights_and_gives_the_same_bits_again():
    crops = seasons()
    (_, one), (_, again) = trained(crops), trained(crops)
    assert [look for look, _ in one] == [10, 40]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, again, strict=True))
    assert not np.array_equal(one[0][1], one[1][1])


def test_the_newest_value_moves_every_step_of_every_network():
    crops = seasons()
    found, _ = trained(crops)
    crop = crops.take(torch.tensor([0]), crops.stops[:1] - 1)
    x = crop.read.expand(2, 1, -1, -1).clone().requires_grad_()
    y = found(x)[:, 0, -1]
    for member in range(2):
        for k in range(SIZES.horizon):
            for q in range(len(QUANTILES)):
                (gradient,) = torch.autograd.grad(y[member, k, q], x, retain_graph=True)
                assert gradient[member, 0, -1, SIZES.lookback - 1] != 0
                assert not gradient[1 - member].any()


def test_the_rate_warms_up_and_falls_to_its_end():
    schedule = Schedule(400)
    assert schedule.factor(0) == 1 / 30 and schedule.factor(29) == 1
    assert abs(schedule.factor(400) - 0.02) < 1e-12
    assert all(schedule.factor(i) >= schedule.factor(i + 1) for i in range(30, 400))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_newest_forecast_is_the_last_of_all(shape):
    found, x = nets(shape), inputs(shape)
    with torch.no_grad():
        for weight in found.parameters():
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(found.newest(x), found(x)[:, :, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("networks", [1, 2, 5, 8])
def test_the_median_over_networks_is_numpys(networks):
    paths = np.random.default_rng(networks).normal(size=(networks, 7, 3, 2))
    np.testing.assert_allclose(median(paths), np.median(paths, axis=0), rtol=1e-15)


def test_no_forecast_leaves_the_range_of_its_series_by_more_than_its_leeway():
    crops = seasons(series=3, rows=60)
    wild = nets(Shape("gru", 6, 5, crops.sizes.linear, crops.extra, crops.sizes.horizon, len(QUANTILES)))
    for weight in wild.parameters():
        torch.nn.init.normal_(weight, std=9.0, generator=torch.Generator().manual_seed(3))
    ends = crops.starts + 39
    found = forecast([wild], crops, torch.arange(3), ends) - crops.offset[:, None, None]
    for s in range(3):
        known = crops._z[crops.starts[s] : ends[s] + 1].double()
        steps = torch.ceil(torch.arange(1, 6) / 4)
        usual = float(seasonal_differences(crops._z.double().numpy(), np.arange(4) * 60, 4)[s])
        room = (usual * (steps + 5 * steps.sqrt())).numpy()
        low, high = float(known.min()) - room, float(known.max()) + room
        assert (found[:, s] >= low[:, None] - 1e-5).all()
        assert (found[:, s] <= high[:, None] + 1e-5).all()
        assert np.isclose(found[:, s].max(axis=(0, 2)), high, rtol=1e-5).any(), "a wild network is stopped there"
