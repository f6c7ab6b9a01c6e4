"""Activations that are converted to sign and magnitude in the unit, against plain loops and gates."""

from __future__ import annotations

import numpy as np
import pytest

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.unit_datapath import network_datapath, unit_datapath
from fewflips.dataflows.unit_words import common_word
from fewflips.datapath.design import Word, WordFormat
from fewflips.errors import AcceleratorError
from fewflips.formats.number_formats import UINT8, NumberFormat
from fewflips.gates.liberty.load import load_cells
from fewflips.machine import Accelerator
from fewflips.machine.accelerator import DatapathOptions, Operand
from fewflips.simulation.toggles import count_toggles
from fewflips.simulation.unit import build_unit
from tests.layers import altered, dense_layer, random_rows
from tests.network_energy import unit_walk
from tests.network_energy.netlist_walk import toggles

CONVERTED = DatapathOptions(activation_converter=True)
MAGNITUDE = Operand(format=NumberFormat.SIGN_MAGNITUDE)


def machine(dataflow="activation-stationary", datapath=CONVERTED, **operands):
    operands = {"weights": MAGNITUDE, "activations": MAGNITUDE, **operands}
    return Accelerator(name="test", dataflow=dataflow, lanes=2, columns=2, datapath=datapath, **operands)


def sign_magnitude(value, bits):
    return abs(int(value)) | (value < 0) << (bits - 1)


def bus(codes, bits):
    return sum(code << (bits * lane) for lane, code in enumerate(codes))


def test_toggles_of_a_layer_are_those_of_plain_loops():
    layer, array = altered(dense_layer(4, 3, 5), activation_zero_point=120), machine()
    rows = random_rows(layer)
    unit = build_unit(network_datapath([layer], array), load_cells("nangate45"))
    words = unit.datapath.weights, unit.datapath.activations
    assert words[1].format is WordFormat.TWOS_COMPLEMENT
    flow = dataflow_of(array)
    segments = flow.segments(layer, array)
    operands = layer_operands(layer, rows, array, unit.datapath)
    found = count_toggles(unit.circuit, flow.unit_parts(operands, segments, array), "zero-delay")

    weights = layer.weights.astype(np.int64) - layer.weight_zero_points.reshape(-1, 1)
    activations = rows.astype(np.int64) - layer.activation_zero_point
    assert (activations < 0).any()
    pairs = [(segment.lanes.tolist(), segment.order.tolist()) for segment in segments]
    units, _ = unit_walk.activation_stationary(activations, weights, pairs, 2, 2)
    expected = np.zeros(len(unit.netlist.nets), dtype=np.int64)
    for walked in units:
        cycles = [
            {
                "weights": bus([sign_magnitude(w, words[0].bits) for w in weight], words[0].bits),
                "activations": bus([a % (1 << words[1].bits) for a in activation], words[1].bits),
                "partial_sum": partial_sum % (1 << unit.datapath.accumulator_bits),
            }
            for weight, activation, partial_sum in walked + walked[-1:] * unit.datapath.latency
        ]
        expected += toggles(unit.netlist, unit.library, cycles, settle=6)
    data = ~unit.model.clock_nets
    assert found.exact.toggles[data].tolist() == expected[data].tolist()


@pytest.mark.parametrize("dataflow", ["activation-stationary", "output-stationary"])
def test_converters_are_shared_like_the_registers_behind_them(dataflow):
    array = machine(dataflow)
    unit = build_unit(network_datapath([dense_layer(4, 3, 5)], array), load_cells("nangate45"))
    assert unit.converter
    pins = [unit.netlist.instances[index].pins for index in unit.banks["activations"]]
    driven = {net for index in unit.converter for net in unit.netlist.instances[index].pins.values()}
    assert {pin["D"] for pin in pins} <= driven
    shared = unit.shared_model(1.0, 0.25)
    before, after = (model.leakage_nw[unit.converter].sum() for model in (unit.model, shared))
    assert after == pytest.approx(before / 4)
    outputs = [net for net in driven if unit.model.drivers[net] in unit.converter]
    assert shared.switching_fj[outputs] == pytest.approx(unit.model.switching_fj[outputs] / 4)
    assert shared.output_fj[outputs] == pytest.approx(unit.model.output_fj[outputs] / 4)
    others = np.setdiff1d(np.arange(len(unit.netlist.instances)), [*unit.converter, *unit.banks["activations"]])
    assert shared.leakage_nw[others] == pytest.approx(unit.model.leakage_nw[others])


def test_only_sign_magnitude_activations_are_converted():
    array = machine(activations=Operand())
    with pytest.raises(
        AcceleratorError, match=r"^test: datapath\.activation_converter: expected activations of format"
    ):
        unit_datapath([dense_layer(2, 2, 2)], array, common_word([(UINT8, 8)], array.activations))


def test_the_unit_takes_the_width_of_sign_and_magnitude():
    layer = dense_layer(2, 2, 2, storage=UINT8)
    plain, converted = (network_datapath([layer], machine(datapath=one)) for one in (DatapathOptions(), CONVERTED))
    assert plain.activations == Word(WordFormat.SIGN_MAGNITUDE, converted.activations.bits)
    assert converted.multiplied == plain
