"""The book: every public name is in the reference, every page is reachable, no page asks for others' files."""

import doctest
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
REFERENCE = "\n".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))
PAGES = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
OPENS = re.compile(r"^\.\. auto(?:function|class|exception):: (\S+)$", re.MULTILINE)
WHOLE = re.compile(r"^\.\. automodule:: (\S+)\n   :members:", re.MULTILINE)


def documented() -> set[str]:
    """The names that the reference opens, alone or with their whole module."""
    names = set(OPENS.findall(REFERENCE))
    for module in WHOLE.findall(REFERENCE):
        names |= {f"{module}.{name}" for name in getattr(import_module(module), "__all__", ())}
    return names


@pytest.mark.parametrize("module", ["gatecast", "gatecast.nn", "gatecast.explain", "gatecast.show"])
def test_every_public_name_is_in_the_reference(module):
    elsewhere = {f"gatecast.{name}" for name in import_module("gatecast").__all__} & documented()
    for name in getattr(import_module(module), "__all__", ()):
        assert f"{module}.{name}" in documented() or f"gatecast.{name}" in elsewhere, name


def test_the_reference_opens_no_name_that_is_not_there():
    for name in documented():
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last), name


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"^((?:book|howto|reference)/\S+|\w+)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [page for page in PAGES if page != "index"]


def test_a_page_that_would_fetch_something_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    outside = import_module("outside")
    assert not doctest.testmod(outside).failed
    inside = (
        '<a href="https://a.org">a</a><img src="x.png"><link href="x.css"><svg xmlns="http://www.w3.org/2000/svg"/>'
    )
    (tmp_path / "good.html").write_text(f"<style>p {{ background: url(x.png) }}</style>{inside}")
    assert outside.outside_requests(tmp_path) == []
    for name, text in {
        "script.html": '<script src="https://b.org/x.js"></script>',
        "sheet.html": '<link rel="stylesheet" href="//b.org/x.css">',
        "picture.html": '<img src=" http://b.org/x.png">',
        "inline.html": "<style>@import 'https://b.org/x.css';</style>",
        "attribute.html": "<p style=\"background: url('https://b.org/x.png')\">",
        "font.css": '@font-face { src: url("https://b.org/x.woff2") }',
    }.items():
        (tmp_path / name).write_text(text)
        found = outside.outside_requests(tmp_path)
        assert len(found) == 1 and found[0].startswith(name), name
        (tmp_path / name).unlink()
