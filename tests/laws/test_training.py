"""Training: resumed = uninterrupted, bit for bit; alone = in a crowd; stopping early and by hand; exploding losses."""

import math
import threading

import numpy as np
import pytest
import torch

from gatecast.edge.checkpoints import Checkpoints
from gatecast.errors import FitError, ModelFileError
from gatecast.forecast.forecaster import Forecaster
from gatecast.forecast.plan import Recipe
from gatecast.nn import native
from gatecast.nn.joined import joined
from gatecast.nn.spec import parse
from gatecast.nn.stack import Network, Stack
from gatecast.train.loop import Memory, Unwatched, Watch
from gatecast.train.optimisers import OPTIMISERS, Rates, make_optimiser
from gatecast.train.settings import USE_MOMENTUM, Training
from models import NETWORKS, network, prices

PANEL = prices(110)


class CrashError(Exception):
    """Stands for a power cut."""


class DiesAfter:
    """A store that writes `epochs` checkpoints and then takes the process down."""

    def __init__(self, store, epochs):
        self.store, self.left = store, epochs

    def read(self, key):
        return self.store.read(key)

    def write(self, key, state):
        self.store.write(key, state)
        self.left -= 1
        if self.left == 0:
            raise CrashError


def weights(model):
    return [w.numpy() for each in model.networks_ for w in each.state_dict().values()]


def forecaster(training, **options):
    return network("lstm:4-gru:3", dropout=0.3, recipe=Recipe("standard", training=training), **options)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("died_after", [1, 3])
def test_resumed_equals_uninterrupted(optimiser, patience, died_after, tmp_path):
    training = Training(
        optimiser=optimiser, epochs=5, patience=patience, momentum=0.5 * (optimiser in USE_MOMENTUM), batch=16
    )
    whole = forecaster(training).fit(PANEL, seed=4)
    store = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(CrashError):
        forecaster(training).fit(PANEL, seed=4, watch=Watch(store=DiesAfter(store, died_after)))
    resumed = forecaster(training).fit(PANEL, seed=4, watch=Watch(store=store))
    for mine, theirs in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert resumed.curves_ == whole.curves_
    assert len(whole.curves_[0].train) > died_after
    finished = forecaster(training).fit(PANEL, seed=4, watch=Watch(store=DiesAfter(store, 1)))
    assert finished.curves_ == whole.curves_, "a finished network is not trained again"
    store.clear()
    assert not store.folder.exists()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    store = Checkpoints(tmp_path)
    with pytest.raises(CrashError):
        forecaster(Training(epochs=3)).fit(PANEL, watch=Watch(store=DiesAfter(store, 1)))
    path = next(tmp_path.glob("*.checkpoint"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFileError, match="not a whole"):
        forecaster(Training(epochs=3)).fit(PANEL, watch=Watch(store=store))


def test_the_shuffle_and_the_dropout_depend_on_the_seed_alone():
    one, same, other = (forecaster(Training(epochs=2)).fit(PANEL, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(weights(one), weights(same), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_members_trained_together_equal_members_trained_alone():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = forecaster(Training(epochs=2), members=3).fit(PANEL)
        torch.set_num_threads(2)
        crowd = forecaster(Training(epochs=2), members=3).fit(PANEL)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for mine, theirs in zip(weights(crowd), weights(alone), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_average_is_made_of_the_same_networks_as_its_parts():
    store, training = Memory(), Training(epochs=1)
    parts = [
        network(spec, recipe=Recipe(training=training)).fit(PANEL, watch=Watch(store=store))
        for spec in ("lstm:3", "gru:3")
    ]
    both = network("lstm:3+gru:3", recipe=Recipe(training=(training, training))).fit(PANEL, watch=Watch(store=store))
    for mine, theirs in zip(weights(both), weights(parts[0]) + weights(parts[1]), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    middle = (parts[0].free_run(1).mean + parts[1].free_run(1).mean) / 2
    np.testing.assert_allclose(both.free_run(1).mean, middle, rtol=1e-6)


def test_early_stopping_keeps_the_best_epoch():
    model = forecaster(Training(epochs=40, patience=2, learning_rate=0.05)).fit(PANEL)
    curve = model.curves_[0]
    assert curve.valid[curve.kept_epoch - 1] == min(curve.valid)
    assert len(curve.train) in (40, curve.kept_epoch + 2)
    assert str(curve.kept_epoch) in curve.ending


def test_stopping_by_hand_keeps_the_best_weights_so_far():
    class StopsInThird(Unwatched):
        seen = 0

        def epoch(self, curve, epochs):
            self.seen = len(curve.train)

        def stopped(self):
            return self.seen >= 2

    model = forecaster(Training(epochs=9, patience=None)).fit(PANEL, watch=Watch(monitor=StopsInThird()))
    assert model.curves_[0].ending == "stopped by hand in epoch 3"
    assert np.isfinite(model.predict(2).mean).all()


def test_a_loss_that_is_no_longer_finite_says_what_to_try():
    wild = Training(optimiser="sgd", learning_rate=1e30, clip=None, epochs=3)
    with pytest.raises(FitError, match=r"the loss of lstm:4-gru:3 became .* in epoch \d") as caught:
        forecaster(wild).fit(PANEL)
    assert "learning rate" in caught.value.hint


def test_the_linear_skip_may_turn_out_to_need_no_correction():
    harmful = Training(optimiser="sgd", learning_rate=30.0, clip=None, epochs=2)
    model = Forecaster("rnn:2", lookback=6, recipe=Recipe("standard", lags=2, training=harmful)).fit(PANEL)
    assert model.curves_[0].kept_epoch == 0
    assert float(model.networks_[0].head.weight.detach().abs().max()) == 0


def test_two_fits_in_two_threads_do_not_disturb_each_other():
    expected = {seed: weights(forecaster(Training(epochs=2)).fit(PANEL, seed=seed)) for seed in (1, 2)}
    found = {}
    work = [
        threading.Thread(
            target=lambda s=seed: found.update({s: weights(forecaster(Training(epochs=2)).fit(PANEL, seed=s))})
        )
        for seed in expected
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    for seed, theirs in expected.items():
        assert all(np.array_equal(a, b) for a, b in zip(found[seed], theirs, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_training_lowers_the_loss(name):
    model = NETWORKS[name]()
    longer = Training(epochs=25, patience=None, learning_rate=5e-3)
    model.recipe = Recipe(model.recipe.transform, lags=0, training=longer)
    for curve in model.fit(PANEL).curves_:
        assert curve.train[-1] < curve.train[0]
        assert math.isfinite(curve.train[-1])


# -- weights in one tensor --------------------------------------------------------------------------------------------


def small():
    """A network and data for it."""
    net = Network(Stack(parse("lstm:4-bigru:3")[0], 2, 0.0, torch.Generator()), 2, (1, 1))
    torch.manual_seed(2)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return net, torch.randn(40, 7, 2), torch.randn(40, 1, 1)


def three_steps(net, x, y, parameters, collect):
    """The weights after three steps of Adam."""
    optimiser = make_optimiser("adam", parameters, Rates(1e-2, 0.0, 0.0))
    for _ in range(3):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(net(x), y).backward()
        collect()
        optimiser.step()
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.parametrize("kernels", [True, False])
def test_joined_weights_learn_what_single_ones_learn(kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr(native, "kernels", None)
    net, x, y = small()
    start = [p.detach().clone() for p in net.parameters()]
    frozen = net.stack.layers[1].bias_hh_l0.requires_grad_(False)
    apart = three_steps(net, x, y, [p for p in net.parameters() if p.requires_grad], lambda: None)
    with torch.no_grad():
        for p, value in zip(net.parameters(), start, strict=True):
            p.copy_(value)
    net.zero_grad()
    with joined(net) as weights:
        assert len(weights.parameters) == 3, "the stack, the head's weight and bias"
        together = three_steps(net, x, y, weights.parameters, weights.collect)
    for mine, theirs, before in zip(together, apart, start, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
        assert not torch.equal(mine, before) or torch.equal(before, frozen)


def test_weights_have_their_own_memory_and_their_values_after_they_were_joined():
    net, x, _ = small()
    before, forecast = {k: v.clone() for k, v in net.state_dict().items()}, net(x)
    with joined(net):
        assert torch.equal(net(x), forecast)
        assert net.state_dict().keys() == before.keys()
    assert torch.equal(net(x), forecast)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    homes = [p.untyped_storage().data_ptr() for p in net.parameters()]
    assert len(set(homes)) == len(homes)
    assert all(p.untyped_storage().nbytes() == 4 * p.numel() for p in net.parameters())
