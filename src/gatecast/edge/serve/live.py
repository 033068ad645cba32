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

from gatecast.edge.save import load, save
from gatecast.edge.serve.rows import Reader, number
from gatecast.edge.serve.schemas import Ask, Row
from gatecast.edge.serve.settings import LimitError, Limits
from gatecast.edge.serve.store import Call, Shown, Store

LONGEST_NAME = 200
"""Characters of a series' name."""
ONCE = "series"
"""What a series is called that is forecast once."""
TURNS = 4
"""Forecasts of such series that are computed at once."""
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
    busy are written together. Where writing fails, the stream is rebuilt from what is on the disk.
    """

    def __init__(self, model: Any, store: Store, limits: Limits, empty: bool = False) -> None:
        self.model, self.store, self.limits = model, store, limits
        self.lock, self.writing, self.pending = Lock(), Lock(), Batch()
        self.turns = BoundedSemaphore(TURNS)
        self.latest: dict[str, str] = {}
        """The digest of the latest request of every live series."""
        self.count = 0
        """Calls since the snapshot."""
        self.trouble = ""
        """What kept the last write from the disk."""
        fitted = model.history_ if hasattr(model, "history_") else model.panel_
        self.reader, self.target = Reader(fitted), fitted.target
        if store.snapshot() is None:
            stream = model.stream()
            for name in stream.ids if empty else ():
                stream.forget(name)
            store.replace(_dumped(stream))
        self._rebuild()

    def names(self, after: str, limit: int) -> tuple[int, list[str], str | None]:
        """How many series are live, the names that follow `after`, and where the next page starts."""
        with self.lock:
            names = self.ordered
        start = bisect_right(names, after) if after else 0
        page = names[start : start + limit]
        return len(names), page, page[-1] if page and start + limit < len(names) else None

    def observe(self, name: str, rows: Sequence[Row]) -> tuple[bool, list[Outcome]]:
        """Take in rows of a series, all or none, and go back when they are on the disk: whether the series is new, and
        what became of every row. The latest request of a series changes nothing when it is sent again."""
        times, values = self.reader.table(rows)
        content = {"series": name, **self.reader.stored(times, values)}
        latest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        with self.lock:
            created = name not in self.latest
            if created:
                check_name(name)
                self.limits.check("series", len(self.ordered) + 1, 409)
            if not created and self.latest[name] == latest:
                seen = [Outcome("known")] * len(rows)
            else:
                kind = "begin" if created else "observe"
                seen = self._apply(kind, content)
                shown = _shown(content, seen)
                if shown:
                    self._note(Call(kind, content, name, shown, latest))
            batch = self.pending
        self._settle(batch)
        return created, seen

    def forecast(self, name: str, ask: Ask) -> tuple[Any, Any]:
        """The newest time of a series, and what follows it as a frame."""
        with self.lock:
            self._known(name)
            ahead = self.reader.ahead(name, ask.ahead)
            return self.stream.last(name), self.stream.forecast(ask.h, series=name, level=ask.level, futr_df=ahead)

    def forecast_once(self, history: Sequence[Row], ask: Ask) -> tuple[Any, Any]:
        """The newest time of rows that belong to no live series, and what follows them as a frame."""
        times, values = self.reader.table(history)
        with self.turns:
            stream = self.model.stream(self.reader.panel(ONCE, times, values))
            ahead = self.reader.ahead(ONCE, ask.ahead)
            return times[-1], stream.forecast(ask.h, level=ask.level, futr_df=ahead)

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
            self._apply("forget", {"series": name})
            self._note(Call("forget", {"series": name}, name))
            batch = self.pending
        self._settle(batch)

    def close(self) -> None:
        """Take a snapshot for the next start, where the disk has room for it, and let go of the store."""
        with self.writing:
            with suppress(sqlite3.Error):
                self._compact()
            self.store.close()

    def _known(self, name: str) -> None:
        if name not in self.latest:
            raise LimitError(f"no series '{name[:LONGEST_NAME]}' is live", "GET /v1/series lists those that are", 404)

    def _apply(self, kind: str, content: dict[str, Any]) -> list[Outcome]:
        """Change the stream; what became of every row."""
        name = content["series"]
        if kind == "forget":
            self.stream.forget(name)
            return []
        times, values = self.reader.restored(content)
        if kind == "begin":
            self.stream.begin(self.reader.panel(name, times, values))
            return [Outcome("missing" if math.isnan(value) else "new") for value in values[:, 0]]
        seen = self.stream.observe_many(self.reader.frame(name, times, values))
        return [Outcome(each.outcome, number(each.forecast), number(each.naive)) for each in seen]

    def _note(self, call: Call) -> None:
        """Keep a call that the stream has taken in, to be written."""
        self.pending.calls.append(call)
        if call.kind == "forget":
            del self.latest[call.series]
        else:
            self.latest[call.series] = call.latest
        if call.kind != "observe":
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
            if batch.calls:
                self.store.write(batch.calls)
                self.count, self.trouble = self.count + len(batch.calls), ""
            batch.done = True
            if self.count >= max(CALLS, len(self.latest)):
                self._compact()
        except sqlite3.Error as cause:
            with self.lock:
                batch.error = self.pending.error = cause
                self.trouble, self.pending = str(cause), Batch()
                self._rebuild()

    def _compact(self) -> None:
        """Take a snapshot in place of the calls, those included that wait to be written."""
        with self.lock:
            self.store.write(self.pending.calls)
            self.pending.done, self.pending = True, Batch()
            self.store.replace(_dumped(self.stream))
            self.count = 0

    def _rebuild(self) -> None:
        """The stream from the store."""
        self.stream = _restored(self.store.snapshot())
        calls = self.store.calls()
        for kind, content in calls:
            self._apply(kind, content)
        self.count = len(calls)
        self.latest = {name: self.store.about(name)[1] for name in self.stream.ids}
        self.ordered = sorted(self.latest)


def _shown(content: dict[str, Any], seen: Sequence[Outcome]) -> list[Shown]:
    """The rows that are new, as they are shown."""
    rows = zip(content["at"], content["values"], seen, strict=True)
    return [Shown(at, row[0], each.forecast, each.naive) for at, row, each in rows if each.outcome != "known"]


def check_name(name: str) -> None:
    """Raise LimitError for a name that no address can hold or no page can show."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name in (".", ".."):
        hint = f"expected 1 to {LONGEST_NAME} printable characters, other than '.' and '..'"
        raise LimitError(f"'{name[:LONGEST_NAME]}' cannot be the name of a series", hint, 422)


def _dumped(stream: Any) -> bytes:
    """A stream as the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        return save(stream, Path(folder) / "stream").read_bytes()


def _restored(content: bytes | None) -> Any:
    """The stream of these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream"
        path.write_bytes(content or b"")
        return load(path)
