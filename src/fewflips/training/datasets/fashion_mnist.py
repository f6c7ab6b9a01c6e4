"""Fashion-MNIST (Xiao et al., 2017, arXiv 1708.07747): 70000 grey images of 28 x 28 pixels, 10 classes.

Its files are in the IDX format of MNIST (Y. LeCun): two zero bytes, the type (8: uint8), the number of axes, the
length of each axis as a big-endian 32-bit integer, then the values.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.files.input_files import most_unpacked
from fewflips.training.datasets.dataset import Dataset, Split, checked_split, read_bytes

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_ADVICE = "download the file again"
_LARGEST = 1 << 30
_LARGEST_SIDE = 1024


def load_fashion_mnist(path: Path) -> Dataset:
    """Fashion-MNIST from its four IDX files.

    Parameters
    ----------
    path : Path
        A folder that contains ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same with ``t10k``,
        each plain or with ``.gz``; or one that contains torchvision's ``FashionMNIST/raw`` with them.

    Returns
    -------
    Dataset
        Grey images with one channel.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    for folder in (path, path / "FashionMNIST" / "raw"):
        if _find(folder, "train-images-idx3-ubyte"):
            train, test = _split(folder, "train"), _split(folder, "t10k")
            if train.images.shape[1:] != test.images.shape[1:]:
                raise InputError(f"{folder}: expected images of one size for training and test: {_ADVICE}")
            return Dataset("Fashion-MNIST", train, test, CLASSES)
    raise InputError(
        f"dataset.path: {path}: expected a folder with train-images-idx3-ubyte (or .gz) of Fashion-MNIST, "
        "found none: give the path of the dataset"
    )


def _split(folder: Path, prefix: str) -> Split:
    images = _idx(folder, f"{prefix}-images-idx3-ubyte", 3)
    labels = _idx(folder, f"{prefix}-labels-idx1-ubyte", 1)
    return checked_split(f"{folder}: {prefix}", images[..., np.newaxis], labels, len(CLASSES), _ADVICE)


def _find(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if os.path.isfile(file)), None)


def _idx(folder: Path, name: str, axes: int) -> NDArray[np.uint8]:
    path = _find(folder, name)
    if path is None:
        raise InputError(f"{folder}: expected {name} or {name}.gz, found neither: {_ADVICE}")
    content = _unpacked(path)
    header = 4 + 4 * axes
    if len(content) < header or content[:4] != bytes([0, 0, 8, axes]):
        raise InputError(f"{path}: expected an IDX file of bytes with {axes} axes, got {content[:4]!r}: {_ADVICE}")
    shape = tuple(int(length) for length in np.frombuffer(content, dtype=">u4", count=axes, offset=4))
    if len(content) - header != math.prod(shape):
        raise InputError(
            f"{path}: expected {math.prod(shape)} values for shape {list(shape)}, got {len(content) - header}: "
            f"{_ADVICE}"
        )
    if axes == 3 and not all(1 <= side <= _LARGEST_SIDE for side in shape[1:]):
        raise InputError(f"{path}: expected images of 1 to {_LARGEST_SIDE} pixels a side, got {list(shape)}: {_ADVICE}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _unpacked(path: Path) -> bytes:
    content = read_bytes(path, _ADVICE, _LARGEST)
    if path.suffix != ".gz":
        return content
    most = most_unpacked(len(content), _LARGEST)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            content = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        detail = " ".join(str(error).split())
        raise InputError(f"{path}: expected a gzip file, got a damaged one: {detail}: {_ADVICE}") from error
    if len(content) > most:
        raise InputError(f"{path}: expected at most {most} bytes unpacked, got more: {_ADVICE}")
    return content
