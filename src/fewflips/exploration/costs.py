"""Adds up layers to networks, and networks to the measures of a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from fewflips.errors import InputError
from fewflips.exploration.candidates import Candidate
from fewflips.machine import Accelerator
from fewflips.records.exploration import LayerCost, Measures, NetworkCost, Precision
from fewflips.simulation.bill import total_bill

_NS_PER_CYCLE_AT_1_MHZ = 1e3


@dataclass(frozen=True, eq=False)
class MachineCost:
    """What a machine costs.

    Parameters
    ----------
    candidate : Candidate
        The machine.
    measures : Measures
        For all networks.
    networks : tuple of NetworkCost
        For each.
    precision : {"estimate", "gate-level"}
        How energies were found.
    share : float
        Share of the cycles that was asked for.
    group : str
        The same for machines whose energies have the same error of sampling, as they were simulated together.
    """

    candidate: Candidate
    measures: Measures
    networks: tuple[NetworkCost, ...]
    precision: Precision
    share: float
    group: str


def machine_cost(
    candidate: Candidate,
    critical_path_ns: float,
    array_area_um2: float,
    networks: Sequence[tuple[str, float, Sequence[tuple[Accelerator, Sequence[LayerCost]]]]],
    precision: Precision,
    share: float,
    group: str,
) -> MachineCost:
    """Add up what a machine costs.

    Parameters
    ----------
    candidate : Candidate
        The machine.
    critical_path_ns : float
        Of its units.
    array_area_um2 : float
        Of all its units.
    networks : sequence of tuple
        Of each network its name, its weight, and the costs of its layers in each dataflow of the machine.
    precision : {"estimate", "gate-level"}
        How they were found.
    share : float
        Share of the cycles that was asked for.
    group : str
        The same for machines that were simulated together.

    Returns
    -------
    MachineCost
        A layer takes the dataflow in which it costs least.
    """
    costs = [_network_cost(name, modes) for name, _, modes in networks]
    weights = [weight for _, weight, _ in networks]
    period_ns = _NS_PER_CYCLE_AT_1_MHZ / candidate.clock_mhz
    cycles = sum(weight * cost.cycles for weight, cost in zip(weights, costs, strict=True))
    measures = Measures(
        whole_pj=sum(weight * cost.whole_pj for weight, cost in zip(weights, costs, strict=True)),
        datapath_pj=sum(weight * cost.datapath_pj for weight, cost in zip(weights, costs, strict=True)),
        area_um2=array_area_um2,
        critical_path_ns=critical_path_ns,
        index_table_bits=max(cost.index_table_bits for cost in costs),
        cycles=cycles,
        latency_us=cycles * period_ns * 1e-3,
        slack_ns=period_ns - critical_path_ns,
        half_width_pj=hypot(*(weight * cost.half_width_pj for weight, cost in zip(weights, costs, strict=True))),
    )
    return MachineCost(candidate, measures, tuple(costs), precision, share, group)


def _network_cost(name: str, modes: Sequence[tuple[Accelerator, Sequence[LayerCost]]]) -> NetworkCost:
    """One network, each layer in the dataflow in which it costs least."""
    by_layer = zip(*(costs for _, costs in modes), strict=True)
    chosen = [min(enumerate(costs), key=lambda numbered: numbered[1].bill.whole_pj) for costs in by_layer]
    layers = [layer for _, layer in chosen]
    bill = total_bill([layer.bill for layer in layers])
    if bill is None:
        raise InputError(f"{name}: expected a bill of every layer, got none for some")
    return NetworkCost(
        network=name,
        whole_pj=bill.whole_pj,
        datapath_pj=bill.datapath_pj,
        half_width_pj=hypot(*(layer.half_width_pj for layer in layers)),
        cycles=sum(layer.cycles for layer in layers),
        index_table_bits=sum(layer.index_table_bits for layer in layers),
        bill=bill,
        dataflows={layer.name: modes[mode][0].dataflow for mode, layer in chosen} if len(modes) > 1 else {},
    )
