"""Datasets to train with; nothing is downloaded."""

from __future__ import annotations

import os

from fewflips.errors import InputError
from fewflips.training.config import DatasetOptions
from fewflips.training.datasets.cifar10 import load_cifar10
from fewflips.training.datasets.dataset import Dataset, Split
from fewflips.training.datasets.fashion_mnist import load_fashion_mnist
from fewflips.training.datasets.image_folder import load_image_folder

__all__ = ["Dataset", "Split", "load_dataset"]


def load_dataset(options: DatasetOptions) -> Dataset:
    """The images named by a configuration.

    Parameters
    ----------
    options : DatasetOptions
        Name and path.

    Returns
    -------
    Dataset
        The whole dataset, in memory.

    Raises
    ------
    InputError
        If the dataset is missing, damaged, or too large.
    """
    if not os.path.exists(options.path):  # False for invalid names, for which Path.exists raises
        raise InputError(f"dataset.path: expected a file or folder, got {options.path}, which does not exist")
    try:
        if options.name == "cifar10":
            return load_cifar10(options.path)
        if options.name == "fashion-mnist":
            return load_fashion_mnist(options.path)
        return load_image_folder(options.path, options.image_size)
    except MemoryError as error:
        raise InputError(f"dataset.path: {options.path}: does not fit in the memory of this machine") from error
