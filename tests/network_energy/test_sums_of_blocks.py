"""Weights with a scale for each block: sums that start again, against plain loops, and accumulators for a block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.scale_blocks import notes_on_blocks
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word, sum_bits
from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT4, UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.network.quantization_values import QuantizationValues
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import dense_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.netlist_walk import toggles
from tests.network_energy.test_energy_of_a_layer import ports_of, skewed

WALKS = {
    "activation-stationary": unit_walk.activation_stationary,
    "weight-stationary": unit_walk.weight_stationary,
}


def blocks_of(layer, block):
    """The layer with scales that differ from block to block."""
    scales = np.arange(1, 1 + layer.n * -(-layer.k // block), dtype=np.float32).reshape(layer.n, -1)
    return replace(layer, right=replace(layer.right, scales=QuantizationValues(scales, 1, block)))


@pytest.mark.parametrize("dataflow", sorted(WALKS))
@pytest.mark.parametrize("replay", ["forward", "serpentine"])
@pytest.mark.parametrize("block", [2, 4])
def test_units_see_the_sums_of_blocks(dataflow, replay, block):
    layer = blocks_of(dense_layer(5, 4, 9, storage=UINT8), block)
    array = Accelerator(name="test", dataflow=dataflow, lanes=2, columns=2, replay=replay)
    rows = random_rows(layer)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    assert datapath.accumulator_bits == sum_bits(datapath.weights, datapath.activations, block)
    unit = build_unit(datapath, load_cells("nangate45"))
    segments = dataflow_of(array).segments(layer, array)
    parts = dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array)
    found = count_toggles(unit.circuit, parts, "zero-delay")

    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    turns, weights = replay == "serpentine", layer.weights.astype(np.int64)
    units, sums = WALKS[dataflow](rows, weights, pairs, array.lanes, array.columns, turns=turns, block=block)
    assert len(sums) == 5 * 4 * -(-9 // block)
    expected = np.zeros(len(unit.netlist.nets), dtype=np.int64)
    drain = {"column": datapath.latency, "chain": datapath.latency + array.lanes - 1}[datapath.kind]
    for walked in units:
        held = walked + walked[-1:] * drain
        cycles = skewed(held) if datapath.kind == "chain" else held
        expected += toggles(unit.netlist, unit.library, [ports_of(cycle, dataflow) for cycle in cycles], settle=6)
    clocks = unit.model.clock_nets
    assert found.exact.toggles[~clocks].tolist() == expected[~clocks].tolist()


def test_one_scale_a_channel_needs_the_whole_sum():
    layer = dense_layer(2, 3, 64, storage=UINT4)
    array = Accelerator(name="test", lanes=4, columns=2)
    word, nibble = Word(WordFormat.UNSIGNED, 8), Word(WordFormat.UNSIGNED, 4)
    whole = unit_datapath([layer], array, word).accumulator_bits
    assert whole == sum_bits(nibble, word, 64)
    assert unit_datapath([layer, blocks_of(layer, 8)], array, word).accumulator_bits == whole
    assert unit_datapath([blocks_of(layer, 8)], array, word).accumulator_bits == sum_bits(nibble, word, 8)
    assert notes_on_blocks([layer]) == ()
    (note,) = notes_on_blocks([layer, blocks_of(layer, 8), blocks_of(layer, 16)])
    assert f"{2 * 3 * 8 + 2 * 3 * 4} sums of blocks" in note


@pytest.mark.parametrize(
    ("machine", "what"),
    [
        ({"lanes": 4}, "got one of 4 lanes across 2 of them"),
        ({"dataflow": "output-stationary", "lanes": 2}, "an output-stationary unit adds up whole rows"),
    ],
)
def test_machines_that_add_across_blocks(machine, what):
    layer = blocks_of(dense_layer(2, 3, 8, storage=UINT8), 2)
    array = Accelerator(name="test", columns=2, **machine)
    datapath = unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))
    segments = dataflow_of(array).segments(layer, array)
    with pytest.raises(AcceleratorError, match=what):
        list(dataflow_of(array).unit_parts(layer_operands(layer, random_rows(layer), array, datapath), segments, array))
