"""Figures of a network of three layers, in numbers that are easy to divide."""

from __future__ import annotations

from scripts.reproduction.figures import (
    Energies,
    LayerFigures,
    NetworkFigures,
    Reproduction,
    VariantFigures,
)
from scripts.reproduction.networks import VARIANTS

from fewflips.records.energy import CellsRecord, DatapathRecord, WordRecord

LIBRARIES = ("nangate45", "sky130hd")
LAYERS = (("stem", 2_000_000, False), ("block/depthwise", 1_000_000, True), ("classifier", 10_000, False))
INERTIAL_DATA = {
    "baseline": (80.0, 12.0, 60.0),
    "post-training only": (40.0, 12.0, 40.0),
    "training only": (64.0, 10.0, 60.0),
    "both": (8.0, 4.0, 20.0),
}
"""pJ of each layer; the ratios of `both` are 10, 3 and 3, the totals 152 and 32."""
FLIPS = {"baseline": (300, 100, 200), "post-training only": (200, 100, 100)}
FLIPS |= {"training only": (250, 90, 200), "both": (30, 0, 20)}


def energies(data: float, factor: float = 1.0) -> Energies:
    """Zero delay is half of the inertial data; clock and leakage are 10 pJ."""
    return Energies(
        zero_delay_data_pj=factor * data / 2,
        zero_delay_total_pj=factor * (data / 2 + 10),
        inertial_data_pj=factor * data,
        inertial_total_pj=factor * (data + 10),
        ci95_percent=0.0,
    )


def both_libraries(data: float) -> dict[str, Energies]:
    return {"nangate45": energies(data), "sky130hd": energies(data, 3.0)}


def variant(name: str, network: str, accuracy: float, bits: int = 8, seed: int = 0) -> VariantFigures:
    data, flips = INERTIAL_DATA[name], FLIPS[name]
    layers = [
        LayerFigures(
            name=layer,
            macs=macs,
            depthwise=depthwise,
            flips=flips[index],
            seam_flips=10,
            energies=both_libraries(data[index]),
        )
        for index, (layer, macs, depthwise) in enumerate(LAYERS)
    ]
    return VariantFigures(
        variant=name,
        bits=bits,
        seed=seed,
        network=network,
        accuracy_percent=accuracy,
        flips=sum(flips),
        seam_flips=30,
        total=both_libraries(sum(data)),
        layers=tuple(layers),
    )


def reproduction(trained_accuracy: float = 81.0, share: float = 1.0) -> Reproduction:
    accuracies = {"baseline": 81.3, "hamming": trained_accuracy}
    networks = {training: f"{training}_8bit_seed0" for training in accuracies}
    return Reproduction(
        accelerator="edge16",
        clock_mhz=200.0,
        samples=10,
        share=share,
        cells={name: cells(name) for name in LIBRARIES},
        networks=tuple(network(networks[training], training, accuracies[training]) for training in networks),
        variants=tuple(variant(name, networks[training], accuracies[training]) for name, training, _ in VARIANTS),
    )


def cells(name: str) -> CellsRecord:
    return CellsRecord(name=name, source=name, corner="typical", voltage_v=1.1, temperature_c=25.0, sha256=64 * "0")


def network(name: str, training: str, accuracy: float) -> NetworkFigures:
    unit = DatapathRecord(
        kind="column",
        weights=WordRecord(format="twos-complement", bits=8),
        activations=WordRecord(format="unsigned", bits=8),
        lanes=16,
        accumulator_bits=26,
        multiplier="synthesizer",
        product_registers=False,
        partial_sum_input=True,
        units=16,
        instances=7338,
        registers=308,
        area_um2=9207.0,
        critical_path_ps=2700.0,
        netlist="Yosys",
        wires="by fanout",
    )
    return NetworkFigures(
        name=name,
        bits=8,
        seed=0,
        training=training,
        model_sha256=64 * ("a" if training == "baseline" else "b"),
        model_bytes=800_707,
        accuracy_percent=accuracy,
        units=dict.fromkeys(LIBRARIES, unit),
        seconds=60.0,
        run=None,
    )
