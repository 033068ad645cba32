"""What the laws of the kernels share."""

import pytest
import torch

from gatecast.nn import native, recurrent


@pytest.fixture
def always_native(monkeypatch):
    """Whatever shapes torch.nn is faster at, and on however few processors."""
    monkeypatch.setattr(recurrent, "torch_is_faster", lambda *_: False)
    monkeypatch.setattr(native, "_processors", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the law of threads tries more
    yield
    torch.set_num_threads(before)
