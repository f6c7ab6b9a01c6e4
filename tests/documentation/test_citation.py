"""CITATION.cff is about this release."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from fewflips.version import __version__

ROOT = Path(__file__).parents[2]


def test_it_cites_this_version_under_its_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (__version__, project["license"])
    assert {"message", "title", "authors"} <= citation.keys()
