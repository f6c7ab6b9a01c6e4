"""A network's operands: words to draw from, and statistics of each layer's activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.layer_operands import LayerOperands, layer_operands
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.phases import ActivationStatistics
from fewflips.dataflows.scans import scanned
from fewflips.dataflows.unit_words import stored_word, widen
from fewflips.datapath.design import Datapath
from fewflips.estimation.activity import activation_statistics
from fewflips.estimation.word_pool import WordPool
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.measurement.observed import ObservedActivations, mean_observed, observe
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.progress import Progress, counter
from fewflips.streams.codes import weight_codes
from fewflips.streams.counting import FlipCount, add_counts, count_flips

_POOL_WORDS = 1 << 17
_LEAST_WORDS = 64


@dataclass(frozen=True, eq=False)
class NetworkOperands:
    """Operands of a network, as sweeps and predictions need them.

    Parameters
    ----------
    weights, activations : WordPool
        Words of all layers, in proportion to their multiplications.
    statistics : sequence of dict of str to ActivationStatistics
        For each set of orders, statistics of each layer's activations, averaged over the samples.
    """

    weights: WordPool
    activations: WordPool
    statistics: Sequence[Mapping[str, ActivationStatistics]] = field(repr=False)


def network_operands(
    network: Network,
    array: Accelerator,
    layers: Sequence[Layer],
    samples: Samples,
    datapath: Datapath,
    variants: Sequence[LayerOrders],
    seed: int,
    progress: Progress | None = None,
) -> NetworkOperands:
    """Run a network on its samples and collect its operands.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    layers : sequence of Layer
        Layers whose activations are available.
    samples : Samples
        Inputs.
    datapath : Datapath
        The unit, which determines the widths of words.
    variants : sequence of mapping of str to tuple of Segment
        Sets of orders.
    seed : int
        Seed of the words drawn.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    NetworkOperands
        Pools and statistics.
    """
    found = _Found(array, datapath, variants, np.random.default_rng([seed, 1]))
    macs = sum(layer.macs for layer in layers) * len(samples.feeds)
    step = counter(progress, "looking at operands", len(layers) * len(samples.feeds))
    for tensors in run_samples(network, samples):
        for layer in layers:
            operands = layer_operands(layer, lowered_rows(layer, tensors), array, datapath)
            found.add(operands, max(_LEAST_WORDS, round(_POOL_WORDS * layer.macs / macs)))
            if step:
                step(layer)
    return NetworkOperands(
        WordPool(np.concatenate(found.weights), datapath.weights.bits),
        WordPool(np.concatenate(found.activations), datapath.activations.bits),
        [{layer.name: found.statistics(layer, index) for layer in layers} for index in range(len(variants))],
    )


class _Found:
    """Operands collected so far."""

    def __init__(
        self, array: Accelerator, datapath: Datapath, variants: Sequence[LayerOrders], generator: np.random.Generator
    ) -> None:
        self.array, self.datapath, self.variants, self.generator = array, datapath, variants, generator
        self.weights: list[NDArray[np.unsignedinteger]] = []
        self.activations: list[NDArray[np.unsignedinteger]] = []
        self.counts: dict[tuple[int, str], list[FlipCount]] = {}
        self.observed: dict[str, list[ObservedActivations]] = {}

    def add(self, operands: LayerOperands, words: int) -> None:
        """Draw words of a layer, and count its flips in each set of orders."""
        layer, bits = operands.layer, self.datapath.activations.bits
        self.weights.append(self.generator.choice(operands.weights.reshape(-1), words))
        self.activations.append(self.generator.choice(operands.activations.reshape(-1), words))
        in_scan = scanned(layer, operands.activations, self.array)
        self.observed.setdefault(layer.name, []).append(observe(in_scan, bits, self.array))
        for index, orders in enumerate(self.variants):
            stream = dataflow_of(self.array).activation_stream(
                layer, operands.activations, bits, orders[layer.name], self.array
            )
            self.counts.setdefault((index, layer.name), []).append(count_flips(stream))

    def statistics(self, layer: Layer, variant: int) -> ActivationStatistics:
        """Statistics of a layer in one set of orders, averaged over the samples."""
        return activation_statistics(
            layer,
            self.variants[variant][layer.name],
            self.array,
            add_counts(self.counts[variant, layer.name]),
            self.datapath.activations.bits,
            mean_observed(self.observed[layer.name]),
        )


def unit_weights(layer: Layer, array: Accelerator, datapath: Datapath) -> NDArray[np.unsignedinteger]:
    """Codes of a layer's weights at the width of the unit, shape (N, K)."""
    codes, bits = weight_codes(layer, array.weights)
    return widen(codes, stored_word(layer.weight_type, array.weights, bits), datapath.weights)
