"""Tiles of an activation-stationary array: streams, units, estimates and refusals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.phases import ActivationStatistics, PhaseSource
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator, load_accelerator
from fewflips.machine.buffers import Tiling
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import count_flips
from fewflips.streams.stream import Stream
from tests.accelerator.cycle_simulation import activation_stationary
from tests.accelerator.test_dataflows import shuffled
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.test_parts import check_layer
from tests.property_settings import examples


def machine(lanes: int, columns: int, outputs: int | None, pixels: int = 1, **options) -> Accelerator:
    return Accelerator(
        name="test", lanes=lanes, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels), **options
    )


def tiles_by_hand(layer, lanes, outputs):
    """The loops over channels and reduction indices as the documentation draws them."""
    groups = 1 if layer.is_depthwise else layer.groups
    per_group = layer.n // groups
    size = per_group if outputs is None or layer.k <= lanes else outputs
    for group in range(groups):
        for first in range(group * per_group, (group + 1) * per_group, size):
            for k in range(0, layer.k, lanes):
                channels = range(first, min(first + size, (group + 1) * per_group))
                yield list(range(k, min(k + lanes, layer.k))), list(channels)


def check_streams(layer, array, segments):
    rows = random_rows(layer)
    plain = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    trace = activation_stationary(
        rows, layer.weights, plain, array.lanes, array.columns, layer.is_depthwise, array.tiling.pixels, array.turns
    )
    per_group = layer.n // layer.groups
    for n in range(layer.n):
        expected = rows[n // per_group].astype(np.int64) @ layer.weights[n].astype(np.int64)
        np.testing.assert_array_equal(trace.y[:, n], expected)
    codes, bits = weight_codes(layer, array.weights)
    weights = count_flips(dataflow_of(array).weight_stream(layer, codes, bits, segments, array))
    assert (weights.within * weights.repeats, weights.seams) == trace.flips("weights")
    assert weights.repeats == dataflow_of(array).weight_repeats(layer, array)
    codes, bits = activation_codes(layer, rows, array.activations)
    stream = dataflow_of(array).activation_stream(layer, codes, bits, segments, array)
    assert stream.words.tolist() == [registers for _, registers in trace.activations]
    activations = count_flips(stream)
    assert (activations.within * activations.repeats, activations.seams) == trace.flips("activations")


@examples(100)
@given(
    m=st.integers(1, 9),
    n=st.integers(1, 7),
    k=st.integers(1, 9),
    groups=st.sampled_from([1, 2, 3]),
    lanes=st.integers(1, 4),
    columns=st.integers(1, 4),
    outputs=st.sampled_from([None, 1, 2, 3, 5, 100]),
    pixels=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_streams_of_tiles_are_those_of_the_loop_nest(m, n, k, groups, lanes, columns, outputs, pixels, seed):
    layer = dense_layer(m, n * groups, k, groups=groups, seed=seed, storage=UINT8)
    array = machine(lanes, columns, outputs, pixels)
    natural = dataflow_of(array).segments(layer, array)
    assert [(s.lanes.tolist(), s.order.tolist()) for s in natural] == list(tiles_by_hand(layer, lanes, outputs))
    check_streams(layer, array, natural)
    check_streams(layer, array, shuffled(natural, seed))


@examples(60)
@given(
    m=st.integers(1, 8),
    channels=st.integers(2, 6),
    multiplier=st.integers(1, 2),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 5)]),
    lanes=st.integers(1, 10),
    columns=st.integers(1, 4),
    outputs=st.sampled_from([None, 1, 2, 5]),
    pixels=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_depthwise_layers(m, channels, multiplier, kernel, lanes, columns, outputs, pixels, seed):
    layer = depthwise_layer(m, channels, kernel, multiplier=multiplier, seed=seed)
    array = machine(lanes, columns, outputs, pixels)
    natural = dataflow_of(array).segments(layer, array)
    assert [(s.lanes.tolist(), s.order.tolist()) for s in natural] == list(tiles_by_hand(layer, lanes, outputs))
    check_streams(layer, array, natural)
    check_streams(layer, array, shuffled(natural, seed))


@examples(60)
@given(
    m=st.integers(1, 12),
    n=st.integers(1, 4),
    k=st.integers(2, 7),
    groups=st.integers(1, 2),
    depthwise=st.booleans(),
    lanes=st.integers(2, 4),
    columns=st.integers(1, 4),
    outputs=st.sampled_from([None, 1, 2, 3]),
    pixels=st.integers(1, 4),
    forwarding=st.sampled_from(["broadcast", "systolic"]),
    part_cycles=st.sampled_from([1, 20, 10**6]),
    seed=st.integers(0, 1000),
)
def test_columns_see_what_the_loop_nest_says(
    m, n, k, groups, depthwise, lanes, columns, outputs, pixels, forwarding, part_cycles, seed
):
    if depthwise:
        signed = depthwise_layer(m, n + 1, (1, k), seed=seed)
        layer = altered(signed, weights=np.abs(signed.weights.astype(np.int64)).astype(np.uint8), weight_type=UINT8)
    else:
        layer = dense_layer(m, n * groups, k, seed=seed, groups=groups, storage=UINT8)
    array = machine(lanes, columns, outputs, pixels, forwarding=forwarding)
    check_layer(layer, array, shuffled(dataflow_of(array).segments(layer, array), seed), part_cycles)


def test_sums_of_a_tile_are_complete_before_the_next_begins():
    layer = dense_layer(5, 10, 7, storage=UINT8)
    array = machine(2, 2, outputs=4, pixels=2)
    segments = [(s.lanes.tolist(), s.order.tolist()) for s in dataflow_of(array).segments(layer, array)]
    seen, _ = unit_walk.activation_stationary(random_rows(layer), layer.weights, segments, 2, 2, 2)
    open_sums, most = {}, 0
    column = 0
    cycle = iter(seen[column])
    for tile in range(0, 5, 4):
        for lanes, order in segments:
            for m in range(tile + column, min(tile + 4, 5), 2):
                for n in order:
                    next(cycle)
                    open_sums[m, n] = open_sums.get((m, n), 0) + len(lanes)
                    most = max(most, len(open_sums))
                    if open_sums[m, n] == layer.k:
                        del open_sums[m, n]
    assert next(cycle, None) is None
    assert not open_sums
    assert most == 4 * 2  # outputs x pixels entries


@examples(60)
@given(
    m=st.integers(1, 12),
    n=st.integers(1, 6),
    k=st.integers(1, 7),
    depthwise=st.booleans(),
    outputs=st.sampled_from([None, 1, 2, 4]),
    pixels=st.integers(1, 4),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
def test_phases_have_the_cycles_and_weight_flips_of_the_units(m, n, k, depthwise, outputs, pixels, columns, seed):
    layer = (
        depthwise_layer(m, n + 1, (1, k), seed=seed) if depthwise else dense_layer(m, n, k, seed=seed, storage=UINT8)
    )
    array = machine(3, columns, outputs, pixels)
    flow = dataflow_of(array)
    segments = shuffled(flow.segments(layer, array), seed)
    codes, bits = weight_codes(layer, array.weights)
    words = tuple(flow.segment_words(codes, segment) for segment in segments)
    still = ActivationStatistics(np.zeros(8))
    phases = list(flow.phases(PhaseSource(layer, segments, array, words, bits, still)))
    assert sum(phase.cycles for phase in phases) == flow.unit_work(layer, segments, array).unit_cycles
    # every column sees its own passes: at the beginning of its work it is taken to come from the last segment
    flips = 0
    for column in range(min(columns, m)):
        rows = range(column, m, columns)
        seen = [
            np.pad(words[s][t], (0, 3 - words[s].shape[1]))
            for tile in range(0, len(rows), pixels)
            for s in range(len(segments))
            for _ in rows[tile : tile + pixels]
            for t in range(len(words[s]))
        ]
        seen.insert(0, np.pad(words[-1][-1], (0, 3 - words[-1].shape[1])))
        flips += sum(int(np.bitwise_count(a ^ b).sum()) for a, b in pairwise(seen))
    estimated = sum(p.cycles * p.active_lanes * p.weight_rates.sum() for p in phases)
    assert estimated == pytest.approx(flips)


def test_rounds_of_different_length_laid_out():
    words = np.array([[0], [3], [12], [5], [7]], dtype=np.uint8)
    parts = [words[:2], words[2:]]
    sequence = np.concatenate([part for times in (3, 3, 2) for part in parts for _ in range(times)])
    count = count_flips(Stream("weights", words, np.array([0, 2]), 4, repeats=3, pass_repeats=3, last_pass_repeats=2))
    flips = int(np.bitwise_count(sequence[1:] ^ sequence[:-1]).sum())
    assert count.repeats == 8
    assert count.total == flips


@pytest.mark.parametrize("name", ["tpu16", "os16"])
@pytest.mark.parametrize("tiling", [Tiling(outputs=4), Tiling(pixels=2)])
def test_dataflows_without_tiles_refuse_them(name, tiling):
    array = load_accelerator(name).model_copy(update={"tiling": tiling})
    with pytest.raises(
        AcceleratorError, match=rf"{name}: tiling: expected an activation-stationary.* got {array.dataflow}"
    ):
        dataflow_of(array)


def test_one_tile_is_no_tile():
    layer = dense_layer(9, 8, 10, storage=UINT8)
    plain = machine(4, 2, outputs=None)
    large = machine(4, 2, outputs=8)
    for ours, theirs in zip(
        dataflow_of(large).segments(layer, large), dataflow_of(plain).segments(layer, plain), strict=True
    ):
        assert isinstance(ours, Segment)
        np.testing.assert_array_equal(ours.order, theirs.order)
        np.testing.assert_array_equal(ours.lanes, theirs.lanes)
