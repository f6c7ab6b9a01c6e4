"""Choose the order of every segment of every layer, with a certificate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import natural_orders
from fewflips.formats.codes import Codes
from fewflips.machine import Accelerator
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.optimization.segment_words import SegmentWords
from fewflips.optimization.weight_costs import check_widths
from fewflips.ordering import Effort, PathResult, order_segments, path_cover_bound
from fewflips.parallel.limit import Limit
from fewflips.progress import Progress, counter
from fewflips.streams.codes import weight_codes
from fewflips.streams.flips import stream_flips
from fewflips.streams.transition_cost import TransitionCost


@dataclass(frozen=True)
class Certificate:
    """How good the orders of one layer are.

    Parameters
    ----------
    segments : int
        Orders that were chosen independently.
    proven_segments : int
        Of these, how many are proven optimal: within one flip of their lower bound (or one unit of the cost that
        orders were chosen by).
    lower_bound : int
        Sum of the bounds: no orders of these segments have fewer flips within passes (or cost less).
    """

    segments: int
    proven_segments: int
    lower_bound: int


@dataclass(frozen=True, eq=False)
class SchedulePlan:
    """Orders of all layers, and how good they are."""

    orders: dict[str, tuple[Segment, ...]] = field(repr=False)
    certificates: dict[str, Certificate] = field(repr=False)


def plan_schedule(
    network: Network,
    array: Accelerator,
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    progress: Progress | None = None,
    limit: Limit | None = None,
) -> SchedulePlan:
    """Order every segment of every layer, each for itself.

    Words are made when their segment is solved, and certificates layer by layer: apart from the orders themselves,
    the largest layer determines the memory, not the number of layers.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        The machine, which cuts layers into segments.
    effort : Effort
        Work limit of the solver.
    seed : int
        Of the solver.
    jobs : int
        Segments solved at a time.
    cost : TransitionCost, optional
        What orders are chosen by, and the unit of certificates; flips by default.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    limit : Limit, optional
        When to end with the orders that there are by then.

    Returns
    -------
    SchedulePlan
        Orders and certificates. No segment has more flips, or costs more, than in natural order.

    Raises
    ------
    InputError
        If the codes of a layer are not as wide as those of `cost`.
    """
    if cost is not None:
        check_widths(network, array, cost)
    natural = natural_orders(network, array)
    words = SegmentWords(array, [(layer, segment) for layer in network.layers for segment in natural[layer.name]])
    finished = counter(progress, "ordering segments", len(words))
    results = iter(
        order_segments(words, cost=cost, effort=effort, seed=seed, jobs=jobs, progress=finished, enough=limit)
    )
    orders, certificates = {}, {}
    for layer in network.layers:
        codes = weight_codes(layer, array.weights)
        solved = [
            _order_segment(layer, codes, segment, next(results), array, effort, cost, limit)
            for segment in natural[layer.name]
        ]
        orders[layer.name] = tuple(segment for segment, _ in solved)
        certificates[layer.name] = _sum_certificates([certificate for _, certificate in solved])
    return SchedulePlan(orders, certificates)


def _order_segment(
    layer: Layer,
    codes: Codes,
    natural: Segment,
    path: PathResult,
    array: Accelerator,
    effort: Effort,
    cost: TransitionCost | None,
    limit: Limit | None,
) -> tuple[Segment, Certificate]:
    """Lay a path out along the dataflow's chains, or keep the natural order where that has fewer flips."""
    length = stream_flips if cost is None else cost.along
    chains = dataflow_of(array).chains(layer, array)
    ordered = Segment(natural.lanes, natural.order[dataflow_of(array).order_from_path(path.order, chains)])
    flips = {
        segment: length(dataflow_of(array).weight_stream(layer, *codes, (segment,), array).words)
        for segment in (ordered, natural)
    }
    best = min(flips, key=lambda segment: flips[segment])
    words = dataflow_of(array).segment_words(codes.words, natural)
    bound = chain_bound(path, chains, words, flips[best], effort, cost, limit)
    return best, Certificate(1, int(flips[best] - bound < 1), bound)


def chain_bound(
    path: PathResult,
    chains: int,
    words: NDArray[np.unsignedinteger],
    flips: int,
    effort: Effort,
    cost: TransitionCost | None = None,
    limit: Limit | None = None,
) -> int:
    """Lower bound of laying words out along several chains.

    Parameters
    ----------
    path : PathResult
        One path through all words; its bound is taken where there is one chain.
    chains : int
        Number of chains.
    words : ndarray of uint8 or uint16, shape (T, L)
        The words.
    flips : int
        Flips of the chains that were found, or their cost.
    effort : Effort
        Work limit.
    cost : TransitionCost, optional
        Cost of a transition; flips by default.
    limit : Limit, optional
        When it is reached, no bound of several chains is looked for.

    Returns
    -------
    int
        No such chains have fewer flips, or cost less.
    """
    if chains > 1 and limit is not None and limit():
        return 0
    return path.lower_bound if chains == 1 else path_cover_bound(words, chains, flips, cost=cost, effort=effort)


def _sum_certificates(certificates: list[Certificate]) -> Certificate:
    return Certificate(
        segments=sum(certificate.segments for certificate in certificates),
        proven_segments=sum(certificate.proven_segments for certificate in certificates),
        lower_bound=sum(certificate.lower_bound for certificate in certificates),
    )
