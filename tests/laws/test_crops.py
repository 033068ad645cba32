"""What a network reads at an anchor: windows, lags, centres and smoother paths, beside loops that say it plainly."""

import math

import numpy as np
import pytest
import torch

from gatecast.errors import SpecError
from gatecast.prepare.crops import Crops, Sampler, Sizes
from gatecast.prepare.scale import seasonal_differences
from gatecast.prepare.smooth import bank, damping, smooth

SIZES = {
    "monthly": Sizes(lookback=9, anchors=5, stride=1, season=4, long_lag=0, horizon=3),
    "weekly": Sizes(lookback=6, anchors=4, stride=1, season=1, long_lag=10, horizon=4),
    "hourly": Sizes(lookback=16, anchors=3, stride=8, season=8, long_lag=0, horizon=11),
    "one anchor": Sizes(lookback=5, anchors=1, stride=1, season=3, long_lag=7, horizon=2),
    "a lag of one horizon": Sizes(lookback=5, anchors=2, stride=1, season=3, long_lag=6, horizon=6),
}


def ragged(lengths, seed=0, missing=0.1):
    """Positive series one after another, with holes."""
    rng = np.random.default_rng(seed)
    z = rng.normal(5, 1, sum(lengths))
    z[rng.random(len(z)) < missing] = np.nan
    return z, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def crops(z, indptr, sizes, normal="level"):
    return Crops(z, indptr, np.zeros((len(z), 0), dtype=np.float32), sizes, normal)


# -- smoothers --------------------------------------------------------------------------------------------------------


def smoothed_plainly(y, smoother, m):
    """Level, trend and the last season of one series by one smoother, value by value."""
    a, g, b, phi = smoother
    phi = phi if b else 0.0
    first = y[:m][np.isfinite(y[:m])]
    level, trend = (first.mean() if len(first) else 0.0), 0.0
    season = [v - level if math.isfinite(v) and m > 1 else 0.0 for v in y[:m]]
    found = [(level, trend, list(season))]
    for t in range(m, len(y)):
        s = season[t - m]
        if math.isfinite(y[t]):
            new = a * (y[t] - s) + (1 - a) * (level + phi * trend)
            trend = b * (new - level) + (1 - b) * phi * trend
            season.append(g * (y[t] - new) + (1 - g) * s if m > 1 else 0.0)
            level = new
        else:
            season.append(s)
        found.append((level, trend, season[-m:]))
    return found


@pytest.mark.parametrize("m", [1, 4])
def test_the_bank_is_its_equations_and_a_missing_value_leaves_it_alone(m):
    z, indptr = ragged([30, 3, 17, 4])
    states = smooth(z, indptr, m)
    for s in range(4):
        y = z[indptr[s] : indptr[s + 1]]
        if len(y) < m:
            assert not states.started[indptr[s] : indptr[s + 1]].any()
            continue
        for i, smoother in enumerate(bank(m)):
            for t, (level, trend, season) in enumerate(smoothed_plainly(y, smoother, m), start=m - 1):
                row = indptr[s] + t
                assert states.started[row]
                found = [states.level[row, i], states.trend[row, i], *states.season[row - m + 1 : row + 1, i]]
                np.testing.assert_allclose(found, [level, trend, *season], rtol=1e-5, atol=1e-6)


def test_a_repeated_season_is_continued_exactly_by_every_smoother():
    sizes = Sizes(lookback=8, anchors=2, stride=1, season=4, long_lag=0, horizon=6)
    z = np.tile([1.0, 2.0, 4.0, 3.0], 10)
    crop = crops(z, np.array([0, 40]), sizes).take(torch.tensor([0]), torch.tensor([33]))
    for c, anchor in enumerate((32, 33)):
        expected = z[anchor + 1 : anchor + 7] - z[anchor - 3 : anchor + 1].mean()
        steps = [step for smoother in bank(4) for step in sizes.path(smoother)]
        assert steps == [0, 1, 2, 3] * 4 + [5]  # a season each, and the end of the one with a trend
        np.testing.assert_allclose(crop.linear[0, c, 8:], expected[steps], atol=1e-5)


@pytest.mark.parametrize("horizon", [2, 7])
def test_the_read_part_of_a_path_gives_the_whole_of_it(horizon):
    z, indptr = ragged([60], missing=0)
    short = Sizes(lookback=6, anchors=1, stride=1, season=4, long_lag=0, horizon=horizon)
    states, damped = smooth(z, indptr, 4), damping(bank(4), horizon)
    crop = crops(z, indptr, short).take(torch.tensor([0]), torch.tensor([50]))
    read = crop.linear[0, 0, 6:].numpy() + crop.centre[0, 0].item() + z[0]
    begin = 0
    for i, smoother in enumerate(bank(4)):
        steps = short.path(smoother)
        season = states.season[47:51, i]
        whole = states.level[50, i] + np.resize(season, horizon) + states.trend[50, i] * damped[i]
        np.testing.assert_allclose(read[begin : begin + len(steps)], whole[steps], rtol=1e-5)
        begin += len(steps)
    assert begin == len(read)


# -- crops ------------------------------------------------------------------------------------------------------------


def plainly(z, indptr, sizes, normal, s, anchor):
    """Window, targets, centre and scale at one anchor of one series."""
    y, e, m = z[indptr[s] : indptr[s + 1]], anchor - indptr[s], sizes.season

    def at(t):
        return y[t] if 0 <= t < len(y) else math.nan

    center = math.nan
    for last in range(e, -1, -1):  # the newest season with a value
        values = [v for v in (at(t) for t in range(last - m + 1, last + 1)) if math.isfinite(v)]
        if values:
            center = np.mean(values)
            break
    window = np.array([at(t) for t in range(e - sizes.lookback + 1, e + 1)])
    scale = 1.0
    if normal == "spread":
        differences = seasonal_differences(z, indptr, m)[s]
        known = window[np.isfinite(window)]
        scale = max(known.std() if len(known) else 0.0, 0.1 * (differences if differences > 0 else 1.0))
    target = np.array([at(t) for t in range(e + 1, e + 1 + sizes.horizon)])
    lag = [at(e - sizes.long_lag + k) - at(e - sizes.long_lag) for k in range(1, sizes.horizon + 1)]
    parts = [(window - center) / scale, *([np.array(lag) / scale] if sizes.long_lag else [])]
    linear = np.clip(np.nan_to_num(np.concatenate(parts)), -8, 8)
    return linear, (target - center) / scale, center, scale


@pytest.mark.parametrize("normal", ["level", "spread"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_crop_holds_what_a_plain_loop_finds(sizes, normal):
    z, indptr = ragged([70, 12, 40])
    found = crops(z, indptr, sizes, normal)
    sampler = Sampler(found, torch.Generator().manual_seed(1))
    series, ends = sampler.draw(60)
    crop = found.take(series, ends)
    assert crop.linear.shape == (60, sizes.anchors, sizes.linear)
    lag = sizes.linear - (sizes.horizon if sizes.long_lag else 0)
    seen = 0
    for n, (s, end) in enumerate(zip(series.tolist(), ends.tolist(), strict=True)):
        for c in range(sizes.anchors):
            anchor = end - (sizes.anchors - 1 - c) * sizes.stride
            if anchor < indptr[s]:
                assert not crop.exists[n, c].any() and not crop.linear[n, c].any()
                continue
            if not np.isfinite(z[indptr[s] : anchor + 1]).any():
                continue
            linear, target, center, scale = plainly(z, indptr, sizes, normal, s, anchor)
            read = torch.cat([crop.linear[n, c, : sizes.lookback], crop.linear[n, c, lag:]])
            np.testing.assert_allclose(read, linear, atol=2e-5)
            np.testing.assert_array_equal(crop.exists[n, c], np.isfinite(target))
            there = np.isfinite(target)
            np.testing.assert_allclose(crop.target[n, c][there], target[there], atol=2e-5)
            np.testing.assert_allclose(crop.centre[n, c] + found.offset[s], center, rtol=1e-5)
            np.testing.assert_allclose(crop.scale[n, c], scale, rtol=1e-5)
            seen += 1
    assert seen > 50


@pytest.mark.parametrize("normal", ["level", "spread"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_what_is_read_at_an_anchor_does_not_know_what_comes_after_it(sizes, normal, monkeypatch):
    monkeypatch.setattr("gatecast.prepare.crops.LEAST_SCALE", 1e-9)  # the floor is a number of the whole training span
    z, indptr = ragged([90, 80])
    later = z.copy()
    later[60:90] = np.random.default_rng(3).normal(50, 9, 30)
    series, ends = torch.zeros(20, dtype=torch.int64), torch.arange(40, 60)
    one, other = (crops(each, indptr, sizes, normal).take(series, ends) for each in (z, later))
    assert torch.equal(one.linear, other.linear)
    assert torch.equal(one.centre, other.centre) and torch.equal(one.scale, other.scale)
    assert normal == "spread" or torch.equal(one.read, other.read)
    assert not torch.equal(one.target[-1], other.target[-1])


def test_a_ramp_lies_as_far_ahead_as_its_horizon_step():
    sizes = Sizes(lookback=6, anchors=3, stride=2, season=1, long_lag=0, horizon=5)
    crop = crops(np.arange(50.0), np.array([0, 50]), sizes).take(torch.tensor([0]), torch.tensor([30]))
    assert torch.equal(crop.target[0], torch.arange(1.0, 6.0).expand(3, 5))
    assert torch.equal(crop.linear[0, :, :6], torch.arange(-5.0, 1.0).expand(3, 6))
    assert crop.centre[0].tolist() == [26.0, 28.0, 30.0]


def test_whole_anchors_have_a_window_and_a_horizon():
    sizes = SIZES["monthly"]
    z, indptr = ragged([20, 6, 9], missing=0)
    found = crops(z, indptr, sizes)
    series, ends = found.whole(rows=1000, most=1000)
    expected = [
        (s, row)
        for s in range(3)
        for row in range(indptr[s], indptr[s + 1])
        if row - indptr[s] + 1 >= sizes.least and row + sizes.horizon < indptr[s + 1]
    ]
    assert list(zip(series.tolist(), ends.tolist(), strict=True)) == expected
    assert found.single().take(series, ends).exists.all()
    fewer = found.whole(rows=1000, most=7)
    assert len(fewer[0]) <= 7 and set(fewer[1].tolist()) < set(ends.tolist())
    assert (found.whole(rows=8, most=1000)[1][:5] >= 12).all()


def test_crops_end_where_a_target_follows_and_long_series_come_more_often():
    z, indptr = ragged([400, 4, 100], missing=0)
    found = crops(z, indptr, SIZES["monthly"])
    series, ends = Sampler(found, torch.Generator().manual_seed(0)).draw(40_000)
    assert (ends >= found.starts[series]).all() and (ends <= found.stops[series] - 2).all()
    share = torch.bincount(series, minlength=3) / 40_000
    torch.testing.assert_close(share, torch.tensor([20.0, 2.0, 10.0]) / 32, atol=0.01, rtol=0)
    assert set(ends[series == 0].tolist()) == set(range(4, 399))


def test_a_lag_shorter_than_the_horizon_would_read_the_future_and_is_refused():
    with pytest.raises(SpecError, match="not yet known"):
        Sizes(lookback=5, anchors=2, stride=1, season=1, long_lag=52, horizon=53)


def test_a_large_level_does_not_swallow_small_changes():
    z, indptr = ragged([60], missing=0)
    sizes, at = SIZES["monthly"], (torch.tensor([0]), torch.tensor([40]))
    near, far = (crops(z + level, indptr, sizes).take(*at) for level in (0.0, 1e9))
    torch.testing.assert_close(near.read, far.read, rtol=0, atol=1e-5)
    torch.testing.assert_close(near.target, far.target, rtol=0, atol=1e-5)
