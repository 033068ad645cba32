"""Progress and Ctrl-C without a terminal or a process; and the leaderboard on a narrow terminal."""

import io
import sys
import threading
from dataclasses import replace

import pytest
from rich.console import Console
from rich.progress import Progress

import boards
from gatecast.edge import console, progress
from gatecast.edge.progress import Bars, Follower, Lines, Uncut
from gatecast.train.loop import LossCurve, Memory, State


class Record:
    """A display that writes down what it is told."""

    def __init__(self):
        self.told = []

    def begin(self, work):
        self.told.append(("begin", work.name, work.networks))

    def epoch(self, work, curve):
        self.told.append(("epoch", work.done, work.total))

    def end(self, work):
        self.told.append(("end", work.name, work.done))

    def say(self, line):
        self.told.append(("say", line))


def curve(epochs, ending=""):
    return LossCurve("n", (0.5,) * epochs, (), epochs, ending)


def test_a_model_is_one_piece_of_work_over_all_its_seeds():
    display = Record()
    follower = Follower(display, seeds=2)
    follower.begin("gru", 1)
    follower.epoch(curve(1), 10)
    follower.begin("gru", 1)
    follower.epoch(curve(2, "early"), 10)
    follower.epoch(curve(1), 10)
    follower.epoch(curve(2, "early"), 10)
    follower.begin("gru", 1)  # the same model on the next series
    follower.close()
    assert display.told == [
        ("begin", "gru", 2),
        ("epoch", 1, 20),
        ("epoch", 10, 20),
        ("epoch", 11, 20),
        ("epoch", 20, 20),
        ("end", "gru", 20),
        ("begin", "gru", 2),
        ("end", "gru", 0),
    ]


def test_networks_may_report_from_many_threads_at_once():
    display = Record()
    follower = Follower(display)
    follower.begin("gru", 8)

    def network():
        for epoch in range(1, 101):
            follower.epoch(curve(epoch, "done" if epoch == 100 else ""), 100)

    threads = [threading.Thread(target=network) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [told[1] for told in display.told if told[0] == "epoch"]
    assert done == list(range(1, 801))
    assert display.told[-1] == ("end", "gru", 800)


def test_the_first_interrupt_ends_one_model_and_the_second_the_run():
    display = Record()
    follower = Follower(display, seeds=2)
    follower.begin("gru", 1)
    assert not follower.stopped()
    follower.interrupt(2, None)
    assert follower.stopped() and follower.stopped()
    follower.begin("gru", 1)
    assert follower.stopped(), "another seed of the same model ends too"
    assert sum("best weights" in told[1] for told in display.told) == 1
    follower.begin("lstm", 1)
    assert not follower.stopped()
    with pytest.raises(KeyboardInterrupt):
        follower.interrupt(2, None)
    with pytest.raises(KeyboardInterrupt):
        follower.stopped()


def test_an_interrupt_while_nothing_trains_ends_the_run():
    follower = Follower(Record())
    with pytest.raises(KeyboardInterrupt):
        follower.interrupt(2, None)
    follower = Follower(Record())
    follower.begin("gru", 1)
    follower.epoch(curve(1, "done"), 1)
    with pytest.raises(KeyboardInterrupt):
        follower.interrupt(2, None)


def test_a_network_that_was_cut_short_is_not_kept_as_finished():
    follower, memory = Follower(Record()), Memory()
    store = Uncut(memory, follower)
    follower.begin("gru", 1)
    store.write("whole", State({}, curve(3, "all"), finished=True))
    follower.interrupt(2, None)
    store.write("cut", State({}, curve(3, "by hand"), finished=True))
    assert store.read("whole") is not None and store.read("cut") is None


def test_lines_say_how_far_it_is_every_ten_seconds(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    follower = Follower(Lines())
    follower.begin("a\x1bb", 1)
    for epoch in range(1, 5):
        now[0] += 6
        follower.epoch(curve(epoch, "done" if epoch == 4 else ""), 4)
    assert capsys.readouterr().err.splitlines() == [
        "a\\x1bb: training 1 network",
        "a\\x1bb: 2 of at most 4 epochs, loss 0.5, about 12 s left",
        "a\\x1bb: trained in 24.0 s",
    ]
    quiet = Follower(Lines(quiet=True))
    quiet.begin("a", 1)
    quiet.epoch(curve(1, "done"), 1)
    assert capsys.readouterr().err == ""


def test_bars_fill_and_show_names_as_they_are():
    screen = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    bars = Progress(*Progress.get_default_columns(), console=screen, auto_refresh=False)
    follower = Follower(Bars(bars))
    follower.begin("gru", 2)
    follower.epoch(curve(5), 10)
    assert (bars.tasks[0].completed, bars.tasks[0].total) == (5, 20)
    follower.begin("lstm", 1)
    assert [task.description for task in bars.tasks] == ["gru", "lstm"]
    assert bars.tasks[0].finished and not bars.tasks[1].finished


def test_a_narrow_terminal_gets_fewer_columns_and_is_told(monkeypatch, capsys):
    board = boards.board()
    console.print_board(board, heading=True)
    wide = capsys.readouterr().out.splitlines()
    assert wide[1] == board.series
    assert all(heading in wide[3] for heading in console.COLUMNS)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in {"COLUMNS": "80", "LINES": "25", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    console.print_board(board, heading=False)
    narrow = capsys.readouterr().out.splitlines()
    assert "sMAPE" not in narrow[1] and "free-run RMSE" in narrow[1]
    table = narrow[2 : 2 + len(board.rows)]
    assert [line.split()[0] for line in table] == [row.name for row in board.rows]
    assert all(len(line) <= 80 for line in table)
    assert narrow[2 + len(board.rows)].startswith("narrow terminal: sMAPE")


def test_names_and_sentences_cannot_send_control_characters(capsys):
    board = boards.board()
    row = replace(board.rows[0], name="[bold]:smile:\x1b[2J", verdict="good\x07")
    console.print_board(replace(board, rows=(row,)), heading=False)
    text = capsys.readouterr().out
    assert text.count("[bold]:smile:\\x1b[2J") == 2 and "good\\x07" in text
    assert "\x1b" not in text and "\x07" not in text
