"""Energies and units as report records."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import Literal

from fewflips.datapath.design import Word
from fewflips.gates.liberty.cells import CellLibrary
from fewflips.gates.power.energy import Energy
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.records.bill import Bill
from fewflips.records.energy import CellsRecord, DatapathRecord, EnergyParts, LayerEnergy, WordRecord
from fewflips.simulation.bill import total_bill
from fewflips.simulation.unit import ArithmeticUnit

_PJ_PER_FJ = 1e-3


def energy_parts(energy: Energy) -> EnergyParts:
    """Energy in pJ, split as in reports."""
    return EnergyParts(
        switching_pj=energy.switching_fj * _PJ_PER_FJ,
        internal_pj=energy.internal_fj * _PJ_PER_FJ,
        clock_pj=energy.clock_fj * _PJ_PER_FJ,
        leakage_pj=energy.leakage_fj * _PJ_PER_FJ,
        data_pj=energy.data_fj * _PJ_PER_FJ,
        total_pj=energy.total_fj * _PJ_PER_FJ,
    )


def layer_energy(
    layer: Layer, zero_delay: Energy, inertial: Energy, bill: Bill, *, sampled: bool, ci95_percent: float
) -> LayerEnergy:
    """One layer's energy."""
    return LayerEnergy(
        name=layer.name,
        macs=layer.macs,
        zero_delay=energy_parts(zero_delay),
        inertial=energy_parts(inertial),
        sampled=sampled,
        ci95_percent=ci95_percent,
        bill=bill,
    )


def total_energy(layers: Sequence[LayerEnergy]) -> LayerEnergy:
    """Sum over the layers; their confidence intervals are independent.

    Parameters
    ----------
    layers : sequence of LayerEnergy
        At least one.

    Returns
    -------
    LayerEnergy
        Named ``total``.
    """
    data = sum(layer.inertial.data_pj for layer in layers)
    half_width = hypot(*(layer.ci95_percent * layer.inertial.data_pj for layer in layers))
    return LayerEnergy(
        name="total",
        macs=sum(layer.macs for layer in layers),
        zero_delay=_sum([layer.zero_delay for layer in layers]),
        inertial=_sum([layer.inertial for layer in layers]),
        sampled=any(layer.sampled for layer in layers),
        ci95_percent=half_width / data if data > 0 else 0.0,
        bill=total_bill([layer.bill for layer in layers]),
    )


def datapath_record(unit: ArithmeticUnit, array: Accelerator) -> DatapathRecord:
    """The simulated unit."""
    datapath, cells = unit.datapath, unit.library.cells
    registers = sum(cells[instance.cell].flip_flop is not None for instance in unit.netlist.instances)
    return DatapathRecord(
        kind=datapath.kind,
        weights=_word(datapath.weights),
        activations=_word(datapath.activations),
        lanes=datapath.lanes,
        accumulator_bits=datapath.accumulator_bits,
        multiplier=datapath.multiplier,
        adder=datapath.adder,
        product_registers=datapath.product_registers,
        partial_sum_input=datapath.partial_sum_input,
        tree_register=datapath.tree_register,
        offset_sums=datapath.offset_sums,
        sign_flags=datapath.sign_flags,
        hold_flags=datapath.hold_flags,
        zero_gating=datapath.zero_gating,
        activation_converter=datapath.activation_converter,
        bus_invert_ports=datapath.bus_invert_ports,
        units=array.columns * (1 if datapath.traits.many_lanes else array.lanes),
        instances=len(unit.netlist.instances),
        registers=registers,
        area_um2=unit.area_um2,
        critical_path_ps=unit.timing.critical_path_ps,
        netlist=unit.origin,
        wires=unit.wires,
    )


def cells_record(library: CellLibrary) -> CellsRecord:
    """The cell library used."""
    return CellsRecord(
        name=library.name,
        source=library.source,
        corner=library.corner,
        voltage_v=library.voltage_v,
        temperature_c=library.temperature_c,
        sha256=library.sha256,
    )


def _sum(parts: Sequence[EnergyParts]) -> EnergyParts:
    names: tuple[Literal["switching_pj", "internal_pj", "clock_pj", "leakage_pj", "data_pj", "total_pj"], ...] = (
        "switching_pj",
        "internal_pj",
        "clock_pj",
        "leakage_pj",
        "data_pj",
        "total_pj",
    )
    return EnergyParts(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _word(word: Word) -> WordRecord:
    return WordRecord(format=word.format.value, bits=word.bits)
