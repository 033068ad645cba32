"""Stage 3: recurrent layers on native kernels, reference cells, stacks; usable alone with any PyTorch code.

`LSTM`, `GRU` and `RNN` are drop-ins for torch.nn's; `accelerate(model)` puts them into a model that exists;
`layer.stream()` reads one row at a time; `free_run` lets networks feed on
their own outputs; `record` hands out gates and states. `python -m gatecast.nn` says what runs.
"""

from gatecast.nn.accelerate import Acceleration, accelerate
from gatecast.nn.feedback import Reader, free_run
from gatecast.nn.record import LayerRecord, record
from gatecast.nn.recurrent import GRU, LSTM, RNN
from gatecast.nn.stream import Stream

__all__ = ["GRU", "LSTM", "RNN", "Acceleration", "LayerRecord", "Reader", "Stream", "accelerate", "free_run", "record"]
