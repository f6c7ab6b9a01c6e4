"""From stages and checks to the report."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from fewflips.dataflows import dataflow_of
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.optimization.pipeline import Run, Stage
from fewflips.optimization.segment_orders import Certificate
from fewflips.optimization.step import Evidence
from fewflips.optimization.waterfall import waterfall
from fewflips.records.coverage import coverage_of
from fewflips.records.energy import LayerEnergy
from fewflips.records.model_file import model_file
from fewflips.records.optimization import (
    BASELINE,
    DropInSummary,
    EnergyComparison,
    EnergyResult,
    LayerResult,
    OptimizeReport,
    PortPair,
    PortResult,
    ResultTotals,
    ScheduleSummary,
    Settings,
    StageEvidence,
    StageRecord,
    TotalsPair,
)
from fewflips.records.schedule import Schedule
from fewflips.records.transition_cost import CostResult, StageCosts, WeightCosts
from fewflips.streams.counting import FlipCount
from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.optimization.request import Request
    from fewflips.simulation.comparison import VariantEnergies

SCHEDULE_FILE = "schedule.json"
"""Where the orders are written."""


def optimize_report(
    run: Run,
    request: Request,
    schedule: Schedule | None,
    notes: tuple[str, ...],
    energies: VariantEnergies | None = None,
) -> OptimizeReport:
    """Assemble the report: a record for each stage, and the tables that follow from them.

    Parameters
    ----------
    run : Run
        The stages, counted and checked.
    request : Request
        What the user asked for.
    schedule : Schedule or None
        The orders that are written, if there are any.
    notes : tuple of str
        Sentences for the reader.
    energies : VariantEnergies, optional
        Energy of the stages, where it was simulated.

    Returns
    -------
    OptimizeReport
        Content of ``report.json``.
    """
    network = run.baseline.state.network
    records = {stage.name: _stage_record(stage, run, energies) for stage in run.stages}
    dropped = run.rewritten if _is_drop_in(run.rewritten) else None
    main = run.main
    compared = _energy_comparisons(run, dropped, energies) if energies else {}
    return OptimizeReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=run.baseline.state.accelerator,
        settings=_settings(request),
        coverage=coverage_of(network),
        layers=_layers(
            network,
            run.baseline.state.accelerator,
            records[main.name],
            records[dropped.name] if dropped else None,
            compared,
        ),
        totals=records[main.name].totals,
        schedule=_schedule_summary(run.scheduled, schedule),
        drop_in=_drop_in_summary(dropped, records[dropped.name].totals) if dropped else None,
        energy=_energy_result(run, dropped, energies) if energies else None,
        stages=tuple(records.values()),
        cost=_cost_result(run, request) if request.cost is not None else None,
        waterfall=waterfall(run, energies) if request.explain else None,
        notes=(*notes, *energies.notes) if energies else notes,
    )


def _stage_record(stage: Stage, run: Run, energies: VariantEnergies | None) -> StageRecord:
    pairs = _pairs(run.baseline, stage)
    files: list[str] = []
    if stage is run.rewritten and stage.state.files is not None:
        files += stage.state.files.digests
    if stage is run.scheduled:
        files.append(SCHEDULE_FILE)
    return StageRecord(
        name=stage.name,
        start=stage.start,
        evidence=_evidence(stage.evidence),
        model_check=stage.model_check,
        order_check=stage.order_check,
        files=tuple(files),
        totals=_totals_pair(pairs),
        layers=tuple(pairs),
        energy=energies.totals[stage.name] if energies else None,
    )


def _evidence(evidence: Evidence) -> StageEvidence:
    return StageEvidence(exact=evidence.bound is None, bound=evidence.bound, unit=evidence.unit, method=evidence.method)


def _layers(
    network: Network,
    array: Accelerator,
    main: StageRecord,
    dropped: StageRecord | None,
    energies: dict[str, EnergyComparison],
) -> tuple[LayerResult, ...]:
    return tuple(
        LayerResult(
            name=layer.name,
            operator=layer.operator,
            m=layer.m,
            n=layer.n,
            k=layer.k,
            groups=layer.groups,
            macs=layer.macs,
            repeats=dataflow_of(array).weight_repeats(layer, array),
            weights=pair.weights,
            activations=pair.activations,
            drop_in=dropped.layers[index] if dropped else None,
            energy=energies.get(layer.name),
        )
        for index, (layer, pair) in enumerate(zip(network.layers, main.layers, strict=True))
    )


def _pairs(baseline: Stage, stage: Stage) -> list[PortPair]:
    coded = baseline.state.accelerator.weights.is_coded
    certificates: tuple[Certificate | None, ...] = stage.certificates or (None,) * len(baseline.counts)
    return [
        PortPair(
            weights=_without_bound(_port_result(old.weights, new.weights, certificate), coded or stage.by_cost),
            activations=_port_result(old.activations, new.activations, None)
            if old.activations and new.activations
            else None,
        )
        for old, new, certificate in zip(baseline.counts.values(), stage.counts.values(), certificates, strict=True)
    ]


def _without_bound(port: PortResult, other: bool) -> PortResult:
    """A port whose bounds are left out where they are not of flips on wires, but of those of codes, or of costs."""
    return port.model_copy(update={"lower_bound": None, "proven_segments": 0}) if other else port


def _port_result(baseline: FlipCount, optimized: FlipCount, certificate: Certificate | None) -> PortResult:
    return PortResult(
        baseline_flips=baseline.within,
        optimized_flips=optimized.within,
        lower_bound=certificate.lower_bound if certificate else None,
        segments=certificate.segments if certificate else 0,
        proven_segments=certificate.proven_segments if certificate else 0,
        baseline_seam_flips=baseline.seams,
        optimized_seam_flips=optimized.seams,
        transitions=baseline.transitions,
        bits=baseline.bits,
        repeats=baseline.repeats,
        hops=baseline.hops,
        baseline_bit_position_flips=baseline.bit_positions,
        optimized_bit_position_flips=optimized.bit_positions,
    )


def _cost_result(run: Run, request: Request) -> CostResult:
    """What the weights cost after each step; only codes have costs, whatever is on the wires."""
    assert request.cost is not None
    bit_costs = request.cost.bit_costs
    return CostResult(
        source=request.cost_source,
        bits=request.cost.bits,
        bit_costs=None if bit_costs is None else tuple(bit_costs.tolist()),
        stages=tuple(_stage_costs(run.baseline, stage) for stage in run.stages),
    )


def _stage_costs(baseline: Stage, stage: Stage) -> StageCosts:
    known = stage.certificates if stage.by_cost else ()
    certificates: tuple[Certificate | None, ...] = known or (None,) * len(baseline.costs)
    layers = [
        WeightCosts(
            baseline=before,
            optimized=after,
            lower_bound=certificate.lower_bound if certificate else None,
            segments=certificate.segments if certificate else 0,
            proven_segments=certificate.proven_segments if certificate else 0,
        )
        for before, after, certificate in zip(baseline.costs.values(), stage.costs.values(), certificates, strict=True)
    ]
    array = baseline.state.accelerator
    repeats = [dataflow_of(array).weight_repeats(layer, array) for layer in baseline.state.network.layers]
    times = list(zip(layers, repeats, strict=True))
    total = WeightCosts(
        baseline=sum(layer.baseline * count for layer, count in times),
        optimized=sum(layer.optimized * count for layer, count in times),
        lower_bound=sum((layer.lower_bound or 0) * count for layer, count in times) if known else None,
        segments=sum(layer.segments for layer in layers),
        proven_segments=sum(layer.proven_segments for layer in layers),
    )
    return StageCosts(name=stage.name, total=total, layers=tuple(layers))


def _totals_pair(pairs: list[PortPair]) -> TotalsPair:
    activations = [pair.activations for pair in pairs if pair.activations]
    return TotalsPair(
        weights=_totals([pair.weights for pair in pairs]), activations=_totals(activations) if activations else None
    )


def _totals(ports: list[PortResult]) -> ResultTotals:
    baseline = sum(port.baseline_flips * port.repeats for port in ports)
    optimized = sum(port.optimized_flips * port.repeats for port in ports)
    bounds = [port.lower_bound * port.repeats for port in ports if port.lower_bound is not None]
    return ResultTotals(
        baseline_flips=baseline,
        optimized_flips=optimized,
        lower_bound=sum(bounds) if len(bounds) == len(ports) else None,
        reduction=_reduction(baseline, optimized),
        segments=sum(port.segments for port in ports),
        proven_segments=sum(port.proven_segments for port in ports),
        baseline_seam_flips=sum(port.baseline_seam_flips for port in ports),
        optimized_seam_flips=sum(port.optimized_seam_flips for port in ports),
    )


def _reduction(baseline: int, optimized: int) -> float | None:
    if optimized:
        return baseline / optimized
    return None if baseline else 1.0


def _settings(request: Request) -> Settings:
    return Settings(
        mode=request.mode,
        steps=request.steps,
        effort="prove" if request.prove else "default",
        seed=request.seed,
        inputs=request.inputs,
        command=_command(request) if request.repeatable else None,
    )


def _command(request: Request) -> str:
    words = ["fewflips", "optimize", request.model, "--output", "out", "--accelerator", request.accelerator]
    words += ["--mode", request.mode] if request.mode else ["--steps", ",".join(request.steps)]
    words += ["--seed", str(request.seed)]
    words += ["--inputs", request.inputs] if request.inputs else []
    words += ["--prove"] if request.prove else []
    words += ["--cost", request.cost_source] if request.cost_source is not None else []
    words += ["--error-budget", str(request.budget)] if request.budget is not None else []
    words += ["--labels", request.labels_source] if request.labels_source is not None else []
    words += ["--search-limit", f"{request.limit_s:g}"] if request.limit_s is not None else []
    words += ["--explain"] if request.explain else []
    words += request.extra
    return shlex.join(words)


def _schedule_summary(stage: Stage | None, schedule: Schedule | None) -> ScheduleSummary | None:
    if stage is None or schedule is None or stage.order_check is None:
        return None
    return ScheduleSummary(file=SCHEDULE_FILE, index_table_bits=schedule.index_table_bits, check=stage.order_check)


def _is_drop_in(stage: Stage | None) -> bool:
    """Whether a stage's model has fewer flips on any hardware: channels moved, and no orders of its own go with it."""
    return stage is not None and stage.channels is not None and not stage.new_orders


def _drop_in_summary(stage: Stage, totals: TotalsPair) -> DropInSummary | None:
    if stage.channels is None or stage.model_check is None:
        return None
    groups = stage.channels.groups
    return DropInSummary(
        file=stage.state.network.path.name,
        channel_groups=len(groups.sizes),
        permuted_groups=len(stage.channels.orders),
        frozen_groups=len(groups.frozen),
        totals=totals,
        check=stage.model_check,
    )


def _energy_comparisons(run: Run, dropped: Stage | None, energies: VariantEnergies) -> dict[str, EnergyComparison]:
    """Energy of each simulated layer, by its name in the original."""
    return {
        name: _compared({variant: layers[index] for variant, layers in energies.variants.items()}, run, dropped)
        for index, name in enumerate(energies.layers)
    }


def _energy_result(run: Run, dropped: Stage | None, energies: VariantEnergies) -> EnergyResult:
    return EnergyResult(
        settings=energies.settings,
        total=_compared(energies.totals, run, dropped),
        datapath=energies.datapath,
        cells=energies.cells,
    )


def _compared(energies: dict[str, LayerEnergy], run: Run, dropped: Stage | None) -> EnergyComparison:
    """Energies by the name of their stage, as before and after."""
    return EnergyComparison(
        baseline=energies[BASELINE],
        schedule=energies[run.scheduled.name] if run.scheduled else None,
        drop_in=energies[dropped.name] if dropped else None,
    )
