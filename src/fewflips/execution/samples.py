"""Sample inputs of a network: from images, from arrays, or random."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.errors import InputError, SamplesError
from fewflips.execution.sessions import InputSpec
from fewflips.files.image_files import IMAGE_SUFFIXES, open_image
from fewflips.files.npz import Header, read_npz

MAX_BYTES = 2**31
"""Samples that would take more than this many bytes of memory are refused."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs for a number of inferences.

    Parameters
    ----------
    feeds : tuple of mapping of str to ndarray
        For each inference, a value for each input of the model, in its shape and type.
    source : str
        Where they come from, for reports.
    note : str
        How they were prepared.
    """

    feeds: tuple[Mapping[str, NDArray[Any]], ...] = field(repr=False)
    source: str
    note: str


def load_samples(source: Path, inputs: Sequence[InputSpec], limit: int | None = None) -> Samples:
    """Sample inputs from a folder of images or from an .npz file.

    Parameters
    ----------
    source : Path
        A folder of images (PNG, JPEG, BMP, WebP), taken in the order of their names; or an .npz file with one
        array for each input, under its name, or a single array if the model has one input. The leading
        axis counts samples.
    inputs : sequence of InputSpec
        The model's inputs.
    limit : int, optional
        Use at most this many, from the beginning.

    Returns
    -------
    Samples
        At least one.

    Raises
    ------
    SamplesError
        If the source is missing or damaged, or does not fit the model.
    """
    source = Path(source)
    if limit is not None and limit < 1:
        raise SamplesError(f"number of samples: expected at least 1, got {limit}")
    if not inputs:
        raise SamplesError("expected a model with inputs, got one without: samples cannot be fed to it")
    if os.path.isdir(source):
        return _from_images(source, inputs, limit)
    if not os.path.exists(source):  # False for invalid names
        raise SamplesError(f"{source}: expected a folder of images or an .npz file, got no such path")
    if source.suffix.lower() != ".npz":
        raise SamplesError(f"{source}: expected a folder of images or an .npz file, got a '{source.suffix}' file")
    return _from_archive(source, inputs, limit)


def random_feeds(inputs: Sequence[InputSpec], count: int, seed: int) -> tuple[dict[str, NDArray[Any]], ...]:
    """Random inputs with which to compare two networks.

    Integers of 8 and 16 bits are uniform over their whole range, wider ones (which tend to be indices) are 0
    or 1; floats are alternately uniform in [0, 1) and standard normal.

    Parameters
    ----------
    inputs : sequence of InputSpec
        The model's inputs.
    count : int
        Number of inferences.
    seed : int
        The same seed gives the same values.

    Returns
    -------
    tuple of dict of str to ndarray
        For each inference, a value for each input.

    Raises
    ------
    SamplesError
        If an input's type is not integer, float or boolean, or the inputs need too much memory.
    """
    size = count * sum(math.prod(spec.shape) * spec.dtype.itemsize for spec in inputs)
    _check_memory("random inputs", size)
    generator = np.random.default_rng(seed)
    return tuple({spec.name: _random(spec, generator, normal=i % 2 == 1) for spec in inputs} for i in range(count))


def _random(spec: InputSpec, generator: np.random.Generator, *, normal: bool) -> NDArray[Any]:
    if spec.dtype.kind in "iu" and spec.dtype.itemsize <= 2:
        limits = np.iinfo(spec.dtype)
        return generator.integers(limits.min, limits.max, spec.shape, spec.dtype, endpoint=True)
    if spec.dtype.kind in "iub":
        return generator.integers(0, 2, spec.shape).astype(spec.dtype)
    if spec.dtype.kind == "f":
        values = generator.standard_normal(spec.shape) if normal else generator.random(spec.shape)
        return np.asarray(values).astype(spec.dtype)
    raise SamplesError(f"input '{spec.name}': expected an integer or float type, got {spec.dtype}")


def _check_memory(source: Path | str, size: int) -> None:
    if size > MAX_BYTES:
        raise SamplesError(
            f"{source}: expected samples of at most {MAX_BYTES / 2**30:g} GiB, got {size / 2**30:.3g} GiB: "
            "take fewer of them"
        )


def _from_images(folder: Path, inputs: Sequence[InputSpec], limit: int | None) -> Samples:
    spec, layout = _image_input(folder, inputs)
    try:
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(path)
        )
    except OSError as error:
        raise SamplesError(f"{folder}: cannot be read: {error.strerror}") from error
    if not paths:
        raise SamplesError(f"{folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), got none: give another folder")
    chosen = paths[:limit]
    _check_memory(folder, len(chosen) * math.prod(spec.shape) * spec.dtype.itemsize)
    feeds = tuple({spec.name: _image(path, spec, layout)} for path in chosen)
    height, width = spec.shape[1:3] if layout == "NHWC" else spec.shape[2:4]
    mapping = {"u": "pixel bytes as they are", "i": "pixel - 128", "f": "pixel / 255"}[spec.dtype.kind]
    return Samples(
        feeds=feeds,
        source=f"{len(feeds)} of {len(paths)} images in {folder}",
        note=f"images resized to {height} x {width} (bilinear) and fed as {spec.dtype}: {mapping}; "
        "for other preprocessing give an .npz",
    )


def _image_input(folder: Path, inputs: Sequence[InputSpec]) -> tuple[InputSpec, Literal["NHWC", "NCHW"]]:
    shapes = ", ".join(f"'{spec.name}' {list(spec.shape)} {spec.dtype}" for spec in inputs)
    spec = inputs[0]
    image_like = len(inputs) == 1 and len(spec.shape) == 4 and spec.shape[0] == 1
    if not image_like or (spec.shape[3] not in (1, 3) and spec.shape[1] not in (1, 3)):
        raise SamplesError(
            f"{folder}: expected a model with one input of shape [1, height, width, 1 or 3] or "
            f"[1, 1 or 3, height, width] for images, got {shapes}: give an .npz of arrays instead"
        )
    if spec.dtype.kind != "f" and spec.dtype not in (np.dtype(np.uint8), np.dtype(np.int8)):
        raise SamplesError(
            f"{folder}: expected an input of type uint8, int8 or float for images, got {shapes}: give an .npz instead"
        )
    return spec, "NHWC" if spec.shape[3] in (1, 3) else "NCHW"


def _image(path: Path, spec: InputSpec, layout: Literal["NHWC", "NCHW"]) -> NDArray[Any]:
    height, width, channels = spec.shape[1:] if layout == "NHWC" else (*spec.shape[2:], spec.shape[1])
    pixels = _pixels(path, height, width, "L" if channels == 1 else "RGB").reshape(height, width, channels)
    if layout == "NCHW":
        pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    if spec.dtype.kind == "f":
        values: NDArray[Any] = (pixels.astype(np.float32) / np.float32(255)).astype(spec.dtype)
    elif spec.dtype == np.int8:
        values = (pixels.astype(np.int16) - 128).astype(np.int8)
    else:
        values = pixels
    return values[np.newaxis]


def _pixels(path: Path, height: int, width: int, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    with open_image(path, str(path), SamplesError) as image:
        converted = image.convert(mode)
        if converted.size != (width, height):
            converted = converted.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(converted, dtype=np.uint8)


def _from_archive(path: Path, inputs: Sequence[InputSpec], limit: int | None) -> Samples:
    arrays = _arrays(path, inputs)
    values = {spec.name: _samples_of(path, spec, arrays[spec.name], limit) for spec in inputs}
    counts = {name: len(array) for name, array in values.items()}
    if len(set(counts.values())) > 1:
        raise SamplesError(f"{path}: expected as many samples for each input, got {counts}")
    count = counts[inputs[0].name]
    quantized = any(arrays[spec.name].dtype.kind == "f" and spec.dtype.kind in "iu" for spec in inputs)
    how = "floats quantized with the input's own scale and zero point" if quantized else "arrays fed as they are"
    feeds = tuple({name: array[i] for name, array in values.items()} for i in range(count))
    return Samples(feeds=feeds, source=f"{count} samples in {path}", note=how)


def _arrays(path: Path, inputs: Sequence[InputSpec]) -> dict[str, NDArray[Any]]:
    """Read the array for each input."""
    names: dict[str, str] = {}

    def choose(present: Sequence[str]) -> set[str]:
        names.update(_chosen(path, inputs, present))
        return set(names.values())

    def check(headers: Mapping[str, Header]) -> None:
        _check_memory(path, sum(header.nbytes for header in headers.values()))
        for spec in inputs:
            _check_shape(path, spec, headers[names[spec.name]].shape)

    try:
        arrays = read_npz(path, choose, check)
    except SamplesError:
        raise
    except InputError as error:
        raise SamplesError(str(error)) from error
    return {name: arrays[present] for name, present in names.items()}


def _chosen(path: Path, inputs: Sequence[InputSpec], names: Sequence[str]) -> dict[str, str]:
    """Which array is for which input."""
    if all(spec.name in names for spec in inputs):
        return {spec.name: spec.name for spec in inputs}
    if len(inputs) == 1 and len(names) == 1:
        return {inputs[0].name: names[0]}
    expected = ", ".join(f"'{spec.name}'" for spec in inputs)
    got = ", ".join(f"'{name}'" for name in names[:20]) or "none"
    raise SamplesError(f"{path}: expected arrays named {expected}, got {got}: rename them in numpy.savez")


def _samples_of(path: Path, spec: InputSpec, array: NDArray[Any], limit: int | None) -> NDArray[Any]:
    """Convert an array to shape (samples, *input shape) and the input's type."""
    if array.shape == spec.shape:
        samples = array[np.newaxis]
    elif array.shape[1:] == spec.shape:
        samples = array
    else:
        samples = array[:, np.newaxis]
    return _converted(path, spec, samples[:limit])


def _check_shape(path: Path, spec: InputSpec, shape: tuple[int, ...]) -> None:
    """Raise :class:`SamplesError` unless an array of this shape holds samples of an input."""
    batch_of_one = spec.shape[:1] == (1,) and len(shape) == len(spec.shape)
    if shape != spec.shape and shape[1:] != spec.shape and not (batch_of_one and shape[1:] == spec.shape[1:]):
        raise SamplesError(
            f"{path}: input '{spec.name}': expected an array of shape {['samples', *spec.shape]} or "
            f"{['samples', *spec.shape[1:]]}, got {list(shape)}: reshape it"
        )
    if shape[:1] == (0,) and shape != spec.shape:
        raise SamplesError(f"{path}: input '{spec.name}': expected at least one sample, got none")


def _converted(path: Path, spec: InputSpec, samples: NDArray[Any]) -> NDArray[Any]:
    where = f"{path}: input '{spec.name}'"
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        raise SamplesError(f"{where}: expected finite numbers, got NaN or infinity: replace them")
    if samples.dtype == spec.dtype:
        return samples
    if samples.dtype.kind == "f" and spec.dtype.kind == "f":
        if samples.max() > np.finfo(spec.dtype).max or samples.min() < np.finfo(spec.dtype).min:
            raise SamplesError(f"{where}: expected numbers within the range of {spec.dtype}, got larger ones")
        return samples.astype(spec.dtype)
    if samples.dtype.kind == "f" and spec.dtype.kind in "iu":
        if not spec.scale:
            raise SamplesError(f"{where}: expected {spec.dtype}, got floats, and the model gives no scale for them")
        limits = np.iinfo(spec.dtype)
        with np.errstate(over="ignore"):  # overflows are clipped below
            codes = np.rint(samples.astype(np.float64) / spec.scale) + (spec.zero_point or 0)
        quantized: NDArray[Any] = np.clip(codes, limits.min, limits.max).astype(spec.dtype)
        return quantized
    if samples.dtype.kind in "iu" and spec.dtype.kind in "iu":
        limits = np.iinfo(spec.dtype)
        if samples.min() < limits.min or samples.max() > limits.max:
            raise SamplesError(
                f"{where}: expected integers from {limits.min} to {limits.max} ({spec.dtype}), got "
                f"{samples.min()} to {samples.max()}"
            )
        return samples.astype(spec.dtype)
    raise SamplesError(f"{where}: expected type {spec.dtype}, got {samples.dtype}: convert it as the model expects")
