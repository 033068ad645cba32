"""What a server allows, each a number with an option of the command line, and the error of a request for more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from gatecast.errors import GatecastError

WORDS = {"rows": "rows", "horizon": "steps", "levels": "levels", "series": "live series"}


def _most(name: str, help_text: str, metavar: str, least: float = 1.0) -> typer.models.OptionInfo:
    return typer.Option(f"--max-{name}", help=help_text, metavar=metavar, min=least)


@dataclass(frozen=True)
class Limits:
    """The most that one request, or all of them together, may ask for."""

    body: Annotated[int, _most("body", "Bytes of a request's body.", "BYTES")] = 1 << 20
    rows: Annotated[int, _most("rows", "Rows of one request.", "N")] = 10_000
    horizon: Annotated[int, _most("horizon", "Steps of one forecast.", "STEPS")] = 1_000
    levels: Annotated[int, _most("levels", "Levels of one forecast.", "N", 0.0)] = 10
    series: Annotated[int, _most("series", "Live series.", "N")] = 10_000
    requests: Annotated[int, _most("requests", "Requests in hand at once.", "N")] = 64
    seconds: Annotated[float, _most("seconds", "Time for one request.", "SECONDS", 0.01)] = 30.0

    def check(self, name: str, asked: int, status: int = 422) -> None:
        """Refuse what is more than the limit of this name, with this HTTP status.

        >>> Limits(rows=2).check("rows", 3)
        Traceback (most recent call last):
        gatecast.edge.serve.settings.LimitError: 3 rows asked for, at most 2
        hint: ask for less, or start the server with a larger --max-rows
        """
        most = getattr(self, name)
        if asked > most:
            hint = f"ask for less, or start the server with a larger --max-{name}"
            raise LimitError(f"{asked} {WORDS[name]} asked for, at most {most}", hint, status)


class LimitError(GatecastError):
    """A request that the server does not take, with its HTTP status."""

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status
