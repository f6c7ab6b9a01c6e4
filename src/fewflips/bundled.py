"""The networks that ship with the package; ``data/README.md`` says how they were made."""

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


PAIR_REMARK = (
    "The pair does not differ in the HD term alone: the HD-trained network also has an activation headroom of 2. "
    "Against a baseline with the same headroom, both together take 3.36x less energy, not 3.56x (mean of the "
    "layers: 2.71x, not 2.87x). 4 lanes flatter: wider arrays reach 1.99x to 2.70x, and with 8 KB buffers on the "
    "bill edge4 reaches 1.39x. Flips are those within passes: with those between passes 8.04x, not 8.46x. A "
    "schedule needs an index table of 145 KiB, a quarter of the weights. Strength and epochs were chosen by "
    "accuracy on the same test images. More: results/reproduction.md."
)
"""What a reader of the pair's figures has to know; tests compare its figures with their records."""


@dataclass(frozen=True)
class BundledPair:
    """Files of two networks of one architecture, and of inputs for both.

    Parameters
    ----------
    baseline : Path
        Trained for accuracy alone (ONNX).
    hd_trained : Path
        Also trained for few bit flips (ONNX).
    samples : Path
        Sample inputs (``.npz``).
    remark : str
        What a reader of a comparison of the two has to know; may be empty.
    """

    baseline: Path
    hd_trained: Path
    samples: Path
    remark: str = ""


@contextmanager
def bundled_pair() -> Iterator[BundledPair]:
    """Files of the bundled MobileNetV2 (CIFAR-10, int8): baseline, HD-trained network, sample inputs."""
    data = files("fewflips") / "data"
    with (
        as_file(data / BASELINE) as baseline,
        as_file(data / HD_TRAINED) as hd_trained,
        as_file(data / SAMPLES) as samples,
    ):
        yield BundledPair(baseline, hd_trained, samples, PAIR_REMARK)


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
        In percent; None if the file states none.

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
