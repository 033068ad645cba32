"""Which of the newest values NeuralForecast's default LSTM and GRU use: `python benchmarks/flow.py [H]`.

Runs `contenders/neuralforecast_flow.py` in its own environment, which is made first if it is not there.
"""

from __future__ import annotations

import subprocess
import sys

from fleet import HERE, python_of


def main() -> int:
    """Run the check and pass on what it prints."""
    script = str(HERE / "neuralforecast_flow.py")
    return subprocess.run([python_of("neuralforecast"), "-W", "ignore", script, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
