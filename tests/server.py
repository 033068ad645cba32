"""A server in a process of its own, and a client that speaks to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import gatecast as gc

PATIENCE = 60
"""Seconds that a server may take to start or to end on a busy machine."""


class Server:
    """`gatecast serve` with these options, once it answers."""

    def __init__(self, model: Path, *options: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(gc.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "gatecast", "serve", str(model), "--port", "0", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.line = self.process.stdout.readline()
        assert self.line, self.process.communicate(timeout=PATIENCE)[1]
        self.address = self.line.split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def ask(self, method: str, path: str, body=None, **headers: str):
        """The status and the content of an answer."""
        host = self.address.removeprefix("http://").rstrip("/")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def observe(self, name: str, rows: list):
        """The answer to rows of a series."""
        return self.ask("POST", f"/v1/series/{quote(name, safe='')}/observe", {"rows": rows})

    def end(self, sign: int = signal.SIGTERM):
        """Send a signal: the exit code, and what else was printed and told."""
        self.process.send_signal(sign)
        rest, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest, told
