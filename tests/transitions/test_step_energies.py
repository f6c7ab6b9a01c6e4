"""Energies of steps between two codes of weights, against streams that are simulated one by one."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from fewflips.dataflows.unit_work import settling_cycles
from fewflips.datapath.design import Datapath, Word, WordFormat
from fewflips.estimation.transitions.bench import StepBench
from fewflips.estimation.transitions.shared_logic import fit_shared_logic
from fewflips.estimation.transitions.step_energies import StepEnergies, measure_steps
from fewflips.estimation.word_pool import WordPool
from fewflips.gates.liberty.load import load_cells
from fewflips.gates.operands import OperandSequences, PortRows, Windows
from fewflips.gates.power.energy import energy_of
from fewflips.gates.switching import simulate
from fewflips.ordering import shortest_word_path
from fewflips.simulation.unit import ArithmeticUnit, build_unit
from fewflips.streams.transition_cost import TransitionCost
from tests.datapath.units import value

FORMATS = tuple(WordFormat)
SHARE = 0.25
ACTIVATIONS = np.array([0, 0, 3, 5], dtype=np.uint8)


def column(word_format: WordFormat, lanes: int = 2, partial_sums: bool = False) -> ArithmeticUnit:
    """A column of 3-bit weights and activations."""
    datapath = Datapath(
        "column",
        Word(word_format, 3),
        Word(WordFormat.UNSIGNED, 3),
        lanes=lanes,
        accumulator_bits=10,
        partial_sum_input=partial_sums,
    )
    return build_unit(datapath, load_cells("nangate45"))


def bench_of(unit: ArithmeticUnit, activations: np.ndarray = ACTIVATIONS) -> StepBench:
    return StepBench(unit, WordPool(activations, 3), SHARE, 1.0, seed=1, jobs=2)


def stream_fj(unit: ArithmeticUnit, weights: np.ndarray, activations: np.ndarray) -> float:
    """Data energy of the whole unit a transition, of one stream of weights past activations that stand still."""
    passes = np.zeros(1, dtype=np.int64)
    inputs = {
        "weights": PortRows(weights, unit.datapath.weights.bits, passes, 1),
        "activations": PortRows(activations[None], unit.datapath.activations.bits, passes, 0),
    }
    sequences = OperandSequences(np.array([len(weights)]), passes, inputs)
    toggles = simulate(unit.circuit, sequences, "inertial")
    return energy_of(unit.shared_model(SHARE, 1.0), toggles, 0.0, 0.0).data_fj


def step_fj(unit: ArithmeticUnit, lane: int, one: int, other: int, rest: int) -> float:
    """Energy of a step of one lane, both directions and all activations alike, the other lanes at a code."""
    turns = 20
    energies = []
    for activation in ACTIVATIONS:
        weights = np.full((2 * turns + 3, unit.datapath.lanes), rest, dtype=np.uint8)
        weights[:, lane] = one
        weights[1 : 2 * turns : 2, lane] = other  # the last words stay until the registers have settled
        energies.append(stream_fj(unit, weights, np.full(unit.datapath.lanes, activation)) / (2 * turns))
    return float(np.mean(energies))


@pytest.mark.parametrize("word_format", FORMATS)
def test_a_step_of_one_lane_costs_what_its_stream_does(word_format: WordFormat) -> None:
    unit = column(word_format)
    cases = [(lane, one, other, rest) for lane in (0, 1) for one, other, rest in ((0, 5, 2), (3, 4, 0), (7, 1, 6))]
    pairs = np.zeros((len(cases), 2, 2), dtype=np.uint8)
    for number, (lane, one, other, rest) in enumerate(cases):
        pairs[number, lane], pairs[number, 1 - lane] = (one, other), rest
    found = bench_of(unit, np.full(4, 5, dtype=np.uint8)).energies_fj(pairs)
    for case, (lane, one, other, rest), energies in zip(range(6), cases, found, strict=True):
        turns = np.full((43, 2), rest, dtype=np.uint8)
        turns[:, lane] = one
        turns[1:40:2, lane] = other
        assert energies.sum() == pytest.approx(stream_fj(unit, turns, np.full(2, 5, dtype=np.uint8)) / 40), case
        assert energies[1 - lane] == 0
        assert 0 < energies[lane] < energies.sum()


@pytest.mark.parametrize("word_format", FORMATS)
def test_what_a_lane_spends_itself_does_not_depend_on_the_others(word_format: WordFormat) -> None:
    bench = bench_of(column(word_format, partial_sums=True))
    alone, together, swapped = bench.energies_fj(
        np.array([[[1, 6], [0, 0]], [[1, 6], [3, 4]], [[6, 1], [4, 3]]], dtype=np.uint8)
    )
    assert alone[0] == pytest.approx(together[0])
    assert alone[1] == 0 < together[1]
    assert together[:2] == pytest.approx(swapped[:2], rel=1e-9)


@pytest.mark.parametrize("word_format", FORMATS)
def test_the_table_of_a_unit_of_one_lane_is_exact(word_format: WordFormat, fresh_cache: None) -> None:
    unit = column(word_format, lanes=1)
    found = measure_steps(bench_of(unit))
    assert found.held_out_r2 is None
    for one in range(8):
        for other in range(8):
            expected = 0.0 if one == other else step_fj(unit, 0, one, other, 0)
            assert found.steps_fj[one, other] == pytest.approx(expected, abs=1e-6), (one, other)


def test_where_activations_move_a_step_costs_what_it_adds(fresh_cache: None) -> None:
    words = Word(WordFormat.TWOS_COMPLEMENT, 3), Word(WordFormat.UNSIGNED, 3)
    unit = build_unit(Datapath("mac", *words, accumulator_bits=10), load_cells("nangate45"))
    bench = StepBench(unit, WordPool(np.full(8, 5, dtype=np.uint8), 3), 1.0, 1.0, seed=1, jobs=1)
    assert bench.activations_move
    settling, cycles = settling_cycles(unit.datapath), bench.cycles

    def energy_fj(one: int, other: int) -> float:
        """A single accumulator that starts at zero; all activations are 5, so that one window is like any other."""
        weights = np.where(np.arange(cycles) % 2, other, one).astype(np.uint8)[:, None]
        sums = np.cumsum([5 * value(int(code), unit.datapath.weights) for code in weights[:, 0]])
        start = np.zeros(1, dtype=np.int64)
        clear = (np.arange(cycles) == 0).astype(np.uint8)[:, None]
        sequences = OperandSequences(
            np.array([cycles]),
            start,
            {
                "weights": PortRows(weights, 3, start, 1),
                "activations": PortRows(np.full((1, 1), 5, dtype=np.uint8), 3, start, 0),
                "clear": PortRows(clear, 1, start, 1),
            },
            {"accumulator": PortRows(sums[:, None].astype(np.int64), 10, start, 1, delay=unit.datapath.latency)},
        )
        transitions = cycles - settling
        window = Windows(np.zeros(1, np.int64), np.array([settling]), np.array([transitions]))
        toggles = simulate(unit.circuit, sequences, "inertial", windows=window)
        return energy_of(unit.shared_model(1.0, 1.0), toggles, 0.0, 0.0).data_fj / transitions

    found = measure_steps(bench).steps_fj
    for one, other in ((0, 1), (2, 7), (3, 4), (5, 6)):
        expected = energy_fj(one, other) - (energy_fj(one, one) + energy_fj(other, other)) / 2
        assert found[one, other] == found[other, one] == pytest.approx(max(0.0, expected), abs=1e-6)


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without entries; kernels and netlists made before are still found where they are elsewhere."""
    monkeypatch.setattr("fewflips.files.cache.cache_folder", lambda: tmp_path)


def test_energies_are_measured_once(fresh_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = column(WordFormat.UNSIGNED)
    first = measure_steps(bench_of(unit))
    calls = []
    plain = StepBench.energies_fj
    monkeypatch.setattr(StepBench, "energies_fj", lambda bench, pairs: calls.append(1) or plain(bench, pairs))
    again = measure_steps(bench_of(unit))
    assert not calls
    assert np.array_equal(first.steps_fj, again.steps_fj)
    assert first.held_out_r2 == again.held_out_r2
    other = measure_steps(bench_of(unit, np.array([7, 6, 1, 2], dtype=np.uint8)))
    assert calls
    assert other.steps_fj.sum() > 1.1 * first.steps_fj.sum()  # activations are larger


@pytest.mark.parametrize("word_format", FORMATS)
def test_tables_predict_streams_better_than_flips_do(word_format: WordFormat, fresh_cache: None) -> None:
    """Random streams in both lanes, each energy of the whole unit against its sums of costs and of flips."""
    unit = column(word_format)
    found = measure_steps(bench_of(unit))
    table = found.steps_fj
    assert np.array_equal(table, table.T)
    assert not table.diagonal().any()
    assert (table >= 0).all()
    generator = np.random.default_rng(4)
    energies, costs, flips = [], [], []
    for _ in range(30):
        base = generator.integers(0, 8, (3, 2))
        weights = base[generator.integers(0, 3, 40)].astype(np.uint8)  # few codes, so that streams differ
        energies.append(np.mean([stream_fj(unit, weights, generator.permuted(ACTIVATIONS)[:2]) for _ in range(20)]))
        costs.append(table[weights[:-1], weights[1:]].sum())
        flips.append(np.bitwise_count(weights[:-1] ^ weights[1:]).sum())
    by_cost, by_flips = (np.corrcoef(energies, other)[0, 1] for other in (costs, flips))
    assert by_cost > max(0.8, by_flips)


def test_a_fit_finds_what_lanes_share() -> None:
    """Planted: 0.5 of a lane's own energy, 3 fJ for each flip of bit 1, 2 fJ where bit 0 stays at 1; 100 fJ anyway."""
    generator = np.random.default_rng(0)
    own = np.triu(generator.uniform(1, 9, (8, 8)), 1)
    own += own.T
    codes = np.arange(8)
    planted = 0.5 * own + 3.0 * (((codes[:, None] ^ codes) >> 1) & 1)
    planted += 2.0 * (codes[:, None] & codes & 1) * (codes[:, None] != codes)
    pairs = generator.integers(0, 8, (400, 3, 2)).astype(np.uint8)
    shared = 100 + planted[pairs[..., 0], pairs[..., 1]].sum(axis=1)
    found = fit_shared_logic(own, pairs, shared)
    assert found.held_out_r2 == pytest.approx(1)
    assert found.steps_fj == pytest.approx(planted, abs=1e-6)
    noise = fit_shared_logic(own, pairs, generator.normal(0, 1, 400))
    assert noise.held_out_r2 < 0.2


def test_costs_are_energies_in_integers() -> None:
    steps = np.array([[0.0, 2.0], [2.0, 0.0]])
    energy = StepEnergies(steps, None).cost(largest=50)
    assert energy.cost.table is not None
    assert energy.cost.table.tolist() == [[0, 50], [50, 0]]
    assert energy.joules_per_unit == pytest.approx(2e-15 / 50)
    assert StepEnergies(0 * steps, None).cost().cost.largest_step == 0


def test_costs_of_bits_that_come_closest() -> None:
    codes = np.arange(8)
    changed = codes[:, None] ^ codes
    steps = 2.0 * (changed & 1) + 6.0 * (changed >> 1 & 1) + 4.0 * (changed >> 2 & 1)
    energy = StepEnergies(steps, None).bit_cost(largest=30)
    assert energy.cost == TransitionCost.per_bit([10, 30, 20])
    assert energy.joules_per_unit == pytest.approx(6e-15 / 30)
    steps[0, 7] = steps[7, 0] = 100.0  # one dear step raises all bits alike
    raised = StepEnergies(steps, None).bit_cost(largest=1000).cost.bit_costs
    assert raised is not None
    assert raised[1] == 1000
    assert raised[1] > raised[2] > raised[0] > 333


def test_the_order_of_least_energy_is_the_least_of_all(fresh_cache: None) -> None:
    unit = column(WordFormat.SIGN_MAGNITUDE, lanes=1)
    found = measure_steps(bench_of(unit))
    words = np.array([[4], [1], [7], [2], [5], [3]], dtype=np.uint8)
    cost = found.cost(largest=30000).cost
    path = shortest_word_path(words, cost=cost)
    energies = {
        order: sum(found.steps_fj[words[a, 0], words[b, 0]] for a, b in pairwise(order))
        for order in permutations(range(6))
    }
    assert path.lower_bound == path.flips
    assert energies[tuple(path.order.tolist())] == pytest.approx(min(energies.values()), rel=1e-3)
