"""Which test images each network classifies as labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scripts.evaluate_bundled_model import BATCH, load_split, to_input

from .figures import AccuracyFigures, PairedFigures

Hits = dict[str, NDArray[np.bool_]]


def hits_of(models: Sequence[Path], data: Path) -> Hits:
    """For each network whether it classifies each test image as labelled.

    Parameters
    ----------
    models : sequence of Path
        ONNX files.
    data : Path
        CIFAR-10 as an ``.npz`` of JPEG files.

    Returns
    -------
    dict of str to ndarray of bool, shape (images,)
        By the files' stems.
    """
    images, labels = load_split(data, "test")
    return {model.stem: _hits(model, images, labels) for model in models}


def accuracies(hits: Hits) -> tuple[AccuracyFigures, ...]:
    """Accuracy of each network."""
    return tuple(
        AccuracyFigures(network=name, images=len(right), right=int(right.sum())) for name, right in hits.items()
    )


def paired(hits: Hits, pairs: Sequence[tuple[str, str]]) -> tuple[PairedFigures, ...]:
    """The images that one network of a pair classifies as labelled, and the other does not."""
    return tuple(
        PairedFigures(
            before=before,
            after=after,
            images=len(hits[before]),
            only_before=int((hits[before] & ~hits[after]).sum()),
            only_after=int((hits[after] & ~hits[before]).sum()),
        )
        for before, after in pairs
    )


def _hits(model: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = []
    for begin in range(0, len(labels), BATCH):
        (logits,) = session.run(None, {name: to_input(images[begin : begin + BATCH])})
        parts.append(logits.argmax(1) == labels[begin : begin + BATCH])
    return np.concatenate(parts)
