"""What panel models made of networks have in common: a device, where they train and forecast."""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeVar

from torch import nn

from gatecast.forecast.panels.method import GlobalMethod
from gatecast.nn.device import check_device, find_device

N = TypeVar("N", bound="NetworkMethod")


class NetworkMethod(GlobalMethod):
    """A panel model that trains networks on a device (`cpu`, `cuda`, `cuda:1`, `mps`) and forecasts there.

    SpecError at `fit` where there is no such device. A file knows of no device: a model that is loaded is on the CPU
    until `to` moves it.
    """

    def __init__(self, h: SupportsIndex, *, device: str = "cpu", **settings: Any) -> None:
        super().__init__(h, **settings)
        self.device = check_device(device)

    def networks(self) -> list[nn.Module]:
        """What was trained."""
        raise NotImplementedError

    def to(self: N, device: str) -> N:
        """Move the fitted networks, in place: forecasts, and a later `fit`, happen on this device."""
        self.fitted()
        target = find_device(device)
        for network in self.networks():
            network.to(target)
        self.device = device
        return self

    def _settings(self) -> dict[str, Any]:
        """What a model of the same settings is told."""
        return {"season": self.season, "device": self.device, **self.covariates.named()}
