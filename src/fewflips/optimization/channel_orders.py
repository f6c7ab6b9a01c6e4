"""Drop-in: one order for each group of tied channels, absorbed into the model's constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator
from fewflips.machine.buffers import Tiling
from fewflips.network.channels import ChannelGroups, TiedAxis, tie_channels
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.network.layouts import Blocks, Piece, groups_in, length_of, placed
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.layer_codes import LayerCodes
from fewflips.optimization.segment_orders import Certificate, chain_bound
from fewflips.optimization.segment_words import SegmentWords
from fewflips.optimization.weight_costs import check_widths, weight_cost
from fewflips.ordering import Effort, PathResult, order_distances, order_segments
from fewflips.parallel.limit import Limit
from fewflips.progress import Progress, counter
from fewflips.streams.codes import weight_codes
from fewflips.streams.counting import count_flips
from fewflips.streams.flips import pairwise_distances
from fewflips.streams.transition_cost import TransitionCost

MOST_ENTRIES = 1 << 27
"""Entries of distance matrices that are held at the same time: 512 MiB."""
MOST_WORD_BYTES = 1 << 30
"""Words of a group whose distances would be more, each layer's as often as they stream."""


@dataclass(frozen=True, eq=False)
class ChannelUse:
    """A layer in which a group's channels stream one after another.

    Parameters
    ----------
    repeats : int
        How often they do in one inference.
    words : ndarray of uint8 or uint16, shape (C, L)
        Codes of each channel.
    """

    repeats: int
    words: NDArray[np.unsignedinteger] = field(repr=False)


@dataclass(frozen=True, eq=False)
class ChannelPlan:
    """Orders of the channel groups of a network.

    Parameters
    ----------
    groups : ChannelGroups
        Which channels are tied.
    orders : dict of int to ndarray of int64
        New order of each group that moves.
    certificates : dict of int to PathResult
        How good the path of each group is, in the unit of its objective.
    """

    groups: ChannelGroups
    orders: dict[int, NDArray[np.int64]] = field(repr=False)
    certificates: dict[int, PathResult] = field(repr=False)


def plan_channels(
    network: Network,
    array: Accelerator,
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    progress: Progress | None = None,
    limit: Limit | None = None,
) -> ChannelPlan:
    """Choose an order for every group of tied channels that may move.

    The weight flips of a rewritten network split into one sum a group: over the layers in which the group's
    channels stream, times how often they do. Each group is a shortest Hamiltonian path of its own. This is exact
    where a layer's words follow one another channel by channel; where they do not (several chains, several kernel
    positions or concatenated groups on the streamed axis) it leaves steps out, so that an order is kept only if
    the flips of the layers themselves become fewer.

    Codes are made layer by layer: apart from the distances of the groups that are solved together, the largest layer
    determines the memory, not the number of layers.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine; its dataflow says which axis of the weights streams.
    effort : Effort
        Work limit of the solver.
    seed : int
        Of the solver.
    jobs : int
        Groups solved at a time.
    cost : TransitionCost, optional
        What orders are chosen by, in place of flips.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    limit : Limit, optional
        When to end with the orders that there are by then.

    Returns
    -------
    ChannelPlan
        Orders and certificates.

    Raises
    ------
    InputError
        If the codes of a layer are not as wide as those of `cost`.
    """
    if cost is not None:
        check_widths(network, array, cost)
    groups = tie_channels(network)
    uses = channel_uses(network, array, groups)
    finished = counter(progress, "ordering channels", len(uses))
    certificates: dict[int, PathResult] = {}
    wide = [group for group in uses if groups.sizes[group] ** 2 > MOST_ENTRIES]
    for group in wide:
        words = [weighted_words(uses[group], whole_codes=cost is not None)]
        (certificates[group],) = order_segments(
            words, cost=cost, effort=effort, seed=seed, jobs=1, progress=finished, enough=limit
        )
    for batch in _batches([group for group in uses if group not in wide], groups):
        distances = [channel_distances(uses[group], cost) for group in batch]
        results = order_distances(distances, effort=effort, seed=seed, jobs=jobs, progress=finished, enough=limit)
        certificates.update(zip(batch, results, strict=True))
    candidates = {
        group: dataflow_of(array).order_from_path(result.order, _chains(network, array, groups, group))
        for group, result in certificates.items()
    }
    kept = _keep_gains(network, array, groups, candidates, cost)
    blocks = block_orders(network, array, groups, kept, cost)
    return ChannelPlan(groups, _keep_gains(network, array, groups, blocks, cost, kept), certificates)


def channel_uses(network: Network, array: Accelerator, groups: ChannelGroups) -> dict[int, Sequence[ChannelUse]]:
    """Where the channels of each free group stream; groups that stream nowhere are left out.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    groups : ChannelGroups
        Which channels are tied.

    Returns
    -------
    dict of int to sequence of ChannelUse
        One use for each layer and group. Its words are made when it is taken from the sequence, and not kept.
    """
    codes = LayerCodes(array)
    places: dict[int, list[_Place]] = {}
    for layer, tied in streaming_axes(network, array, groups):
        repeats = dataflow_of(array).weight_repeats(layer, array)
        for piece in _streamed_pieces(layer, tied, groups):
            if piece.group not in groups.frozen:
                places.setdefault(piece.group, []).append(_Place(layer, tied, piece, repeats))
    return {group: _Uses(codes, found) for group, found in sorted(places.items())}


def channel_distances(uses: Sequence[ChannelUse], cost: TransitionCost | None = None) -> NDArray[np.int32]:
    """Distances between the channels of a group, summed over the layers in which they stream.

    Parameters
    ----------
    uses : sequence of ChannelUse
        Where they stream.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    ndarray of int32, shape (C, C)
        Flips of one inference between each pair of channels (or their costs, in the unit that all are multiples of),
        divided by the greatest common divisor of the layers' repeats (and by a power of two where they would not fit
        32 bits).
    """
    cost = None if cost is None else cost.in_units
    sizes = [(use.repeats, use.words.shape, use.words.itemsize) for use in uses]
    unit = gcd(*(repeats for repeats, _, _ in sizes))
    _, (channels, _), _ = sizes[0]
    longest = sum(
        repeats // unit * lanes * (8 * itemsize if cost is None else cost.largest_step)
        for repeats, (_, lanes), itemsize in sizes
    )
    distances = np.zeros((channels, channels), dtype=np.int64 if longest >> 31 else np.int32)
    for use in uses:
        _add_distances(distances, use.words, use.repeats // unit, cost)
    distances >>= max(0, int(distances.max(initial=0)).bit_length() - 31)
    return distances.astype(np.int32, copy=False)


def _add_distances(
    distances: NDArray[np.integer], words: NDArray[np.unsignedinteger], times: int, cost: TransitionCost | None
) -> None:
    """Add a multiple of the words' distances, row by row: one more matrix is held, not two."""
    factor = distances.dtype.type(times)
    apart = pairwise_distances(words) if cost is None else cost.distances(words)
    for row, flips in zip(distances, apart, strict=True):
        row += factor * flips.astype(distances.dtype, copy=False)


def weighted_words(uses: Sequence[ChannelUse], *, whole_codes: bool = False) -> NDArray[np.unsignedinteger]:
    """Words whose Hamming distances are those of :func:`channel_distances`, for groups too wide for a matrix.

    Parameters
    ----------
    uses : sequence of ChannelUse
        Where the channels stream.
    whole_codes : bool
        Whether to keep codes of two bytes as they are: their cost is not that of their bytes. Codes of all layers are
        of one width then.

    Returns
    -------
    ndarray of uint8 or uint16, shape (C, bytes or codes)
        The words of all layers side by side, each as often as its layer repeats, divided by the greatest common
        divisor. Where that would take more than MOST_WORD_BYTES, the repeats are divided further and rounded, down
        to once each.
    """
    sizes = [(use.repeats, use.words.nbytes) for use in uses]
    unit = gcd(*(repeats for repeats, _ in sizes))
    size = sum(repeats // unit * nbytes for repeats, nbytes in sizes)
    divisor = unit * max(1, -(-size // MOST_WORD_BYTES))
    parts = [use.words if whole_codes else np.ascontiguousarray(use.words).view(np.uint8) for use in uses]
    times = [max(1, round(repeats / divisor)) for repeats, _ in sizes]
    return np.concatenate([part for part, count in zip(parts, times, strict=True) for _ in range(count)], axis=1)


def streaming_axes(network: Network, array: Accelerator, groups: ChannelGroups) -> list[tuple[Layer, TiedAxis]]:
    """Layers and the axis of their weights that streams, where it moves with channels."""
    follows = "output" if dataflow_of(array).order_axis == "n" else "input"
    by_tensor = {tied.tensor: tied for tied in groups.axes if tied.follows == follows}
    pairs = [(layer, by_tensor.get(layer.weights_tensor)) for layer in network.layers]
    return [(layer, tied) for layer, tied in pairs if tied is not None]


def drop_in_certificates(
    network: Network,
    array: Accelerator,
    flips: Mapping[str, int],
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    progress: Progress | None = None,
    limit: Limit | None = None,
) -> dict[str, Certificate]:
    """Lower bounds of each layer under one order for all its segments, as a drop-in file has it.

    Parameters
    ----------
    network : Network
        The original network.
    array : Accelerator
        The machine.
    flips : mapping of str to int
        Flips of each layer in the rewritten model, within passes, or their cost.
    effort : Effort
        Work limit of each bound.
    seed : int
        Of the solver.
    jobs : int
        Layers at a time.
    cost : TransitionCost, optional
        Cost of a transition, and the unit of certificates; flips by default.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    limit : Limit, optional
        When to end with the bounds that there are by then.

    Returns
    -------
    dict of str to Certificate
        One order a layer (one for each set of streamed indices in a grouped layer); what other layers tie it to
        is left out of account, so that the bound is valid whatever they are. Tiles of outputs are chains of an order
        that any channels may form.
    """
    flow, untiled = dataflow_of(array), array.model_copy(update={"tiling": Tiling()})
    segments = [
        (layer, segment) for layer in network.layers for segment in _merged_segments(flow.segments(layer, untiled))
    ]
    words = SegmentWords(array, segments)
    finished = counter(progress, "bounding the drop-in", len(words))
    results = order_segments(words, cost=cost, effort=effort, seed=seed, jobs=jobs, progress=finished, enough=limit)
    bounds = {layer.name: 0 for layer in network.layers}
    orders = {layer.name: 0 for layer in network.layers}
    for (layer, _), instance, result in zip(segments, words, results, strict=True):
        chains = flow.chains(layer, array) * flow.tiles_of_outputs(layer, array)
        bounds[layer.name] += chain_bound(result, chains, instance, flips[layer.name], effort, cost, limit)
        orders[layer.name] += 1
    return {
        name: Certificate(orders[name], orders[name] if flips[name] - bound < 1 else 0, bound)
        for name, bound in bounds.items()
    }


def _merged_segments(segments: tuple[Segment, ...]) -> list[Segment]:
    """Segments that stream the same indices, joined: in a rewritten file they share one order."""
    lanes: dict[bytes, list[NDArray[np.int64]]] = {}
    for segment in segments:
        lanes.setdefault(segment.order.tobytes(), []).append(segment.lanes)
    return [Segment(np.concatenate(parts), np.frombuffer(order, dtype=np.int64)) for order, parts in lanes.items()]


class _Piece(NamedTuple):
    """Channels of a group that stream one after another on a layer's axis."""

    group: int
    channels: int
    start: int
    stop: int


class _Place(NamedTuple):
    """Where a group's channels stream."""

    layer: Layer
    tied: TiedAxis
    piece: _Piece
    repeats: int


class _Uses(Sequence[ChannelUse]):
    """The uses of a group, whose words are made when they are asked for."""

    def __init__(self, codes: LayerCodes, places: Sequence[_Place]) -> None:
        self._codes = codes
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> ChannelUse: ...

    @overload
    def __getitem__(self, index: slice) -> _Uses: ...

    def __getitem__(self, index: int | slice) -> ChannelUse | _Uses:
        if isinstance(index, slice):
            return _Uses(self._codes, self._places[index])
        layer, tied, piece, repeats = self._places[index]
        table = _channel_table(layer, self._codes(layer), tied)
        block = table[:, piece.start : piece.stop, 0].reshape(-1, piece.channels)
        return ChannelUse(repeats, np.ascontiguousarray(block.T))


def _streamed_pieces(layer: Layer, tied: TiedAxis, groups: ChannelGroups) -> list[_Piece]:
    """The groups on the streamed axis, where neighbouring channels stream one after another."""
    beside = layer.lowering.kernel_positions if _positions_are_innermost(layer, tied) else 1
    pieces = []
    for start, piece in placed(tied.layout, groups.sizes):
        if isinstance(piece, Piece) and beside * piece.inner == 1:
            channels = groups.sizes[piece.group]
            pieces.append(_Piece(piece.group, channels, start, start + piece.outer * channels))
    return pieces


def _channel_table(layer: Layer, codes: NDArray[np.unsignedinteger], tied: TiedAxis) -> NDArray[np.unsignedinteger]:
    """Codes with the streamed axis in the middle, and what lies inside of it last."""
    if tied.follows == "output":
        return codes.T[:, :, np.newaxis]
    if _positions_are_innermost(layer, tied):
        return codes.reshape(layer.n, -1, layer.lowering.kernel_positions)
    return codes.reshape(layer.n * layer.lowering.kernel_positions, -1, 1)


def _positions_are_innermost(layer: Layer, tied: TiedAxis) -> bool:
    """Whether the kernel positions of a channel stream before the next channel."""
    nhwc = isinstance(layer.lowering, Convolution2D) and layer.lowering.layout == "NHWC"
    return tied.follows != "output" and not nhwc


def _keep_gains(
    network: Network,
    array: Accelerator,
    groups: ChannelGroups,
    candidates: Mapping[int, NDArray[np.int64]],
    cost: TransitionCost | None = None,
    before: Mapping[int, NDArray[np.int64]] | None = None,
) -> dict[int, NDArray[np.int64]]:
    """Orders that are there, and of those proposed the ones that give the layers they touch fewer flips, one by one."""
    before = before or {}
    if not candidates:
        return dict(before)
    streaming = streaming_axes(network, array, groups)

    def flips_under(layer: Layer, tied: TiedAxis, orders: Mapping[int, NDArray[np.int64]]) -> int:
        codes = weight_codes(layer, array.weights)
        if any(group in orders for group in groups_in(tied.layout)):
            codes = _permuted(layer, codes, tied, groups.axis_index(tied.layout, orders))
        return _flips_of(layer, codes, array, cost)

    flips = {layer.name: flips_under(layer, tied, before) for layer, tied in streaming}
    kept: dict[int, NDArray[np.int64]] = dict(before)
    for group, order in candidates.items():
        touched = [(layer, tied) for layer, tied in streaming if group in groups_in(tied.layout)]
        new_flips = {layer.name: flips_under(layer, tied, {**kept, group: order}) for layer, tied in touched}
        if sum(new_flips.values()) < sum(flips[name] for name in new_flips):
            kept[group] = order
            flips.update(new_flips)
    return kept


def block_orders(
    network: Network,
    array: Accelerator,
    groups: ChannelGroups,
    orders: Mapping[int, NDArray[np.int64]],
    cost: TransitionCost | None = None,
) -> dict[int, NDArray[np.int64]]:
    """Orders of blocks that move as a whole, heads of an attention or channels that share scales.

    Only the steps from block to block depend on their order: from the last channel of one to the first of the next.
    Either of two blocks may come first, so that both steps count; whether an order pays is seen on the streams.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    groups : ChannelGroups
        Which channels are tied.
    orders : mapping of int to ndarray of int64
        Of the channels within blocks.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.

    Returns
    -------
    dict of int to ndarray of int64
        For each group of blocks that may move and whose channels stream.
    """
    codes, steps = LayerCodes(array), dict[int, NDArray[np.int64]]()
    for layer, tied in streaming_axes(network, array, groups):
        beside = layer.lowering.kernel_positions if _positions_are_innermost(layer, tied) else 1
        table = _channel_table(layer, codes(layer), tied)[:, groups.axis_index(tied.layout, orders), 0]
        repeats = dataflow_of(array).weight_repeats(layer, array)
        for start, piece in placed(tied.layout, groups.sizes):
            if not isinstance(piece, Blocks) or piece.group in groups.frozen or beside > 1:
                continue
            length, count = length_of(piece.parts[0], groups.sizes), len(piece.parts)
            words = np.ascontiguousarray(table[:, start : start + count * length].T).reshape(count, length, -1)
            ends = np.concatenate((words[:, 0], words[:, -1]))
            apart = pairwise_distances(ends) if cost is None else cost.distances(ends)
            between = np.asarray(apart)[:count, count:].astype(np.int64) * repeats
            steps[piece.group] = steps.get(piece.group, 0) + between + between.T
    groups_of_blocks = sorted(steps)
    distances = [_scaled(steps[group]) for group in groups_of_blocks]
    results = order_distances(distances, effort=Effort.quick(), seed=0, jobs=1) if distances else []
    return {group: result.order for group, result in zip(groups_of_blocks, results, strict=True)}


def _scaled(steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """Distances that the solver takes; from a block to itself there is no step."""
    steps = steps - np.diag(np.diag(steps))
    return (steps >> max(0, int(steps.max(initial=0)).bit_length() - 31)).astype(np.int32)


def _flips_of(layer: Layer, codes: Codes, array: Accelerator, cost: TransitionCost | None) -> int:
    """Weight flips of one inference in natural order, within passes, or their cost."""
    segments = dataflow_of(array).segments(layer, array)
    if cost is not None:
        return weight_cost(layer, array, codes, segments, cost) * dataflow_of(array).weight_repeats(layer, array)
    count = count_flips(dataflow_of(array).weight_stream(layer, *codes, segments, array))
    return count.within * count.repeats


def _permuted(layer: Layer, codes: Codes, tied: TiedAxis, index: NDArray[np.int64]) -> Codes:
    """Codes of a layer, shape (N, K), with its streamed axis in another order."""
    return Codes(_moved(layer, codes.words, tied, index), codes.bits)


def _moved(
    layer: Layer, codes: NDArray[np.unsignedinteger], tied: TiedAxis, index: NDArray[np.int64]
) -> NDArray[np.unsignedinteger]:
    if tied.follows == "output":
        return codes[index]
    if isinstance(layer.lowering, Convolution2D) and layer.lowering.layout == "NHWC":
        table = codes.reshape(layer.n, layer.lowering.kernel_positions, -1)
        return table[:, :, index].reshape(layer.n, layer.k)
    table = codes.reshape(layer.n, -1, layer.lowering.kernel_positions)
    return table[:, index].reshape(layer.n, layer.k)


def _chains(network: Network, array: Accelerator, groups: ChannelGroups, group: int) -> int:
    """Most chains of any layer in which a group streams: its path is laid out along so many."""
    layers = [layer for layer, tied in streaming_axes(network, array, groups) if group in groups_in(tied.layout)]
    return max((dataflow_of(array).chains(layer, array) for layer in layers), default=1)


def _batches(order: list[int], groups: ChannelGroups) -> list[list[int]]:
    """Groups whose distance matrices are held at the same time, bounded in memory."""
    batches: list[list[int]] = []
    entries = MOST_ENTRIES
    for group in order:
        size = groups.sizes[group] ** 2
        if entries + size > MOST_ENTRIES:
            batches.append([])
            entries = 0
        batches[-1].append(group)
        entries += size
    return batches
