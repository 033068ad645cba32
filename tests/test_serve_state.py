"""What the server keeps: a state that is the same after a crash, that does not grow, and that belongs to one model."""

import shutil
import socket
import sqlite3
import sys
from threading import Thread

import numpy as np
import pytest

from gatecast.edge.cli import main
from gatecast.edge.serve import auth, run
from gatecast.edge.serve import live as living
from gatecast.edge.serve.schemas import Ask, Rows
from gatecast.edge.serve.settings import LimitError
from gatecast.edge.serve.store import SHOWN, Store
from gatecast.errors import ModelFileError, SpecError
from serving import FITTED, as_json, client, live


def rows(start, stop):
    return Rows.model_validate({"rows": as_json(start, stop)})


def crashed(path, tmp_path):
    """What a crash would leave of a state that is open: the file and its log."""
    copy = tmp_path / f"after-{path.name}"
    for end in ("", "-wal"):
        if path.with_name(path.name + end).exists():
            shutil.copy(path.with_name(path.name + end), copy.with_name(copy.name + end))
    return copy


def everything(series):
    """Every series' newest time, its forecast, its drift and its newest rows."""
    found = {}
    for name in series.names("", 1000)[1]:
        last, count, drift, shown = series.about(name)
        ahead = series.forecast(name, Ask(h=5))[1]
        found[name] = (last, count, str(drift), shown, ahead["ds"].tolist(), ahead[series.model.name].tolist())
    return found


@pytest.mark.parametrize("calls", [3, 1000])
def test_after_a_crash_every_series_forecasts_the_same_bits(tmp_path, monkeypatch, calls):
    monkeypatch.setattr(living, "CALLS", calls)
    rng = np.random.default_rng(calls)
    path = tmp_path / "state.sqlite"
    series = live(path)
    for name in ("a", "b/c", "gone"):
        series.observe(name, rows(10, 60))
    at = {"a": 60, "b/c": 60, "prices": FITTED, "gone": 60}
    for turn in range(20):
        name = str(rng.choice(list(at)))
        step = int(rng.integers(1, 4))
        series.observe(name, rows(at[name] + int(rng.integers(0, 3)), at[name] + 2 + step))
        at[name] += 2 + step
        if turn == 10:
            series.forget("gone")
            del at["gone"]
    after = live(crashed(path, tmp_path))
    assert everything(after) == everything(series) and set(at) == set(everything(after))
    for each in (series, after):
        each.observe("a", rows(at["a"], at["a"] + 1))
    assert everything(after) == everything(series)


def test_what_is_answered_is_on_the_disk_however_many_ask_at_once(tmp_path):
    path, lost = tmp_path / "state.sqlite", []
    series = live(path)
    names = [f"s{i}" for i in range(6)]

    def feed(name):
        series.observe(name, rows(10, 40))
        for at in range(40, 60):
            series.observe(name, rows(at, at + 1))
            lost.append((name, at))

    threads = [Thread(target=feed, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        known = list(lost)
        with sqlite3.connect(crashed(path, tmp_path)) as copy:
            there = dict(copy.execute("SELECT name, rows FROM series"))
        copy.close()
        for name, at in known:
            assert there[name] >= at + 1 - 10
    for thread in threads:
        thread.join()
    assert everything(live(crashed(path, tmp_path))) == everything(series)


def test_a_state_that_cannot_be_written_takes_nothing_in(tmp_path, monkeypatch):
    series = live(tmp_path / "state.sqlite")
    series.observe("a", rows(10, 60))
    before = everything(series)
    with client(series) as asked, monkeypatch.context() as broken:
        broken.setattr(series.store, "write", failing)
        with pytest.raises(LimitError, match="disk is full"):
            series.observe("a", rows(60, 61))
        with pytest.raises(LimitError, match="disk is full"):
            series.observe("b", rows(10, 60))
        assert asked.get("/ready").status_code == 503 and asked.get("/health").status_code == 200
        assert everything(series) == before
        broken.undo()
        assert [row.outcome for row in series.observe("a", rows(60, 61))[2]] == ["new"]
        assert asked.get("/ready").status_code == 200


def failing(*_):
    raise sqlite3.OperationalError("database or disk is full")


def test_while_the_state_cannot_be_read_nothing_is_taken_for_known(tmp_path, monkeypatch):
    """A row that was refused is not on the disk, and is not said to be."""
    path = tmp_path / "state.sqlite"
    series = live(path)
    series.observe("prices", rows(FITTED, FITTED + 3))
    before = everything(series)
    with monkeypatch.context() as broken:
        broken.setattr(series.store, "write", failing)
        broken.setattr(series.store, "calls", failing)
        for ask in (
            lambda: series.observe("prices", rows(FITTED + 3, FITTED + 4)),
            lambda: series.observe("prices", rows(FITTED + 3, FITTED + 4)),
            lambda: series.forecast("prices", Ask(h=1)),
        ):
            with pytest.raises(LimitError, match="disk is full"):
                ask()
    assert everything(series) == before
    assert [row.outcome for row in series.observe("prices", rows(FITTED + 3, FITTED + 4))[2]] == ["new"]
    assert everything(live(crashed(path, tmp_path))) == everything(series)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_where_there_is_no_room_for_a_snapshot_the_calls_are_kept(tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(living, "CALLS", 2)
    path = tmp_path / "state.sqlite"
    series = live(path)
    with monkeypatch.context() as broken:
        broken.setattr(living, "dumped", full)
        for at in range(FITTED, FITTED + 5):
            assert series.observe("prices", rows(at, at + 1))[2][0].outcome == "new"
        assert len(series.store.calls()) == 5 and not series.trouble
        assert everything(live(crashed(path, tmp_path))) == everything(series)
        series.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        series.store.calls()


def test_an_error_of_any_kind_is_told_to_all_whose_rows_it_kept_from_the_disk(tmp_path, monkeypatch):
    series = live(tmp_path / "state.sqlite")
    monkeypatch.setattr(series.store, "write", lambda _: {}["not a failure of the disk"])
    with pytest.raises(LimitError, match="not a failure of the disk"):
        series.observe("prices", rows(FITTED, FITTED + 1))
    monkeypatch.undo()
    assert series.observe("prices", rows(FITTED, FITTED + 1))[2][0].outcome == "new"


DAMAGE = {
    "a call that is no JSON": "UPDATE calls SET content = '{' WHERE number = 2",
    "a call that is missing": "DELETE FROM calls WHERE number = 2",
    "a call of an unknown kind": "UPDATE calls SET kind = 'other' WHERE number = 2",
    "a call without its fields": "UPDATE calls SET content = '{}' WHERE number = 2",
    "a snapshot that is none": "UPDATE snapshot SET content = x'00'",
    "a snapshot that is missing": "DELETE FROM snapshot",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_refused_by_its_name(tmp_path, damage):
    series = live(tmp_path / "state.sqlite")
    for at in range(FITTED, FITTED + 4):
        series.observe("prices", rows(at, at + 1))
    series.store.close()
    with sqlite3.connect(tmp_path / "state.sqlite") as file:
        file.execute(damage)
    file.close()
    with pytest.raises(ModelFileError, match=r"state\.sqlite' is damaged"):
        live(tmp_path / "state.sqlite")


@pytest.mark.parametrize("damage", ["DELETE FROM facts", "DROP TABLE facts"])
def test_a_state_that_names_no_model_is_refused(tmp_path, damage):
    path = tmp_path / "state.sqlite"
    Store(path, "digest").close()
    with sqlite3.connect(path) as file:
        file.execute(damage)
    file.close()
    with pytest.raises((ModelFileError, SpecError), match=r"state\.sqlite"):
        Store(path, "digest")


def test_the_state_does_not_grow_with_the_past(tmp_path, monkeypatch):
    monkeypatch.setattr(living, "CALLS", 10)
    monkeypatch.setattr("gatecast.edge.serve.store.SHOWN", 25)
    path = tmp_path / "state.sqlite"
    series = live(path)
    sizes = []
    for at in range(FITTED, 198):
        series.observe("prices", rows(at, at + 1))
        with sqlite3.connect(crashed(path, tmp_path)) as copy:
            sizes.append([copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("calls", "shown")])
        copy.close()
    assert max(calls for calls, _ in sizes) < 10 and max(shown for _, shown in sizes) == 25
    assert SHOWN > 25


def test_another_models_state_is_refused(tmp_path):
    Store(tmp_path / "state.sqlite", "a" * 64).close()
    Store(tmp_path / "state.sqlite", "a" * 64).close()
    with pytest.raises(ModelFileError, match=f"begins with {'a' * 12}, not {'b' * 12}"):
        Store(tmp_path / "state.sqlite", "b" * 64)


def test_a_foreign_file_is_left_as_it_is(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as theirs:
        theirs.execute("CREATE TABLE calls (x)")
    theirs.close()
    text = tmp_path / "text"
    text.write_text("no database at all, but long enough to be looked at " * 20)
    for path in (other, text):
        before = path.read_bytes()
        with pytest.raises(SpecError, match=r"no state of this release|cannot be used"):
            Store(path, "digest")
        assert path.read_bytes() == before
    with pytest.raises(SpecError, match="cannot be used"):
        Store(tmp_path / "nowhere" / "state", "digest")


def test_one_server_holds_a_state(tmp_path):
    first = Store(tmp_path / "state.sqlite", "digest")
    with pytest.raises(SpecError, match="locked"):
        Store(tmp_path / "state.sqlite", "digest")
    first.close()
    Store(tmp_path / "state.sqlite", "digest").close()
    assert (tmp_path / "state.sqlite").stat().st_mode & 0o077 == 0


def test_without_the_models_own_series_a_server_begins_empty(tmp_path):
    assert live().names("", 10)[1] == ["prices"]
    path = tmp_path / "state.sqlite"
    live(path, empty=True).close()
    assert live(path).names("", 10)[1] == []


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "prometheus_client"])
def test_a_package_that_is_not_installed_names_the_command(package, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["serve", str(tmp_path / "m.gatecast")]) == 2
    assert "pip install 'gatecast[serve]'" in capsys.readouterr().err


TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (TOKEN, 0o640, "others may use"),
        (TOKEN, 0o604, "others may use"),
        ("", 0o600, "is no token"),
        ("short", 0o600, "is no token"),
        ("with a space in between", 0o600, "is no token"),
        ("0123456789abcdef\u00fc", 0o600, "is no token"),
    ],
)
def test_a_token_file_that_keeps_no_secret_is_refused(tmp_path, content, mode, told):
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(SpecError, match=told):
        auth.read_token(path)


def test_a_token_is_the_first_line_of_its_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\nand a note\n")
    path.chmod(0o600)
    assert auth.read_token(path) == TOKEN
    with pytest.raises(SpecError, match="cannot be read"):
        auth.read_token(tmp_path / "nowhere")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_no_other_machine_is_let_in_without_a_token(host, capsys, tmp_path):
    assert main(["serve", str(tmp_path / "m.gatecast"), "--host", host]) == 2
    assert "--token-file" in capsys.readouterr().err


def test_a_file_without_a_model_is_refused(capsys, tmp_path):
    assert main(["serve", str(tmp_path / "m.gatecast")]) == 5
    (tmp_path / "m.gatecast").write_bytes(b"x" * 100)
    assert main(["serve", str(tmp_path / "m.gatecast")]) == 5
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_answers_are_sent_at_once_and_an_address_is_held_by_one(host, shown):
    with run.listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert run.address(listening) == f"http://{shown}:{port}/"
        assert listening.proto == socket.IPPROTO_TCP
        with pytest.raises(OSError, match="in use"):
            run.listen(host, port)
