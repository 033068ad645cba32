"""`accelerate` changes the class of torch.nn's layers and nothing else, says what it did, and can be undone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gatecast.nn import GRU, LSTM, RNN, accelerate, native


class Model(nn.Module):
    """An LSTM, a GRU and an RNN on top of each other, and a head; the GRU is shared under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 6, num_layers=2, batch_first=True)
        self.gru = nn.GRU(6, 5, batch_first=True, bidirectional=True)
        self.rnn = nn.RNN(10, 4, batch_first=True)
        self.again = self.gru
        self.head = nn.Linear(4, 1)
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.5)

    def forward(self, x):
        return self.head(self.rnn(self.again(self.lstm(x)[0])[0])[0][:, -1])


@pytest.fixture
def model():
    torch.manual_seed(3)
    return Model()


X = torch.randn(7, 9, 2, generator=torch.Generator().manual_seed(1))


def gradients(model):
    model.zero_grad()
    model(X).square().sum().backward()
    return [None if weight.grad is None else weight.grad.clone() for weight in model.parameters()]


def assert_close(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def ran_natively(model, monkeypatch):
    """Names of the layers whose call reached the kernels."""
    from gatecast.nn import recurrent

    seen = []
    original = recurrent.scan
    monkeypatch.setattr(recurrent, "scan", lambda layer, *rest: seen.append(type(layer)) or original(layer, *rest))
    model(X)
    return seen


def test_layers_change_class_and_parameters_keep_their_identity(model, monkeypatch):
    before, names = list(model.parameters()), list(model.state_dict())
    wanted, pulled = model(X), gradients(model)
    done = accelerate(model)
    assert {name: type(module) for name, module in done.swapped.items()} == {"lstm": LSTM, "gru": GRU, "rnn": RNN}
    assert not done.skipped
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert names == list(model.state_dict())
    assert ran_natively(model, monkeypatch) == [LSTM, GRU, RNN]
    torch.testing.assert_close(model(X), wanted, rtol=1e-5, atol=1e-6)
    assert_close(gradients(model), pulled)


def test_undo_gives_back_torchs_classes_and_bits(model):
    wanted = model(X)
    accelerate(model).undo()
    assert (type(model.lstm), type(model.gru), type(model.rnn)) == (nn.LSTM, nn.GRU, nn.RNN)
    assert torch.equal(model(X), wanted)


def test_a_second_call_finds_nothing_left_to_do(model):
    accelerate(model)
    again = accelerate(model)
    assert not again.swapped
    assert not again.skipped


def test_hooks_go_on_firing(model):
    fired = []
    model.lstm.register_forward_hook(lambda *_: fired.append("forward"))
    model.gru.register_forward_pre_hook(lambda *_: fired.append("before"))
    model.lstm.weight_ih_l0.register_hook(lambda gradient: fired.append("gradient"))
    accelerate(model)
    gradients(model)
    assert fired == ["forward", "before", "gradient"]


def test_a_shared_module_is_swapped_once_and_stays_shared(model):
    done = accelerate(model)
    assert model.again is model.gru
    assert "again" not in done.swapped


def test_a_deep_copy_is_accelerated_and_independent(model):
    accelerate(model)
    twin = copy.deepcopy(model)
    assert type(twin.lstm) is LSTM
    assert torch.equal(twin(X), model(X))
    with torch.no_grad():
        twin.lstm.weight_ih_l0.add_(1.0)
    assert not torch.equal(twin(X), model(X))


def test_frozen_parameters_get_no_gradient_and_others_do(model):
    for name, weight in model.lstm.named_parameters():
        weight.requires_grad_("l1" in name)
    wanted = gradients(model)
    accelerate(model)
    found = gradients(model)
    assert [g is None for g in found] == [g is None for g in wanted]
    assert_close([g for g in found if g is not None], [g for g in wanted if g is not None])


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_optimiser_made_before_or_after_trains_the_same_weights(model, when):
    twin = copy.deepcopy(model)
    theirs = torch.optim.Adam(twin.parameters(), 1e-2)
    early = torch.optim.Adam(model.parameters(), 1e-2)
    accelerate(model)
    ours = early if when == "before" else torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(5):
        for each, optimiser in ((model, ours), (twin, theirs)):
            gradients(each)
            optimiser.step()
    assert_close(list(model.parameters()), list(twin.parameters()))


def test_weights_are_the_current_ones_after_load_state_dict_and_to(model):
    other = Model()
    accelerate(model)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model(X), other(X), rtol=1e-5, atol=1e-6)
    model.to(torch.float64)
    torch.testing.assert_close(model(X.double()), other.double()(X.double()), rtol=1e-12, atol=1e-12)
    model.to(torch.bfloat16)
    assert model(X.bfloat16()).dtype == torch.bfloat16


class Custom(nn.GRU):
    """A subclass that may do anything in its forward."""


def test_what_is_left_alone_is_named_with_its_reason():
    parametrised = nn.LSTM(2, 3)
    parametrizations.weight_norm(parametrised, "weight_hh_l0")
    model = nn.ModuleDict(
        {
            "own": Custom(2, 3),
            "normed": parametrised,
            "projected": nn.LSTM(2, 4, proj_size=2),
            "plain": nn.GRU(2, 3),
            "dense": nn.Linear(2, 2),
        }
    )
    done = accelerate(model)
    assert set(done.swapped) == {"plain"}
    assert set(done.skipped) == {"own", "normed", "projected"}
    assert "Custom is a subclass" in done.skipped["own"]
    assert "parametrised" in done.skipped["normed"]
    assert "proj_size" in done.skipped["projected"]
    assert str(done).splitlines()[0] == "accelerated: plain (GRU)"
    assert "left alone: own: Custom is a subclass of its own" in str(done)


def test_without_kernels_nothing_is_swapped_and_the_report_says_so(model, monkeypatch):
    monkeypatch.setattr(native, "kernels", None)
    done = accelerate(model)
    assert not done.swapped
    assert set(done.skipped.values()) == {"the native kernels were not built"}
    assert str(done).startswith("accelerated: nothing")


def test_a_layer_by_itself_is_swapped_in_place():
    layer = nn.LSTM(2, 3)
    assert str(accelerate(layer)) == "accelerated: the model (LSTM)"
    assert type(layer) is LSTM
