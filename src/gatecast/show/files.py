"""Writing a file so that readers see the old content or the new one, never a part of it."""

from __future__ import annotations

import os
from pathlib import Path

from gatecast.errors import GatecastError


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` beside `path` and move it into place; raises GatecastError where the folder refuses it.

    A link stays one: what it leads to is replaced. A device or a pipe is refused.
    """
    target = writable(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise GatecastError(
            f"'{path}' cannot be written: {reason}", "name a file in an existing folder that you may write to"
        ) from cause
    finally:
        draft.unlink(missing_ok=True)
    return path


def writable(path: Path) -> Path:
    """Where a file of this name is written, links followed; GatecastError where that is no file, or has no folder."""
    target = path.resolve()
    if not target.parent.is_dir():
        reason = "there is no such folder"
    elif target.exists() and not target.is_file():
        reason = "it is no file"
    else:
        return target
    raise GatecastError(
        f"'{path}' cannot be written: {reason}", "name a file in an existing folder that you may write to"
    )
