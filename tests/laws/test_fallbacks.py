"""What the native kernels leave to torch.nn, exactly as torch.nn has it: its own cases, and its own errors."""

import pytest
import torch

from laws.kernel_cases import CELLS


def packed(module, x):
    rows = torch.nn.utils.rnn.pack_padded_sequence(x, [6, 5, 3, 2, 1], batch_first=True)
    y, last = module(rows)
    return y.data, last


def in_autocast(module, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return module(x)


def plainly(module, x):
    return module(x)


FALLBACKS = {
    "packed": (torch.float32, {}, packed),
    "bfloat16": (torch.bfloat16, {}, plainly),
    "autocast": (torch.float32, {}, in_autocast),
    "no sequences": (torch.float32, {}, lambda module, x: module(x[:0])),
    "projected": (torch.float32, {"proj_size": 2}, plainly),
}
LEFT = [(c, f) for c in CELLS for f in FALLBACKS if f != "projected" or c == "LSTM"]


def flat(found):
    y, last = found
    return [y, *(last if isinstance(last, tuple) else (last,))]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")  # torch.nn's own
@pytest.mark.parametrize("cell, way", LEFT)
def test_what_is_not_covered_is_exactly_torchs(cell, way):
    dtype, options, called = FALLBACKS[way]
    torchs, ours, cell_options = CELLS[cell]
    torch.manual_seed(0)
    theirs = torchs(3, 4, 2, batch_first=True, bidirectional=True, dtype=dtype, **options, **cell_options)
    mine = ours(3, 4, 2, batch_first=True, bidirectional=True, dtype=dtype, **options, **cell_options)
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 6, 3, dtype=dtype)
    found = []
    for module in (mine, theirs):
        outputs = flat(called(module, x))
        total = sum(each.float().square().sum() for each in outputs)
        found.append([*outputs, *torch.autograd.grad(total, module.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


H = torch.zeros(2, 5, 4)
MISTAKES = {
    "inputs": lambda module: module(torch.zeros(5, 6, 7)),
    "dimensions": lambda module: module(torch.zeros(5, 6, 3, 1)),
    "no time": lambda module: module(torch.zeros(5, 0, 3)),
    "dtype": lambda module: module(torch.zeros(5, 6, 3, dtype=torch.float64)),
    "whole numbers": lambda module: module(torch.zeros(5, 6, 3, dtype=torch.int64)),
    "state units": lambda module: module(torch.zeros(5, 6, 3), as_state(module, torch.zeros(2, 5, 9))),
    "state batch": lambda module: module(torch.zeros(5, 6, 3), as_state(module, torch.zeros(2, 4, 4))),
    "state layers": lambda module: module(torch.zeros(5, 6, 3), as_state(module, torch.zeros(1, 5, 4))),
    "state dimensions": lambda module: module(torch.zeros(5, 6, 3), as_state(module, torch.zeros(2, 4))),
    "state of a sequence": lambda module: module(torch.zeros(6, 3), as_state(module, H)),
    "state dtype": lambda module: module(torch.zeros(5, 6, 3), as_state(module, H.double())),
    "other cell's state": lambda module: module(torch.zeros(5, 6, 3), H if module.mode == "LSTM" else (H, H)),
    "not a tensor": lambda module: module([1.0, 2.0]),
}


def as_state(module, h):
    return (h, h) if module.mode == "LSTM" else h


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_torchs_own_answer(cell, mistake):
    torchs, ours, options = CELLS[cell]
    answers = []
    for module in (torchs, ours):
        with pytest.raises(Exception) as caught:
            MISTAKES[mistake](module(3, 4, 2, batch_first=True, **options))
        answers.append((type(caught.value), str(caught.value)))
    assert answers[0] == answers[1]
