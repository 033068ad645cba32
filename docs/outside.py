"""What a browser that opens the built pages would ask of other machines: nothing, or the build fails."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

FETCHED = {"src", "srcset", "poster", "data", "xlink:href"}
"""Attributes that a browser follows by itself; `href` too, in the elements below."""
FOLLOWED = {"link", "image", "use"}
OUTSIDE = ("http:", "https:", "//")


class Requests(HTMLParser):
    """Collects what a browser that opens a page would ask of other machines: scripts, styles, pictures, fonts.

    >>> page = Requests()
    >>> page.feed('<a href="https://a.org">a</a><img src="https://b.org/b.png"><style>url(//c.org/c.woff)</style>')
    >>> page.found
    ['<img src="https://b.org/b.png">', '<style> url(//c.org/c.woff)']
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element and its attributes."""
        self._style = tag == "style"
        for name, value in attrs:
            followed = name in FETCHED or (name == "href" and tag in FOLLOWED)
            if value and ((followed and value.strip().startswith(OUTSIDE)) or (name == "style" and _fetches(value))):
                self.found.append(f'<{tag} {name}="{value}">')

    def handle_data(self, data: str) -> None:
        """Text; inside a style element it may import more."""
        if self._style and _fetches(data):
            self.found.append(f"<style> {data.strip()}")

    def handle_endtag(self, tag: str) -> None:
        """The end of an element."""
        self._style = False


def _fetches(style: str) -> bool:
    """Whether a style sheet names a file of another machine."""
    plain = style.replace('"', "").replace("'", "").replace(" ", "")
    return any(f"{start}{address}" in plain for start in ("url(", "@import") for address in OUTSIDE)


def outside_requests(folder: Path) -> list[str]:
    """What the pages and style sheets below `folder` would fetch from elsewhere, each with its file."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        page = Requests()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(folder)}: {each}" for each in page.found]
    sheets = sorted(folder.rglob("*.css"))
    return found + [f"{s.relative_to(folder)}: a file of another machine" for s in sheets if _fetches(s.read_text())]
