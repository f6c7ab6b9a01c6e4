"""Sample inputs: arrays and folders of images, for models whose inputs are known."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from fewflips.execution.runtimes import InputSpec
from fewflips.execution.samples import load_samples

from ..kinds import Files, MutatedFiles
from ..mutation import pictures
from ..mutation.archives import Archives

_INPUTS = (
    InputSpec("x", (1, 4, 4, 3), np.dtype(np.int8), 0.05, 3),
    InputSpec("y", (1, 5), np.dtype(np.float32)),
)
IMAGES = (
    InputSpec("image", (1, 6, 5, 3), np.dtype(np.uint8), 0.05, 3),
    InputSpec("image", (1, 1, 6, 5), np.dtype(np.float32)),
    InputSpec("image", (1, 3, 6, 5), np.dtype(np.int8), 0.05, 3),
)


def arrays(folder: Path) -> MutatedFiles:
    """What `measure --inputs FILE` reads once the runtime has said what the model's inputs are."""
    generator = np.random.default_rng(0)
    codes, reals = generator.integers(-9, 9, (2, 4, 4, 3)).astype(np.int8), generator.random((2, 5), np.float32)
    seeds = [
        npz_bytes(x=codes, y=reals),
        npz_bytes(x=codes.astype(np.float64), y=reals.astype(np.float16)),
        npz_bytes(x=codes[:1].astype(np.int64), y=reals[:1]),
    ]
    archives = Archives(seeds)

    def entry(inputs: Path) -> None:
        load_samples(inputs / "samples.npz", _INPUTS)

    return MutatedFiles(
        [{"samples.npz": seed} for seed in seeds],
        lambda chance, name, content: archives.change(chance, content),
        entry,
    )


def npz_bytes(**values: np.ndarray) -> bytes:
    """An archive of arrays."""
    written = io.BytesIO()
    np.savez(written, **values)  # type: ignore[arg-type]
    return written.getvalue()


def image_bytes(kind: str, mode: str = "RGB", size: tuple[int, int] = (7, 6), seed: int = 0) -> bytes:
    """A small image of noise."""
    written, channels = io.BytesIO(), len(mode)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels)).astype(np.uint8)
    Image.fromarray(pixels.squeeze(axis=2) if channels == 1 else pixels).save(written, kind)
    return written.getvalue()


def images(folder: Path) -> MutatedFiles:
    """What `measure --inputs DIR` reads."""
    seeds: list[Files] = [
        {"a.png": image_bytes("PNG")},
        {"a.png": image_bytes("PNG", "RGBA"), "b.png": image_bytes("PNG", "L")},
        {"a.jpg": image_bytes("JPEG"), "b.bmp": image_bytes("BMP")},
        {"a.webp": image_bytes("WEBP"), "b.bmp": image_bytes("BMP")},
        {"a.jpeg": image_bytes("JPEG", "L"), "b.webp": image_bytes("WEBP", "RGBA")},
    ]
    others = tuple(content for seed in seeds for content in seed.values())

    def change(chance: random.Random, name: str, content: bytes) -> bytes:
        return pictures.change(chance, content, others)

    def entry(inputs: Path) -> None:
        for spec in IMAGES:
            load_samples(inputs, (spec,))

    return MutatedFiles(seeds, change, entry)
