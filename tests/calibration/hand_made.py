"""A calibration written down by hand: one lane costs 100 fJ x NHD of the weights, half of it without glitches."""

from __future__ import annotations

from fewflips.machine import Accelerator
from fewflips.records.calibration import (
    Axis,
    Calibration,
    CalibrationSettings,
    DelayCurves,
    MeanStatistics,
    RegisterEnergy,
    Surface,
)
from fewflips.records.energy import CellsRecord, DatapathRecord, WordRecord

LANES = 4
BITS = 8
ZERO_FLIPS = (0.0,) * BITS


def surface(height_fj: float, base_fj: float = 0.0) -> Surface:
    table = ((base_fj, base_fj), (base_fj + height_fj, base_fj + height_fj))
    return Surface(simulated_fj=table, curve_fj=table)


def axis(bit_costs: tuple[float, ...] = (1.0,) * BITS) -> Axis:
    return Axis(nhd=(0.0, 1.0), weighted_nhd=(0.0, 1.0), bit_costs=bit_costs)


def curves(height_fj: float, *, bit_costs: tuple[float, ...] = (1.0,) * BITS, partial_fj: float = 0.0) -> DelayCurves:
    return DelayCurves(
        weights=axis(bit_costs),
        activations=axis(),
        first=surface(height_fj),
        later=surface(height_fj, partial_fj),
        sum_nhd=(0.0, 0.5),
        sum_shares=(0.0, 1.0),
        lanes=(0, LANES),
        lane_shares=(0.0, 1.0),
        ones_costs=tuple(ones / 4 for ones in range(BITS + 1)),
        mean_costs=(0.0, 2.0),
        factors=(0.0, 2.0),
    )


def calibration(**overrides: object) -> Calibration:
    byte = WordRecord(format="unsigned", bits=BITS)
    fields: dict[str, object] = {
        "fewflips": "1.2.3",
        "accelerator": Accelerator(name="four", lanes=LANES, columns=2),
        "datapath": DatapathRecord(
            kind="column",
            weights=byte,
            activations=byte,
            lanes=LANES,
            accumulator_bits=24,
            multiplier="synthesizer",
            product_registers=False,
            partial_sum_input=True,
            units=2,
            instances=1000,
            registers=100,
            area_um2=1.0,
            critical_path_ps=1.0,
            netlist="by hand",
            wires="none",
        ),
        "cells": CellsRecord(
            name="hand", source="hand", corner="typical", voltage_v=1.0, temperature_c=25.0, sha256="0" * 64
        ),
        "settings": CalibrationSettings(
            command="fewflips calibrate --accelerator four", seed=0, step_ps=10.0, time_limit_s=60.0, cycles=4096
        ),
        "held_operand": "activations",
        "zero_delay": curves(50.0 * LANES),
        "inertial": curves(100.0 * LANES),
        "registers": RegisterEnergy(weights_fj=0.0, activations_fj=0.0),
        "means": MeanStatistics(
            source="by hand",
            dense_rates=(0.25,) * BITS,
            depthwise_rates=(0.5,) * BITS,
            held_ones=(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0),
        ),
    }
    return Calibration.model_validate(fields | overrides)
