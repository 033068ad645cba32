"""Writing a file so that readers see the old content or the new one, never a part of it."""

from __future__ import annotations

import os
from pathlib import Path

from gatecast.errors import GatecastError


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` beside `path` and move it into place; raises GatecastError where the folder refuses it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise GatecastError(
            f"'{path}' cannot be written: {reason}", "name a file in an existing folder that you may write to"
        ) from cause
    finally:
        draft.unlink(missing_ok=True)
    return path
