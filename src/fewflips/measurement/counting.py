"""Flips of every layer of a network, and further observations of its activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.scans import scanned
from fewflips.dataflows.sign_flags import flag_stream
from fewflips.errors import AcceleratorError
from fewflips.execution.activations import lowered_rows, measurable_layers, run_samples
from fewflips.execution.samples import Samples
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator, Operand
from fewflips.measurement.observed import ObservedActivations, mean_observed, observe
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.progress import Progress
from fewflips.streams.coded import PortCount, count_port
from fewflips.streams.codes import activation_codes, weight_codes
from fewflips.streams.counting import FlipCount, add_counts, count_flips
from fewflips.streams.stream import Stream


@dataclass(frozen=True)
class LayerCount:
    """Flips of one layer under one set of orders, and further observations of its activations.

    Parameters
    ----------
    weights : FlipCount
        On the wires of the weight port.
    activations : FlipCount or None
        On the wires of the activation port; None without sample inputs.
    observed : ObservedActivations or None
        Further observations of the activations.
    behind_decoders : LayerCount or None
        The same layer in the words that arithmetic units see; None where no port is coded.
    """

    weights: FlipCount
    activations: FlipCount | None
    observed: ObservedActivations | None = None
    behind_decoders: LayerCount | None = None

    @property
    def decoded(self) -> LayerCount:
        """The layer in the words that arithmetic units see."""
        return self.behind_decoders or self


def count_network(
    network: Network,
    array: Accelerator,
    variants: Sequence[LayerOrders],
    samples: Samples | None,
    progress: Progress | None = None,
) -> list[dict[str, LayerCount]]:
    """Flips of every layer under several sets of orders, with one run of the model for all of them.

    Layers are counted one after the other: weights of one are in memory at a time.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    variants : sequence of mapping of str to tuple of Segment
        Sets of orders to compare.
    samples : Samples or None
        Sample inputs; without them activations are left out.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    list of dict of str to LayerCount
        For each variant, the count of each layer; those of activations are the mean over the samples.
    """
    weights: list[dict[str, PortCount]] = [{} for _ in variants]
    for layer in network.layers:
        codes = weight_codes(layer, array.weights)
        for orders, weights_of in zip(variants, weights, strict=True):
            weights_of[layer.name] = _count_weights(layer, array, codes, orders[layer.name])
    activations: list[dict[str, list[PortCount]]] = [{} for _ in variants]
    observed: dict[str, list[ObservedActivations]] = {}
    if samples is not None:
        for tensors in run_samples(network, samples, progress):
            for layer in measurable_layers(network):
                codes = _activations_of(layer, tensors, array)
                observed.setdefault(layer.name, []).append(
                    observe(scanned(layer, codes.words, array), codes.bits, array)
                )
                for orders, counted in zip(variants, activations, strict=True):
                    count = _count_activations(layer, array, codes, orders[layer.name])
                    counted.setdefault(layer.name, []).append(count)
    return [
        {
            name: _layer_count(
                array,
                count,
                counted.get(name, []),
                mean_observed(observed[name]) if name in observed else None,
            )
            for name, count in weights_of.items()
        }
        for weights_of, counted in zip(weights, activations, strict=True)
    ]


def count_layer(
    layer: Layer, array: Accelerator, tensors: Mapping[str, NDArray[Any]], segments: tuple[Segment, ...]
) -> LayerCount:
    """Flips on the wires of both ports of a layer for one sample.

    Parameters
    ----------
    layer : Layer
        The layer.
    array : Accelerator
        The machine.
    tensors : mapping of str to ndarray
        What the runtime computed, the layer's input among it.
    segments : tuple of Segment
        Its orders.

    Returns
    -------
    LayerCount
        Without further observations.
    """
    weights = count_weight_port(layer, array, segments)
    activations = _count_activations(layer, array, _activations_of(layer, tensors, array), segments)
    return LayerCount(weights.wires, activations.wires)


def count_weights(layer: Layer, array: Accelerator, segments: tuple[Segment, ...]) -> FlipCount:
    """Flips on the wires of a layer's weight port."""
    return count_weight_port(layer, array, segments).wires


def count_weight_port(layer: Layer, array: Accelerator, segments: tuple[Segment, ...]) -> PortCount:
    """Flips of a layer's weights on the wires of their port, and behind its decoder."""
    return _count_weights(layer, array, weight_codes(layer, array.weights), segments)


def _count_weights(layer: Layer, array: Accelerator, codes: Codes, segments: tuple[Segment, ...]) -> PortCount:
    stream = dataflow_of(array).weight_stream(layer, codes.words, codes.bits, segments, array)
    counted = _count_port(layer, stream, array.weights)
    if not array.datapath.sign_flags:
        return counted
    flags = count_flips(flag_stream(stream, segments))
    return PortCount(with_side_lane(counted.wires, flags), with_side_lane(counted.decoded, flags))


def with_side_lane(lanes: FlipCount, side: FlipCount) -> FlipCount:
    """Flips of a port and of a wire beside its lanes, as for the flags of a coding.

    Parameters
    ----------
    lanes : FlipCount
        Of the lanes, each pass counted once, or all passes of an inference.
    side : FlipCount
        Of a stream of one bit that goes with the words, each pass counted once.

    Returns
    -------
    FlipCount
        `bits` and `transitions` remain those of the lanes; the wire's position comes last.
    """
    within = side.within * side.repeats // lanes.repeats
    return replace(
        lanes,
        within=lanes.within + within,
        seams=lanes.seams + side.seams,
        bit_positions=(*lanes.bit_positions, within),
    )


def _layer_count(
    array: Accelerator, weights: PortCount, samples: list[PortCount], observed: ObservedActivations | None
) -> LayerCount:
    """Both ports of a layer, with the mean of its activations over the samples."""
    wires = add_counts([count.wires for count in samples]) if samples else None
    decoded = None
    if array.is_coded:
        activations = add_counts([count.decoded for count in samples]) if samples else None
        decoded = LayerCount(weights.decoded, activations, observed)
    return LayerCount(weights.wires, wires, observed, decoded)


def _activations_of(layer: Layer, tensors: Mapping[str, NDArray[Any]], array: Accelerator) -> Codes:
    return activation_codes(layer, lowered_rows(layer, tensors), array.activations)


def _count_activations(layer: Layer, array: Accelerator, codes: Codes, segments: tuple[Segment, ...]) -> PortCount:
    stream = dataflow_of(array).activation_stream(layer, codes.words, codes.bits, segments, array)
    return _count_port(layer, stream, array.activations)


def _count_port(layer: Layer, stream: Stream, operand: Operand) -> PortCount:
    try:
        return count_port(stream, operand)
    except AcceleratorError as error:
        raise AcceleratorError(f"{stream.port} of {layer}: {error}") from error
