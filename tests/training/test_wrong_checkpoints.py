"""Checkpoints that are whole, and wrong in one place, are refused in one line before a step is taken."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewflips.errors import InputError
from fewflips.training.config import TrainingConfig
from fewflips.training.datasets import Dataset, Split
from fewflips.training.trainer import train

HAMMING = {"accelerator": "edge4", "strength": 0.3}


class Stopped(Exception):
    pass


def dataset() -> Dataset:
    pixels = torch.randint(0, 256, (12, 8, 8, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(12) % 2
    return Dataset("tiny", Split(pixels[:8], labels[:8]), Split(pixels[8:], labels[8:]), ("even", "odd"))


def config(quantized: bool) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "network": {"name": "resnet", "depth": 8, "width": 0.25},
            "dataset": {"name": "fashion-mnist", "path": "data"},
            "float_stage": {"epochs": 2, "batch": 4},
            "quantized_stage": {"epochs": 1, "batch": 4} if quantized else None,
            "hamming": HAMMING if quantized else None,
            "threads": 1,
            "device": "cpu",
            "precision": "float32",
            "tensorboard": False,
            "checkpoint_every": 1,
        }
    )


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """In the second epoch of the float stage, and in the first of the quantized one, after a step."""
    found = {}
    for stage, steps in (("float", 4), ("quantized", 2)):
        folder = tmp_path_factory.mktemp(stage)

        def stop(phase: str, done: int, total: int, stage: str = stage, steps: int = steps) -> None:
            if phase == f"{stage} stage" and done == steps:
                raise Stopped

        with pytest.raises(Stopped):
            train(config(stage == "quantized"), output=folder, dataset=dataset(), progress=stop)
        found[stage] = (folder / "checkpoint.pt").read_bytes()
    return found


def resumed(folder: Path, checkpoint: bytes, stage: str, change: Callable[[dict[str, Any]], Any]) -> None:
    content = torch.load(io.BytesIO(checkpoint), weights_only=True)
    change(content)
    torch.save(content, folder / "checkpoint.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(config(stage == "quantized"), output=folder, resume=True, dataset=dataset())


def put(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    """Put a value, or what a function makes of the one that is there, somewhere in the checkpoint."""

    def change(content: dict[str, Any]) -> None:
        holder: Any = content
        for key in keys[:-1]:
            holder = holder[key]
        holder[keys[-1]] = value(holder[keys[-1]]) if callable(value) else value

    return change


WEIGHT = ("network", "classifier.weight")
MOMENTUM = ("optimizer", "state", 0, "momentum_buffer")
WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "format": (put("format", value=torch.ones(2)), r"expected a checkpoint of fewflips, version 1, got tensor"),
    "version": (put("version", value=torch.ones(2)), r"expected a checkpoint of fewflips, version 1"),
    "images": (put("inputs", "dataset", value=torch.ones(2)), r"expected a checkpoint of a run with these images"),
    "epochs": (put("epochs", 0, "more", value=torch.ones(2)), r"expected a checkpoint of a run: epochs.0.more"),
    "epochs' names": (put("epochs", 0, (1, 2), value=1.0), r"expected a checkpoint of a run: epochs.0"),
    "name": (put("network", 2.5, value=torch.ones(2)), r"expected names of tensors, got one of type float"),
    "complex": (put(*WEIGHT, value=lambda t: t.to(torch.complex64)), r"classifier.weight of type float32, got complex"),
    "integers": (put(*WEIGHT, value=lambda t: t.long()), r"classifier.weight of type float32, got int64"),
    "sparse": (put(*WEIGHT, value=lambda t: t.to_sparse()), r"of type float32, got float32 without plain values"),
    "meta": (put(*WEIGHT, value=lambda t: t.to("meta")), r"of type float32, got float32 without plain values"),
    "momentum": (put(*MOMENTUM, value=lambda t: t[:1]), r"optimizer.state.0.momentum_buffer: expected a tensor of"),
    "momentum's type": (put(*MOMENTUM, value="text"), r"optimizer.state.0.momentum_buffer: expected a tensor of"),
    "parameter": (put("optimizer", "state", 99, value={}), r"optimizer.state: expected parameters 0 to \d+, got 99"),
    "part": (put("optimizer", "state", 0, "exp_avg", value=1), r"expected momentum_buffer, got 'exp_avg'"),
    "groups": (put("optimizer", "param_groups", value=[]), r"optimizer.param_groups: expected 2 groups, got list"),
    "option": (
        put("optimizer", "param_groups", 0, "momentum", value=torch.ones(2)),
        r"optimizer.param_groups.momentum: expected 0.9, got tensor of shape \[2\]",
    ),
    "losses": (
        put("tally", "losses", "task", value="text"),
        r"cannot be resumed: losses.task: Input should be",
    ),
    "seconds": (put("tally", "seconds", value=-1.0), r"cannot be resumed: seconds: Input should be"),
    "random": (
        put("random", "torch", value=torch.zeros(4)),
        r"random.torch: expected a tensor of shape",
    ),
    "devices": (put("random", "cuda", value=["text"]), r"random.cuda: expected a list of states, got list"),
}
WRONG_QUANTIZED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "moments": (put("optimizer", "state", 0, "exp_avg", value=None), r"optimizer.state.0.exp_avg: expected a tensor"),
    "steps": (
        put("optimizer", "state", 0, "step", value=lambda t: t.half()),
        r"state.0.step: expected a tensor",
    ),
    "calls": (put("hamming", "sensitivity", "calls", value=[]), r"expected the state of this network on this accel"),
    "squares": (
        put("hamming", "sensitivity", "squares", 0, value=torch.full((3,), torch.nan)),
        r"got other gradients of layer",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_float_stage(tmp_path: Path, checkpoints: dict[str, bytes], case: str) -> None:
    change, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        resumed(tmp_path, checkpoints["float"], "float", change)
    assert str(tmp_path / "checkpoint.pt") in str(caught.value)


@pytest.mark.parametrize("case", WRONG_QUANTIZED)
def test_quantized_stage(tmp_path: Path, checkpoints: dict[str, bytes], case: str) -> None:
    change, message = WRONG_QUANTIZED[case]
    with pytest.raises(InputError, match=message):
        resumed(tmp_path, checkpoints["quantized"], "quantized", change)


def test_a_range_that_saw_endless_steps(tmp_path: Path, checkpoints: dict[str, bytes]) -> None:
    def change(content: dict[str, Any]) -> None:
        name = next(name for name in content["network"] if name.endswith("_extra_state"))
        content["network"][name] = torch.full((3,), torch.inf, dtype=torch.float64)

    with pytest.raises(InputError, match="activation range: expected steps, whether it is frozen, and headroom"):
        resumed(tmp_path, checkpoints["quantized"], "quantized", change)


@pytest.mark.parametrize("stage", ["float", "quantized"])
def test_checkpoints_as_they_are_go_on(tmp_path: Path, checkpoints: dict[str, bytes], stage: str) -> None:
    resumed(tmp_path, checkpoints[stage], stage, lambda content: None)
    assert (tmp_path / "result.json").exists()


@pytest.mark.parametrize("stage", ["float", "quantized"])
def test_odd_versions_of_layers_go_on(tmp_path: Path, checkpoints: dict[str, bytes], stage: str) -> None:
    """PyTorch keeps versions of layers beside the tensors, and trips over others."""

    def change(content: dict[str, Any]) -> None:
        versions = content["network"]._metadata
        versions.update({name: ("odd",) for name in versions})

    resumed(tmp_path, checkpoints[stage], stage, change)
    assert (tmp_path / "result.json").exists()


def test_tensors_that_share_memory_go_on(tmp_path: Path, checkpoints: dict[str, bytes]) -> None:
    """Momentum whose rows are one row: PyTorch cannot add to it in place."""
    change = put(*MOMENTUM, value=lambda t: t[:1].expand(t.shape))
    resumed(tmp_path, checkpoints["float"], "float", change)
    assert (tmp_path / "result.json").exists()
