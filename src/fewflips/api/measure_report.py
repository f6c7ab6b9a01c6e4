"""The record of a measurement, made from counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.measurement.counting import LayerCount
from fewflips.network import Network
from fewflips.records.calibration import EstimatedEnergy
from fewflips.records.coverage import coverage_of
from fewflips.records.model_file import model_file
from fewflips.records.optimization import LayerMeasurement, MeasureReport, MeasureTotals, PortFlips, PortTotals
from fewflips.streams.counting import FlipCount
from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.estimation.estimate import NetworkEstimate


def measurement_report(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    counts: Mapping[str, LayerCount],
    samples: Samples | None,
    notes: tuple[str, ...],
    estimate: NetworkEstimate | None = None,
) -> MeasureReport:
    """A report of the counts."""
    layers = tuple(
        LayerMeasurement(
            name=layer.name,
            operator=layer.operator,
            m=layer.m,
            n=layer.n,
            k=layer.k,
            groups=layer.groups,
            macs=layer.macs,
            repeats=dataflow_of(array).weight_repeats(layer, array),
            segments=len(orders[layer.name]),
            weights=_port_flips(counts[layer.name].weights),
            activations=_optional_port_flips(counts[layer.name].activations),
            estimated_energy=estimate.layers.get(layer.name) if estimate else None,
        )
        for layer in network.layers
    )
    activations = [counts[layer.name].activations for layer in network.layers]
    return MeasureReport(
        fewflips=__version__,
        model=model_file(network),
        accelerator=array,
        inputs=samples.source if samples else None,
        coverage=coverage_of(network),
        layers=layers,
        totals=MeasureTotals(
            macs=sum(layer.macs for layer in network.layers),
            weights=_port_totals([counts[layer.name].weights for layer in network.layers]),
            activations=_port_totals([count for count in activations if count]) if any(activations) else None,
        ),
        estimated_energy=EstimatedEnergy(total=estimate.total, calibration=estimate.calibration) if estimate else None,
        notes=notes,
    )


def _optional_port_flips(count: FlipCount | None) -> PortFlips | None:
    return _port_flips(count) if count else None


def _port_flips(count: FlipCount) -> PortFlips:
    return PortFlips(
        flips=count.within,
        seam_flips=count.seams,
        transitions=count.transitions,
        nhd=count.nhd,
        bits=count.bits,
        repeats=count.repeats,
        hops=count.hops,
        bit_position_flips=count.bit_positions,
    )


def _port_totals(counts: list[FlipCount]) -> PortTotals:
    flips = sum(count.within * count.repeats for count in counts)
    wires = sum(count.transitions * count.bits * count.repeats for count in counts)
    return PortTotals(flips=flips, seam_flips=sum(count.seams for count in counts), nhd=flips / wires if wires else 0.0)
