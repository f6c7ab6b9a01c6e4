from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig, config_yaml, load_config
from fewflips.training.stages.learning_rate import LearningRateSchedule

MINIMAL = {"dataset": {"path": "data.npz"}}
EXAMPLES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_defaults_are_the_recipe_of_the_bundled_model(tmp_path):
    config = load_config(written(tmp_path, MINIMAL))
    assert (config.network.name, config.network.width, config.seed) == ("mobilenet_v2", 0.5, 0)
    stage = config.float_stage
    assert (stage.epochs, stage.learning_rate, stage.warmup, stage.weight_decay) == (14, 0.1, 0.1, 5e-4)
    assert (stage.batch, stage.label_smoothing) == (128, 0.1)
    assert config.quantized_stage is not None
    assert (config.quantized_stage.learning_rate, config.quantized_stage.optimizer) == (2e-4, "adam")
    assert config.hamming is None


def test_a_resolved_configuration_reads_back_as_itself(tmp_path):
    config = TrainingConfig.model_validate(
        MINIMAL
        | {
            "hamming": {"strength": 0.3, "bit_costs": [1, 2, 3]},
            "quantized_stage": {"weight_bits": {"classifier": 8, "*": 4}},
        }
    )
    assert load_config(written(tmp_path, config_yaml(config))) == config


def test_toml_is_read_as_well(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('seed = 5\n[dataset]\nname = "folder"\npath = "images"\n[float_stage]\nlearning_rate = 5e-2\n')
    config = load_config(path)
    assert (config.seed, config.dataset.name, config.float_stage.learning_rate) == (5, "folder", 0.05)


def test_numbers_that_yaml_takes_for_words_are_numbers(tmp_path):
    path = written(tmp_path, "dataset: {path: x}\nfloat_stage: {weight_decay: 5e-4}\n")
    assert yaml.safe_load(path.read_text())["float_stage"]["weight_decay"] == "5e-4"
    assert load_config(path).float_stage.weight_decay == 5e-4


def test_values_of_the_command_line_come_first(tmp_path):
    path = written(tmp_path, MINIMAL | {"seed": 1, "output": "a"})
    config = load_config(path, {"seed": 2, "output": Path("b")})
    assert (config.seed, config.output) == (2, Path("b"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(path):
    load_config(path)


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network": {"name": "vgg"}}, "network.name"),
        ({"network": {"width": 0}}, "network.width"),
        ({"network": {"width": -1}}, "network.width"),
        ({"network": {"colour": 1}}, "network.colour"),
        ({"dataset": {"name": "imagenet", "path": "x"}}, "dataset.name"),
        ({"dataset": {}}, "dataset.path"),
        ({"float_stage": {"epochs": -1}}, "float_stage.epochs"),
        ({"float_stage": {"epochs": 1.5}}, "float_stage.epochs"),
        ({"float_stage": {"batch": 0}}, "float_stage.batch"),
        ({"float_stage": {"learning_rate": float("nan")}}, "float_stage.learning_rate"),
        ({"float_stage": {"learning_rate": float("inf")}}, "float_stage.learning_rate"),
        ({"float_stage": {"learning_rate": 0}}, "float_stage.learning_rate"),
        ({"float_stage": {"warmup": 1.0}}, "float_stage.warmup"),
        ({"float_stage": {"label_smoothing": 1.0}}, "float_stage.label_smoothing"),
        ({"quantized_stage": {"weight_bits": 1}}, "quantized_stage.weight_bits"),
        ({"quantized_stage": {"weight_bits": 9}}, "quantized_stage.weight_bits"),
        ({"quantized_stage": {"weight_bits": {"*": 1}}}, "quantized_stage.weight_bits"),
        ({"quantized_stage": {"activation_bits": 4}}, "quantized_stage.activation_bits"),
        ({"quantized_stage": {"optimizer": "lbfgs"}}, "quantized_stage.optimizer"),
        ({"quantized_stage": {"distillation": {"temperature": 0}}}, "quantized_stage.distillation.temperature"),
        ({"quantized_stage": None, "hamming": {}}, "hamming"),
        ({"quantized_stage": {"epochs": 0}, "hamming": {}}, "hamming"),
        ({"hamming": {"strength": -1}}, "hamming.strength"),
        ({"hamming": {"method": "magic"}}, "hamming.method"),
        ({"hamming": {"bit_costs": [1] * 17}}, "hamming.bit_costs"),
        ({"hamming": {"bit_costs": [1, 1.5]}}, "hamming.bit_costs"),
        ({"hamming": {"bit_costs": [10**30]}}, "hamming.bit_costs"),
        ({"initial": {}}, "initial"),
        ({"initial": {"onnx": "a.onnx", "checkpoint": "b.pt"}}, "initial"),
        ({"initial": {"onnx": "a.onnx"}, "quantized_stage": None}, "quantized_stage"),
        ({"initial": {"onnx": "a.onnx"}, "quantized_stage": {"distillation": {}}}, "quantized_stage"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"precision": "float8"}, "precision"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"hammer": {}}, "hammer"),
    ],
)
def test_what_is_impossible_is_one_line_that_names_the_field(tmp_path, changes, field):
    with pytest.raises(InputError) as caught:
        load_config(written(tmp_path, MINIMAL | changes))
    message = str(caught.value)
    assert f" {field}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "not valid YAML"),
        ("- 1\n- 2\n", "expected keys such as network"),
        ("", "expected keys such as network"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_files_that_hold_no_configuration(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        load_config(written(tmp_path, content))


def test_missing_and_huge_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="found none"):
        load_config(tmp_path / "nothing.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="at most"):
        load_config(large)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_config(binary)


def test_the_schedule_rises_to_its_peak_and_falls_to_zero():
    schedule = LearningRateSchedule(peak=1.0, warmup=0.25, epochs=8)
    assert schedule.at(0) == pytest.approx(0.1)
    assert schedule.at(1) == pytest.approx(0.55)  # halfway from 0.1 to 1
    assert schedule.at(2) == 1.0
    assert schedule.at(5) == pytest.approx(0.5)  # halfway down the cosine
    assert schedule.at(8) == pytest.approx(0.0)
