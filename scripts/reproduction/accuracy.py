"""Test accuracy of a kept network in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scripts.evaluate_bundled_model import count_hits, load_split

from fewflips.errors import InputError, RuntimeFailure
from fewflips.files.cache import cached, digest_of

from .figures import Reproduction


@dataclass(frozen=True)
class TestImages:
    """The images of CIFAR-10's test split, decoded when they are first needed.

    Parameters
    ----------
    path : Path
        The ``.npz`` of JPEG files.
    """

    path: Path

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            return load_split(self.path, "test")
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise InputError(f"{self.path}: expected CIFAR-10 as an .npz of JPEG files, got: {error}") from error

    def accuracy_percent(self, model: bytes) -> float:
        """Share of the test images that an ONNX model classifies as labelled; kept by the content of both.

        Raises
        ------
        FewflipsError
            If the images or the model cannot be used.
        """
        images, labels = self._split
        digest = digest_of("1", model, version("onnxruntime"), images.tobytes(), labels.tobytes())
        return float(cached("reproduction-accuracy", digest, lambda: self._measured(model)))

    def _measured(self, model: bytes) -> bytes:
        images, labels = self._split
        try:
            hits = count_hits(model, images, labels)
        except Exception as error:  # ONNX Runtime's errors have no class in common but this one
            raise RuntimeFailure(f"ONNX Runtime does not run the model: {' '.join(str(error).split())}") from error
        return repr(100.0 * hits / len(labels)).encode()


def accuracy_of(name: str, model: Path, sha256: str, data: Path, before: Reproduction | None) -> tuple[float, bool]:
    """Test accuracy, measured, or taken from the figures that were written before.

    Parameters
    ----------
    name : str
        Of the network.
    model : Path
        Its file.
    sha256 : str
        Digest of the file.
    data : Path
        CIFAR-10; where there is no such file the accuracy of the same network is taken from `before`.
    before : Reproduction or None
        Figures written before.

    Returns
    -------
    float
        In percent.
    bool
        Whether it was measured now.

    Raises
    ------
    FewflipsError
        If it can neither be measured nor taken from `before`.
    """
    if data.is_file():
        return TestImages(data).accuracy_percent(model.read_bytes()), True
    for known in before.networks if before else ():
        if known.model_sha256 == sha256:
            return known.accuracy_percent, False
    raise InputError(
        f"{name}: its accuracy is not known: expected CIFAR-10 in {data}, got no file, and no figures of this very "
        "network were written before; --data names the file"
    )
