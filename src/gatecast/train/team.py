"""Processes that train one model together: each reads its share of the data, and sums go over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gatecast.errors import SpecError


@dataclass(frozen=True)
class Team:
    """This process's number from 0, how many there are, and where its networks are."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def share(self, parts: int) -> range:
        """Which of so many parts are this process's; SpecError where they cannot be shared evenly."""
        if parts % self.size:
            raise SpecError(
                f"a batch of {parts} crops cannot be shared by {self.size} processes",
                f"give a batch that is a multiple of {self.size}, or start another number of processes",
            )
        each = parts // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def sum(self, own: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
        """The sum over all processes."""
        if self.size == 1:
            return own
        whole = own.to(self.device, copy=True)
        dist.all_reduce(whole)
        return whole.to(own.device)

    def from_first(self, own: Shaped[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
        """What the first process has; `own` has the same shape everywhere."""
        if self.size == 1:
            return own
        told = own.to(self.device, copy=True)
        dist.broadcast(told, 0)
        return told.to(own.device)

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum(torch.zeros(1))

    def joined(self, module: nn.Module) -> nn.Module:
        """The module, its weights those of the first process and its gradients the mean over all of them."""
        return module if self.size == 1 else DistributedDataParallel(module)


@contextmanager
def team() -> Iterator[Team]:
    """The team that `torchrun` started this process in (gloo, or nccl where there is CUDA); else a team of one.

    A process group that was begun elsewhere is used and left.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Team()
        return
    begun = dist.is_initialized()
    cuda = torch.cuda.is_available()
    device = f"cuda:{os.environ['LOCAL_RANK']}" if cuda else "cpu"
    if not begun:
        dist.init_process_group("nccl" if cuda else "gloo")
    if cuda:
        torch.cuda.set_device(device)
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), device)
    finally:
        if not begun:
            dist.destroy_process_group()
