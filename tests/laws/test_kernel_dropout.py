"""Dropout between layers of the native kernels: plain layers with a mask in between, the same however it is cut."""

import pytest
import torch

from gatecast.nn.ops import dropout_factors
from laws.kernel_cases import BOTH, CELLS, SMALL, call, differing, error, layer, loaded, problem, same_bits

pytestmark = pytest.mark.usefixtures("always_native")


def dropping(case, numbers, dropout, seed):
    """The case's layer in training mode with dropout, about to draw the seed that comes back with it."""
    module = loaded(case, numbers, native=True)
    module.dropout = dropout
    torch.manual_seed(seed)
    drawn = int(torch.randint(2**63 - 1, ()))
    torch.manual_seed(seed)
    return module.train(), drawn


def single_layers(case, weights):
    """The case as torch.nn layers of one layer each."""
    for depth in range(case.layers):
        inputs = case.units * case.directions if depth else case.inputs
        one = layer(case._replace(layers=1, inputs=inputs), native=False)
        yield one, {k: weights[k.replace("_l0", f"_l{depth}")] for k in one.state_dict()}


def reference_net(case, numbers, dropout, drawn):
    """y, h and c of torch.nn layers with the mask multiplied in between."""
    x, ends, state = numbers.x, [], numbers.state
    for depth, (one, weights) in enumerate(single_layers(case, numbers.weights)):
        part = slice(depth * case.directions, (depth + 1) * case.directions)
        hx = tuple(s[part] for s in state)
        x, last = torch.func.functional_call(one, weights, (x, hx if case.cell == "LSTM" else hx[0]))
        ends.append(last if case.cell == "LSTM" else (last,))
        if depth + 1 < case.layers:
            factors = dropout_factors(dropout, drawn, depth, tuple(x.shape))
            x = x * ((factors > 0).to(x.dtype) / (1 - dropout))
    return [x, *(torch.cat(parts) for parts in zip(*ends, strict=True))]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("batch", [2, 5, 20])
@pytest.mark.parametrize("dropout", [0.3, 0.75])
def test_dropout_equals_plain_layers_with_the_mask_between_them(cell, directions, batch, dropout):
    case = SMALL._replace(cell=cell, directions=directions, batch=batch, layers=3, units=5)
    numbers = problem(case)
    module, drawn = dropping(case, numbers, dropout, seed=batch)
    for tensor in (numbers.x, *numbers.state, *numbers.weights.values()):
        tensor.requires_grad_()
    outputs = call(module, numbers.x, numbers.state)
    ours = [outputs[k] for k in "yhc"][: 2 + (cell == "LSTM")]
    theirs = reference_net(case, numbers, dropout, drawn)
    inputs = [numbers.x, *numbers.state]
    pulled = [sum((o * numbers.pulls[k]).sum() for k, o in zip("yhc", outs, strict=False)) for outs in (ours, theirs)]
    mine = torch.autograd.grad(pulled[0], [*inputs, *module.parameters()])
    expected = torch.autograd.grad(pulled[1], [*inputs, *numbers.weights.values()])
    for one, other in zip([*ours, *mine], [*theirs, *expected], strict=True):
        assert error(one, other) <= 1e-12


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_in_float32_drops_what_it_drops_in_float64(cell):
    case = SMALL._replace(cell=cell, batch=20, units=16)
    numbers = problem(case)
    exact = dropping(case, numbers, 0.4, seed=3)[0](numbers.x)[0].detach()
    single = case._replace(dtype=torch.float32)
    module = dropping(single, numbers, 0.4, seed=3)[0].float()
    assert error(module(numbers.x.float())[0].detach(), exact) < 1e-5


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_right_share_along_every_axis(dropout):
    shape = (40, 50, 60)
    factors = dropout_factors(dropout, seed=5, layer=1, shape=shape)
    kept = factors > 0
    assert torch.equal(factors[kept], torch.full_like(factors[kept], 1 / (1 - dropout)))
    assert not factors[~kept].any()
    spread = (dropout * (1 - dropout)) ** 0.5
    for axes in [(0, 1, 2), (1, 2), (0, 2), (0, 1)]:
        shares = kept.double().mean(axes)
        counted = kept.numel() / shares.numel()
        assert float((shares - (1 - dropout)).abs().max()) < 4.5 * spread / counted**0.5


def test_dropout_differs_by_seed_layer_and_place():
    seeds = [(seed, depth) for seed in (0, 1, 2**32, 2**63 - 2) for depth in (0, 1, 2)]
    masks = [dropout_factors(0.5, seed, depth, (8, 9, 10)) for seed, depth in seeds]
    masks += [masks[0].roll(1, dims=axis) for axis in range(3)]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert 0.4 < float((one == other).double().mean()) < 0.6


def test_the_mask_of_a_batch_begins_with_the_mask_of_a_smaller_one():
    whole = dropout_factors(0.3, 9, 0, (40, 6, 7))
    assert torch.equal(whole[:5], dropout_factors(0.3, 9, 0, (5, 6, 7)))
    assert torch.equal(whole[:, :4], dropout_factors(0.3, 9, 0, (40, 4, 7)))
    assert torch.equal(whole[:, :, :5], dropout_factors(0.3, 9, 0, (40, 6, 5)))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", BOTH, ids=str)
def test_dropout_does_not_depend_on_threads_or_on_how_the_batch_is_cut(cell, dtype):
    case = SMALL._replace(cell=cell, dtype=dtype, batch=40, layers=3)
    numbers = problem(case)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        module, _ = dropping(case, numbers, 0.5, seed=4)
        outputs = call(module, numbers.x)
        gradients = torch.autograd.grad((outputs["y"] * numbers.pulls["y"]).sum(), module.parameters())
        found.append({"y": outputs["y"].detach(), **{str(i): g for i, g in enumerate(gradients)}})
    assert not differing(found[0], found[1]) and not differing(found[0], found[2])
    few = dropping(case, numbers, 0.5, seed=4)[0](numbers.x[:5])[0]
    assert same_bits(few.detach(), found[0]["y"][:5])
    with torch.no_grad():
        inferred = dropping(case, numbers, 0.5, seed=4)[0](numbers.x[:2])[0]
    assert same_bits(inferred, found[0]["y"][:2])


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_draws_anew_in_training_and_rests_in_evaluation(cell):
    case = SMALL._replace(cell=cell)
    numbers = problem(case)
    module, _ = dropping(case, numbers, 0.5, seed=6)
    assert not torch.equal(module(numbers.x)[0], module(numbers.x)[0])
    plain = loaded(case, numbers, native=True)
    assert same_bits(module.eval()(numbers.x)[0].detach(), plain(numbers.x)[0].detach())


@pytest.mark.parametrize("cell", CELLS)
def test_dropping_everything_equals_torch(cell):
    case = SMALL._replace(cell=cell)
    numbers = problem(case)
    theirs = loaded(case, numbers, native=False)
    theirs.dropout = 1.0
    ours, _ = dropping(case, numbers, 1.0, seed=7)
    assert error(ours(numbers.x)[0].detach(), theirs(numbers.x)[0].detach()) <= 1e-12
