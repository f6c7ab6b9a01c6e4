"""Weights whose blocks have zero points and scales of their own: counted, ordered and checked, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

import fewflips
from fewflips.formats.number_formats import INT8, UINT8, NumberFormat, StorageType
from fewflips.machine import Accelerator, Operand
from fewflips.network.layer import Layer
from fewflips.network.quantization_values import QuantizationValues
from fewflips.schedule.executor import reference_product
from fewflips.streams.codes import weight_codes
from tests.layers import dense_layer, random_rows

BLOCK, N, K, M = 3, 5, 8, 4
ZERO_POINTS = np.array([[0, 40, -7], [3, -3, 9], [-128, 127, 1], [5, 5, 5], [100, 0, -100]])
SCALES = np.arange(1, N * 3 + 1).reshape(N, 3) / 64


def blocked(storage: StorageType = INT8) -> Layer:
    layer = dense_layer(M, N, K, seed=3, storage=storage)
    zero_points = ZERO_POINTS + (0 if storage.signed else 128)
    constant = replace(
        layer.right,
        zero_points=QuantizationValues(zero_points.astype(np.int32), 1, BLOCK),
        scales=QuantizationValues(SCALES, 1, BLOCK),
    )
    return replace(layer, name="blocked", right=constant)


def value(layer: Layer, n: int, k: int) -> int:
    """A weight as it is used in arithmetic, but for its scale."""
    offset = 0 if layer.weight_type.signed else 128
    return int(layer.weights[n, k]) - int(ZERO_POINTS[n, k // BLOCK]) - offset


def code(layer: Layer, n: int, k: int, number_format: NumberFormat, bits: int) -> int:
    stored, used = int(layer.weights[n, k]), value(layer, n, k)
    if number_format is NumberFormat.AS_STORED:
        return stored % (1 << bits)
    if number_format is NumberFormat.UNSIGNED:
        return stored - layer.weight_type.low
    if number_format is NumberFormat.TWOS_COMPLEMENT:
        return used % (1 << bits)
    return abs(used) | ((used < 0) << (bits - 1))


@pytest.mark.parametrize("storage", [INT8, UINT8], ids=["signed", "unsigned"])
@pytest.mark.parametrize("number_format", NumberFormat)
def test_codes_are_those_of_values_less_their_block_s_zero_point(storage: StorageType, number_format: NumberFormat):
    layer = blocked(storage)
    words, bits = weight_codes(layer, Operand(format=number_format))
    assert bits == (8 if number_format in (NumberFormat.AS_STORED, NumberFormat.UNSIGNED) else 9)
    assert words.tolist() == [[code(layer, n, k, number_format, bits) for k in range(K)] for n in range(N)]


def network_of(layer: Layer) -> fewflips.Network:
    return fewflips.Network(Path("blocks.npz"), "npz", "a" * 64, (layer,), {}, (), (), ())


@pytest.mark.parametrize("number_format", NumberFormat)
def test_a_layer_of_blocks_is_counted_ordered_and_checked(number_format: NumberFormat):
    layer = blocked()
    array = Accelerator(name="small", lanes=4, columns=2, weights=Operand(format=number_format))
    words, _ = weight_codes(layer, array.weights)

    def flips(order, lanes) -> int:
        rows = words[np.ix_(list(order), lanes)].tolist()
        return sum((a ^ b).bit_count() for one, other in pairwise(rows) for a, b in zip(one, other, strict=True))

    lanes = [range(0, 4), range(4, 8)]
    measured = fewflips.measure(network_of(layer), array)
    assert measured.layers[0].weights.flips == sum(flips(range(N), segment) for segment in lanes)

    result = fewflips.optimize(network_of(layer), array, mode="schedule")
    best = sum(min(flips(order, segment) for order in permutations(range(N))) for segment in lanes)
    assert result.report.layers[0].weights.optimized_flips == best
    assert result.report.totals.weights.proven_segments == 2
    assert result.report.schedule is not None
    check = result.report.schedule.check
    assert check.values == 64 * N * 3  # rows, outputs, blocks
    assert "the sum of each block was compared" in check.method


def test_one_scale_an_output_is_checked_as_ever():
    layer = blocked()
    layer = replace(layer, right=replace(layer.right, scales=QuantizationValues.per_channel(SCALES[:, 0])))
    array = Accelerator(name="small", lanes=4, columns=2)
    report = fewflips.optimize(network_of(layer), array, mode="schedule").report
    assert report.schedule is not None
    assert report.schedule.check.values == 64 * N
    assert "block" not in report.schedule.check.method


def test_the_real_product_follows_from_the_sums_of_blocks():
    """What is checked in integers is all that the order of a schedule touches."""
    layer = blocked()
    rows = random_rows(layer)
    sums = reference_product(layer, rows, 3)
    groups = layer.right.scale_groups()
    exact = sum(sums[groups[block * BLOCK]] * SCALES[:, block] for block in range(3))
    for m in range(M):
        for n in range(N):
            plain = sum((int(rows[0, m, k]) - 3) * value(layer, n, k) * SCALES[n, k // BLOCK] for k in range(K))
            assert exact[m, n] == pytest.approx(plain, rel=1e-12, abs=1e-9)
