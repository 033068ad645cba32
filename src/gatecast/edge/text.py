"""Text that is safe to print, and names that are safe as file names."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
LONGEST = 80
"""Characters of a file name, without the ending."""


def plain(text: str) -> str:
    """The text with control characters (a terminal would obey them) written as escapes; new lines stay.

    >>> print(plain("\\x1b[31mred"))
    \\x1b[31mred
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)


def file_names(names: Mapping[Key, str]) -> dict[Key, str]:
    """A file name for every name: letters, digits and `._+-` only, none hidden, no two the same under any case.

    >>> file_names({1: "lstm:50x4", 2: "lstm-50x4", 3: "../../etc"})
    {1: 'lstm-50x4', 2: 'lstm-50x4-2', 3: 'etc'}
    """
    chosen: dict[Key, str] = {}
    taken: set[str] = set()
    for key, name in names.items():
        stem = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)[:LONGEST].strip("-.") or "model"
        file, count = stem, 1
        while file.lower() in taken:
            count += 1
            file = f"{stem}-{count}"
        taken.add(file.lower())
        chosen[key] = file
    return chosen
