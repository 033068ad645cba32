"""The kernels as PyTorch operators: what torch's own tools ask of them, threads, forks, and inputs of any layout."""

import copy
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from gatecast.nn import native, ops, recurrent
from layers import LAYERS, all_equal, backward, flat, make

TRACING = Path(__file__).parent / "tracing.py"


@pytest.fixture(autouse=True)
def always_native(monkeypatch):
    monkeypatch.setattr(recurrent, "torch_is_faster", lambda *_: False)


# -- tracing ----------------------------------------------------------------------------------------------------------


def traced(marked):
    """Run `tracing.py` without the enforced annotations of `conftest.py`."""
    run = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "-m", marked, str(TRACING)]
    with tempfile.TemporaryDirectory() as cache:  # not what an earlier build of the kernels compiled
        fresh = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        done = subprocess.run(run, capture_output=True, text=True, timeout=250, cwd=TRACING.parents[1], env=fresh)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_torch_traces_the_operators():
    traced("not slow")


@pytest.mark.slow
def test_torch_compiles_the_operators_to_machine_code():
    traced("slow")


# -- transforming -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", LAYERS)
def test_a_second_derivative_is_refused_with_the_reason(cell):
    module = make(cell)
    x = torch.randn(4, 6, 3, requires_grad=True)
    (first,) = torch.autograd.grad(module(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        first.sum().backward()


@pytest.mark.parametrize("cell", LAYERS)
def test_vmap_is_refused_with_the_reason(cell):
    with pytest.raises(RuntimeError, match="vmap"):
        torch.func.vmap(make(cell))(torch.randn(2, 4, 6, 3))


@pytest.mark.parametrize("cell", LAYERS)
def test_a_functional_call_uses_the_weights_it_is_given(cell):
    module, other = make(cell), make(cell)
    nn.init.normal_(other.weight_hh_l0)
    weights = {k: v.detach().clone().requires_grad_() for k, v in other.named_parameters()}
    x = torch.randn(4, 6, 3)
    y = torch.func.functional_call(module, weights, (x,))[0]
    assert torch.equal(y, other(x)[0])
    mine = torch.autograd.grad(y.sum(), list(weights.values()))
    assert all_equal(mine, torch.autograd.grad(other(x)[0].sum(), list(other.parameters())))


# -- autograd ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", LAYERS)
def test_going_backward_twice_gives_the_same_gradients(cell):
    module = make(cell, dropout=0.5)
    x = torch.randn(20, 6, 3, requires_grad=True)
    y = module(x)[0].sum()
    leaves = [x, *module.parameters()]
    first = torch.autograd.grad(y, leaves, retain_graph=True)
    assert all_equal(first, torch.autograd.grad(y, leaves))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(y, leaves)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("weight", ["weight_ih_l0", "weight_hh_l1"])
def test_a_weight_changed_before_backward_is_torchs_own_error(cell, weight):
    module = make(cell)
    y = module(torch.randn(4, 6, 3))[0].sum()
    with torch.no_grad():
        getattr(module, weight).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_an_input_overwritten_before_backward_does_not_matter():
    module, x = make(), torch.randn(4, 6, 3)
    expected = torch.autograd.grad(module(x)[0].sum(), module.parameters())
    y = module(x)[0].sum()
    x.zero_()
    assert all_equal(torch.autograd.grad(y, module.parameters()), expected)


@pytest.mark.parametrize("cell", LAYERS)
def test_outputs_do_not_share_memory(cell):
    with torch.no_grad():
        outputs = flat(make(cell, num_layers=1)(torch.randn(4, 6, 3)))
    kept = [each.clone() for each in outputs]
    outputs[0].zero_()
    assert all_equal(outputs[1:], kept[1:])


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"bidirectional": True, "num_layers": 3}])
def test_weights_in_one_tensor_give_the_same_bits_and_one_gradient(cell, options):
    module, x = make(cell, **options), torch.randn(20, 6, 3)
    apart = recurrent.weights_of(module)
    together = torch.cat([w.detach().flatten() for w in apart]).requires_grad_()
    facts = ops.Facts(recurrent.description(module), True, 0.5)

    def outputs(weights):
        return ops.recurrent(x, (None, None), weights, facts, torch.tensor(7), True, True)[:3]

    assert all_equal(outputs(apart), outputs([together]))
    expected = torch.autograd.grad(outputs(apart)[0].square().sum(), apart)
    (found,) = torch.autograd.grad(outputs([together])[0].square().sum(), together)
    assert torch.equal(found, torch.cat([gradient.flatten() for gradient in expected]))


# -- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", LAYERS)
def test_a_deep_copy_gives_the_same_bits_and_lives_on_its_own(cell):
    module, x = make(cell), torch.randn(4, 6, 3)
    twin = copy.deepcopy(module)
    y = module(x)[0]
    assert type(twin) is type(module) and torch.equal(twin(x)[0], y)
    nn.init.zeros_(twin.weight_ih_l0)
    assert torch.equal(module(x)[0], y)


@pytest.mark.parametrize("cell", LAYERS)
def test_weights_go_to_torch_and_back_under_torchs_names(cell, tmp_path):
    module, x = make(cell, bidirectional=True), torch.randn(4, 6, 3)
    theirs = getattr(nn, cell)(3, 5, 2, batch_first=True, bidirectional=True)
    assert list(module.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(module.state_dict())
    torch.save(theirs.state_dict(), tmp_path / "weights.pt")
    back = make(cell, bidirectional=True)
    nn.init.zeros_(back.weight_ih_l0)
    back.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(back(x)[0], module(x)[0])


@pytest.mark.parametrize("cell", LAYERS)
def test_a_layer_that_changes_its_dtype_follows(cell):
    module, x = make(cell), torch.randn(4, 6, 3)
    y = module(x)[0].detach()
    assert torch.equal(module.double().float()(x)[0], y)
    assert module.double()(x.double())[0].dtype == torch.float64


# -- inputs of any layout ---------------------------------------------------------------------------------------------

LAYOUTS = {
    "batch and time exchanged": ((6, 4, 3), lambda base: base.transpose(0, 1)),
    "features first": ((3, 4, 6), lambda base: base.permute(1, 2, 0)),
    "every second row": ((4, 12, 3), lambda base: base[:, ::2]),
    "every second sequence": ((8, 6, 3), lambda base: base[::2]),
    "some of the columns": ((4, 6, 7), lambda base: base[..., 2:5]),
    "every second column": ((4, 6, 6), lambda base: base[..., ::2]),
    "one sequence for all": ((1, 6, 3), lambda base: base.expand(4, 6, 3)),
    "one row for all": ((4, 1, 3), lambda base: base.expand(4, 6, 3)),
    "one number for all": ((4, 6, 1), lambda base: base.expand(4, 6, 3)),
    "one column": ((4, 6, 1), lambda base: base.transpose(0, 2).transpose(0, 2)),
    "windows that overlap": ((9, 3), lambda base: base.unfold(0, 6, 1).transpose(1, 2)),
}


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_input_in_any_layout_gives_the_bits_of_a_contiguous_one(cell, layout):
    shape, view = LAYOUTS[layout]
    torch.manual_seed(3)
    base = torch.randn(shape, requires_grad=True)
    torch.manual_seed(1)
    module = LAYERS[cell](view(base).shape[-1], 5, num_layers=2, batch_first=True)
    found = []
    for x in (view(base), view(base).contiguous()):
        y, _ = module(x)
        found.append([y.detach(), *torch.autograd.grad(y.square().sum(), [base, *module.parameters()])])
    assert all_equal(*found)
    with torch.no_grad():
        assert torch.equal(module(view(base)[:2])[0], found[0][0][:2])


PULLS = {
    "expanded": lambda y: y.sum(),
    "last row": lambda y: y[:, -1].square().sum(),
    "transposed": lambda y: (y.transpose(0, 1) * torch.linspace(-1, 1, y.numel()).view(6, 4, -1)).sum(),
    "features first": lambda y: (y.permute(2, 0, 1) * torch.linspace(-1, 1, y.numel()).view(-1, 4, 6)).sum(),
    "one unit": lambda y: y[..., 2].square().sum(),
}


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("pull", PULLS)
def test_a_gradient_in_any_layout_gives_the_bits_of_a_contiguous_one(cell, pull):
    module = make(cell)
    y, _ = module(torch.randn(4, 6, 3))
    leaves = list(module.parameters())
    (dy,) = torch.autograd.grad(PULLS[pull](y), y, retain_graph=True)
    plain = torch.autograd.grad(y, leaves, dy.contiguous(), retain_graph=True)
    assert all_equal(torch.autograd.grad(PULLS[pull](y), leaves, retain_graph=True), plain)
    turned = dy.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert all_equal(torch.autograd.grad(y, leaves, turned), plain)


@pytest.mark.parametrize("turn", [lambda s: s.transpose(0, 1), lambda s: s.flip(0), lambda s: s[:1].expand(2, -1, -1)])
def test_a_state_in_any_layout_gives_the_bits_of_a_contiguous_one(turn):
    module, x = make(), torch.randn(2, 6, 3)
    state = [turn(torch.randn(2, 2, 5)) for _ in range(2)]
    assert all_equal(flat(module(x, tuple(state))), flat(module(x, tuple(s.contiguous() for s in state))))


@pytest.mark.parametrize("cell", LAYERS)
def test_weights_in_any_layout_give_the_bits_of_contiguous_ones(cell):
    module, x = make(cell), torch.randn(4, 6, 3, requires_grad=True)
    expected = backward(module, x)
    for weight in module.parameters():
        weight.data = weight.data.t().contiguous().t() if weight.dim() == 2 else weight.data
    assert not module.weight_hh_l0.is_contiguous()
    assert all_equal(backward(module, x), expected)


# -- threads and forks ------------------------------------------------------------------------------------------------


def trained(cell, seed):
    x = torch.randn(40, 8, 3, generator=torch.Generator().manual_seed(seed))
    module = copy.deepcopy(READY[cell])
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        (module(x)[0] - 1).square().mean().backward()
        optimiser.step()
    return [w.detach() for w in module.parameters()]


READY = {cell: make(cell) for cell in LAYERS}


def test_two_threads_that_train_at_once_give_the_bits_of_one_after_another():
    jobs = [("LSTM", 1), ("GRU", 2)]
    expected = [trained(*job) for job in jobs]
    for _ in range(5):
        found = [None, None]
        both = threading.Barrier(2)

        def work(i, found=found, both=both):
            both.wait()
            found[i] = trained(*jobs[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(all_equal(*pair) for pair in zip(found, expected, strict=True))


def test_an_allowance_of_threads_is_each_python_threads_own():
    seen = []
    with native.allow(1):
        assert native.threads() == 1
        other = threading.Thread(target=lambda: seen.append(native._allowance.__dict__.get("threads")))
        other.start()
        other.join()
    assert seen == [None]


FORK = """
import os, warnings
import torch
from gatecast.nn import LSTM, native
warnings.simplefilter("ignore")
native._processors = lambda: 2
torch.set_num_threads(2)
torch.manual_seed(0)
layer, x = LSTM(3, 8, batch_first=True), torch.randn(64, 10, 3)

def step():
    y = layer(x)[0]
    return [y.detach(), *torch.autograd.grad(y.square().sum(), layer.parameters())]

assert native.threads() == 2
before = step()
for _ in range(3):
    child = os.fork()
    if not child:
        same = all(torch.equal(*pair) for _ in range(5) for pair in zip(step(), before))
        os._exit(0 if same else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(torch.equal(*pair) for pair in zip(step(), before))
print("same")
"""


def test_a_forked_child_runs_layers_on_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["same"], done.stderr


# -- dropout factors --------------------------------------------------------------------------------------------------


def test_dropout_factors_are_repeatable_and_keep_what_they_keep():
    one, two = (ops.dropout_factors(0.25, 3, 1, (2, 5, 6)) for _ in range(2))
    assert torch.equal(one, two)
    assert set(one.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
