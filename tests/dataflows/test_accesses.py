"""Reads and writes of each dataflow, against a walk of its loop nest that looks into the registers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.accesses import (
    Accesses,
    CodeWidths,
    Runs,
    Traffic,
    distinct_activations,
    index_traffic,
    unfinished_sums,
)
from fewflips.dataflows.activation_stationary.register_file import Stretch, file_cycles, tiles_of_segments
from fewflips.dataflows.layer_operands import LayerOperands
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Tiling
from fewflips.network.layer import Layer
from fewflips.network.lowering import Convolution2D
from fewflips.schedule.binary import index_table_bits
from tests.dataflows.access_walk import Walked, activation_stationary, output_stationary, weight_stationary
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.property_settings import examples

WIDTHS = CodeWidths(weights=8, activations=7, partial_sums=26)
UNIT = Datapath("column", Word(WordFormat.TWOS_COMPLEMENT, 8), Word(WordFormat.UNSIGNED, 8), lanes=4)
BUILT_IN = ("activation-stationary", "weight-stationary", "output-stationary")


def walk(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> Walked:
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    sizes, turns = (layer.m, layer.k, layer.n // layer.groups, pairs), array.turns
    if array.dataflow == "output-stationary":
        return output_stationary(*sizes, array.lanes, turns=turns)
    if array.dataflow == "weight-stationary":
        return weight_stationary(*sizes, array.columns, depthwise=layer.is_depthwise, turns=turns)
    return activation_stationary(*sizes, array.columns, pixels=array.tiling.pixels, turns=turns)


def counter(runs: tuple[Runs, ...]) -> Counter[int]:
    return Counter({run.codes: run.count for run in runs})


def assert_fetched_once(found: Traffic, codes: int) -> None:
    """A memory that holds all that is asked for fetches it once, one that holds nothing as often as it is read."""
    assert found.whole_bits == codes * found.code_bits
    assert sum(run.count * run.codes for run in found.read_behind(found.whole_bits)) == codes
    assert found.read_behind(0) == found.read
    fetched = [sum(run.count * run.codes for run in found.read_behind(bits)) for bits in range(found.whole_bits + 1)]
    assert fetched == sorted(fetched, reverse=True)


def assert_same(layer: Layer, found: Accesses, expected: Walked, scheduled: bool) -> None:
    assert counter(found.weights.read) == expected.runs["weights"]
    assert counter(found.activations.read) == expected.runs["activations"]
    assert counter(found.results.written) == expected.runs["results"]
    assert counter(found.partial_sums.read) == expected.runs["partial sums read"]
    assert counter(found.partial_sums.written) == expected.runs["partial sums written"]
    assert found.partial_sums.live == expected.most_unfinished
    assert_fetched_once(found.weights, len(expected.distinct["weights"]))
    if layer.lowering.kernel_positions == 1:  # else inputs of overlapping kernels are the same code
        assert_fetched_once(found.activations, len(expected.distinct["activations"]))
    assert counter(found.index_table.read) == (expected.runs["indices"] if scheduled else Counter())
    for never in (found.weights.written, found.activations.written, found.results.read, found.index_table.written):
        assert never == ()


def compare(layer: Layer, array: Accelerator, seed: int) -> None:
    flow = dataflow_of(array)
    natural = flow.segments(layer, array)
    assert_same(layer, flow.accesses(layer, natural, array, WIDTHS), walk(layer, natural, array), scheduled=False)
    generator = np.random.default_rng(seed)
    orders = tuple(Segment(segment.lanes, generator.permutation(segment.order)) for segment in natural)
    moved = any(not np.array_equal(one.order, other.order) for one, other in zip(natural, orders, strict=True))
    assert_same(layer, flow.accesses(layer, orders, array, WIDTHS), walk(layer, orders, array), scheduled=moved)


@pytest.mark.parametrize("forwarding", ["broadcast", "systolic"])
@pytest.mark.parametrize("dataflow", BUILT_IN)
@given(
    m=st.integers(1, 9),
    n=st.integers(1, 7),
    k=st.integers(1, 9),
    groups=st.sampled_from([1, 1, 2, 3]),
    lanes=st.integers(1, 4),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
@examples(60)
def test_dense_and_grouped_layers(dataflow, forwarding, m, n, k, groups, lanes, columns, seed):
    layer = dense_layer(m, n * groups, k, groups=groups)
    compare(layer, Accelerator(name="t", dataflow=dataflow, lanes=lanes, columns=columns, forwarding=forwarding), seed)


@pytest.mark.parametrize("dataflow", BUILT_IN)
@given(
    m=st.integers(1, 7),
    channels=st.integers(2, 6),
    multiplier=st.integers(1, 3),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 5)]),
    lanes=st.integers(1, 10),
    columns=st.integers(1, 4),
    seed=st.integers(0, 100),
)
@examples(60)
def test_depthwise_layers(dataflow, m, channels, multiplier, kernel, lanes, columns, seed):
    layer = depthwise_layer(m, channels, kernel, multiplier=multiplier)
    compare(layer, Accelerator(name="t", dataflow=dataflow, lanes=lanes, columns=columns), seed)


@given(
    m=st.integers(1, 12),
    n=st.integers(1, 6),
    k=st.integers(1, 6),
    lanes=st.integers(1, 4),
    columns=st.integers(1, 3),
    pixels=st.integers(1, 4),
    outputs=st.integers(1, 6),
)
@examples(80)
def test_tiles_of_pixels_and_outputs(m, n, k, lanes, columns, pixels, outputs):
    """Segments of tiles of outputs, made here: what the registers of a column keep goes to its register file."""
    layer = dense_layer(m, n, k)
    segments = tuple(
        Segment(np.arange(first, min(k, first + lanes)), np.arange(start, min(n, start + outputs)))
        for start in range(0, n, outputs)
        for first in range(0, k, lanes)
    )
    array = Accelerator(name="t", lanes=lanes, columns=columns, tiling={"pixels": pixels})
    expected = walk(layer, segments, array)
    found = dataflow_of(array).accesses(layer, segments, array, WIDTHS)
    assert counter(found.weights.read) == expected.runs["weights"]
    assert counter(found.activations.read) == expected.runs["activations"]
    assert counter(found.partial_sums.read) == expected.runs["partial sums read"]
    assert found.partial_sums.live == expected.most_unfinished
    kept = dataflow_of(array).accesses(
        layer,
        segments,
        array.model_copy(update={"tiling": array.tiling.model_copy(update={"outputs": outputs})}),
        WIDTHS,
    )
    assert kept.partial_sums == Traffic(code_bits=26)
    assert kept.register_files.codes_read == found.partial_sums.codes_read
    assert {run.codes for run in kept.register_files.read} <= {1}
    assert kept.results == found.results


@given(
    m=st.integers(1, 12),
    n=st.integers(1, 6),
    k=st.integers(1, 7),
    groups=st.integers(1, 2),
    depthwise=st.booleans(),
    lanes=st.integers(1, 4),
    columns=st.integers(1, 3),
    pixels=st.integers(1, 4),
    outputs=st.integers(1, 6),
    seed=st.integers(0, 100),
)
@examples(80)
def test_machines_with_tiles(m, n, k, groups, depthwise, lanes, columns, pixels, outputs, seed):
    layer = depthwise_layer(m, n + 1, (1, k)) if depthwise else dense_layer(m, n * groups, k, groups=groups)
    array = Accelerator(name="t", lanes=lanes, columns=columns, tiling=Tiling(outputs=outputs, pixels=pixels))
    flow, generator = dataflow_of(array), np.random.default_rng(seed)
    natural = flow.segments(layer, array)
    orders = tuple(Segment(segment.lanes, generator.permutation(segment.order)) for segment in natural)
    for segments in (natural, orders):
        expected, found = walk(layer, segments, array), flow.accesses(layer, segments, array, WIDTHS)
        assert counter(found.weights.read) == expected.runs["weights"]
        assert counter(found.activations.read) == expected.runs["activations"]
        assert counter(found.results.written) == expected.runs["results"]
        assert found.partial_sums == Traffic(code_bits=26)
        for runs, name in ((found.register_files.read, "read"), (found.register_files.written, "written")):
            walked = expected.runs[f"partial sums {name}"]
            assert counter(runs) == Counter({1: total} if (total := sum(c * w for c, w in walked.items())) else {})
        assert found.register_files.live == expected.most_unfinished <= outputs * pixels * columns
        files = [
            file_cycles(
                LayerOperands(layer, UNIT, layer.weights.view(np.uint8), random_rows(layer)),
                tiles_of_segments(segments),
                array,
                [
                    Stretch(column, tile, channels)
                    for tile in range(len(range(column, m, columns * pixels)))
                    for channels in range(len(tiles_of_segments(segments)))
                ],
            )
            for column in range(min(columns, m))
        ]
        assert sum(int(file.read.sum()) for file in files) == found.register_files.codes_read


def test_a_hand_count():
    # 5 pixels on 4 columns, 3 channels, K = 3 on 2 lanes: two rows, segments of 2 lanes and 1
    layer = dense_layer(5, 3, 3)
    array = Accelerator(name="t", lanes=2, columns=4)
    segments = dataflow_of(array).segments(layer, array)
    found = dataflow_of(array).accesses(layer, segments, array, WIDTHS)
    assert found.weights == Traffic(8, (Runs(2, 3), Runs(2, 6)), working_sets=found.weights.working_sets)
    assert (found.weights.codes_read, found.weights.bits_read) == (18, 144)
    assert found.activations.read == (Runs(5, 1), Runs(5, 2))
    assert found.partial_sums.read == found.partial_sums.written == (Runs(3, 1), Runs(3, 4))
    assert found.results.written == (Runs(3, 1), Runs(3, 4))
    assert found.partial_sums.live == 4 * 3
    # four sums of 26 bits take two words of 64, one takes one
    assert found.partial_sums.words(found.partial_sums.read, 64) == 3 * 2 + 3 * 1


def test_words_of_a_memory_fit_runs():
    traffic = Traffic(code_bits=8)
    assert traffic.words((Runs(2, 9), Runs(1, 8)), 64) == 2 * 2 + 1
    assert traffic.words((Runs(7, 1),), 8) == 7
    assert traffic.words((Runs(7, 1),), 3) == 21
    assert traffic.words((), 8) == 0
    assert Traffic(code_bits=26).words((Runs(1, 5),), 77) == 3  # two sums a word; a third would be cut


@pytest.mark.parametrize(
    ("capacity", "codes"),
    [(0, 3 * 2 * 32), (8 * 15, 3 * 2 * 32), (8 * 16, 2 * 32), (8 * 31, 2 * 32), (8 * 32, 32)],
)
def test_what_memories_behind_are_asked_for(capacity, codes):
    """8 channels of 4 inputs on 2 lanes: a segment is 16 codes; 5 rows in tiles of 3 take every segment twice."""
    layer = dense_layer(6 * 2, 8, 4)
    array = Accelerator(name="t", lanes=2, columns=2, tiling={"pixels": 3})
    segments = dataflow_of(array).segments(layer, array)
    weights = dataflow_of(array).accesses(layer, segments, array, WIDTHS).weights
    asked = weights.read_behind(capacity)
    assert sum(run.count * run.codes for run in asked) == codes


def test_a_second_tile_of_outputs_asks_for_the_same_activations():
    layer = dense_layer(4, 6, 4)
    array = Accelerator(name="t", lanes=2, columns=2)
    segments = tuple(
        Segment(np.arange(first, first + 2), np.arange(start, start + 3)) for start in (0, 3) for first in (0, 2)
    )
    found = dataflow_of(array).accesses(layer, segments, array, WIDTHS).activations
    assert found.codes_read == 2 * 16
    assert sum(run.count * run.codes for run in found.read_behind(7 * 7)) == 2 * 16
    assert sum(run.count * run.codes for run in found.read_behind(7 * 8)) == 16


@pytest.mark.parametrize(
    ("kernel", "strides", "size"),
    [((3, 3), (1, 1), 6), ((3, 3), (2, 2), 8), ((1, 1), (2, 2), 8), ((5, 3), (2, 1), 8), ((2, 2), (3, 3), 9)],
)
def test_inputs_that_a_convolution_reads(kernel, strides, size):
    """By numbering the input and looking which numbers occur; the padding is as large as needed for whole strides."""
    pads = tuple(max(0, width - stride) for width, stride in zip(kernel, strides, strict=True))
    lowering = Convolution2D("NHWC", kernel, strides, (1, 1), (0, 0, *pads))
    tensor = np.arange(1, 1 + size * size * 3, dtype=np.int16).reshape(1, size, size, 3)
    rows = lowering.rows(tensor, 1, 0)
    layer = altered(dense_layer(rows.shape[1], 4, rows.shape[2]), lowering=lowering)
    assert distinct_activations(layer) == len(set(rows.reshape(-1).tolist()) - {0})


def test_index_bits_are_those_of_the_schedule():
    segments = tuple(Segment(np.arange(2), np.arange(length)) for length in (1, 2, 3, 9, 64, 65))
    table = index_table_bits(len(segment.order) for segment in segments)
    assert sum(segment.index_bits for segment in segments) == table
    assert index_traffic(segments, 3).bits_read == 3 * table
    assert index_traffic(segments, 3).whole_bits == table


def test_unfinished_sums_of_groups_are_of_one_group():
    layer = dense_layer(1, 6, 4, groups=2)
    array = Accelerator(name="t", lanes=2, columns=2)
    assert unfinished_sums(layer, dataflow_of(array).segments(layer, array)) == 3


def test_partial_sums_of_a_schedule_are_not_neighbours_on_a_weight_stationary_array():
    layer = dense_layer(2, 4, 2)
    array = Accelerator(name="t", dataflow="weight-stationary", lanes=1, columns=2)
    order = np.array([0, 2, 1, 3])
    orders = tuple(Segment(np.array([k]), order) for k in range(2))
    flow = dataflow_of(array)
    natural = flow.accesses(layer, flow.segments(layer, array), array, WIDTHS).partial_sums
    scheduled = flow.accesses(layer, orders, array, WIDTHS).partial_sums
    assert natural.read == (Runs(4, 2),)
    assert scheduled.read == (Runs(8, 1),)
    assert natural.bits_read == scheduled.bits_read
