"""A whole layer through columns with a register behind the tree and sums with an offset: nothing is lost.

The machine that stands here keeps partial sums in a buffer as the column gives them, offset included, and takes the
offset off where results are complete, as the layer's bias is added there.
"""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.arithmetic import expected_outputs
from fewflips.datapath.testbench import run_testbench
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions
from fewflips.simulation.port_words import first_cycles
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.netlist_walk import toggles

WALKS = {
    "activation-stationary": unit_walk.activation_stationary,
    "weight-stationary": unit_walk.weight_stationary,
}
OPTIONS = [
    DatapathOptions(tree_register=True),
    DatapathOptions(offset_sums=True),
    DatapathOptions(tree_register=True, offset_sums=True),
    DatapathOptions(tree_register=True, offset_sums=True, product_registers=True),
    DatapathOptions(tree_register=True, offset_sums=True, accumulator_bits=64),
    DatapathOptions(adder="bit-planes"),
    DatapathOptions(adder="bit-planes", tree_register=True, offset_sums=True),
]
ALL = DatapathOptions(tree_register=True, offset_sums=True)
LAYERS = {
    "dense": dense_layer(6, 5, 7, storage=INT8),
    "grouped": dense_layer(5, 6, 5, groups=2, storage=INT8),
    "depthwise": altered(depthwise_layer(6, 5, (3, 3)), weight_type=INT8),
}


def array_of(dataflow, options, lanes=2, columns=1):
    return Accelerator(name="test", dataflow=dataflow, lanes=lanes, columns=columns, datapath=options)


def unit_of(layer, array):
    return unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))


def signed_weights(layer):
    return layer.weights.astype(np.int8).astype(np.int64)


def outputs_in_order(layer, segments, dataflow):
    """Output pixel and channel of each cycle of the only column, and the number of segments before."""
    if dataflow == "activation-stationary":
        cycles = [(m, n) for m in range(layer.m) for segment in segments for n in segment.order]
    else:
        cycles = [(m, n) for segment in segments for n in segment.order for m in range(layer.m)]
    seen = {}
    for m, n in cycles:
        before = seen.setdefault((m, n), 0)
        seen[m, n] += 1
        yield m, n, before


def plain_product(layer, rows):
    weights = signed_weights(layer).reshape(layer.groups, -1, layer.k)
    product = rows.astype(np.int64) @ weights.swapaxes(1, 2)
    return product.swapaxes(0, 1).reshape(layer.m, layer.n)


def column_words(layer, array):
    """The unit, its segments, and all that the only column sees."""
    datapath = unit_of(layer, array)
    segments = dataflow_of(array).segments(layer, array)
    rows = random_rows(layer)
    (part,) = dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array, 10**6)
    return datapath, segments, rows, first_cycles(part.sequences, 10**6)


@pytest.mark.parametrize("dataflow", WALKS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_results_are_exact_once_the_offset_is_taken_off(dataflow, name, options):
    layer = LAYERS[name]
    datapath, segments, rows, words = column_words(layer, array_of(dataflow, options))
    modulus = 1 << datapath.accumulator_bits
    found = expected_outputs(datapath, words)
    assert words.partial_sums is not None
    buffer, segments_of = {}, {}
    for cycle, (m, n, before) in enumerate(outputs_in_order(layer, segments, dataflow)):
        given = int(words.partial_sums[cycle + datapath.partial_sum_delay])
        assert given % modulus == buffer.get((m, n), datapath.sum_offset(0)), "what was stored, or the start"
        buffer[m, n], segments_of[m, n] = int(found[cycle + datapath.latency]), before + 1
    product = plain_product(layer, rows)
    assert len(buffer) == product.size
    for (m, n), stored in buffer.items():
        exact = (stored - datapath.sum_offset(segments_of[m, n])) % modulus
        assert exact == int(product[m, n]) % modulus


@pytest.mark.parametrize("options", OPTIONS)
def test_the_verilog_computes_the_layer(iverilog, options):
    datapath, _, _, words = column_words(LAYERS["dense"], array_of("activation-stationary", options))
    result = run_testbench(datapath, words)
    assert result.passed
    assert result.checks > LAYERS["dense"].m * LAYERS["dense"].n * 4


def test_a_bias_that_is_left_out_is_noticed():
    """Without the bias of the tree what was stored is not what the next segment reads."""
    layer = LAYERS["dense"]
    datapath, segments, _, words = column_words(layer, array_of("activation-stationary", ALL))
    found = (expected_outputs(datapath, words) - np.uint64(datapath.tree_bias)) % np.uint64(
        1 << datapath.accumulator_bits
    )
    stored, wrong = {}, 0
    for cycle, (m, n, before) in enumerate(outputs_in_order(layer, segments, "activation-stationary")):
        wrong += before > 0 and words.partial_sums[cycle + 1] != stored[m, n]
        stored[m, n] = int(found[cycle + datapath.latency])
    assert wrong == layer.m * layer.n * (len(segments) - 1)


@pytest.mark.parametrize("part_cycles", [1, 10**6])
def test_toggles_of_a_layer_are_those_of_plain_loops(part_cycles):
    layer = dense_layer(5, 4, 5, storage=INT8)
    array = array_of("activation-stationary", ALL, columns=2)
    rows = random_rows(layer)
    datapath = unit_of(layer, array)
    unit = build_unit(datapath, load_cells("nangate45"))
    segments = dataflow_of(array).segments(layer, array)
    parts = dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array, part_cycles)
    found = count_toggles(unit.circuit, parts, "zero-delay")

    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    columns, _ = unit_walk.activation_stationary(rows, signed_weights(layer), pairs, array.lanes, array.columns)
    expected, transitions = np.zeros(len(unit.netlist.nets), dtype=np.int64), 0
    for walked in columns:
        given = [
            sums + 0b01010101010101010101 + cycle // layer.n % 3 * (2 << 15)
            for cycle, (_, _, sums) in enumerate(walked)
        ]
        held = walked + walked[-1:] * 3
        late = given[:1] + given + given[-1:] * 2  # one cycle behind the operands
        cycles = [
            {"weights": _bus(weights), "activations": _bus(activations), "partial_sum": sums % 2**20}
            for (weights, activations, _), sums in zip(held, late, strict=True)
        ]
        expected += toggles(unit.netlist, unit.library, cycles, settle=6)
        transitions += len(cycles) - 1
    clocks = unit.model.clock_nets
    assert datapath.accumulator_bits <= 20
    assert found.exact.transitions == transitions
    assert found.exact.toggles[~clocks].tolist() == expected[~clocks].tolist()


def _bus(words):
    return sum((int(word) & 255) << (8 * lane) for lane, word in enumerate(words))
