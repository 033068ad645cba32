"""The live series: a stream in memory, and the store that it can be rebuilt from."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, NamedTuple

import numpy as np

from gatecast.data.calendar import Times
from gatecast.data.panel import Panel
from gatecast.edge.save import dumped, load
from gatecast.edge.serve.rows import Reader, known_rows, number
from gatecast.edge.serve.schemas import Ask, AskOnce, Rows
from gatecast.edge.serve.settings import LimitError, Limits
from gatecast.edge.serve.store import Call, Shown, Store
from gatecast.errors import DataError, GatecastError, ModelFileError
from gatecast.forecast.streams.core import Columns
from gatecast.forecast.streams.opening import empty_stream
from gatecast.forecast.streams.stream import Stream

LONGEST_NAME = 200
"""Characters of a series' name."""
ONCE = "series"
"""What a series is called that is forecast once."""
TURNS = 4
"""Forecasts of such series that are computed at once."""
BEFORE = 60
"""Newest rows of the model's own series that are there to be shown from the start."""
REASONS = (GatecastError, sqlite3.Error, OSError, ValueError, LookupError, TypeError)
"""Why a state cannot be read."""
CALLS = 5_000
"""Calls after which a new snapshot is taken, or as many as there are series."""


class Outcome(NamedTuple):
    """What became of a row, and what was forecast for it one step before."""

    outcome: str
    forecast: float | None = None
    naive: float | None = None


@dataclass(eq=False)
class Batch:
    """Calls that the stream has taken in and that are written together."""

    calls: list[Call] = field(default_factory=list)
    done: bool = False
    error: Exception | None = None


class Live:
    """Series that are observed and forecast by name, one at a time; safe to be called from many threads.

    A call is first taken in by the stream, which refuses it or not, then written; those that wait while the disk is
    busy are written together. Where writing fails, the stream is rebuilt from what is on the disk, and where that
    fails too, everything is refused until it succeeds.
    """

    def __init__(self, model: Any, store: Store, limits: Limits, empty: bool = False) -> None:
        self.model, self.store, self.limits = model, store, limits
        self.lock, self.writing, self.pending = Lock(), Lock(), Batch()
        self.stream: Any = None
        """The `Stream`; none while the state cannot be read."""
        self.ordered: list[str] = []
        self.turns = BoundedSemaphore(TURNS)
        self.latest: dict[str, str] = {}
        """The digest of the latest request of every live series."""
        self.count = 0
        """Calls since the snapshot."""
        self.trouble = ""
        """What kept the last write from the disk."""
        self.reader = Reader(model, limits.rows)
        if store.is_new():
            stream = empty_stream(model) if empty else model.stream()
            store.begin(dumped(stream), {} if empty else _past(known_rows(model)))
        try:
            self._rebuild()
        except REASONS as cause:
            raise ModelFileError(
                f"the state in '{store.name}' is damaged: {cause}", "restore it from a copy, or name another file"
            ) from cause

    def names(self, after: str, limit: int) -> tuple[int, list[str], str | None]:
        """How many series are live, the names that follow `after`, and where the next page starts."""
        with self.lock:
            names = self.ordered
        start = bisect_right(names, after) if after else 0
        page = names[start : start + limit]
        return len(names), page, page[-1] if page and start + limit < len(names) else None

    def observe(self, name: str, sent: Rows) -> tuple[bool, Times, list[Outcome]]:
        """Take in rows of a series, all or none, and go back when they are on the disk: whether the series is new, and
        what became of every row. The latest request of a series changes nothing when it is sent again."""
        times, values = self.reader.table(sent.rows)
        content = {"series": name, **self.reader.stored(times, values), "static": sent.static}
        latest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        with self.lock:
            self._whole()
            created = name not in self.latest
            if created:
                check_name(name)
                self.limits.check("series", len(self.ordered) + 1, 409)
            if not created and self.latest[name] == latest:
                seen = [Outcome("known")] * len(times)
            elif sent.static and not created:
                raise DataError(f"series '{name}' is live, and keeps the facts it began with", "leave `static` out")
            else:
                kind = "begin" if created else "observe"
                seen = self._apply(self.stream, kind, content)
                shown = _shown(content, seen)
                if shown:
                    self._note(Call(kind, content, name, shown, latest))
            batch = self.pending
        self._settle(batch)
        return created, times, seen

    def forecast(self, name: str, ask: Ask) -> tuple[Any, Columns]:
        """The newest time of a series, and the columns of what follows it.

        Where columns are known ahead, the next row is compared with the latest forecast: that call is kept.
        """
        ahead = self.reader.ahead(ask.ahead)
        with self.lock:
            self._known(name)
            found = self.stream.ahead(ask.h, name, (ask.level, ()), self._frame(name, ahead))
            last, batch = self.stream.last(name), self.pending
            if ahead:
                content = {"series": name, "h": ask.h, **self.reader.stored(*ahead)}
                self._note(Call("forecast", content, name, latest=self.latest[name]))
        if ahead:
            self._settle(batch)
        return last, found

    def forecast_once(self, ask: AskOnce) -> tuple[Any, Columns]:
        """The newest time of rows that belong to no live series, and the columns of what follows them."""
        times, values = self.reader.table(ask.history)
        ahead, static = self.reader.ahead(ask.ahead), self.reader.static(ONCE, ask.static)
        with self.turns:
            stream = empty_stream(self.model).begin(self.reader.panel(ONCE, times, values), static_df=static)
            return times[-1], stream.ahead(ask.h, ONCE, (ask.level, ()), self._frame(ONCE, ahead))

    def about(self, name: str) -> tuple[Any, int, Any, list[Shown]]:
        """The newest time of a series, how many rows came in, its drift, and its newest rows."""
        with self.lock:
            self._known(name)
            last, drift = self.stream.last(name), self.stream.drift(name)
        return last, self.store.about(name)[0], drift, self.store.shown(name)

    def forget(self, name: str) -> None:
        """Drop a series."""
        with self.lock:
            self._known(name)
            self._apply(self.stream, "forget", {"series": name})
            self._note(Call("forget", {"series": name}, name))
            batch = self.pending
        self._settle(batch)

    def close(self) -> None:
        """Take a snapshot for the next start, where the disk has room for it, and let go of the store."""
        with self.writing:
            self._compact()
            self.store.close()

    def _whole(self) -> None:
        """Rebuild the stream where the last try failed; LimitError where it fails again."""
        try:
            if self.stream is None:
                self._rebuild()
        except REASONS as cause:
            raise LimitError(f"the state cannot be read: {cause}", "look at the disk of the server", 503) from cause

    def _known(self, name: str) -> None:
        self._whole()
        if name not in self.latest:
            raise LimitError(f"no series '{name[:LONGEST_NAME]}' is live", "GET /v1/series lists those that are", 404)

    def _apply(self, stream: Stream, kind: str, content: dict[str, Any]) -> list[Outcome]:
        """Change a stream; what became of every row."""
        name = content["series"]
        if kind == "forget":
            stream.forget(name)
            return []
        times, values = self.reader.restored(content)
        if kind == "forecast":
            stream.ahead(content["h"], name, futr_df=self._frame(name, (times, values)))
            return []
        if kind == "begin":
            static = self.reader.static(name, content["static"])
            stream.begin(self.reader.panel(name, times, values), static_df=static)
            return [Outcome("missing" if math.isnan(value) else "new") for value in values[:, 0]]
        seen = stream.observe_many(self.reader.frame(name, times, values))
        return [Outcome(each.outcome, number(each.forecast), number(each.naive)) for each in seen]

    def _frame(self, name: str, ahead: tuple[Times, Any] | None) -> Any:
        return ahead and self.reader.frame(name, *ahead)

    def _note(self, call: Call) -> None:
        """Keep a call that the stream has taken in, to be written."""
        self.pending.calls.append(call)
        if call.kind == "forget":
            del self.latest[call.series]
        else:
            self.latest[call.series] = call.latest
        if call.kind in ("begin", "forget"):
            self.ordered = sorted(self.latest)

    def _settle(self, batch: Batch) -> None:
        """Go back when a batch is on the disk; whoever comes first writes it for all."""
        with self.writing:
            if not batch.done and batch.error is None:
                self._write()
            if batch.error is not None:
                hint = "make room for it, and send the rows again"
                raise LimitError(f"the state cannot be written: {batch.error}", hint, 503)

    def _write(self) -> None:
        """Write the pending calls; rebuild the stream without them where that fails."""
        with self.lock:
            batch, self.pending = self.pending, Batch()
        try:
            self.store.write(batch.calls)
        except Exception as cause:  # whatever it is: those who wait must not take the rows for written
            with self.lock:
                batch.error = self.pending.error = cause
                self.trouble, self.pending, self.stream = str(cause), Batch(), None
                with suppress(*REASONS):
                    self._rebuild()
            return
        batch.done, self.trouble = True, ""
        self.count += len(batch.calls)
        if self.count >= max(CALLS, len(self.latest)):
            self._compact()

    def _compact(self) -> None:
        """Take a snapshot in place of the calls, with those that wait to be written; where there is no room for it,
        all stays as it is until the next time."""
        self.count = 0
        with self.lock, suppress(sqlite3.Error, OSError):
            if self.stream is not None:
                self.store.replace(dumped(self.stream), self.pending.calls)
                self.pending.done, self.pending = True, Batch()

    def _rebuild(self) -> None:
        """The stream from the store; there is none where that fails."""
        self.stream = None
        stream, calls = _restored(self.store.snapshot()), self.store.calls()
        for kind, content in calls:
            self._apply(stream, kind, content)
        self.latest = {name: self.store.about(name)[1] for name in stream.ids}
        self.ordered, self.count, self.stream = sorted(self.latest), len(calls), stream


def _shown(content: dict[str, Any], seen: Sequence[Outcome]) -> list[Shown]:
    """The rows that are new, as they are shown."""
    rows = zip(content["at"], content["values"], seen, strict=True)
    return [Shown(at, row[0], each.forecast, each.naive) for at, row, each in rows if each.outcome != "known"]


def check_name(name: str) -> None:
    """Raise LimitError for a name that no address can hold or no page can show."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name in (".", ".."):
        hint = f"expected 1 to {LONGEST_NAME} printable characters, other than '.' and '..'"
        raise LimitError(f"'{name[:LONGEST_NAME]}' cannot be the name of a series", hint, 422)


def _past(panel: Panel) -> dict[str, list[Shown]]:
    """The newest rows of every series that a model was fitted to, as they are shown."""
    newest = ((name, panel.series(name)) for name in panel.ids)
    return {
        name: [
            Shown(at, number(value), None, None)
            for at, value in zip(rows.times[-BEFORE:].astype(np.int64).tolist(), rows.values[-BEFORE:, 0], strict=True)
        ]
        for name, rows in newest
    }


def _restored(content: bytes) -> Stream:
    """The stream of these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream"
        path.write_bytes(content)
        stream: Stream = load(path)
        return stream
