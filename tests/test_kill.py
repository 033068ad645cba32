"""A run that was killed with SIGKILL and resumed equals one that was not, byte for byte."""

import signal
import subprocess
import sys
import time

import pytest

from gatecast.edge.checkpoints import Checkpoints
from gatecast.edge.cli import main
from gatecast.edge.container import read

OPTIONS = ["run", "sine", "--model", "lstm:8-gru:6", "--lookback", "12", "--epochs", "30", "--patience", "0"]
OPTIONS += ["--dropout", "0.2", "--seeds", "2", "--threads", "1", "--quiet"]
PATIENCE = 120


def epochs_written(folder):
    """Epochs of the furthest checkpoint (a file that is being replaced is whole before or after)."""
    return max((len(read(path, "checkpoint")[1]["curve"]["train"]) for path in folder.glob("*.checkpoint")), default=0)


def test_what_a_process_that_was_killed_while_it_wrote_left_behind_is_cleared(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".abc.checkpoint.123.part").write_bytes(b"")
    (folder / "abc.checkpoint").write_bytes(b"")
    Checkpoints(folder).clear()
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 11])
def test_killed_and_resumed_equals_uninterrupted(after, tmp_path, capsys):
    assert main([*OPTIONS, "-o", str(tmp_path / "whole")]) == 0
    cut = tmp_path / "cut"
    victim = subprocess.Popen([sys.executable, "-m", "gatecast", *OPTIONS, "-o", str(cut)], stdout=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while epochs_written(cut / "checkpoints") < after:
        assert time.monotonic() < end and victim.poll() is None
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(PATIENCE) == -signal.SIGKILL
    assert not (cut / "forecasts.csv").exists()
    assert main([*OPTIONS, "-o", str(cut), "--resume"]) == 0
    for name in ("forecasts.csv", "models/lstm-8-gru-6.gatecast"):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (cut / "checkpoints").exists()
