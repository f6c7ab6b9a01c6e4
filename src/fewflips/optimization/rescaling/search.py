"""Which tensors get which ranges: what each range saves against the error that it makes, until a budget is spent.

An error of a tensor counts by what it does to the network's outputs. That is measured, by giving one tensor after the
other a range with coarser steps. Errors of several tensors add up in their squares, as far as anybody knows before they
are tried: up to some sum of them, the ranges are taken first that save most for their error. Bisection ends at the
largest sum with which the outputs, in the model's own runtime, are within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewflips.network import Network
from fewflips.network.load import rewrite_ranges
from fewflips.network.ranges import NewRange
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.model_files import ModelFiles, write_model
from fewflips.optimization.rescaling.tensors import RangeCandidate
from fewflips.optimization.rounding.outputs import OutputChange, Reference
from fewflips.parallel.limit import Limit
from fewflips.progress import Progress

_BISECTIONS = 14

_LEAST_PART = 256
"""The sum of errors that is tried after one that is too large is no less than this part of it, before the root."""


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A network with other ranges.

    Parameters
    ----------
    network : Network
        As read back from the files.
    files : ModelFiles
        Its files.
    ranges : mapping of str to NewRange
        What is new, by the tensor's name.
    error : OutputChange
        Of its outputs on all sample inputs.
    outputs : ndarray of float64, shape (samples, values)
        These outputs.
    """

    network: Network
    files: ModelFiles
    ranges: Mapping[str, NewRange]
    error: OutputChange
    outputs: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class _Move:
    """From one range of a tensor to another that saves more.

    Parameters
    ----------
    tensor : str
        The tensor.
    new : NewRange
        The range.
    error : float
        Square error of the network's outputs that it adds.
    saved : float
        Bits that are no longer set.
    """

    tensor: str
    new: NewRange
    error: float
    saved: float


class RangeSearch:
    """The search for the ranges of all tensors.

    Parameters
    ----------
    network : Network
        The network whose ranges are replaced.
    choices : mapping of str to list of RangeCandidate
        Ranges of each tensor, by its name: the present one first, then with fewer and fewer bits set.
    reference : Reference
        Outputs of the original on all sample inputs.
    budget : ErrorBudget
        How far outputs may be from them.
    limit : Limit
        When to end with the best so far.
    progress : callable or None
        Called as ``progress(phase, done, total)``.
    """

    def __init__(
        self,
        network: Network,
        choices: Mapping[str, Sequence[RangeCandidate]],
        reference: Reference,
        budget: ErrorBudget,
        *,
        limit: Limit,
        progress: Progress | None,
    ) -> None:
        self._network, self._choices, self._reference, self._budget = network, choices, reference, budget
        self._limit, self._progress = limit, progress

    def find(self, probes: Sequence[int]) -> Rescaled | None:
        """Measure what errors do, and spend the budget.

        Parameters
        ----------
        probes : sequence of int
            The samples on which errors of single tensors are measured.

        Returns
        -------
        Rescaled or None
            The ranges with the fewest bits set that were found within the budget; None where no other range is.
        """
        moves = self._moves(self._reference.only(probes))
        best: Rescaled | None = None
        found: Rescaled | None = None
        tried: dict[str, NewRange] = {}
        low, high = 0.0, sum(move.error for move in moves)
        allowed = high
        for number in range(_BISECTIONS):
            if low == high or (number and self._limit()):
                break
            ranges = _filled(moves, allowed)
            if found is None or ranges != tried:
                found, tried = self._tried(ranges), ranges
            if found.error.within(self._budget):
                best, low = found, allowed
            else:
                high = allowed
            allowed = math.sqrt(max(low, high / _LEAST_PART) * high)
        return best if best is not None and best.ranges else self._without_error(moves)

    def _without_error(self, moves: Sequence[_Move]) -> Rescaled | None:
        """Zero points alone, which move all integers alike; None where there are none, or other inputs saturate."""
        free = _filled(moves, 0.0)
        found = self._tried(free) if free else None
        return found if found is not None and found.error.within(self._budget) else None

    def _moves(self, reference: Reference) -> list[_Move]:
        """Steps from range to range, in the order in which they are worth their error."""
        moves: list[_Move] = []
        _, start = reference.error_of(self._network)
        for number, (tensor, choice) in enumerate(self._choices.items()):
            if self._limit() and moves:
                break
            error = self._error(reference, start, tensor, choice)
            moves += _hull(tensor, choice, error)
            if self._progress:
                self._progress("measuring sensitivities", number + 1, len(self._choices))
        return sorted(moves, key=lambda move: move.error / move.saved)

    def _error(
        self, reference: Reference, start: NDArray[np.float64], tensor: str, choice: Sequence[RangeCandidate]
    ) -> float:
        """Square error of the outputs for a unit of a tensor's noise."""
        noisy = [one for one in choice if one.noise]
        if not noisy:
            return 0.0
        coarsest = noisy[len(noisy) // 2]
        network, _ = self._write({tensor: coarsest.new})
        _, outputs = reference.error_of(network)
        return float(np.square(outputs - start).sum()) / coarsest.noise

    def _tried(self, ranges: Mapping[str, NewRange]) -> Rescaled:
        """Write the model with some ranges, and run it."""
        network, files = self._write(ranges)
        error, outputs = self._reference.error_of(network)
        if self._progress:
            self._progress(f"rescaling (now {error})", len(ranges), len(self._choices))
        return Rescaled(network, files, ranges, error, outputs)

    def _write(self, ranges: Mapping[str, NewRange]) -> tuple[Network, ModelFiles]:
        return write_model(self._network.file_format, lambda path: rewrite_ranges(self._network, ranges, path))


def _filled(moves: Sequence[_Move], allowed: float) -> dict[str, NewRange]:
    """The moves that are worth most for their error, as many as are allowed; a tensor's later ones need the earlier."""
    ranges: dict[str, NewRange] = {}
    blocked: set[str] = set()
    used = 0.0
    for move in moves:
        if move.tensor in blocked or used + move.error > allowed * (1 + 1e-9):
            blocked.add(move.tensor)
            continue
        ranges[move.tensor] = move.new
        used += move.error
    return ranges


def _hull(tensor: str, choice: Sequence[RangeCandidate], error: float) -> list[_Move]:
    """Moves along the lower convex hull of error over bits that are set: each is worth less than the one before."""
    moves: list[_Move] = []
    at = 0
    while at < len(choice) - 1:
        now = choice[at]
        rates = [(one.noise - now.noise) * error / (now.ones - one.ones) for one in choice[at + 1 :]]
        then = choice[at := at + 1 + int(np.argmin(rates))]
        moves.append(_Move(tensor, then.new, (then.noise - now.noise) * error, now.ones - then.ones))
    return moves
