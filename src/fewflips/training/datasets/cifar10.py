"""CIFAR-10 (Krizhevsky, 2009): 60000 colour images of 32 x 32 pixels, 10 classes.

Three forms are read: one ``.npz`` of JPEG files, the "python version" (``cifar-10-batches-py``, torchvision's
form) and the "binary version" (``cifar-10-batches-bin``). The python version is a pickle; it is read by
:mod:`fewflips.training.datasets.plain_pickle`, which creates nothing but plain data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError
from fewflips.files.npz import Header, read_npz
from fewflips.training.datasets.dataset import Dataset, Split, check_memory, checked_split, read_bytes
from fewflips.training.datasets.images import decode
from fewflips.training.datasets.plain_pickle import load_plain_pickle

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 32
_PIXELS = 3 * SIZE * SIZE
_TRAIN_FILES, _TEST_FILE = tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"
_LARGEST_BATCH = 1 << 28
_ADVICE = "download the file again"


def load_cifar10(path: Path) -> Dataset:
    """CIFAR-10 from any of its forms.

    Parameters
    ----------
    path : Path
        An ``.npz`` file; or a folder that is or contains ``cifar-10-batches-py`` or ``cifar-10-batches-bin``.
        For each split, the ``.npz`` holds the JPEG files one after the other (``train_jpeg``: uint8, shape
        (bytes,)), where each begins and ends (``train_offsets``: integers, shape (images + 1,)) and their labels
        (``train_labels``: integers, shape (images,)); the same with ``test_``.

    Returns
    -------
    Dataset
        RGB images of 32 x 32 pixels.

    Raises
    ------
    InputError
        If the files are missing, damaged or from another dataset.
    """
    if os.path.isfile(path):
        return _from_archive(path)
    for folder in (path, path / "cifar-10-batches-py", path / "cifar-10-batches-bin"):
        for suffix, read in (("", _python_batch), (".bin", _binary_batch)):
            if os.path.isfile(folder / f"{_TRAIN_FILES[0]}{suffix}"):
                batches = [read(folder / f"{name}{suffix}") for name in (*_TRAIN_FILES, _TEST_FILE)]
                return Dataset("CIFAR-10", _joined(folder, batches[:-1]), _joined(folder, batches[-1:]), CLASSES)
    raise InputError(
        f"dataset.path: {path}: expected the .npz of CIFAR-10 or a folder with cifar-10-batches-py or "
        "cifar-10-batches-bin, found neither: give the path of the dataset"
    )


def _from_archive(path: Path) -> Dataset:
    parts = {split: [f"{split}_{part}" for part in ("jpeg", "offsets", "labels")] for split in ("train", "test")}

    def choose(present: Sequence[str]) -> list[str]:
        for names in parts.values():
            missing = [name for name in names if name not in present]
            if missing:
                raise InputError(f"{path}: expected arrays {', '.join(names)}, got no {missing[0]}: {_ADVICE}")
        return [name for names in parts.values() for name in names]

    def check(headers: Mapping[str, Header]) -> None:
        for names in parts.values():
            _check_headers(path, names, [headers[name] for name in names])
        check_memory(path, sum(header.nbytes for header in headers.values()))

    arrays = read_npz(path, choose, check, "the .npz of CIFAR-10")
    splits = [_checked_arrays(path, split, {name: arrays[name] for name in names}) for split, names in parts.items()]
    return Dataset("CIFAR-10", _decoded(path, *splits[0]), _decoded(path, *splits[1]), CLASSES)


def _check_headers(path: Path, names: Sequence[str], headers: Sequence[Header]) -> None:
    """Raise :class:`InputError` unless the arrays of a split are consistent, and their images fit in memory."""
    stream, offsets, labels = headers
    if stream.dtype != np.uint8 or len(stream.shape) != 1:
        raise InputError(f"{path}: {names[0]}: expected bytes, got {stream.dtype} {list(stream.shape)}: {_ADVICE}")
    images = math.prod(labels.shape)
    if offsets.dtype.kind not in "iu" or labels.dtype.kind not in "iu" or offsets.shape != (images + 1,):
        raise InputError(
            f"{path}: expected integers, one more in {names[1]} than in {names[2]}, got {offsets.dtype} "
            f"{list(offsets.shape)} and {labels.dtype} {list(labels.shape)}: {_ADVICE}"
        )
    check_memory(path, images * _PIXELS)


def _checked_arrays(
    path: Path, split: str, arrays: dict[str, NDArray[Any]]
) -> tuple[str, NDArray[Any], NDArray[Any], NDArray[Any]]:
    names = list(arrays)
    stream, offsets, labels = arrays.values()
    if offsets[0] < 0 or offsets[-1] > len(stream) or (np.diff(offsets.astype(np.int64)) <= 0).any():
        raise InputError(f"{path}: {names[1]}: expected rising places within {len(stream)} bytes: {_ADVICE}")
    return split, stream, offsets, labels


def _decoded(
    path: Path, split: str, stream: NDArray[np.uint8], offsets: NDArray[Any], labels: NDArray[np.integer]
) -> Split:
    images = np.empty((labels.size, SIZE, SIZE, 3), dtype=np.uint8)
    for i in range(labels.size):
        file = stream[offsets[i] : offsets[i + 1]].tobytes()
        images[i] = decode(file, f"{path}: {split} image {i}", SIZE, fit=False)
    return checked_split(f"{path}: {split}", images, labels, len(CLASSES), _ADVICE)


_Batch = tuple[NDArray[np.uint8], NDArray[np.integer]]


def _python_batch(path: Path) -> _Batch:
    content = load_plain_pickle(read_bytes(path, _ADVICE, _LARGEST_BATCH), str(path))
    data, labels = (content.get(b"data"), content.get(b"labels")) if isinstance(content, dict) else (None, None)
    whole = isinstance(labels, list) and all(type(label) is int and 0 <= label < 2**31 for label in labels)
    if not isinstance(data, np.ndarray) or data.shape[1:] != (_PIXELS,) or not whole:
        raise InputError(f"{path}: expected data of {_PIXELS} bytes an image and a list of labels: {_ADVICE}")
    return data, np.array(labels, dtype=np.int64)


def _binary_batch(path: Path) -> _Batch:
    content = np.frombuffer(read_bytes(path, _ADVICE, _LARGEST_BATCH), dtype=np.uint8)
    if content.size % (1 + _PIXELS):
        raise InputError(f"{path}: expected records of {1 + _PIXELS} bytes, got {content.size} bytes: {_ADVICE}")
    records = content.reshape(-1, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


def _joined(folder: Path, batches: list[_Batch]) -> Split:
    """Combine batches of planes (red, green, blue, each row by row) into one split of pixels."""
    for images, labels in batches:
        if len(images) != len(labels):
            raise InputError(
                f"{folder}: expected as many labels as images in each batch, got {len(labels)} labels for "
                f"{len(images)} images: {_ADVICE}"
            )
    planes = np.concatenate([images for images, _ in batches]).reshape(-1, 3, SIZE, SIZE)
    labels = np.concatenate([labels for _, labels in batches])
    return checked_split(folder, planes.transpose(0, 2, 3, 1), labels, len(CLASSES), _ADVICE)
