"""Random operands for any small netlist or datapath, in one pass of one sequence."""

from __future__ import annotations

import numpy as np

from fewflips.datapath.design import Datapath
from fewflips.gates.netlist.netlist import Netlist
from fewflips.gates.operands import OperandSequences, PortRows

_START = np.zeros(1, dtype=np.int64)


def random_bits(unit: Netlist, cycles: int, seed: int = 1) -> OperandSequences:
    """Every input port but the clock takes random values."""
    random = np.random.default_rng(seed)
    inputs = {
        name: PortRows(random.integers(0, 2, (cycles, len(nets))).astype(np.uint8), 1, _START, 1)
        for name, nets in unit.inputs.items()
        if name != "clk"
    }
    return OperandSequences(np.array([cycles]), _START, inputs)


def random_operands(datapath: Datapath, cycles: int, seed: int = 1) -> OperandSequences:
    """Weights around 0, and activations of which nearly half are 0; an accumulator starts anew every 16 cycles."""
    random = np.random.default_rng(seed)
    shape = (cycles, datapath.lanes)
    largest = datapath.weights.value_range[1]
    weights = np.clip(np.rint(random.normal(0, largest / 4, shape)), -largest, largest).astype(np.int64)
    activations = random.integers(0, datapath.activations.value_range[1] + 1, shape) * (random.random(shape) > 0.45)
    chained = datapath.kind == "chain"
    inputs = {
        "weights": PortRows(weights, datapath.weights.bits, _START, 1, skew=chained),
        "activations": PortRows(activations, datapath.activations.bits, _START, 1, skew=chained),
    }
    for port in datapath.bus_invert_ports:
        flags = random.integers(0, 2, shape).astype(np.uint8)
        inputs[f"{port}_invert"] = PortRows(flags, 1, _START, 1, skew=chained)
    if datapath.sign_flags:
        inputs["negate"] = PortRows(random.integers(0, 2, (cycles, 1)).astype(np.uint8), 1, _START, 1)
    if datapath.partial_sum_input:
        largest_sum = 1 << (datapath.accumulator_bits - 3)
        sums = np.clip(np.rint(random.normal(0, largest_sum / 64, (cycles, 1))), -largest_sum, largest_sum)
        sums = sums.astype(np.int64) + datapath.sum_offset(1)
        bits, delay = datapath.accumulator_bits, datapath.partial_sum_delay
        inputs["partial_sum"] = PortRows(sums, bits, _START, 1, delay=delay)
    if datapath.kind != "mac":
        return OperandSequences(np.array([cycles]), _START, inputs)
    clear = (np.arange(cycles) % 16 == 0)[:, None]
    inputs["clear"] = PortRows(clear.astype(np.uint8), 1, _START, 1)
    sums = np.zeros((cycles, 1), dtype=np.int64)
    for cycle in range(cycles):
        before = 0 if clear[cycle, 0] else sums[cycle - 1, 0]
        sums[cycle, 0] = before + weights[cycle, 0] * activations[cycle, 0]
    registers = {"accumulator": PortRows(sums, datapath.accumulator_bits, _START, 1, delay=2)}
    return OperandSequences(np.array([cycles]), _START, inputs, registers)
