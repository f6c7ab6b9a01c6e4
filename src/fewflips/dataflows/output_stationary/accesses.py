"""What an output-stationary array reads and writes: both operands for every pair of tiles, and no partial sums."""

from __future__ import annotations

from fewflips.dataflows.accesses import (
    Accesses,
    CodeWidths,
    Traffic,
    WorkingSet,
    distinct_activations,
    index_traffic,
    passes_read,
    runs_of,
    turns_of_sequence,
    whole_tensor,
)
from fewflips.dataflows.segment import Segment
from fewflips.machine import Accelerator
from fewflips.network.layer import Layer


def accesses(
    layer: Layer, segments: tuple[Segment, ...], array: Accelerator, widths: CodeWidths, *, scheduled: bool
) -> Accesses:
    """Accesses of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    segments : tuple of Segment
        Output channels and order of each pass.
    array : Accelerator
        Lanes.
    widths : CodeWidths
        Bits of each operand.
    scheduled : bool
        Whether an order is read with the weights.

    Returns
    -------
    Accesses
        A run of activations or results is the output pixels of a tile, for one k or one output channel.
    """
    tiles = -(-layer.m // array.lanes)
    full, rest = divmod(layer.m, array.lanes)
    words = _activation_words(layer, segments)
    once = layer.groups * layer.k
    turns = turns_of_sequence(len(segments), tiles) if array.turns else [0] * len(segments)
    return Accesses(
        weights=_weights(layer, segments, widths, tiles, turns),
        activations=Traffic(
            code_bits=widths.activations,
            read=runs_of([(full * words, array.lanes), (words, rest)]),
            working_sets=(
                WorkingSet(min(layer.m, array.lanes) * layer.k, runs_of([(full * once, array.lanes), (once, rest)])),
                whole_tensor(distinct_activations(layer)),
            ),
        ),
        results=Traffic(
            code_bits=widths.activations, written=runs_of([(full * layer.n, array.lanes), (layer.n, rest)])
        ),
        index_table=index_traffic(segments, tiles, turns) if scheduled else Traffic(),
    )


def _weights(layer: Layer, segments: tuple[Segment, ...], widths: CodeWidths, tiles: int, turns: list[int]) -> Traffic:
    """All weights of a segment for every tile of pixels; a single word stays in its registers, and that at a turn."""
    if len(segments) == 1 and layer.k == 1:
        tiles, turns = 1, [0]
    return Traffic(
        code_bits=widths.weights,
        read=passes_read(
            [len(segment.order) for segment in segments], [len(segment.lanes) for segment in segments], tiles, turns
        ),
        working_sets=(whole_tensor(layer.n * layer.k),),
    )


def _activation_words(layer: Layer, segments: tuple[Segment, ...]) -> int:
    """Words that a tile of pixels reads, one for every k of every segment.

    Where a segment ends with the k that the next one of its group begins with, the word is still in the registers.
    """
    words = sum(len(segment.order) for segment in segments)
    for index, segment in enumerate(segments[1:]):
        before = segments[index]
        same_group = _group(layer, before) == _group(layer, segment)
        words -= int(same_group and before.order[-1] == segment.order[0])
    return words


def _group(layer: Layer, segment: Segment) -> int:
    return int(segment.lanes[0]) // (layer.n // layer.groups)
