"""The server as a process: it ends well when asked to, and loses nothing when it is killed."""

import signal
import sqlite3
import time
from threading import Thread

import numpy as np
import pytest

import gatecast as gc
from server import PATIENCE, Server
from serving import FITTED, as_json, model, rows_of

pytestmark = pytest.mark.slow
KILLS = 4


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return gc.save(model(), tmp_path_factory.mktemp("served") / "model.gatecast")


def steps(answer):
    status, content = answer
    assert status == 200, content
    return [step["value"] for step in content["forecast"]]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_server_that_is_asked_to_end_finishes_its_work(file, tmp_path, sign, code):
    state = tmp_path / "state.sqlite"
    with Server(file, "--db", str(state)) as server:
        assert server.line == f"serving {file} at {server.address}\n"
        assert server.address.startswith("http://127.0.0.1:")
        answers = []
        work = Thread(target=lambda: answers.append(server.observe("long", as_json(0, 199))))
        server.observe("short", as_json(0, 30))
        work.start()
        time.sleep(0.05)
        returned, rest, told = server.end(sign)
        work.join(PATIENCE)
        assert (returned, rest) == (code, "")
        assert "Traceback" not in told and (told == "" if code == 0 else told.startswith("error: interrupted"))
    with sqlite3.connect(state) as left:
        assert left.execute("SELECT count(*) FROM calls").fetchone() == (0,)
        names = [name for (name,) in left.execute("SELECT name FROM series ORDER BY name")]
        assert names == ["long", "short"][: len(names)] or "long" not in names
    left.close()
    if answers:
        assert answers[0][0] == 200 and "long" in names


def test_what_was_acknowledged_before_a_kill_is_there_after_it(file, tmp_path):
    rng = np.random.default_rng(5)
    state, known = str(tmp_path / "state.sqlite"), {}
    for _ in range(KILLS):
        with Server(file, "--db", state, "--empty") as server:
            for name, stop in known.items():
                status, about = server.ask("GET", f"/v1/series/{name}")
                assert status == 200
                there = len(rows_of(0, 200).until(about["last"]).times)
                assert there >= stop
                known[name] = there
                ahead = steps(server.ask("GET", f"/v1/series/{name}/forecast?h=3"))
                once = {"history": as_json(there - 30, there), "h": 3}
                assert ahead == steps(server.ask("POST", "/v1/forecast", once))
                expected = model().predict(3, rows_of(0, there)).mean
                np.testing.assert_allclose(ahead, expected, rtol=1e-9)
            clients = [Thread(target=feed, args=(server, f"s{i}", known)) for i in range(2)]
            for client in clients:
                client.start()
            time.sleep(float(rng.uniform(0.3, 1.5)))
            code, _, told = server.end(signal.SIGKILL)
            assert (code, told) == (-signal.SIGKILL, "")
            for client in clients:
                client.join(PATIENCE)
    assert min(known.values()) > FITTED


def feed(server, name, known):
    """Observe row after row until the server is gone, and keep how many were acknowledged."""
    try:
        while (stop := known.get(name, 0)) < 199:
            begin, end = (stop, stop + 1) if stop else (0, FITTED)
            status, content = server.observe(name, as_json(begin, end))
            assert status == 200, content
            known[name] = end
    except OSError:
        pass
