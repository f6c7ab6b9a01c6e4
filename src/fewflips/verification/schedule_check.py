"""Checks that a schedule computes what its network computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.execution.activations import lowered_rows, run_samples
from fewflips.execution.samples import Samples
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.layer import Layer
from fewflips.progress import Progress
from fewflips.records.optimization import Check
from fewflips.records.schedule import Axes
from fewflips.schedule.executor import check_segments
from fewflips.schedule.signs import check_signs

RANDOM_ROWS = 64
"""Number of rows of random activations on which every layer's schedule is executed."""

_SIGNS = "; products of words that stream negated were subtracted"
_BLOCKS = (
    "; where blocks of a layer's weights have scales of their own, the sum of each block was compared, since only "
    "these are added in integers"
)


def check_schedule(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    samples: Samples | None,
    seed: int,
    progress: Progress | None = None,
) -> Check:
    """Execute every layer in scheduled order and compare it with the plain product.

    Sums are those of integers with a scale in common: all of an output, or those of each block of weights.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine; its dataflow says what the segments index.
    orders : mapping of str to tuple of Segment
        The schedule.
    samples : Samples or None
        The first sample's real activations are used in addition to random ones.
    seed : int
        Seed of the random activations.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    Check
        What was compared.

    Raises
    ------
    InputError
        If words are negated that have no negative, or on a machine that cannot subtract.
    VerificationError
        If any sum differs.
    """
    axes = Axes(lanes=dataflow_of(array).lanes_axis, order=dataflow_of(array).order_axis)
    tensors: Mapping[str, NDArray[Any]] = {}
    if samples is not None:
        tensors = next(run_samples(network, replace(samples, feeds=samples.feeds[:1])))
    generator = np.random.default_rng(seed)
    values = 0
    for done, layer in enumerate(network.layers):
        segments = orders[layer.name]
        check_signs(layer, segments, array)
        values += check_segments(layer, _random_rows(layer, generator), segments, axes)
        if layer.input_tensor in tensors:
            values += check_segments(layer, lowered_rows(layer, tensors), segments, axes)
        if progress:
            progress("executing the schedule", done + 1, len(network.layers))
    signed = any(segment.sign_flags.any() for layer in network.layers for segment in orders[layer.name])
    blocks = any(layer.right.scale_groups().any() for layer in network.layers)
    real = " and on the first sample's activations" if samples else ""
    return Check(
        passed=True,
        method=(
            "every layer was executed in integers, adding partial sums in scheduled order, on "
            f"{RANDOM_ROWS} rows of random activations{real}, and compared with the plain matrix product: all "
            f"{values} sums are equal{_SIGNS if signed else ''}{_BLOCKS if blocks else ''}"
        ),
        sample_inputs=1 if samples else 0,
        random_inputs=RANDOM_ROWS,
        values=values,
        equal_share=1.0,
        largest_difference=0.0,
        bit_exact=True,
    )


def _random_rows(layer: Layer, generator: np.random.Generator) -> NDArray[np.integer]:
    storage = layer.activation_type
    low, high = (storage.low, storage.high) if storage else (-128, 127)
    return generator.integers(low, high + 1, size=(layer.groups, RANDOM_ROWS, layer.k), dtype=np.int32)
