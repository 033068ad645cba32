"""What a stack hands to its head: the final states h_n of torch.nn, of both directions where there are two."""

import pytest
import torch

from gatecast.nn.spec import parse
from gatecast.nn.stack import MODULES, Stack

B, T, D, H = 3, 7, 2, 4


def random_stack(spec: str) -> Stack:
    stack = Stack(parse(spec)[0], D, 0.0, torch.Generator()).double()
    draw = torch.Generator().manual_seed(len(spec))
    for weight in stack.parameters():
        torch.nn.init.normal_(weight, std=0.6, generator=draw)
    return stack


def window() -> torch.Tensor:
    return torch.randn(B, T, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def final_state(module, x):
    """h_n of torch.nn, [directions of all layers, B, H]."""
    last = module(x)[1]
    return last[0] if isinstance(last, tuple) else last


@pytest.mark.parametrize("cell", MODULES)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_newest_state_is_torchs_final_state(cell, layers, bidirectional):
    stack = random_stack(f"{'bi' * bidirectional}{cell}:{H}x{layers}")
    whole = MODULES[cell](D, H, num_layers=layers, bidirectional=bidirectional, batch_first=True).double()
    with torch.no_grad():
        for depth, layer in enumerate(stack.layers):
            for name, weight in layer.named_parameters():
                getattr(whole, name.replace("_l0", f"_l{depth}")).copy_(weight)
        final = final_state(whole, window())
        found = stack(window())
    if bidirectional:
        torch.testing.assert_close(found[:, :H], final[-2], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[:, H:], final[-1], rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(found, final[-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "spec", ["lstm:4-gru:3", "lstm:3-bigru:5", "bilstm:3-rnn:4", "bigru:2-bilstm:3", "rnn:3-lstm:2-bigru:4"]
)
def test_a_mixed_stack_passes_whole_sequences_up_and_final_states_out(spec):
    stack, x = random_stack(spec), window()
    with torch.no_grad():
        found = stack(x)
        for layer in stack.layers[:-1]:
            x = layer(x)[0]
        final = torch.cat(list(final_state(stack.layers[-1], x)), dim=1)
    torch.testing.assert_close(found, final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", ["bilstm:3", "bigru:3x2", "lstm:3-birnn:3"])
def test_both_halves_of_a_bidirectional_readout_depend_on_the_whole_window(spec):
    """A backward read-out taken at the newest row would have seen that row alone (of one layer)."""
    stack, x = random_stack(spec), window()
    for row in range(T):
        moved = x.clone()
        moved[:, row] += 1.0
        with torch.no_grad():
            change = (stack(moved) - stack(x)).abs()
        assert (change[:, :3].amax(dim=1) > 1e-9).all(), f"forward, row {row}"
        assert (change[:, 3:].amax(dim=1) > 1e-9).all(), f"backward, row {row}"
