"""Layers with random weights, for tests of everything after the readers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fewflips.formats.number_formats import INT8, UINT8, StorageType
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D, MatrixProduct
from fewflips.network.operand import HeldMatrix


def dense_layer(
    m: int, n: int, k: int, *, seed: int = 0, groups: int = 1, storage: StorageType = INT8, zero_point: int = 0
) -> Layer:
    generator = np.random.default_rng(seed)
    dtype = np.int8 if storage.signed else np.uint8
    return Layer.of_array(
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
    return Layer.of_array(
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


def altered(layer: Layer, *, name: str | None = None, weights: np.ndarray | None = None, **operands: Any) -> Layer:
    """The layer with another name, other weights of the same shape, or other fields of its operands.

    `operands` are `input_tensor`, `activation_type`, `activation_zero_point`, `lowering`, `weights_tensor` and
    `weight_type`.
    """
    left = {"input_tensor": "tensor", "activation_type": "storage", "activation_zero_point": "zero_point"}
    left["lowering"] = "lowering"
    right = {"weights_tensor": "name", "weight_type": "storage"}
    assert operands.keys() <= left.keys() | right.keys()
    constant = replace(layer.right, **{right[key]: value for key, value in operands.items() if key in right})
    return replace(
        layer,
        name=layer.name if name is None else name,
        left=replace(layer.left, **{left[key]: value for key, value in operands.items() if key in left}),
        right=constant if weights is None else replace(constant, source=HeldMatrix(weights)),
    )


def random_rows(layer: Layer, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, size=(layer.groups, layer.m, layer.k)).astype(np.uint8)
