"""Measure a network: flips of every layer's operand streams on an accelerator."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewflips.accelerator import Accelerator, Segment, load_accelerator
from fewflips.calibration.model import EstimatedEnergy
from fewflips.calibration.observed import ObservedActivations, mean_observed, observe
from fewflips.errors import AcceleratorError, ModelError, RuntimeFailure
from fewflips.network import Network, load
from fewflips.network.layer import Layer
from fewflips.network.runtimes import Runtime
from fewflips.network.samples import Samples, load_samples
from fewflips.progress import Progress
from fewflips.report.coverage import coverage_of
from fewflips.report.model import (
    LayerMeasurement,
    MeasureReport,
    MeasureTotals,
    PortFlips,
    PortTotals,
)
from fewflips.report.record import ModelFile
from fewflips.schedule import LayerOrders
from fewflips.streams import FlipCount, activation_codes, add_counts, count_flips, weight_codes
from fewflips.version import __version__

if TYPE_CHECKING:
    from fewflips.calibration.estimate import NetworkEstimate


@dataclass(frozen=True)
class LayerCount:
    """Flips of one layer under one set of orders, and what else its activations showed."""

    weights: FlipCount
    activations: FlipCount | None
    observed: ObservedActivations | None = None


def measure(
    model: str | Path | Network,
    accelerator: str | Path | Accelerator = "edge16",
    *,
    inputs: str | Path | None = None,
    calibration: str | Path | None = None,
    progress: Progress | None = None,
) -> MeasureReport:
    """Count the bit flips of a quantized network's operand streams.

    Parameters
    ----------
    model : str, Path or Network
        A TFLite or ONNX file, or what :func:`fewflips.load` read from one.
    accelerator : str, Path or Accelerator
        A built-in machine's name, a YAML file, or an accelerator.
    inputs : str or Path, optional
        Sample inputs: a folder of images or an ``.npz`` file. Without them activations are not measured.
    calibration : str or Path, optional
        A ``calibration.json`` of ``fewflips calibrate``, from which energy is estimated; without it one that comes
        with the package, where one fits.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    MeasureReport
        Flips of every layer and in total.

    Raises
    ------
    FewflipsError
        If the model, the accelerator or the inputs cannot be used.
    """
    network = model if isinstance(model, Network) else load(model)
    array = load_accelerator(accelerator)
    orders = natural_orders(network, array)
    try:
        samples, notes = read_samples(network, inputs)
    except RuntimeFailure as failure:
        advice = "leave out the sample inputs to count weights alone"
        raise RuntimeFailure(f"{failure}; {advice}", failure.model) from failure
    counts = count_network(network, array, [orders], samples, progress)[0]
    estimate, missing = _estimate(network, array, orders, counts, calibration)
    notes = (*network.notes, *notes, *missing)
    return measurement_report(network, array, orders, counts, samples, notes, estimate)


def _estimate(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    counts: Mapping[str, LayerCount],
    calibration: str | Path | None,
) -> tuple[NetworkEstimate | None, tuple[str, ...]]:
    """Estimated energy, or a note on why there is none."""
    from fewflips.calibration.estimate import estimate_energy, missing_note

    known = {name: count.observed for name, count in counts.items() if count.observed is not None}
    path = None if calibration is None else Path(calibration)
    try:
        estimate = estimate_energy(network, array, orders, counts, known or None, path)
        return estimate, () if estimate else (missing_note(network, array),)
    except AcceleratorError as error:  # no such unit can be built; flips can be counted all the same
        if path is not None:
            raise
        return None, (f"Energy was not estimated: {error}.",)


def natural_orders(network: Network, array: Accelerator) -> dict[str, tuple[Segment, ...]]:
    """Segments of every layer in natural order."""
    return {layer.name: array.flow.segments(layer, array) for layer in network.layers}


def read_samples(network: Network, inputs: str | Path | None) -> tuple[Samples | None, tuple[str, ...]]:
    """Sample inputs that fit a network, and what the report has to say about them."""
    if inputs is None:
        return None, ("Activations were not measured: no sample inputs were given.",)
    with Runtime(network.path, network.file_format) as runtime:
        samples = load_samples(Path(inputs), runtime.inputs)
    unknown = [layer.name for layer in network.layers if layer.input_tensor is None]
    notes = [f"Sample inputs: {samples.note}."]
    if unknown:
        notes.append(f"Activations of {len(unknown)} layers are not integers in the file and were not measured.")
    return samples, tuple(notes)


def count_network(
    network: Network,
    array: Accelerator,
    variants: Sequence[LayerOrders],
    samples: Samples | None,
    progress: Progress | None = None,
) -> list[dict[str, LayerCount]]:
    """Flips of every layer under several sets of orders, with one run of the model for all of them.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    variants : sequence of mapping of str to tuple of Segment
        Sets of orders to compare.
    samples : Samples or None
        Sample inputs; activations are left out without them.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    list of dict of str to LayerCount
        For each variant, the count of each layer; activations are the mean over the samples.
    """
    weights = [
        {layer.name: count_weights(layer, array, orders[layer.name]) for layer in network.layers} for orders in variants
    ]
    activations: list[dict[str, list[FlipCount]]] = [{} for _ in variants]
    observed: dict[str, list[ObservedActivations]] = {}
    if samples is not None:
        for tensors in run_samples(network, samples, progress):
            for layer in measurable_layers(network):
                codes = _activations_of(layer, tensors, array)
                observed.setdefault(layer.name, []).append(observe(*codes, array))
                for orders, counted in zip(variants, activations, strict=True):
                    count = _count_activations(layer, array, codes, orders[layer.name])
                    counted.setdefault(layer.name, []).append(count)
    return [
        {
            name: LayerCount(
                count,
                add_counts(counted[name]) if name in counted else None,
                mean_observed(observed[name]) if name in observed else None,
            )
            for name, count in weights_of.items()
        }
        for weights_of, counted in zip(weights, activations, strict=True)
    ]


def count_weights(layer: Layer, array: Accelerator, segments: tuple[Segment, ...]) -> FlipCount:
    """Flips of a layer's weight stream."""
    codes, bits = weight_codes(layer, array.weights)
    return count_flips(array.flow.weight_stream(layer, codes, bits, segments, array))


def measurable_layers(network: Network) -> list[Layer]:
    """Layers whose activations are integers in the file."""
    return [layer for layer in network.layers if layer.input_tensor is not None and layer.activation_type is not None]


def run_samples(
    network: Network, samples: Samples, progress: Progress | None = None
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Run the network on each sample and yield the integer input tensors of its layers, by name."""
    fetch = list(dict.fromkeys(layer.input_tensor for layer in measurable_layers(network) if layer.input_tensor))
    with Runtime(network, fetch=fetch) as runtime:
        for done, feeds in enumerate(samples.feeds):
            yield runtime.run(feeds, fetch)
            if progress:
                progress("running the samples", done + 1, len(samples.feeds))


def lowered_rows(layer: Layer, tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.integer]:
    """Activations of a layer as the rows of its product, shape (G, M, K)."""
    if layer.input_tensor is None:
        raise ModelError(f"{layer}: its activations are not integers in the file")
    tensor = tensors[layer.input_tensor]
    rows = layer.lowering.rows(tensor, layer.groups, layer.activation_zero_point or 0)
    if rows.shape[1:] != (layer.m, layer.k):
        raise ModelError(f"{layer}: expected {layer.m} x {layer.k} activations, the runtime gave {rows.shape[1:]}")
    return rows


def _activations_of(
    layer: Layer, tensors: Mapping[str, NDArray[Any]], array: Accelerator
) -> tuple[NDArray[np.unsignedinteger], int]:
    return activation_codes(layer, lowered_rows(layer, tensors), array.activations)


def _count_activations(
    layer: Layer, array: Accelerator, codes: tuple[NDArray[np.unsignedinteger], int], segments: tuple[Segment, ...]
) -> FlipCount:
    return count_flips(array.flow.activation_stream(layer, codes[0], codes[1], segments, array))


def measurement_report(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    counts: Mapping[str, LayerCount],
    samples: Samples | None,
    notes: tuple[str, ...],
    estimate: NetworkEstimate | None = None,
) -> MeasureReport:
    """The counts as a report."""
    layers = tuple(
        LayerMeasurement(
            name=layer.name,
            operator=layer.operator,
            m=layer.m,
            n=layer.n,
            k=layer.k,
            groups=layer.groups,
            macs=layer.macs,
            repeats=counts[layer.name].weights.repeats,
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


def model_file(network: Network) -> ModelFile:
    """Which file a report is about."""
    return ModelFile(file=printable_name(network.path.name), format=network.file_format, sha256=network.sha256)


def printable_name(name: str) -> str:
    """A file name as text that can be written as UTF-8, whatever bytes the file system has it in."""
    return os.fsencode(name).decode("utf-8", "replace")


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
