"""The recursive model: the density, the draws, what a stretch reads, how paths spread, and what is saved."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from gatecast.data.calendar import Calendar
from gatecast.data.panel import Panel
from gatecast.edge.save import load, save
from gatecast.errors import DataError, SpecError
from gatecast.forecast.panels.baselines import GlobalRidge
from gatecast.forecast.panels.sampling import Drawing, SamplingForecaster
from gatecast.nn.student import StudentNet, draw, student_loss
from gatecast.prepare.given import bare
from gatecast.prepare.limits import Limits
from gatecast.prepare.stretches import Stretches
from gatecast.prepare.units import fit_units
from gatecast.train.teacher import loss, sample
from panels import monthly, shorten

FRAME = monthly()


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    shorten(monkeypatch, 10)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def panel_of(lengths=(60, 40), season=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    values = rng.normal(10, 2, (rows, 1))
    times = np.concatenate([np.arange(n) for n in lengths])
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Panel(values, times, pointers, ("a", "b"), ("y",), Calendar("step", period=season))


def stretches_of(panel, context=12, horizon=6):
    given = bare(panel, horizon)
    return Stretches(given, fit_units(given, log=False), context, horizon)


# -- the distribution -------------------------------------------------------------------------------------------------


def test_the_loss_is_minus_the_log_density_and_its_gradient_that_of_torch():
    location, y = (torch.randn(500, generator=seeded(s)) for s in (1, 2))
    width, degrees = (torch.rand(500, generator=seeded(s)) * 4 + low for s, low in ((3, 0.1), (4, 2.1)))
    parts = [location.requires_grad_(), width.requires_grad_(), degrees.requires_grad_()]
    mine = student_loss(y, *parts)
    theirs = -torch.distributions.StudentT(degrees, location, width).log_prob(y)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    for a, b in zip(torch.autograd.grad(mine.sum(), parts), torch.autograd.grad(theirs.sum(), parts), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_draws_follow_the_distribution_and_their_seed():
    shape = torch.zeros(20_000)
    found = draw(shape + 3, shape + 2, shape + 4, seeded())
    assert stats.kstest(found.numpy(), stats.t(4, loc=3, scale=2).cdf).pvalue > 0.01
    assert torch.equal(found, draw(shape + 3, shape + 2, shape + 4, seeded()))


class Walk(StudentNet):
    """Stands for a trained network: the next value is the last one and a normal step of width 0.1."""

    def forward(self, x, state=None):
        location = x[..., 0]
        return (location, torch.full_like(location, 0.1), torch.full_like(location, 1e6)), x[:, -1:, 0].mT


def test_paths_of_a_random_walk_spread_as_the_root_of_the_step():
    stretches = stretches_of(panel_of(), horizon=16)
    batch = stretches.take(torch.tensor([0, 1]), stretches.stops - 1, 16)
    limits = stretches.limits.at(torch.tensor([0, 1]), stretches.stops - 1, 16)
    paths = sample(Walk("gru", 1, 1, seeded()), batch, limits, stretches, 4000, seeded())
    last = batch.z[:, stretches.season + stretches.context - 1]
    torch.testing.assert_close(paths.mean(dim=1), last[:, None].expand(2, 16), atol=0.03, rtol=0)
    wanted = 0.1 * torch.arange(1, 17).sqrt()
    torch.testing.assert_close(paths.std(dim=1), wanted.expand(2, 16), rtol=0.06, atol=0)


class Wild(Walk):
    """Steps so wide, and of so heavy a tail, that one of them outweighs everything."""

    def forward(self, x, state=None):
        (location, width, degrees), state = super().forward(x, state)
        return (location, 30 * width, torch.full_like(degrees, 2.0)), state


def test_limits_are_the_known_range_and_what_a_slope_and_a_walk_may_add_to_it():
    panel = panel_of()
    stretches, ends = stretches_of(panel, horizon=9), (30, 85)
    lowest, highest = stretches.limits.at(torch.tensor([0, 1]), torch.tensor(ends), 9)
    for s, end in enumerate(ends):
        y = panel.values[panel.indptr[s] : panel.indptr[s + 1], 0]
        y = y / np.abs(y).mean()
        known, gone = y[: end + 1 - panel.indptr[s]], np.abs(y[4:] - y[:-4]).mean()
        room = gone * (np.repeat([1, 2, 3], [4, 4, 1]) + 5 * np.sqrt(np.repeat([1, 2, 3], [4, 4, 1])))
        np.testing.assert_allclose(lowest[s], known.min() - room, rtol=1e-12)
        np.testing.assert_allclose(highest[s], known.max() + room, rtol=1e-12)


def test_draws_of_a_heavy_tail_stay_within_their_limits_and_one_that_is_within_is_not_moved():
    stretches = stretches_of(panel_of(), horizon=16)
    both, ends = torch.tensor([0, 1]), stretches.stops - 1
    batch, limits = stretches.take(both, ends, 16), stretches.limits.at(both, ends, 16)
    endless = tuple(torch.full_like(each, sign * torch.inf) for each, sign in zip(limits, (-1, 1), strict=True))
    for kind, moved in ((Walk, False), (Wild, True)):
        net = kind("gru", 1, 1, seeded())
        kept, free = (sample(net, batch, each, stretches, 500, seeded()) for each in (limits, endless))
        whole = kept.double() * batch.scale[:, None, None] + batch.centre[:, None, None]
        slack = 1e-6 * whole.abs().max()
        assert (whole >= limits[0][:, None] - slack).all() and (whole <= limits[1][:, None] + slack).all()
        assert torch.equal(kept, free) is not moved


def test_a_mean_path_under_a_logarithm_survives_a_heavy_tail(monkeypatch):
    grown = np.exp(np.random.default_rng(0).normal(0.01, 0.1, (3, 80)).cumsum(axis=1))
    frame = pd.DataFrame({"unique_id": np.repeat(list("abc"), 80), "ds": np.tile(np.arange(80), 3), "y": grown.ravel()})
    model = SamplingForecaster(12, season=1, drawing=Drawing(paths=1000, networks=1)).fit(frame)
    assert model.log
    model.nets_ = [Wild("gru", 1, 1, seeded())]
    largest = model.sample().groupby("unique_id", sort=False)[model.name].max().to_numpy()
    change = np.abs(np.diff(np.log(grown), axis=1)).mean(axis=1)
    assert (largest <= grown.max(axis=1) * np.exp(change * (12 + 5 * np.sqrt(12))) * (1 + 1e-4)).all()
    endless = (torch.full((3, 12), -torch.inf), torch.full((3, 12), torch.inf))
    monkeypatch.setattr(Limits, "at", lambda *_: endless)
    assert model.sample()[model.name].max() > 1e12


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_row_is_read_from_the_value_before_it_and_that_of_a_season_before():
    panel = panel_of()
    stretches = stretches_of(panel)
    for s, end in ((0, 40), (1, 60 + 20), (0, 5)):
        batch = stretches.take(torch.tensor([s]), torch.tensor([end]), 6)
        y = panel.values[:, 0] / np.abs(panel.values[panel.indptr[s] : panel.indptr[s + 1]]).mean()
        own = np.arange(panel.indptr[s], panel.indptr[s + 1])
        context = [row for row in range(end - 11, end + 1) if row in own]
        centre = np.mean([y[row] for row in context[-4:]])
        scale = np.std([y[row] for row in context])
        np.testing.assert_allclose([batch.centre.item(), batch.scale.item()], [centre, scale], rtol=1e-9)
        read = batch.read(4)[0]
        for t, row in enumerate(range(end - 11, end + 7)):
            for column, back in ((0, 1), (1, 4)):
                wanted = (y[row - back] - centre) / scale if row - back in own else 0.0
                assert abs(read[t, column].item() - np.clip(wanted, -10, 10)) < 1e-5


def test_a_stretch_does_not_know_what_comes_after_its_context():
    panel, later = panel_of(), panel_of(seed=0)
    values = later.values.copy()
    values[45:60] = 99.0
    other = Panel(values, later.times, later.indptr, later.ids, later.columns, later.calendar)
    units = fit_units(bare(panel, 6), log=False)
    one, two = (Stretches(bare(p, 6), units, 12, 6) for p in (panel, other))
    a, b = (each.take(torch.tensor([0]), torch.tensor([44]), 6) for each in (one, two))
    assert a.centre == b.centre and a.scale == b.scale
    assert torch.equal(a.read(4)[:, :13], b.read(4)[:, :13])
    assert not torch.equal(a.z, b.z)


# -- training ---------------------------------------------------------------------------------------------------------


def test_self_fed_rows_change_the_loss_of_a_network_that_reads_and_of_no_other():
    stretches = stretches_of(panel_of())
    series, ends = stretches.anchors()
    batch = stretches.take(series[::5], ends[::5], 6)
    reads, deaf = (StudentNet("lstm", stretches.inputs, 8, seeded()) for _ in range(2))
    with torch.no_grad():
        for parameter in deaf.layer.parameters():
            parameter.zero_()
    usual, fed = ([loss(net, batch, stretches, (0.0, k), seeded()) for net in (reads, deaf)] for k in (0, 4))
    assert usual[0] != fed[0]
    torch.testing.assert_close(usual[1], fed[1])
    assert loss(reads, batch, stretches, (0.3, 0), seeded()) != usual[0]


def test_it_learns_the_width_of_noise_and_the_season():
    rng, rows = np.random.default_rng(0), 400
    frames = [
        pd.DataFrame({"unique_id": str(s), "ds": np.arange(rows), "y": 50 + np.tile([0, 4, 8, 4], 100) + e})
        for s, e in enumerate(rng.normal(0, 1, (4, rows)))
    ]
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 300)
        model = SamplingForecaster(8, season=4, drawing=Drawing(networks=1)).fit(pd.concat(frames))
    paths = model.sample().pivot(index=["unique_id", "ds"], columns="path", values=model.name).to_numpy()
    season = np.tile(np.tile([50.0, 54.0, 58.0, 54.0], 2), 4)
    assert np.abs(np.median(paths, axis=1) - season).mean() < 0.5
    assert 0.7 < np.std(paths - season[:, None]) < 1.4


# -- as a model -------------------------------------------------------------------------------------------------------


def test_the_same_seed_order_and_file_give_the_same_bits(tmp_path):
    model = SamplingForecaster(3, drawing=Drawing(paths=30)).fit(FRAME)
    found = model.predict(level=80)
    again = SamplingForecaster(3, drawing=Drawing(paths=30)).fit(FRAME.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(again.predict(level=80), found, check_exact=True)
    loaded = load(save(model, tmp_path / "m.gatecast"))
    pd.testing.assert_frame_equal(loaded.predict(level=80), found, check_exact=True)
    pd.testing.assert_frame_equal(loaded.sample(), model.sample(), check_exact=True)
    newest = FRAME.assign(y=FRAME["y"].where(FRAME.duplicated("unique_id", keep="last"), 2 * FRAME["y"]))
    assert (model.predict(newest)[model.name] != found[model.name]).all()
    with pytest.raises(SpecError, match="not saved"):
        save(GlobalRidge(3).fit(FRAME), tmp_path / "ridge.gatecast")


def test_known_columns_are_read_and_past_ones_refused():
    frame = FRAME.assign(sale=np.arange(len(FRAME)) % 2)
    model = SamplingForecaster(2, future=["sale"]).fit(frame)
    last = frame.groupby("unique_id")["ds"].max()
    dates = {name: pd.date_range(end, periods=3, freq="MS")[1:] for name, end in last.items()}
    rows = pd.concat([pd.DataFrame({"unique_id": n, "ds": d, "sale": 1.0}) for n, d in dates.items()])
    one, other = (model.predict(futr_df=rows.assign(sale=sale))[model.name] for sale in (0.0, 1.0))
    assert (one != other).all()
    with pytest.raises(SpecError, match="past columns end"):
        SamplingForecaster(2, past=["sale"])
    with pytest.raises(SpecError, match="a path for every network"):
        Drawing(paths=0)


def test_negative_values_after_a_logarithm_are_refused():
    rng = np.random.default_rng(0)
    y = np.exp(rng.normal(0, 0.1, 80).cumsum())
    grown = pd.DataFrame({"unique_id": "a", "ds": np.arange(80), "y": y})
    model = SamplingForecaster(3).fit(grown)
    assert model.log
    with pytest.raises(DataError, match="negative values"):
        model.predict(grown.assign(y=grown["y"].where(grown["ds"] < 79, -1.0)))
