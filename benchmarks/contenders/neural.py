"""What every NeuralForecast contender shares: it writes no files and says nothing."""

from __future__ import annotations

import logging

QUIET = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "accelerator": "cpu",
    "random_seed": 1,
}


def hush() -> None:
    """Errors alone are told."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
