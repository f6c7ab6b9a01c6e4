"""Finds an earlier run in a folder, and checks whether this run may continue it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from fewflips.errors import InputError
from fewflips.files.validation import describe_validation_error
from fewflips.machine import load_accelerator
from fewflips.training.checkpoints import check_same_run, holds, load_checkpoint, load_run
from fewflips.training.config import TrainingConfig
from fewflips.training.datasets import Dataset
from fewflips.training.result import RESULT, Percent, TrainingResult, read_result

CHECKPOINT, FLOAT_CHECKPOINT = "checkpoint.pt", "float.pt"
_PARTS = (
    "config",
    "inputs",
    "epochs",
    "accuracies",
    "stage",
    "epoch",
    "step",
    "network",
    "optimizer",
    "scaler",
    "teacher",
    "hamming",
    "random",
    "tally",
)
_OPEN = {"threads": None, "device": "auto", "precision": "auto"}


_Epochs = Annotated[int, Field(ge=0, le=10**6, strict=True)]


class _Epoch(BaseModel):
    """An epoch's figures: those needed at the end of a run, and others, which are written as JSON."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, JsonValue]

    stage: str
    epoch: int
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    hamming: dict[str, float] | None


class _KnownAccuracies(BaseModel):
    model_config = ConfigDict(extra="forbid")

    float_percent: Percent | None = None
    calibrated_percent: Percent | None = None


class _Position(BaseModel):
    """Plain parts of a checkpoint."""

    stage: Literal["float", "quantized"]
    epoch: _Epochs
    step: Annotated[int, Field(ge=0, strict=True)]
    epochs: list[_Epoch]
    accuracies: _KnownAccuracies
    config: dict[str, JsonValue]


def saved_run(folder: Path, *, resume: bool) -> dict[str, Any] | None:
    """The checkpoint in a run's folder.

    Parameters
    ----------
    folder : Path
        May be missing.
    resume : bool
        Whether to continue an earlier run.

    Returns
    -------
    dict or None
        None if there is none.

    Raises
    ------
    InputError
        If there is one and `resume` was not asked for, or it cannot be used.
    """
    path = folder / CHECKPOINT
    if not os.path.exists(path):
        return None
    if not resume:
        raise InputError(
            f"{path}: is the checkpoint of an earlier run and would be replaced: give --resume to go on with it, or "
            "choose another output"
        )
    saved = load_run(path)
    missing = [part for part in _PARTS if part not in saved]
    if missing or not isinstance(saved["config"], dict):
        raise InputError(f"{path}: expected a checkpoint of a run, got one without {', '.join(missing) or 'config'}")
    try:
        position = _Position.model_validate({name: saved[name] for name in _Position.model_fields})
    except ValidationError as error:
        raise InputError(f"{path}: expected a checkpoint of a run: {describe_validation_error(error)}") from error
    known = position.model_dump(exclude_unset=True)  # plain values, even where tensors were accepted as numbers
    known["epochs"] = [
        {name: epoch[name] for name in before} for epoch, before in zip(known["epochs"], saved["epochs"], strict=True)
    ]
    return saved | known


def inputs_of(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    """What a run depends on in addition to its configuration.

    Parameters
    ----------
    config : TrainingConfig
        Configuration, which names the accelerator.
    dataset : Dataset
        All images.

    Returns
    -------
    dict
        Plain values: the dataset's digest, and the accelerator as described in its file, without
        its buffers, on which training does not depend; None without the HD term.

    Raises
    ------
    AcceleratorError
        If the accelerator cannot be read.
    """
    machine = load_accelerator(config.hamming.accelerator) if config.hamming else None
    described = None if machine is None else machine.model_dump_json(exclude={"buffers"})
    return {"dataset": dataset.sha256, "accelerator": described}


def check_same_inputs(path: Path, saved: Any, present: dict[str, Any]) -> None:
    """Refuse to continue with different images, or with a modified accelerator.

    Parameters
    ----------
    path : Path
        Path of the checkpoint, for the message.
    saved, present : dict
        Results of :func:`inputs_of`, then and now.

    Raises
    ------
    InputError
        If they differ.
    """
    advice = "resume with what it was made with, or choose another output"
    if not isinstance(saved, dict) or not holds(saved, "dataset", present["dataset"]):
        raise InputError(f"{path}: expected a checkpoint of a run with these images, got one with others: {advice}")
    if not holds(saved, "accelerator", present["accelerator"]):
        raise InputError(f"{path}: expected a checkpoint of a run on this accelerator, got one on another: {advice}")


def finished_run(folder: Path, *, resume: bool) -> TrainingResult | None:
    """The result in a run's folder.

    Parameters
    ----------
    folder : Path
        May be missing.
    resume : bool
        Whether an earlier run may be shown again.

    Returns
    -------
    TrainingResult or None
        None if there is none.

    Raises
    ------
    InputError
        If there is one and `resume` was not asked for, or it is damaged.
    """
    finished = read_result(folder)
    if finished is not None and not resume:
        raise InputError(
            f"{folder / RESULT}: is the result of an earlier run and would be replaced: give --resume to see it, or "
            "choose another output"
        )
    return finished


def as_before(config: TrainingConfig, before: dict[str, Any], path: Path) -> TrainingConfig:
    """Take what a configuration leaves open (threads, device, precision) from an earlier run.

    Parameters
    ----------
    config : TrainingConfig
        The configuration as given.
    before : dict
        The earlier run's configuration, as plain values.
    path : Path
        Path of the checkpoint or result that contains it, for messages.

    Returns
    -------
    TrainingConfig
        The configuration of the same run as the earlier one.

    Raises
    ------
    InputError
        If it is a different run; the message names the first difference.
    """
    kept = {name: before.get(name) for name, value in _OPEN.items() if getattr(config, name) == value}
    try:
        same = TrainingConfig.model_validate(config.model_dump() | kept)
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}") from error
    check_same_run(path, before, same.model_dump(mode="json"))
    return same


def float_weights(path: Path) -> Any:
    """Weights at the end of another run's float stage.

    Parameters
    ----------
    path : Path
        ``float.pt`` of a run, or the folder that holds it.

    Returns
    -------
    object
        The network's state in the file.

    Raises
    ------
    InputError
        If it is missing, damaged, or another kind of checkpoint.
    """
    file = path / FLOAT_CHECKPOINT if os.path.isdir(path) else path
    try:
        content = load_checkpoint(file)
    except InputError as error:
        raise InputError(f"initial.checkpoint: {error}") from error
    if not holds(content, "stage", "float") or not holds(content, "finished", True):
        raise InputError(
            f"initial.checkpoint: {file}: expected the {FLOAT_CHECKPOINT} of a run, written at the end of its float "
            "stage, got another checkpoint"
        )
    return content.get("network")
