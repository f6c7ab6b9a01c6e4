"""Standard errors of paired differences, and every question has its figures in the committed audit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scripts.audit.accuracy import paired
from scripts.audit.figures import Audit, PairedFigures, read_audit
from scripts.audit.page import audit_sections, fair_targets
from scripts.audit.setups import questions
from scripts.audit.tables import answer
from scripts.audit.weights import weight_figures

from fewflips.errors import InputError

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def audit() -> Audit:
    found = read_audit(RESULTS / "audit.json")
    assert found is not None
    return found


def test_the_error_of_a_paired_difference_is_that_of_the_images():
    generator = np.random.default_rng(0)
    hits = {"a": generator.random(500) < 0.8, "b": generator.random(500) < 0.75}
    (found,) = paired(hits, [("a", "b")])
    differences = hits["b"].astype(float) - hits["a"]
    assert found.points == pytest.approx(100 * differences.mean())
    assert found.standard_error == pytest.approx(100 * differences.std() / np.sqrt(500))


def test_images_that_both_know_add_nothing():
    found = PairedFigures(before="a", after="b", images=100, only_before=0, only_after=0)
    assert (found.points, found.standard_error) == (0, 0)


def test_every_question_is_answered(audit):
    for question in questions():
        got = answer(audit, question)
        for figures in (got.first, got.second):
            assert sum(figures.layer_data_pj) == pytest.approx(figures.data_pj, rel=1e-5)
            assert figures.total_pj > figures.data_pj
        assert got.network == pytest.approx(got.first.data_pj / got.second.data_pj)
        assert min(got.ratios) <= got.mean <= got.best


def test_the_networks_are_the_kept_ones(audit):
    for run in audit.runs:
        content = (RESULTS / "models" / f"{run.network}.onnx").read_bytes()
        assert hashlib.sha256(content).hexdigest() == run.model_sha256


def test_weights_are_counted_again(audit):
    known = {one.network: one for one in audit.weights}
    for name in ("hamming_8bit_seed0", "hamming_4bit_seed0"):
        assert weight_figures(RESULTS / "models" / f"{name}.onnx") == known[name]


def test_the_page_tells_which_targets_a_fair_baseline_leaves(audit):
    text = audit_sections(audit)
    wanted = [target for _, found in fair_targets(audit) for target in found]
    missed = sum(not target.reached for target in wanted)
    assert f"{missed} of {len(wanted)} targets are missed" in text
    assert all(target.text in text for target in wanted)


def test_damaged_figures_are_one_line(tmp_path):
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(InputError, match=r"audit.json: .*run `python -m scripts.audit` again") as caught:
        read_audit(tmp_path / "audit.json")
    assert "\n" not in str(caught.value)
    assert read_audit(tmp_path / "none.json") is None
