"""Synthetic reports that look like real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fewflips.machine import load_accelerator
from fewflips.records.bill import Bill, BufferBill, LevelBill, UnitBill
from fewflips.records.coverage import Coverage, LeftOutProducts
from fewflips.records.energy import (
    CellsRecord,
    DatapathRecord,
    EnergyParts,
    EnergyReport,
    EnergySettings,
    LayerEnergy,
    WordRecord,
)
from fewflips.records.model_file import ModelFile
from fewflips.records.optimization import (
    Check,
    DropInSummary,
    EnergyComparison,
    EnergyResult,
    LayerMeasurement,
    LayerResult,
    MeasureReport,
    MeasureTotals,
    OptimizeReport,
    PortFlips,
    PortPair,
    PortResult,
    PortTotals,
    ResultTotals,
    ScheduleSummary,
    Settings,
    TotalsPair,
)
from fewflips.records.waterfall import Figures, WaterfallStage
from fewflips.report.html.picture import StreamPicture

LANES = 16
BITS = 8
Mode = Literal["schedule", "drop-in", "both"]


def layer_names(count: int) -> list[str]:
    """Names as MobileNetV2's files have them."""
    names = ["MobilenetV2/Conv/Conv2D_Fold;MobilenetV2/Conv/add_fold"] if count > 1 else []
    stages = ("expand", "depthwise", "project")
    names += [f"MobilenetV2/expanded_conv_{i // 3}/{stages[i % 3]}/add_fold" for i in range(count - len(names) - 1)]
    return [*names, "MobilenetV2/Logits/Conv2d_1c_1x1/BiasAdd"]


def split(total: int, shares: Sequence[float]) -> tuple[int, ...]:
    """`total` in integer parts roughly as `shares`."""
    parts = [int(total * share / sum(shares)) for share in shares]
    parts[-1] += total - sum(parts)
    return tuple(parts)


def port_result(
    rng: random.Random, transitions: int, repeats: int, rates: tuple[float, float], segments: int, bound: bool
) -> PortResult:
    """One port whose flips per bit fall from the first to the second of `rates`."""
    before, after = (int(transitions * BITS * rate) for rate in rates)
    proven = segments if rng.random() < 0.7 else rng.randrange(segments + 1)
    gap = 0 if proven == segments else int(after * rng.uniform(0.0005, 0.004))
    return PortResult(
        baseline_flips=before,
        optimized_flips=after,
        lower_bound=after - gap if bound else None,
        segments=segments,
        proven_segments=proven if bound else 0,
        baseline_seam_flips=segments * LANES * 4 * repeats,
        optimized_seam_flips=int(segments * LANES * rng.uniform(3.6, 4.2)) * repeats,
        transitions=transitions,
        bits=BITS,
        repeats=repeats,
        hops=1,
        baseline_bit_position_flips=split(before, (50, 50, 50, 49, 48, 47, 44, 42)),
        optimized_bit_position_flips=split(after, (48, 47, 45, 42, 38, 31, 22, 18)),
    )


def layer_result(rng: random.Random, name: str, mode: Mode, activations: bool) -> LayerResult:
    """One layer, optimized."""
    depthwise = "depthwise" in name
    n = rng.choice((16, 24, 32, 64, 96, 160, 320, 960))
    k = 9 if depthwise else rng.choice((16, 32, 96, 192, 576, 1280))
    m = rng.choice((49, 196, 784, 3136, 12544))
    segments = -(-k // LANES)
    transitions, repeats = (n - 1) * LANES * segments, -(-m // 16)
    start = rng.uniform(0.41, 0.5)

    def pair(gain: float) -> PortPair:
        live = rng.uniform(0.2, 0.4)
        return PortPair(
            weights=port_result(rng, transitions, repeats, (start, start / gain), segments, gain > 1.15),
            activations=port_result(rng, transitions, repeats, (live, live), segments, False) if activations else None,
        )

    best, tied = pair(rng.uniform(1.16, 1.6)), pair(rng.uniform(0.98, 1.15))
    chosen = tied if mode == "drop-in" else best
    return LayerResult(
        name=name,
        operator="DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        m=m,
        n=n,
        k=k,
        groups=n if depthwise else 1,
        macs=m * n * k,
        repeats=repeats,
        weights=chosen.weights,
        activations=chosen.activations,
        drop_in=None if mode == "schedule" else tied,
    )


def totals(ports: Sequence[PortResult]) -> ResultTotals:
    """Sums weighted by repeats."""
    before = sum(port.baseline_flips * port.repeats for port in ports)
    after = sum(port.optimized_flips * port.repeats for port in ports)
    bounds = [port.lower_bound * port.repeats for port in ports if port.lower_bound is not None]
    return ResultTotals(
        baseline_flips=before,
        optimized_flips=after,
        lower_bound=sum(bounds) if len(bounds) == len(ports) else None,
        reduction=before / after,
        segments=sum(port.segments for port in ports),
        proven_segments=sum(port.proven_segments for port in ports),
        baseline_seam_flips=sum(port.baseline_seam_flips for port in ports),
        optimized_seam_flips=sum(port.optimized_seam_flips for port in ports),
    )


def totals_pair(pairs: Sequence[LayerResult | PortPair]) -> TotalsPair:
    """Both ports."""
    live = [pair.activations for pair in pairs if pair.activations is not None]
    return TotalsPair(weights=totals([pair.weights for pair in pairs]), activations=totals(live) if live else None)


def coverage(layers: Sequence[LayerResult]) -> Coverage:
    """All layers, and one product besides them."""
    macs = sum(layer.macs for layer in layers)
    left_out = LeftOutProducts(
        operator="CONV_2D", reason="its weights are computed at run time", names=("late",), macs=macs // 9, unknown=0
    )
    return Coverage(
        products=len(layers),
        macs=macs,
        left_out_products=1,
        left_out_macs=macs // 9,
        unknown_products=0,
        share=macs / (macs + macs // 9),
        left_out=(left_out,),
    )


def check() -> Check:
    """A check that passed."""
    return Check(
        passed=True,
        method="LiteRT ran both files on the same inputs; all output values were compared",
        sample_inputs=0,
        random_inputs=8,
        values=8008,
        equal_share=1.0,
        largest_difference=0.0,
        bit_exact=True,
    )


def optimize_report(
    layers: int = 12,
    mode: Mode = "both",
    activations: bool = False,
    names: list[str] | None = None,
    **fields: Any,
) -> OptimizeReport:
    """A report on a network of `layers` layers."""
    rng = random.Random(layers)
    results = tuple(layer_result(rng, name, mode, activations) for name in names or layer_names(layers))
    inputs = "photos" if activations else None
    drop_in = None
    if mode != "schedule":
        tied = totals_pair([layer.drop_in for layer in results if layer.drop_in is not None])
        drop_in = DropInSummary(
            file="model.fewflips.tflite",
            channel_groups=30,
            permuted_groups=28,
            frozen_groups=2,
            totals=tied,
            check=check(),
        )
    report = OptimizeReport(
        fewflips="0.1.0",
        model=ModelFile(file="mobilenet_v2_1.0_224_quant.tflite", format="tflite", sha256="7e" * 32),
        accelerator=load_accelerator("edge16"),
        settings=Settings(
            mode=mode,
            effort="default",
            seed=0,
            inputs=inputs,
            command=f"fewflips optimize mobilenet_v2_1.0_224_quant.tflite --mode {mode} --seed 0",
        ),
        coverage=coverage(results),
        layers=results,
        totals=totals_pair(results),
        schedule=None
        if mode == "drop-in"
        else ScheduleSummary(file="model.schedule.json", index_table_bits=4_812_345, check=check()),
        drop_in=drop_in,
        notes=("1 layer was left out: its weights are computed at run time.",),
    )
    return report.model_copy(update=fields)


def port_flips(port: PortResult) -> PortFlips:
    """A port as measured, from a port as optimized."""
    return PortFlips(
        flips=port.baseline_flips,
        seam_flips=port.baseline_seam_flips,
        transitions=port.transitions,
        nhd=port.baseline_flips / (port.transitions * port.bits),
        bits=port.bits,
        repeats=port.repeats,
        hops=port.hops,
        bit_position_flips=port.baseline_bit_position_flips,
    )


def port_totals(ports: Sequence[PortFlips]) -> PortTotals:
    """Sums weighted by repeats."""
    flips = sum(port.flips * port.repeats for port in ports)
    places = sum(port.transitions * port.bits * port.repeats for port in ports)
    return PortTotals(flips=flips, seam_flips=sum(port.seam_flips for port in ports), nhd=flips / places)


def measure_report(layers: int = 12, activations: bool = False, names: list[str] | None = None) -> MeasureReport:
    """The measurement that belongs to :func:`optimize_report`."""
    report = optimize_report(layers, activations=activations, names=names)
    measured = tuple(
        LayerMeasurement(
            **layer.model_dump(include={"name", "operator", "m", "n", "k", "groups", "macs", "repeats"}),
            segments=layer.weights.segments,
            weights=port_flips(layer.weights),
            activations=port_flips(layer.activations) if layer.activations else None,
        )
        for layer in report.layers
    )
    live = [layer.activations for layer in measured if layer.activations is not None]
    return MeasureReport(
        fewflips=report.fewflips,
        model=report.model,
        accelerator=report.accelerator,
        inputs=report.settings.inputs,
        coverage=report.coverage,
        layers=measured,
        totals=MeasureTotals(
            macs=sum(layer.macs for layer in measured),
            weights=port_totals([layer.weights for layer in measured]),
            activations=port_totals(live) if live else None,
        ),
        notes=report.notes,
    )


def stream_picture(cycles: int = 96, lanes: int = LANES, bits: int = BITS) -> StreamPicture:
    """Bell-shaped weights, and the same rows in nearest-neighbour order."""
    rng = np.random.default_rng(0)
    middle = 1 << (bits - 1)
    values = np.clip(rng.normal(middle, middle / 6, (cycles, lanes)).round(), 0, 2 * middle - 1)
    before = values.astype(np.uint8 if bits <= 8 else np.uint16)
    order, left = [0], set(range(1, cycles))
    while left:
        last = before[order[-1]]
        order.append(min(left, key=lambda row: (int(np.bitwise_count(before[row] ^ last).sum()), row)))
        left.remove(order[-1])
    return StreamPicture("MobilenetV2/expanded_conv_3/expand/add_fold", 0, bits, before, before[order])


def parts(switching: float, internal: float, clock: float, leakage: float) -> EnergyParts:
    """Energies in pJ with their sums."""
    return EnergyParts(
        switching_pj=switching,
        internal_pj=internal,
        clock_pj=clock,
        leakage_pj=leakage,
        data_pj=switching + internal,
        total_pj=switching + internal + clock + leakage,
    )


def layer_energy(name: str, macs: int, activity: float = 1.0, ci95_percent: float | None = None) -> LayerEnergy:
    """0.25 pJ a MAC without glitches and 0.5 pJ with them, times `activity`; 0.125 pJ for clock and leakage."""
    overhead = (macs * 0.12, macs * 0.005)
    return LayerEnergy(
        name=name,
        macs=macs,
        zero_delay=parts(macs * activity * 0.1, macs * activity * 0.15, *overhead),
        inertial=parts(macs * activity * 0.2, macs * activity * 0.3, *overhead),
        sampled=ci95_percent is not None,
        ci95_percent=ci95_percent or 0.0,
    )


def total_energy(energies: Sequence[LayerEnergy]) -> LayerEnergy:
    """Sum of the layers; their mean confidence interval."""

    def total(side: Literal["zero_delay", "inertial"]) -> EnergyParts:
        sides = [getattr(energy, side) for energy in energies]
        return parts(*(sum(getattr(part, f"{kind}_pj") for part in sides) for kind in KINDS))

    return LayerEnergy(
        name="total",
        macs=sum(energy.macs for energy in energies),
        zero_delay=total("zero_delay"),
        inertial=total("inertial"),
        sampled=any(energy.sampled for energy in energies),
        ci95_percent=sum(energy.ci95_percent for energy in energies) / max(len(energies), 1),
    )


KINDS = ("switching", "internal", "clock", "leakage")
DATAPATH = DatapathRecord(
    kind="column",
    weights=WordRecord(format="twos-complement", bits=8),
    activations=WordRecord(format="unsigned", bits=8),
    lanes=LANES,
    accumulator_bits=24,
    multiplier="synthesizer",
    product_registers=False,
    partial_sum_input=True,
    units=16,
    instances=6789,
    registers=412,
    area_um2=9876.5,
    critical_path_ps=2345.0,
    netlist="synthesized by Yosys 0.70",
    wires="by fanout, 0.61 fF a pin",
)
CELLS = CellsRecord(
    name="NangateOpenCellLibrary",
    source="built-in table nangate45",
    corner="typical",
    voltage_v=1.1,
    temperature_c=25.0,
    sha256="5a" * 32,
)


def energy_settings(**fields: Any) -> EnergySettings:
    """Every cycle of one random input in natural order."""
    settings: dict[str, Any] = {
        "inputs": None,
        "samples": 1,
        "schedule": None,
        "clock_mhz": 500.0,
        "step_ps": 10.0,
        "time_limit_s": 120.0,
        "share": 1.0,
        "sampled_share": 1.0,
        "zero_delay_share": 1.0,
        "seed": 0,
    }
    return EnergySettings(**(settings | fields))


def energy_report(
    layers: int = 12, names: list[str] | None = None, ci95_percent: float | None = None, **fields: Any
) -> EnergyReport:
    """Energies of the network of :func:`optimize_report`."""
    shapes = optimize_report(layers, names=names)
    energies = tuple(layer_energy(layer.name, layer.macs, 1.0, ci95_percent) for layer in shapes.layers)
    report = EnergyReport(
        fewflips="0.1.0",
        model=shapes.model,
        accelerator=shapes.accelerator,
        settings=energy_settings(sampled_share=1.0 if ci95_percent is None else 0.05),
        coverage=shapes.coverage,
        layers=energies,
        total=total_energy(energies),
        datapath=DATAPATH,
        cells=CELLS,
        notes=("Energy of 1 layer is left out: its activations are not integers in the file.",),
    )
    return report.model_copy(update=fields)


def with_waterfall(report: OptimizeReport) -> OptimizeReport:
    """A report with three stages, the last of which makes things worse; the bill is twice the data energy."""

    def figures(flips: int, picojoules: float) -> Figures:
        return Figures(
            weight_flips=flips,
            weight_seam_flips=flips // 100,
            activation_flips=None,
            zero_delay_data_pj=picojoules / 2,
            inertial_data_pj=picojoules,
            whole_pj=picojoules * 2,
        )

    def stage(name: str, start: str | None, gain: float) -> WaterfallStage:
        layers = tuple(
            figures(int(layer.weights.baseline_flips * layer.weights.repeats / gain), layer.macs / gain)
            for layer in report.layers
        )
        total = figures(sum(one.weight_flips for one in layers), sum(layer.macs for layer in report.layers) / gain)
        return WaterfallStage(name=name, start=start, main=True, total=total, layers=layers)

    stages = (stage("baseline", None, 1.0), stage("schedule", "baseline", 1.25), stage("signs", "schedule", 1.2))
    return report.model_copy(update={"waterfall": stages})


def with_energy(
    report: OptimizeReport, unknown: Sequence[int] = (), ci95_percent: float | None = None, activity: float = 1.0
) -> OptimizeReport:
    """A report whose layers take 1.25 times less data energy in scheduled order, 1.0625 times less as a drop-in."""

    def energy(layer: LayerResult, gain: float) -> LayerEnergy:
        return layer_energy(layer.name, layer.macs, activity / gain, ci95_percent)

    layers, comparisons = [], []
    for number, layer in enumerate(report.layers):
        comparison = EnergyComparison(
            baseline=energy(layer, 1.0),
            schedule=energy(layer, 1.25) if report.schedule else None,
            drop_in=energy(layer, 1.0625) if report.drop_in else None,
        )
        layers.append(layer if number in unknown else layer.model_copy(update={"energy": comparison}))
        comparisons += [] if number in unknown else [comparison]
    scheduled = [comparison.schedule for comparison in comparisons if comparison.schedule]
    dropped = [comparison.drop_in for comparison in comparisons if comparison.drop_in]
    result = EnergyResult(
        settings=energy_settings(sampled_share=1.0 if ci95_percent is None else 0.05),
        total=EnergyComparison(
            baseline=total_energy([comparison.baseline for comparison in comparisons]),
            schedule=total_energy(scheduled) if scheduled else None,
            drop_in=total_energy(dropped) if dropped else None,
        ),
        datapath=DATAPATH,
        cells=CELLS,
    )
    return report.model_copy(update={"layers": tuple(layers), "energy": result})


ESTIMATES = ("buffers.weights_pj", "buffers.activations_pj", "buffers.partial_sums_pj", "buffers.beyond")


def billed(energy: LayerEnergy, memories: bool = True) -> LayerEnergy:
    """The same with a bill: 40, 30, 20 and 10 % of the data energy; 0.05 to 0.4 pJ a MAC for memories, 1 for DRAM."""
    data, macs = energy.inertial.data_pj, energy.macs
    units = UnitBill(
        multipliers_pj=0.4 * data,
        adders_pj=0.3 * data,
        partial_sums_pj=0.2 * data,
        registers_pj=0.1 * data,
        clock_pj=energy.inertial.clock_pj,
        leakage_pj=energy.inertial.leakage_pj,
    )
    buffers = BufferBill(
        weights_pj=0.1 * macs,
        activations_pj=0.05 * macs,
        partial_sums_pj=0.4 * macs,
        index_table_pj=0.0,
        leakage_pj=0.005 * macs,
        beyond=(LevelBill(name="DRAM", access_pj=0.9 * macs, leakage_pj=0.1 * macs),),
    )
    datapath = energy.inertial.total_pj
    bill = Bill(
        units=units,
        buffers=buffers if memories else None,
        datapath_pj=datapath,
        whole_pj=datapath + (1.555 * macs if memories else 0.0),
        estimated=ESTIMATES if memories else (),
    )
    return energy.model_copy(update={"bill": bill})


def billed_comparison(comparison: EnergyComparison, memories: bool = True) -> EnergyComparison:
    """Every outcome with its bill."""
    outcomes = {name: getattr(comparison, name) for name in ("baseline", "schedule", "drop_in")}
    return EnergyComparison(**{name: energy and billed(energy, memories) for name, energy in outcomes.items()})


def with_bills(report: OptimizeReport, memories: bool = True) -> OptimizeReport:
    """A report with energies, each with its bill."""
    layers = tuple(
        layer.model_copy(update={"energy": layer.energy and billed_comparison(layer.energy, memories)})
        for layer in report.layers
    )
    assert report.energy is not None
    result = report.energy.model_copy(update={"total": billed_comparison(report.energy.total, memories)})
    return report.model_copy(update={"layers": layers, "energy": result})
