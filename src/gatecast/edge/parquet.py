"""Parquet files of panels and of their forecasts, written piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gatecast.data.panel import Panel
from gatecast.data.read import read
from gatecast.data.store import ParquetPanel, together
from gatecast.errors import ForecastError, GatecastError
from gatecast.forecast.panels.method import GlobalMethod
from gatecast.show.files import writable

GROUP_ROWS = 16_384
"""Rows of a row group: small, because a few series are read by reading one."""
CHUNK_ROWS = 100_000
"""Rows, about, of the series that are forecast at once."""


def write_parquet(pieces: Iterable[Any], path: str | Path) -> Path:
    """Write panels or long frames, one after another, to one file of `unique_id, ds, y` as `fit_large` reads it.

    Each piece holds whole series, and is forgotten before the next is asked for. Raises DataError for a piece that
    cannot be read.

    >>> import tempfile, gatecast as gc
    >>> from gatecast.data.synthetic import sine
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gc.ParquetPanel(gc.write_parquet([sine(60)], f"{folder}/part-0.parquet")).rows
    60
    """
    return _write(map(_table, pieces), Path(path))


def forecast_parquet(
    model: GlobalMethod, data: str | Path, path: str | Path, h: int | None, bounds: Mapping[str, Sequence[float | int]]
) -> Path:
    """Forecast all series of a panel on disk, some at a time, into one Parquet file; `bounds`: level or quantiles."""
    if model.covariates.past or model.covariates.future or model.static_.facts:
        raise ForecastError(
            "the model reads more than the target, and a panel on disk has nothing else", "give a single file"
        )
    frames = (model.predict(panel, h=h, **bounds) for panel in _chunks(ParquetPanel(data), model))
    return _write((pa.Table.from_pandas(frame, preserve_index=False) for frame in frames), Path(path))


def _chunks(store: ParquetPanel, model: GlobalMethod) -> Iterator[Panel]:
    """All series in their order, some at a time."""
    waiting, rows, calendar = [], 0, model.panel_.calendar
    for block in store.blocks():
        waiting.append(block)
        rows += len(block.values)
        if rows >= CHUNK_ROWS:
            yield together(waiting).panel(store.source, calendar)
            waiting, rows = [], 0
    if waiting:
        yield together(waiting).panel(store.source, calendar)


def _table(piece: Any) -> pa.Table:
    panel = piece if isinstance(piece, Panel) else read(piece, fill="last")
    ids = np.repeat(np.array(panel.ids, dtype=object), np.diff(panel.indptr))
    return pa.table({"unique_id": pa.array(ids, pa.string()), "ds": panel.times, "y": panel.values[:, 0]})


def _write(tables: Iterable[pa.Table], path: Path) -> Path:
    """Write tables of the same columns beside `path`, and move the whole into place."""
    target = writable(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    writer = None
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(draft, table.schema, use_dictionary=["unique_id", "ds"])
            writer.write_table(table, row_group_size=GROUP_ROWS)
        if writer is None:
            raise GatecastError(f"'{path}' is not written: there are no series", "give at least one")
        writer.close()
        draft.replace(target)
    except OSError as cause:
        raise GatecastError(
            f"'{path}' cannot be written: {cause.strerror or cause}", "name a file in an existing folder"
        ) from cause
    finally:
        if writer is not None:
            writer.close()
        draft.unlink(missing_ok=True)
    return path
