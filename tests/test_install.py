"""An install without a C++ compiler: it succeeds, says so in one line, and everything runs on torch.nn."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import torch
from gatecast.nn import GRU, native
from gatecast.nn.spec import parse
from gatecast.nn.stack import Stack
assert native.kernels is None
y, h = GRU(3, 8)(torch.rand(5, 2, 3))
y.sum().backward()
assert Stack(parse("lstm:8x2")[0], 1, 0.1, torch.Generator())(torch.rand(4, 6, 1)).shape == (4, 8)
print(native.describe())
"""


def python(*arguments, **variables):
    """The output of a Python that finds no compiler and nothing that GATECAST_* asks for."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GATECAST_")}
    nowhere = {"PATH": str(Path(sys.executable).parent), "CC": "/no/compiler", "CXX": "/no/compiler"}
    run = [sys.executable, *arguments]
    return subprocess.run(run, env={**clean, **nowhere, **variables}, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_without_a_compiler_the_package_installs_and_trains_on_torch(tmp_path):
    built = python("-m", "pip", "wheel", "-v", "--no-deps", "-w", str(tmp_path), str(ROOT))
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    assert "gatecast: the native kernels were not built" in built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    site = tmp_path / "site"
    placed = python("-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel))
    assert placed.returncode == 0, placed.stderr
    paths = os.pathsep.join([str(site), sysconfig.get_path("purelib")])
    used = python("-S", "-c", USE, PYTHONPATH=paths)  # -S: not the editable install
    assert used.returncode == 0, used.stderr
    assert "torch.nn" in used.stdout and "not built" in used.stdout
    shown = python("-S", "-m", "gatecast.nn", PYTHONPATH=paths)
    assert shown.returncode == 1 and "torch.nn" in shown.stdout, shown.stderr  # 1: no kernels


@pytest.mark.slow
def test_requiring_the_kernels_turns_a_missing_compiler_into_an_error(tmp_path):
    built = python("-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT), GATECAST_REQUIRE_NATIVE="1")
    assert built.returncode != 0
    assert not list(tmp_path.glob("*.whl"))
