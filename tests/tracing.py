"""What torch traces of the kernels' operators: opcheck, torch.compile and torch.export.

Run by `test_operators.py` in a process of its own, because Dynamo cannot trace enforced annotations and traced sizes
are no plain integers.
"""

import shutil

import pytest
import torch

from gatecast.nn import recurrent
from layers import LAYERS, all_equal, backward, flat, litter, make

BACKENDS = ["aot_eager", *(["inductor"] if shutil.which("g++") or shutil.which("clang++") else [])]


@pytest.fixture(autouse=True)
def always_native(monkeypatch):
    monkeypatch.setattr(recurrent, "torch_is_faster", lambda *_: False)
    torch._dynamo.reset()


# -- operators --------------------------------------------------------------------------------------------------------

CALLS = {
    "plain": ("LSTM", {}, {}),
    "with a state": ("LSTM", {}, {"start": True}),
    "inference": ("LSTM", {}, {"keep": False}),
    "final state only": ("LSTM", {}, {"outputs": False}),
    "dropout": ("LSTM", {}, {"dropout": 0.5}),
    "both directions": ("LSTM", {"bidirectional": True}, {"start": True}),
    "no bias": ("GRU", {"bias": False}, {}),
    "time first": ("GRU", {"batch_first": False}, {"start": True}),
    "three layers": ("GRU", {"num_layers": 3, "bidirectional": True}, {}),
    "relu": ("RNN", {"nonlinearity": "relu"}, {"start": True}),
    "float64": ("RNN", {"dtype": torch.float64}, {"start": True}),
}


def arguments(cell, options, start=False, keep=True, outputs=True, dropout=0.0):
    module = make(cell, **options)
    weights = [w.detach().requires_grad_(keep) for w in recurrent.weights_of(module)]
    x = torch.randn(4, 6, 3, dtype=weights[0].dtype, requires_grad=keep)
    rows = module.num_layers * (1 + module.bidirectional) * x.shape[0 if module.batch_first else 1] * 5
    states = [torch.randn(rows, dtype=x.dtype, requires_grad=keep) if start else None for _ in range(2)]
    h0, c0 = states if cell == "LSTM" else (states[0], None)
    seed = torch.tensor(7) if dropout else None
    return x, h0, c0, weights, recurrent.description(module), module.batch_first, dropout, seed, keep, outputs


@pytest.mark.parametrize("call", CALLS)
def test_torch_finds_nothing_wrong_with_the_operator(call):
    cell, options, settings = CALLS[call]
    litter(torch.Tensor.random_)  # whatever the memory held, the results are the same
    torch.library.opcheck(torch.ops.gatecast.recurrent.default, arguments(cell, options, **settings))


BACKWARD_CALLS = {
    "everything": ((True, True, True), (True, True, True, True)),
    "y alone": ((True, False, False), (True, False, False, True)),
    "final states alone": ((False, True, True), (True, True, True, True)),
    "frozen weights": ((True, True, True), (True, True, True, False)),
    "weights alone": ((True, False, False), (False, False, False, True)),
}


@pytest.mark.parametrize("call", BACKWARD_CALLS)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_torch_finds_nothing_wrong_with_the_backward_operator(call, dropout):
    given, needs = BACKWARD_CALLS[call]
    x, h0, c0, weights, layers, batch_first, _, seed, keep, outputs = arguments("LSTM", {}, True, dropout=dropout)
    rest = (layers, batch_first, dropout, seed)
    *tops, reserve = torch.ops.gatecast.recurrent.default(x, h0, c0, weights, *rest, keep, outputs)
    pulls = [torch.randn_like(top) if wanted else None for top, wanted in zip(tops, given, strict=True)]
    held = [w.detach() for w in weights]
    call_arguments = (*pulls, held, reserve, list(x.shape), *rest, list(needs))
    torch.library.opcheck(torch.ops.gatecast.recurrent_backward.default, call_arguments)


def test_final_states_alone_are_those_of_the_whole_call():
    whole, alone = (
        torch.ops.gatecast.recurrent.default(*arguments("LSTM", {}, start=True, outputs=outputs))
        for outputs in (True, False)
    )
    assert not alone[0].numel() and all_equal(whole[1:3], alone[1:3])


# -- compiling and exporting ------------------------------------------------------------------------------------------


def compiles_to_the_same(module, compiled, shapes):
    for batch, time in shapes:
        x = torch.randn(batch, time, 3, requires_grad=True)
        assert all_equal(backward(compiled, x), backward(module, x))
        with torch.no_grad():
            assert all_equal(flat(compiled(x)), flat(module(x)))


@pytest.mark.parametrize("cell", LAYERS)
def test_a_compiled_layer_gives_the_same_values_and_gradients(cell):
    module = make(cell)
    compiles_to_the_same(module, torch.compile(module, backend="aot_eager"), [(4, 6)])


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_layer_compiled_as_one_graph_gives_the_same_values_and_gradients(cell, dynamic):
    module = make(cell)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=dynamic)
        compiles_to_the_same(module, compiled, [(4, 6), (20, 6), (7, 9), (1, 1)])


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("output", ["h", "c"])
def test_a_compiled_network_may_use_the_final_state_alone(cell, output):
    module = make(cell)

    def network(x):
        last = module(x)[1]
        return last[output == "c"] if cell == "LSTM" else last

    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
        x = torch.randn(4, 6, 3, requires_grad=True)
        leaves = [x, *module.parameters()]
        found = [torch.autograd.grad(each(x).square().sum(), leaves) for each in (compiled, network)]
    assert all_equal(*found)


@pytest.mark.parametrize("cell", LAYERS)
def test_dropout_in_a_compiled_layer_draws_anew_and_gives_the_layers_bits(cell):
    module = make(cell, dropout=0.5)
    x = torch.randn(4, 6, 3, requires_grad=True)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(module, backend="aot_eager")
        assert not torch.equal(compiled(x)[0], compiled(x)[0])
        found = []
        for each in (compiled, module):
            torch.manual_seed(5)
            found.append(backward(each, x))
    assert all_equal(*found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_layer_compiled_to_machine_code_gives_the_same_values_and_gradients(backend):
    module = make("LSTM")
    with torch._dynamo.config.patch(allow_rnn=True):
        compiles_to_the_same(module, torch.compile(module, backend=backend, fullgraph=True), [(4, 6)])


@pytest.mark.parametrize("cell", LAYERS)
def test_an_exported_layer_gives_the_same_values(cell):
    module = make(cell).eval()
    x = torch.randn(4, 6, 3)
    program = torch.export.export(module, (x,), strict=False)
    assert all_equal(flat(program.module()(x)), flat(module(x)))
    assert "gatecast.recurrent" in str(program.graph)
