"""The networks that come with the package: see ``data/README.md`` for how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from fewflips.errors import ModelError

BASELINE = "mobilenet_v2_cifar10_int8.onnx"
HD_TRAINED = "mobilenet_v2_cifar10_int8_hd.onnx"
SAMPLES = "cifar10_samples.npz"

ACCELERATOR = "edge4"
"""Machine in whose words the HD-trained network's neighbouring weights agree."""

ACCURACY_PROPERTY = "test_accuracy_onnxruntime_percent"
"""Metadata property of an ONNX file that states its accuracy on all test images, in percent."""


@dataclass(frozen=True)
class BundledPair:
    """Files of two networks of one architecture, and of inputs for both.

    Parameters
    ----------
    baseline : Path
        Trained for accuracy alone (ONNX).
    hd_trained : Path
        Trained for few bit flips, too (ONNX).
    samples : Path
        Sample inputs (``.npz``).
    """

    baseline: Path
    hd_trained: Path
    samples: Path


@contextmanager
def bundled_pair() -> Iterator[BundledPair]:
    """Files of the bundled MobileNetV2 (CIFAR-10, int8): baseline, HD-trained network, sample inputs."""
    data = files("fewflips") / "data"
    with (
        as_file(data / BASELINE) as baseline,
        as_file(data / HD_TRAINED) as hd_trained,
        as_file(data / SAMPLES) as samples,
    ):
        yield BundledPair(baseline, hd_trained, samples)


@contextmanager
def bundled_model() -> Iterator[tuple[Path, Path]]:
    """Paths of the bundled baseline (ONNX) and of its sample inputs (``.npz``)."""
    with bundled_pair() as pair:
        yield pair.baseline, pair.samples


def stated_accuracy_percent(model: Path) -> float | None:
    """The accuracy that an ONNX file states in its metadata, property :data:`ACCURACY_PROPERTY`.

    Parameters
    ----------
    model : Path
        The file.

    Returns
    -------
    float or None
        In percent; None where the file states none.

    Raises
    ------
    ModelError
        If the file cannot be read, or what it states is not a number from 0 to 100.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(model, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ModelError(f"{model}: expected an ONNX file, it cannot be read: {error}") from error
    stated = {entry.key: entry.value for entry in proto.metadata_props}.get(ACCURACY_PROPERTY)
    if stated is None:
        return None
    try:
        accuracy = float(stated)
    except ValueError:
        accuracy = -1.0
    if not 0 <= accuracy <= 100:
        raise ModelError(f"{model}: metadata {ACCURACY_PROPERTY}: expected a number from 0 to 100, got {stated!r}")
    return accuracy
