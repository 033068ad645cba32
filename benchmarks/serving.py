"""The server under load, and killed again and again: `python benchmarks/serving.py load` and `... soak --minutes 10`.

`load` prints requests per second and the 50th and 99th percentile of their time, by kind of request and number of
connections. `soak` kills the server at random moments while a client observes, restarts it, and counts what was
acknowledged, what of it was lost, and how many forecasts were compared and differed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
from tables import serving_table

import gatecast as gc

ROWS, HORIZON = 200, 3
"""Rows of history that a series begins with, and steps of a forecast."""
CONNECTIONS = (1, 4, 16)
STARTING = 60.0
"""Seconds that a server may take to start."""


def fitted(folder: Path) -> Path:
    """A model of one daily series that reads 28 rows."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"ds": days(0, 600), "y": 50 + np.cumsum(rng.normal(0, 1, 600))})
    model = gc.Forecaster("gru:32", lookback=28, recipe=gc.Recipe(training=gc.Training(epochs=3)))
    return gc.save(model.fit(frame), folder / "model.gatecast")


def days(start: int, stop: int) -> pd.DatetimeIndex:
    """Days, counted from the first of 2020."""
    return pd.date_range("2020-01-01", periods=stop, freq="D")[start:]


def rows(seed: int, start: int, stop: int) -> list[dict[str, Any]]:
    """Rows of the series of this number, the same whenever they are asked for."""
    noise = np.random.default_rng(seed).normal(0, 1, stop)
    return [
        {"time": str(day.date()), "value": 50 + seed + float(value)}
        for day, value in zip(days(start, stop), np.cumsum(noise)[start:], strict=True)
    ]


class Connection:
    """One client's connection, kept open."""

    def __init__(self, port: int) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the content of an answer."""
        text = None if body is None else json.dumps(body)
        self.http.request(method, path, text, {"Content-Type": "application/json"})
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read())

    def observe(self, name: str, sent: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer to rows that must be taken in."""
        status, content = self.ask("POST", f"/v1/series/{name}/observe", {"rows": sent})
        if status != 200:
            raise SystemExit(f"{status}: {content}")
        return content


def start(model: Path, state: Path) -> tuple[subprocess.Popen[str], int]:
    """A server in a process of its own, and its port, once it answers."""
    command = [sys.executable, "-m", "gatecast", "serve", str(model), "--db", str(state), "--port", "0", "--empty"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, int(line.rstrip("/\n").rpartition(":")[2])


@contextmanager
def serving(model: Path, state: Path) -> Iterator[int]:
    """The port of a server that ends with the block."""
    server, port = start(model, state)
    try:
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(STARTING)


def load(seconds: float = 10.0) -> list[list[Any]]:
    """Kind of request, connections, requests per second, and the 50th and 99th percentile of their milliseconds."""
    found: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder, serving(fitted(Path(folder)), Path(folder) / "state") as port:
        first = Connection(port)
        for number in range(max(CONNECTIONS)):
            first.observe(f"s{number}", rows(number, 0, ROWS))
        at = dict.fromkeys(range(max(CONNECTIONS)), ROWS)
        history = {"history": rows(0, 0, ROWS), "h": HORIZON}

        def observing(client: Connection, number: int) -> int:
            at[number] += 1
            sent = [{"time": str(days(at[number] - 1, at[number])[0].date()), "value": 50.0 + at[number] % 7}]
            return client.ask("POST", f"/v1/series/s{number}/observe", {"rows": sent})[0]

        kinds: dict[str, Callable[[Connection, int], int]] = {
            "observe one row, on the disk": observing,
            f"forecast {HORIZON} steps of a live series": lambda client, number: client.ask(
                "GET", f"/v1/series/s{number}/forecast?h={HORIZON}"
            )[0],
            f"forecast {HORIZON} steps of {ROWS} rows sent along": lambda client, _: client.ask(
                "POST", "/v1/forecast", history
            )[0],
        }
        for name, kind in kinds.items():
            for connections in CONNECTIONS:
                took = measured(kind, port, connections, seconds)
                p50, p99 = np.percentile(took, [50, 99]) * 1000
                found.append([name, connections, len(took) / seconds, p50, p99])
    return found


def measured(kind: Callable[[Connection, int], int], port: int, connections: int, seconds: float) -> list[float]:
    """The seconds that every request took that was sent in so many seconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    def send(number: int) -> None:
        client = Connection(port)
        while (begun := time.perf_counter()) < end:
            if (status := kind(client, number)) != 200:
                raise SystemExit(f"answered {status}")
            took.append(time.perf_counter() - begun)

    threads = [Thread(target=send, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def soak(minutes: float, seed: int) -> None:
    """Kill and restart for so long, and print the counts; ends with an error where something was lost or differs."""
    chance = random.Random(seed)
    counts = dict.fromkeys(("kills", "acknowledged", "lost", "forecasts compared", "forecasts that differ"), 0)
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        model, state = fitted(Path(folder)), Path(folder) / "state.sqlite"
        known: dict[str, int] = {}
        while time.monotonic() < end:
            server, port = start(model, state)
            client = Connection(port)
            for name in known:
                _check(client, name, known, counts, gc.load(model))
            killer = Thread(target=_kill_later, args=(server, chance.uniform(0.05, 3.0)))
            killer.start()
            try:
                while True:
                    number = chance.randrange(20)
                    name = f"s{number}"
                    begun = known.get(name, 0)
                    stop = begun + chance.randint(1, 5) if begun else ROWS
                    client.observe(name, rows(number, max(0, begun - 2) if begun else 0, stop))
                    known[name] = stop
                    counts["acknowledged"] += stop - begun
            except (OSError, http.client.HTTPException):
                killer.join()
            counts["kills"] += 1
    print("".join(f"{name}: {count}\n" for name, count in counts.items()), end="")
    if counts["lost"] or counts["forecasts that differ"]:
        raise SystemExit(1)


def _check(client: Connection, name: str, known: dict[str, int], counts: dict[str, int], model: Any) -> None:
    """Compare a series after a restart with every row that was acknowledged, and its forecast with the model's."""
    status, about = client.ask("GET", f"/v1/series/{name}")
    last = days(0, known[name])[-1]
    if status != 200 or pd.Timestamp(about["last"]) < last:
        counts["lost"] += 1
        return
    stop = len(pd.date_range("2020-01-01", about["last"]))
    known[name] = stop  # a row may have been written whose answer did not arrive
    sent = pd.DataFrame(rows(int(name[1:]), stop - ROWS, stop)).rename(columns={"time": "ds", "value": "y"})
    expected = model.stream(gc.read(sent)).forecast(HORIZON)[model.name].to_numpy()
    _, answer = client.ask("GET", f"/v1/series/{name}/forecast?h={HORIZON}")
    counts["forecasts compared"] += 1
    counts["forecasts that differ"] += [step["value"] for step in answer["forecast"]] != expected.tolist()


def _kill_later(server: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    server.kill()
    server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["load", "soak"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of every line of the table")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.mode == "load":
        print(serving_table(load(asked.seconds)))
    else:
        soak(asked.minutes, asked.seed)
