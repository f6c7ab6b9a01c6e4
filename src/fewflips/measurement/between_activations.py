"""Flips of products of two activations: what the weight port sees is the right operand, as samples give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.execution.activations import run_for
from fewflips.execution.samples import Samples
from fewflips.formats.number_formats import NumberFormat, width_for
from fewflips.machine import Accelerator, Operand
from fewflips.measurement.counting import LayerCount, count_layer
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.network.notes import left_out_notes
from fewflips.network.operand import ActivationOperand, ConstantOperand, HeldMatrix
from fewflips.network.product import Product
from fewflips.network.quantization_values import QuantizationValues
from fewflips.progress import Progress
from fewflips.streams.counting import add_counts


def products_between(network: Network) -> list[Product]:
    """Products of two activations that samples can be counted of, in execution order."""
    return [left_out.product for left_out in network.left_out if left_out.product is not None]


def with_products_between(
    network: Network, array: Accelerator, samples: Samples, progress: Progress | None = None
) -> tuple[Network, LayerOrders, dict[str, LayerCount]]:
    """Count products of two activations in natural order.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine: the left operand is on its activation port, the right one on its weight port.
    samples : Samples
        Sample inputs; the model is run once more.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    network : Network
        With these products among its layers, their right operands those of the last sample.
    orders : mapping of str to tuple of Segment
        Natural orders of the products.
    counts : dict of str to LayerCount
        The mean over the samples.
    """
    products = products_between(network)
    operands = [operand for product in products for operand in _operands(product)]
    fetch = list(dict.fromkeys(operand.tensor for operand in operands if operand.tensor))
    counts: dict[str, list[LayerCount]] = {}
    layers: dict[str, Layer] = {}
    orders = {}
    for tensors in run_for(network, samples, fetch, progress):
        for product in products:
            layer = layers[product.name] = held_layer(product, tensors)
            orders[layer.name] = dataflow_of(array).segments(layer, array)
            machine = _fixed_widths(product, array)
            counts.setdefault(layer.name, []).append(count_layer(layer, machine, tensors, orders[layer.name]))
    return _joined(network, layers), orders, {name: _mean(counted) for name, counted in counts.items()}


def held_layer(product: Product, tensors: Mapping[str, NDArray[Any]]) -> Layer:
    """A product of two activations as a layer whose weights are its right operand.

    Parameters
    ----------
    product : Product
        The product.
    tensors : mapping of str to ndarray
        What a runtime computed: the tensors of its operands.

    Returns
    -------
    Layer
        Its weights are in memory.
    """
    left, right = _operands(product)
    assert right.tensor is not None
    assert right.storage is not None
    rows = right.lowering.rows(tensors[right.tensor], product.groups, 0)
    codes: NDArray[Any] = rows.reshape(product.right.shape)
    zero_point = QuantizationValues.per_tensor(np.int32(right.zero_point or 0))
    weights = ConstantOperand(right.tensor, product.right.shape, right.storage, zero_point, HeldMatrix(codes))
    return Layer(product.name, product.operator, left, weights, product.groups)


def notes_without(network: Network, joined: Network) -> tuple[str, ...]:
    """The notes of a network, with what products are counted after all."""
    said = left_out_notes(network.left_out)
    count = len(joined.layers) - len(network.layers)
    products = "1 product" if count == 1 else f"{count} products"
    return (
        *left_out_notes(joined.left_out),
        *(note for note in network.notes if note not in said),
        f"{products} of two activations: the weight port has the right operand, as the sample inputs give it, the mean "
        "over them; energy is not estimated",
    )


def _operands(product: Product) -> tuple[ActivationOperand, ActivationOperand]:
    left, right = product.left, product.right
    assert isinstance(left, ActivationOperand)
    assert isinstance(right, ActivationOperand)
    return left, right


def _fixed_widths(product: Product, array: Accelerator) -> Accelerator:
    """The machine with words as wide as any value takes, so that samples are alike."""
    widths = [
        _with_width(operand, of_array)
        for operand, of_array in zip(_operands(product), (array.activations, array.weights), strict=True)
    ]
    return array.model_copy(update={"activations": widths[0], "weights": widths[1]})


def _with_width(operand: ActivationOperand, of_array: Operand) -> Operand:
    storage, zero_point = operand.storage, operand.zero_point or 0
    assert storage is not None
    if of_array.bits or of_array.format in (NumberFormat.AS_STORED, NumberFormat.UNSIGNED):
        return of_array
    bits = width_for(of_array.format, storage.low - zero_point, storage.high - zero_point)
    return of_array.model_copy(update={"bits": max(bits, storage.bits)})


def _joined(network: Network, layers: Mapping[str, Layer]) -> Network:
    return replace(
        network,
        layers=(*network.layers, *layers.values()),
        left_out=tuple(left_out for left_out in network.left_out if left_out.product is None),
    )


def _mean(counts: list[LayerCount]) -> LayerCount:
    activations = [count.activations for count in counts if count.activations is not None]
    return LayerCount(add_counts([count.weights for count in counts]), add_counts(activations))
