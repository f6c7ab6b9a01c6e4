"""Images in folders, one folder per class: ``train/CLASS/*.png``, ``test/CLASS/*.png`` (or ``val``)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fewflips.errors import InputError
from fewflips.files.image_files import IMAGE_SUFFIXES
from fewflips.training.datasets.dataset import Dataset, Split, check_memory, checked_split
from fewflips.training.datasets.images import decode

_TEST_NAMES = ("test", "val")


def load_image_folder(path: Path, size: int) -> Dataset:
    """A folder of images.

    Parameters
    ----------
    path : Path
        Contains ``train`` and ``test`` (or ``val``), each with one folder of images per class. Classes are
        numbered in the order of their names in ``train``.
    size : int
        Images are cropped to a centred square and resized (bicubic) to this height and width.

    Returns
    -------
    Dataset
        RGB images.

    Raises
    ------
    InputError
        If there is no such folder, a class of ``test`` is not in ``train``, or an image is damaged.
    """
    test = next((path / name for name in _TEST_NAMES if os.path.isdir(path / name)), None)
    if not os.path.isdir(path / "train") or test is None:
        raise InputError(
            f"dataset.path: {path}: expected a folder with train/CLASS/*.png and test/CLASS/*.png (or val), found "
            "none: give the path of the dataset"
        )
    classes = _classes(path / "train")
    if len(classes) < 2:
        raise InputError(f"{path / 'train'}: expected a folder for each of at least two classes, got {len(classes)}")
    unknown = [name for name in _classes(test) if name not in classes]
    if unknown:
        raise InputError(f"{test}: expected the classes of train, got another one: {unknown[0][:100]!r}")
    return Dataset(path.resolve().name, _split(path / "train", classes, size), _split(test, classes, size), classes)


def _classes(folder: Path) -> tuple[str, ...]:
    try:
        names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:  # non-UTF-8 bytes are read as lone surrogates
            raise InputError(f"{folder}: expected folders with names in UTF-8, got {name[:99]!a}: rename it") from error
    return names


def _split(folder: Path, classes: tuple[str, ...], size: int) -> Split:
    files = [
        (file, label)
        for label, name in enumerate(classes)
        if os.path.isdir(folder / name)
        for file in sorted((folder / name).iterdir())
        if file.suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(file)
    ]
    check_memory(folder, len(files) * size * size * 3)
    images = np.empty((len(files), size, size, 3), dtype=np.uint8)
    for i, (file, _) in enumerate(files):
        images[i] = decode(file, str(file), size, fit=True)
    labels = np.array([label for _, label in files], dtype=np.int64)
    return checked_split(folder, images, labels, len(classes), f"put images ({', '.join(IMAGE_SUFFIXES)}) there")
