"""A whole layer through columns with sign flags, some of whose words stream negated: nothing is lost.

The machine that stands here keeps partial sums as the column gives them. It takes the offset off where results are
complete, by how many of a channel's words were negated.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.arithmetic import expected_outputs
from fewflips.datapath.testbench import run_testbench
from fewflips.errors import AcceleratorError
from fewflips.estimation.calibration.sequences import unit_sequences
from fewflips.formats.number_formats import INT8, UINT8
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.machine.buffers import Tiling
from fewflips.simulation.function_check import check_function
from fewflips.simulation.port_words import first_cycles
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import altered, dense_layer, depthwise_layer, random_rows
from tests.network_energy.test_sums_behind_the_tree import plain_product

OPTIONS = [
    {},
    {"tree_register": True},
    {"offset_sums": True},
    {"tree_register": True, "offset_sums": True},
    {"tree_register": True, "product_registers": True},
    {"tree_register": True, "offset_sums": True, "product_registers": True, "accumulator_bits": 64},
    {"adder": "bit-planes", "tree_register": True, "offset_sums": True},
    {"zero_gating": True, "multiplier": "booth"},
]


def without_smallest(layer):
    """The layer without the code that has no negative."""
    return altered(layer, weights=np.maximum(layer.weights, -127))


LAYERS = {
    "dense": without_smallest(dense_layer(6, 5, 7, storage=INT8)),
    "grouped": without_smallest(dense_layer(5, 6, 5, groups=2, storage=INT8)),
    "depthwise": without_smallest(altered(depthwise_layer(6, 5, (3, 3)), weight_type=INT8)),
}
FORMATS = {"as-stored": Operand(), "sign-magnitude": Operand.model_validate({"format": "sign-magnitude"})}


def array_of(options, lanes=2, columns=1, **others):
    datapath = DatapathOptions.model_validate({"sign_flags": True, **options})
    return Accelerator(name="test", lanes=lanes, columns=columns, datapath=datapath, **others)


def unit_of(layer, array):
    return unit_datapath([layer], array, common_word([(UINT8, 8)], array.activations))


def signed_segments(layer, array, seed=0):
    """Random orders and signs."""
    random = np.random.default_rng(seed)
    return tuple(
        Segment(one.lanes, random.permutation(one.order), random.random(len(one.order)) < 0.5)
        for one in dataflow_of(array).segments(layer, array)
    )


def column_words(layer, array):
    datapath, rows = unit_of(layer, array), random_rows(layer)
    segments = signed_segments(layer, array)
    (part,) = dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array, 10**6)
    return datapath, segments, rows, first_cycles(part.sequences, 10**6)


@pytest.mark.parametrize("words", FORMATS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_results_are_exact_once_the_offset_is_taken_off(words, name, options):
    if words == "sign-magnitude" and options.get("adder") == "bit-planes":
        words = "as-stored"  # the only one that planes take
    layer = LAYERS[name]
    datapath, segments, rows, port = column_words(layer, array_of(options, weights=FORMATS[words]))
    modulus = 1 << datapath.accumulator_bits
    found = expected_outputs(datapath, port)
    buffer, seen = {}, {}
    cycle = 0
    for pixel in range(layer.m):
        for segment in segments:
            for channel, negated in zip(segment.order.tolist(), segment.negated.tolist(), strict=True):
                place = pixel, channel
                given = int(port.partial_sums[cycle + datapath.partial_sum_delay])
                assert given % modulus == buffer.get(place, datapath.sum_offset(0)), "what was stored, or the start"
                assert port.negate[cycle] == negated
                buffer[place] = int(found[cycle + datapath.latency])
                taken, subtracted = seen.get(place, (0, 0))
                seen[place] = taken + 1, subtracted + negated
                cycle += 1
    product = plain_product(layer, rows)
    assert len(buffer) == product.size
    for place, stored in buffer.items():
        assert (stored - datapath.sum_offset(*seen[place])) % modulus == int(product[place]) % modulus
    assert {subtracted for _, subtracted in seen.values()} > {0, 1}


@pytest.mark.parametrize("options", OPTIONS)
def test_the_verilog_computes_the_layer(iverilog, options):
    datapath, _, _, words = column_words(LAYERS["dense"], array_of(options))
    assert datapath.sign_flags
    result = run_testbench(datapath, words)
    assert result.passed
    assert result.checks > LAYERS["dense"].m * LAYERS["dense"].n * 4


@pytest.mark.parametrize("options", OPTIONS[:4])
def test_the_gates_compute_the_layer_and_share_the_register_of_the_flag(options):
    array = array_of(options)
    datapath = unit_of(LAYERS["dense"], array)
    unit = build_unit(datapath, load_cells("nangate45"))
    operands = layer_operands(LAYERS["dense"], random_rows(LAYERS["dense"]), array, datapath)
    segments = signed_segments(LAYERS["dense"], array)
    (part,) = dataflow_of(array).unit_parts(operands, segments, array, 10**6)
    check_function(unit.circuit, datapath, part.sequences)
    (flag,) = unit.banks["negate"]
    assert unit.netlist.instances[flag].pins["D"] == unit.netlist.inputs["negate"][0]
    shared = unit.shared_model(0.25, 1.0)
    assert shared.clock_fj[flag] == pytest.approx(unit.model.clock_fj[flag] / 4)
    weight = unit.banks["weights"][0]
    assert shared.clock_fj[weight] == pytest.approx(unit.model.clock_fj[weight] / 4)


def test_parts_of_a_layer_toggle_like_the_whole():
    layer, array = LAYERS["dense"], array_of({"tree_register": True, "offset_sums": True}, columns=2)
    datapath = unit_of(layer, array)
    unit, rows = build_unit(datapath, load_cells("nangate45")), random_rows(layer)
    segments = signed_segments(layer, array)
    whole, cut = (
        count_toggles(
            unit.circuit,
            dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), segments, array, cycles),
            "inertial",
        )
        for cycles in (10**6, 1)
    )
    assert whole.exact.toggles.tolist() == cut.exact.toggles.tolist()
    plain = tuple(Segment(one.lanes, one.order) for one in segments)
    other = count_toggles(
        unit.circuit,
        dataflow_of(array).unit_parts(layer_operands(layer, rows, array, datapath), plain, array, 10**6),
        "inertial",
    )
    flag = unit.netlist.inputs["negate"][0]
    assert other.exact.toggles[flag] == 0
    flags = [bool(one) for pixel in range(3) for segment in segments for one in segment.negated]
    assert whole.exact.toggles[flag] == 2 * sum(a != b for a, b in pairwise(flags))


def test_negated_words_need_units_that_subtract():
    layer, array = LAYERS["dense"], array_of({})
    plain = array_of({"sign_flags": False})
    datapath = unit_of(layer, plain)
    assert datapath == replace(unit_of(layer, array), sign_flags=False)
    operands = layer_operands(layer, random_rows(layer), plain, datapath)
    with pytest.raises(AcceleratorError, match=r"words of its segments stream negated, and the"):
        list(dataflow_of(plain).unit_parts(operands, signed_segments(layer, array), plain))


@pytest.mark.parametrize("dataflow", ["weight-stationary", "output-stationary"])
def test_machines_whose_weights_do_not_stream_so_are_refused(dataflow):
    array = array_of({}, dataflow=dataflow)
    with pytest.raises(AcceleratorError, match=r"^test: datapath\.sign_flags: expected weights that stream past held"):
        unit_of(LAYERS["dense"], array)


def test_unsigned_weights_are_refused_in_the_machine_s_words():
    with pytest.raises(AcceleratorError, match=r"^test: sign flags: expected weights with a sign, got unsigned ones;"):
        unit_of(dense_layer(2, 2, 2, storage=UINT8), array_of({}))


def test_a_machine_without_sign_flags_is_described_as_before():
    assert "sign_flags" not in array_of({"sign_flags": False}).model_dump()["datapath"]
    assert "sign_flags" not in array_of({"sign_flags": False}).model_dump_json()
    again = Accelerator.model_validate_json(array_of({}, tiling=Tiling(outputs=4)).model_dump_json())
    assert again.datapath.sign_flags


def test_a_calibration_negates_nothing():
    datapath = unit_of(LAYERS["dense"], array_of({"tree_register": True, "offset_sums": True}))
    random = np.random.default_rng(0)
    words = {name: random.integers(0, 256, (12, 2)).astype(np.uint8) for name in ("weights", "activations")}
    sequences = unit_sequences(datapath, words, None, 3, 4)
    check_function(build_unit(datapath, load_cells("nangate45")).circuit, datapath, sequences)
    assert not first_cycles(sequences, 100).negate.any()
