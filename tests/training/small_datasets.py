"""Small datasets in the forms that the trainer reads, and configurations that train on them in a second."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 12


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def fashion(folder: Path, train: int = 48, test: int = 20, suffix: str = "") -> Path:
    """Fashion-MNIST's files with images whose brightness tells their class."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        noise = generator.integers(0, 24, (count, SIDE, SIDE))
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", (labels[:, None, None] * 23 + noise).astype(np.uint8))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels)
    return folder


def settings(data: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """A configuration of three float and two quantized epochs of six steps each."""
    return {
        "network": {"name": "resnet", "depth": 8, "width": 0.5},
        "dataset": {"name": "fashion-mnist", "path": str(data)},
        "float_stage": {"epochs": 3, "batch": 8},
        "quantized_stage": {"epochs": 2, "batch": 8, "learning_rate": 1e-3},
        "threads": 1,
        "device": "cpu",
        "checkpoint_every": 2,
        "tensorboard": False,
        "output": str(output),
    } | changes
