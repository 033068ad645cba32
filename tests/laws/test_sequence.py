"""Sequence models: what is read is causal, a state is carried without loss, and forecasts follow from both."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from gatecast.data.read import read
from gatecast.edge import container
from gatecast.edge.save import KIND, load, save
from gatecast.errors import ModelFileError, SpecError
from gatecast.forecast.panels.baselines import SeasonalNaive
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.panels.sequence_nets import quantiles, reading_for
from gatecast.nn import native
from gatecast.nn.sequence import Carried, SequenceNet, Shape
from gatecast.nn.spec import parse
from gatecast.prepare.given import Given, bare
from gatecast.prepare.running import Running
from gatecast.prepare.sequences import Sequences, Stretch, Walks
from gatecast.train.lockstep import QUANTILES
from gatecast.train.sequence import fit_start, loss
from panels import monthly, shorten

FRAME = monthly()
H = 4
STACKS = ("rnn:5", "lstm:6", "gru:5x2", "lstm:4-gru:3", "gru:3-lstm:5")


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch, 10)


@pytest.fixture(scope="module")
def model():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 10)
        return SequenceForecaster(H, "gru:6-lstm:4", members=2).fit(FRAME)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(stack, inputs, more=0, steps=H):
    """A network whose every weight is a random number."""
    net = SequenceNet(parse(stack)[0], Shape(inputs, more, steps, len(QUANTILES)), seeded())
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=seeded(weight.numel())))
    return net


def sequences_of(frame=FRAME, log=False):
    given = bare(read(frame), H)
    return Sequences(given, reading_for(given, H, log))


# -- the state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("stack", STACKS)
@torch.inference_mode()
def test_a_series_may_be_cut_anywhere_and_read_beside_any_other(stack, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setattr(native, "kernels", None)
    elif native.kernels is None:
        pytest.skip("the kernels were not built")
    net, x = drawn(stack, 3), torch.randn(20, 40, 3, generator=seeded(1))
    whole, end = net.scan(x, net.begin(20))
    cuts = [0, 1, 2, *np.sort(np.random.default_rng(0).choice(np.arange(3, 40), 3, replace=False)).tolist(), 40]
    state, parts = net.begin(20), []
    for first, last in pairwise(cuts):
        part, state = net.scan(x[:, first:last], state)
        parts.append(part)
    alone, _ = net.scan(x[7:8], net.begin(1))
    rtol = 0 if kernels else 1e-5
    for found, expected in ((torch.cat(parts, 1), whole), (state.h, end.h), (state.c, end.c), (alone, whole[7:8])):
        torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol)


@pytest.mark.skipif(native.kernels is None, reason="the kernels were not built")
def test_kernels_and_torch_agree_in_states_and_gradients(monkeypatch):
    net, x = drawn("lstm:4-gru:3", 3), torch.randn(5, 9, 3, generator=seeded(1))
    found = []
    for kernels in (native.kernels, None):
        monkeypatch.setattr(native, "kernels", kernels)
        y, _ = net(x, x[..., :0], net.begin(5))
        found.append([y, *torch.autograd.grad(y.square().sum(), net.parameters())])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_stack_in_both_directions_is_refused_with_the_reason():
    with pytest.raises(SpecError, match="seen the future"):
        SequenceForecaster(H, "lstm:4-bigru:4")
    with pytest.raises(SpecError, match="members=0"):
        SequenceForecaster(H, members=0)


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_a_row_is_read_the_same_whatever_comes_after_it(log):
    late = FRAME["ds"] > FRAME["ds"].max() - pd.DateOffset(months=5)
    honest, wild = sequences_of(log=log), sequences_of(FRAME.assign(y=FRAME["y"].where(~late, 1e9)), log)
    before = np.flatnonzero(~read(FRAME).frame()["ds"].isin(FRAME["ds"][late]))
    for sequences in (honest, wild):
        assert len(sequences.z) == len(FRAME)
    assert torch.equal(honest.take(before), wild.take(before))
    for mine, other in zip(honest.now(before), wild.now(before), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_targets_end_with_what_may_be_known():
    sequences = sequences_of()
    kept = np.full(5, 30)
    for rows, known in ((sequences.starts + 29, 0), (sequences.starts + 27, 2), (sequences.starts + 20, H)):
        assert sequences.until(kept).targets(rows)[1].sum(1).tolist() == [known] * 5
    rows = sequences.starts + 20
    y, now = sequences.targets(rows)[0].numpy(), sequences.now(rows)
    expected = FRAME.groupby("unique_id")["y"].apply(lambda s: s.to_numpy()[21 : 21 + H])
    np.testing.assert_allclose(y * now.scale[:, None] + now.newest[:, None], np.stack(expected), rtol=1e-5)


def test_running_numbers_are_what_plain_numpy_says():
    rng = np.random.default_rng(3)
    z = np.where(rng.random(30) < 0.2, np.nan, rng.normal(5, 2, 30))
    z[0] = 4.0
    running, none = Running(1, 0, season=2, reach=5), np.zeros((1, 0))
    for value in z:
        running.step(np.array([0]), np.array([value]), none)
    known = z[np.isfinite(z)]
    swings = [abs(value - known[:i].mean()) for i, value in enumerate(known) if i]
    now, filled = running.now(np.array([0])), pd.Series(z).ffill().to_numpy()
    np.testing.assert_allclose(now.mean, known.mean(), rtol=1e-12)
    np.testing.assert_allclose(now.scale, np.mean(swings), rtol=1e-12)
    assert (now.low.item(), now.high.item(), now.newest.item()) == (known.min(), known.max(), filled[-1])
    np.testing.assert_array_equal(running.lagged(np.array([0]), np.array([1, 3, 5]))[0], filled[[-2, -4, -6]])


def test_a_shift_and_a_scale_of_a_series_leave_what_is_read():
    plain, moved = sequences_of(), sequences_of(FRAME.assign(y=64 * FRAME["y"] - 999))
    rows = np.arange(len(plain.z))[12:]
    torch.testing.assert_close(plain.take(rows), moved.take(rows), rtol=1e-5, atol=1e-5)


def test_covariates_are_read_up_to_the_row_and_ahead_of_it_by_the_head_alone():
    frame = FRAME.assign(past=FRAME["y"] % 7, known=FRAME["y"] % 5)
    panel = read(frame)
    given = Given(panel, np.random.default_rng(0).normal(size=(5, H, 1)), np.zeros((5, 0)))
    sequences = Sequences(given, reading_for(given, H, False))
    assert (given.past, given.known) == (1, 1) and sequences.more == H
    ends = panel.indptr[1:] - 1
    now, spread = sequences.now(ends), sequences.reading.spread
    expected = (given.ahead[..., 0] - now.centre[:, 1:]) / spread[1]
    np.testing.assert_allclose(sequences.ahead(ends).numpy(), expected, rtol=1e-5)
    inside = sequences.ahead(ends - H).numpy()
    truth = np.stack([panel.values[end - H + 1 : end + 1, 2] for end in ends])
    np.testing.assert_allclose(inside, (truth - sequences.now(ends - H).centre[:, 1:]) / spread[1], rtol=1e-4)
    other = Sequences(Given(panel, 0 * given.ahead, given.static), sequences.reading)
    assert torch.equal(other.take(ends), sequences.take(ends))


# -- training ----------------------------------------------------------------------------------------------------------


def test_walks_read_every_series_in_order_and_each_as_often():
    sequences = sequences_of()
    walks, seen = Walks(sequences, 3, 16, seeded()), []
    following: list = [None] * 3
    for _ in range(400):
        stretch = walks.next()
        for b in range(3):
            rows = stretch.rows[b][stretch.inside[b]].tolist()
            if following[b] is not None and not stretch.begins[b]:
                assert rows[0] == following[b]
            if following[b] is not None and stretch.begins[b]:
                assert rows[0] in sequences.starts and following[b] in sequences.stops
                seen.append(rows[0])
            following[b] = rows[-1] + 1
    counts = np.unique(seen, return_counts=True)[1]
    assert len(counts) == 5 and np.ptp(counts) <= 3


def test_rows_past_the_end_of_a_series_weigh_nothing():
    sequences = sequences_of()
    net = drawn("lstm:4", sequences.inputs)
    rows = torch.from_numpy(sequences.starts[:2, None] + np.arange(20))
    inside = torch.arange(20) < torch.tensor([[20], [12]])
    begins = torch.ones(2, dtype=torch.bool)
    found = []
    for beyond in (0, 5):
        wild = torch.where(inside, rows, rows[:, :1] + 12 + beyond)
        off, _ = loss(net, sequences, Stretch(wild, inside, begins), net.begin(2))
        found.append([off, *torch.autograd.grad(off, net.parameters())])
    torch.testing.assert_close(*found, rtol=0, atol=1e-7)


def test_a_walk_that_begins_forgets_and_one_that_goes_on_does_not():
    sequences = sequences_of()
    net = drawn("gru:4", sequences.inputs)
    rows = torch.from_numpy(sequences.starts[:2, None] + 20 + np.arange(8))
    inside, full = torch.ones(2, 8, dtype=torch.bool), Carried(torch.ones(2, 4), torch.ones(2, 0))
    at = {b: loss(net, sequences, Stretch(rows, inside, torch.full((2,), b)), full)[0] for b in (True, False)}
    fresh = loss(net, sequences, Stretch(rows, inside, torch.full((2,), True)), net.begin(2))[0]
    assert torch.equal(at[True], fresh) and not torch.equal(at[False], fresh)


def test_the_start_is_the_ridge_of_what_is_read():
    sequences = sequences_of()
    start = fit_start(sequences)
    rows = np.arange(len(sequences.z))
    y, exists = sequences.targets(rows)
    use = exists.all(1).numpy()
    x, target = sequences.take(rows).numpy()[use].astype(float), np.clip(y.numpy()[use], -8, 8).astype(float)
    xc = x - x.mean(0)
    penalty = (1e-4 * use.sum() + 1) * np.eye(x.shape[1])
    expected = np.linalg.solve(xc.T @ xc + penalty, xc.T @ (target - target.mean(0)))
    np.testing.assert_allclose(start.weight.numpy(), expected, rtol=1e-3, atol=1e-4)


# -- forecasts ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_in_any_order_of_rows(model):
    shuffled = FRAME.sample(frac=1, random_state=0)
    again = model.unfitted().fit(shuffled)
    pd.testing.assert_frame_equal(again.predict(level=80), model.predict(level=80), check_exact=True)
    other = model.unfitted().fit(FRAME, seed=1).predict()
    assert (other[model.name] != model.predict()[model.name]).any()


def test_a_batch_of_series_is_forecast_as_each_alone(model):
    together = model.predict(FRAME)
    alone = pd.concat([model.predict(part) for _, part in FRAME.groupby("unique_id")], ignore_index=True)
    np.testing.assert_allclose(alone[model.name], together[model.name], rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("stack", STACKS)
def test_the_newest_value_moves_every_step_and_quantile(stack, log):
    newest = ~FRAME.duplicated("unique_id", keep="last")
    both = [sequences_of(frame, log) for frame in (FRAME, FRAME.assign(y=FRAME["y"] * (1 + 0.01 * newest)))]
    net = drawn(stack, both[0].inputs)
    before, after = (quantiles([net], each, np.arange(5), each.stops - 1) for each in both)
    assert before.shape == (1, 5, H, len(QUANTILES)) and (before != after).all()
    assert (np.diff(before, axis=3) >= 0).all()


def test_every_origin_of_one_reading_is_what_it_would_be_alone(model):
    once = model.cross_validation(FRAME, n_windows=3, step_size=2, refit=False)
    first = once["cutoff"].min()
    early = model.unfitted().fit(FRAME[FRAME["ds"] <= first])
    for cutoff, found in once.groupby("cutoff"):
        expected = early.predict(FRAME[FRAME["ds"] <= cutoff])
        np.testing.assert_allclose(found[model.name], expected[model.name], rtol=1e-6)


def test_missing_values_are_read_as_such_and_rows_that_are_not_there_too(model):
    holes = FRAME.index % 17 == 3
    masked, dropped = FRAME.assign(y=FRAME["y"].where(~holes)), FRAME[~holes]
    found = model.predict(masked)
    pd.testing.assert_frame_equal(model.predict(dropped), found, check_exact=True)
    assert np.isfinite(found[model.name]).all() and (found[model.name] != model.predict()[model.name]).all()


def test_a_saved_model_forecasts_the_same_bits_and_a_lie_is_refused(model, tmp_path):
    path = save(model, tmp_path / "m.gatecast")
    again = load(path)
    pd.testing.assert_frame_equal(again.predict(level=80), model.predict(level=80), check_exact=True)
    assert again.rules_ == model.rules_ and again.summary() == model.summary()
    assert save(again, tmp_path / "twin.gatecast").read_bytes() == path.read_bytes()
    tensors, facts = container.read(path, KIND)
    for lie in ({"lags": [10**9]}, {"spec": "lstm:9"}, {"members": 3}, {"h": 5}):
        with pytest.raises(ModelFileError, match="does not describe a model"):
            load(container.write(tmp_path / "lie.gatecast", KIND, tensors, {**facts, **lie}))


def ar3(series=6, rows=150, seed=0):
    """Series of y[t] = 0.6 y[t-1] - 0.5 y[t-2] + 0.4 y[t-3] + noise."""
    rng, frames = np.random.default_rng(seed), []
    for s in range(series):
        y = rng.normal(size=rows)
        for t in range(3, rows):
            y[t] += 0.6 * y[t - 1] - 0.5 * y[t - 2] + 0.4 * y[t - 3]
        frames.append(pd.DataFrame({"unique_id": f"s{s}", "ds": np.arange(rows), "y": y}))
    return pd.concat(frames, ignore_index=True)


def noisy_sine(series=6, rows=400, seed=0):
    """A wave of 12 rows under noise."""
    rng, t = np.random.default_rng(seed), np.arange(rows)
    waves = [pd.DataFrame({"unique_id": f"s{s}", "ds": t, "y": np.sin(np.pi * (t + s) / 6)}) for s in range(series)]
    frame = pd.concat(waves, ignore_index=True)
    return frame.assign(y=frame["y"] + rng.normal(0, 0.1, len(frame)))


PANELS = {"sine": (noisy_sine(), 12), "ar3": (ar3(), 1)}


@pytest.mark.parametrize("which", PANELS)
def test_it_learns_more_than_the_naive_forecast_knows(which, monkeypatch):
    shorten(monkeypatch, 60)
    frame, season = PANELS[which]
    options = {"n_windows": 6, "step_size": 2, "refit": False, "by": "series"}
    off = []
    for kind in (SequenceForecaster(2, "gru:8", members=1, season=season), SeasonalNaive(2, season=season)):
        found = kind.cross_validation(frame, **options)
        off.append((found["y"] - found[kind.name]).abs().mean())
    assert off[0] < 0.85 * off[1]
