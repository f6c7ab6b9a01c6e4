"""Labelled images in memory, and the checks that apply to every source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewflips.errors import InputError
from fewflips.files.input_files import read_plain, size_of

MAX_BYTES = 8 * 2**30
"""Datasets that would take more than this many bytes of memory are refused."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images.

    Parameters
    ----------
    images : Tensor of uint8, shape (count, height, width, channels)
        Pixels.
    labels : Tensor of int64, shape (count,)
        Class of each image, starting at 0.
    """

    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        """The same on a device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Images to train with and images to test with.

    Parameters
    ----------
    name : str
        Name for reports.
    train, test : Split
        Both parts; images of one shape.
    classes : tuple of str
        Name of each label.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def sha256(self) -> str:
        """Digest of all images, labels and names of classes, in hexadecimal."""
        whole = hashlib.sha256(repr((self.image_shape, self.classes)).encode())
        for split in (self.train, self.test):
            whole.update(len(split).to_bytes(8, "little"))
            for part in (split.images, split.labels):
                whole.update(part.cpu().contiguous().numpy().data)
        return whole.hexdigest()

    def to(self, device: torch.device) -> Dataset:
        """The same on a device."""
        return Dataset(self.name, self.train.to(device), self.test.to(device), self.classes)


def checked_split(
    source: Path | str, images: NDArray[np.uint8], labels: NDArray[np.integer], classes: int, advice: str
) -> Split:
    """A split whose labels fit its images and classes.

    Parameters
    ----------
    source : Path or str
        Where the images come from, for the message.
    images : ndarray of uint8, shape (count, height, width, channels)
        Pixels; used without copying if they are writable.
    labels : ndarray of integers, shape (count,)
        Class of each image.
    classes : int
        Number of classes; labels must be 0 .. classes - 1.
    advice : str
        What to do if they do not fit, for the message.

    Returns
    -------
    Split
        At least one image.

    Raises
    ------
    InputError
        If counts differ, there is no image, or a label is out of range.
    """
    if labels.ndim != 1 or len(images) != len(labels):
        raise InputError(
            f"{source}: expected one label for each of {len(images)} images, got labels of shape "
            f"{list(labels.shape)}: {advice}"
        )
    if len(labels) == 0:
        raise InputError(f"{source}: expected images, got none: {advice}")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{source}: expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}: {advice}"
        )
    return Split(
        torch.from_numpy(np.require(images, requirements=["W", "C"])), torch.from_numpy(labels.astype(np.int64))
    )


def check_memory(source: Path | str, size: int) -> None:
    """Refuse a dataset that does not fit in memory before allocating any of it.

    Parameters
    ----------
    source : Path or str
        For the message.
    size : int
        Bytes that the dataset would take.

    Raises
    ------
    InputError
        If that is more than :data:`MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise InputError(
            f"{source}: expected a dataset of at most {MAX_BYTES / 2**30:g} GiB in memory, got {size / 2**30:.3g} GiB: "
            "take fewer or smaller images"
        )


def read_bytes(path: Path, advice: str, largest: int = MAX_BYTES) -> bytes:
    """The content of a dataset's file.

    Parameters
    ----------
    path : Path
        The file.
    advice : str
        What to do if it is missing, for the message.
    largest : int
        Largest size in bytes; larger files are refused.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    InputError
        If it cannot be read, or is too large.
    """
    try:
        size = size_of(path)
        if size > largest:
            raise InputError(f"{path}: expected a file of at most {largest} bytes, got {size}: {advice}")
        return read_plain(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}: {advice}") from error
