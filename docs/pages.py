"""Two rules of every built page, as a Sphinx extension: formulas are MathML, and nothing is fetched (`outside`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from outside import outside_requests
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{_mathml(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _mathml(node: nodes.Element, as_block: bool) -> str:
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as cause:
        logging.getLogger(__name__).warning("a formula cannot be read: %s", cause, location=node)
        return ""


def _check(app: Sphinx, failure: Exception | None) -> None:
    """Fail a build whose pages would fetch something."""
    found = outside_requests(Path(app.outdir)) if failure is None and app.builder.format == "html" else []
    if found:
        raise ExtensionError("the built pages ask for files of other machines:\n" + "\n".join(found))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
