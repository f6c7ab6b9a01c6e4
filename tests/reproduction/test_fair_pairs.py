"""What is kept of the trainings: a pair that was not trained alike is refused, and the page says how it was."""

from __future__ import annotations

import pytest
from scripts.reproduction.collect import check_pair, kept_run
from scripts.reproduction.figures import NetworkFigures
from scripts.reproduction.page import page

from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig
from fewflips.training.result import TrainingResult
from tests.reproduction.figures_by_hand import reproduction

HAMMING = {"hamming": {"accelerator": "edge16", "strength": 0.6}}


def run(sha256: str, **changes: object) -> TrainingResult:
    content = {
        "network": {"width": 0.5},
        "dataset": {"path": "cifar10.npz"},
        "initial": {"onnx": "models/start_seed0.onnx"},
        "quantized_stage": {"epochs": 5, "learning_rate": 0.001},
    }
    return TrainingResult(
        config=TrainingConfig.model_validate(content | changes),
        dataset={
            "name": "cifar10",
            "training_images": 50_000,
            "test_images": 10_000,
            "classes": 10,
            "image_shape": (32, 32, 3),
        },
        parameters=581_778,
        accuracies={"trained_percent": 81.0},
        training_seconds=3000.0,
        model_sha256=sha256,
        versions={},
        processor="a processor",
    )


def pair(**changes: object) -> tuple[NetworkFigures, NetworkFigures]:
    """Both networks; the second trained with other settings."""
    baseline, trained = reproduction().networks
    return (
        baseline.model_copy(update={"run": run(baseline.model_sha256)}),
        trained.model_copy(update={"run": run(trained.model_sha256, **changes)}),
    )


def test_a_pair_that_differs_in_the_hd_term_is_fair():
    check_pair(*pair(output="elsewhere", **HAMMING))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (HAMMING | {"seed": 1}, "seed"),
        (HAMMING | {"quantized_stage": {"epochs": 6, "learning_rate": 0.001}}, "quantized_stage"),
        ({}, "hamming"),
    ],
)
def test_a_pair_that_was_not_trained_alike_is_refused(changes, what):
    with pytest.raises(InputError, match=f"got another {what}: the comparison would not be fair"):
        check_pair(*pair(**changes))


def test_a_pair_on_other_units_is_refused():
    baseline, trained = pair(**HAMMING)
    wider = {name: unit.model_copy(update={"accumulator_bits": 27}) for name, unit in trained.units.items()}
    with pytest.raises(InputError, match="needs other arithmetic units than baseline_8bit_seed0"):
        check_pair(baseline, trained.model_copy(update={"units": wider}))


def test_a_result_belongs_to_its_network(tmp_path):
    path = tmp_path / "one.json"
    assert kept_run(path, "one", 64 * "a") is None
    path.write_text(run(64 * "a").model_dump_json())
    assert kept_run(path, "one", 64 * "a") == run(64 * "a")
    with pytest.raises(InputError, match=r"the result of the training of one.onnx, got that of another"):
        kept_run(path, "one", 64 * "b")
    path.write_text("{}")
    with pytest.raises(InputError, match=r"one.json: "):
        kept_run(path, "one", 64 * "a")


def test_the_page_says_how_networks_were_trained():
    text = page(reproduction().model_copy(update={"networks": pair(**HAMMING)}))
    start = (
        "| `hamming_8bit_seed0` | 0.80 MB | 0.5, early strides | 5 quantized, from `start_seed0.onnx` | no | 0.001 | "
    )
    assert f"{start}strength 0.6, for edge16 | 50 min | a processor |" in text
    assert "no record of the training" not in text
    stage = {"epochs": 5, "learning_rate": 0.001, "distillation": {"teacher": "models/teacher.onnx"}}
    taught = page(reproduction().model_copy(update={"networks": pair(**HAMMING, quantized_stage=stage)}))
    assert "from `start_seed0.onnx` | `teacher.onnx` | 0.001 | " in taught
    assert "There is no record of the training of `baseline_8bit_seed0`, `hamming_8bit_seed0`." in page(reproduction())
