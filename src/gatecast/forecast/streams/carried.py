"""The live series of a sequence model: of each the state after its newest row, which one more row moves by one step."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from gatecast.data.calendar import Times
from gatecast.forecast.panels.candidates import median
from gatecast.forecast.panels.sequence import SequenceForecaster
from gatecast.forecast.streams.core import Kept, Places
from gatecast.forecast.streams.panels import Ahead, PanelCore, Paths
from gatecast.nn.sequence import Carried, read_through
from gatecast.prepare.given import Given
from gatecast.prepare.sequences import Sequences
from gatecast.prepare.waves import waves


class Carry(PanelCore):
    """Of a `SequenceForecaster`; where the kernels run, states are the bits of the whole sequence."""

    def __init__(self, model: SequenceForecaster) -> None:
        super().__init__(model, 1, model.reading_.log)
        self._reading, self._nets = model.reading_, model.nets_
        self._running = self._reading.running(0, self.calendar)
        self._states: Kept = {"x": np.zeros((0, self._nets[0].shape.inputs), dtype=np.float32)}
        for n, net in enumerate(self._nets):
            state, top = net.begin(0), net.spec.layers[-1].units
            self._states |= {f"{n}.h": state.h.numpy(), f"{n}.c": state.c.numpy()}
            self._states[f"{n}.top"] = np.zeros((0, top), dtype=np.float32)

    def begin(self, given: Given) -> None:
        """Read every series once."""
        super().begin(given)
        sequences, panel = Sequences(given, self._reading), given.panel
        lengths = np.diff(panel.indptr)
        tops, states = read_through(self._nets, lengths, sequences.block, (np.arange(len(panel)), lengths - 1))
        new: Kept = {"x": sequences.take(panel.indptr[1:] - 1).numpy()}
        for n, (top, state) in enumerate(zip(tops, states, strict=True)):
            new |= {f"{n}.h": state.h.numpy(), f"{n}.c": state.c.numpy(), f"{n}.top": top.numpy()}
        for kept, more in ((self._states, new), (self._running.kept, sequences.running.kept)):
            for name, old in kept.items():
                kept[name] = np.concatenate([old, more[name]])

    def push(self, at: Places, times: Times, rows: Float64[np.ndarray, "n C"]) -> None:
        """One step of the running means and of every state."""
        super().push(at, times, rows)
        z = self._reading.transform(len(at)).moved(rows[:, 0])
        self._running.step(at, z, rows[:, 1:])
        facts = np.concatenate([waves(self.calendar, times), self._own["static"][at].astype(np.float32)], axis=1)
        lagged = self._running.lagged(at, np.array(self._reading.lags))
        x = self._reading.numbers(self._running.now(at), lagged, facts, self.calendar.season)
        self._states["x"][at] = x
        for n, net in enumerate(self._nets):
            h, c = (torch.from_numpy(self._states[f"{n}.{part}"][at]) for part in ("h", "c"))
            with torch.inference_mode():
                top, after = net.scan(torch.from_numpy(x)[:, None], Carried(h, c))
            for name, found in (("h", after.h), ("c", after.c), ("top", top[:, 0])):
                self._states[f"{n}.{name}"][at] = found.numpy()

    def _parts(self) -> dict[str, Kept]:
        return super()._parts() | {"running": self._running.kept, "states": self._states}

    def _paths(self, at: Places, ahead: Ahead) -> Paths:
        now, x = self._running.now(at), torch.from_numpy(self._states["x"][at])
        more = torch.from_numpy(self._reading.ahead(ahead, now.centre))
        tops = [torch.from_numpy(self._states[f"{n}.top"][at]) for n in range(len(self._nets))]
        with torch.inference_mode():
            y = torch.stack([net.read(top, x, more) for net, top in zip(self._nets, tops, strict=True)])
        return median(self._reading.undone(y.double().numpy(), now, self.calendar.season))
