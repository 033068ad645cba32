"""One HTML file of what a model does with its past, which opens from disk with no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatecast.explain.decay import Decay
from gatecast.explain.explanation import Explanation
from gatecast.judge.leaderboard import versions
from gatecast.show.explain_charts import explained, explained_decay
from gatecast.show.figures import Explained, add_explained
from gatecast.show.files import write_atomic
from gatecast.show.page import render


def explain_report(found: Explanation | Decay, path: str | Path, command: str = "") -> Path:
    """Write an explanation, or a comparison of cells, as one self-contained HTML page and return its path."""
    specs: list[dict[str, Any]] = []
    parts: Sequence[Explained] = [explained_decay(found)] if isinstance(found, Decay) else list(explained(found))
    facts = {
        "kind": "explanation",
        "title": found.task if isinstance(found, Decay) else found.model,
        "told": found.sentences,
        "figures": add_explained(parts, specs),
        "command": command,
        "again": versions(),
    }
    return write_atomic(Path(path), render("explain.html", specs, **facts))
