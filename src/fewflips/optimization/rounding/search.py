"""Rounding all layers at one price, which rises until the error budget is just met.

Each layer's codes minimize its error plus what its stream costs (:mod:`fewflips.assignment.coupled_lanes`). A layer's
error counts by what it does to the network's outputs: that is measured, by giving one layer after the other random
errors. One price of a unit of cost for all layers spends the budget where a unit costs least error, as Lagrange's
multiplier does. It rises step by step, the orders being solved again for the new codes in between, until the outputs,
in the model's own runtime, are beyond the budget; then it goes down and up in ever smaller steps around the budget.
Codes go on from where they are at the price before, and not from those of the last price within the budget: found at
too high a price, they relax at a lower one, so that lanes leave local minima.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewflips.dataflows import Segment
from fewflips.network import Network
from fewflips.network.load import rewrite_codes
from fewflips.optimization.budget import ErrorBudget
from fewflips.optimization.model_files import ModelFiles, write_model
from fewflips.optimization.rounding.layer import RoundedLayer
from fewflips.optimization.rounding.outputs import OutputChange, Reference
from fewflips.ordering import Effort, order_segments
from fewflips.parallel.limit import Limit
from fewflips.parallel.tasks import run_all
from fewflips.progress import Progress
from fewflips.streams.transition_cost import TransitionCost

PROBES = 16
"""Calibration inputs on which a layer's sensitivity is measured."""

_NOISES = ((16, 1.0), (4, 1.0), (1, 1.0), (1, 1 / 8))
"""Largest error of the weights meanwhile, in steps, and the share of them that have one: the first that is not too
much."""

_MOST_NOISE = 0.1
"""Square error of the outputs, as a part of their own square, above which it may no longer grow with its cause (a
probability is wrong by 1 at most); far below it, rounding in the network itself is most of it."""

_RISE = 8.0
"""By how much the price rises at a time."""

_SWEEPS = 3
"""How often each lane is assigned anew at a price."""

_FIRST_SHARE = 1e-3
"""Square error, as a part of the outputs' own square, that all of the stream's cost is worth at first."""

_SMALL = 0.03
"""Part of the error of the budget below which codes have moved so little that orders are not worth solving again."""

_USUAL_DB = 20.0
"""Ratio at which a network is off by about half a point, for budgets in points of accuracy."""

_IDLE_RISES = 2
"""After so many without a gain nothing is left to win, whatever the budget."""

_RETURNS = 8
"""How often the price changes after that: down where the outputs are beyond the budget, up where they are within."""

_DAMPING = 0.65
"""By how much its logarithm changes less from one time to the next."""

_FRUITLESS = 3
"""After so many of them without one within the budget, none is expected: where the runtime rounds and saturates, an
error that was made does not always go away with its price."""

_ONWARDS = 8
"""How often the search goes on from its best codes at a higher price."""

_SAME_PRICE = 1.05
"""Prices closer together than this give the same codes."""

_REORDERED_RETURNS = 2
"""In the first ones orders are solved again; then prices are so close together that they would hardly change."""

_State = list[tuple[NDArray[np.int16], tuple[Segment, ...]]]


@dataclass(frozen=True, eq=False)
class Rounded:
    """A rounded network.

    Parameters
    ----------
    network : Network
        As read back from the files.
    files : ModelFiles
        Its files.
    orders : dict of str to tuple of Segment
        Of the layers that were rounded.
    error : OutputChange
        Of its outputs on all sample inputs.
    outputs : ndarray of float64, shape (samples, values)
        These outputs.
    price : float
        Square error of the outputs that a unit of cost was worth, as a part of the outputs' own square; 0 where
        nothing was found within the budget.
    cost : float
        What the weights of these layers cost as they stream.
    """

    network: Network
    files: ModelFiles
    orders: dict[str, tuple[Segment, ...]]
    error: OutputChange
    outputs: NDArray[np.float64]
    price: float
    cost: float


class RoundingSearch:
    """The search for the codes of all layers.

    Parameters
    ----------
    network : Network
        The network that is rounded.
    layers : list of RoundedLayer
        Layers that may change, at least one.
    reference : Reference
        The original's outputs on all sample inputs.
    budget : ErrorBudget
        How far outputs may be from them.
    cost : TransitionCost or None
        By which orders are solved; flips by default.
    reorders : bool
        Whether each segment may be given another order.
    seed, jobs : int
        Of random choices; processors to use.
    limit : Limit
        When to end with the best so far.
    progress : callable or None
        Called as ``progress(phase, done, total)``.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[RoundedLayer],
        reference: Reference,
        budget: ErrorBudget,
        *,
        cost: TransitionCost | None,
        reorders: bool,
        seed: int,
        jobs: int,
        limit: Limit,
        progress: Progress | None,
    ) -> None:
        self._network, self._layers, self._reference, self._budget = network, list(layers), reference, budget
        self._cost, self._reorders, self._seed, self._jobs = cost, reorders, seed, jobs
        self._limit, self._progress = limit, progress
        self._done = 0

    def measure_sensitivities(self, calibration: Sequence[int]) -> None:
        """Give one layer after the other random errors, and see what they do to the outputs.

        Parameters
        ----------
        calibration : sequence of int
            The samples to run, of which :data:`PROBES` are.
        """
        reference = self._reference.only(list(calibration)[:PROBES])
        signal = float(np.square(reference.outputs).sum())
        _, start = reference.error_of(self._network)
        measured: list[float] = []
        for number, layer in enumerate(self._layers):
            if self._limit():
                break
            before = layer.saved()
            for steps, share in _NOISES:
                layer.disturb(steps, self._seed + number, share)
                network, _ = self._write([layer])
                _, outputs = reference.error_of(network)
                noise = float(np.square(outputs - start).sum()) / signal
                if noise <= _MOST_NOISE:
                    break
            layer.sensitivity = noise / layer.error if layer.error else 0.0
            measured.append(layer.sensitivity)
            layer.restore(before)
            self._show("measuring sensitivities", number + 1, len(self._layers))
        self._fill_in(measured)

    def find(self) -> Rounded:
        """Raise the price until the budget is spent, and give the cheapest codes within it.

        Returns
        -------
        Rounded
            With the original's codes where no others were found.
        """
        best = self._tried(0.0)
        state, price = self._state(), self._first_price()
        beyond, idle = False, 0
        while not beyond and idle < _IDLE_RISES and not self._limit():
            found = self._moved(price, reorders=self._expected_error() > _SMALL * self._allowed_error())
            beyond = not found.error.within(self._budget)
            gains = found.cost < best.cost
            if gains and not beyond:
                best, state = found, self._state()
            idle = 0 if gains else idle + 1
            price *= _RISE
        if beyond:
            best, state = self._returned(best, state, price / _RISE)
            best, state = self._onwards(best, state, max(best.price, price / _RISE**3))
        self._restore(state)
        return best

    def _returned(self, best: Rounded, state: _State, price: float) -> tuple[Rounded, _State]:
        """Go on from codes beyond the budget, at prices on both sides of the one that spends it."""
        within, any_within = False, False
        for number in range(_RETURNS):
            if self._limit() or (number == _FRUITLESS and not any_within):
                break
            change = _RISE ** (_DAMPING**number)
            price = price * change if within else price / change
            found = self._moved(price, reorders=number < _REORDERED_RETURNS)
            within = found.error.within(self._budget)
            any_within = any_within or within
            if within and found.cost < best.cost:
                best, state = found, self._state()
        return best, state

    def _onwards(self, best: Rounded, state: _State, price: float) -> tuple[Rounded, _State]:
        """Go on from the best codes, to higher prices in ever smaller steps."""
        step = _RISE**0.5
        for _ in range(_ONWARDS):
            if self._limit() or step < _SAME_PRICE:
                break
            self._restore(state)
            found = self._moved(price * step, reorders=True)
            if not found.error.within(self._budget):
                step **= 0.5
                continue
            price *= step
            if found.cost < best.cost:
                best, state = found, self._state()
        return best, state

    def _moved(self, price: float, *, reorders: bool) -> Rounded:
        """Move codes, and orders with them, at a price; then see what came of it."""
        self._assign(price)
        if reorders:
            self._solve_orders(Effort.quick())
        self._assign(price, _SWEEPS)
        return self._tried(price)

    def _expected_error(self) -> float:
        """What the sensitivities say of the square error of the outputs, as a part of their own square."""
        return sum(layer.sensitivity * layer.error for layer in self._layers)

    def _allowed_error(self) -> float:
        """The square error of the budget, or one that a point of accuracy usually takes."""
        return 10 ** (-(_USUAL_DB if self._budget.sqnr_db is None else self._budget.sqnr_db) / 10)

    def _first_price(self) -> float:
        """So low that only codes move that cost next to no error."""
        return _FIRST_SHARE / max(sum(layer.cost() for layer in self._layers), 1.0)

    def _assign(self, price: float, sweeps: int = 1) -> None:
        def sweep(layer: RoundedLayer) -> None:
            for _ in range(sweeps):
                layer.descend(price)

        run_all(sweep, self._layers, jobs=self._jobs, in_this_process=True)

    def _solve_orders(self, effort: Effort) -> None:
        """Order all segments anew for the present codes; an order changes only where its cost gets less."""
        if not self._reorders:
            return
        words = [segment for layer in self._layers for segment in layer.segment_words()]
        found = iter(order_segments(words, cost=self._cost, effort=effort, seed=self._seed, jobs=self._jobs))
        for layer in self._layers:
            paths = [(segment, next(found)) for segment in layer.segments]
            layer.segments = tuple(
                Segment(segment.lanes, segment.order[path.order]) if path.flips < path.natural_flips else segment
                for segment, path in paths
            )

    def _tried(self, price: float) -> Rounded:
        """Write the present codes, and run them."""
        network, files = self._write(self._layers)
        error, outputs = self._reference.error_of(network)
        orders = {layer.layer.name: layer.segments for layer in self._layers}
        self._done += 1
        self._show(f"rounding (now {error})", self._done, self._done)
        return Rounded(network, files, orders, error, outputs, price, sum(layer.cost() for layer in self._layers))

    def _write(self, layers: Sequence[RoundedLayer]) -> tuple[Network, ModelFiles]:
        codes = {layer.layer.name: layer.new_codes() for layer in layers}
        return write_model(self._network.file_format, lambda path: rewrite_codes(self._network, codes, path))

    def _state(self) -> _State:
        return [layer.saved() for layer in self._layers]

    def _restore(self, state: _State) -> None:
        for layer, saved in zip(self._layers, state, strict=True):
            layer.restore(saved)

    def _fill_in(self, measured: Sequence[float]) -> None:
        """Layers that show no effect, or were not reached, count as much as the others do on the whole."""
        shown = [value for value in measured if value > 0 and math.isfinite(value)]
        usual = float(np.exp(np.mean(np.log(shown)))) if shown else 1.0
        for number, layer in enumerate(self._layers):
            known = number < len(measured) and measured[number] > 0 and math.isfinite(measured[number])
            layer.sensitivity = max(layer.sensitivity, 1e-3 * usual) if known else usual

    def _show(self, phase: str, done: int, total: int) -> None:
        if self._progress:
            self._progress(phase, done, total)
