"""`gatecast export`: a saved model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatecast.edge.options import option


def export(
    *,
    model: Annotated[Path, typer.Argument(help="A model file that `gatecast fit` or `run -o` wrote.")],
    output: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    opset: Annotated[int | None, option("Version of the ONNX operators; 17.", metavar="N")] = None,
    quiet: Annotated[bool, option("No notes on stderr.", "--quiet", "-q")] = False,
) -> None:
    """Write a saved model's networks, their transforms and what else a forecast needs as one ONNX file."""
    from gatecast.edge.onnx.export import export_onnx
    from gatecast.edge.onnx.graph import USUAL
    from gatecast.edge.save import load_model
    from gatecast.edge.text import plain
    from gatecast.errors import SpecError

    if output.resolve() == model.resolve():
        raise SpecError(f"'{output}' is the model itself", "name another file for the network")
    export_onnx(load_model(model), output, USUAL if opset is None else opset)
    if not quiet:
        typer.echo(plain(f"wrote {output}"), err=True)
