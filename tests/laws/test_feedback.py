"""Records and free runs of the kernels: what they hand out is what layers did; a native loop = the loop in Python."""

import pytest
import torch
from torch import nn

from gatecast.errors import ForecastError
from gatecast.nn import GRU, LSTM, RNN, Reader, free_run, record
from gatecast.nn.cells import CELLS, scan, weights_of, zero_state

LAYERS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
TINY_AND_WIDE = [1, 3, 5, 20]


def layers_of(*specs, dtype=torch.float32):
    """Layers such as ("lstm", inputs, units) with random weights."""
    found = []
    for i, (cell, inputs, units, *rest) in enumerate(specs):
        layer = LAYERS[cell](inputs, units, batch_first=True, bidirectional=bool(rest)).to(dtype)
        for weight in layer.parameters():
            nn.init.normal_(weight, std=0.4, generator=torch.Generator().manual_seed(i + units))
        found.append(layer)
    return found


def choose(columns, units):
    """A readout without rounding: column c is unit c."""
    return torch.eye(units)[:columns], torch.zeros(columns)


def windows(count, rows, columns):
    return torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_record_equals_the_reference_cells(cell, reverse):
    (layer,) = layers_of((cell, 3, 6, True), dtype=torch.float64)
    x = windows(18, 7, 3).double()
    found = record(layer, x)[int(reverse)]
    rows = x.flip(1) if reverse else x
    wanted = scan(CELLS[cell], weights_of(layer, reverse), rows, zero_state(18, 6, x))
    back = (lambda y: y.flip(1)) if reverse else (lambda y: y)
    torch.testing.assert_close(found.gates, back(torch.cat(list(wanted.gates.values()), dim=2)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.h, back(wanted.h), rtol=1e-12, atol=1e-12)
    assert (found.c is None) == (cell != "lstm")
    if found.c is not None:
        torch.testing.assert_close(found.c, back(wanted.c), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", LAYERS)
def test_recording_changes_nothing(cell):
    layer = LAYERS[cell](2, 5, num_layers=2, batch_first=True)
    x, before = windows(17, 6, 2), None
    with torch.no_grad():
        before = layer(x)[0]
    top = record(layer, x)[-1]
    assert torch.equal(top.h, before)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], before)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("count", TINY_AND_WIDE)
def test_a_sliding_run_is_the_loop_in_python_bit_for_bit(cell, count):
    lower, upper = layers_of((cell, 2, 6), (cell, 6, 5))
    start = windows(count, 8, 2)
    path = free_run([Reader([lower, upper], *choose(2, 5))], start, 12)
    window = start
    with torch.no_grad():
        for k in range(12):
            ahead = upper(lower(window)[0])[0][:, -1, :2]
            assert torch.equal(path[:, k].float(), ahead), k
            window = torch.cat([window[:, 1:], ahead[:, None]], dim=1)
    assert float(path.std()) > 1e-3, "a run that stands still cannot tell what it was fed with"


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("count", TINY_AND_WIDE)
def test_a_carried_run_is_the_stream_fed_with_its_own_rows_bit_for_bit(cell, count):
    (layer,) = layers_of((cell, 2, 6))
    start = windows(count, 8, 2)
    path = free_run([Reader([layer], *choose(2, 6))], start, 9, carry=True)
    for n in range(count):
        stream = layer.stream()
        for row in start[n]:
            ahead = stream.step(row)[:2]
        for k in range(9):
            assert torch.equal(path[n, k].float(), ahead), (n, k)
            ahead = stream.step(ahead)[:2]


def test_a_bidirectional_top_is_read_at_both_ends():
    (layer,) = layers_of(("gru", 1, 4, True))
    head = nn.Linear(8, 1)
    start = windows(2, 6, 1)
    path = free_run([Reader([layer], head.weight, head.bias)], start, 1)
    with torch.no_grad():
        final = layer(start)[1]
        wanted = head(torch.cat([final[0], final[1]], dim=1))
    torch.testing.assert_close(path[:, 0].float(), wanted, rtol=1e-5, atol=1e-6)


def test_a_linear_skip_is_added_and_the_mean_of_readers_is_fed_back():
    readers, heads = [], []
    for seed in (1, 2):
        (layer,) = layers_of(("gru", 2, 3 + seed))
        torch.manual_seed(seed)
        head, skip = nn.Linear(3 + seed, 2), nn.Linear(6, 2)
        readers.append(Reader([layer], head.weight, head.bias, skip.weight.T, skip.bias, lags=3))
        heads.append((layer, head, skip))
    start = windows(4, 7, 2)
    path, window = free_run(readers, start, 6), start
    with torch.no_grad():
        for k in range(6):
            newest = window[:, -3:].flatten(1)
            ahead = torch.stack([head(layer(window)[0][:, -1]) + skip(newest) for layer, head, skip in heads]).mean(
                dim=0
            )
            torch.testing.assert_close(path[:, k].float(), ahead, rtol=1e-4, atol=1e-5)
            window = torch.cat([window[:, 1:], ahead[:, None]], dim=1)


def test_a_run_leaves_its_windows_alone():
    (layer,) = layers_of(("gru", 1, 3))
    start = windows(2, 5, 1)
    before = start.clone()
    free_run([Reader([layer], *choose(1, 3))], start, 4)
    assert torch.equal(start, before)


def test_what_cannot_feed_back_is_refused_with_the_reason():
    (narrow,) = layers_of(("gru", 2, 3))
    with pytest.raises(ForecastError, match="reads 2 columns and predicts 1"):
        free_run([Reader([narrow], *choose(1, 3))], windows(1, 5, 2), 3)
    (both,) = layers_of(("gru", 1, 3, True))
    with pytest.raises(ForecastError, match="reads the future"):
        free_run([Reader([both], torch.ones(1, 6), torch.zeros(1))], windows(1, 5, 1), 3, carry=True)
    with pytest.raises(ForecastError, match="reads the future"):
        both.stream()
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\)"):
        narrow.stream().step([1.0, 2.0, 3.0])
