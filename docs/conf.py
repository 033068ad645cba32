"""Settings of the book: `make docs` builds it from the sources here and from the docstrings."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["OMP_NUM_THREADS"] = "1"

project = "Gatecast"
author = "the Gatecast authors"
copyright = "the Gatecast authors, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "pages"]
exclude_patterns = ["_templates"]

# words: single backticks are code, as in the docstrings; every reference must lead somewhere
default_role = "code"
highlight_language = "none"
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]
suppress_warnings = ["myst.header"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# cells: run anew at every build; one that fails, or writes to stderr, fails the build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_output_stderr = "error"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"

# the look: nothing is asked of the network
html_theme = "furo"
html_title = "Gatecast"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a5c99", "color-brand-content": "#0a5c99"},
    "dark_css_variables": {"color-brand-primary": "#6db9ef", "color-brand-content": "#6db9ef"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
