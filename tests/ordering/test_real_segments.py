"""Segments of real networks, against LKH."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.ordering import Effort, order_segments
from tests.ordering import reference


def segments(path: Path, rows: range, most: int) -> list[np.ndarray]:
    """Some 16-lane segments with a number of rows in `rows`, spread over the network."""
    matrices = [np.ascontiguousarray(layer.weights).view(np.uint8) for layer in fewflips.load(path).layers]
    found = [
        np.ascontiguousarray(matrix[:, start : start + 16])
        for matrix in matrices
        if len(matrix) in rows
        for start in range(0, matrix.shape[1], 16)
    ]
    return found[:: -(-len(found) // most)]


@pytest.mark.parametrize(
    "model",
    ["mobilenet_v2_1.0_224_quant.tflite", "mlperf_tiny_resnet8_int8.tflite", "mlperf_tiny_kws_dscnn_int8.tflite"],
)
def test_against_lkh(shared: Path, model: str) -> None:
    words = segments(shared / "models" / model, range(2, 200), 12)
    for effort in (Effort.default(), Effort.prove()):
        for segment, result in zip(words, order_segments(words, effort=effort), strict=True):
            table = reference.hamming(segment)
            theirs = reference.lkh(table)
            assert reference.length(table, result.order) == result.flips
            assert result.lower_bound <= theirs
            assert result.flips <= 1.001 * theirs
            assert not (result.proven and theirs < result.flips)


def test_most_small_segments_are_proven(shared: Path) -> None:
    words = segments(shared / "models" / "mobilenet_v2_1.0_224_quant.tflite", range(2, 330), 24)
    results = order_segments(words, effort=Effort.prove())
    assert sum(result.proven for result in results) >= 0.9 * len(words)
