"""Sweeps: a unit's energy per cycle against the flips, values, lanes and partial sums of synthetic streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fewflips.estimation.calibration.bench import SEQUENCES, Bench
from fewflips.estimation.calibration.sequences import Words
from fewflips.estimation.calibration.synthetic import flipping_words
from fewflips.estimation.concave import rising_concave_curve, rising_concave_surface
from fewflips.estimation.predict import weighted_nhd
from fewflips.records.calibration import Axis, DelayCurves, Surface
from fewflips.simulation.run import MODES
from fewflips.simulation.toggles import DelayModel
from fewflips.streams.counting import ones_shares
from fewflips.streams.flips import bit_position_flips

STREAMING_NHD = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""NHD values of the streaming operand."""
OTHER_NHD = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""NHD values of the other operand; 0: held."""
_BIT_RATE = 0.5
_COMMON_NHD = 0.3
"""NHD of the streaming operand when something else is varied: typical of ordered weights."""
_LOWEST_COST = 0.02
_SUM_NHD = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
_TILTS = (-4.0, -1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 4.0)
"""Held words are drawn with shares multiplied by exp(tilt x ones): from nearly all zeros to nearly all ones."""


class Sweep:
    """Energy of a unit under synthetic streams, quantity by quantity.

    Parameters
    ----------
    bench : Bench
        The unit, and the words from which its streams are drawn.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    @property
    def points(self) -> int:
        """Number of simulated points, including those of the registers."""
        datapath, bits = self.bench.unit.datapath, self.bench.bits
        sums = datapath.partial_sum_input
        surfaces = len(STREAMING_NHD) * len(OTHER_NHD) * (2 if sums else 1)
        by_bit = sum(count + 1 for count in bits.values())
        by_ones = bits[self.bench.held] + 2
        by_sums = len(self._sum_grid()) + 1 if sums and self.bench.streaming == "weights" else 0
        return surfaces + by_bit + by_ones + by_sums + len(_lane_counts(datapath.lanes)) + len(_TILTS) + 2

    def curves(self) -> dict[DelayModel, DelayCurves]:
        """Everything a prediction needs, under both delay models."""
        streams = {
            name: [self.bench.stream(name, nhd) for nhd in self._grid(name)] for name in ("weights", "activations")
        }
        costs = {name: self._bit_costs(name) for name in streams}
        first = self._surface(streams, None)
        later = self._surface(streams, self._partial_sums()) if self.bench.unit.datapath.partial_sum_input else None
        sum_nhd, sum_shares = self._sum_shares()
        lanes, lane_shares = self._lane_shares()
        ones = self._ones_costs()
        factors = self._factors(ones)
        found = {}
        for mode in MODES:
            axes = {name: self._axis(name, streams[name], costs[name][mode]) for name in streams}
            usual = first[mode] - self._excess(streams, ones[mode], factors[mode], first[mode])
            found[mode] = DelayCurves(
                weights=axes["weights"],
                activations=axes["activations"],
                first=_surface_record(axes, usual),
                later=_surface_record(axes, usual + later[mode] - first[mode]) if later else None,
                sum_nhd=sum_nhd,
                sum_shares=tuple(sum_shares[mode].tolist()),
                lanes=lanes,
                lane_shares=tuple(lane_shares[mode].tolist()),
                ones_costs=tuple(ones[mode].tolist()),
                mean_costs=tuple(factors[mode][0].tolist()),
                factors=tuple(factors[mode][1].tolist()),
            )
        return found

    def _grid(self, name: str) -> tuple[float, ...]:
        return OTHER_NHD if name == self.bench.held else STREAMING_NHD

    def _excess(
        self,
        streams: dict[str, list[Words]],
        ones_costs: NDArray[np.float64],
        factors: tuple[NDArray[np.float64], NDArray[np.float64]],
        energies: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The excess of a surface due to streams of high NHD having more ones than the pool."""
        held = self.bench.held
        means = [ones_shares(words, self.bench.bits[held]) @ ones_costs for words in streams[held]]
        above = np.interp(means, *factors) - 1
        return np.outer(above, energies[0]) if held == "weights" else np.outer(energies[:, 0], above)

    def _factors(
        self, ones_costs: dict[DelayModel, NDArray[np.float64]]
    ) -> dict[DelayModel, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Energy against the mean cost of all held words; not quite proportional, since lanes share an adder tree."""
        held, pool = self.bench.held, self.bench.pool(self.bench.held)
        codes = np.arange(1 << pool.bits, dtype=_dtype(pool.bits))
        shares = np.bincount(pool.words, minlength=len(codes)) + 1e-3
        stream = self.bench.stream(self.bench.streaming, _COMMON_NHD)
        means: dict[DelayModel, list[float]] = {mode: [] for mode in MODES}
        energies: dict[DelayModel, list[float]] = {mode: [] for mode in MODES}
        for tilt in _TILTS:
            tilted = shares * np.exp(tilt * np.bitwise_count(codes))
            size = (SEQUENCES, self.bench.unit.datapath.lanes)
            words = self.bench.generator("factors").choice(codes, size, p=tilted / tilted.sum())
            point = self.bench.energies_fj({self.bench.streaming: stream, held: words})
            for mode in MODES:
                means[mode].append(float(ones_shares(words, pool.bits) @ ones_costs[mode]))
                energies[mode].append(point[mode])
        found = {}
        for mode in MODES:
            places, first = np.unique(means[mode], return_index=True)
            rising = np.maximum.accumulate(np.array(energies[mode])[first])
            found[mode] = (places, rising / (float(np.interp(1.0, places, rising)) or 1.0))
        return found

    def _surface(
        self, streams: dict[str, list[Words]], partial_sums: list[NDArray[np.int64]] | None
    ) -> dict[DelayModel, NDArray[np.float64]]:
        points = [
            [
                self.bench.energies_fj(
                    {"weights": weights, "activations": activations},
                    partial_sums[row if self.bench.streaming == "weights" else column] if partial_sums else None,
                )
                for column, activations in enumerate(streams["activations"])
            ]
            for row, weights in enumerate(streams["weights"])
        ]
        return {mode: np.array([[point[mode] for point in row] for row in points]) for mode in MODES}

    def _bit_costs(self, name: str) -> dict[DelayModel, NDArray[np.float64]]:
        """Energy of flips of each bit alone, relative to their mean; the other operand is held."""
        other = "activations" if name == "weights" else "weights"
        held = self.bench.stream(other, 0.0)
        still = self.bench.energies_fj({name: self.bench.stream(name, 0.0), other: held})
        costs: dict[DelayModel, list[float]] = {mode: [] for mode in MODES}
        for bit in range(self.bench.bits[name]):
            rates = np.zeros(self.bench.bits[name])
            rates[bit] = _BIT_RATE
            point = self.bench.energies_fj(
                {name: flipping_words(*self.bench.shape, rates, self.bench.generator("bits")), other: held}
            )
            for mode in MODES:
                costs[mode].append(max(point[mode] - still[mode], 0.0))
        return {mode: _over_mean(np.array(found)) for mode, found in costs.items()}

    def _sum_shares(self) -> tuple[tuple[float, ...], dict[DelayModel, NDArray[np.float64]]]:
        """Cost of partial sums whose words flip less than at random, relative to that at random."""
        if self.bench.streaming == "activations" or not self.bench.unit.datapath.partial_sum_input:
            return (0.0, 1.0), {mode: np.ones(2) for mode in MODES}
        streams = {
            self.bench.streaming: self.bench.stream(self.bench.streaming, _COMMON_NHD),
            self.bench.held: self.bench.stream(self.bench.held, 0.0),
        }
        grid = self._sum_grid()
        without = self.bench.energies_fj(streams)
        points = [self.bench.energies_fj(streams, self.bench.sums_of_segments(nhd)) for nhd in grid[:-1]]
        points.append(self.bench.energies_fj(streams, self.bench.sums_of_segments(None)))
        found = {}
        for mode in MODES:
            costs = np.array([point[mode] - without[mode] for point in points])
            rising = np.maximum.accumulate(np.maximum(costs, 0.0))
            found[mode] = rising / rising[-1] if rising[-1] > 0 else np.ones(len(rising))
        if len(grid) == 1:
            return (0.0, 1.0), {mode: np.ones(2) for mode in MODES}
        return tuple(grid), found

    def _sum_grid(self) -> list[float]:
        """NHD values of the words behind partial sums; the last one is that of random order."""
        random = self.bench.pool(self.bench.streaming).nhd
        return [*(nhd for nhd in _SUM_NHD if nhd < random), random]

    def _lane_shares(self) -> tuple[tuple[int, ...], dict[DelayModel, NDArray[np.float64]]]:
        """Energy with some lanes idle, relative to that with all lanes."""
        counts = _lane_counts(self.bench.unit.datapath.lanes)
        streams = {self.bench.streaming: self.bench.stream(self.bench.streaming, _COMMON_NHD)}
        streams[self.bench.held] = self.bench.stream(self.bench.held, 0.0)
        found: dict[DelayModel, list[float]] = {mode: [] for mode in MODES}
        for count in counts:
            point = self.bench.energies_fj({name: _idle_from(words, count) for name, words in streams.items()})
            for mode in MODES:
                found[mode].append(point[mode])
        places = np.array([0, *counts], dtype=np.float64)
        curves = {mode: rising_concave_curve(places, np.array([0.0, *energies])) for mode, energies in found.items()}
        return (0, *counts), {mode: curve / (curve[-1] or 1.0) for mode, curve in curves.items()}

    def _ones_costs(self) -> dict[DelayModel, NDArray[np.float64]]:
        """Cost of a lane by the ones in its held word, measured on half the lanes while the others are as usual."""
        held, lanes = self.bench.held, self.bench.unit.datapath.lanes
        pool, bits = self.bench.pool(held), self.bench.bits[held]
        chosen = np.arange(0, lanes, 2)
        stream = self.bench.stream(self.bench.streaming, _COMMON_NHD)
        usual = self.bench.stream(held, 0.0)
        reference = self.bench.energies_fj({self.bench.streaming: stream, held: usual})
        codes = np.arange(1 << bits, dtype=_dtype(bits))
        by_ones: dict[DelayModel, list[float]] = {mode: [] for mode in MODES}
        for ones in range(bits + 1):
            words = usual.copy()
            candidates = codes[np.bitwise_count(codes) == ones]
            words[:, chosen] = self.bench.generator("ones").choice(candidates, (len(words), len(chosen)))
            point = self.bench.energies_fj({self.bench.streaming: stream, held: words})
            for mode in MODES:
                change = point[mode] / (reference[mode] or 1.0) - 1
                by_ones[mode].append(max(1 + change * lanes / len(chosen), _LOWEST_COST))
        return {mode: np.array(costs) / float(pool.ones_shares @ costs) for mode, costs in by_ones.items()}

    def _partial_sums(self) -> list[NDArray[np.int64]]:
        """Sums of earlier segments for each stream of the streaming operand.

        Where weights stream, each segment has its own order, so the contribution of an earlier one changes from cycle
        to cycle as if at random. Activations stream in the same order through all segments, so earlier sums change as
        rarely as they do.
        """
        grid = self._grid(self.bench.streaming)
        if self.bench.streaming == "weights":
            return [self.bench.sums_of_segments(None)] * len(grid)
        return [self.bench.sums_of_segments(nhd) for nhd in grid]

    def _axis(self, name: str, streams: list[Words], costs: NDArray[np.float64]) -> Axis:
        """Actual NHD of the streams as drawn, without seams between sequences."""
        rates = np.stack([_stream_rates(words, self.bench.bits[name], self.bench.sequence_cycles) for words in streams])
        return Axis(
            nhd=tuple(rates.mean(axis=1).tolist()),
            weighted_nhd=tuple(weighted_nhd(rates, costs).tolist()),
            bit_costs=tuple(costs.tolist()),
        )


def _surface_record(axes: dict[str, Axis], simulated: NDArray[np.float64]) -> Surface:
    rows, columns = (np.array(axes[name].weighted_nhd) for name in ("weights", "activations"))
    curve = rising_concave_surface(rows, columns, simulated)
    return Surface(simulated_fj=_as_table(simulated), curve_fj=_as_table(curve))


def _as_table(energies: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in energies.tolist())


def _stream_rates(words: Words, bits: int, cycles: int) -> NDArray[np.float64]:
    if len(words) == SEQUENCES:
        return np.zeros(bits)
    by_sequence = words.reshape(SEQUENCES, cycles, -1)
    flips = sum(bit_position_flips(np.ascontiguousarray(sequence), bits) for sequence in by_sequence)
    return np.asarray(flips / (SEQUENCES * (cycles - 1) * words.shape[1]), dtype=np.float64)


def _lane_counts(lanes: int) -> tuple[int, ...]:
    """Numbers of lanes in use to try: about eight, up to all."""
    return tuple(sorted({max(1, round(lanes * share)) for share in np.linspace(1 / 8, 1, 8)}))


def _idle_from(words: Words, count: int) -> Words:
    """Words with the lanes starting at some index idle."""
    cut = words.copy()
    cut[:, count:] = 0
    return cut


def _over_mean(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = float(costs.mean())
    return costs / mean if mean > 0 else np.ones_like(costs)


def _dtype(bits: int) -> type[np.unsignedinteger]:
    return np.uint8 if bits <= 8 else np.uint16
