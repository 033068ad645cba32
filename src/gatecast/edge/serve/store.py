"""What is live, in one SQLite file: a snapshot of the stream, the calls that came after it, and rows to show.

A call that is written is on the disk (WAL, synchronous=FULL) before it is answered. The snapshot and the calls after it
give the stream again, the same calls in the same order: to the bit. A new snapshot takes the place of both in one
transaction, so the file does not grow with the past. One process holds the file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from gatecast.errors import ModelFileError, SpecError

FORMAT = 1
KINDS = ("begin", "observe", "forecast", "forget")
"""The changes of a stream."""
APPLICATION = 0x67617465
"""Marks the file as ours: "gate"."""
SHOWN = 300
"""Newest rows of a series that are kept to be shown."""
TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshot (only INTEGER PRIMARY KEY CHECK (only = 0), content BLOB NOT NULL);
CREATE TABLE calls (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE series (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, latest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE shown (
  series TEXT, at INTEGER, value REAL, forecast REAL, naive REAL, PRIMARY KEY (series, at)
) WITHOUT ROWID;
"""


def digest_of(path: Path) -> str:
    """The sha256 of a model file; ModelFileError where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise ModelFileError(f"'{path}' cannot be read: {cause.strerror}", "check the path") from cause


class Shown(NamedTuple):
    """A row as it is shown: its time as a whole number, the target, and the two forecasts made before it."""

    at: int
    value: float | None
    forecast: float | None
    naive: float | None


class Call(NamedTuple):
    """A change of the stream: its kind, its arguments as JSON, and, by series, what the change leaves to be shown.

    `latest` is the digest of the request, by which a second one like it is known.
    """

    kind: str
    content: Any
    series: str
    rows: Sequence[Shown] = ()
    latest: str = ""


class Store:
    """The file, or memory where there is no path. Raises SpecError where it cannot be used, ModelFileError where it
    belongs to another model."""

    def __init__(self, path: Path | None, digest: str) -> None:
        self.lock = Lock()
        self.name = ":memory:" if path is None else str(path.absolute())
        try:
            if path is not None:
                path.touch(mode=0o600)
            self.connection = sqlite3.connect(self.name, timeout=0, isolation_level=None, check_same_thread=False)
            self._open(digest)
        except (sqlite3.Error, OSError) as cause:
            hint = "name a whole file that you may write to, and that no other server holds"
            raise SpecError(f"the state in '{self.name}' cannot be used: {cause}", hint) from cause

    def is_new(self) -> bool:
        """Whether nothing was ever kept here."""
        return not any(self._one(f"SELECT count(*) FROM {table}")[0] for table in ("snapshot", "calls", "series"))

    def begin(self, snapshot: bytes, past: dict[str, list[Shown]]) -> None:
        """The first snapshot, and rows of its series to be shown."""
        with self.lock, self._transaction():
            self._put(snapshot)
            for name, rows in past.items():
                self._show(name, rows)

    def write(self, calls: Sequence[Call]) -> None:
        """Put calls on the disk, all or none; raises sqlite3.Error where that fails."""
        with self.lock, self._transaction():
            self._add(calls)

    def replace(self, snapshot: bytes, calls: Sequence[Call]) -> None:
        """Put a snapshot, in which these calls are taken in, in the place of the one before and of every call."""
        with self.lock, self._transaction():
            self._add(calls)
            self._put(snapshot)

    def snapshot(self) -> bytes:
        """The stream as it was."""
        row = self._one("SELECT content FROM snapshot")
        if row is None:
            raise ValueError("there is no snapshot")
        return bytes(row[0])

    def calls(self) -> list[tuple[str, Any]]:
        """What came after the snapshot, in order: kinds and arguments; ValueError where one is missing or unknown."""
        with self.lock:
            found = self.connection.execute("SELECT number, kind, content FROM calls ORDER BY number").fetchall()
        stray = next((n for n, (number, kind, _) in enumerate(found, 1) if number != n or kind not in KINDS), None)
        if stray is not None:
            raise ValueError(f"call {stray} is missing, or unknown")
        return [(kind, json.loads(content)) for _, kind, content in found]

    def shown(self, series: str) -> list[Shown]:
        """The newest rows of a series, in order of time."""
        with self.lock:
            found = self.connection.execute(
                "SELECT at, value, forecast, naive FROM shown WHERE series = ? ORDER BY at", (series,)
            ).fetchall()
        return [Shown(*row) for row in found]

    def about(self, series: str) -> tuple[int, str]:
        """How many rows of a series came in, and the digest of the latest request that brought some."""
        return self._one("SELECT rows, latest FROM series WHERE name = ?", series) or (0, "")

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self.connection.close()

    def _add(self, calls: Sequence[Call]) -> None:
        run = self.connection.execute
        for call in calls:
            run("INSERT INTO calls (kind, content) VALUES (?, ?)", (call.kind, json.dumps(call.content)))
            if call.kind == "forget":
                run("DELETE FROM series WHERE name = ?", (call.series,))
                run("DELETE FROM shown WHERE series = ?", (call.series,))
                continue
            run(
                "INSERT INTO series VALUES (?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET rows = rows + excluded.rows, latest = excluded.latest",
                (call.series, len(call.rows), call.latest),
            )
            self._show(call.series, call.rows[-SHOWN:])
            run(
                "DELETE FROM shown WHERE series = ?1 AND at <= "
                "(SELECT at FROM shown WHERE series = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)",
                (call.series, SHOWN),
            )

    def _show(self, series: str, rows: Sequence[Shown]) -> None:
        values = ((series, *row) for row in rows)
        self.connection.executemany("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?, ?)", values)

    def _put(self, snapshot: bytes) -> None:
        self.connection.execute("INSERT OR REPLACE INTO snapshot VALUES (0, ?)", (snapshot,))
        self.connection.execute("DELETE FROM calls")

    def _one(self, query: str, *values: Any) -> Any:
        with self.lock:
            return self.connection.execute(query, values).fetchone()

    def _transaction(self) -> _Transaction:
        return _Transaction(self.connection)

    def _open(self, digest: str) -> None:
        run = self.connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        mark, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (mark, version) != (APPLICATION, FORMAT) and (mark or version or tables):
            raise SpecError(f"'{self.name}' is no state of this release of Gatecast", "name another file")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        with self._transaction():
            if not tables:
                for statement in TABLES.split(";"):
                    run(statement)
                run(f"PRAGMA application_id={APPLICATION}")
                run(f"PRAGMA user_version={FORMAT}")
                run("INSERT INTO facts VALUES ('model', ?)", (digest,))
        (known,) = run("SELECT value FROM facts WHERE name = 'model'").fetchone() or ("nothing",)
        if known != digest:
            raise ModelFileError(
                f"the state in '{self.name}' belongs to another model: its sha256 begins with {known[:12]}, not "
                f"{digest[:12]}",
                "serve that model, or name another file for the state of this one",
            )


class _Transaction:
    """BEGIN IMMEDIATE and COMMIT around a block, ROLLBACK where it fails."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        try:
            self.connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if kind is None:
                raise
