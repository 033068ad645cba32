"""The options that several commands share, each declared once: a group is a frozen dataclass, a field is an option."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

from gatecast.edge.text import plain

COMMAND_LINE: ContextVar[str] = ContextVar("COMMAND_LINE")
"""What was typed, for the report."""
Text = str | None
Whole = int | None


def option(help_text: str, *names: str, metavar: str | None = None, least: int | None = None) -> Any:
    """One option; without `names` it is called like its field."""
    return typer.Option(*names, help=help_text, metavar=metavar, min=least, show_default=False)


@dataclass(frozen=True)
class Layout:
    """How a data file is written; what is not given is detected."""

    date: Annotated[Text, option("Column with the dates or a counter; found by common names.", metavar="COLUMN")] = None
    id: Annotated[Text, option("Column that tells several series apart.", "--id", metavar="COLUMN")] = None
    join: Annotated[
        list[str] | None,
        option("Another file whose columns are added by date, as past inputs (repeatable).", metavar="FILE"),
    ] = None
    fill: Annotated[
        Text, option("Missing cells of the target: error (the default), last or linear.", metavar="RULE")
    ] = None
    separator: Annotated[Text, option("Sign between the columns of a CSV file; detected.", metavar="SIGN")] = None
    decimal: Annotated[Text, option("Decimal sign of a CSV file: '.' or ','; detected.", metavar="SIGN")] = None
    encoding: Annotated[Text, option("Encoding of a CSV file, such as cp1252; detected.", metavar="NAME")] = None
    date_format: Annotated[Text, option("How dates are written, such as %d.%m.%Y; detected.", metavar="FORMAT")] = None


@dataclass(frozen=True)
class Source:
    """Which series of the file is forecast."""

    target: Annotated[Text, option("Column to forecast; found by common names.", metavar="COLUMN")] = None
    series: Annotated[Text, option("Take this one series of a file that holds several.", metavar="NAME")] = None


@dataclass(frozen=True)
class Network:
    """What is built and how it is trained; what is not given is the model's own rule."""

    inputs: Annotated[Text, option("Columns to read beside the target, separated by commas.", metavar="A,B")] = None
    lookback: Annotated[Whole, option("Rows in the window that a forecast reads.", metavar="ROWS", least=1)] = None
    dropout: Annotated[float | None, option("Share dropped after every layer: 0 to 1.", metavar="SHARE")] = None
    members: Annotated[
        Whole, option("Networks per model, differing in their seeds, that are averaged.", metavar="N", least=1)
    ] = None
    transform: Annotated[
        Text,
        option("What is modelled: none, minmax, standard, log, difference, logreturn or relative.", metavar="NAME"),
    ] = None
    initial: Annotated[Text, option("Initial weights: torch or keras.", metavar="NAME")] = None
    optimiser: Annotated[
        Text, option("sgd, rmsprop, adam, adamw, keras-rmsprop or keras-sgd.", "--optimiser", metavar="NAME")
    ] = None
    loss: Annotated[Text, option("What training makes small: mse, mae or huber.", metavar="NAME")] = None
    learning_rate: Annotated[float | None, option("Size of a training step.", metavar="RATE")] = None
    batch: Annotated[Whole, option("Windows per training step.", metavar="N", least=1)] = None
    epochs: Annotated[Whole, option("Most passes over the training span.", metavar="N", least=1)] = None
    patience: Annotated[
        Whole,
        option("Epochs without a better one before training ends; 0 trains them all.", metavar="N", least=0),
    ] = None
    device: Annotated[Text, option("Where to train: cpu (the default), cuda, cuda:1 or mps.", metavar="NAME")] = None


@dataclass(frozen=True)
class Beside:
    """What a model of many series reads beside the target."""

    past: Annotated[Text, option("Columns known up to the cut-off, for many series.", metavar="A,B")] = None
    future: Annotated[Text, option("Columns known ahead too, for many series.", metavar="A,B")] = None
    static: Annotated[Text, option("File of one row of facts per series.", metavar="FILE")] = None

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The names, as a model takes them."""
        return {name: names(text) for name, text in (("past", self.past), ("future", self.future))}


def names(text: str | None) -> tuple[str, ...]:
    """Names from a list separated by commas.

    >>> names("a, b")
    ('a', 'b')
    """
    return tuple(each.strip() for each in text.split(",")) if text else ()


@dataclass(frozen=True)
class Session:
    """How the command behaves, whatever it does."""

    threads: Annotated[Whole, option("Cores to use; all by default.", metavar="N", least=1)] = None
    json: Annotated[bool, option("Write JSON to stdout; everything else goes to stderr.", "--json")] = False
    quiet: Annotated[bool, option("No progress and no notes on stderr.", "--quiet", "-q")] = False

    def note(self, lines: list[str]) -> None:
        """Lines on stderr, unless quiet."""
        if not self.quiet:
            sys.stderr.writelines(f"{plain(line)}\n" for line in lines)


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Let a typer command take option groups: each parameter that is one becomes the options it holds."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what `inspect.signature` reads
        [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in parameters
            for each in (_options(groups[parameter.name]) if parameter.name in groups else [parameter])
        ]
    )
    return flat


def _options(group: type[Any]) -> list[inspect.Parameter]:
    """The fields of a group as parameters."""
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name]) for f in fields(group)]
