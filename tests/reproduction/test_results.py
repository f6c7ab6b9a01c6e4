"""The committed result: page, short list and networks belong to the committed figures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from scripts.audit.figures import read_audit
from scripts.audit.page import audit_sections
from scripts.reproduction.collect import read_before, summary
from scripts.reproduction.figures import Reproduction
from scripts.reproduction.networks import model_file
from scripts.reproduction.page import page

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def figures() -> Reproduction:
    found = read_before(RESULTS / "reproduction_layers.json")
    assert found is not None
    return found


def test_the_short_list_is_made_of_the_figures(figures):
    assert json.loads((RESULTS / "reproduction.json").read_text()) == summary(figures)


def test_the_page_is_made_of_the_figures(figures):
    discussion = RESULTS / "discussion.md"
    words = discussion.read_text() if discussion.exists() else ""
    audit = read_audit(RESULTS / "audit.json")
    assert audit is not None
    assert (RESULTS / "reproduction.md").read_text() == page(figures, words, audit_sections(audit))


def test_the_networks_are_those_of_the_figures(figures):
    for network in figures.networks:
        content = model_file(RESULTS / "models", network.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == network.model_sha256
        assert len(content) <= 3_000_000
