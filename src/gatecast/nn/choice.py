"""Where torch.nn is faster than the native kernels: a table, never timed at run time.

Measured by `python benchmarks/bench.py --only sweep` on two cores; the kernels put 16 sequences into the lanes of a
slice, so small batches waste lanes, and torch.nn's LSTM has a fused kernel of its own there.
"""

from __future__ import annotations

# (mode, training) -> (largest batch, least units): the first row whose batch is not exceeded decides
TORCH_FROM: dict[tuple[str, bool], tuple[tuple[int, int], ...]] = {
    ("LSTM", True): ((3, 1), (12, 28), (24, 60)),
    ("LSTM", False): ((3, 112), (12, 28), (16, 60), (24, 112)),
    ("GRU", True): ((3, 192),),
    ("GRU", False): ((12, 224),),
    ("RNN_TANH", True): ((3, 192), (12, 224)),
    ("RNN_TANH", False): ((12, 192),),
    ("RNN_RELU", True): ((3, 192), (12, 224)),
    ("RNN_RELU", False): ((12, 192),),
}


def torch_is_faster(mode: str, units: int, batch: int, training: bool) -> bool:
    """Whether a call of this shape takes PyTorch's own path; `training`: whether gradients are asked for.

    >>> torch_is_faster("LSTM", units=256, batch=1, training=True), torch_is_faster("LSTM", 50, 32, training=True)
    (True, False)
    """
    return next((units >= least for most, least in TORCH_FROM[mode, training] if batch <= most), False)
