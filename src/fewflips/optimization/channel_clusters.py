"""Which channels of a network share a segment: tied groups renumbered, so that contiguous segments are the clusters.

The channels of a group lie on the lanes of every layer that takes them as its input (of every layer that gives them,
where output channels are on the lanes). One arrangement serves all of these layers: their costs are added, each times
its repeats. Layers in which the channels stream keep their words in the order that they have, under new numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Dataflow, Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders, natural_orders
from fewflips.machine import Accelerator
from fewflips.network import Network
from fewflips.network.channels import ChannelGroups, TiedAxis, tie_channels
from fewflips.network.layer import Layer
from fewflips.network.layouts import Blocks, Piece, groups_in, length_of, placed
from fewflips.network.lowering import Convolution2D
from fewflips.optimization.channel_orders import streaming_axes
from fewflips.optimization.lane_clusters import ClusterEffort, Clusters, LaneUse, cluster_channels
from fewflips.optimization.weight_costs import check_widths
from fewflips.parallel.tasks import run_all
from fewflips.progress import Progress, counter
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost

Orders = tuple[NDArray[np.int64], ...]
"""Order of each segment of a layer."""


@dataclass(frozen=True, eq=False)
class ClusterPlan:
    """Which channels move where, and the orders of all segments after that.

    Parameters
    ----------
    groups : ChannelGroups
        Which channels are tied.
    moved : dict of int to ndarray of int64
        New order of each group that moves: entry i is the old channel at the new position i.
    orders : dict of str to tuple of Segment
        Segments of each layer once the channels have moved, in the new numbers of its channels.
    """

    groups: ChannelGroups
    moved: dict[int, NDArray[np.int64]] = field(repr=False)
    orders: dict[str, tuple[Segment, ...]] = field(repr=False)


def plan_clusters(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    *,
    effort: ClusterEffort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> ClusterPlan:
    """Choose which channels share a segment, for every group of tied channels that may move.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine, which cuts layers into segments.
    orders : mapping of str to tuple of Segment
        Orders to begin with: those of the natural segments, or natural ones.
    effort : ClusterEffort
        Work limit of each search.
    seed : int
        Of all random choices.
    jobs : int
        Searches at a time.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    stop : callable
        Asked now and then; True ends all searches with the best that they have.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.

    Returns
    -------
    ClusterPlan
        A group moves only where its layers cost less than with the orders given.

    Raises
    ------
    InputError
        If the codes of a layer are not as wide as those of `cost`.
    """
    if cost is not None:
        check_widths(network, array, cost)
    natural = natural_orders(network, array)
    orders = {name: orders[name] if _same_lanes(orders[name], natural[name]) else natural[name] for name in natural}
    groups = tie_channels(network)
    lanes = LaneAxes(network, array, groups)
    families = lanes.families()
    finished = counter(progress, "clustering channels", len(families))

    def searched(family: tuple[int, ...]) -> _Found:
        return _search_family(lanes, family, orders, effort, seed, cost, stop)

    def done(number: int, _: _Found) -> None:
        if finished is not None:
            finished(number)

    found = run_all(searched, families, jobs=jobs, in_this_process=True, finished=done)
    moved = {group: order for part in found for group, order in part.moved.items()}
    changed = {name: order for part in found for name, order in part.orders.items()}
    return ClusterPlan(groups, moved, _renumbered(network, array, groups, moved, orders, changed))


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found for groups that have layers in common."""

    moved: dict[int, NDArray[np.int64]]
    orders: dict[str, Orders]


class LaneAxes:
    """Where the channels of each group that may move lie on lanes.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine.
    groups : ChannelGroups
        Which channels are tied.
    """

    def __init__(self, network: Network, array: Accelerator, groups: ChannelGroups) -> None:
        self.array = array
        self._groups = groups
        self._layers: dict[int, list[tuple[Layer, NDArray[np.int64]]]] = {}
        follows = "input" if dataflow_of(array).lanes_axis == "k" else "output"
        tied_axes = {tied.tensor: tied for tied in groups.axes if tied.follows == follows}
        held = _held_groups(network, array, groups)
        for layer in network.layers:
            tied = tied_axes.get(layer.weights_tensor)
            if tied is None or not _several_segments(layer, array):
                continue
            for group in set(groups_in(tied.layout)) - held:
                lane_of = _lanes_of(layer, tied, groups, group, follows)
                self._layers.setdefault(group, []).append((layer, lane_of))

    def families(self) -> list[tuple[int, ...]]:
        """Groups that have a layer in common, largest work first."""
        families: list[set[int]] = []
        for group in self._layers:
            own = {layer.name for layer, _ in self._layers[group]}
            joined = [family for family in families if any(own & self._names(member) for member in family)]
            families = [family for family in families if family not in joined] + [{group}.union(*joined)]
        work = {group: sum(layer.n * layer.k for layer, _ in layers) for group, layers in self._layers.items()}
        largest_first = sorted(families, key=lambda family: -sum(work[group] for group in family))
        return [tuple(sorted(family)) for family in largest_first]

    def _names(self, group: int) -> set[str]:
        return {layer.name for layer, _ in self._layers[group]}

    def layers(self, group: int) -> list[Layer]:
        """Layers on whose lanes a group lies."""
        return [layer for layer, _ in self._layers[group]]

    def uses(self, group: int, rows: Mapping[str, NDArray[np.int64]]) -> list[LaneUse]:
        """The layers of a group's search.

        Parameters
        ----------
        group : int
            The group.
        rows : mapping of str to ndarray of int64
            For layers in which other groups have moved, the row of codes that is on each lane index.

        Returns
        -------
        list of LaneUse
            One for each layer.
        """
        flow, uses = dataflow_of(self.array), []
        for layer, lane_of in self._layers[group]:
            codes, bits = weight_codes(layer, self.array.weights)
            table = np.ascontiguousarray(codes.T if flow.lanes_axis == "k" else codes)
            if layer.name in rows:
                table = table[rows[layer.name]]
            segments = tuple((segment.lanes, segment.order) for segment in flow.segments(layer, self.array))
            repeats, chains = flow.weight_repeats(layer, self.array), flow.chains(layer, self.array)
            uses.append(LaneUse(repeats, bits, table, lane_of, segments, chains))
        return uses

    def after(self, group: int, order: NDArray[np.int64], rows: dict[str, NDArray[np.int64]]) -> None:
        """Note which row is on each lane once a group has moved."""
        for layer, lane_of in self._layers[group]:
            lanes = layer.k if dataflow_of(self.array).lanes_axis == "k" else layer.n
            known = rows.get(layer.name, np.arange(lanes))
            changed = known.copy()
            changed[lane_of] = known[lane_of[:, order]]
            rows[layer.name] = changed


def _search_family(
    lanes: LaneAxes,
    family: tuple[int, ...],
    orders: LayerOrders,
    effort: ClusterEffort,
    seed: int,
    cost: TransitionCost | None,
    stop: Callable[[], bool],
) -> _Found:
    """Search one group after the other; those before have moved."""
    flow = dataflow_of(lanes.array)
    rows: dict[str, NDArray[np.int64]] = {}
    found_orders: dict[str, Orders] = {}
    moved: dict[int, NDArray[np.int64]] = {}
    for group in family:
        layers = lanes.layers(group)
        chains = [flow.chains(layer, lanes.array) for layer in layers]
        known = [found_orders.get(layer.name) or _orders_of(orders[layer.name]) for layer in layers]
        found: Clusters = cluster_channels(
            lanes.uses(group, rows),
            paths=[[_path_of(order, count, flow) for order in part] for part, count in zip(known, chains, strict=True)],
            cost=cost,
            effort=effort,
            seed=np.random.SeedSequence((seed, group)),
            stop=stop,
        )
        if found.cost < found.natural:
            moved[group] = found.order
            lanes.after(group, found.order, rows)
            for layer, count, paths in zip(layers, chains, found.paths, strict=True):
                found_orders[layer.name] = tuple(flow.order_from_path(path, count) for path in paths)
    return _Found(moved, found_orders)


def _orders_of(segments: tuple[Segment, ...]) -> Orders:
    return tuple(segment.order for segment in segments)


def _path_of(order: NDArray[np.int64], chains: int, flow: Dataflow) -> NDArray[np.int64]:
    """The path that an order lays out along a dataflow's chains."""
    path = np.empty_like(order)
    path[flow.order_from_path(np.arange(len(order)), chains)] = order
    return path


def _held_groups(network: Network, array: Accelerator, groups: ChannelGroups) -> set[int]:
    """Groups that may not move, are blocks, or stream in a layer whose channels are taken in several tiles."""
    blocks = (piece for tied in groups.axes for _, piece in placed(tied.layout, groups.sizes))
    held = set(groups.frozen) | {piece.group for piece in blocks if isinstance(piece, Blocks)}
    for layer, tied in streaming_axes(network, array, groups):
        streamed = {np.sort(segment.order).tobytes() for segment in dataflow_of(array).segments(layer, array)}
        if len(streamed) > 1:
            held |= set(groups_in(tied.layout))
    return held


def _same_lanes(some: tuple[Segment, ...], others: tuple[Segment, ...]) -> bool:
    """Whether orders are those of the segments given, not of others."""
    return len(some) == len(others) and all(
        np.array_equal(one.lanes, other.lanes) for one, other in zip(some, others, strict=True)
    )


def _several_segments(layer: Layer, array: Accelerator) -> bool:
    """Whether it matters which lanes share a segment: some have several, and there are several."""
    segments = dataflow_of(array).segments(layer, array)
    different = {segment.lanes.tobytes() for segment in segments}
    return len(different) > 1 and any(len(segment.lanes) > 1 for segment in segments)


def _lanes_of(layer: Layer, tied: TiedAxis, groups: ChannelGroups, group: int, follows: str) -> NDArray[np.int64]:
    """Lane indices of each channel of a group, shape (E, C)."""
    parts, channels = [], groups.sizes[group]
    for start, piece in placed(tied.layout, groups.sizes):
        if piece.group == group and isinstance(piece, Piece):
            block = np.arange(piece.outer * channels * piece.inner).reshape(piece.outer, channels, piece.inner) + start
            parts.append(block.swapaxes(0, 1).reshape(channels, -1).T)
    places = np.concatenate(parts)
    if follows == "output":
        return places
    return np.concatenate(
        [_at_position(layer, places, length_of(tied.layout, groups.sizes), number) for number in _positions(layer)]
    )


def _positions(layer: Layer) -> range:
    return range(layer.lowering.kernel_positions)


def _at_position(layer: Layer, places: NDArray[np.int64], length: int, position: int) -> NDArray[np.int64]:
    """Indices of K of places on an axis of input channels, at one kernel position."""
    if isinstance(layer.lowering, Convolution2D) and layer.lowering.layout == "NHWC":
        return position * length + places
    return places * layer.lowering.kernel_positions + position


def _renumbered(
    network: Network,
    array: Accelerator,
    groups: ChannelGroups,
    moved: Mapping[int, NDArray[np.int64]],
    orders: LayerOrders,
    changed: Mapping[str, Orders],
) -> dict[str, tuple[Segment, ...]]:
    """Orders of all segments, in the numbers that streaming channels have once they have moved."""
    new_index = {
        layer.name: _new_index(layer, tied, groups, moved) for layer, tied in streaming_axes(network, array, groups)
    }

    def of_layer(name: str, natural: tuple[Segment, ...]) -> Iterator[Segment]:
        known = changed.get(name) or _orders_of(orders[name])
        for segment, order in zip(natural, known, strict=True):
            yield Segment(segment.lanes, new_index[name][order] if name in new_index else order)

    return {name: tuple(of_layer(name, natural)) for name, natural in natural_orders(network, array).items()}


def _new_index(
    layer: Layer, tied: TiedAxis, groups: ChannelGroups, moved: Mapping[int, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """New number of each index of the streaming axis."""
    old = groups.axis_index(tied.layout, moved)
    if tied.follows == "input":
        places = [_at_position(layer, np.stack((np.arange(len(old)), old)), len(old), p) for p in _positions(layer)]
        new, was = np.concatenate(places, axis=1)
    else:
        new, was = np.arange(len(old)), old
    result = np.empty(len(was), dtype=np.int64)
    result[was] = new
    return result
