"""Choose the order of every segment together with the signs of its words, with a certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import overload

from fewflips.dataflows import Segment, dataflow_of
from fewflips.dataflows.orders import LayerOrders
from fewflips.dataflows.sign_flags import negatable, negated_codes
from fewflips.dataflows.unit_words import stored_word
from fewflips.datapath.design import UNSIGNED_WEIGHTS, Word
from fewflips.errors import AcceleratorError
from fewflips.machine import Accelerator
from fewflips.network.graph import Network
from fewflips.network.layer import Layer
from fewflips.optimization.layer_codes import LayerCodes
from fewflips.optimization.segment_orders import Certificate, SchedulePlan, sum_certificates
from fewflips.optimization.weight_costs import check_widths, flag_cost
from fewflips.ordering import Effort
from fewflips.ordering.signed import SignedPath, SignedWords, sign_segments
from fewflips.progress import Progress, counter
from fewflips.streams.codes import weight_codes
from fewflips.streams.transition_cost import TransitionCost


def plan_signs(
    network: Network,
    array: Accelerator,
    orders: LayerOrders,
    *,
    effort: Effort,
    seed: int,
    jobs: int,
    cost: TransitionCost | None = None,
    progress: Progress | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> SchedulePlan:
    """Order the words of every segment, each for itself, and choose which of them stream negated.

    Parameters
    ----------
    network : Network
        The network.
    array : Accelerator
        A machine with sign flags.
    orders : mapping of str to tuple of Segment
        Segments to begin with: which indices share their lanes stays as it is. Their signs are chosen anew.
    effort : Effort
        Work limit of each search for an order.
    seed : int
        Of the solver.
    jobs : int
        Segments solved at a time.
    cost : TransitionCost, optional
        What orders and signs are chosen by, and the unit of certificates; flips by default. A change of sign costs what
        :func:`~fewflips.optimization.weight_costs.flag_cost` says.
    progress : callable, optional
        Called as ``progress(phase, done, total)``.
    enough : callable
        Once it returns True, segments keep what they have, with no bound where none was found.

    Returns
    -------
    SchedulePlan
        Orders and certificates. No segment has more flips, flags included, or costs more, than before without signs.

    Raises
    ------
    InputError
        If the codes of a layer are not as wide as those of `cost`.
    AcceleratorError
        If the weights of all layers are unsigned. Words of a layer with unsigned weights keep their signs.
    """
    if cost is not None:
        check_widths(network, array, cost)
    formats = {
        layer.name: stored_word(layer.weight_type, array.weights, weight_codes(layer, array.weights).bits)
        for layer in network.layers
    }
    if not any(word.signed for word in formats.values()):
        raise AcceleratorError(f"{array.name}: {UNSIGNED_WEIGHTS}")
    words = _Words(array, [(layer, segment) for layer in network.layers for segment in orders[layer.name]], formats)
    finished = counter(progress, "choosing signs", len(words))
    paths = sign_segments(
        words, flag_cost(cost), cost=cost, effort=effort, seed=seed, jobs=jobs, progress=finished, enough=enough
    )
    solved = iter(paths)
    planned, certificates = {}, {}
    for layer in network.layers:
        chosen = list(_chosen(orders[layer.name], solved))
        planned[layer.name] = tuple(segment for segment, _ in chosen)
        certificates[layer.name] = sum_certificates([certificate for _, certificate in chosen])
    return SchedulePlan(planned, certificates)


def _chosen(segments: tuple[Segment, ...], paths: Iterator[SignedPath]) -> Iterator[tuple[Segment, Certificate]]:
    for segment in segments:
        path = next(paths)
        negated = path.negated if path.negated.any() else None
        certificate = Certificate(1, int(path.proven), path.lower_bound)
        yield Segment(segment.lanes, segment.order[path.order], negated), certificate


class _Words(Sequence[SignedWords]):
    """Words and negatives of each segment, made when they are asked for."""

    def __init__(
        self, array: Accelerator, segments: Sequence[tuple[Layer, Segment]], formats: Mapping[str, Word]
    ) -> None:
        self._array, self._segments, self._formats = array, segments, formats
        self._codes = LayerCodes(array)

    def __len__(self) -> int:
        return len(self._segments)

    @overload
    def __getitem__(self, index: int) -> SignedWords: ...

    @overload
    def __getitem__(self, index: slice) -> _Words: ...

    def __getitem__(self, index: int | slice) -> SignedWords | _Words:
        if isinstance(index, slice):
            return _Words(self._array, self._segments[index], self._formats)
        layer, segment = self._segments[index]
        word = self._formats[layer.name]
        words = dataflow_of(self._array).segment_words(self._codes(layer), segment)
        return SignedWords(words, negated_codes(words, word) if word.signed else words, negatable(words, word))
