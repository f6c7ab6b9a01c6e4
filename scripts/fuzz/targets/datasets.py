"""Datasets to train with, as `train` loads them."""

from __future__ import annotations

import gzip
import pickle
import random
import struct
from pathlib import Path

import numpy as np

from fewflips.training.config import DatasetOptions
from fewflips.training.datasets import load_dataset

from ..kinds import Files, MutatedFiles
from ..mutation import bombs, pictures, raw
from ..mutation.archives import Archives
from ..mutation.pickles import Pickles
from ..mutation.values import INTEGERS
from .samples import image_bytes, npz_bytes

_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def cifar10_archive(folder: Path) -> MutatedFiles:
    """One .npz of JPEG files."""
    images = {
        split: [image_bytes("JPEG", size=(32, 32), seed=i) for i in range(count)]
        for split, count in (("train", 3), ("test", 2))
    }
    seed = _packed_images(images)
    archives = Archives([seed])

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if chance.random() < 0.75:
            return archives.change(chance, content)
        split = chance.choice(list(images))
        files = list(images[split])
        place = chance.randrange(len(files))
        files[place] = pictures.change(chance, files[place], tuple(files))
        return _packed_images(images | {split: files})

    def entry(inputs: Path) -> None:
        load_dataset(DatasetOptions(name="cifar10", path=inputs / "cifar10.npz")).sha256  # noqa: B018  # computed

    return MutatedFiles([{"cifar10.npz": seed}], change, entry)


def _packed_images(images: dict[str, list[bytes]]) -> bytes:
    values: dict[str, np.ndarray] = {}
    for split, files in images.items():
        values[f"{split}_jpeg"] = np.frombuffer(b"".join(files), np.uint8)
        values[f"{split}_offsets"] = np.cumsum([0, *map(len, files)])
        values[f"{split}_labels"] = np.arange(len(files))
    return npz_bytes(**values)


def cifar10_batches(folder: Path) -> MutatedFiles:
    """The python version, whose files are pickles, and the binary version."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3072)).astype(np.uint8)
    pickles = []
    for protocol in (2, 4):
        content = {b"data": pixels, b"labels": [3], b"batch_label": b"one", b"filenames": [b"a.png"]}
        pickles.append(pickle.dumps(content, protocol))
    pickles.append(pickle.dumps({b"data": [1, 2.5, "text", None, True, (1,), {1: 2}], b"labels": []}, 0))
    binary = b"\x03" + pixels.tobytes()
    changes = Pickles(pickles)
    seeds: list[Files] = [{name: content for name in _BATCHES} for content in pickles[:2]]
    seeds += [{f"{name}.bin": binary for name in _BATCHES}]

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if name.endswith(".bin"):
            return raw.change(chance, content)
        return changes.change(chance, content if chance.random() < 0.8 else pickles[2])

    def entry(inputs: Path) -> None:
        load_dataset(DatasetOptions(name="cifar10", path=inputs))

    return MutatedFiles([seeds[i] for i in (0, 0, 1, 1, 2)], change, entry, often=(_BATCHES[0], "data_batch_1.bin"))


def fashion_mnist(folder: Path) -> MutatedFiles:
    """IDX files, plain and zipped."""
    generator, plain = np.random.default_rng(0), {}
    for prefix, count in (("train", 3), ("t10k", 2)):
        plain[f"{prefix}-images-idx3-ubyte"] = _idx(generator.integers(0, 256, (count, 8, 8)))
        plain[f"{prefix}-labels-idx1-ubyte"] = _idx(np.arange(count))
    seeds: list[Files] = [plain, {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in plain.items()}]

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        if name.endswith(".gz") and chance.random() < 0.01:
            return bombs.zipped(chance.choice((b"", _HEADER)))
        if name.endswith(".gz") and chance.random() < 0.6:
            return gzip.compress(change(chance, "", gzip.decompress(content)), 1, mtime=0)
        if chance.random() < 0.5:
            return raw.change(chance, content)
        place = 4 * chance.randrange(4)
        return content[:place] + struct.pack(">I", chance.choice(INTEGERS) % 2**32) + content[place + 4 :]

    def entry(inputs: Path) -> None:
        load_dataset(DatasetOptions(name="fashion-mnist", path=inputs))

    return MutatedFiles(seeds, change, entry)


_HEADER = bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 8, 8)


def _idx(values: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, values.ndim])
        + struct.pack(f">{values.ndim}I", *values.shape)
        + values.astype(np.uint8).tobytes()
    )


def image_folder(folder: Path) -> MutatedFiles:
    """One folder a class."""
    seeds: list[Files] = [
        {
            "train/cat/a.png": image_bytes("PNG"),
            "train/dog/b.jpg": image_bytes("JPEG"),
            "test/cat/c.bmp": image_bytes("BMP"),
            "test/dog/d.webp": image_bytes("WEBP"),
        }
    ]
    others = tuple(seeds[0].values())

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return pictures.change(chance, content, others)

    def entry(inputs: Path) -> None:
        load_dataset(DatasetOptions(name="folder", path=inputs, image_size=8))

    return MutatedFiles(seeds, change, entry)
