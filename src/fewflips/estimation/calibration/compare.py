"""A calibration against the gate-level energy of a real network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import layer_operands
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.phases import ActivationStatistics
from fewflips.datapath.design import Datapath
from fewflips.estimation.activity import LayerActivity, layer_activity
from fewflips.estimation.calibration.accuracy import accuracy_of, r_squared
from fewflips.estimation.calibration.blocks import BLOCK_CYCLES, simulate_blocks
from fewflips.estimation.estimate import mean_statistics
from fewflips.estimation.network_operands import unit_weights
from fewflips.estimation.predict import STEPS, Terms, predict_energy
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer
from fewflips.progress import Progress
from fewflips.records.calibration import (
    Accuracy,
    Block,
    BlockComparison,
    Calibration,
    DelayAccuracy,
    DelayRankings,
    EnergyPair,
    LayerComparison,
    NetworkComparison,
    OrderComparison,
    OrderRanking,
    Variant,
)
from fewflips.records.energy import LayerEnergy
from fewflips.records.model_file import model_file
from fewflips.simulation.run import EnergyOptions, NetworkRun, simulate_network
from fewflips.simulation.unit import ArithmeticUnit

_BLOCK_PART_CYCLES = 1 << 18
_PJ_PER_FJ = 1e-3
_AS_GOOD = 1e-3
"""Orders whose energies differ by less than this share are not ranked."""
_FLIPS_ALONE = Terms(bit_costs=False, partial_sums=False, ones=False)

Order = Literal["natural", "scheduled"]
_Name = Literal["zero_delay_data_pj", "inertial_data_pj"]
_ENERGIES: tuple[_Name, _Name] = ("zero_delay_data_pj", "inertial_data_pj")


@dataclass(frozen=True, eq=False)
class OrderedLayers:
    """All layers in one order, and the resulting flips.

    Parameters
    ----------
    order : {"natural", "scheduled"}
        Its name.
    segments : mapping of str to tuple of Segment
        Segments of each layer.
    statistics : mapping of str to ActivationStatistics
        Statistics of each layer's activations in that order.
    """

    order: Order
    segments: LayerOrders = field(repr=False)
    statistics: Mapping[str, ActivationStatistics] = field(repr=False)


def compare_network(
    run: NetworkRun,
    unit: ArithmeticUnit,
    calibration: Calibration,
    variants: Sequence[OrderedLayers],
    options: EnergyOptions,
    inputs: str | None,
    progress: Progress | None = None,
) -> NetworkComparison:
    """Simulate a network and compare predictions with it.

    Parameters
    ----------
    run : NetworkRun
        Network, machine, layers, samples.
    unit : ArithmeticUnit
        The unit for which the calibration was made.
    calibration : Calibration
        The calibration to test.
    variants : sequence of OrderedLayers
        Two orders: natural, then another one.
    options : EnergyOptions
        Time limit, seed, processors.
    inputs : str or None
        Where the samples come from.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    NetworkComparison
        Layers, orders, terms, blocks.
    """
    found = simulate_network(run, unit, [variant.segments for variant in variants], options, progress)
    activities = [_activities(run.layers, run.array, unit.datapath, variant) for variant in variants]
    orders = tuple(
        _order_comparison(variant.order, activity, layers, calibration)
        for variant, activity, layers in zip(variants, activities, found.layers, strict=True)
    )
    means = {layer.name: mean_statistics(layer, calibration) for layer in run.layers}
    by_means = OrderedLayers(variants[0].order, variants[0].segments, means)
    without_inputs = _order_comparison(
        by_means.order, _activities(run.layers, run.array, unit.datapath, by_means), found.layers[0], calibration
    )
    ablation = tuple(_variant(name, terms, activities[0], found.layers[0], calibration) for name, terms in STEPS)
    return NetworkComparison(
        model=model_file(run.network),
        inputs=inputs,
        samples=len(run.samples.feeds),
        orders=orders,
        without_inputs=without_inputs.accuracy,
        ranking=_rankings(found.layers, activities, calibration),
        ablation=ablation,
        blocks=_blocks(run, unit, calibration, variants[0].segments, options, progress),
    )


def _activities(
    layers: Sequence[Layer], array: Accelerator, datapath: Datapath, variant: OrderedLayers
) -> list[LayerActivity]:
    return [
        layer_activity(
            layer,
            variant.segments[layer.name],
            array,
            unit_weights(layer, array, datapath),
            datapath.weights.bits,
            variant.statistics[layer.name],
        )
        for layer in layers
    ]


def _order_comparison(
    order: Order, activities: Sequence[LayerActivity], simulated: Sequence[LayerEnergy], calibration: Calibration
) -> OrderComparison:
    predicted = [predict_energy(activity, calibration) for activity in activities]
    layers = tuple(
        LayerComparison(
            name=energy.name,
            macs=energy.macs,
            weight_nhd=min(1.0, activity.weight_nhd),
            predicted=expected,
            simulated=_pair(energy),
            ci95_percent=energy.ci95_percent,
        )
        for activity, expected, energy in zip(activities, predicted, simulated, strict=True)
    )
    zero_delay, inertial = _accuracies(simulated, predicted)
    return OrderComparison(order=order, layers=layers, accuracy=DelayAccuracy(zero_delay=zero_delay, inertial=inertial))


def _variant(
    name: str,
    terms: Terms,
    activities: Sequence[LayerActivity],
    simulated: Sequence[LayerEnergy],
    calibration: Calibration,
) -> Variant:
    predicted = [predict_energy(activity, calibration, terms) for activity in activities]
    zero_delay, inertial = _accuracies(simulated, predicted)
    return Variant(terms=name, zero_delay=zero_delay, inertial=inertial)


def _accuracies(simulated: Sequence[LayerEnergy], predicted: Sequence[EnergyPair]) -> tuple[Accuracy, Accuracy]:
    names, macs = [layer.name for layer in simulated], [layer.macs for layer in simulated]
    zero_delay = accuracy_of(
        names, macs, [layer.zero_delay.data_pj for layer in simulated], [pair.zero_delay_data_pj for pair in predicted]
    )
    inertial = accuracy_of(
        names, macs, [layer.inertial.data_pj for layer in simulated], [pair.inertial_data_pj for pair in predicted]
    )
    return zero_delay, inertial


def _pair(energy: LayerEnergy) -> EnergyPair:
    return EnergyPair(
        zero_delay_data_pj=max(energy.zero_delay.data_pj, 0.0), inertial_data_pj=max(energy.inertial.data_pj, 0.0)
    )


def _rankings(
    simulated: Sequence[Sequence[LayerEnergy]], activities: Sequence[Sequence[LayerActivity]], calibration: Calibration
) -> DelayRankings:
    """Each layer's change in the second order, as simulated, as predicted, and from its flips alone."""
    found = [[_pair(layer) for layer in layers] for layers in simulated]
    predicted, from_flips = (
        [[predict_energy(activity, calibration, terms) for activity in layers] for layers in activities]
        for terms in (Terms(), STEPS[0][1])
    )
    rankings = []
    for name in _ENERGIES:
        ratios = [_ratios(pairs, name) for pairs in (found, predicted, from_flips)]
        rankings.append(order_ranking(*ratios))
    return DelayRankings(zero_delay=rankings[0], inertial=rankings[1])


def order_ranking(
    found: NDArray[np.float64], predicted: NDArray[np.float64], from_flips: NDArray[np.float64]
) -> OrderRanking:
    """How well ratios of two orders' energies are predicted.

    Parameters
    ----------
    found, predicted, from_flips : ndarray of float64, shape (Q,)
        Second over first order, for each layer.

    Returns
    -------
    OrderRanking
        Layers whose orders cost the same within 0.1 % are not ranked.
    """
    ranked = np.abs(found - 1) > _AS_GOOD
    same = (found[ranked] > 1) == (predicted[ranked] > 1)
    return OrderRanking(
        agreement=float(same.mean()) if len(same) else 1.0,
        ratio_r2=r_squared(found, predicted),
        ratio_r2_from_flips=r_squared(found, from_flips),
    )


def _ratios(pairs: Sequence[Sequence[EnergyPair]], name: _Name) -> NDArray[np.float64]:
    before, after = (np.array([getattr(pair, name) for pair in layers]) for layers in pairs)
    return np.where(before > 0, after / np.where(before > 0, before, 1.0), 1.0)


def _blocks(
    run: NetworkRun,
    unit: ArithmeticUnit,
    calibration: Calibration,
    orders: LayerOrders,
    options: EnergyOptions,
    progress: Progress | None,
) -> BlockComparison:
    """Blocks from the first part of each layer, for the first sample."""
    array, held = run.array, dataflow_of(run.array).held_operand
    first = Samples(run.samples.feeds[:1], run.samples.source, run.samples.note)
    generator = np.random.default_rng([options.seed, 2])
    blocks: list[Block] = []
    for tensors in run_samples(run.network, first):
        for done, layer in enumerate(run.layers, start=1):
            operands = layer_operands(layer, lowered_rows(layer, tensors), array, unit.datapath)
            segments = orders[layer.name]
            part = next(iter(dataflow_of(array).unit_parts(operands, segments, array, _BLOCK_PART_CYCLES)))
            work = dataflow_of(array).unit_work(layer, segments, array)
            for block in simulate_blocks(unit, part, work, held, generator, options.threads):
                zero_delay, inertial = block.energies_fj["zero-delay"], block.energies_fj["inertial"]
                blocks.append(
                    Block(
                        layer=layer.name,
                        weight_nhd=min(1.0, block.activity.weight_nhd),
                        simulated=EnergyPair(
                            zero_delay_data_pj=zero_delay * _PJ_PER_FJ, inertial_data_pj=inertial * _PJ_PER_FJ
                        ),
                        predicted=predict_energy(block.activity, calibration),
                        predicted_from_flips=predict_energy(block.activity, calibration, _FLIPS_ALONE),
                    )
                )
            if progress:
                progress("simulating blocks", done, len(run.layers))
    return block_comparison(tuple(blocks))


def block_comparison(blocks: tuple[Block, ...]) -> BlockComparison:
    """How closely predictions match blocks."""

    def fit(name: _Name, flips_alone: bool) -> float | None:
        predicted = [block.predicted_from_flips if flips_alone else block.predicted for block in blocks]
        return r_squared(
            np.array([getattr(block.simulated, name) for block in blocks]),
            np.array([getattr(pair, name) for pair in predicted]),
        )

    return BlockComparison(
        cycles=BLOCK_CYCLES,
        count=len(blocks),
        blocks=blocks,
        zero_delay_r2=fit("zero_delay_data_pj", False),
        inertial_r2=fit("inertial_data_pj", False),
        zero_delay_r2_from_flips=fit("zero_delay_data_pj", True),
        inertial_r2_from_flips=fit("inertial_data_pj", True),
    )
