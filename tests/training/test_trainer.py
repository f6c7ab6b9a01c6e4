from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import fewflips
from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig, load_config
from fewflips.training.datasets import Dataset, Split
from fewflips.training.result import TrainingResult, export_warnings
from fewflips.training.stages.evaluation import accuracy_percent, exported_accuracy_percent
from fewflips.training.trainer import train
from tests.training.frozen_figures import deviations, frozen_figures
from tests.training.small_datasets import fashion, settings


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fashion(tmp_path_factory.mktemp("data"))


@pytest.fixture
def configured(data, tmp_path):
    def configure(name: str = "out", **changes) -> TrainingConfig:
        return TrainingConfig.model_validate(settings(data, tmp_path / name, **changes))

    return configure


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> tuple[Path, TrainingResult]:
    folder = tmp_path_factory.mktemp("finished") / "out"
    return folder, train(TrainingConfig.model_validate(settings(data, folder)))


def weights(folder: Path, name: str = "checkpoint.pt") -> dict[str, torch.Tensor]:
    return torch.load(folder / name, weights_only=True)["network"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_leaves_its_files(finished):
    folder, result = finished
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "checkpoint.pt",
        "config.yaml",
        "float.pt",
        "metrics.jsonl",
        "model.onnx",
        "result.json",
        "samples.npz",
    }
    assert TrainingResult.model_validate_json((folder / "result.json").read_text()) == result
    assert load_config(folder / "config.yaml") == result.config
    assert (result.dataset.training_images, result.dataset.test_images) == (48, 20)


def test_every_epoch_is_a_line_of_metrics(finished):
    folder, result = finished
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [
        ("float", 1),
        ("float", 2),
        ("float", 3),
        ("quantized", 1),
        ("quantized", 2),
    ]
    assert lines[-1]["test_accuracy_percent"] == result.accuracies.trained_percent
    assert all(set(line["losses"]) == {"task"} and line["losses"]["task"] > 0 for line in lines)
    assert result.training_seconds == pytest.approx(sum(line["seconds"] for line in lines))


def test_training_learns(configured):
    stage = {"epochs": 25, "batch": 8, "learning_rate": 0.05}
    result = train(configured(float_stage=stage, augmentation={"padding": 0, "flip": False}))
    assert result.accuracies.float_percent is not None
    assert result.accuracies.float_percent >= 60  # 10 classes: 10 % by chance
    assert result.accuracies.trained_percent >= 60


def test_the_exported_model_is_the_trained_network(finished):
    folder, result = finished
    exported = fewflips.load(folder / "model.onnx")
    codes = weights(folder)
    for layer in exported.layers:
        scale = codes[f"{layer.name}.weight_scale"]
        latent = codes[f"{layer.name}.weight"].flatten(1) / scale[:, None]
        expected = latent.round().clamp(-127, 127).numpy()
        assert np.array_equal(np.sort(np.asarray(layer.weights).ravel()), np.sort(expected.ravel()))
    gap = abs(result.accuracies.exported_percent - result.accuracies.trained_percent)
    assert bool(result.warnings) == (gap > 0.1)
    samples = np.load(folder / "samples.npz")
    assert samples["labels"].tolist() == list(range(10))
    fewflips.measure(exported, inputs=folder / "samples.npz")


def test_same_seed_same_result_and_another_seed_another(configured, finished):
    folder, _ = finished
    train(configured("again"))
    again = configured("again").output
    assert same(weights(again), weights(folder))
    assert (again / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    train(configured("other", seed=1))
    assert not same(weights(configured("other").output), weights(folder))


def test_float_stage_is_that_of_an_independent_trainer(tmp_path):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (256, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (256,), generator=generator)
    config = TrainingConfig.model_validate(
        {
            "network": {"width": 0.1},
            "dataset": {"path": "in memory"},
            "float_stage": {"epochs": 2},
            "quantized_stage": None,
            "seed": 3,
            "threads": 1,
            "device": "cpu",
            "tensorboard": False,
            "output": tmp_path / "out",
        }
    )
    split = Split(images, labels)
    train(config, dataset=Dataset("random", split, Split(images[:20], labels[:20]), tuple("abcdefghij")))
    found = deviations(weights(tmp_path / "out", "float.pt"), frozen_figures()["float_stage"])
    # other vector instructions move the median by 7e-5 at most; no label smoothing, weight decay, warm-up or flips, or
    # another learning rate, by more than 1e-4
    assert np.median(found) < 1e-4
    assert max(found) < 0.01


def test_two_runs_share_a_float_network(configured, finished):
    folder, result = finished
    shared = configured("shared", initial={"checkpoint": folder})
    found = train(shared)
    assert same(weights(shared.output), weights(folder))  # the quantized stage depends on nothing else
    assert not (shared.output / "float.pt").exists()
    assert found.accuracies.float_percent == result.accuracies.float_percent


def test_a_run_starts_from_an_exported_network(configured, finished):
    folder, result = finished
    options = {"epochs": 0, "batch": 8}
    found = train(configured("onnx", initial={"onnx": folder / "model.onnx"}, quantized_stage=options))
    assert found.accuracies.float_percent is None
    assert found.accuracies.calibrated_percent == result.accuracies.trained_percent
    exported, original = (fewflips.load(path / "model.onnx") for path in (configured("onnx").output, folder))
    for layer, other in zip(exported.layers, original.layers, strict=True):
        assert np.array_equal(layer.weights, other.weights)


def test_bits_differ_by_layer_and_scales_are_learned(configured, finished):
    folder, _ = finished
    stage = {
        "epochs": 1,
        "batch": 8,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "weight_bits": {"classifier": 8, "*": 4},
        "learned_scales": True,
        "distillation": {"teacher": "quantized", "temperature": 2, "weight": 0.7},
    }
    config = configured("mixed", initial={"checkpoint": folder / "float.pt"}, quantized_stage=stage)
    train(config)
    network = fewflips.load(config.output / "model.onnx")
    largest = {layer.name: int(np.abs(np.asarray(layer.weights, dtype=int)).max()) for layer in network.layers}
    assert largest["classifier"] > 7
    assert all(value <= 7 for name, value in largest.items() if name != "classifier")
    line = json.loads((config.output / "metrics.jsonl").read_text())
    assert set(line["losses"]) == {"task", "distillation"}
    assert line["losses"]["distillation"] > 0


def test_costs_of_bits_reach_the_hd_term(configured):
    def trained(name: str, **hamming) -> dict[str, torch.Tensor]:
        result = train(configured(name, hamming={"strength": 0.5} | hamming))
        assert result.config.hamming.bit_costs == hamming.get("bit_costs")
        return weights(configured(name).output)

    flips = trained("flips")
    assert same(flips, trained("same", bit_costs=(3,) * 8))
    assert not same(flips, trained("weighted", bit_costs=(1,) * 7 + (40,)))


def test_distillation_pulls_towards_the_teacher(configured, finished):
    folder, _ = finished
    stage = {"epochs": 6, "batch": 8, "learning_rate": 3e-3, "distillation": {"weight": 1.0, "temperature": 1.0}}
    config = configured("taught", initial={"checkpoint": folder}, quantized_stage=stage)
    train(config)
    lines = [json.loads(line) for line in (config.output / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["losses"]["task"] == 0
    assert lines[-1]["losses"]["distillation"] < 0.5 * lines[0]["losses"]["distillation"]


def test_the_teacher_may_be_an_exported_network(configured, finished):
    folder, _ = finished
    model = folder / "model.onnx"
    losses = {}
    for teacher in ("quantized", model):
        stage = {"epochs": 1, "batch": 8, "learning_rate": 1e-3, "distillation": {"teacher": teacher, "weight": 1.0}}
        config = configured(f"by-{Path(teacher).name}", initial={"onnx": model}, quantized_stage=stage)
        train(config)
        losses[teacher] = json.loads((config.output / "metrics.jsonl").read_text())["losses"]["distillation"]
    assert losses[model] == losses["quantized"] > 0  # the same network, from the file and from the start


def test_a_teacher_of_another_architecture_is_refused(configured, finished):
    folder, _ = finished
    stage = {"epochs": 1, "batch": 8, "distillation": {"teacher": folder / "model.onnx"}}
    config = configured("other", network={"name": "resnet", "depth": 8, "width": 1}, quantized_stage=stage)
    with pytest.raises(InputError, match=r"quantized_stage\.distillation\.teacher: .*not the network"):
        train(config)
    assert not (config.output / "checkpoint.pt").exists()  # found before the float stage


def test_a_float_run_exports_nothing(configured):
    config = configured("float", quantized_stage=None)
    result = train(config)
    assert result.accuracies.exported_percent is None
    assert not (config.output / "model.onnx").exists()
    assert (config.output / "float.pt").exists()


def test_tensorboard_events_are_written_where_it_is_installed(configured):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = configured("events", tensorboard=True)
    train(config)
    events = EventAccumulator(str(config.output / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (config.output / "metrics.jsonl").read_text().splitlines()]
    found = [event.value for event in events.Scalars("float/losses/task")]
    assert found == pytest.approx([line["losses"]["task"] for line in lines if line["stage"] == "float"], rel=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_keeps_weights_in_float32(configured, precision):
    config = configured("mixed-precision", precision=precision)
    result = train(config)
    assert result.config.precision == precision
    assert {tensor.dtype for name, tensor in weights(config.output).items() if "weight" in name} == {torch.float32}
    scaler = torch.load(config.output / "checkpoint.pt", weights_only=True)["scaler"]
    assert (scaler is not None) == (precision == "float16")


def test_progress_counts_the_steps_of_both_stages(configured):
    calls = []
    train(configured("progress"), progress=lambda *call: calls.append(call), on_epoch=lambda figures: None)
    assert calls[:2] == [("float stage", 1, 18), ("float stage", 2, 18)]
    assert calls[-1] == ("quantized stage", 12, 12)
    assert len(calls) == 30


def test_threads_of_the_caller_are_left_as_they_were(configured):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        train(configured("threads", quantized_stage=None, float_stage={"epochs": 0, "batch": 8}))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_accuracy_counts_hits_over_several_batches(finished):
    class Reader(torch.nn.Module):  # answers with the class that is written into the pixels
        def forward(self, x):
            return torch.nn.functional.one_hot((x.mean((1, 2, 3)) * 128 + 128).round().long(), 256).float()

    labels = torch.arange(1200) % 10
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 4, 4, 1)
    wrong = labels.clone()
    wrong[1100:] = 11
    assert accuracy_percent(Reader(), Split(images, labels)) == 100
    assert accuracy_percent(Reader(), Split(images, wrong)) == pytest.approx(100 * 1100 / 1200)


def test_exported_accuracy_is_that_of_onnx_runtime(finished, data):
    folder, result = finished
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["dataset"]["path"] == str(data)
    from fewflips.training.datasets import load_dataset

    test = load_dataset(result.config.dataset).test
    model = (folder / "model.onnx").read_bytes()
    assert exported_accuracy_percent(model, test, 1) == result.accuracies.exported_percent
    shifted = Split(test.images, (test.labels + 1) % 10)
    assert exported_accuracy_percent(model, test, 1) + exported_accuracy_percent(model, shifted, 1) <= 100


def test_a_gap_between_trained_and_exported_is_a_warning():
    assert export_warnings(90.0, None) == ()
    assert export_warnings(90.0, 89.9) == ()
    assert "0.20 points less accurate" in export_warnings(90.0, 89.8)[0]
    assert "0.20 points more accurate" in export_warnings(90.0, 90.2)[0]


def test_cuda_where_there_is_none(configured, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"device: .*cuda, which is not available"):
        train(configured("cuda", device="cuda"))
