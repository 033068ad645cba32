"""How a network is trained, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from gatecast.errors import SpecError, check_choice
from gatecast.nn.device import check_device
from gatecast.train.losses import LOSSES
from gatecast.train.optimisers import OPTIMISERS, Rates

USE_MOMENTUM = ("sgd", "rmsprop", "keras-sgd")
USE_DECAY = ("sgd", "rmsprop", "adam", "adamw")


@dataclass(frozen=True)
class Training:
    """Settings of the training loop; `patience=None` trains all epochs and holds nothing back.

    With patience, the last `holdout` share of the training span is held back, the epoch with the least held-back
    loss is kept, and training stops after `patience` epochs without a better one. `clip` bounds the gradient norm.
    """

    loss: str = "mse"
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch: int = 32
    epochs: int = 50
    patience: int | None = 8
    holdout: float = 0.1
    clip: float | None = 1.0
    device: str = "cpu"

    @property
    def rates(self) -> Rates:
        """What the optimiser is told."""
        return Rates(self.learning_rate, self.momentum, self.weight_decay)

    def __post_init__(self) -> None:
        check_choice(self.loss, LOSSES, "loss")
        check_choice(self.optimiser, OPTIMISERS, "optimiser")
        check_device(self.device)
        for name, low in (("batch", 1), ("epochs", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise SpecError(f"{name}={value}, expected at least {low}")
        for name, users in (("momentum", USE_MOMENTUM), ("weight_decay", USE_DECAY)):
            value = getattr(self, name)
            if value < 0 or (value > 0 and self.optimiser not in users):
                raise SpecError(f"{name}={value} with '{self.optimiser}'; expected 0", f"used by {', '.join(users)}")
        if self.clip is not None and self.clip <= 0:
            raise SpecError(f"clip={self.clip}, expected a positive gradient norm, or None")
        if not (0 < self.holdout < 1 and self.learning_rate > 0):
            raise SpecError(
                f"holdout={self.holdout} and learning_rate={self.learning_rate}, expected 0 < holdout < 1 "
                "and a positive learning rate"
            )
