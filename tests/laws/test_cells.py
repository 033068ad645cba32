"""Cells: reference = torch.nn, values and all gradients; scan = folded step; carry = unsplit; gates are told apart."""

from itertools import permutations

import pytest
import torch

from gatecast.nn.cells import CELLS, State, Weights, scan, weights_of, zero_state
from gatecast.nn.stack import MODULES

SHAPES = [(1, 1, 1, 1), (3, 7, 2, 5), (2, 30, 6, 16)]


def layer(name: str, inputs: int, units: int, seed: int) -> torch.nn.RNNBase:
    torch.manual_seed(seed)
    module = MODULES[name](inputs, units, batch_first=True).double()
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return module


def run_torch(name, module, x, state):
    start = (state.h[None], state.c[None]) if name == "lstm" else state.h[None]
    y, last = module(x, start)
    return y, (last[1][0] if name == "lstm" else y[:, -1])


def test_every_cell_is_in_the_table():
    assert set(CELLS) == set(MODULES)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reference_equals_torch_values_and_gradients(name, shape):
    batch, time, inputs, units = shape
    module = layer(name, inputs, units, seed=sum(shape))
    x = torch.randn(batch, time, inputs, dtype=torch.float64, requires_grad=True)
    h, c = (torch.randn(batch, units, dtype=torch.float64, requires_grad=True) for _ in range(2))
    leaves = [x, h, *([c] if name == "lstm" else []), *module.parameters()]
    y, last = run_torch(name, module, x, State(h, c))
    mine = scan(CELLS[name], weights_of(module), x, State(h, c))
    pull, pull_last = torch.randn_like(y), torch.randn_like(last)
    theirs = torch.autograd.grad((y * pull).sum() + (last * pull_last).sum(), leaves)
    ours = torch.autograd.grad((mine.h * pull).sum() + (mine.last.c * pull_last).sum(), leaves)
    torch.testing.assert_close(mine.h, y, rtol=1e-12, atol=1e-12)
    for mine_g, theirs_g in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine_g, theirs_g, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_agree_with_finite_differences(name):
    module = layer(name, 2, 3, seed=5)
    weights = [w.detach().requires_grad_() for w in weights_of(module)]
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    state = State(torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x, *w: scan(CELLS[name], Weights(*w), x, state).h, (x, *weights))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_permuting_gates_changes_the_output(name):
    module = layer(name, 2, 4, seed=9)
    x = torch.randn(3, 5, 2, dtype=torch.float64)
    zero = zero_state(3, 4, x)
    kept = scan(CELLS[name], weights_of(module), x, zero).h
    for order in list(permutations(range(len(CELLS[name].gates))))[1:]:
        mixed = Weights(*(torch.cat([w.chunk(len(order))[k] for k in order]) for w in weights_of(module)))
        assert not torch.allclose(scan(CELLS[name], mixed, x, zero).h, kept, atol=1e-3), order


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_split_and_carried_equals_unsplit(name, cut):
    module = layer(name, 3, 5, seed=cut)
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    whole = scan(CELLS[name], weights_of(module), x, zero_state(2, 5, x))
    first = scan(CELLS[name], weights_of(module), x[:, :cut], zero_state(2, 5, x))
    second = scan(CELLS[name], weights_of(module), x[:, cut:], first.last)
    assert torch.equal(torch.cat([first.h, second.h], dim=1), whole.h)
    assert torch.equal(second.last.c, whole.last.c)


@pytest.mark.parametrize("name", CELLS)
def test_batch_equals_one_by_one_and_later_rows_do_not_matter(name):
    module = layer(name, 3, 5, seed=2)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    together = scan(CELLS[name], weights_of(module), x, zero_state(4, 5, x)).h
    padded = torch.cat([x, torch.full((4, 3, 3), 1e6, dtype=torch.float64)], dim=1)
    longer = scan(CELLS[name], weights_of(module), padded, zero_state(4, 5, x)).h
    assert torch.equal(longer[:, :6], together)
    for i in range(4):
        alone = scan(CELLS[name], weights_of(module), x[i : i + 1], zero_state(1, 5, x)).h
        torch.testing.assert_close(alone[0], together[i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_come_out_where_torch_has_them(name, bad):
    module = layer(name, 2, 4, seed=3)
    x = torch.randn(2, 6, 2, dtype=torch.float64)
    x[0, 2, 1] = bad
    zero = zero_state(2, 4, x)
    y, _ = run_torch(name, module, x, zero)
    mine = scan(CELLS[name], weights_of(module), x, zero).h
    assert torch.equal(torch.isnan(mine), torch.isnan(y))


def test_kept_fraction_of_a_hand_computed_cell():
    """With zero weights every gate is sigmoid(bias): forget bias 2 keeps sigmoid(2) of c, whatever the input."""
    weights = Weights(*(torch.zeros(8, 1), torch.zeros(8, 2), torch.zeros(8), torch.zeros(8)))
    weights.bias_ih[2:4] = 2.0
    ran = scan(CELLS["lstm"], weights, torch.randn(1, 3, 1), State(torch.ones(1, 2), torch.ones(1, 2)))
    expected = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(ran.gates["forget"], expected.expand(1, 3, 2))
    torch.testing.assert_close(ran.c[0, :, 0], expected ** torch.arange(1, 4))
