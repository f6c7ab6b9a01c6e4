from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.dataflows.unit_work import settling_cycles
from fewflips.formats.number_formats import UINT8
from fewflips.machine import Accelerator
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network_energy import unit_walk
from tests.property_settings import examples

WALKS = {
    "activation-stationary": unit_walk.activation_stationary,
    "weight-stationary": unit_walk.weight_stationary,
    "output-stationary": unit_walk.output_stationary,
}
PORTS = {
    "activation-stationary": ("weights", "activations", "partial_sum"),
    "weight-stationary": ("weights", "activations", "partial_sum"),
    "output-stationary": ("weights", "activations", "clear", "accumulator"),
}


def cycles_of(part, names):
    """Rows of each port, cycle by cycle, for each sequence of a part."""
    sequences = part.sequences
    ports = {**sequences.inputs, **sequences.registers}
    ends = [*sequences.first_passes[1:], len(sequences.lengths)]
    for first, end in zip(sequences.first_passes, ends, strict=True):
        cycles = []
        for p in range(first, end):
            for t in range(sequences.lengths[p]):
                rows = [ports[name].words[ports[name].start[p] + ports[name].stride * t] for name in names]
                cycles.append(tuple(tuple(row.tolist()) if len(row) > 1 else int(row[0]) for row in rows))
        yield cycles


def seen_by_units(operands, segments, array, part_cycles):
    """Cycles of each unit over all parts, and a check of how the parts join."""
    names = PORTS[array.dataflow]
    settling = settling_cycles(operands.datapath)
    seen, transitions = defaultdict(list), 0
    for part in dataflow_of(array).unit_parts(operands, segments, array, part_cycles):
        transitions += int(part.transitions.sum())
        for unit, cycles, skip in zip(part.units, cycles_of(part, names), part.skip, strict=True):
            before = seen[unit]
            if len(cycles) == skip:  # its work ended before
                continue
            assert skip >= min(settling, len(before))
            assert cycles[:skip] == before[len(before) - skip :]
            before += cycles[skip:]
    assert transitions == sum(len(cycles) - 1 for cycles in seen.values())
    return [seen[unit] for unit in sorted(seen)]


def unsigned(layer):
    """Weights as unsigned codes, which the walk multiplies as they are."""
    return layer.weights.astype(np.int64)


def array_of(dataflow, lanes, columns, forwarding):
    return Accelerator(name="test", dataflow=dataflow, lanes=lanes, columns=columns, forwarding=forwarding)


@examples(60)
@given(
    dataflow=st.sampled_from(sorted(WALKS)),
    forwarding=st.sampled_from(["broadcast", "systolic"]),
    m=st.integers(1, 9),
    n=st.integers(1, 3),
    k=st.integers(2, 7),
    groups=st.integers(1, 2),
    lanes=st.integers(2, 4),
    columns=st.integers(1, 4),
    part_cycles=st.sampled_from([1, 20, 10**6]),
    seed=st.integers(0, 1000),
)
def test_units_see_what_the_loop_nests_say(dataflow, forwarding, m, n, k, groups, lanes, columns, part_cycles, seed):
    layer = dense_layer(m, n * groups, k, seed=seed, groups=groups, storage=UINT8)
    array = array_of(dataflow, lanes, columns, forwarding)
    rng = np.random.default_rng(seed)
    segments = tuple(
        Segment(segment.lanes, rng.permutation(segment.order)) for segment in dataflow_of(array).segments(layer, array)
    )
    check_layer(layer, array, segments, part_cycles)


@pytest.mark.parametrize("dataflow", sorted(WALKS))
@pytest.mark.parametrize("part_cycles", [1, 10**6])
def test_depthwise_layers(dataflow, part_cycles):
    signed = depthwise_layer(5, 6, (1, 3))
    magnitudes = np.abs(signed.weights.astype(np.int64)).astype(np.uint8)
    layer = altered(signed, weights=magnitudes, weight_type=UINT8)
    array = array_of(dataflow, 2, 4, "broadcast")
    check_layer(layer, array, dataflow_of(array).segments(layer, array), part_cycles)


def check_layer(layer, array, segments, part_cycles):
    rows = random_rows(layer)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    operands = layer_operands(layer, rows, array, datapath)
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    one_column = layer.is_depthwise and array.dataflow == "weight-stationary"
    columns = 1 if one_column else array.columns
    tiles = (array.tiling.pixels,) if array.is_tiled else ()
    options = {"turns": True} if array.turns else {}
    expected, sums = WALKS[array.dataflow](rows, unsigned(layer), pairs, array.lanes, columns, *tiles, **options)
    product = rows.astype(np.int64) @ unsigned(layer).reshape(layer.groups, -1, layer.k).swapaxes(1, 2)
    product = product.swapaxes(0, 1).reshape(layer.m, layer.n)
    assert all(sums[m, n] == product[m, n] for m in range(layer.m) for n in range(layer.n))
    seen = seen_by_units(operands, segments, array, part_cycles)
    drain = {"mac": 0, "column": datapath.latency, "chain": datapath.latency + array.lanes - 1}[datapath.kind]
    assert seen == [cycles + cycles[-1:] * drain for cycles in expected if cycles]
    work = dataflow_of(array).unit_work(layer, segments, array)
    assert work.unit_cycles == sum(len(cycles) for cycles in expected)
    assert work.unit_cycles <= work.array_cycles * work.units
    assert max(len(cycles) for cycles in expected) <= work.array_cycles


def test_shared_registers_count_once():
    layer = dense_layer(10, 6, 4, storage=UINT8)
    array = array_of("activation-stationary", 4, 4, "broadcast")
    work = dataflow_of(array).unit_work(layer, dataflow_of(array).segments(layer, array), array)
    assert work.unit_cycles == 10 * 6
    assert work.array_cycles == 3 * 6  # three tiles of four pixels, the last half empty
    assert work.weight_share * work.unit_cycles == pytest.approx(3 * 6)  # the shared registers of three tiles
    assert work.activation_loads == 10
