"""Everything Gatecast raises on purpose.

GatecastError
├── DataError        the data cannot be used as they are (file, row and column are named)
│   └── ConflictError    an observation contradicts what is already known
├── SpecError        a model, option or name is not understood
├── FitError         training cannot start, or cannot go on
├── ForecastError    this model cannot make that forecast
└── ModelFileError   a saved model is damaged, edited, or from a newer release
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any


class GatecastError(Exception):
    """Base of every error raised on purpose: says what happened, what was expected and, as `hint`, what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class DataError(GatecastError):
    """The data cannot be used as they are."""


class ConflictError(DataError):
    """An observation contradicts what is already known: it is too late, or another value for the same time."""


class SpecError(GatecastError):
    """A model, an option or a name is not understood."""


class FitError(GatecastError):
    """Training cannot start, or cannot go on."""


class ForecastError(GatecastError):
    """This model cannot make that forecast."""


class ModelFileError(GatecastError):
    """A saved model is damaged, was edited, or comes from a newer release."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Answer an unknown name with its nearest neighbour and the whole list.

    >>> did_you_mean("Hihg", ["Open", "High"])
    "did you mean 'High'? Known: Open, High."
    """
    names = [str(each) for each in known]
    folded = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), folded, n=1)
    listing = f"Known: {', '.join(names)}." if names else "Nothing is known here."
    return f"did you mean '{folded[near[0]]}'? {listing}" if near else listing


def check_choice(value: str, known: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `known`; otherwise say which `what` it could have been."""
    names = list(known)
    if value not in names:
        raise SpecError(f"unknown {what} '{value}'", did_you_mean(value, names))
    return value


def import_extra(module: str, extra: str) -> Any:
    """A module of a package that comes with an extra; SpecError with the install command where it is not installed.

    >>> import_extra("json", "classics").__name__
    'json'
    """
    try:
        return import_module(module)
    except ImportError as cause:
        raise SpecError(
            f"this needs {module.partition('.')[0]}, which is not installed", f"pip install 'gatecast[{extra}]'"
        ) from cause
