"""The end of a run: export, measurement in ONNX Runtime, result files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch

from fewflips.bundled import ACCURACY_PROPERTY
from fewflips.files.atomic import atomic_write
from fewflips.training.config import TrainingConfig
from fewflips.training.datasets import Dataset
from fewflips.training.export.onnx_export import to_onnx
from fewflips.training.networks.blocks import ImageClassifier
from fewflips.training.result import (
    RESULT,
    Accuracies,
    DatasetRecord,
    TrainingResult,
    export_warnings,
    sha256_of,
    software_versions,
)
from fewflips.training.stages.augmentation import to_input
from fewflips.training.stages.evaluation import accuracy_percent, exported_accuracy_percent
from fewflips.training.stages.loop import Surroundings
from fewflips.version import __version__

SAMPLES = "samples.npz"
"""The first test image of every class, as the model's input: for ``fewflips energy --inputs``."""


def finish(
    config: TrainingConfig,
    folder: Path,
    dataset: Dataset,
    network: ImageClassifier,
    accuracies: Mapping[str, float | None],
    around: Surroundings,
) -> TrainingResult:
    """Export a trained network, measure its accuracy, and write the result.

    Parameters
    ----------
    config : TrainingConfig
        Configuration of the run.
    folder : Path
        Where ``model.onnx``, ``samples.npz`` and ``result.json`` are written.
    dataset : Dataset
        Images, on the CPU.
    network : ImageClassifier
        Float network, or quantized if the configuration has a quantized stage.
    accuracies : mapping of str to float
        Accuracies known so far, by fields of :class:`~fewflips.training.result.Accuracies`.
    around : Surroundings
        Device, metrics and signals of the run.

    Returns
    -------
    TrainingResult
        Content of ``result.json``.

    Raises
    ------
    FewflipsError
        If the network cannot be exported or a file cannot be written.
    Stopped
        If a signal requested it before the model was written.
    """
    trained = accuracy_percent(network, around.dataset.test, around.signals.check)
    exported, digest = None, None
    if config.quantized_stage is not None:
        proto = to_onnx(network.cpu())
        exported = exported_accuracy_percent(
            proto.SerializeToString(), dataset.test, config.threads or 1, around.signals.check
        )
        onnx.helper.set_model_props(proto, _properties(config, dataset, exported))
        model = proto.SerializeToString()
        atomic_write(folder / "model.onnx", model)
        atomic_write(folder / SAMPLES, _samples(dataset))
        digest = sha256_of(model)
    epochs = around.metrics.epochs
    result = TrainingResult(
        config=config,
        dataset=DatasetRecord(
            name=dataset.name,
            training_images=len(dataset.train),
            test_images=len(dataset.test),
            classes=len(dataset.classes),
            image_shape=dataset.image_shape,
        ),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        accuracies=Accuracies(**accuracies, trained_percent=trained, exported_percent=exported),
        hamming=epochs[-1]["hamming"] if epochs else None,
        training_seconds=sum(epoch["seconds"] for epoch in epochs),
        model_sha256=digest,
        versions=software_versions(),
        processor=_processor(around.environment.device),
        warnings=export_warnings(trained, exported),
    )
    atomic_write(folder / RESULT, (result.model_dump_json(indent=1) + "\n").encode())
    return result


def _properties(config: TrainingConfig, dataset: Dataset, exported: float) -> dict[str, str]:
    """Metadata of the file."""
    return {
        "producer": f"fewflips train {__version__}",
        "dataset": dataset.name,
        "classes": " ".join(dataset.classes),
        "seed": str(config.seed),
        ACCURACY_PROPERTY: f"{exported:.2f}",
    }


def _samples(dataset: Dataset) -> bytes:
    """An .npz of test images as the model's input, with their labels for reference."""
    labels = dataset.test.labels.numpy()
    first = np.unique(labels, return_index=True)[1]
    buffer = io.BytesIO()
    images = to_input(dataset.test.images[torch.from_numpy(first)]).contiguous().numpy()
    np.savez_compressed(buffer, input=images, labels=labels[first])
    return buffer.getvalue()


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.backends.cpu.get_cpu_capability()}"
