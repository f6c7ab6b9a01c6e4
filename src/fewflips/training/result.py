"""The results of a training run, and their files."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fewflips.errors import InputError
from fewflips.files.input_files import read_plain
from fewflips.files.validation import describe_validation_error
from fewflips.records.record import Count, Record
from fewflips.training.config import TrainingConfig
from fewflips.version import __version__

RESULT = "result.json"
EXPORT_TOLERANCE_PERCENT = 0.1
"""An exported model should be as accurate as the trained network within this many points."""

Percent = Annotated[float, Field(ge=0, le=100)]


class Accuracies(Record):
    """Top-1 accuracy on all test images."""

    float_percent: Annotated[
        Percent | None, Field(description="after the float stage; null if the run starts from an ONNX file")
    ] = None
    calibrated_percent: Annotated[
        Percent | None, Field(description="after quantization, before further training; null if nothing was quantized")
    ] = None
    trained_percent: Annotated[Percent, Field(description="of the trained network in PyTorch")]
    exported_percent: Annotated[
        Percent | None, Field(description="accuracy of model.onnx in ONNX Runtime; null if nothing was exported")
    ] = None


class DatasetRecord(Record):
    """Dataset the run was trained and tested on."""

    name: str
    training_images: Count
    test_images: Count
    classes: Count
    image_shape: tuple[int, int, int]


class TrainingResult(Record):
    """A training run; ``result.json``."""

    format: Literal["fewflips-training"] = "fewflips-training"
    version: Literal[1] = 1
    fewflips: Annotated[str, Field(description="version of the package")] = __version__
    config: Annotated[TrainingConfig, Field(description="full configuration, defaults included")]
    dataset: DatasetRecord
    parameters: Annotated[Count, Field(description="number of trained parameters")]
    accuracies: Accuracies
    hamming: Annotated[
        dict[str, float] | None, Field(description="figures of the HD term at the end of training; null without one")
    ] = None
    training_seconds: Annotated[float, Field(ge=0, description="training time of all epochs, without evaluation")]
    model_sha256: Annotated[str | None, Field(description="accuracy of model.onnx; null if nothing was exported")] = (
        None
    )
    versions: Annotated[dict[str, str], Field(description="versions of the software that the result depends on")]
    processor: Annotated[str, Field(description="device the run used")]
    warnings: tuple[str, ...] = ()


def software_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    names = ("torch", "numpy", "onnx", "onnxruntime")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def export_warnings(trained_percent: float, exported_percent: float | None) -> tuple[str, ...]:
    """Warnings if an exported model is not as accurate as the trained network.

    Examples
    --------
    >>> export_warnings(90.0, 90.1)
    ()
    >>> export_warnings(90.0, 89.5)[0][:57]
    'the exported model is 0.50 points less accurate than the '
    """
    if exported_percent is None:
        return ()
    gap = exported_percent - trained_percent
    if abs(gap) <= EXPORT_TOLERANCE_PERCENT + 1e-9:
        return ()
    return (
        f"the exported model is {abs(gap):.2f} points {'more' if gap > 0 else 'less'} accurate than the trained "
        f"network ({exported_percent:.2f} against {trained_percent:.2f} %); expected at most "
        f"{EXPORT_TOLERANCE_PERCENT:g}: ONNX Runtime and PyTorch round differently, or the test set is small",
    )


def read_result(folder: Path) -> TrainingResult | None:
    """The result of a finished run.

    Parameters
    ----------
    folder : Path
        Output folder of the run.

    Returns
    -------
    TrainingResult or None
        None if the run is not finished.

    Raises
    ------
    InputError
        If ``result.json`` is damaged.
    """
    path = folder / RESULT
    try:
        return TrainingResult.model_validate_json(read_plain(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise InputError(f"{path}: {describe_validation_error(error)}: remove it to have it written again") from error


def sha256_of(data: bytes) -> str:
    """Digest of a file's content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
