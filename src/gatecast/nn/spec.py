"""The one-line language of networks: `lstm:50x4`, `bigru:32`, `lstm:50x2-gru:50`, `lstm:50x4+gru:50x4`.

model = stack { "+" stack }      the average of different stacks
stack = layer { "-" layer }      one on top of the other
layer = ["bi"] cell [":" units] ["x" count]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatecast.errors import SpecError, did_you_mean
from gatecast.nn.cells import CELLS

LAYER = re.compile(r"(bi)?([a-z]+)(?::(\d+))?(?:x(\d+))?")
UNITS = 32


@dataclass(frozen=True)
class Layer:
    """One recurrent layer: `units` per direction."""

    cell: str
    units: int
    bidirectional: bool = False

    @property
    def width(self) -> int:
        """Outputs per time step."""
        return self.units * (2 if self.bidirectional else 1)


@dataclass(frozen=True)
class StackSpec:
    """The layers of one network, from the input up, with the text they came from."""

    text: str
    layers: tuple[Layer, ...]


def parse(text: str) -> tuple[StackSpec, ...]:
    """Read a model's spec; raises SpecError that names the part it does not understand.

    >>> [layer.cell for layer in parse("lstm:50x2-gru:20")[0].layers]
    ['lstm', 'lstm', 'gru']
    """
    return tuple(
        StackSpec(stack, tuple(layer for part in stack.split("-") for layer in _layers(part, text)))
        for stack in text.strip().lower().replace(" ", "").split("+")
    )


def _layers(part: str, text: str) -> tuple[Layer, ...]:
    match = LAYER.fullmatch(part)
    if match is None:
        raise SpecError(
            f"cannot read '{part}' in the model '{text}'; expected a cell with units and layers, such as lstm:50x4",
            "stack cells with '-', average models with '+'",
        )
    bi, cell, units, count = match.groups()
    if bi is None and cell.startswith("bi"):
        bi, cell = "bi", cell[2:]
    if cell not in CELLS:
        raise SpecError(f"unknown cell '{cell}' in the model '{text}'", did_you_mean(cell, CELLS))
    size, layers = int(units or UNITS), int(count or 1)
    if not (1 <= size <= 4096 and 1 <= layers <= 64):
        raise SpecError(f"'{part}' asks for {layers} layers of {size} units; expected 1-64 layers of 1-4096 units")
    return (Layer(cell, size, bi is not None),) * layers
