"""Layers with random weights, for tests of everything after the readers."""

from __future__ import annotations

import numpy as np

from fewflips.formats.number_formats import INT8, UINT8, StorageType
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D, MatrixProduct


def dense_layer(
    m: int, n: int, k: int, *, seed: int = 0, groups: int = 1, storage: StorageType = INT8, zero_point: int = 0
) -> Layer:
    generator = np.random.default_rng(seed)
    dtype = np.int8 if storage.signed else np.uint8
    return Layer(
        name="dense",
        operator="TEST",
        weights=generator.integers(storage.low, storage.high + 1, size=(n, k)).astype(dtype),
        weight_type=storage,
        weight_zero_points=np.full(n, zero_point, dtype=np.int32),
        groups=groups,
        m=m,
        lowering=MatrixProduct(),
        weights_tensor="w",
        input_tensor="x",
        activation_type=UINT8,
        activation_zero_point=3,
    )


def depthwise_layer(m: int, channels: int, kernel: tuple[int, int], *, multiplier: int = 1, seed: int = 0) -> Layer:
    generator = np.random.default_rng(seed)
    n, k = channels * multiplier, kernel[0] * kernel[1]
    return Layer(
        name="depthwise",
        operator="TEST",
        weights=generator.integers(-127, 128, size=(n, k)).astype(np.int8),
        weight_type=INT8,
        weight_zero_points=np.zeros(n, dtype=np.int32),
        groups=channels,
        m=m,
        lowering=Convolution2D("NHWC", kernel, (1, 1), (1, 1), (0, 0, 0, 0)),
        weights_tensor="w",
        input_tensor="x",
        activation_type=UINT8,
        activation_zero_point=3,
    )


def random_rows(layer: Layer, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, size=(layer.groups, layer.m, layer.k)).astype(np.uint8)
