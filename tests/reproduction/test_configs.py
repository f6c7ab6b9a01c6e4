"""The configurations of the trainings: a pair differs in the section `hamming` alone, and others in what they say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from scripts.reproduction.networks import ACCELERATOR, PAIRS, TRAININGS, Pair

from fewflips.machine import load_accelerator
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.result import TrainingResult

FOLDER = Path(__file__).parents[2] / "configs" / "reproduction"
CHOSEN_THERE = {"device", "precision", "output"}
"""What of a configuration is settled where the training runs."""
RESULTS = Path(__file__).parents[2] / "results" / "models"


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
    trained, wanted = result.config, load_config(FOLDER / "teachers" / f"seed{seed}.yaml")
    assert trained.model_dump(exclude=CHOSEN_THERE) == wanted.model_dump(exclude=CHOSEN_THERE)
    assert result.model_sha256 == hashlib.sha256(kept.with_suffix(".onnx").read_bytes()).hexdigest()
    for pair in PAIRS:
        if pair.seed == seed:
            found = config(pair, "baseline")
            assert found.initial.onnx.name == found.quantized_stage.distillation.teacher.name == f"{kept.stem}.onnx"


def test_every_configuration_belongs_to_a_pair():
    names = {f"{pair.name(training)}.yaml" for pair in PAIRS for training in TRAININGS}
    assert {path.name for path in FOLDER.glob("*.yaml")} == names


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.label)
def test_headroom_is_that_of_the_trained_network_and_nothing_is_trained(pair):
    found = load_config(FOLDER / "alternatives" / f"headroom_{pair.label}.yaml")
    trained = config(pair, "hamming")
    assert found.hamming is None
    assert found.quantized_stage.epochs == 0
    assert found.quantized_stage.activation_headroom == trained.hamming.activation_headroom
    assert found.quantized_stage.weight_bits == trained.quantized_stage.weight_bits
    assert found.initial.onnx.name == f"{pair.name('baseline')}.onnx"


@pytest.mark.parametrize("file", sorted((FOLDER / "alternatives").glob("*.yaml")), ids=lambda file: file.stem)
def test_alternatives_are_the_kept_ones(file):
    kept = RESULTS / f"{file.stem}.json"
    result = TrainingResult.model_validate_json(kept.read_text())
    assert result.config.model_dump(exclude=CHOSEN_THERE) == load_config(file).model_dump(exclude=CHOSEN_THERE)
    assert result.model_sha256 == hashlib.sha256(kept.with_suffix(".onnx").read_bytes()).hexdigest()
