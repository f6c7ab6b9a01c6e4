"""A reader outside the package: an ``.npz`` of integer matrices is a network without a graph."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

import fewflips
from fewflips.errors import ModelError
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.network.layer import Layer
from fewflips.network.lowering import MatrixProduct

PIXELS = 6


class MatricesReader(fewflips.Reader):
    name = "npz"

    def recognizes(self, path: Path, head: bytes) -> bool:
        return path.suffix == ".npz" and head.startswith(b"PK\x03\x04")

    def read(self, path: Path) -> fewflips.Network:
        with np.load(path, allow_pickle=False) as archive:
            matrices = {name: archive[name] for name in archive}
        for name, matrix in matrices.items():
            if matrix.ndim != 2 or matrix.dtype != np.int8:
                raise ModelError(
                    f"{path}: {name}: expected a matrix of int8, got shape {matrix.shape} and type {matrix.dtype}; "
                    "save the weights as they are stored"
                )
        return fewflips.Network(
            path=path,
            file_format=self.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            layers=tuple(_layer(name, matrix) for name, matrix in matrices.items()),
            tensors={},
            operations=(),
            inputs=(),
            outputs=(),
            notes=("The file has matrices alone: no channel is moved.",),
        )


def _layer(name: str, weights: np.ndarray) -> Layer:
    return Layer.of_array(
        name=name,
        operator="matrix",
        weights=weights,
        weight_type=INT8,
        weight_zero_points=np.zeros(len(weights), np.int32),
        groups=1,
        m=PIXELS,
        lowering=MatrixProduct(),
        weights_tensor=name,
        activation_type=UINT8,
    )
