"""What a report says of one inference, in the same few quantities whichever command made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fewflips.records.energy import EnergyReport, LayerEnergy
from fewflips.records.optimization import (
    EnergyComparison,
    LayerMeasurement,
    LayerResult,
    MeasureReport,
    OptimizeReport,
    PortFlips,
    PortResult,
    ResultTotals,
)
from fewflips.records.record import Count, Record

AnyReport = OptimizeReport | MeasureReport | EnergyReport
"""Reports of networks' layers: of ``fewflips optimize``, ``measure`` and ``energy``."""
Outcome = Literal["before", "schedule", "drop-in"]
"""As stored, or what an optimization made of it."""

_Pj = Annotated[float | None, Field(description="in pJ; null if unknown")]


class Quantities(Record):
    """Flips and energy of one inference: of a layer, or of all. All but MACs are better the smaller they are."""

    macs: Annotated[Count, Field(description="multiply-accumulate operations")]
    weight_flips: Annotated[
        Count | None, Field(description="at the weight port, within passes, each as often as it is sent")
    ] = None
    activation_flips: Annotated[Count | None, Field(description="likewise at the activation port")] = None
    estimated_pj: Annotated[_Pj, Field(description="data energy, glitches included, estimated from flips")] = None
    data_pj: Annotated[_Pj, Field(description="data energy at gate level, glitches included")] = None
    datapath_pj: Annotated[_Pj, Field(description="arithmetic units at gate level, with clock and leakage")] = None
    whole_pj: Annotated[_Pj, Field(description="the whole bill: arithmetic units and memories")] = None


QUANTITY_WORDS: Mapping[str, str] = {
    "weight_flips": "weight flips",
    "activation_flips": "activation flips",
    "estimated_pj": "estimated energy",
    "data_pj": "data energy",
    "datapath_pj": "datapath",
    "whole_pj": "whole bill",
}
"""Name of each quantity in sentences and headings."""


@dataclass(frozen=True)
class NetworkQuantities:
    """Quantities of a network on a machine.

    Parameters
    ----------
    total : Quantities
        Of all layers.
    layers : mapping of str to Quantities
        Of each layer, by name, in the report's order.
    confidence : mapping of str to float
        Half width of the 95 % confidence interval of energies at gate level, in percent, by layer; `""` is the total.
    """

    total: Quantities
    layers: Mapping[str, Quantities]
    confidence: Mapping[str, float]


def quantities_of(report: AnyReport, outcome: Outcome = "before") -> NetworkQuantities | None:
    """What a report says of a network as stored, or as optimized.

    Parameters
    ----------
    report : OptimizeReport, MeasureReport or EnergyReport
        The report.
    outcome : {"before", "schedule", "drop-in"}
        As stored; in scheduled order; or of the drop-in file. Measurements and energies know the first alone.

    Returns
    -------
    NetworkQuantities or None
        None if the report has no such outcome.
    """
    if isinstance(report, OptimizeReport):
        return _of_optimization(report, outcome)
    if outcome != "before":
        return None
    if isinstance(report, MeasureReport):
        return _of_measurement(report)
    return _with_energies(
        Quantities(macs=report.total.macs),
        {layer.name: Quantities(macs=layer.macs) for layer in report.layers},
        report.total,
        {layer.name: layer for layer in report.layers},
    )


def main_outcome(report: AnyReport) -> Outcome:
    """The outcome whose figures a report gives first: the schedule if there is one, else the drop-in file."""
    if not isinstance(report, OptimizeReport) or (report.schedule is None and report.drop_in is None):
        return "before"
    return "schedule" if report.schedule is not None else "drop-in"


def with_energy_of(network: NetworkQuantities, energy: EnergyReport) -> NetworkQuantities:
    """Quantities with those at gate level of another report on the same network.

    Parameters
    ----------
    network : NetworkQuantities
        Flips.
    energy : EnergyReport
        Energies of all its layers, or some.

    Returns
    -------
    NetworkQuantities
        Both.
    """
    return _with_energies(network.total, network.layers, energy.total, {layer.name: layer for layer in energy.layers})


def _of_measurement(report: MeasureReport) -> NetworkQuantities:
    live, estimate = report.totals.activations, report.estimated_energy
    total = Quantities(
        macs=report.totals.macs,
        weight_flips=report.totals.weights.flips,
        activation_flips=live.flips if live else None,
        estimated_pj=estimate.total.inertial_data_pj if estimate else None,
    )
    return NetworkQuantities(total, {layer.name: _measured(layer) for layer in report.layers}, {})


def _measured(layer: LayerMeasurement) -> Quantities:
    def flips(port: PortFlips | None) -> int | None:
        return port.flips * port.repeats if port else None

    return Quantities(
        macs=layer.macs,
        weight_flips=flips(layer.weights),
        activation_flips=flips(layer.activations),
        estimated_pj=layer.estimated_energy.inertial_data_pj if layer.estimated_energy else None,
    )


def _of_optimization(report: OptimizeReport, outcome: Outcome) -> NetworkQuantities | None:
    if (outcome == "schedule" and report.schedule is None) or (outcome == "drop-in" and report.drop_in is None):
        return None
    pair = report.drop_in.totals if outcome == "drop-in" and report.drop_in else report.totals
    total = Quantities(
        macs=sum(layer.macs for layer in report.layers),
        weight_flips=_flips_in_all(pair.weights, outcome),
        activation_flips=_flips_in_all(pair.activations, outcome),
    )
    layers = {layer.name: _of_layer(layer, outcome) for layer in report.layers}
    energies = {layer.name: _energy(layer.energy, outcome) for layer in report.layers}
    whole = _energy(report.energy.total, outcome) if report.energy else None
    return _with_energies(total, layers, whole, {name: energy for name, energy in energies.items() if energy})


def _of_layer(layer: LayerResult, outcome: Outcome) -> Quantities:
    own = layer.drop_in if outcome == "drop-in" and layer.drop_in is not None else layer
    return Quantities(
        macs=layer.macs,
        weight_flips=_flips_of(own.weights, outcome),
        activation_flips=_flips_of(own.activations, outcome),
    )


def _flips_of(port: PortResult | None, outcome: Outcome) -> int | None:
    if port is None:
        return None
    return port.repeats * (port.baseline_flips if outcome == "before" else port.optimized_flips)


def _flips_in_all(totals: ResultTotals | None, outcome: Outcome) -> int | None:
    if totals is None:
        return None
    return totals.baseline_flips if outcome == "before" else totals.optimized_flips


def _energy(comparison: EnergyComparison | None, outcome: Outcome) -> LayerEnergy | None:
    if comparison is None:
        return None
    known = {"before": comparison.baseline, "schedule": comparison.schedule, "drop-in": comparison.drop_in}
    return known[outcome]


def _with_energies(
    total: Quantities,
    layers: Mapping[str, Quantities],
    whole: LayerEnergy | None,
    energies: Mapping[str, LayerEnergy],
) -> NetworkQuantities:
    return NetworkQuantities(
        total=_with_energy(total, whole),
        layers={name: _with_energy(layer, energies.get(name)) for name, layer in layers.items()},
        confidence={
            name: energy.ci95_percent for name, energy in [("", whole), *energies.items()] if energy is not None
        },
    )


def _with_energy(quantities: Quantities, energy: LayerEnergy | None) -> Quantities:
    if energy is None:
        return quantities
    return quantities.model_copy(
        update={
            "data_pj": energy.inertial.data_pj,
            "datapath_pj": energy.inertial.total_pj,
            "whole_pj": energy.bill.whole_pj if energy.bill else None,
        }
    )
