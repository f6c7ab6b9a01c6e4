"""From counts, plans and checks to the report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewflips.dataflows import dataflow_of
from fewflips.machine import Accelerator
from fewflips.measurement.counting import LayerCount
from fewflips.network import Network
from fewflips.optimization.segment_orders import Certificate, SchedulePlan
from fewflips.records.coverage import coverage_of
from fewflips.records.model_file import model_file
from fewflips.records.optimization import (
    Check,
    DropInSummary,
    LayerResult,
    OptimizeReport,
    PortPair,
    PortResult,
    ResultTotals,
    ScheduleSummary,
    Settings,
    TotalsPair,
)
from fewflips.records.schedule import Schedule
from fewflips.streams.counting import FlipCount
from fewflips.verification.checks import comparison_check
from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.optimization.drop_in import DropIn
    from fewflips.optimization.request import Request
    from fewflips.simulation.comparison import NetworkComparison


def optimize_report(
    network: Network,
    array: Accelerator,
    request: Request,
    counts: Sequence[dict[str, LayerCount]],
    plan: SchedulePlan | None,
    schedule: Schedule | None,
    check: Check | None,
    drop_in: DropIn | None,
    notes: tuple[str, ...],
    energy: NetworkComparison | None = None,
) -> OptimizeReport:
    """Assemble the report.

    Parameters
    ----------
    network : Network
        The original.
    array : Accelerator
        The machine.
    request : Request
        What the user asked for.
    counts : sequence of dict of str to LayerCount
        Flips in natural order and, if there is a plan, in scheduled order.
    plan, schedule, check
        The schedule, where one was made.
    drop_in : DropIn or None
        The rewritten model, where one was made.
    notes : tuple of str
        Sentences for the reader.
    energy : NetworkComparison, optional
        Energy before and after, where it was simulated.

    Returns
    -------
    OptimizeReport
        Content of ``report.json``.
    """
    baseline = counts[0]
    scheduled = _pairs(network, array, baseline, counts[1], plan.certificates) if plan else None
    dropped = _pairs(network, array, baseline, drop_in.counts, drop_in.certificates) if drop_in else None
    main = scheduled or dropped or {}
    layers = tuple(
        LayerResult(
            name=layer.name,
            operator=layer.operator,
            m=layer.m,
            n=layer.n,
            k=layer.k,
            groups=layer.groups,
            macs=layer.macs,
            repeats=dataflow_of(array).weight_repeats(layer, array),
            weights=main[layer.name].weights,
            activations=main[layer.name].activations,
            drop_in=dropped[layer.name] if dropped else None,
            energy=energy.layers.get(layer.name) if energy else None,
        )
        for layer in network.layers
    )
    return OptimizeReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=array,
        settings=_settings(request),
        coverage=coverage_of(network),
        layers=layers,
        totals=_totals_pair(list(main.values())),
        schedule=_schedule_summary(schedule, check),
        drop_in=_drop_in_summary(drop_in, dropped),
        energy=energy.result if energy else None,
        notes=(*notes, *energy.notes) if energy else notes,
    )


def _pairs(
    network: Network,
    array: Accelerator,
    baseline: dict[str, LayerCount],
    optimized: dict[str, LayerCount],
    certificates: dict[str, Certificate],
) -> dict[str, PortPair]:
    pairs = {}
    for before, after in zip(network.layers, optimized.values(), strict=True):
        old, name = baseline[before.name], before.name
        activations = None
        if old.activations and after.activations:
            activations = _port_result(old.activations, after.activations, None)
        weights = _port_result(old.weights, after.weights, certificates[name])
        if array.weights.is_coded:  # bounds are those of the codes, not of the wires
            weights = weights.model_copy(update={"lower_bound": None, "proven_segments": 0})
        pairs[name] = PortPair(weights=weights, activations=activations)
    return pairs


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
    words = ["fewflips", "optimize", request.model, "--output", "out", "--accelerator", request.accelerator]
    words += ["--mode", request.mode, "--seed", str(request.seed)]
    words += ["--inputs", request.inputs] if request.inputs else []
    words += ["--prove"] if request.prove else []
    words += request.extra
    return Settings(
        mode=request.mode,
        effort="prove" if request.prove else "default",
        seed=request.seed,
        inputs=request.inputs,
        command=shlex.join(words),
    )


def _schedule_summary(schedule: Schedule | None, check: Check | None) -> ScheduleSummary | None:
    if schedule is None or check is None:
        return None
    return ScheduleSummary(file="schedule.json", index_table_bits=schedule.index_table_bits, check=check)


def _drop_in_summary(drop_in: DropIn | None, pairs: dict[str, PortPair] | None) -> DropInSummary | None:
    if drop_in is None or pairs is None:
        return None
    groups = drop_in.plan.groups
    return DropInSummary(
        file=drop_in.network.path.name,
        channel_groups=len(groups.sizes),
        permuted_groups=len(drop_in.plan.orders),
        frozen_groups=len(groups.frozen),
        totals=_totals_pair(list(pairs.values())),
        check=comparison_check(drop_in.comparison, drop_in.structure).model_copy(update={"passed": True}),
    )
