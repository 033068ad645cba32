"""The file format of models and checkpoints: safetensors, with JSON facts and a SHA-256 over tensors and facts.

Nothing is executed when a file is read. The header is checked against the file's size before any tensor is read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from gatecast.errors import ModelFileError
from gatecast.show.files import write_atomic

FORMAT = 1
MARK = "gatecast"
"""The one metadata entry: safetensors writes several in no fixed order, and equal models shall be equal files."""
Tensors = dict[str, np.ndarray]


def write(path: Path, kind: str, tensors: Tensors, facts: dict[str, Any]) -> Path:
    """Put tensors and JSON facts into one file, in place of the one before."""
    return write_atomic(path, content(kind, tensors, facts))


def content(kind: str, tensors: Tensors, facts: dict[str, Any]) -> bytes:
    """Tensors and JSON facts as the bytes of a file."""
    text = json.dumps({"format": FORMAT, "kind": kind, **facts}, allow_nan=False)
    solid = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    mark = json.dumps({"sha256": _digest(solid, text), "facts": text})
    return to_bytes(solid, {MARK: mark})


def read(path: Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and facts of a file of this `kind`.

    Raises ModelFileError where the file is missing, truncated, edited, of another kind or of a newer format.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            mark = json.loads((file.metadata() or {}).get(MARK, "{}"))
            facts = _facts(path, kind, mark)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except FileNotFoundError as cause:
        raise ModelFileError(f"no file '{path}'", "check the path") from cause
    except (SafetensorError, OSError, ValueError) as cause:
        raise ModelFileError(f"'{path}' is not a whole Gatecast {kind} file: {cause}", _AGAIN) from cause
    if _digest(tensors, mark["facts"]) != mark.get("sha256"):
        raise ModelFileError(f"'{path}' was changed after it was written: its checksum does not match", _AGAIN)
    return tensors, facts


def clear(folder: Path, kind: str) -> None:
    """Remove every file of this `kind`, and the folder if nothing else is in it; drafts of a killed process too."""
    if not folder.is_dir():
        return
    for path in (*folder.glob(f"*.{kind}"), *folder.glob(f".*.{kind}.*.part")):
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


_AGAIN = "save it again, or restore it from a copy"


def _facts(path: Path, kind: str, mark: Any) -> dict[str, Any]:
    """The JSON facts, once format and kind are known to be ours."""
    text = mark.get("facts") if isinstance(mark, dict) else None
    facts = json.loads(text) if isinstance(text, str) else None
    if not isinstance(facts, dict) or facts.get("kind") != kind:
        raise ModelFileError(f"'{path}' is not a Gatecast {kind} file", "use a file written by Gatecast")
    if facts.get("format") != FORMAT:
        raise ModelFileError(
            f"'{path}' has format {facts.get('format')}, written by Gatecast {facts.get('version')}; this release "
            f"reads format {FORMAT}",
            "install a newer Gatecast",
        )
    return facts


def _digest(tensors: Tensors, text: str) -> str:
    """SHA-256 over the facts and over every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}|{tensor.dtype}|{tensor.shape}|".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()
