"""Whether a schedule keeps to the tiles of its machine."""

from __future__ import annotations

from itertools import groupby

from fewflips.dataflows import Segment
from fewflips.errors import InputError
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


def check_tiles(layer: Layer, segments: tuple[Segment, ...], array: Accelerator) -> None:
    """Raise :class:`InputError` unless every sum is complete before its column begins another tile.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Its passes, which visit every product once.
    array : Accelerator
        A machine that streams output channels, with a tiling.

    Raises
    ------
    InputError
        If a tile has more channels than the register files, or is left before its sums are complete.
    """
    most = array.tiling.outputs
    if most is None:
        return
    begun: set[int] = set()
    for tile, passes in groupby(segments, key=lambda segment: frozenset(segment.order.tolist())):
        if not begun.isdisjoint(tile):
            raise InputError(
                f"{layer}: the schedule leaves a tile of output channels before its sums are complete, but "
                f"{array.name} keeps those of one tile: optimize this model again"
            )
        if len(tile) > most and len(list(passes)) > 1:
            raise InputError(
                f"{layer}: the schedule has a tile of {len(tile)} output channels, {array.name} keeps the sums of "
                f"{most}: optimize this model again"
            )
        begun |= tile
