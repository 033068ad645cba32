"""Windows on the ramp y[t] = t: target minus last input is the horizon step; no window crosses a split; the count."""

import numpy as np
import pytest
import torch

from gatecast.prepare.window import Windows, anchors, future_matrix, past_matrix

RAMP = np.arange(50.0)[:, None] * np.array([1.0, 10.0])


@pytest.mark.parametrize("lookback", [1, 3, 7])
@pytest.mark.parametrize("horizon", [1, 2, 5])
@pytest.mark.parametrize("lost", [0, 1])
def test_ramp(lookback, horizon, lost):
    windows = Windows(torch.from_numpy(RAMP), lookback, horizon, 2)
    at = torch.from_numpy(anchors(range(50), lookback, horizon, lost))
    x, y = windows.inputs(at), windows.targets(at)
    assert len(at) == 50 - lost - lookback - horizon + 1
    assert x.shape == (len(at), lookback, 2)
    for k in range(horizon):
        assert torch.equal(y[:, k] - x[:, -1], torch.tensor([1.0, 10.0]).double().expand(len(at), 2) * (k + 1))
    assert x[0, 0, 0] == lost
    assert y[-1, -1, 0] == 49
    assert np.array_equal(past_matrix(RAMP, at.numpy(), lookback), x.numpy())
    assert np.array_equal(future_matrix(RAMP, at.numpy(), horizon), y.numpy())


@pytest.mark.parametrize("horizon", [1, 4])
def test_no_target_crosses_a_split(horizon):
    learn, valid = anchors(range(30), 6, horizon), anchors(range(30, 50), 6, horizon)
    assert (learn + horizon).max() == 29
    assert (valid + 1).min() == 30
    assert (valid + horizon).max() == 49
    assert len(valid) == 20 - horizon + 1
    assert len(np.intersect1d(learn, valid)) == 0


def test_a_span_shorter_than_the_horizon_has_no_anchor():
    assert len(anchors(range(30, 32), 6, 3)) == 0
    assert len(anchors(range(5), 6, 1)) == 0
