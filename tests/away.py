"""A stand-in for a device that is not there: tensors that compute on the CPU, say that they are elsewhere, and refuse
to meet one that is not, as those of a GPU do, and to be float64, as those of MPS do."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch.optim import optimizer
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

from gatecast.nn import device
from gatecast.train import members

AWAY = "meta"
"""Torch's device without numbers: a kernel that is handed one of these tensors finds none."""
CARRY = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
"""The operations that may take tensors from one device to another."""


class Away(torch.Tensor):
    """A tensor on the stand-in device; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held):
        own = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=AWAY
        )
        own.held = held
        return own

    def __repr__(self):
        return f"Away({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func, args, kwargs):
    """The operation on the numbers; its results are where its tensors are, or where it was told."""
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    away = [isinstance(each, Away) for each in tensors]
    mixed = [t for t, there in zip(tensors, away, strict=True) if not there and t.dim()]
    if any(away) and mixed and func not in CARRY:
        raise RuntimeError(f"{func} was given tensors on two devices")
    wanted = kwargs.get("device")
    there = any(away) if wanted is None else torch.device(wanted).type == AWAY
    if wanted is not None and there:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    kwargs = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    bare = tree_map_only(Away, lambda each: each.held, (args, kwargs))
    found = func(*bare[0], **bare[1])
    if there and any(each.dtype == torch.float64 for each in tree_flatten(found)[0] if isinstance(each, torch.Tensor)):
        raise TypeError(f"{func}: there is no float64 there, as on MPS")
    if any(away) and torch.Tag.inplace_view in func.tags:  # the shape that the tensor itself shows changes too
        with no_dispatch():
            func(*args, **kwargs)
    if func._schema.is_mutable:
        known = {id(each.held): each for each in tensors if isinstance(each, Away)}
        return tree_map(lambda each: known.get(id(each), each), found)
    return tree_map_only(torch.Tensor, Away, found) if there else found


class Elsewhere(TorchDispatchMode):
    """Inside, the stand-in device can be named."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class InTurn(ThreadPoolExecutor):
    """A pool that works in the caller's thread, where the stand-in is known."""

    def map(self, work, items):
        return map(work, items)


@contextmanager
def elsewhere():
    """Inside, the stand-in is a device like any other."""
    fused = optimizer._get_fused_kernels_supported_devices()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "DEVICES", (*device.DEVICES, AWAY))
        patch.setattr(device, "available", lambda: ("cpu", AWAY))
        patch.setattr(members, "ThreadPoolExecutor", InTurn)
        patch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [*fused, AWAY])
        patch.setattr(torch, "inference_mode", torch.no_grad)  # in which a wrapper's views cannot be made
        with Elsewhere():
            yield
