"""The house: stages import downwards only, imports are light, files and functions stay small, nothing prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "gatecast"
STAGES = ["errors", "data", "prepare", "nn", "train", "forecast", "judge", "explain", "show", "edge"]
FILES = sorted(ROOT.rglob("*.py"))


def stage_of(module: str) -> int | None:
    parts = module.split(".")
    return STAGES.index(parts[1]) if parts[0] == "gatecast" and len(parts) > 1 and parts[1] in STAGES else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_stage_imports_only_earlier_ones(path):
    inside = path.relative_to(ROOT).with_suffix("").parts
    if inside[0] not in STAGES:
        assert inside in (("__init__",), ("__main__",))
        return
    own = STAGES.index(inside[0])
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            stage = stage_of(name)
            assert stage is None or stage <= own, f"{path.name} imports {name}, a later stage"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_classes_functions_and_signatures_stay_small(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not path.name.startswith("cli"):
            assert node.end_lineno - node.lineno < 60, node.name
            arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            assert len([a for a in arguments if a not in ("self", "cls")]) <= 7, node.name
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 250, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_public_thing_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def test_no_pickle_and_no_evaluation_anywhere():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not {"pickle", "marshal", "shelve", "dill"} & set(names), path
                assert not ({"load", "dump"} & set(names) and "joblib" in names), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in (("joblib", "load"), ("joblib", "dump")), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), path


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import gatecast",
        "from gatecast.edge.cli import main; main(['--help'])",
        "from gatecast.edge.cli import main; main(['--version'])",
    ],
)
def test_import_and_help_are_light(code):
    assert not {"torch", "pandas", "altair", "numpy", "rich"} & loaded_by(code)


def test_every_public_name_is_there_and_its_spelling_is_checked():
    import gatecast

    for name in gatecast.__all__:
        assert getattr(gatecast, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Forcaster'"):
        _ = gatecast.Forcaster
