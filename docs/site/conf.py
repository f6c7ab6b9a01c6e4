"""The documentation site: `make docs` builds it into build/site, where it is read offline."""

from __future__ import annotations

import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from fewflips.version import __version__

project = "fewflips"
release = version = __version__
project_copyright = "the fewflips authors, Apache-2.0"

# The pages lie all over the repository, so that they can be read there, too; paths are from its root.
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSES.md",
    "results/reproduction.md",
    "results/models/README.md",
    "src/fewflips/data/README.md",
    "src/fewflips/gates/liberty/cell_tables/README.md",
    "src/fewflips/gates/netlist/netlists/README.md",
]
exclude_patterns = [".*", "build", "tests", "**/__pycache__"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
myst_heading_anchors = 4

autodoc_mock_imports = ["torch"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say the types
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"fewflips {__version__}"
html_extra_path = ["start"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}


def without_folders(app: Sphinx, docname: str, content: list[str]) -> None:
    """A link to a folder of the repository, of which the site has no page, is shown without a link."""
    folder = (Path(app.srcdir) / docname).parent

    def replace(match: re.Match[str]) -> str:
        return match[1] if (folder / match[2]).is_dir() else match[0]

    content[0] = re.sub(r"\[([^\]]*)\]\(([^)#\s]+)\)", replace, content[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", without_folders)
    app.add_lexer("plain", TextLexer)
