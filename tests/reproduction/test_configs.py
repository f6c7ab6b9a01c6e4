"""The configurations of the trainings: a pair differs in the HD term alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from scripts.reproduction.networks import ACCELERATOR, PAIRS, TRAININGS, Pair

from fewflips.accelerator import load_accelerator
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.result import TrainingResult

FOLDER = Path(__file__).parents[2] / "configs" / "reproduction"
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "models"


def config(pair: Pair, training: str) -> TrainingConfig:
    return load_config(FOLDER / f"{pair.name(training)}.yaml")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.label)
def test_a_pair_is_trained_alike_but_for_the_hd_term(pair):
    baseline, trained = (config(pair, training) for training in TRAININGS)
    assert baseline.hamming is None
    assert trained.hamming is not None
    assert load_accelerator(trained.hamming.accelerator).name == ACCELERATOR
    assert baseline == trained.model_copy(update={"hamming": None})


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.label)
def test_names_say_bits_and_seed(pair):
    found = config(pair, "baseline")
    bits = found.quantized_stage.weight_bits
    assert found.seed == pair.seed
    assert (bits if isinstance(bits, int) else bits["*"]) == pair.bits


@pytest.mark.parametrize("seed", sorted({pair.seed for pair in PAIRS}))
def test_a_pair_starts_from_a_network_whose_training_is_kept(seed):
    kept = RESULTS / f"teacher_seed{seed}.json"
    result = TrainingResult.model_validate_json(kept.read_text())
    chosen_there = {"device", "precision", "output"}
    trained, wanted = result.config, load_config(FOLDER / "teachers" / f"seed{seed}.yaml")
    assert trained.model_dump(exclude=chosen_there) == wanted.model_dump(exclude=chosen_there)
    assert result.model_sha256 == hashlib.sha256(kept.with_suffix(".onnx").read_bytes()).hexdigest()
    for pair in PAIRS:
        if pair.seed == seed:
            found = config(pair, "baseline")
            assert found.initial.onnx.name == found.quantized_stage.distillation.teacher.name == f"{kept.stem}.onnx"


def test_every_configuration_belongs_to_a_pair():
    names = {f"{pair.name(training)}.yaml" for pair in PAIRS for training in TRAININGS}
    assert {path.name for path in FOLDER.glob("*.yaml")} == names
