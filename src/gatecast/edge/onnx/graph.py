"""An ONNX graph that is written down node by node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from gatecast.errors import SpecError, import_extra

OLDEST, USUAL = 14, 17
"""Opsets: the oldest with the recurrent operators as they are used here, and the one that is written unless told."""
PRODUCER = "gatecast"
SCHEMA = 1
"""Of the metadata."""
BATCH = "N"
MOST_BYTES = 2_000_000_000
"""Of weights: a protobuf message has at most 2 GiB, and the nodes need room too."""


class Graph:
    """Nodes and constants of one opset; every method returns the name of a value. SpecError for an opset that the
    operators used here, or the installed `onnx`, do not know."""

    def __init__(self, opset: int) -> None:
        self.onnx = import_extra("onnx", "onnx")
        newest = self.onnx.defs.onnx_opset_version()
        if not OLDEST <= opset <= newest:
            raise SpecError(
                f"opset {opset}, expected {OLDEST} to {newest}",
                f"use {USUAL}" if opset < OLDEST else "install a newer onnx, or use an older opset",
            )
        self.opset, self._bytes = opset, 0
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []

    def input(self, name: str, kind: Any, shape: Sequence[int | str]) -> str:
        """An input of the graph; a text in `shape` is a free size."""
        self._inputs.append(self._value(name, kind, shape))
        return name

    def constant(self, array: Any) -> str:
        """A fixed array; SpecError where all of them do not fit into one file."""
        self._bytes += array.nbytes
        if self._bytes > MOST_BYTES:
            raise SpecError("the weights do not fit into the 2 GB of an ONNX file", "export fewer or smaller networks")
        name = f"c{len(self._constants)}"
        self._constants.append(self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def whole(self, *numbers: int) -> str:
        """Fixed whole numbers, such as axes or a shape."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.outputs(operator, 1, *inputs, **attributes)[0]

    def outputs(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        names = [f"v{len(self._nodes)}_{i}" for i in range(count)]
        self._nodes.append(self.onnx.helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def cast(self, value: str, kind: Any) -> str:
        """A value as another kind of number."""
        return self.add("Cast", value, to=self._kind(kind))

    def cut(self, value: str, start: int, stop: int, axis: int) -> str:
        """A slice along one axis."""
        return self.add("Slice", value, self.whole(start), self.whole(stop), self.whole(axis))

    def model(self, outputs: Sequence[tuple[str, str, Any, Sequence[int | str]]], facts: dict[str, Any]) -> bytes:
        """The checked model; `outputs`: value, name, kind and shape of each; `facts` are its metadata, as JSON."""
        helper = self.onnx.helper
        for value, name, _, _ in outputs:
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        found = [self._value(name, kind, shape) for _, name, kind, shape in outputs]
        graph = helper.make_graph(self._nodes, PRODUCER, self._inputs, found, self._constants)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets), producer_name=PRODUCER
        )
        facts = {"schema": SCHEMA, "version": version("gatecast"), **facts}
        helper.set_model_props(model, {PRODUCER: json.dumps(facts, allow_nan=False)})
        self.onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content

    def _kind(self, kind: Any) -> int:
        found: int = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        return found

    def _value(self, name: str, kind: Any, shape: Sequence[int | str]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._kind(kind), list(shape))
