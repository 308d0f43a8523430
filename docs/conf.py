"""Sphinx: build the manual.  `sphinx-build -W docs site` makes it."""

from __future__ import annotations

import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
sys.path[:0] = [str(HOME.parent), str(HOME / "_extensions")]

project = "papaya-lab"
author = "the papaya-lab developers"
copyright = "the papaya-lab developers, AGPL-3.0-or-later"

extensions = ["myst_parser", "sphinx.ext.autodoc", "api_pages", "fact_pages"]
exclude_patterns = ["_extensions"]

myst_enable_extensions = ["colon_fence", "linkify"]
myst_heading_anchors = 3

# Several modules have a class of the same name, such as Row: no link is better than a guess.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["execnet", "matplotlib", "numpy", "plotext", "pytest", "rich", "textual"]

html_theme = "furo"
html_title = "papaya-lab"
html_copy_source = False
