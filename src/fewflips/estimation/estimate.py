"""Estimates energy in joules from flips, in milliseconds, for ``fewflips measure``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.phases import ActivationStatistics
from fewflips.dataflows.unit_datapath import network_datapath
from fewflips.estimation.activity import activation_statistics, layer_activity
from fewflips.estimation.calibration_files import builtin_calibration, calibration_name, check_fits, read_calibration
from fewflips.estimation.network_operands import unit_weights
from fewflips.estimation.predict import predict_energy
from fewflips.execution.activations import measurable_layers
from fewflips.machine import Accelerator
from fewflips.measurement.counting import LayerCount
from fewflips.measurement.observed import ObservedActivations
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.records.calibration import Calibration, CalibrationRecord, EnergyPair


@dataclass(frozen=True, eq=False)
class NetworkEstimate:
    """Estimated energy of a network's layers in one inference.

    Parameters
    ----------
    layers : dict of str to EnergyPair
        Data energy of each layer whose activations are integers.
    total : EnergyPair
        Their sum.
    calibration : CalibrationRecord
        The calibration it is based on.
    """

    layers: dict[str, EnergyPair] = field(repr=False)
    total: EnergyPair
    calibration: CalibrationRecord


def estimate_energy(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    counts: Mapping[str, LayerCount],
    observed: Mapping[str, ObservedActivations] | None = None,
    calibration: Path | None = None,
) -> NetworkEstimate | None:
    """Estimate the data energy of every layer from its flips.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    orders : mapping of str to tuple of Segment
        Segments of each layer.
    counts : mapping of str to LayerCount
        Flips of each layer in these orders.
    observed : mapping of str to ObservedActivations, optional
        Each layer's activations observed in a run of the model. Without it, or without counts of activations, those
        of the calibration's network are used.
    calibration : Path, optional
        A ``calibration.json``; by default one that ships with the package.

    Returns
    -------
    NetworkEstimate or None
        None if the package has no calibration for the unit; :func:`missing_note` says what to do.

    Raises
    ------
    InputError
        If the given file is not a calibration, or is for another unit.
    """
    layers = measurable_layers(network)
    if not layers:
        return None
    datapath = network_datapath(layers, array)
    if calibration is not None:
        chosen: Calibration | None = read_calibration(calibration)
        source = calibration.name
    else:
        chosen, source = builtin_calibration(datapath), calibration_name(datapath)
    if chosen is None:
        return None
    check_fits(chosen, datapath, source)
    known = all(counts[layer.name].activations is not None for layer in layers) and observed is not None
    pairs = {}
    for layer in layers:
        statistics = _statistics(layer, orders, array, counts[layer.name], (observed or {}).get(layer.name), chosen)
        weights = unit_weights(layer, array, datapath)
        activity = layer_activity(layer, orders[layer.name], array, weights, datapath.weights.bits, statistics)
        pairs[layer.name] = predict_energy(activity, chosen)
    return NetworkEstimate(pairs, sum_of(tuple(pairs.values())), _record(chosen, source, known))


def missing_note(network: Network, array: Accelerator) -> str:
    """The note for the user if no calibration fits."""
    layers = measurable_layers(network)
    if not layers:
        return "Energy was not estimated: no layer's activations are integers in the file."
    name = calibration_name(network_datapath(layers, array))
    return (
        f"Energy was not estimated: no calibration for {name}; make one with `fewflips calibrate` and give it "
        "(--calibration)."
    )


def sum_of(pairs: tuple[EnergyPair, ...]) -> EnergyPair:
    """Energies of several layers together.

    Examples
    --------
    >>> pair = EnergyPair(zero_delay_data_pj=1.0, inertial_data_pj=2.0)
    >>> sum_of((pair, pair))
    EnergyPair(zero_delay_data_pj=2.0, inertial_data_pj=4.0)
    """
    return EnergyPair(
        zero_delay_data_pj=sum(pair.zero_delay_data_pj for pair in pairs),
        inertial_data_pj=sum(pair.inertial_data_pj for pair in pairs),
    )


def mean_statistics(layer: Layer, calibration: Calibration) -> ActivationStatistics:
    """Activations of a layer without sample inputs: those of the calibration."""
    means = calibration.means
    return ActivationStatistics(np.array(means.depthwise_rates if layer.is_depthwise else means.dense_rates))


def _statistics(
    layer: Layer,
    orders: LayerOrders,
    array: Accelerator,
    count: LayerCount,
    observed: ObservedActivations | None,
    calibration: Calibration,
) -> ActivationStatistics:
    activations = count.decoded.activations
    if activations is None or observed is None:
        return mean_statistics(layer, calibration)
    bits = calibration.datapath.activations.bits
    return activation_statistics(layer, orders[layer.name], array, activations, bits, observed)


def _record(calibration: Calibration, source: str, known: bool) -> CalibrationRecord:
    network = calibration.network
    accuracy = None
    if network is not None:
        accuracy = network.orders[0].accuracy if known else network.without_inputs
    return CalibrationRecord(
        source=source,
        cells=f"{calibration.cells.name} ({calibration.cells.corner})",
        model=network.model.file if network else None,
        activations="sample inputs" if known else "calibration",
        accuracy=accuracy,
    )
