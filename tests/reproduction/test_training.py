"""Training of networks that are not kept: by the command, into the folder of kept networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from scripts.reproduction.networks import Pair, model_file, result_file
from scripts.reproduction.training import Folders, train_networks

import fewflips
from fewflips.errors import InputError, ToolError
from fewflips.training.result import TrainingResult
from tests.training.small_datasets import fashion, settings

PAIR = Pair(8, 0)


@pytest.fixture
def folders(tmp_path) -> Folders:
    """A baseline that is kept, and a configuration for the other network."""
    found = Folders(tmp_path / "configs", tmp_path / "runs", tmp_path / "models")
    found.configs.mkdir()
    found.models.mkdir()
    model_file(found.models, PAIR.name("baseline")).write_bytes(b"kept")
    return found


def configure(folders: Folders, name: str, data: Path, **changes: object) -> None:
    content = settings(data, folders.configs / "elsewhere", **changes)
    (folders.configs / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_what_is_missing_is_trained_and_kept(folders, tmp_path):
    name = PAIR.name("hamming")
    stages = {"float_stage": {"epochs": 0, "batch": 8}, "quantized_stage": {"epochs": 1, "batch": 8}}
    configure(folders, name, fashion(tmp_path / "data"), **stages)
    train_networks([PAIR], folders, anew=False)
    assert model_file(folders.models, PAIR.name("baseline")).read_bytes() == b"kept"
    network = fewflips.load(model_file(folders.models, name))
    result = TrainingResult.model_validate_json(result_file(folders.models, name).read_bytes())
    assert result.model_sha256 == network.sha256

    trained = model_file(folders.models, name).stat().st_mtime_ns
    train_networks([PAIR], folders, anew=False)
    assert model_file(folders.models, name).stat().st_mtime_ns == trained


def test_a_training_that_fails_ends_it(folders, tmp_path, capfd):
    configure(folders, PAIR.name("hamming"), tmp_path / "nowhere")
    with pytest.raises(ToolError, match=r"fewflips train --config .*hamming_8bit_seed0.yaml .* ended with exit code 2"):
        train_networks([PAIR], folders, anew=False)
    assert "nowhere" in capfd.readouterr().err
    assert not model_file(folders.models, PAIR.name("hamming")).exists()


def test_all_configurations_are_looked_for_first(folders, tmp_path):
    configure(folders, PAIR.name("baseline"), tmp_path)
    with pytest.raises(InputError, match=r"hamming_8bit_seed0.yaml: expected the configuration of a training"):
        train_networks([PAIR], folders, anew=True)
    assert not folders.runs.exists()
