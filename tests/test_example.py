"""The example notebook runs from its first cell to its last, and is kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "ibm.ipynb"


def test_it_is_kept_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_it_runs_and_says_what_it_found():
    client = NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=120)
    cells = client.execute().cells
    printed = "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))
    for name in ("lstm:32x1", "gru:32x1", "auto", "naive", "bilstm:32", "lstm:32-gru:32", "lstm:32+gru:32"):
        assert f"\n{name}" in f"\n{printed}", name
    drawn = [out for cell in cells for out in cell.get("outputs", []) if "text/html" in out.get("data", {})]
    assert len(drawn) == 4
    assert all(out["output_type"] != "error" for cell in cells for out in cell.get("outputs", []))
