"""The model that comes with the package: see ``data/README.md`` for how it was made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path


@contextmanager
def bundled_model() -> Iterator[tuple[Path, Path]]:
    """Paths of the bundled MobileNetV2 (CIFAR-10, int8, ONNX) and of its sample inputs (``.npz``)."""
    data = files("fewflips") / "data"
    with as_file(data / "mobilenet_v2_cifar10_int8.onnx") as model, as_file(data / "cifar10_samples.npz") as samples:
        yield model, samples
