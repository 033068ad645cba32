"""The law table of the native kernels under every instruction set that this processor has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatecast.nn import native

LAWS = [Path(__file__).parent / name for name in ("test_kernels.py", "test_kernel_dropout.py")]
ISAS = native.kernels.available_isas()
SECONDS = 1500


def forced(isa: str, *command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"GATECAST_ISA": isa}
    run = [sys.executable, *command]
    return subprocess.run(run, env=environment, capture_output=True, text=True, timeout=SECONDS, cwd=LAWS[0].parents[2])


def holds(isa: str, marked: str) -> None:
    done = forced(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marked, *map(str, LAWS))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.parametrize("isa", ISAS)
def test_the_instruction_set_in_use_is_the_forced_one(isa):
    done = forced(isa, "-c", "from gatecast.nn import native; print(native.isa())")
    assert done.stdout.split() == [isa], done.stderr


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa in ("avx2", "baseline")])
def test_the_thinned_table_holds_under(isa):
    holds(isa, "not slow")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("isa", ISAS)
def test_the_whole_table_holds_under(isa):
    holds(isa, "slow")


@pytest.mark.parametrize("isa", ["avx1024", "AVX2"])
def test_an_unknown_instruction_set_is_an_error_that_names_the_choices(isa):
    done = forced(isa, "-c", "from gatecast.nn import native; native.isa()")
    error = f"gatecast.errors.GatecastError: GATECAST_ISA={isa} cannot run here; expected one of {', '.join(ISAS)}"
    assert error in done.stderr and "hint: unset GATECAST_ISA" in done.stderr


@pytest.mark.parametrize("use", ["LSTM(1, 2)(torch.zeros(1, 32, 1))", "LSTM(1, 2).stream()", "native.describe()"])
def test_an_unknown_instruction_set_is_the_same_error_wherever_it_is_met(use):
    done = forced("avx1024", "-c", f"import torch\nfrom gatecast.nn import native\nfrom gatecast.nn import LSTM\n{use}")
    assert "gatecast.errors.GatecastError: GATECAST_ISA=avx1024 cannot run here" in done.stderr
