"""Sums of blocks: where scales change along the reduction, integers add up within a block only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from fewflips.dataflows.segment import Segment
from fewflips.errors import AcceleratorError
from fewflips.network.layer import Layer


def longest_sum(layer: Layer) -> int:
    """Products in the longest sum of integers: those that share their scales, K without blocks."""
    return int(np.bincount(layer.right.scale_groups()).max())


def begins_sum(layer: Layer, segments: tuple[Segment, ...]) -> list[bool]:
    """Before which segments partial sums start again, since their indices have other scales than those before.

    What becomes of a finished sum (its scale, and the addition in floats) is not part of the array.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Its passes, in their order; one without lanes takes the sums of the one before.

    Returns
    -------
    list of bool
        One for each segment; never True for the first.

    Raises
    ------
    AcceleratorError
        If a segment crosses blocks.
    """
    groups = layer.right.scale_groups()
    if not groups.any():
        return [False] * len(segments)
    of_segments: list[int] = []
    for segment in segments:
        found = np.unique(groups[segment.lanes]).tolist() or of_segments[-1:]
        if len(found) > 1:
            raise AcceleratorError(
                f"{layer}: expected segments within blocks of weights that share their scales, of {longest_sum(layer)} "
                f"indices at most, got one of {len(segment.lanes)} lanes across {len(found)} of them: its sums are no "
                "integers; take a machine with as many lanes as divide a block"
            )
        of_segments += found
    return [False, *(before != after for before, after in pairwise(of_segments))]


FLOAT32_MULTIPLY_ADD_PJ = 4.6
"""A multiplication (3.7 pJ) and an addition (0.9 pJ) of float32: M. Horowitz, ISSCC 2014, fig. 1.1.9, 45 nm."""


def notes_on_blocks(layers: Sequence[Layer]) -> tuple[str, ...]:
    """What is left out where sums are those of blocks, and how large it would be.

    Parameters
    ----------
    layers : sequence of Layer
        Layers that are simulated.

    Returns
    -------
    tuple of str
        One sentence, or none.
    """
    sums = sum(
        layer.m * layer.n * (blocks + 1)
        for layer in layers
        if (blocks := int(layer.right.scale_groups().max(initial=0)))
    )
    if not sums:
        return ()
    microjoules = sums * FLOAT32_MULTIPLY_ADD_PJ / 1e6
    return (
        f"Partial sums start again where the scales of weights change. Scaling the {sums:,} sums of blocks and adding "
        f"them up in floats is left out: {microjoules:.3g} uJ at {FLOAT32_MULTIPLY_ADD_PJ} pJ (float32, M. Horowitz, "
        "ISSCC 2014).",
    )


def check_without_blocks(layer: Layer, what: str) -> None:
    """Raise :class:`AcceleratorError` where a layer's sums are those of blocks, and something needs whole ones.

    Parameters
    ----------
    layer : Layer
        The layer.
    what : str
        What does, as the beginning of a sentence.
    """
    if layer.right.scale_groups().any():
        raise AcceleratorError(
            f"{layer}: {what} adds up whole rows of weights, and those of this layer have a scale for each block of "
            f"{longest_sum(layer)}: take an activation-stationary or weight-stationary machine without tiles"
        )
